"""The pages of a report: one of all notebooks, and one of each, with nothing that comes from a network."""

import html
from collections.abc import Sequence
from importlib.metadata import version as installed
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl

from vectra_analytics.features import own_views
from vectra_analytics.notebooks import WIDGET
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.query import EventStoreQuery
from vectra_analytics.reports.run import NotebookRun

_PLOTLY = "application/vnd.plotly.v1+json"
_LIBRARIES = ("vectra_analytics", "duckdb", "polars", "pyarrow", "plotly", "jupyterlab")


def write_site(folder: Path, runs: Sequence[NotebookRun], store: EventStorePaths | None) -> None:
    """Write the pages into an empty folder."""
    from plotly.offline import get_plotlyjs

    (folder / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")  # once for all figures of all pages
    (folder / "style.css").write_text(_style(), encoding="utf-8")
    (folder / "index.html").write_text(_page("Notebooks", _index(runs, store)), encoding="utf-8")
    for run in runs:
        (folder / f"{run.name}.html").write_text(_page(run.name, _notebook(run)), encoding="utf-8")


def _style() -> str:
    from pygments.formatters import HtmlFormatter

    light, dark = (HtmlFormatter(style=name).get_style_defs(".highlight") for name in ("default", "github-dark"))
    own = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{own}"


def _page(title: str, body: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
<script src="plotly.min.js"></script>
</head>
<body>
{body}
</body>
</html>
"""


def _index(runs: Sequence[NotebookRun], store: EventStorePaths | None) -> str:
    n_failed = sum(run.failure is not None for run in runs)
    verdict = f"{n_failed} of {len(runs)} failed" if n_failed else f"all {len(runs)} passed"
    rows = "".join(
        f'<tr class="{_class(run)}"><td>{"FAILED" if run.failure else "passed"}</td>'
        f'<td><a href="{html.escape(run.name)}.html">{html.escape(run.name)}</a></td>'
        f"<td>{run.seconds:.1f} s</td><td>{html.escape(_stamp(run))}</td><td>{_said(run)}</td></tr>"
        for run in runs
    )
    views = own_views()
    versions = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(view.kind)}</td><td><code>{views.version(name)}</code></td>"
        f"<td>{html.escape(view.title)}</td></tr>"
        for name, view in views.items()
    )
    libraries = "".join(f"<tr><td>{name}</td><td>{installed(name)}</td></tr>" for name in _LIBRARIES)
    return (
        f'<h1>Notebooks: <span class="{"failed" if n_failed else "passed"}">{verdict}</span></h1>'
        "<table><tr><th></th><th>notebook</th><th>took</th><th>version</th><th></th></tr>"
        f"{rows}</table>{_data(store)}"
        f"<h2>Views</h2><table><tr><th>view</th><th>kind</th><th>version</th><th></th></tr>{versions}</table>"
        f"<h2>Libraries</h2><table>{libraries}</table>"
    )


def _class(run: NotebookRun) -> str:
    return "passed" if run.failure is None else "failed"


def _stamp(run: NotebookRun) -> str:
    return str(run.notebook.metadata.get("vectra", {}).get("version", ""))


def _said(run: NotebookRun) -> str:
    return "" if run.failure is None else html.escape(f"cell {run.failure.cell}: {run.failure.said}")


def _data(store: EventStorePaths | None) -> str:
    """What the store holds, and how whole it is."""
    if store is None:
        return ""
    query = EventStoreQuery(store)
    info, games = query.info(), query.games()
    quality = games.select(
        pl.len().alias("games with ticks"),
        pl.col("is_complete").sum().alias("complete: tick 0, the rug and all between were seen"),
        pl.col("joined_late").sum().alias("joined late"),
        pl.col("rug_tick").is_null().sum().alias("without a rug"),
        pl.col("n_ticks").sum().alias("ticks"),
        pl.col("missing_ticks").sum().alias("ticks missing between others"),
        pl.col("n_conflicts").sum().alias("ticks on whose price sightings disagree"),
    ).row(0, named=True)
    lines = {"store version": info.version, "events": info.n_events, **quality, "lines refused": info.n_rejected}
    rows = "".join(f"<tr><td>{name}</td><td>{value or 0:,}</td></tr>" for name, value in lines.items())
    return f"<h2>Data</h2><table>{rows}</table>"


def _notebook(run: NotebookRun) -> str:
    from nbconvert.exporters import HTMLExporter

    for output in (output for cell in run.notebook.cells for output in cell.get("outputs", ())):
        if "data" in output:
            output["data"] = _plain(output["data"])
    # The template `basic` is the notebook alone: no page around it, and so no address of a script.
    exporter = HTMLExporter(template_name="basic")  # type: ignore[no-untyped-call]
    body, _ = exporter.from_notebook_node(run.notebook)
    failure = run.failure
    said = (
        '<p class="passed">passed</p>'
        if failure is None
        else f'<div class="failure"><p class="failed">FAILED in {_said(run)}</p>'
        f"<pre>{html.escape(failure.source)}</pre><pre>{html.escape(failure.details)}</pre></div>"
    )
    asked = run.notebook.metadata.get("vectra", {}).get("views", {})
    views = ", ".join(f"{html.escape(name)} <code>{html.escape(version)}</code>" for name, version in asked.items())
    of_views = f"<p>stored with the views {views}</p>" if views else ""
    return f'<p><a href="index.html">all notebooks</a></p>{said}<main>{body}</main><footer>{of_views}</footer>'


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """An output as a page can show it: figures live, by the one plotly.js; widgets by what they say of themselves."""
    if _PLOTLY in data:
        import plotly.graph_objects as go
        import plotly.io as pio

        figure = go.Figure({key: data[_PLOTLY][key] for key in ("data", "layout")})
        text = pio.to_html(
            figure,
            full_html=False,
            include_plotlyjs=False,
            include_mathjax=False,
            config={"responsive": True, "displaylogo": False},
        )
        return {"text/html": text}
    if WIDGET in data or "FigureWidget" in str(data.get("text/plain", "")):
        said = html.escape(str(data.get("text/plain", "")).partition("\n")[0])
        return {"text/html": f'<p class="widget">A widget, for use in JupyterLab. {said}</p>'}
    return data
