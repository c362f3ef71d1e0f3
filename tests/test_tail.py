"""A tail gives each new event once, in the order of commits, whatever maintenance does meanwhile."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.builders import START, episode, tick_event, write
from vectra_analytics import EventStoreQuery, ParquetWriter, VectraError, VersionVacuumed, compact, vacuum


def seen(frames: list[pl.DataFrame]) -> list[tuple[str, int]]:
    """The identities in these frames."""
    return [row for frame in frames for row in frame.select("session_id", "seq").rows()]


def test_it_gives_what_comes_and_nothing_twice(tmp_path: Path) -> None:
    """From the present on, or from a version; frames have the columns of events; the cursor leads on."""
    write(tmp_path, episode(1, 2, game_id="g1"))
    query = EventStoreQuery(tmp_path)
    new, every = query.tail(timeout=0), query.tail(since=0, timeout=0)
    assert list(new) == []
    (first,) = list(every)
    assert_frame_equal(first, query.query("SELECT * FROM events ORDER BY ts, session_id, seq"))

    write(tmp_path, episode(3, 4, game_id="g2"))
    write(tmp_path, [*episode(5, game_id="g3"), tick_event(9, 1.0, "g1", "other")])
    wanted = [("session-g2", 0), ("session-g2", 1), ("session-g3", 0), ("other", 9)]
    assert seen(list(new)) == seen(list(every)) == wanted
    assert new.cursor == every.cursor == query.version
    assert seen(list(query.tail(since=2, timeout=0))) == wanted[2:]
    assert list(new) == []


def test_a_store_may_come_later(tmp_path: Path) -> None:
    """A tail of a folder without a store waits for its first event."""
    tail = EventStoreQuery(tmp_path / "none").tail(poll=0.01, timeout=30)
    writing = threading.Timer(0.2, lambda: write(tmp_path / "none", episode(1, game_id="g1")))
    writing.start()
    assert seen([next(tail)]) == [("session-g1", 0)]
    writing.join()


def test_compaction_is_nothing_new(tmp_path: Path) -> None:
    """Rows that were rewritten do not come again, and those of files it replaced do come, as long as they are there."""
    write(tmp_path, episode(1, 2, game_id="g1"))
    query = EventStoreQuery(tmp_path)
    behind, level = query.tail(since=0, timeout=0), query.tail(timeout=0)
    write(tmp_path, episode(3, 4, game_id="g2"))
    assert compact(tmp_path).n_partitions == 1
    write(tmp_path, episode(5, game_id="g3"))
    wanted = [("session-g2", 0), ("session-g2", 1), ("session-g3", 0)]
    assert seen(list(level)) == wanted
    assert seen(list(behind)) == [("session-g1", 0), ("session-g1", 1), *wanted]


def test_what_may_be_lost_is_an_error(tmp_path: Path) -> None:
    """Where superseded files are deleted a late tail cannot be whole, and says so; one that is level goes on."""
    write(tmp_path, episode(1, 2, game_id="g1"))
    write(tmp_path, episode(3, 4, game_id="g2"))
    query = EventStoreQuery(tmp_path)
    late = query.tail(since=1, timeout=0)
    compact(tmp_path)
    assert vacuum(tmp_path, now=datetime.now(UTC) + timedelta(days=2)).files_deleted == 2
    level = query.tail(timeout=0)
    write(tmp_path, episode(5, game_id="g3"))
    with pytest.raises(VersionVacuumed, match="begin anew"):
        next(late)
    assert seen(list(level)) == [("session-g3", 0)]


def test_no_gap_and_no_repeat_while_others_write_and_compact(tmp_path: Path) -> None:
    """Two writers and a compactor at work: the tail's events are those of the store, each once, and in order."""
    write(tmp_path, episode(1, game_id="first"))
    query = EventStoreQuery(tmp_path)
    tail = query.tail(since=0, poll=0.005, timeout=2)
    done = threading.Event()

    def record(session: str) -> None:
        with ParquetWriter(tmp_path, buffer_size=20, flush_interval=0.02) as writer:
            for n in range(1500):
                writer.write(tick_event(n, 1.0, f"g{n // 100}", session, ts=START + timedelta(milliseconds=n)))

    def keep_compacting() -> None:
        while not done.is_set():
            compact(tmp_path)

    writers = [threading.Thread(target=record, args=(name,)) for name in ("a", "b")]
    compactor = threading.Thread(target=keep_compacting)
    for thread in (*writers, compactor):
        thread.start()
    found = []
    for frame in tail:
        found.append(frame)
        if sum(some.height for some in found) == 3001:
            break
    done.set()
    for thread in (*writers, compactor):
        thread.join()
    identities = seen(found)
    assert len(identities) == len(set(identities)) == 3001
    assert [seq for session, seq in identities if session == "a"] == list(range(1500))
    everything = query.query("SELECT * FROM events ORDER BY session_id, seq")
    assert_frame_equal(pl.concat(found).sort("session_id", "seq"), everything)
    assert list(query.tail(since=tail.cursor, timeout=0)) == []


def test_impossible_tails_are_refused(tmp_path: Path) -> None:
    """A version below 0 or beyond the newest, and no time to wait."""
    query = EventStoreQuery(write(tmp_path, episode(1)))
    with pytest.raises(VectraError, match="versions begin with 0"):
        query.tail(since=-1)
    with pytest.raises(VectraError, match="it has 1"):
        next(query.tail(since=7))
    with pytest.raises(VectraError, match="above 0"):
        query.tail(poll=0)
