"""Compaction changes files, never rows; and it refuses unless it can show that."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from tests.builders import START, episode, rows, tick_event, write
from vectra_analytics import (
    AutoCompaction,
    CorruptStore,
    EventEnvelope,
    EventSource,
    EventStorePaths,
    EventStoreQuery,
    ParquetWriter,
    VectraError,
    VersionVacuumed,
    compact,
    import_recordings,
)
from vectra_analytics.catalog import Catalog
from vectra_analytics.features import catalogue
from vectra_analytics.live_files import LiveFile
from vectra_analytics.maintenance import compaction

DAY = timedelta(days=1)
LATER = START + 2 * DAY


def _events() -> list[list[EventEnvelope]]:
    """Commits: games of one day in several files, one over midnight, kinds of event, events without a game."""
    midnight = datetime(2025, 12, 18, tzinfo=UTC)
    crossing = [
        tick_event(tick, 1 + tick / 10, "g3", ts=midnight + timedelta(seconds=(tick - 5) / 4)) for tick in range(10)
    ]
    game = {"id": "g4", "prices": [1.0, 1.5, 0.01], "rugged": True}
    return [
        episode(1, 2, 3, 2, 0.01, game_id="g2", rug=True),
        episode(*range(1, 9), game_id="g1"),
        crossing,
        episode(*range(1, 12), game_id="g1", session_id="again"),
        [EventEnvelope.from_player_action("buy", {"amount": 1}, EventSource.UI, "ui", 1, "g1", "alice", ts=START)],
        [EventEnvelope.from_complete_game(game, EventSource.PUBLIC_WS, "ws", 1, ts=START + timedelta(seconds=9))],
        [EventEnvelope.from_system_event("end", {"why": "done"}, EventSource.CDP, "s9", 1, ts=START)],
        [EventEnvelope.from_ws_event("chat", {"text": "hi"}, EventSource.CDP, "s9", 2, ts=START - timedelta(hours=3))],
    ]


@pytest.fixture
def paths(tmp_path: Path) -> EventStorePaths:
    """A store of many small files on three days."""
    for events in _events():
        write(tmp_path / "store", events)
    return EventStorePaths(tmp_path / "store")


def _rows(query: EventStoreQuery) -> dict[str, pl.DataFrame]:
    """All events, at once and game by game."""
    found = {"events": query.query("SELECT * FROM events ORDER BY session_id, seq")}
    for game_id in query.list_games():
        found[f"episode of {game_id}"] = query.get_game_episode(game_id)
    return found


def _all(query: EventStoreQuery) -> dict[str, pl.DataFrame]:
    """Everything that a store can say."""
    found = _rows(query)
    for view in catalogue():
        found[view] = query.features(view).sort(catalogue()[view].grain, nulls_last=True)
    for name, options in {"in order": {}, "shuffled": {"shuffle": 7}, "ticks": {"view": "ticks"}}.items():
        for number, frame in enumerate(query.iter_episodes(**options)):  # type: ignore[arg-type]
            found[f"{name} {number}"] = frame
    return found


def _assert_same(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    assert found.keys() == expected.keys()
    for name, frame in expected.items():
        assert_frame_equal(found[name], frame, check_exact=True)


def _live(paths: EventStorePaths) -> list[Path]:
    with Catalog(paths) as catalog:
        return [file.path for file in catalog.live_files(catalog.version())]


def test_every_answer_is_the_same_after_a_compaction(paths: EventStorePaths) -> None:
    """Events, every view, episodes and their order are bit for bit what they were."""
    before = _all(EventStoreQuery(paths))

    report = compact(paths, now=LATER)

    _assert_same(_all(EventStoreQuery(paths)), before)
    assert report.n_partitions == report.files_after == 6
    assert report.files_before == 9
    assert report.n_rows == before["events"].height


def test_a_partition_becomes_one_sorted_file(paths: EventStorePaths) -> None:
    """Each partition has one live file, ordered by game, tick, time and seq, events without a game last."""
    compact(paths, now=LATER)

    with Catalog(paths) as catalog:
        files = catalog.live_files(catalog.version())
        assert max(Counter(file.partition for file in files).values()) == 1
        for file in files:
            stored = pq.ParquetFile(file.path)
            table = pl.DataFrame(stored.read())
            order = ["game_id", "tick", "ts", "seq"]
            assert_frame_equal(table, table.sort(order, nulls_last=True, maintain_order=True))
            footer = stored.metadata.metadata
            assert int(footer[b"vectra.store_version"]) <= catalog.version()
            replaced = json.loads(footer[b"vectra.replaces"])
            assert replaced
            assert all(file.path.with_name(name).exists() for name in replaced)
            assert file.is_compacted
        assert {rows.game_id for rows in catalog.game_rows(catalog.version())} == {"g1", "g2", "g3", "g4"}


def test_a_compaction_is_done_once(paths: EventStorePaths) -> None:
    """A second one finds nothing to do, and makes no version."""
    compact(paths, now=LATER)
    version = EventStoreQuery(paths).version

    assert compact(paths, now=LATER).to_dict() == compaction.CompactionReport().to_dict()
    assert EventStoreQuery(paths).version == version


@pytest.mark.parametrize(("hours", "is_closed"), [(0.99, False), (1.01, True)])
def test_a_day_is_closed_an_hour_after_its_end(tmp_path: Path, hours: float, is_closed: bool) -> None:
    """Events still come in around midnight: until one o'clock UTC the day is left alone."""
    paths = write(tmp_path, episode(1, 2, 3))
    end = datetime(2025, 12, 18, tzinfo=UTC)

    report = compact(paths, now=end + timedelta(hours=hours))

    assert report.n_partitions == int(is_closed)


