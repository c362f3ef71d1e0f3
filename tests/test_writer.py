"""ParquetWriter: what it takes is durable, once, whatever fails."""

import contextlib
import errno
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.builders import START, rows, tick_event
from vectra_analytics import (
    CommitFailed,
    Direction,
    DocType,
    EventEnvelope,
    EventSource,
    EventStorePaths,
    EventStoreQuery,
    InvalidEvent,
    ParquetWriter,
    VectraError,
    WriterClosed,
    catalog_file,
    commit,
    writer,
)
from vectra_analytics.catalog import Catalog

ROOT = Path(__file__).resolve().parents[1]
LONG = 3_600.0  # seconds: no flush by time
PATIENCE = 20.0  # seconds until a test gives up waiting

OpenWriter = Callable[..., ParquetWriter]


@pytest.fixture
def open_writer(paths: EventStorePaths) -> Iterator[OpenWriter]:
    """Open writers on the store; those that a test leaves open are closed after it."""
    opened: list[ParquetWriter] = []

    def open_one(buffer_size: int = 1_000, flush_interval: float = LONG) -> ParquetWriter:
        opened.append(ParquetWriter(paths, buffer_size=buffer_size, flush_interval=flush_interval))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def ticks(n: int, first: int = 0, session_id: str = "s1") -> list[EventEnvelope]:
    """So many events, seqs from ``first``."""
    return [tick_event(seq, 1.0, "g1", session_id) for seq in range(first, first + n)]


def write_all(one: ParquetWriter, events: list[EventEnvelope]) -> None:
    """Write them in their order."""
    for event in events:
        one.write(event)


def stored(paths: EventStorePaths, session_id: str = "s1") -> list[int]:
    """The stored seqs of a session, each as often as it is stored."""
    sql = "SELECT seq FROM events WHERE session_id = $session ORDER BY seq"
    return [seq for (seq,) in rows(EventStoreQuery(paths), sql, {"session": session_id})]


