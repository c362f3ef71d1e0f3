"""commit: whole or not at all, in the order that a power cut needs, and every identity once."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import START, episode, rows, tick_event, write
from vectra_analytics import (
    CommitFailed,
    DocType,
    EventEnvelope,
    EventSource,
    EventStorePaths,
    EventStoreQuery,
    ParquetWriter,
    parquet,
)
from vectra_analytics.catalog import Catalog
from vectra_analytics.schema import EVENT_SCHEMA, SCHEMA_VERSION

ROOT = Path(__file__).resolve().parents[1]
LONG = 3_600.0  # seconds: no flush by time


def put(paths: EventStorePaths, *batches: Iterable[EventEnvelope]) -> int:
    """Write each batch in a commit of its own; how many events were refused."""
    with ParquetWriter(paths, buffer_size=1_000_000, flush_interval=LONG) as one:
        for batch in batches:
            for event in batch:
                one.write(event)
            one.flush()
        return one.n_rejected


def system(seq: int, session_id: str = "s1", days: int = 0) -> EventEnvelope:
    """A system_event so many days later."""
    return EventEnvelope.from_system_event(
        "note", {"seq": seq}, EventSource.CDP, session_id, seq, ts=START + timedelta(days=days)
    )


def three_partitions(first: int = 0) -> list[EventEnvelope]:
    """Four events of two kinds on two days: three partitions."""
    return [
        tick_event(0, 1.0, seq=first),
        tick_event(1, 1.5, seq=first + 1),
        system(first + 2),
        system(first + 3, days=1),
    ]


def complete_game(
    prices: list[float], game_id: str = "g1", session_id: str = "s1", seq: int = 1, **more: Any
) -> EventEnvelope:
    """A complete game, its keys in the order given."""
    return EventEnvelope.from_complete_game(
        {"id": game_id, "prices": prices, **more}, EventSource.CDP, session_id, seq, ts=START
    )


def identities(paths: EventStorePaths) -> list[tuple[str, int]]:
    """Every stored (session_id, seq), each as often as it is stored."""
    return rows(EventStoreQuery(paths), "SELECT session_id, seq FROM events ORDER BY ALL")


def live_seqs(paths: EventStorePaths) -> list[int]:
    """The seqs in the live files, each as often as it is there."""
    with Catalog(paths) as catalog:
        files = catalog.live_files(catalog.version())
    return sorted(seq for file in files for seq in pq.ParquetFile(file.path).read(["seq"])["seq"].to_pylist())


def rejects(paths: EventStorePaths) -> list[dict[str, Any]]:
    """What stands in manifests/rejects, line by line."""
    files = sorted(paths.rejects_dir.glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


# --- the same identity


def test_the_same_event_again_is_nothing(paths: EventStorePaths) -> None:
    """An event that is stored already, with the same content, changes nothing: no row, no version, no reject."""
    put(paths, three_partitions())
    before = identities(paths), EventStoreQuery(paths).version
    refused = put(paths, three_partitions(), three_partitions())

    assert (identities(paths), EventStoreQuery(paths).version) == before
    assert refused == 0
    assert rejects(paths) == []
    assert len(list(paths.events_parquet_dir.rglob("*.parquet"))) == 3


def test_the_same_event_twice_in_a_batch_is_stored_once(paths: EventStorePaths) -> None:
    """Within one batch as well a repeated event is one row."""
    refused = put(paths, [*three_partitions(), *three_partitions(), *three_partitions()])

    assert identities(paths) == [("s1", seq) for seq in range(4)]
    assert refused == 0
    assert rejects(paths) == []


def test_a_batch_of_old_and_new_stores_the_new(paths: EventStorePaths) -> None:
    """Of a batch that overlaps with the store, the new events alone are stored, in one version."""
    put(paths, three_partitions())
    put(paths, [*three_partitions(), *three_partitions(4)])

    assert identities(paths) == [("s1", seq) for seq in range(8)]
    assert EventStoreQuery(paths).version == 2
    with Catalog(paths) as catalog:
        assert sum(file.n_rows for file in catalog.live_files(2)) == 8


@pytest.mark.parametrize("across", ["a batch", "commits", "writers"])
def test_another_event_of_the_same_identity_is_refused(across: str, paths: EventStorePaths) -> None:
    """The stored row stays; the other goes to a reject file with its raw text and the reason, and is counted."""
    kept, other = tick_event(0, 1.0), tick_event(0, 2.0, data={"said": "ünï\n"})
    if across == "a batch":
        refused = put(paths, [kept, other])
    elif across == "commits":
        refused = put(paths, [kept], [other])
    else:
        put(paths, [kept])
        refused = put(paths, [other])

    assert refused == 1
    assert EventStoreQuery(paths).info().n_rejected == 1
    assert rows(EventStoreQuery(paths), "SELECT price FROM events") == [(1.0,)]
    (reject,) = rejects(paths)
    assert reject["raw"] == other.raw_json
    assert "s1/0" in reject["reason"]
    assert (reject["origin"], reject["position"]) == ("s1", 0)


@pytest.mark.parametrize(
    "change",
    [
        {"game_id": "g2"},
        {"price": 1.5},
        {"tick": 1},
        {"ts": START + timedelta(microseconds=1)},
        {"data": {"more": None}},
        {"data": {"active": False}},
        {"source": EventSource.UI},
    ],
    ids=str,
)
def test_any_column_makes_another_content(change: dict[str, Any], paths: EventStorePaths) -> None:
    """A difference in one column is enough to be another event, down to the microsecond."""
    usual: dict[str, Any] = {
        "tick": 0,
        "price": 1.0,
        "data": {},
        "source": EventSource.CDP,
        "session_id": "s1",
        "seq": 1,
        "game_id": "g1",
        "ts": START,
    }
    first = EventEnvelope.from_game_tick(**usual)

    assert put(paths, [first], [EventEnvelope.from_game_tick(**usual | change)]) == 1
    assert len(identities(paths)) == 1


def test_another_kind_or_day_is_the_same_identity(paths: EventStorePaths) -> None:
    """(session_id, seq) is unique over all partitions."""
    refused = put(paths, [tick_event(0, 1.0)], [system(0)], [tick_event(0, 1.0, ts=START + timedelta(days=9))])

    assert refused == 2
    assert identities(paths) == [("s1", 0)]
    assert Counter(reject["position"] for reject in rejects(paths)) == {0: 2}


def test_another_session_is_another_identity(paths: EventStorePaths) -> None:
    """The same seq in another session is another event."""
    assert put(paths, [tick_event(0, 1.0)], [tick_event(0, 1.0, session_id="s2")]) == 0
    assert identities(paths) == [("s1", 0), ("s2", 0)]


def test_a_refused_event_sent_again_is_refused_again(paths: EventStorePaths) -> None:
    """Conflicts add up over commits and writers; each writer counts its own."""
    put(paths, [tick_event(0, 1.0)])

    assert put(paths, [tick_event(0, 2.0)], [tick_event(0, 3.0)]) == 2
    assert put(paths, [tick_event(0, 4.0), tick_event(1, 1.0)]) == 1
    assert EventStoreQuery(paths).info().n_rejected == 3
    assert len(rejects(paths)) == 3
    assert identities(paths) == [("s1", 0), ("s1", 1)]


def test_a_batch_of_conflicts_alone_adds_no_version(paths: EventStorePaths) -> None:
    """Where nothing is stored the store version stays, and the refused event is counted all the same."""
    put(paths, [tick_event(0, 1.0)], [tick_event(0, 2.0)])

    assert EventStoreQuery(paths).version == 1
    assert EventStoreQuery(paths).info().n_rejected == 1


def test_the_same_content_in_another_order_of_keys_is_the_same(paths: EventStorePaths) -> None:
    """Data that are equal as JSON are equal, whatever the order of their keys."""
    refused = put(paths, [tick_event(0, 1.0, data={"a": 1, "b": {"c": 2, "d": 3}})])
    refused += put(paths, [tick_event(0, 1.0, data={"b": {"d": 3, "c": 2}, "a": 1})])

    assert refused == 0
    assert identities(paths) == [("s1", 0)]


def test_a_conflict_is_kept_once_although_its_commit_failed_before(
    paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused event stands in the reject files once and is counted once, however many attempts were needed."""

    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    put(paths, [tick_event(0, 1.0)])
    with ParquetWriter(paths, flush_interval=LONG) as one:
        one.write(tick_event(0, 2.0))
        one.write(tick_event(1, 1.0))
        with monkeypatch.context() as fault:
            fault.setattr("vectra_analytics.commit.write_atomically", no_space)
            for _ in range(3):
                with pytest.raises(CommitFailed):
                    one.flush()
        one.flush()

        assert one.n_rejected == 1
    assert EventStoreQuery(paths).info().n_rejected == 1
    assert [reject["position"] for reject in rejects(paths)] == [0]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40)), max_size=12), max_size=6))