def test_older_versions_still_read_the_older_files(paths: EventStorePaths) -> None:
    """A version pinned before a compaction gives the same rows after it, from the files that it had."""
    version = EventStoreQuery(paths).version
    pinned = EventStoreQuery(paths, version=version - 3)
    before = _all(pinned)
    old_files = _live(paths)

    compact(paths, now=LATER)

    _assert_same(_all(pinned), before)
    _assert_same(_all(EventStoreQuery(paths, version=version - 3)), before)
    assert all(file.exists() for file in old_files)


def test_superseded_files_go_when_the_grace_period_is_past(paths: EventStorePaths) -> None:
    """A day later they are deleted, their versions say so, and any other tool then reads the same rows."""
    old = EventStoreQuery(paths, version=3)
    rows_before = rows(EventStoreQuery(paths), "SELECT session_id, seq, raw_json FROM events ORDER BY ALL")
    old_files = _live(paths)
    compact(paths, now=LATER)
    assert compact(paths, now=datetime.now(UTC) + timedelta(hours=23.9)).files_deleted == 0

    assert compact(paths, now=datetime.now(UTC) + timedelta(hours=24.1)).files_deleted == len(old_files)

    assert not any(file.exists() for file in old_files)
    glob = str(paths.events_parquet_dir / "**/*.parquet").replace("'", "''")
    plain = duckdb.execute(
        f"SELECT session_id, seq, raw_json FROM read_parquet('{glob}', hive_partitioning = true) ORDER BY ALL"
    )
    assert (
        plain.fetchall()
        == rows_before
        == rows(EventStoreQuery(paths), "SELECT session_id, seq, raw_json FROM events ORDER BY ALL")
    )
    with pytest.raises(VersionVacuumed, match="version 3"):
        old.games()
    with pytest.raises(VersionVacuumed):
        EventStoreQuery(paths, version=3)