def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait for something that another thread or process does."""
    deadline = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def run(program: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """A Python program of its own that imports this package."""
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


# --- what it is


def test_defaults(paths: EventStorePaths) -> None:
    """A writer commits at 100 events or after 5 seconds unless told otherwise."""
    with ParquetWriter(paths) as one:
        assert (one.buffer_size, one.flush_interval) == (100, 5.0)
        assert one.buffer_count == one.n_rejected == 0


def test_other_sizes_are_kept(paths: EventStorePaths) -> None:
    """Size and interval are as given."""
    with ParquetWriter(paths, buffer_size=7, flush_interval=0.5) as one:
        assert (one.buffer_size, one.flush_interval) == (7, 0.5)


@pytest.mark.parametrize("size", [{"buffer_size": 0}, {"buffer_size": -1}])
@pytest.mark.parametrize("interval", [{}, {"flush_interval": 0.0}, {"flush_interval": float("nan")}])
def test_sizes_that_cannot_be_are_refused(
    size: dict[str, int], interval: dict[str, float], paths: EventStorePaths
) -> None:
    """A buffer of none and an interval of nothing are errors, and no store is made for them."""
    with pytest.raises(ValueError, match="buffer_size"):
        ParquetWriter(paths, **size, **interval)  # type: ignore[arg-type]
    if interval:
        with pytest.raises(ValueError, match="flush_interval"):
            ParquetWriter(paths, **interval)  # type: ignore[arg-type]
    assert not paths.data_dir.exists()


def test_a_writer_makes_the_store(paths: EventStorePaths) -> None:
    """The folders, the catalog and the schema version are there before the first event."""
    with ParquetWriter(paths):
        assert paths.events_parquet_dir.is_dir()
        assert paths.catalog_file.is_file()
        version = json.loads((paths.manifests_dir / "schema_version.json").read_text())
    assert isinstance(version["schema_version"], str)


@pytest.mark.parametrize("n", [1, 5, 10])
def test_buffer_count_counts_what_waits(n: int, open_writer: OpenWriter) -> None:
    """Every accepted event counts until it is durable."""
    one = open_writer()
    write_all(one, ticks(n))

    assert one.buffer_count == n
    one.flush()
    assert one.buffer_count == 0


@pytest.mark.parametrize("nonsense", [None, {"tick": 1}, "event"], ids=repr)
def test_only_events_are_taken(nonsense: Any, open_writer: OpenWriter) -> None:
    """What is no EventEnvelope is refused at once."""
    one = open_writer()
    with pytest.raises(InvalidEvent):
        one.write(nonsense)
    assert one.buffer_count == 0


# --- flush


def test_flush_returns_the_files(open_writer: OpenWriter, paths: EventStorePaths) -> None:
    """Flush gives the paths of the files it made; with nothing new it gives None."""
    one = open_writer()
    assert one.flush() is None
    write_all(one, ticks(3))
    files = one.flush()

    assert files is not None
    assert all(isinstance(file, Path) and file.suffix == ".parquet" and file.is_file() for file in files)
    assert sum(pq.read_metadata(file).num_rows for file in files) == 3
    assert one.flush() is None
    assert stored(paths) == [0, 1, 2]


def test_flush_returns_the_files_of_background_commits_too(open_writer: OpenWriter) -> None:
    """What was committed in the background since the last flush is in its answer, once."""
    one = open_writer(buffer_size=5)
    write_all(one, ticks(5))
    wait_until(lambda: one.buffer_count == 0)
    write_all(one, ticks(5, first=5))
    wait_until(lambda: one.buffer_count == 0)
    write_all(one, ticks(2, first=10))
    files = one.flush()

    assert files is not None
    assert len(files) == len(set(files)) == 3
    assert sum(pq.read_metadata(file).num_rows for file in files) == 12
    assert one.flush() is None


def test_a_flush_of_duplicates_alone_gives_none(open_writer: OpenWriter) -> None:
    """Where nothing new was stored there is no file."""
    one = open_writer()
    write_all(one, ticks(2))
    one.flush()
    write_all(one, ticks(2))

    assert one.flush() is None
    assert one.buffer_count == 0


def test_two_flushes_never_share_a_name(open_writer: OpenWriter, paths: EventStorePaths) -> None:
    """Files of the same moment and partition lie side by side."""
    one = open_writer()
    for seq in range(5):
        one.write(tick_event(0, 1.0, seq=seq))
        one.flush()

    assert len(list(paths.events_parquet_dir.rglob("*.parquet"))) == 5
    assert stored(paths) == [0, 1, 2, 3, 4]


def test_nothing_unfinished_is_left(open_writer: OpenWriter, paths: EventStorePaths) -> None:
    """After a flush there are event files in the event folders and nothing else."""
    one = open_writer()
    write_all(one, ticks(3))
    one.flush()

    assert {path.suffix for path in paths.events_parquet_dir.rglob("*") if path.is_file()} == {".parquet"}
    assert list(paths.rejects_dir.iterdir()) == []


# --- in the background


def test_a_full_buffer_is_committed(open_writer: OpenWriter, paths: EventStorePaths) -> None:
    """Reaching buffer_size is enough: no flush and no further event is needed; again and again."""
    one = open_writer(buffer_size=10)
    for first in (0, 10, 20):
        write_all(one, ticks(10, first=first))
        wait_until(lambda: one.buffer_count == 0)
        assert stored(paths) == list(range(first + 10))


def test_a_buffer_not_full_waits(open_writer: OpenWriter, paths: EventStorePaths) -> None:
    """One event short of buffer_size, and before the interval is over, nothing is committed."""
    one = open_writer(buffer_size=10)
    write_all(one, ticks(9))
    time.sleep(0.2)

    assert one.buffer_count == 9
    assert stored(paths) == []


def test_an_old_event_is_committed_without_another(open_writer: OpenWriter, paths: EventStorePaths) -> None:
    """After flush_interval the events are durable although nobody calls the writer."""
    one = open_writer(flush_interval=0.1)
    began = time.monotonic()
    write_all(one, ticks(3))
    wait_until(lambda: one.buffer_count == 0)

    assert 0.05 < time.monotonic() - began < 5
    assert stored(paths) == [0, 1, 2]


def test_the_interval_holds_after_a_pause(open_writer: OpenWriter, paths: EventStorePaths) -> None:
    """Events that come after a long silence wait no longer than the interval either."""
    one = open_writer(flush_interval=0.15)
    for seq in range(3):
        time.sleep(0.2)
        began = time.monotonic()
        one.write(tick_event(seq, 1.0))
        wait_until(lambda: one.buffer_count == 0)
        assert time.monotonic() - began < 3
    assert stored(paths) == [0, 1, 2]


class Gate:
    """Holds commits until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        real = commit.commit

        def held(*arguments: Any, **named: Any) -> Any:
            self.reached.set()
            assert self.opened.wait(PATIENCE)
            return real(*arguments, **named)

        monkeypatch.setattr("vectra_analytics.writer.commit", held)


