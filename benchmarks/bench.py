"""`make bench`: each speed beside an honest alternative in the same run, as a table and as JSON.

Times differ from machine to machine; ratios within a run hold. docs/performance.md keeps the last results.
"""

import argparse
import compileall
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import vectra_analytics
from benchmarks import corpus, ingest

Result = dict[str, object]


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
    return [
        {
            "what": "import vectra_analytics",
            "ours": f"{min(ours) * 1e3:.0f} ms",
            "alternative": f"{min(theirs) * 1e3:.0f} ms: duckdb, polars, pyarrow.parquet, sqlite3",
            "ratio": min(ours) / min(theirs),
            "wanted": "<= 1.15",
        }
    ]


def main() -> None:
    """Run all, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", type=int, default=10_000, help="games of 250 ticks")
    parser.add_argument("--recordings", type=Path, help="a folder of real recordings to import, too")
    parser.add_argument("--json", type=Path, help="write the results there")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="vectra-bench-"))
    parts: list[Callable[[], list[Result]]] = [
        import_cost,
        lambda: ingest.write_latency(folder),
        lambda: ingest.durable_events(folder, arguments.games),
        lambda: ingest.import_files(folder, arguments.recordings or corpus.recordings(folder, arguments.games // 20)),
    ]
    try:
        results = [result for part in parts for result in part()]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for result in results:
        ratio = f"{result['ratio']:.2f}" if isinstance(result["ratio"], float) else "-"
        print(
            f"{result['what']:<44} {result['ours']!s:<20} {ratio:>7}  {result['wanted']!s:<10} {result['alternative']}"
        )
    if arguments.json:
        about = {"python": platform.python_version(), "machine": platform.machine(), "games": arguments.games}
        arguments.json.write_text(json.dumps({"about": about, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
