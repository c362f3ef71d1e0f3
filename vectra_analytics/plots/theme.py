"""How every figure looks: legible on light and on dark paper, and to people who see colours differently."""

import html
from collections.abc import Mapping
from functools import cache
from typing import Any

import plotly.graph_objects as go
import polars as pl

from vectra_analytics.errors import VectraError
from vectra_analytics.features import catalogue
from vectra_analytics.reduction import reduced

# Okabe & Ito (2008), Color Universal Design: those of its colours that stand out on white and on nearly black.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
GREY = "#7b7b7b"  # of text and axes
LINES = (BLUE, VERMILLION, GREEN, PURPLE, GREY)
_DASHES = ("solid", "dash", "dot", "dashdot")  # one for each round through the colours

MOST_POINTS = 5_000
"""Of a line; longer ones are reduced to what can be seen of them."""

_UNITS: Mapping[str, str] = {
    "price": "multiple of the start",
    "ticks": "ticks of 250 ms",
    "deviations": "standard deviations",
    "flag": "true or false",
}


@cache
def _units() -> dict[str, str]:
    """The unit of each column of the package's views."""
    views = catalogue()
    return {name: column.unit for view in views for name, column in views[view].columns.items()}


def titled(column: str) -> str:
    """The title of an axis that shows a column: its name and, if one of the package's views has it, its unit."""
    unit = _units().get(column)
    return plain(column) if unit is None else f"{column} ({_UNITS.get(unit, unit)})"


def plain(text: str) -> str:
    """A name or an id that a figure shows letter by letter: plotly takes some HTML, and $...$ as a formula."""
    return html.escape(text, quote=False).replace("$", "&#36;")


def line_style(number: int) -> dict[str, Any]:
    """The colour and dash of the n-th line of a figure; no two of the first twenty are alike."""
    return {"color": LINES[number % len(LINES)], "dash": _DASHES[number // len(LINES) % len(_DASHES)], "width": 1.5}


_AXIS = {
    "gridcolor": "rgba(123, 123, 123, 0.25)",
    "linecolor": GREY,
    "zerolinecolor": "rgba(123, 123, 123, 0.5)",
    "automargin": True,
}
_HOUSE = go.layout.Template(
    layout={
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "title": {"x": 0, "xref": "container", "pad": {"l": 12, "t": 10}, "y": 1, "yanchor": "top"},
        "font": {"color": GREY, "size": 12},
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "colorway": LINES,
        "autosize": True,
        "margin": {"l": 88, "r": 16, "t": 64, "b": 48},  # room for a title above a line of the legend
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        "hovermode": "x unified",
    }
)


def styled(figure: go.Figure, title: str, height: int = 420) -> go.Figure:
    """The figure in the house's look."""
    return figure.update_layout(template=_HOUSE, title_text=plain(title), height=height)


def required(frame: pl.DataFrame, *columns: str) -> None:
    """Raise where a figure's frame lacks one of these columns."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise VectraError(f"the frame has no column {', '.join(missing)}; it has {', '.join(frame.columns)}")


def drawable(frame: pl.DataFrame, x: str, ys: list[str], n_lines: int = 1, by: str | None = None) -> pl.DataFrame:
    """The frame, or the rows of it that draw the same lines: first, last, lowest and highest of each bucket of x.

    Where a column ``by`` tells series apart, each has buckets of its own.
    """
    most = MOST_POINTS // n_lines
    if frame.height <= most:
        return frame
    n_series = 1 if by is None else frame[by].n_unique()
    return reduced(frame, x, ys, by, n_buckets=max(1, most // (n_series * (2 + 2 * len(ys)))))