def test_write_only_enqueues(open_writer: OpenWriter, monkeypatch: pytest.MonkeyPatch, paths: EventStorePaths) -> None:
    """While a commit takes its time, write returns at once and buffer_count counts on."""
    gate = Gate(monkeypatch)
    one = open_writer(buffer_size=5)
    write_all(one, ticks(5))
    assert gate.reached.wait(PATIENCE)
    began = time.monotonic()
    write_all(one, ticks(500, first=5))

    assert time.monotonic() - began < 1
    assert one.buffer_count == 505
    assert list(paths.events_parquet_dir.rglob("*.parquet")) == []
    gate.opened.set()
    one.flush()
    assert stored(paths) == list(range(505))


@pytest.fixture
def small_queue(monkeypatch: pytest.MonkeyPatch) -> int:
    """A queue of five events."""
    monkeypatch.setattr(writer, "_LEAST_QUEUE", 5)
    monkeypatch.setattr(writer, "_QUEUE_BUFFERS", 1)
    return 5


def start(target: Callable[[], None]) -> tuple[threading.Thread, list[BaseException]]:
    """A thread, and what it raises."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            target()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    return thread, raised


def test_a_full_queue_blocks_and_drops_nothing(
    small_queue: int, open_writer: OpenWriter, monkeypatch: pytest.MonkeyPatch, paths: EventStorePaths
) -> None:
    """When the disk cannot keep up, write waits; every event it took is stored, in the end."""
    gate = Gate(monkeypatch)
    one = open_writer(buffer_size=2)
    write_all(one, ticks(small_queue))
    thread, raised = start(lambda: write_all(one, ticks(20, first=small_queue)))
    time.sleep(0.1)

    assert thread.is_alive()
    assert one.buffer_count == small_queue
    gate.opened.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert raised == []
    one.flush()
    assert stored(paths) == list(range(25))


def test_a_blocked_write_learns_of_a_failure(
    small_queue: int, open_writer: OpenWriter, monkeypatch: pytest.MonkeyPatch, paths: EventStorePaths
) -> None:
    """A write that waits for room when the commit fails raises, and its event is not taken."""
    gate = Gate(monkeypatch)
    one = open_writer(buffer_size=2)
    write_all(one, ticks(small_queue))
    thread, raised = start(lambda: one.write(tick_event(99, 1.0)))
    with monkeypatch.context() as fault:
        fault.setattr(os, "fsync", no_space)
        gate.opened.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()

    assert [type(error) for error in raised] == [CommitFailed]
    assert one.buffer_count == small_queue
    one.flush()
    assert stored(paths) == list(range(small_queue))


def test_a_blocked_write_learns_of_a_close(
    small_queue: int, open_writer: OpenWriter, monkeypatch: pytest.MonkeyPatch, paths: EventStorePaths
) -> None:
    """A write that waits for room when the writer is closed raises WriterClosed or is stored."""
    gate = Gate(monkeypatch)
    one = open_writer(buffer_size=2)
    write_all(one, ticks(small_queue))
    thread, raised = start(lambda: one.write(tick_event(99, 1.0)))
    closing, refused = start(one.close)
    time.sleep(0.05)
    gate.opened.set()
    thread.join(PATIENCE)
    closing.join(PATIENCE)

    assert refused == []
    assert all(isinstance(error, WriterClosed) for error in raised)
    assert stored(paths) == [*range(small_queue), *([] if raised else [99])]


# --- partitions


def test_every_kind_has_its_folder(open_writer: OpenWriter, paths: EventStorePaths) -> None:
    """Each doc_type, those of name only included, gets a folder and can be counted."""
    one = open_writer()
    for seq, kind in enumerate(DocType):
        one.write(
            EventEnvelope(
                ts=START,
                source=EventSource.CDP,
                doc_type=kind,
                session_id="s1",
                seq=seq,
                direction=Direction.RECEIVED,
                raw_json="{}",
            )
        )
    files = one.flush()

    assert files is not None
    assert sorted(path.name for path in paths.events_parquet_dir.iterdir()) == sorted(f"doc_type={k}" for k in DocType)
    assert sorted(file.parent for file in files) == sorted(
        paths.parquet_partition_dir(kind, "2025-12-17") for kind in DocType
    )
    assert [EventStoreQuery(paths).count_events(kind) for kind in DocType] == [1] * len(DocType)


@pytest.mark.parametrize(
    ("ts", "day"),
    [
        (datetime(2025, 12, 17, 23, 59, 59, 999_999, tzinfo=UTC), "2025-12-17"),
        (datetime(2025, 12, 18, tzinfo=UTC), "2025-12-18"),
        (datetime(2025, 12, 17, 23, 30, tzinfo=timezone(timedelta(hours=-5))), "2025-12-18"),
        (datetime(2025, 12, 18, 3, 30, tzinfo=timezone(timedelta(hours=9))), "2025-12-17"),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "1969-12-31"),
    ],
    ids=str,
)
def test_the_date_is_the_day_in_utc(ts: datetime, day: str, open_writer: OpenWriter, paths: EventStorePaths) -> None:
    """Whatever zone an event's time is given in, its folder is the UTC day, and its ts the same moment."""
    one = open_writer()
    one.write(tick_event(0, 1.0, ts=ts))
    files = one.flush()

    assert files is not None
    assert [file.parent for file in files] == [paths.parquet_partition_dir("game_tick", day)]
    assert rows(EventStoreQuery(paths), "SELECT ts, date::VARCHAR FROM events") == [(ts.astimezone(UTC), day)]


