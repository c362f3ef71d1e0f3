"""What became of a notebook: values, without a word on how they are shown."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# What XML 1.0 cannot hold: a traceback may quote anything.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plain(text: str) -> str:
    """The text without colours and control characters."""
    return _UNPRINTABLE.sub("", _ANSI.sub("", text))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a notebook failed."""

    kind: str  # "raised": a cell did; "differs": a stored output is not what the cell gives now; "stopped"
    message: str  # one line
    details: str = ""  # the traceback, or the differences
    cell: int | None = None  # its place among the code cells, from 1
    source: str = ""  # of that cell

    @property
    def line(self) -> str:
        """The cell and what is wrong with it."""
        return f"cell {self.cell}: {self.message}" if self.cell is not None else self.message


@dataclass(frozen=True, slots=True)
class Outcome:
    """One notebook, run."""

    path: Path
    title: str
    notebook: Any  # a nbformat notebook with the outputs of this run
    seconds: float
    views: dict[str, str]  # those that it asks for, with their versions
    failures: list[Failure] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem

    @property
    def page(self) -> str:
        """Its page, from the report's folder."""
        return f"notebooks/{self.name}.html"

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return {
            "notebook": self.path.name,
            "title": self.title,
            "passed": self.passed,
            "seconds": round(self.seconds, 3),
            "views": self.views,
            "page": self.page,
            "failures": [
                {
                    "kind": failure.kind,
                    "cell": failure.cell,
                    "message": failure.message,
                    "source": failure.source,
                    "details": failure.details,
                }
                for failure in self.failures
            ],
        }


def title_of(notebook: Any, otherwise: str) -> str:
    """The notebook's first heading."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = re.search(r"^#+\s+(.+?)\s*#*$", cell.source, re.MULTILINE)
            if heading:
                return heading[1].replace("`", "").replace("*", "")
    return otherwise
