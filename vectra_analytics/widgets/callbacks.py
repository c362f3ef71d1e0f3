"""What goes wrong when a control is used is said under the widget, in one line, and the widget goes on."""

import html
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import ipywidgets
import polars as pl

from vectra_analytics.errors import VectraError


class Message(ipywidgets.HTML):
    """The line under a widget: what was done, or what was wrong."""

    def say(self, text: str) -> None:
        """Tell what was done; nothing, to clear the line."""
        self.value = f'<span role="status">{html.escape(text)}</span>' if text else ""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Whatever fails inside is said here; when nothing does, an earlier complaint goes."""
        try:
            yield
        except (VectraError, duckdb.Error, pl.exceptions.PolarsError, OSError, ValueError) as error:
            text = html.escape(" ".join(str(error).split()))
            self.value = f'<span role="alert" style="color: var(--jp-error-color1, #b00020)">{text}</span>'
        else:
            if 'role="alert"' in self.value:
                self.value = ""


def new_file(text: str) -> Path:
    """The path that a field says, for an export: of a form that its suffix names, and nothing is there yet."""
    path = Path(text.strip()).expanduser()
    if path.suffix not in (".csv", ".parquet"):
        raise VectraError(f"cannot export to {str(path)!r}: give a name that ends in .csv or .parquet")
    if path.exists():
        raise VectraError(f"{path} exists; give another name, or delete it")
    return path