def test_now_is_today_in_utc(open_writer: OpenWriter, paths: EventStorePaths) -> None:
    """An event without a time of its own lies in today's folder."""
    one = open_writer()
    one.write(EventEnvelope.from_system_event("start", {}, EventSource.CDP, "s1", 1))
    before = datetime.now(UTC).date()
    files = one.flush()

    assert files is not None
    assert files[0].parent.name in {f"date={day.isoformat()}" for day in (before, datetime.now(UTC).date())}


# --- close


def test_close_flushes(paths: EventStorePaths) -> None:
    """What waits when the writer is closed is stored."""
    one = ParquetWriter(paths, flush_interval=LONG)
    write_all(one, ticks(3))
    one.close()

    assert one.buffer_count == 0
    assert stored(paths) == [0, 1, 2]


def test_leaving_the_context_closes(paths: EventStorePaths) -> None:
    """At the end of `with`, all is stored and the writer closed."""
    with ParquetWriter(paths, flush_interval=LONG) as one:
        write_all(one, ticks(3))

    assert stored(paths) == [0, 1, 2]
    with pytest.raises(WriterClosed):
        one.write(tick_event(9, 1.0))


def test_an_error_within_the_context_loses_nothing(paths: EventStorePaths) -> None:
    """Where the block fails, what was written before is stored and its own error comes through."""

    def fail_within() -> None:
        with ParquetWriter(paths, flush_interval=LONG) as one:
            write_all(one, ticks(3))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_within()
    assert stored(paths) == [0, 1, 2]


def test_after_close(paths: EventStorePaths) -> None:
    """After close a write is WriterClosed, which is a RuntimeError; flush gives None and close does nothing."""
    one = ParquetWriter(paths, flush_interval=LONG)
    one.write(tick_event(0, 1.0))
    one.flush()
    one.close()
    one.close()

    assert one.flush() is None
    with pytest.raises(WriterClosed) as refusal:
        one.write(tick_event(1, 1.0))
    assert isinstance(refusal.value, RuntimeError)
    assert isinstance(refusal.value, VectraError)
    assert one.buffer_count == 0
    assert stored(paths) == [0]


def test_flush_after_a_close_that_committed_is_none(paths: EventStorePaths) -> None:
    """Flush gives None after close, also where close itself made files."""
    one = ParquetWriter(paths, flush_interval=LONG)
    one.write(tick_event(0, 1.0))
    one.close()

    assert one.flush() is None


def test_close_from_many_threads(paths: EventStorePaths) -> None:
    """Closing at once from several threads closes once and harms none."""
    one = ParquetWriter(paths, flush_interval=LONG)
    write_all(one, ticks(50))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: one.close(), range(8)))

    assert stored(paths) == list(range(50))


def test_a_closed_writer_leaves_no_thread_behind(paths: EventStorePaths) -> None:
    """Opening and closing writers over and over leaves no thread and no open file."""
    before = threading.active_count()
    descriptors = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for seq in range(20):
        with ParquetWriter(paths, flush_interval=LONG) as one:
            one.write(tick_event(seq, 1.0))

    assert threading.active_count() == before
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 2


# --- many at once


