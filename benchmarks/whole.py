"""All features of all games: as a frame, and as a file.

`python -m benchmarks.whole STORE TARGET N_GAMES` exports so many games in a process of its own, and prints as JSON what
that took.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import by_hand
from benchmarks.corpus import Corpus, live_files
from benchmarks.iteration import peak_memory
from benchmarks.results import MEGABYTES, SECONDS, Disagreement, Result, best_of, check_same, compared
from vectra_analytics import EventStorePaths, EventStoreQuery

_N_TIMES = 2
_MOST_MEMORY = 1.5e9  # bytes, whatever the number of rows


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
        for than, again in _rewriting(query, corpus.folder).items():
            results.append(compared(what, ours, best_of(_N_TIMES, again), than, SECONDS))
    return results


def _with_duckdb(files: Sequence[Path]) -> pl.DataFrame:
    with by_hand.connection() as connection:
        found: pl.DataFrame = connection.sql(by_hand.with_duckdb(files)).pl()
    return found


_TOOLS: dict[str, Callable[[Sequence[Path]], Any]] = {
    "Polars by hand": by_hand.with_polars,
    "Polars by hand, as exact as ours": by_hand.with_exact_polars,
    "DuckDB windows by hand": _with_duckdb,
    "pandas by hand": by_hand.with_pandas,
}


def _check_game(query: EventStoreQuery, game: str, n_rows: int, found: pl.DataFrame, than: str) -> None:
    if found.height != n_rows:
        raise Disagreement(f"{than}: {found.height} rows where there are {n_rows} ticks")
    check_same(query.get_tick_features(game), found.filter(pl.col("game_id").cast(pl.String) == game), than)


def _rewriting(query: EventStoreQuery, folder: Path) -> dict[str, Callable[[], object]]:
    """The limits: what it takes to move the finished numbers."""
    before, after = folder / "result.parquet", folder / "result-again.parquet"
    query.features().write_parquet(before)

    def copy() -> None:
        with by_hand.connection() as connection:
            connection.execute(f"COPY (FROM '{before}') TO '{after}' (FORMAT parquet, COMPRESSION zstd)")

    return {
        "the limit: reading the result and writing it": lambda: pl.read_parquet(before).write_parquet(after),
        "the limit: DuckDB copying the finished table": copy,
    }


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


def big_export(corpus: Corpus, n_days: int = 100, games_a_day: int = 1000) -> list[Result]:
    """The export of a large store beside that of a tenth of its games: ten times the work, and no more memory."""
    paths = corpus.days(n_days, games_a_day)
    n_games = n_days * games_a_day
    tenth, whole = (exported(paths, corpus.folder / "big.parquet", n) for n in (n_games // 10, n_games))
    what = f"export of {whole['rows']:,.0f} ticks to .parquet"
    than = f"that of {tenth['rows']:,.0f}"
    ten_times = tenth["seconds"] * whole["rows"] / tenth["rows"]
    return [
        compared(what, whole["seconds"], ten_times, f"{than}, times ten", SECONDS, ratio_at_most=1.25),
        compared(f"{what}: memory", whole["memory"], tenth["memory"], than, MEGABYTES, at_most=_MOST_MEMORY),
    ]


def exported(paths: EventStorePaths, target: Path, n_games: int) -> dict[str, float]:
    """What :func:`export_some` finds in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.whole", str(paths.data_dir), str(target), str(n_games)]
    root = Path(__file__).resolve().parents[1]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(run.stderr)
    target.unlink()
    found: dict[str, float] = json.loads(run.stdout)
    return found


def export_some(paths: EventStorePaths, target: Path, n_games: int) -> dict[str, float]:
    """Seconds and bytes of an export of the first games, and its rows."""
    query = EventStoreQuery(paths)
    games = query.list_games(n_games)
    begin = time.perf_counter()
    done = query.export(target, games=games, overwrite=True)
    return {"rows": done.n_rows, "seconds": time.perf_counter() - begin, "memory": peak_memory()}


if __name__ == "__main__":
    print(json.dumps(export_some(EventStorePaths(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