def test_any_order_of_seqs_is_remembered(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[str, int]]]
) -> None:
    """Whatever seqs come in whatever order and batches, each identity is stored exactly once and none is mistaken."""
    paths = EventStorePaths(tmp_path_factory.mktemp("store"))
    refused = put(paths, *([tick_event(seq, 1.0, session_id=name) for name, seq in batch] for batch in batches))

    files = paths.events_parquet_dir.rglob("*.parquet")
    found = Counter(
        pair
        for file in files
        for table in [pq.ParquetFile(file).read(["session_id", "seq"])]
        for pair in zip(table["session_id"].to_pylist(), table["seq"].to_pylist(), strict=True)
    )
    assert found == Counter({pair for batch in batches for pair in batch})
    assert refused == 0


def test_the_edges_of_the_numbers_are_identities(paths: EventStorePaths) -> None:
    """Seqs 0 and the largest 64-bit number are remembered like any other."""
    events = [tick_event(0, 1.0, seq=seq) for seq in (0, 2**63 - 1, 2**62, 5)]

    assert put(paths, events, events, list(reversed(events))) == 0
    assert [seq for _, seq in identities(paths)] == [0, 5, 2**62, 2**63 - 1]


def test_seqs_in_random_order_stay_fast(paths: EventStorePaths) -> None:
    """A session whose seqs come in any order commits its last thousand about as fast as its first."""
    step, n_batches, n = 7_919, 24, 1_000
    total = n_batches * n
    seconds = []
    with ParquetWriter(paths, buffer_size=1_000_000, flush_interval=LONG) as one:
        for start in range(0, total, n):
            for index in range(start, start + n):
                one.write(tick_event(0, 1.0, seq=index * index * step % 1_000_003))  # squares modulo a prime: no order
            began = time.process_time()  # of all threads, whatever else the machine is doing
            one.flush()
            seconds.append(time.process_time() - began)

    assert min(seconds[-3:]) < 6 * min(seconds[1:4])