def test_many_threads(open_writer: OpenWriter, paths: EventStorePaths) -> None:
    """Eight threads that write, and two that flush, lose and double nothing."""
    one = open_writer(buffer_size=37, flush_interval=0.05)
    files: list[Path] = []

    def work(number: int) -> None:
        for event in ticks(250, session_id=f"s{number}"):
            one.write(event)

    def flush(_: int) -> None:
        for _ in range(10):
            files.extend(one.flush() or [])

    with ThreadPoolExecutor(10) as pool:
        tasks = [*(pool.submit(work, number) for number in range(8)), *(pool.submit(flush, n) for n in range(2))]
        for task in tasks:
            task.result(PATIENCE)
    files.extend(one.flush() or [])

    counts = dict(rows(EventStoreQuery(paths), "SELECT session_id, count(*) FROM events GROUP BY ALL"))
    assert counts == {f"s{number}": 250 for number in range(8)}
    assert stored(paths, "s3") == list(range(250))
    assert len(files) == len(set(files))
    assert set(files) == set(paths.events_parquet_dir.rglob("*.parquet"))


def test_two_writers_in_one_process(open_writer: OpenWriter, paths: EventStorePaths) -> None:
    """Two writers on one store take turns; an event that both have is stored once."""
    first, second = open_writer(buffer_size=10), open_writer(buffer_size=10)
    for event in ticks(100):
        first.write(event)
        second.write(event)
    first.flush()
    second.flush()

    assert stored(paths) == list(range(100))
    assert first.n_rejected == second.n_rejected == 0


WRITE_ONE_SESSION = """
import sys, time
from tests.builders import tick_event
from vectra_analytics import EventStorePaths, ParquetWriter
data_dir, session_id, begin = sys.argv[1], sys.argv[2], float(sys.argv[3])
time.sleep(max(0.0, begin - time.time()))
with ParquetWriter(EventStorePaths(data_dir), buffer_size=20, flush_interval=3600) as one:
    for seq in range(300):
        one.write(tick_event(seq, 1.0, "g1", session_id))
        one.write(tick_event(seq, 1.0, "g1", "shared"))
"""


def test_two_processes_on_one_store(paths: EventStorePaths) -> None:
    """Three processes that make and fill one store at the same time lose and double nothing."""
    begin = time.time() + 2.0
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE_ONE_SESSION, str(paths.data_dir), name, str(begin)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b", "c")
    ]
    said = [process.communicate(timeout=60)[1] for process in running]

    assert [process.returncode for process in running] == [0, 0, 0], said
    for session_id in ("a", "b", "c", "shared"):
        assert stored(paths, session_id) == list(range(300))
    with Catalog(paths) as found:
        n_versions = found.version()
        live = found.live_files(n_versions)
    names = [dict(pq.read_metadata(file.path).metadata)[b"vectra.store_version"] for file in live]
    assert sorted(map(int, names)) == list(range(1, n_versions + 1))


@pytest.mark.parametrize("lock", ["SHARED", "RESERVED", "EXCLUSIVE"])
def test_a_store_in_the_making_is_waited_for(lock: str, paths: EventStorePaths) -> None:
    """While another process is making the catalog, a writer waits for it rather than give up."""
    paths.ensure_directories()
    other = sqlite3.connect(paths.catalog_file, isolation_level=None, check_same_thread=False)
    other.execute({"SHARED": "BEGIN", "RESERVED": "BEGIN IMMEDIATE", "EXCLUSIVE": "BEGIN EXCLUSIVE"}[lock])
    other.execute("SELECT count(*) FROM sqlite_master").fetchone()
    timer = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
    timer.start()
    try:
        with ParquetWriter(paths, flush_interval=LONG) as one:
            one.write(tick_event(0, 1.0))
    finally:
        timer.join()
        other.close()

    assert stored(paths) == [0]


# --- when a commit fails


