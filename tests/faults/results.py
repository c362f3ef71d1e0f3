"""What was attacked and what came of it: a list of faults, and its table in docs/faults.md."""

import platform
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
_BEGIN, _END = "<!-- results: begin -->", "<!-- results: end -->"

Counts = Mapping[str, int]


@dataclass(frozen=True)
class Fault:
    """One kind of fault, with what has to come of it; a seed says where exactly it strikes."""

    title: str
    expected: str
    strike: Callable[[int], Counts]
    quick: int  # seeds of the short form
    full: int


FAULTS: list[Fault] = []


def fault(title: str, expected: str, *, quick: int, full: int) -> Callable[[Callable[[int], Counts]], None]:
    """Add a function to the list: it is called with a seed, and raises where the outcome is not the expected one."""

    def add(strike: Callable[[int], Counts]) -> None:
        FAULTS.append(Fault(title, expected, strike, quick, full))

    return add


@dataclass
class Result:
    """What came of a fault."""

    title: str
    expected: str
    n_seeds: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, counts: Counts) -> None:
        """Count what one seed gave."""
        self.n_seeds += 1
        for name, count in counts.items():
            self.counts[name] = self.counts.get(name, 0) + count

    @property
    def verdict(self) -> str:
        """What is to be thought of it."""
        if self.failures:
            return f"{len(self.failures)} FAILED"
        return "as expected" if self.n_seeds else "no time for it"

    @property
    def counted(self) -> str:
        """The counts, in words."""
        return ", ".join(f"{count:,} {name}" for name, count in self.counts.items())

    def __str__(self) -> str:
        return f"{self.title}: {self.n_seeds} seeds; {self.counted}; {self.verdict}"


def write_docs(results: list[Result], seconds: float, summary: str) -> None:
    """Put the results into their place in docs/faults.md."""
    before, _, rest = DOCS.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pyarrow", "polars"))
    lines = [
        _BEGIN,
        f"{datetime.now(UTC):%Y-%m-%d}, {seconds / 60:.0f} minutes; {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {libraries}.",
        "",
        summary,
        "",
        "| fault | has to come of it | seeds | counts | result |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        verdict = f"**{result.verdict}**" if result.failures else result.verdict
        lines.append(f"| {result.title} | {result.expected} | {result.n_seeds} | {result.counted} | {verdict} |")
    DOCS.write_text("\n".join([*f"{before}".splitlines(), *lines, _END]) + after)