# --- a complete game


def test_a_complete_game_is_stored_once(paths: EventStorePaths) -> None:
    """The same game under other identities, in one batch, later, or by another writer, is one row."""
    games = [complete_game([1.0, 0.02], session_id=name, seq=seq) for name in ("s1", "s2") for seq in (1, 2)]
    refused = put(paths, games[:2], games[2:]) + put(paths, games)

    assert refused == 0
    assert rejects(paths) == []
    assert rows(EventStoreQuery(paths), "SELECT session_id, seq, game_id FROM complete_game") == [("s1", 1, "g1")]


def test_a_complete_game_in_another_order_of_keys_is_the_same(paths: EventStorePaths) -> None:
    """Equal JSON is one game, whatever the order of its keys and whenever it came, under this identity or another."""
    first = EventEnvelope.from_complete_game({"id": "g1", "a": {"b": 1, "c": 2}}, EventSource.CDP, "s1", 1, ts=START)
    again = EventEnvelope.from_complete_game({"a": {"c": 2, "b": 1}, "id": "g1"}, EventSource.CDP, "s2", 7)
    same_identity = EventEnvelope.from_complete_game({"a": {"c": 2, "b": 1}, "id": "g1"}, EventSource.CDP, "s1", 1)

    assert put(paths, [first], [again], [same_identity]) == 0
    assert identities(paths) == [("s1", 1)]


@pytest.mark.parametrize("across", ["a batch", "commits", "writers"])
def test_another_story_of_a_complete_game_is_refused(across: str, paths: EventStorePaths) -> None:
    """A game that is told differently the second time keeps its first row; the other is a reject."""
    kept, other = complete_game([1.0, 0.02]), complete_game([1.0, 0.01], session_id="s2", seq=9)
    if across == "a batch":
        refused = put(paths, [kept, other])
    elif across == "commits":
        refused = put(paths, [kept], [other])
    else:
        refused = put(paths, [kept]) + put(paths, [other])

    assert refused == 1
    assert identities(paths) == [("s1", 1)]
    (reject,) = rejects(paths)
    assert (reject["origin"], reject["position"], reject["raw"]) == ("s2", 9, other.raw_json)
    assert "g1" in reject["reason"]