def no_space(*_: Any, **__: Any) -> Any:
    """What the system says on a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


class Fault:
    """A way for commits to fail until it is mended."""

    def __init__(self, name: str, paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
        self._context = monkeypatch.context()
        patch = self._context.__enter__()
        self._obstacle: Path | None = None
        self._other: sqlite3.Connection | None = None
        if name == "fsync":
            patch.setattr(os, "fsync", no_space)
        elif name == "rename":
            patch.setattr(os, "rename", no_space)
            patch.setattr(os, "replace", no_space)
        elif name == "encode":
            patch.setattr(pq.ParquetWriter, "write_table", no_space)
        elif name == "folder sync":
            patch.setattr(commit, "sync_folder", no_space)
        elif name == "catalog row":
            patch.setattr(Catalog, "add_file", no_space)
        elif name == "catalog full":
            # After the event files are in place, as when the log has no room for the last page.
            def full(*_: Any) -> None:
                raise sqlite3.OperationalError("database or disk is full")

            patch.setattr(Catalog, "add_run", full)
        elif name == "catalog locked":
            patch.setattr(catalog_file, "_LOCK_SECONDS", 0.05)
            self._other = sqlite3.connect(paths.catalog_file, isolation_level=None)
            self._other.execute("BEGIN IMMEDIATE")
        elif name == "file in the way":
            self._obstacle = paths.events_parquet_dir / "doc_type=game_tick"
            self._obstacle.write_text("in the way")
        else:
            raise AssertionError(name)

    def mend(self) -> None:
        """Commits work again."""
        self._context.__exit__(None, None, None)
        if self._obstacle is not None:
            self._obstacle.unlink()
        if self._other is not None:
            self._other.close()


FAULTS = [
    "fsync",
    "rename",
    "encode",
    "folder sync",
    "catalog row",
    "catalog full",
    "catalog locked",
    "file in the way",
]


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest, paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> "BeginFault":
    """Each way of failing, in a store that exists and has no event yet."""
    monkeypatch.setattr(writer, "_RETRY_SECONDS", 0.05)
    if request.param == "catalog locked":
        monkeypatch.setattr(catalog_file, "_LOCK_SECONDS", 0.05)
    with ParquetWriter(paths):
        pass
    return lambda: Fault(request.param, paths, monkeypatch)


BeginFault = Callable[[], Fault]


def test_after_a_failed_commit_nothing_is_lost(
    fault: BeginFault, open_writer: OpenWriter, paths: EventStorePaths
) -> None:
    """While commits fail, flush, write and close say so and events are kept; mended, each is stored exactly once."""
    one = open_writer()
    write_all(one, ticks(3))
    broken = fault()
    try:
        for _ in range(3):
            with pytest.raises(CommitFailed) as failure:
                one.flush()
        with pytest.raises(CommitFailed):
            one.write(tick_event(99, 1.0))
        with pytest.raises(CommitFailed):
            one.close()
        assert one.buffer_count == 3
    finally:
        broken.mend()
    said = str(failure.value)
    assert isinstance(failure.value, VectraError)
    assert isinstance(failure.value, OSError)
    assert "\n" not in said
    assert str(paths.data_dir) in said
    assert "3 events" in said
    files = one.flush()
    write_all(one, ticks(2, first=3))
    files = [*(files or []), *(one.flush() or [])]

    assert one.buffer_count == 0
    assert stored(paths) == [0, 1, 2, 3, 4]
    with Catalog(paths) as found:
        assert {file.path for file in found.live_files(found.version())} == set(files)
        assert found.version() == 2
    assert not list(paths.events_parquet_dir.rglob("*.part"))


def test_a_failed_commit_is_tried_again_by_itself(
    fault: BeginFault, open_writer: OpenWriter, paths: EventStorePaths
) -> None:
    """Once the fault is mended the events become durable with no call at all, and writing goes on."""
    one = open_writer(buffer_size=2)
    broken = fault()
    try:
        write_all(one, ticks(2))
        with pytest.raises(CommitFailed):
            one.flush()
    finally:
        broken.mend()
    wait_until(lambda: one.buffer_count == 0)
    one.write(tick_event(2, 1.0))
    one.flush()

    assert stored(paths) == [0, 1, 2]


def test_a_close_that_failed_can_be_called_again(
    fault: BeginFault, paths: EventStorePaths, open_writer: OpenWriter
) -> None:
    """A close that fails leaves the writer open with its events; called again after mending, it stores them."""
    one = open_writer()
    write_all(one, ticks(3))
    broken = fault()
    try:
        with pytest.raises(CommitFailed):
            one.close()
    finally:
        broken.mend()
    one.close()

    assert stored(paths) == [0, 1, 2]
    with pytest.raises(WriterClosed):
        one.write(tick_event(9, 1.0))


def test_failed_attempts_do_not_fill_the_disk(
    fault: BeginFault, open_writer: OpenWriter, paths: EventStorePaths
) -> None:
    """However often a commit fails, its attempts leave no files behind: the disk may be full already."""
    one = open_writer()
    write_all(one, ticks(3))
    broken = fault()
    try:
        for _ in range(5):
            with pytest.raises(CommitFailed):
                one.flush()
        files = [path for path in paths.events_parquet_dir.rglob("*") if path.is_file()]
    finally:
        broken.mend()

    assert [path for path in files if path.suffix in {".parquet", ".part"}] == []


def test_events_written_before_a_failure_are_stored_after_those_that_wait(
    open_writer: OpenWriter, monkeypatch: pytest.MonkeyPatch, paths: EventStorePaths
) -> None:
    """Events that came while the failing commit was under way are kept with the others."""
    gate = Gate(monkeypatch)
    one = open_writer(buffer_size=2)
    write_all(one, ticks(2))
    assert gate.reached.wait(PATIENCE)
    write_all(one, ticks(3, first=2))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        gate.opened.set()
        with pytest.raises(CommitFailed):
            one.flush()
        assert one.buffer_count == 5
    one.flush()

    assert stored(paths) == [0, 1, 2, 3, 4]


def test_a_failure_after_the_commit_does_not_double(
    open_writer: OpenWriter, monkeypatch: pytest.MonkeyPatch, paths: EventStorePaths
) -> None:
    """Where the commit was durable and only its answer failed, the next attempt finds the events stored."""
    real = commit.commit

    def lose_the_answer(*arguments: Any, **named: Any) -> Any:
        real(*arguments, **named)
        raise sqlite3.OperationalError("disk I/O error")

    one = open_writer()
    write_all(one, ticks(3))
    with monkeypatch.context() as patch:
        patch.setattr("vectra_analytics.writer.commit", lose_the_answer)
        with pytest.raises(CommitFailed):
            one.flush()
    one.flush()

    assert stored(paths) == [0, 1, 2]
    assert one.n_rejected == 0
    assert one.buffer_count == 0


def test_a_full_disk(tmp_path: Path) -> None:
    """On a disk that is really full the events are kept, and stored once there is room."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs a small file system of its own, which only root may mount")
    try:
        paths = EventStorePaths(place / "store")
        with ParquetWriter(paths, flush_interval=LONG) as one:
            write_all(one, ticks(3))
            one.flush()
            ballast = place / "ballast"
            with ballast.open("wb", buffering=0) as sink, contextlib.suppress(OSError):
                while sink.write(b"\0" * 4096):
                    pass
            write_all(one, ticks(500, first=3))
            for _ in range(2):
                with pytest.raises(CommitFailed, match=r"No space left|full"):
                    one.flush()
            with pytest.raises(CommitFailed):
                one.write(tick_event(999, 1.0))
            ballast.unlink()
            one.flush()
        assert stored(paths) == list(range(503))
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)


