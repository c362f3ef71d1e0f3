"""What the events take on the disk, and what compaction takes."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import by_hand
from benchmarks.corpus import TICKS, Corpus, live_files, write_games
from benchmarks.results import MEGABYTES, SECONDS, Disagreement, Result, Unit, best_of, compared
from vectra_analytics import EventStorePaths, EventStoreQuery, compact
from vectra_analytics.parquet import ROW_GROUP_ROWS

_PER_TICK = Unit(lambda n_bytes: f"{n_bytes:.1f} B/tick")
_N_TIMES = 2


def sizes(corpus: Corpus) -> list[Result]:
    """Bytes of both forms beside the store that this package replaces."""
    results: list[Result] = []
    theirs = sum(file.stat().st_size for file in corpus.reference.rglob("*.parquet"))
    theirs_typed = sum(map(_typed_bytes, corpus.reference.rglob("*.parquet")))
    than = "the store this one replaces"
    for form, paths in corpus.forms().items():
        typed = sum(map(_typed_bytes, live_files(paths)))
        is_wanted = form == "compacted"
        results.append(
            compared(
                f"all columns but raw_json, {form}",
                typed / corpus.n_ticks,
                theirs_typed / corpus.n_ticks,
                than,
                _PER_TICK,
                at_most=35 if is_wanted else None,
            )
        )
        results.append(
            compared(
                f"all live files, {form}",
                EventStoreQuery(paths).info().n_bytes,
                theirs,
                than,
                MEGABYTES,
                ratio_at_most=1 / 4 if is_wanted else None,
            )
        )
    return results


def _typed_bytes(file: Path) -> int:
    """Compressed bytes of a file's columns without raw_json, as its footer says."""
    footer = pq.read_metadata(file)
    columns = (footer.row_group(i).column(j) for i in range(footer.num_row_groups) for j in range(footer.num_columns))
    return sum(column.total_compressed_size for column in columns if column.path_in_schema != "raw_json")


def compaction(corpus: Corpus) -> list[Result]:
    """`compact()` of one day, beside DuckDB sorting the same files into one."""
    n_games = min(1000, corpus.n_games)
    what = f"compaction of a day of {n_games * TICKS:,} ticks"
    recorded = write_games(corpus.folder / "day", n_games)
    files, target = live_files(recorded), corpus.folder / "day.parquet"

    def sort() -> None:
        sql = by_hand.reading(files, where="ORDER BY game_id, tick, ts, seq")
        with by_hand.connection() as connection:
            options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS}"
            connection.execute(f"COPY ({sql}) TO '{target}' ({options})")

    copies = [EventStorePaths(corpus.folder / f"day-{turn}") for turn in range(_N_TIMES)]
    for copy in copies:
        shutil.copytree(recorded.data_dir, copy.data_dir)
    waiting = iter(copies)
    ours = best_of(_N_TIMES, lambda: compact(next(waiting)))
    theirs = best_of(_N_TIMES, sort)
    n_rows = sum(pq.read_metadata(file).num_rows for file in live_files(copies[0]))
    if n_rows != pq.read_metadata(target).num_rows:
        raise Disagreement(f"{what}: {n_rows} rows where DuckDB has {pq.read_metadata(target).num_rows}")
    return [
        compared(
            f"{what}, {len(files)} files", ours, theirs, "DuckDB COPY ORDER BY, no fsync", SECONDS, ratio_at_most=2
        )
    ]