def test_a_refused_complete_game_leaves_its_identity_free(paths: EventStorePaths) -> None:
    """An identity whose event was not stored, since the game was, may be used by another event."""
    put(paths, [complete_game([1.0, 0.02])], [complete_game([1.0, 0.02], seq=2)])

    assert put(paths, [tick_event(0, 1.0, seq=2)]) == 0
    assert identities(paths) == [("s1", 1), ("s1", 2)]


@pytest.mark.parametrize("again", [complete_game([1.0, 0.02], seq=2), complete_game([1.0, 0.01], seq=2)])
def test_it_leaves_it_free_in_the_same_batch_too(again: EventEnvelope, paths: EventStorePaths) -> None:
    """What comes behind a complete game that is not stored is judged as if that had not come."""
    put(paths, [complete_game([1.0, 0.02])])
    is_other = int(again.raw_json != complete_game([1.0, 0.02]).raw_json)

    assert put(paths, [again, tick_event(0, 1.0, seq=2), again]) == is_other + 1
    assert rows(EventStoreQuery(paths), "SELECT seq, doc_type FROM events ORDER BY seq") == [
        (1, "complete_game"),
        (2, "game_tick"),
    ]


def test_complete_games_without_a_name_are_not_taken_for_one(paths: EventStorePaths) -> None:
    """Where game_id is NULL, the identity alone decides."""
    games = [EventEnvelope.from_complete_game({"prices": [1]}, EventSource.CDP, "s1", seq, ts=START) for seq in (1, 2)]

    assert put(paths, games) == 0
    assert identities(paths) == [("s1", 1), ("s1", 2)]


def test_other_events_of_a_complete_game_are_stored(paths: EventStorePaths) -> None:
    """Only complete_game events are unique by game."""
    assert put(paths, [complete_game([1.0], seq=9)], episode(1, 2, 3, session_id="s1")) == 0
    assert len(identities(paths)) == 4


# --- what is in a file


def test_a_footer_tells_the_commit(paths: EventStorePaths) -> None:
    """Each file names its commit, the store version, the number of files in it, what it replaces, and its content."""
    put(paths, [tick_event(5, 1.0)], three_partitions())
    files = [path for path in paths.events_parquet_dir.rglob("*.parquet") if "v00000002" in path.name]
    footers = [{key.decode(): text.decode() for key, text in pq.read_metadata(f).metadata.items()} for f in files]

    assert len(files) == 3
    assert len({footer["vectra.commit_id"] for footer in footers}) == 1
    for file, footer in zip(files, footers, strict=True):
        content = file.read_bytes()
        n_bytes = int(footer["vectra.body_bytes"])
        # A Parquet file ends with its footer, the length of that in four bytes, and PAR1.
        assert n_bytes == len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        assert footer["vectra.body_sha256"] == hashlib.sha256(content[:n_bytes]).hexdigest()
        assert footer["vectra.store_version"] == "2"
        assert footer["vectra.commit_files"] == "3"
        assert json.loads(footer["vectra.replaces"]) == []
        assert footer["vectra.schema_version"] == SCHEMA_VERSION


def test_a_file_has_the_one_schema(paths: EventStorePaths) -> None:
    """Every kind of event lies in a file of exactly EVENT_SCHEMA, without the partition keys; zstd throughout."""
    put(paths, [*three_partitions(), complete_game([1.0], seq=99)])
    files = list(paths.events_parquet_dir.rglob("*.parquet"))

    assert len(files) == 4
    for file in files:
        schema = pq.read_schema(file)
        assert schema.remove_metadata().equals(EVENT_SCHEMA, check_metadata=True)
        group = pq.read_metadata(file).row_group(0)
        assert {group.column(index).compression for index in range(group.num_columns)} == {"ZSTD"}


def test_the_schema_is_the_documented_one() -> None:
    """Columns, order and types are those of the contract."""
    label = pa.dictionary(pa.int32(), pa.string())
    assert {field.name: field.type for field in EVENT_SCHEMA} == {
        "ts": pa.timestamp("us", tz="UTC"),
        "source": label,
        "session_id": pa.string(),
        "seq": pa.int64(),
        "direction": label,
        "game_id": pa.string(),
        "player_id": pa.string(),
        "username": pa.string(),
        "event_name": label,
        "tick": pa.int64(),
        "price": pa.float64(),
        "active": pa.bool_(),
        "rugged": pa.bool_(),
        "phase": label,
        "cooldown_timer": pa.int64(),
        "trade_count": pa.int64(),
        "action_type": label,
        "cash": pa.decimal128(38, 18),
        "position_qty": pa.decimal128(38, 18),
        "button_id": label,
        "button_category": label,
        "sequence_id": pa.string(),
        "sequence_position": pa.int64(),
        "raw_json": pa.string(),
    }
    assert EVENT_SCHEMA.names[:6] == ["ts", "source", "session_id", "seq", "direction", "game_id"]
    assert EVENT_SCHEMA.names[-1] == "raw_json"