# --- a process that ends

FORGET_TO_CLOSE = """
import sys
from tests.builders import START, tick_event
from vectra_analytics import EventEnvelope, EventSource, EventStorePaths, ParquetWriter
one = ParquetWriter(EventStorePaths(sys.argv[1]), buffer_size=1000, flush_interval=3600)
for seq in range(3):
    one.write(tick_event(seq, 1.0))
if sys.argv[3] == "kinds":
    one.write(EventEnvelope.from_system_event("end", {}, EventSource.CDP, "s1", 3, ts=START))
if sys.argv[2] == "exit":
    sys.exit(3)
if sys.argv[2] == "error":
    raise KeyError("a mistake")
if sys.argv[2] == "deleted":
    del one
if sys.argv[2] == "flushed":
    one.flush()
    one.write(tick_event(4, 1.0))
"""


@pytest.mark.parametrize("kinds", ["kind", "kinds"])
@pytest.mark.parametrize(("ending", "code"), [("end", 0), ("exit", 3), ("error", 1), ("deleted", 0), ("flushed", 0)])
def test_a_script_that_forgets_to_close_loses_nothing(
    ending: str, code: int, kinds: str, paths: EventStorePaths
) -> None:
    """However a script ends by itself, what it wrote is stored, silently, and its exit code stands."""
    done = run(FORGET_TO_CLOSE, paths.data_dir, ending, kinds)

    expected = [0, 1, 2, *([3] if kinds == "kinds" else []), *([4] if ending == "flushed" else [])]
    assert stored(paths) == expected, done.stderr
    assert done.returncode == code
    assert "atexit" not in done.stderr


