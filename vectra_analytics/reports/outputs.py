"""Outputs of a notebook as a page without a network can show them."""

import copy
import html
from typing import Any

from nbformat import from_dict
from plotly.io import to_html

from vectra_analytics.notebooks import WIDGET

FIGURE = "application/vnd.plotly.v1+json"
WIDGET_TEXT = "An interactive widget: open the notebook in JupyterLab."
_EMBEDDED_TEXT = "A figure that brings all of plotly.js along is left out: show it with the default renderer."
_LONGEST_HTML = 1_000_000
_DEFAULT_HEIGHT = 460


def for_page(notebook: Any, prefix: str) -> tuple[Any, int]:
    """A copy whose figures are drawn by the site's plotly.js, and how many they are; ``prefix`` begins their ids."""
    shown = copy.deepcopy(notebook)
    n_figures = 0
    for cell in shown.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if WIDGET in data:
                output.data = _html(_note(WIDGET_TEXT))
            elif FIGURE in data:
                n_figures += 1
                output.data = _html(_figure(data[FIGURE], f"{prefix}-{n_figures}"))
            elif len(data.get("text/html", "")) > _LONGEST_HTML and "plotly.js v" in data["text/html"]:
                output.data = _html(_note(_EMBEDDED_TEXT))
    return shown, n_figures


def _html(text: str) -> Any:
    return from_dict({"text/html": text})  # type: ignore[no-untyped-call]


def _note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>'


def _figure(figure: Any, name: str) -> str:
    height = figure.get("layout", {}).get("height") or _DEFAULT_HEIGHT
    drawn: str = to_html(
        {"data": figure.get("data", []), "layout": figure.get("layout", {}), "frames": figure.get("frames", [])},
        config={"responsive": True, "displaylogo": False},
        include_plotlyjs=False,
        include_mathjax=False,
        full_html=False,
        default_height=f"{height}px",
        auto_play=False,
        validate=False,  # what a kernel sent is a figure; another version of plotly may have made it
        div_id=name,
    )
    return f'<div class="figure" style="min-height: {height}px">{drawn}</div>'
