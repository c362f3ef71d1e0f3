"""Results as a table, as JSON that later runs add to, and inside docs/performance.md."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.results import Result, times

BEGIN = "<!-- results: written by `python -m benchmarks.bench --write-docs` -->"
END = "<!-- end of results -->"

_MARK = {True: "yes", False: "NO", None: ""}


def show(results: Sequence[Result]) -> None:
    """Print a table, a line a result."""
    for row in results:
        ratio = "-" if row.ratio is None else times(row.ratio)
        print(
            f"{row.what:<52} {row.ours:<14} {ratio:>7}  {row.wanted:<14} {_MARK[row.is_met]:<4} {row.alternative}",
            flush=True,
        )


def keep(file: Path, part: str, n_games: int, results: Sequence[Result]) -> None:
    """Put a part's results in the place of its older ones."""
    known = kept(file) if file.exists() else {}
    known[part] = {
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "n_games": n_games,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "libraries": {name: version(name) for name in ("duckdb", "polars", "pyarrow")},
        "results": [asdict(result) for result in results],
    }
    file.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def kept(file: Path) -> dict[str, Any]:
    """What was kept: part by part, when and on what it was measured, and its results."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def write_into(page: Path, known: Mapping[str, Any], order: Sequence[str]) -> None:
    """Replace what lies between the page's two marks by a table of the kept results."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{page} lacks the two lines between which the results go: {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{_as_markdown(known, order)}\n{END}{after}", encoding="utf-8")


def _as_markdown(known: Mapping[str, Any], order: Sequence[str]) -> str:
    """One table, the parts in their order; under it when and where each was measured."""
    lines = [
        "| measure | ours | alternative | ours / alternative | wanted | met |",
        "|---|---|---|---|---|---|",
    ]
    notes: dict[str, list[str]] = {}
    names = [field.name for field in fields(Result)]
    for part in order:
        if part not in known:
            continue
        about = known[part]
        for said in about["results"]:
            row = Result(**{name: said[name] for name in names})
            ratio = "-" if row.ratio is None else times(row.ratio)
            cells = (row.what, row.ours, row.alternative, ratio, row.wanted, _MARK[row.is_met])
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        libraries = ", ".join(f"{name} {number}" for name, number in about["libraries"].items())
        where = f"{about['n_games']:,} games; {about['machine']}; {libraries}"
        notes.setdefault(f"{about['measured_at'].split()[0]}, {where}", []).append(part)
    lines.append("")
    lines += [f"Measured {when}: {', '.join(some)}." for when, some in notes.items()]
    return "\n".join(lines) + "\n"