FORK = """
import os, sys
from tests.builders import tick_event
from vectra_analytics import EventStorePaths, ParquetWriter
one = ParquetWriter(EventStorePaths(sys.argv[1]), buffer_size=1000, flush_interval=3600)
for seq in range(3):
    one.write(tick_event(seq, 1.0))
child = os.fork()
if child == 0:
    sys.exit(0)
os.waitpid(child, 0)
one.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_leaves_the_events_to_its_parent(paths: EventStorePaths) -> None:
    """A child made by fork ends without waiting, and the parent's events are stored once."""
    child = subprocess.Popen(
        [sys.executable, "-c", FORK, str(paths.data_dir)], cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL
    )
    try:
        assert child.wait(timeout=10) == 0
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 9)
        child.wait()
        pytest.fail("the child waits for a thread that only its parent has")

    assert stored(paths) == [0, 1, 2]


FORK_AND_USE = """
import os, sys
from tests.builders import tick_event
from vectra_analytics import EventStorePaths, ParquetWriter, WriterClosed
one = ParquetWriter(EventStorePaths(sys.argv[1]), buffer_size=1000, flush_interval=3600)
one.write(tick_event(0, 1.0))
one._lock.acquire()  # as it may be held by another thread at the moment of the fork
child = os.fork()
if child == 0:
    for use in (lambda: one.write(tick_event(1, 1.0)), one.flush):
        try:
            use()
        except WriterClosed as error:
            print(error, flush=True)
    one.close()
    sys.exit(0)
one._lock.release()
os.waitpid(child, 0)
one.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_is_told_that_the_writer_is_its_parents(paths: EventStorePaths) -> None:
    """In a child, write() and flush() are WriterClosed in one line at once; nothing is taken that nobody stores."""
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", FORK_AND_USE, str(paths.data_dir)],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        said, _ = child.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 9)
        child.communicate()
        pytest.fail("the child waits for a lock or a thread that only its parent has")

    assert child.returncode == 0
    assert len(said.splitlines()) == 2
    assert all("opened in another process" in line for line in said.splitlines())
    assert stored(paths) == [0]


WRITE_UNTIL_KILLED = """
import sys
from tests.builders import tick_event
from vectra_analytics import EventStorePaths, ParquetWriter
one = ParquetWriter(EventStorePaths(sys.argv[1]), buffer_size=7, flush_interval=3600)
seq = 0
while True:
    for _ in range(10):
        one.write(tick_event(seq, 1.0, "g1" if seq % 2 else "g2"))
        seq += 1
    one.flush()
    print(seq, flush=True)
"""


@pytest.mark.parametrize("n_flushes", [1, 4, 9])
def test_what_was_acknowledged_survives_a_kill(n_flushes: int, paths: EventStorePaths) -> None:
    """After kill -9 all that flush() acknowledged is there, nothing twice, and the store can be read and written."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_UNTIL_KILLED, str(paths.data_dir)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        for _ in range(n_flushes):
            acknowledged = int(process.stdout.readline())
    finally:
        process.kill()
        rest = process.stdout.read().split()
        process.stdout.close()
        process.wait()
    acknowledged = max([acknowledged, *map(int, rest[:-1])])
    found = stored(paths)

    assert found == list(range(len(found)))
    assert len(found) >= acknowledged
    with ParquetWriter(paths, flush_interval=LONG) as again:
        for seq in range(len(found) + 5):
            again.write(tick_event(seq, 1.0, "g1" if seq % 2 else "g2"))
    assert stored(paths) == list(range(len(found) + 5))
    assert again.n_rejected == 0


# --- other tools


def test_duckdb_reads_the_files(open_writer: OpenWriter, paths: EventStorePaths) -> None:
    """Before any compaction too, a plain read_parquet over the folder gives the rows and the partition columns."""
    one = open_writer(buffer_size=4)
    write_all(one, ticks(10))
    one.write(EventEnvelope.from_system_event("end", {}, EventSource.CDP, "s1", 10, ts=START))
    one.flush()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        plain = connection.execute(
            "SELECT doc_type, date::VARCHAR, session_id, seq, price FROM "
            "read_parquet($glob, hive_partitioning = true) ORDER BY seq",
            {"glob": f"{paths.events_parquet_dir}/**/*.parquet"},
        ).fetchall()

    assert plain == rows(
        EventStoreQuery(paths), "SELECT doc_type, date::VARCHAR, session_id, seq, price FROM events ORDER BY seq"
    )
    assert Counter(kind for kind, *_ in plain) == {"game_tick": 10, "system_event": 1}
