"""What storing costs: a write, a durable event, an imported megabyte."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import corpus
from benchmarks.results import MICROSECONDS, MILLISECONDS, Result, compared, per_second
from vectra_analytics import EventEnvelope, EventStorePaths, ParquetWriter, import_recordings
from vectra_analytics.catalog import Catalog
from vectra_analytics.commit import commit
from vectra_analytics.envelope import events_to_table
from vectra_analytics.schema import EVENT_SCHEMA
from vectra_analytics.whole_files import sync_folder


def write_latency(folder: Path) -> list[Result]:
    """`write()` at 1,000 events a second into a queue that is not full, against a lock and a list."""
    events = [event for number in range(20) for event in corpus.events(number, "latency")]
    lock = threading.Lock()
    plain: list[EventEnvelope] = []

    def append(event: EventEnvelope) -> None:
        with lock:
            plain.append(event)

    with ParquetWriter(EventStorePaths(folder / "latency")) as writer:
        ours = _p99(writer.write, events)
    bare = _p99(append, events)
    than = "taking a lock and appending to a list"
    return [compared("write(), 1,000 events/s: p99", ours, bare, than, MICROSECONDS, at_most=25e-6)]


def _p99(take: Callable[[EventEnvelope], object], events: list[EventEnvelope]) -> float:
    times = []
    due = time.perf_counter()
    for event in events:
        due += 0.001
        while time.perf_counter() < due:
            time.sleep(0.0002)
        begin = time.perf_counter()
        take(event)
        times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) * 99 // 100]


def durable_events(folder: Path, n_games: int) -> list[Result]:
    """Events a second through `write()` until `flush()` has returned, against the same rows in one bare file."""
    results: list[Result] = []
    for buffer_size in (1_000, 10_000):
        spent, bare, n_events = 0.0, 0.0, 0
        with ParquetWriter(EventStorePaths(folder / f"durable{buffer_size}"), buffer_size=buffer_size) as writer:
            for first in range(0, n_games, 400):  # made in pieces, so that making them is not measured
                some = [e for number in range(first, min(first + 400, n_games)) for e in corpus.events(number, "s")]
                begin = time.perf_counter()
                for event in some:
                    writer.write(event)
                writer.flush()
                spent += time.perf_counter() - begin
                n_events += len(some)
                rows = [(e.ts, e.game_id, e.tick, e.price, e.raw_json) for e in some]
                begin = time.perf_counter()
                columns = zip(("ts", "game_id", "tick", "price", "raw_json"), zip(*rows, strict=True), strict=True)
                table = pa.table({name: list(values) for name, values in columns})
                pq.write_table(table, folder / "bare.parquet", compression="zstd")
                bare += time.perf_counter() - begin
        results.append(
            compared(
                f"durable events, buffer_size {buffer_size:,}",
                spent,
                bare,
                "five columns, one unsynced file",
                per_second(n_events),
                at_most=n_events / 100_000,
            )
        )
    return results


def commit_of_100(folder: Path) -> list[Result]:
    """A durable commit of 100 events, against a bare Parquet file of them that is synced, and its folder too."""
    events = [event for number in range(80) for event in corpus.events(number, "commits")]
    batches = [events_to_table(events[first : first + 100]) for first in range(0, 20_000, 100)]
    (folder / "bare").mkdir()
    ours, bare = [], []
    with Catalog(EventStorePaths(folder / "commits"), create=True) as catalog:
        for number, batch in enumerate(batches):  # in turns, since a disk has moods
            begin = time.perf_counter()
            commit(catalog, batch)
            ours.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            with (folder / "bare" / f"{number}.parquet").open("wb") as file:
                pq.write_table(batch.select(EVENT_SCHEMA.names), file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            sync_folder(folder / "bare")
            bare.append(time.perf_counter() - begin)
    than = "a bare Parquet file of them, synced"
    what = "a durable commit of 100 events: median"
    return [compared(what, median(ours), median(bare), than, MILLISECONDS, ratio_at_most=2)]


def import_files(folder: Path, recordings: Path) -> list[Result]:
    """MB a second of an import, against a bare loop that parses each line and writes one file."""
    files = sorted(recordings.glob("*.jsonl"))
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    results: list[Result] = []
    for name, loads in (("orjson", orjson.loads), ("json", json.loads)):
        ours, bare = [], []
        for turn in range(3):
            begin = time.perf_counter()
            import_recordings(files, folder / f"import-{name}-{turn}", timezone="America/New_York")
            ours.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            _bare_loop(files, loads, folder / "bare.parquet")
            bare.append(time.perf_counter() - begin)
        what = f"import, {len(files):,} files, {megabytes:.0f} MB"
        than, unit = f"a bare loop with {name}", per_second(megabytes, "MB")
        results.append(compared(what, min(ours), min(bare), than, unit, ratio_at_most=3))
    return results


def _bare_loop(files: list[Path], loads: Callable[[bytes], Any], target: Path) -> None:
    rows = []
    for file in files:
        for line in file.read_bytes().splitlines():
            try:
                rows.append(loads(line))
            except ValueError:
                continue
    ticks = [row for row in rows if row["type"] == "tick"]
    pq.write_table(pa.Table.from_pylist(ticks), target, compression="zstd")