def test_page_checksums_are_on(paths: EventStorePaths) -> None:
    """One flipped bit in a data page is found by a reader that verifies checksums."""
    put(paths, episode(*range(1, 200)))
    (file,) = paths.events_parquet_dir.rglob("*.parquet")
    group = pq.read_metadata(file).row_group(0)
    index = EVENT_SCHEMA.names.index("price")
    assert pq.read_table(file, page_checksum_verification=True, partitioning=None).num_rows == 199
    content = bytearray(file.read_bytes())
    end = group.column(index).data_page_offset + group.column(index).total_compressed_size
    content[end - 1] ^= 1
    file.write_bytes(content)

    with pytest.raises(OSError, match=r"(?i)checksum|crc"):
        pq.read_table(file, columns=["price"], page_checksum_verification=True, partitioning=None)


def test_row_groups_are_small(paths: EventStorePaths) -> None:
    """A large commit lies in row groups of about 16 thousand rows, so that a reader can skip."""
    put(paths, [tick_event(0, 1.0, seq=seq) for seq in range(40_000)])
    (file,) = paths.events_parquet_dir.rglob("*.parquet")
    metadata = pq.read_metadata(file)
    sizes = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]

    assert sum(sizes) == 40_000
    assert all(12_000 <= size <= 20_000 for size in sizes[:-1])


def test_files_honour_the_umask(paths: EventStorePaths) -> None:
    """A file may be read by whom the umask lets read."""
    before = os.umask(0o027)
    try:
        put(paths, [tick_event(0, 1.0)])
    finally:
        os.umask(before)
    (file,) = paths.events_parquet_dir.rglob("*.parquet")

    assert file.stat().st_mode & 0o777 == 0o640


# --- whole or not at all


class Journal:
    """What the committing process asks of the disk, in order, and the store version seen at each step."""

    def __init__(self, paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[tuple[str, str]] = []
        self.versions: list[int] = []
        fsync, rename = os.fsync, os.rename

        def look() -> None:
            self.versions.append(EventStoreQuery(paths).version)

        def logged_fsync(descriptor: int) -> None:
            fsync(descriptor)
            self.steps.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}")))
            look()

        def logged_rename(source: Any, target: Any) -> None:
            self.steps.append(("rename", f"{source} > {target}"))
            rename(source, target)

        monkeypatch.setattr(os, "fsync", logged_fsync)
        monkeypatch.setattr(os, "rename", logged_rename)

    def fsyncs(self) -> list[str]:
        """The files and folders made durable, in order."""
        return [what for kind, what in self.steps if kind == "fsync"]


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see which file is synced")


