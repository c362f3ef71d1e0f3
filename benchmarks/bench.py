"""`make bench`: each speed beside an honest alternative in the same run, as a table and as JSON.

Times differ from machine to machine; ratios within a run hold. docs/performance.md says what each part measures and
keeps the last results.
"""

import argparse
import compileall
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import vectra_analytics
from benchmarks import corpus, ingest, iteration, live, one_game, report, storage, whole
from benchmarks.results import MILLISECONDS, Result, compared

ROOT = Path(__file__).resolve().parents[1]


def import_cost() -> list[Result]:
    """What `import vectra_analytics` costs beside the libraries it cannot do without."""
    compileall.compile_dir(Path(vectra_analytics.__file__).parent, quiet=1)  # as pip does for a package that it copies
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(15):
        for code, times in (
            ("import vectra_analytics", ours),
            ("import duckdb, polars, pyarrow.parquet, sqlite3", theirs),
        ):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - begin)
    than = "duckdb, polars, pyarrow.parquet, sqlite3"
    return [compared("import vectra_analytics", min(ours), min(theirs), than, MILLISECONDS, ratio_at_most=1.15)]


def parts(folder: Path, n_games: int, recordings: Path | None = None) -> dict[str, Callable[[], list[Result]]]:
    """Every part by its name, each making what it needs in the folder when it is run."""
    games = corpus.Corpus(folder, n_games)
    return {
        "import-cost": import_cost,
        "write": lambda: ingest.write_latency(folder),
        "handling": lambda: live.handling(folder),
        "commit": lambda: ingest.commit_of_100(folder),
        "durable": lambda: ingest.durable_events(folder, n_games),
        "import": lambda: ingest.import_files(folder, recordings or corpus.recordings(folder, max(1, n_games // 20))),
        "features": lambda: one_game.features(games),
        "episode": lambda: one_game.episode(games),
        "iteration": lambda: iteration.iterate(games),
        "whole": lambda: whole.features(games),
        "export": lambda: whole.export(games),
        "storage": lambda: storage.sizes(games),
        "compaction": lambda: storage.compaction(games),
        "big": lambda: [*one_game.big_features(games), *whole.big_export(games)],
    }


def main() -> None:
    """Run what was asked for, print the table, keep the JSON; or write the kept results into the document."""
    names = list(parts(Path(), 0))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", type=int, default=10_000, help="games of 250 ticks (default: 10,000)")
    parser.add_argument("--only", action="append", choices=names, help="run this part; may be given several times")
    parser.add_argument("--big", action="store_true", help="also run the part `big`: 100,000 games")
    parser.add_argument("--recordings", type=Path, help="a folder of real recordings to import instead of made ones")
    parser.add_argument("--json", type=Path, default=ROOT / "bench.json", help="keep the results there")
    parser.add_argument("--write-docs", action="store_true", help="run nothing; put the kept results into the document")
    arguments = parser.parse_args()
    if arguments.write_docs:
        report.write_into(ROOT / "docs" / "performance.md", report.kept(arguments.json), names)
        return
    wanted = arguments.only or [name for name in names if name != "big" or arguments.big]
    folder = Path(tempfile.mkdtemp(prefix="vectra-bench-"))
    try:
        for name, run in parts(folder, arguments.games, arguments.recordings).items():
            if name in wanted:
                print(f"{name} ...", file=sys.stderr, flush=True)
                found = run()
                report.show(found)
                # After each part, so that an interrupted run is not lost.
                report.keep(arguments.json, name, arguments.games, found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
