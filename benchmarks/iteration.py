"""Going through all games, a frame each: speed and memory, each way in a process of its own.

`python -m benchmarks.iteration WAY STORE COLUMN...` is such a process; it prints what it found as JSON.
"""

import json
import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa

from benchmarks import by_hand
from benchmarks.corpus import Corpus, live_files
from benchmarks.results import MEGABYTES, Disagreement, Result, best_of, compared, per_second
from vectra_analytics import EventStorePaths, EventStoreQuery
from vectra_analytics.schema import EVENT_SCHEMA

FIVE = ["game_id", "tick", "ts", "price", "rugged"]
ALL = EVENT_SCHEMA.names

_N_TIMES = 2  # the faster run of two is the one that others on the machine disturbed least
_N_REFERENCE = 3  # games; each takes seconds
_MOST_MEMORY = 600e6  # bytes


def iterate(corpus: Corpus) -> list[Result]:
    """`iter_episodes()` with five columns and with all, in both forms."""
    results: list[Result] = []
    for form, paths in corpus.forms().items():
        for name, columns, at_least in (("five columns", FIVE, 20_000), ("all columns", ALL, 10_000)):
            what = f"all games, {name}, {form}"
            results += _compare(what, paths, columns, corpus.n_games, at_least)
    seconds = _a_query_a_game(corpus) * corpus.n_games
    ours = in_process("ours", corpus.compacted, ALL)["seconds"]  # once more, in the same minute as the other store
    results.append(
        compared(
            "all games, all columns, compacted",
            ours,
            seconds,
            f"a query a game in the store this one replaces, reckoned from {_N_REFERENCE} games",
            per_second(corpus.n_games),
        )
    )
    return results


def _compare(what: str, paths: EventStorePaths, columns: list[str], n_games: int, at_least: int) -> list[Result]:
    ways = ("ours", "again", "stream", "whole")
    runs = [[in_process(way, paths, columns) for way in ways] for _ in range(_N_TIMES)]
    ours, again, stream, whole = (min(some, key=lambda run: run["seconds"]) for some in zip(*runs, strict=True))
    for theirs in (again, stream, whole):
        if abs(theirs["price"] - ours["price"]) > 1e-9 * ours["price"] or theirs["rows"] != ours["rows"]:
            raise Disagreement(f"{what}: {theirs} where ours is {ours}")
    if stream["games"] != ours["games"]:
        raise Disagreement(f"{what}: {stream['games']} games in the stream where ours has {ours['games']}")
    unit, most = per_second(n_games), n_games / at_least
    return [
        compared(what, ours["seconds"], stream["seconds"], "DuckDB ORDER BY, cut into games", unit, at_most=most),
        compared(
            f"{what}, second pass",
            again["seconds"],
            stream["seconds"],
            "DuckDB ORDER BY, cut into games",
            unit,
            at_most=most,
        ),
        compared(what, ours["seconds"], whole["seconds"], "the limit: reading the files and no more", unit),
        compared(f"{what}: memory", ours["memory"], stream["memory"], "the stream's", MEGABYTES, at_most=_MOST_MEMORY),
    ]


def in_process(way: str, paths: EventStorePaths, columns: list[str]) -> dict[str, float]:
    """What :func:`go_through` finds in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.iteration", way, str(paths.data_dir), *columns]
    root = Path(__file__).resolve().parents[1]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(run.stderr)
    found: dict[str, float] = json.loads(run.stdout)
    return found


def go_through(way: str, paths: EventStorePaths, columns: list[str]) -> dict[str, float]:
    """Seconds and bytes that one way needs, and sums that tell whether it saw the same."""
    ways = {"ours": _ours, "stream": _stream, "whole": _whole}
    start = _again(paths, columns) if way == "again" else partial(ways[way], paths, columns)
    n_games, n_rows, price = 0, 0, 0.0
    begin = time.perf_counter()
    for frame in start():
        n_games += 1
        n_rows += frame.height
        price += float(frame["price"].sum())
    seconds = time.perf_counter() - begin
    return {"games": n_games, "rows": n_rows, "price": price, "seconds": seconds, "memory": peak_memory()}


def _ours(paths: EventStorePaths, columns: list[str]) -> Iterator[pl.DataFrame]:
    # Named columns, all of them too: `doc_type` and `date` are in no file, so no other way has them.
    return EventStoreQuery(paths).iter_episodes(columns=columns)


def _again(paths: EventStorePaths, columns: list[str]) -> Callable[[], Iterator[pl.DataFrame]]:
    """The same by a query that has gone through all games once, as a training does in every epoch but the first."""
    query = EventStoreQuery(paths)
    deque(query.iter_episodes(columns=columns), maxlen=0)
    return partial(query.iter_episodes, columns=columns)


def _stream(paths: EventStorePaths, columns: list[str]) -> Iterator[pl.DataFrame]:
    """One sorted stream of batches, cut where the game changes; it leaves out that games are ordered by their start."""
    sql = by_hand.reading(live_files(paths), columns, "WHERE game_id IS NOT NULL ORDER BY game_id, ts, seq")
    rest: pl.DataFrame | None = None
    with by_hand.connection() as connection:
        for batch in connection.sql(sql).to_arrow_reader(100_000):
            frame = pl.DataFrame(pa.Table.from_batches([batch]))
            if rest is not None:
                frame = pl.concat([rest, frame])
            *done, rest = frame.partition_by("game_id", maintain_order=True)
            yield from done
    if rest is not None:
        yield rest


def _whole(paths: EventStorePaths, columns: list[str]) -> Iterator[pl.DataFrame]:
    """The fastest of seven ways tried with Polars and PyArrow: some files at once, so that all cores have work."""
    files = live_files(paths)
    n_at_once = max(1, len(files) // 20)
    for first in range(0, len(files), n_at_once):
        yield pl.read_parquet(files[first : first + n_at_once], columns=columns, hive_partitioning=False)


def _a_query_a_game(corpus: Corpus) -> float:
    """Seconds for one game, as the store that this package replaces asks: a scan of everything for each."""
    games = corpus.sample(_N_REFERENCE)
    pattern = f"{corpus.reference}/**/*.parquet"
    sql = "SELECT * FROM read_parquet($glob, hive_partitioning = true) WHERE game_id = $game ORDER BY seq"

    def ask() -> None:
        for game in games:
            with duckdb.connect() as connection:
                connection.sql(sql, params={"glob": pattern, "game": game}).pl()

    return best_of(1, ask) / len(games)


def peak_memory() -> float:
    """Bytes that this process held at most."""
    # getrusage would do, but Linux hands a parent's peak on to the program that a child becomes.
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return float(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    print(json.dumps(go_through(sys.argv[1], EventStorePaths(sys.argv[2]), sys.argv[3:])))