def test_deleting_goes_on_after_an_interruption(paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was retired but not deleted when the power went is deleted by the next call."""
    compact(paths, now=LATER)
    tomorrow = datetime.now(UTC) + timedelta(hours=25)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as fault:
        fault.setattr(Catalog, "forget", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compact(paths, now=tomorrow)

    assert compact(paths, now=tomorrow).files_deleted == 9
    assert sorted(paths.events_parquet_dir.rglob("*.parquet")) == sorted(_live(paths))


def test_late_events_of_a_closed_day_are_taken_in_by_the_next_one(paths: EventStorePaths) -> None:
    """A compacted partition that got new files is compacted again, with all its rows."""
    compact(paths, now=LATER)
    write(paths.data_dir, episode(5, 6, game_id="g9"))
    before = _rows(EventStoreQuery(paths))

    report = compact(paths, now=LATER)

    assert (report.n_partitions, report.files_before, report.files_after) == (1, 2, 1)
    _assert_same(_rows(EventStoreQuery(paths)), before)


def test_identities_are_known_after_a_compaction(paths: EventStorePaths) -> None:
    """Events that were stored before are no-ops, others with their identity are refused, as before."""
    compact(paths, now=LATER)
    before = _rows(EventStoreQuery(paths))

    with ParquetWriter(paths) as writer:
        for events in _events():
            for event in events:
                writer.write(event)
        assert writer.flush() is None
        writer.write(tick_event(3, 99.0, "g1", "session-g1"))
        writer.flush()
        assert writer.n_rejected == 1

    _assert_same(_rows(EventStoreQuery(paths)), before)


def test_recordings_imported_before_add_nothing_after_it(tmp_path: Path) -> None:
    """The second import of the sample recordings finds every line stored, in the sorted files."""
    samples = Path(__file__).resolve().parents[1] / "data_samples"
    first = import_recordings(samples, tmp_path, timezone="America/New_York")
    compact(tmp_path)

    again = import_recordings(samples, tmp_path, timezone="America/New_York")

    assert again.events_stored == again.lines_stored == 0
    assert again.lines_duplicate == first.lines_stored


@pytest.mark.parametrize("change", ["price + 1e-12 AS price", "seq + 1 AS seq", "'x' AS raw_json"])
def test_a_file_with_other_rows_is_refused(
    paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """If what was written is not what was read, nothing is exchanged, and the new file is gone."""
    before = _rows(EventStoreQuery(paths))
    name = change.rpartition(" ")[2]
    real = compaction._row_groups

    def spoiled(batches: Any, games: Any) -> Any:
        for table in real(batches, games):
            frame = pl.DataFrame(table)
            if frame["price"][0] is not None:
                spoilt = pl.sql(f"SELECT {change} FROM frame LIMIT 1", eager=True)[name].cast(frame.schema[name])
                frame = frame.with_columns(pl.concat([spoilt, frame[name][1:]]).alias(name))
            yield frame.to_arrow().cast(table.schema)

    with monkeypatch.context() as fault:
        fault.setattr(compaction, "_row_groups", spoiled)
        with pytest.raises(CorruptStore, match="does not hold the rows"):
            compact(paths, now=LATER)

    assert len([path for path in _live(paths) if "doc_type=game_tick" in str(path)]) > 2
    with Catalog(paths) as catalog:
        assert all(catalog.has_file(path) for path in paths.events_parquet_dir.rglob("*.parquet"))
    assert not list(paths.events_parquet_dir.rglob("*.part"))
    _assert_same(_rows(EventStoreQuery(paths)), before)


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_a_damaged_file_is_named_and_nothing_is_changed(paths: EventStorePaths, damage: str) -> None:
    """A day with a file that cannot be read stays as it is."""
    broken = next(path for path in _live(paths) if "game_tick" in str(path))
    content = broken.read_bytes()
    if damage == "missing":
        broken.unlink()
    else:
        broken.write_bytes(content[:-100])

    with pytest.raises(CorruptStore, match=broken.name):
        compact(paths, now=LATER)

    broken.write_bytes(content)
    assert broken in _live(paths)
    compact(paths, now=LATER)


def test_a_full_disk_changes_nothing(paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what could not be done in one line; the same call does it later."""
    before = _rows(EventStoreQuery(paths))

    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as fault:
        fault.setattr(compaction, "write_atomically", no_space)
        with pytest.raises(VectraError, match=r"cannot compact .*: No space left on device; its files stay") as error:
            compact(paths, now=LATER)
    assert "\n" not in str(error.value)

    _assert_same(_rows(EventStoreQuery(paths)), before)
    compact(paths, now=LATER)
    _assert_same(_rows(EventStoreQuery(paths)), before)


def test_two_compactions_at_once_keep_every_row_once(paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one sees that its files are gone, and leaves the faster one's work alone."""
    before = _rows(EventStoreQuery(paths))
    real = compaction._holds_the_same
    nested: list[bool] = []

    def overtaken(*arguments: Any) -> bool:
        if not nested:
            nested.append(True)
            compact(paths, now=LATER)
        return real(*arguments)

    monkeypatch.setattr(compaction, "_holds_the_same", overtaken)
    compact(paths, now=LATER)

    _assert_same(_rows(EventStoreQuery(paths)), before)
    assert Counter(path.parent for path in _live(paths)).most_common(1)[0][1] == 1
    with Catalog(paths) as catalog:
        superseded = {path for path in paths.events_parquet_dir.rglob("*.parquet") if catalog.has_file(path)}
    assert superseded == set(paths.events_parquet_dir.rglob("*.parquet"))


def test_a_new_file_that_is_gone_at_the_exchange_replaces_nothing(
    paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted by somebody after it was proven, it is refused in one line; the old files stay live."""
    before, live = _rows(EventStoreQuery(paths)), _live(paths)
    real = compaction._holds_the_same

    def proven_and_deleted(data_dir: Path, files: list[LiveFile], new: LiveFile) -> bool:
        holds = real(data_dir, files, new)
        new.path.unlink()
        return holds

    with monkeypatch.context() as fault:
        fault.setattr(compaction, "_holds_the_same", proven_and_deleted)
        with pytest.raises(CorruptStore, match="was deleted or changed while") as refusal:
            compact(paths, now=LATER)
    assert "\n" not in str(refusal.value)

    assert _live(paths) == live
    _assert_same(_rows(EventStoreQuery(paths)), before)
    assert compact(paths, now=LATER).n_partitions
    _assert_same(_rows(EventStoreQuery(paths)), before)


def test_writers_and_readers_go_on_meanwhile(tmp_path: Path) -> None:
    """With a writer, readers and compactions together, every read sees a whole prefix of what was written."""
    paths = EventStorePaths(tmp_path)
    n_events, stop = 600, threading.Event()
    wrong: list[object] = []

    def read() -> None:
        query = EventStoreQuery(paths)
        while not stop.is_set():
            seqs = query.query("SELECT seq FROM events WHERE session_id = 's' ORDER BY seq")["seq"].to_list()
            if seqs != list(range(len(seqs))):
                wrong.append(seqs)

    def compact_always() -> None:
        while not stop.is_set():
            try:
                compact(paths, now=LATER)
            except VectraError as error:
                if paths.catalog_file.exists():
                    wrong.append(error)
            time.sleep(0.01)

    others = [threading.Thread(target=read), threading.Thread(target=compact_always)]
    with ParquetWriter(paths, buffer_size=20) as writer:
        writer.write(tick_event(0, 1.0, "g0", "s"))
        writer.flush()
        for other in others:
            other.start()
        for seq in range(1, n_events):
            writer.write(tick_event(seq % 50, 1.0, f"g{seq // 50}", "s", seq=seq))
            time.sleep(0.002)
    stop.set()
    for other in others:
        other.join()

    assert wrong == []
    compact(paths, now=LATER)
    assert rows(EventStoreQuery(paths), "SELECT count(*), count(DISTINCT seq) FROM events") == [(n_events, n_events)]
    assert len(_live(paths)) == 1


_CHILD = """
import os, sys, signal
from datetime import datetime
from vectra_analytics import compact, parquet, whole_files
from vectra_analytics.maintenance import compaction
from vectra_analytics.catalog import Catalog

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def after(function):
    def done(*arguments):
        function(*arguments)
        die()
    return done

place = sys.argv[2]
if place == "before the rename":
    os.rename = die
elif place == "before the exchange":
    Catalog.supersede = die
elif place == "in the exchange":
    Catalog.add_file = after(Catalog.add_file)
elif place == "after the exchange":
    Catalog.back_up = die
elif place == "while deleting":
    Catalog.forget = die
compact(sys.argv[1], now=datetime.fromisoformat(sys.argv[3]))
"""


@pytest.mark.parametrize(
    "place",
    ["before the rename", "before the exchange", "in the exchange", "after the exchange", "while deleting"],
)
def test_a_kill_loses_nothing(paths: EventStorePaths, place: str) -> None:
    """Killed anywhere, the store answers as before, and the next compaction completes."""
    now = LATER
    before = _rows(EventStoreQuery(paths))
    if place == "while deleting":
        compact(paths, now=LATER)
        now = datetime.now(UTC) + timedelta(hours=25)
    command = [sys.executable, "-c", _CHILD, str(paths.data_dir), place, now.isoformat()]

    killed = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})

    assert killed.returncode == -signal.SIGKILL
    _assert_same(_rows(EventStoreQuery(paths)), before)
    compact(paths, now=now)
    _assert_same(_rows(EventStoreQuery(paths)), before)
    assert Counter(path.parent for path in _live(paths)).most_common(1)[0][1] == 1


def test_a_backup_of_the_catalog_is_kept(paths: EventStorePaths) -> None:
    """After a compaction a copy of the catalog lies beside it, with the same content."""
    compact(paths, now=LATER)

    copy = paths.manifests_dir / "catalog.backup.sqlite"

    def tables(file: Path) -> list[list[tuple[Any, ...]]]:
        with sqlite3.connect(file) as db:
            return [db.execute(f"SELECT * FROM {name}").fetchall() for name in ("versions", "files", "identities")]

    assert tables(copy) == tables(paths.catalog_file)


def test_large_rows_make_small_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row group never takes more than its share of memory, and all rows are in the file."""
    monkeypatch.setattr(compaction, "_GROUP_BYTES", 10_000)
    paths = write(
        tmp_path,
        [
            EventEnvelope.from_ws_event("state", {"gameId": "g", "pad": "x" * 1000}, EventSource.CDP, "s", n, ts=START)
            for n in range(50)
        ],
    )
    compact(paths, now=LATER)

    (file,) = _live(paths)
    metadata = pq.ParquetFile(file).metadata
    assert metadata.num_rows == 50
    assert metadata.num_row_groups > 5
    assert EventStoreQuery(paths).get_game_episode("g").height == 50


def test_what_killed_processes_left_is_swept_a_day_later(paths: EventStorePaths) -> None:
    """Unfinished files and files that were never exchanged go; another program's files, and those of others, stay."""
    compact(paths, now=LATER)
    (folder, *_) = {path.parent for path in _live(paths)}
    unfinished = folder / ".x.parquet.0123456789ab.part"
    foreign = folder / "000000_v00000099_foreign.parquet"
    unfinished.write_bytes(b"PAR1")
    foreign.write_bytes(b"PAR1")
    command = [sys.executable, "-c", _CHILD, str(paths.data_dir), "before the exchange", LATER.isoformat()]
    write(paths.data_dir, episode(7, 8, game_id="g8"))
    subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    with Catalog(paths) as catalog:
        (left,) = {path for path in folder.parents[1].rglob("0*.parquet") if not catalog.has_file(path)} - {foreign}
    before = _rows(EventStoreQuery(paths))

    compact(paths, now=LATER)
    assert left.exists()
    assert unfinished.exists()
    compact(paths, now=datetime.now(UTC) + timedelta(hours=25))

    assert not left.exists()
    assert not unfinished.exists()
    assert foreign.exists()
    _assert_same(_rows(EventStoreQuery(paths)), before)


def test_a_file_that_goes_while_folders_are_swept_disturbs_nothing(paths: EventStorePaths) -> None:
    """A writer gives its unfinished file the final name at any moment: what is listed may be gone when looked at."""
    (folder, *_) = {path.parent for path in _live(paths)}
    (folder / ".x.parquet.0123456789ab.part").symlink_to(folder / "gone")  # is listed, and is not there

    report = compact(paths, now=LATER)

    assert report.n_partitions


def test_a_store_that_cannot_be_written_is_told_in_one_line(
    paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of SQLite's, or of the backup's, is one of ours, and the events are as they were."""
    before = _rows(EventStoreQuery(paths))

    def fails(*_: Any) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    for place in ("add_version", "supersede", "back_up"):
        with monkeypatch.context() as fault:
            fault.setattr(Catalog, place, fails)
            with pytest.raises(VectraError, match=r"cannot compact .*: attempt to write a readonly database"):
                compact(paths, now=LATER)
        _assert_same(_rows(EventStoreQuery(paths)), before)
    with pytest.raises(VectraError, match="a time without a zone"):
        compact(paths, now=LATER.replace(tzinfo=None))


def test_only_days_with_many_new_files_are_compacted_if_so_asked(paths: EventStorePaths) -> None:
    """The files of a day are counted together, whatever their kind; those of compactions do not count."""
    per_day = Counter(path.parent.name for path in _live(paths))
    assert per_day == {"date=2025-12-17": 8, "date=2025-12-18": 1}

    assert compact(paths, now=LATER, more_than=8).n_partitions == 0
    assert compact(paths, now=LATER, more_than=7).n_partitions == 5
    assert compact(paths, now=LATER, more_than=1).n_partitions == 0
    assert compact(paths, now=LATER).n_partitions == 1


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_that_records_compacts_closed_days(paths: EventStorePaths) -> None:
    """On a thread of its own, while a writer goes on; a day with few files is left alone."""
    before = _rows(EventStoreQuery(paths))
    with AutoCompaction(paths, more_than=7, every=timedelta(milliseconds=20)):
        _until(lambda: len([path for path in _live(paths) if "date=2025-12-17" in str(path)]) == 5)
        _assert_same(_rows(EventStoreQuery(paths)), before)
        write(paths.data_dir, episode(5, 6, game_id="g9"))
    n_files = len(_live(paths))

    assert n_files == 5 + 1 + 1
    assert not any(thread.name == "vectra-compaction" for thread in threading.enumerate())
    assert EventStoreQuery(paths).get_game_episode("g9").height == 2


def test_an_error_of_a_background_compaction_is_reported_and_tried_again(
    paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends neither the thread nor the process, not even if telling of it fails; the next attempt does it."""
    told: list[Exception] = []

    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    def tell(error: Exception) -> None:
        told.append(error)
        if len(told) == 2:
            monkeypatch.undo()
        raise RuntimeError("the screen is gone")

    monkeypatch.setattr(compaction, "write_atomically", no_space)
    with AutoCompaction(paths, more_than=0, every=timedelta(milliseconds=20), on_error=tell):
        _until(lambda: len(_live(paths)) == 6)
    assert len(told) >= 2
    assert all("No space left on device" in str(error) for error in told)

    with AutoCompaction(paths.data_dir / "none", every=timedelta(hours=1)):
        _until(lambda: "there is no store" in caplog.text)


def test_nothing_is_written_where_there_is_nothing_to_compact(paths: EventStorePaths) -> None:
    """Looking costs a query of the catalog, and no copy of it."""
    with AutoCompaction(paths, every=timedelta(milliseconds=5)):
        time.sleep(0.1)

    assert not (paths.manifests_dir / "catalog.backup.sqlite").exists()