@needs_proc
def test_a_commit_is_durable_before_it_is_acknowledged(paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is synced under a name that no pattern matches, renamed, its folder synced; only then it is seen."""
    with ParquetWriter(paths, flush_interval=LONG) as one:
        journal = Journal(paths, monkeypatch)
        for event in three_partitions():
            one.write(event)
        files = one.flush()

    assert files is not None
    for file in files:
        (renamed,) = [step for step in journal.steps if step[0] == "rename" and step[1].endswith(f" > {file}")]
        unfinished = renamed[1].split(" > ")[0]
        assert not unfinished.endswith(".parquet")
        written = journal.steps.index(("fsync", unfinished))
        assert written < journal.steps.index(renamed)
        assert ("fsync", str(file.parent)) in journal.steps[journal.steps.index(renamed) :]
    assert set(journal.versions) == {0}
    assert EventStoreQuery(paths).version == 1


@needs_proc
@pytest.mark.parametrize("fails_first", [False, True], ids=["at once", "after a failed attempt"])
def test_new_folders_are_durable_too(
    fails_first: bool, paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder above each new folder is synced before the commit is acknowledged: else a power cut takes the file."""

    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    journal = Journal(paths, monkeypatch)
    with ParquetWriter(paths, flush_interval=LONG) as one:
        one.write(tick_event(0, 1.0))
        if fails_first:
            with monkeypatch.context() as fault:
                fault.setattr("vectra_analytics.commit.write_atomically", no_space)
                with pytest.raises(CommitFailed):
                    one.flush()
        files = one.flush()

    assert files is not None
    folder = files[0].parent
    above = [
        str(parent) for parent in (folder, *folder.parents) if paths.events_parquet_dir in (parent, *parent.parents)
    ]
    assert set(above) <= set(journal.fsyncs())


@needs_proc
def test_a_new_store_is_durable_too(paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders of a new store itself are synced in the folder that holds them."""
    journal = Journal(paths, monkeypatch)
    put(paths, [tick_event(0, 1.0)])

    assert {str(paths.data_dir), str(paths.data_dir.parent)} <= set(journal.fsyncs())


DIE_AT_EACH_STEP = """
import os, signal, sys
from pathlib import Path
from tests.test_commit import three_partitions
from vectra_analytics import EventStorePaths, ParquetWriter
from vectra_analytics.catalog import Catalog

def dying(real, calls=[0]):
    def call(*arguments, **named):
        calls[0] += 1
        if calls[0] == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)
    return call

def child():
    with ParquetWriter(EventStorePaths(Path(sys.argv[1], str(step))), buffer_size=1000, flush_interval=3600) as one:
        for event in three_partitions():
            one.write(event)
        one.flush()
        calls = [0]
        for owner, name in ((os, "fsync"), (os, "rename"), (os, "mkdir"), (Catalog, "add_version"),
                            (Catalog, "add_file"), (Catalog, "add_run")):
            setattr(owner, name, dying(getattr(owner, name), calls))
        for event in three_partitions(4):
            one.write(event)
        one.flush()
        print("acknowledged", step, flush=True)

status = -1
step = 0
while status:
    step += 1
    child_id = os.fork()
    if child_id == 0:
        child()
        os._exit(0)
    status = os.waitpid(child_id, 0)[1]
    assert step < 60
"""


def test_a_process_killed_at_any_step_leaves_all_or_nothing(tmp_path: Path) -> None:
    """Killed at any step of a commit over three partitions, a store has all its events or none, and can be written."""
    done = subprocess.run(
        [sys.executable, "-c", DIE_AT_EACH_STEP, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    (last,) = (int(line.split()[1]) for line in done.stdout.splitlines())
    for step in range(1, last + 1):
        paths = EventStorePaths(tmp_path / str(step))
        found = live_seqs(paths)
        # Nothing was counted that comes after the transaction, so no killed commit may be there.
        assert found == list(range(8 if step == last else 4)), f"step {step}"
        assert put(paths, three_partitions(), three_partitions(4)) == 0
        assert live_seqs(paths) == list(range(8)), f"step {step}"
    assert last > 10, "three files synced and renamed, their folders, and the catalog's rows are steps"


def test_a_failing_partition_fails_the_whole_commit(paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one of three files cannot be written, none of the three is seen, and no trace of them is left."""
    real = parquet.write_atomically

    def fail_for_system_events(table: Any, path: Path, footer: Any) -> Any:
        if "system_event" in str(path):
            raise OSError(5, "Input/output error")
        return real(table, path, footer)

    with ParquetWriter(paths, flush_interval=LONG) as one:
        for event in three_partitions():
            one.write(event)
        with monkeypatch.context() as fault:
            fault.setattr("vectra_analytics.commit.write_atomically", fail_for_system_events)
            with pytest.raises(CommitFailed, match="Input/output error"):
                one.flush()
            assert identities(paths) == []
            assert [path for path in paths.events_parquet_dir.rglob("*") if path.is_file()] == []
        one.flush()

    assert identities(paths) == [("s1", seq) for seq in range(4)]


def test_readers_see_whole_commits_only(paths: EventStorePaths) -> None:
    """A reader that asks while commits of three partitions go on sees a multiple of four events each time."""
    write(paths.data_dir, three_partitions())
    query = EventStoreQuery(paths)
    seen = []
    with ParquetWriter(paths, buffer_size=1_000, flush_interval=LONG) as one:
        for first in range(4, 104, 4):
            for event in three_partitions(first):
                one.write(event)
            one.flush()
            seen.append(query.query("SELECT count(*) AS n FROM events")["n"].item())

    assert seen == list(range(8, 108, 4))
    assert query.count_events(DocType.GAME_TICK) == 52
