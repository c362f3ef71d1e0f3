"""All features of all games: as a frame, and as a file."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import by_hand
from benchmarks.corpus import Corpus, live_files
from benchmarks.results import SECONDS, Disagreement, Result, best_of, check_same, compared
from vectra_analytics import EventStoreQuery

_N_TIMES = 2


def features(corpus: Corpus) -> list[Result]:
    """`features()` of everything, beside three tools by hand and the cost of moving the result."""
    results: list[Result] = []
    for form, paths in corpus.forms().items():
        what = f"features of all games, {form}"
        query, files = EventStoreQuery(paths), live_files(paths)
        (game,) = corpus.sample(1)
        _check_game(query, game, corpus.n_ticks, query.features(), "all games at once")
        ours = best_of(_N_TIMES, query.features)
        for than, ask in _TOOLS.items():
            try:
                found = ask(files)
            except ImportError:
                why = f"{than}: not measured, it is not installed; `pip install -e '.[bench]'` brings it"
                results.append(compared(what, ours, None, why, SECONDS))
                continue
            frame = found if isinstance(found, pl.DataFrame) else pl.from_pandas(found)
            _check_game(query, game, corpus.n_ticks, frame, than)
            results.append(compared(what, ours, best_of(_N_TIMES, partial(ask, files)), than, SECONDS))
        limit = _rewriting(query, corpus.folder)
        results.append(compared(what, ours, limit, "the limit: reading the result and writing it", SECONDS))
    return results


def _with_duckdb(files: Sequence[Path]) -> pl.DataFrame:
    with by_hand.connection() as connection:
        found: pl.DataFrame = connection.sql(by_hand.with_duckdb(files)).pl()
    return found


_TOOLS: dict[str, Callable[[Sequence[Path]], Any]] = {
    "Polars by hand": by_hand.with_polars,
    "DuckDB windows by hand": _with_duckdb,
    "pandas by hand": by_hand.with_pandas,
}


def _check_game(query: EventStoreQuery, game: str, n_rows: int, found: pl.DataFrame, than: str) -> None:
    if found.height != n_rows:
        raise Disagreement(f"{than}: {found.height} rows where there are {n_rows} ticks")
    check_same(query.get_tick_features(game), found.filter(pl.col("game_id").cast(pl.String) == game), than)


def _rewriting(query: EventStoreQuery, folder: Path) -> float:
    before, after = folder / "result.parquet", folder / "result-again.parquet"
    query.features().write_parquet(before)
    return best_of(_N_TIMES, lambda: pl.read_parquet(before).write_parquet(after))


def export(corpus: Corpus) -> list[Result]:
    """`export()` of everything to both formats, beside DuckDB's COPY and writing the same rows again."""
    results: list[Result] = []
    query, files = EventStoreQuery(corpus.compacted), live_files(corpus.compacted)
    (game,) = corpus.sample(1)
    finished = corpus.folder / "export.parquet"
    read: dict[str, Callable[[Path], pl.DataFrame]] = {".parquet": pl.read_parquet, ".csv": _read_csv}
    for suffix, options in ((".parquet", "FORMAT parquet, COMPRESSION zstd"), (".csv", "FORMAT csv, HEADER")):
        what = f"export of all features to {suffix}, compacted"
        target, copied = corpus.folder / f"export{suffix}", corpus.folder / f"copied{suffix}"
        again = corpus.folder / f"again{suffix}"

        def copy(target: Path = copied, options: str = options) -> None:
            with by_hand.connection() as connection:
                connection.execute(f"COPY ({by_hand.with_duckdb(files)}) TO '{target}' ({options})")

        def rewrite(target: Path = again) -> None:
            frame = pl.read_parquet(finished)
            frame.write_csv(target) if target.suffix == ".csv" else frame.write_parquet(target)

        ours = best_of(1, partial(query.export, target))
        theirs = best_of(1, copy)
        for file in (target, copied):
            _check_game(query, game, corpus.n_ticks, read[suffix](file), f"the rows of {file.name}")
        results.append(compared(what, ours, theirs, "DuckDB COPY of windows by hand, no checksum", SECONDS))
        results.append(compared(what, ours, best_of(1, rewrite), "the limit: writing the finished rows", SECONDS))
        for file in (copied, again):
            file.unlink()
    return results


def _read_csv(file: Path) -> pl.DataFrame:
    return pl.read_csv(file, schema_overrides={"ts": pl.String}).drop("ts")  # whose form is each tool's own
