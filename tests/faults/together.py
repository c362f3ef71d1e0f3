"""Several processes at once: writers, a compaction and readers; and locks whose holders are dead."""

import time
from collections import Counter
from pathlib import Path

from tests.faults import stores
from tests.faults.children import Child, Memory, call
from tests.faults.reader import Reader
from tests.faults.results import Counts, fault
from tests.faults.stores import COMMIT_ROWS, LATER, NEVER
from vectra_analytics import EventEnvelope, EventSource, ParquetWriter, compact
from vectra_analytics.catalog import Catalog
from vectra_analytics.paths import EventStorePaths

_N_WRITERS = 4
_N_COMMITS = 8
_PROMPT = 10.0  # seconds, on a machine that is busy with other things; without a holder a commit takes milliseconds


@fault(
    "Four writers at once, of a session each, while a reader looks on",
    "every event of each once; the reader sees whole commits alone",
    quick=1,
    full=10,
)
def _different_sessions(seed: int) -> Counts:
    with Memory() as folder:
        data_dir = Path(folder, "store")
        reader = Reader(data_dir)
        writers = [Child(stores.write_commits, data_dir, f"s{n}", _N_COMMITS) for n in range(_N_WRITERS)]
        for writer in writers:
            writer.wait(300)
        seen = reader.end()
        assert not seen.complaints, seen.complaints
        wanted: Counter[stores.Row] = Counter()
        for number in range(_N_WRITERS):
            wanted += stores.rows_of(stores.events(f"s{number}", _N_COMMITS))
        stores.assert_same(call(stores.stored, data_dir), wanted, "four sessions")
        assert call(stores.assert_sound, data_dir) == []
        return {"commits": _N_WRITERS * _N_COMMITS, "polls": seen.n_polls}


@fault(
    "Four writers at once, of the same events",
    "every event once; none is refused",
    quick=1,
    full=10,
)
def _same_events(seed: int) -> Counts:
    with Memory() as folder:
        data_dir = Path(folder, "store")
        writers = [Child(_write_counting, data_dir, 0) for _ in range(_N_WRITERS)]
        assert [writer.wait(300) for writer in writers] == [0] * _N_WRITERS
        stores.assert_same(call(stores.stored, data_dir), stores.rows_of(stores.events("s", _N_COMMITS)), "once each")
        assert call(stores.assert_sound, data_dir) == []
        return {"events": _N_COMMITS * COMMIT_ROWS}


@fault(
    "Four writers at once, of the same identities with other contents",
    "each identity once; all other events are refused, counted and kept with their text",
    quick=1,
    full=10,
)
def _other_contents(seed: int) -> Counts:
    with Memory() as folder:
        data_dir = Path(folder, "store")
        writers = [Child(_write_counting, data_dir, number) for number in range(_N_WRITERS)]
        n_rejected = sum(writer.wait(300) for writer in writers)
        n_events = _N_COMMITS * COMMIT_ROWS
        identities = Counter(row[3:5] for row in call(stores.stored, data_dir).elements())
        assert identities == {("s", seq): 1 for seq in range(n_events)}
        assert n_rejected == (_N_WRITERS - 1) * n_events, f"{n_rejected} refused"
        files = list((data_dir / "manifests" / "rejects").glob("*.jsonl"))
        assert sum(len(file.read_bytes().splitlines()) for file in files) == n_rejected
        assert call(stores.assert_sound, data_dir) == []
        return {"stored": n_events, "refused": n_rejected}


def _write_counting(data_dir: Path, number: int) -> int:
    with ParquetWriter(data_dir, buffer_size=10_000, flush_interval=NEVER) as writer:
        for commit in range(_N_COMMITS):
            for one in stores.events("s", 1, commit):
                other = EventEnvelope.from_system_event(
                    "note", {"by": number}, EventSource.CDP, "s", one.seq, ts=one.ts
                )
                writer.write(other if number else one)
            writer.flush()
    return writer.n_rejected


@fault(
    "Two writers, compactions without end and a reader at the same time",
    "every event once; the reader sees whole commits alone",
    quick=1,
    full=10,
)
def _compaction_meanwhile(seed: int) -> Counts:
    with Memory() as folder:
        data_dir = Path(folder, "store")
        call(stores.write_commits, data_dir, "first", 1)
        reader = Reader(data_dir)
        writers = [Child(stores.write_commits, data_dir, f"s{n}", _N_COMMITS) for n in range(2)]
        done = Path(folder, "done")
        compactor = Child(_compact_until, data_dir, done)
        for writer in writers:
            writer.wait(300)
        done.touch()
        n_compactions = compactor.wait(300)
        seen = reader.end()
        assert not seen.complaints, seen.complaints
        wanted = stores.rows_of(stores.events("first", 1))
        for number in range(2):
            wanted += stores.rows_of(stores.events(f"s{number}", _N_COMMITS))
        stores.assert_same(call(stores.stored, data_dir), wanted, "with compactions")
        assert call(stores.assert_sound, data_dir) == []
        return {"compactions": n_compactions, "polls": seen.n_polls}


def _compact_until(data_dir: Path, done: Path) -> int:
    n_compactions, is_last = 0, False
    while not is_last:
        is_last = done.exists()
        compact(data_dir, now=LATER)
        n_compactions += 1
    return n_compactions


@fault(
    "The holder of the catalog's lock is killed while another writer waits for it",
    f"the other one goes on at once (within {_PROMPT:.0f} s), and stores its events",
    quick=1,
    full=10,
)
def _dead_holder(seed: int) -> Counts:
    with Memory() as folder:
        data_dir, held = Path(folder, "store"), Path(folder, "held")
        call(stores.write_commits, data_dir, "before", 1)
        holder = Child(_hold, data_dir, held)
        while not held.exists():
            time.sleep(0.01)
        writer = Child(stores.write_commits, data_dir, "waits", 1)
        time.sleep(1 + seed % 5 / 2)
        rows = call(stores.stored, data_dir)
        stores.assert_same(rows, stores.rows_of(stores.events("before", 1)), "while the lock is held")
        holder.kill()
        holder.wait()
        began = time.monotonic()
        writer.wait(300)
        seconds = time.monotonic() - began
        assert seconds < _PROMPT, f"it went on after {seconds:.1f} s"
        wanted = stores.rows_of([*stores.events("before", 1), *stores.events("waits", 1)])
        stores.assert_same(call(stores.stored, data_dir), wanted, "after the holder's death")
        assert call(stores.assert_sound, data_dir) == []
        return {"milliseconds waited": int(1000 * seconds)}


def _hold(data_dir: Path, held: Path) -> None:
    with Catalog(EventStorePaths(data_dir)) as catalog, catalog.transaction():
        catalog.add_version("never")
        held.touch()
        time.sleep(3600)
