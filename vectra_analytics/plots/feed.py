"""How well the feed was recorded: what came when, how evenly, and what was lost."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import polars as pl

from vectra_analytics.plots.theme import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILLION,
    drawable,
    line_style,
    plain,
    required,
    styled,
)

_MOST_NAMED = 4  # names of events with a line each; the rest is one line, and no two are of the same colour
_OTHERS = "others"
_SERIES = ["session_id", "event_name"]  # rows that are a minute apart from each other
_GAP = 0.1  # between panels, for the legend of the lower one
_LATE_MS = 500  # twice what a tick takes


def feed_health(frame: pl.DataFrame) -> go.Figure:
    """Over time: events per minute, tick intervals, what was lost, and, where any was told, the latency of trades.

    Each session has lines of its own, which no line joins to those of another one. A minute without events between
    the first and the last one of its session is drawn as 0; over minutes without tick intervals the line is broken.

    Parameters
    ----------
    frame
        Rows of ``feed_health``: of all sessions, or of those of interest.
    """
    names = ("event_name", "n_events", "n_missing_ticks")
    measures = ("tick_interval_p50_ms", "tick_interval_p95_ms", "latency_p50_ms", "latency_p95_ms")
    required(frame, "session_id", "minute", *names, *measures)
    rows = frame.with_columns(pl.col("minute").dt.replace_time_zone(None))  # plotly takes times as they are: in UTC
    panels = [
        _Panel("events<br>(per minute)", 3, _events(rows), _FROM_ZERO),
        _Panel("tick interval<br>(ms)", 2, _spread(rows, "tick_interval", BLUE), _FROM_ZERO),
        _Panel("losses<br>(count)", 1.5, _losses(rows), _counting(rows)),
    ]
    if rows["latency_p50_ms"].count():
        panels.append(_Panel("latency<br>(ms)", 2, _spread(rows, "latency", GREEN), _FROM_ZERO))
    traces, layout = _stacked(panels)
    layout["xaxis"] |= _reach(rows)
    return styled(go.Figure(traces, layout), _title(rows), height=round(112 + 80 * sum(p.weight for p in panels)))


class _Panel(NamedTuple):
    """Traces over the shared horizontal axis, and how much of the height they get."""

    title: str
    weight: float
    traces: Sequence[Mapping[str, Any]]
    axis: Mapping[str, Any]


_FROM_ZERO = {"rangemode": "tozero"}
_NOTHING = {"type": "scatter", "x": [None], "y": [None], "showlegend": False}  # an axis without traces is not drawn


def _stacked(panels: Sequence[_Panel]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Traces and layout of panels from top to bottom, each with a legend above it."""
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"xaxis": {"title": {"text": "time (UTC)"}, "type": "date", "anchor": f"y{len(panels)}"}}
    unit = (1 - _GAP * (len(panels) - 1)) / sum(panel.weight for panel in panels)
    top = 1.0
    for number, panel in enumerate(panels, 1):
        place = "" if number == 1 else str(number)
        bottom = max(0.0, top - unit * panel.weight)
        layout[f"yaxis{place}"] = {"title": {"text": panel.title}, "domain": [bottom, top], **panel.axis}
        layout[f"legend{place}"] = {"orientation": "h", "x": 0, "y": top, "yanchor": "bottom"}
        shown = panel.traces or [_NOTHING]
        traces += [{**trace, "yaxis": f"y{place}", "legend": f"legend{place}"} for trace in shown]
        top = bottom - _GAP
    return traces, layout


def _reach(rows: pl.DataFrame) -> dict[str, Any]:
    """The range of the horizontal axis: a minute more at either end, or a fiftieth of all."""
    if rows.is_empty():
        return {}
    span = rows.select(first=pl.col("minute").min(), last=pl.col("minute").max())
    room = pl.max_horizontal(pl.duration(minutes=1), (pl.col("last") - pl.col("first")) / 50)
    return {"range": list(span.select(pl.col("first") - room, pl.col("last") + room).row(0))}


def _title(rows: pl.DataFrame) -> str:
    if rows.is_empty():
        return "Feed health: no events"
    first, last = rows["minute"].sort().dt.strftime("%Y-%m-%d %H:%M").gather([0, -1])
    n_sessions = rows["session_id"].n_unique()
    return f"Feed health of {n_sessions:,} session{'s' * (n_sessions > 1)}, {first} to {last} UTC"


def _events(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """A line for each of the most frequent names, and one for the sum of all others."""
    by_name = rows.group_by("event_name").agg(pl.col("n_events").sum())
    names = by_name.sort(["n_events", "event_name"], descending=[True, False])["event_name"].to_list()
    shown = names if len(names) <= _MOST_NAMED + 1 else [*names[:_MOST_NAMED], _OTHERS]
    counts = (
        rows.with_columns(
            name=pl.when(pl.col("event_name").is_in(shown)).then("event_name").otherwise(pl.lit(_OTHERS)),
        )
        .group_by("session_id", "minute", "name")
        .agg(pl.col("n_events").sum())
    )
    spans = rows.group_by("session_id").agg(first=pl.col("minute").min(), last=pl.col("minute").max())
    found = []
    for number, name in enumerate(shown):
        some = _with_zeros(counts.filter(pl.col("name") == name), spans)
        line = some.with_columns(run=pl.col("session_id").rle_id())
        found += _lines(line, {"n_events": (plain(name), line_style(number))}, n_lines=len(shown))
    return found


def _with_zeros(counts: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """The counts of a name, and a zero at either end of each time without one, as far as its session reaches."""
    minute = pl.col("minute")
    ends = [
        counts.select("session_id", minute.dt.offset_by("-1m")),
        counts.select("session_id", minute),
        counts.select("session_id", minute.dt.offset_by("1m")),
        *(spans.select("session_id", pl.col(name).alias("minute")) for name in ("first", "last")),
    ]
    return (
        pl.concat(ends)
        .unique()
        .join(spans, on="session_id")
        .filter(minute.is_between("first", "last"))
        .join(counts, on=["session_id", "minute"], how="left")
        .select("session_id", "minute", pl.col("n_events").fill_null(0))
        .sort("session_id", "minute")
    )


def _spread(rows: pl.DataFrame, what: str, color: str) -> list[dict[str, Any]]:
    """Median and 95th percentile: a run for each time without a gap of a name in a session."""
    minute, median, high = pl.col("minute"), f"{what}_p50_ms", f"{what}_p95_ms"
    is_next = (minute.dt.offset_by("-1m") == minute.shift().over(_SERIES)).fill_null(False)
    some = rows.filter(pl.col(median).is_not_null()).sort(*_SERIES, "minute").with_columns(run=(~is_next).cum_sum())
    title = what.replace("_", " ")
    styles = {
        median: (f"{title}, median", {"color": color, "width": 1.5}),
        high: (f"{title}, 95th percentile", {"color": GREY, "width": 1.5, "dash": "dot"}),
    }
    return _lines(some, styles, n_lines=len(styles))


_IS_LOSS = {
    "n_missing_ticks": pl.col("n_missing_ticks") > 0,
    "n_events": pl.col("event_name") == "disconnected",
}


def _losses(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Marks where ticks are missing, and where the recorder lost its connection."""
    styles = {
        "n_missing_ticks": ("missing ticks", {"symbol": "triangle-down", "color": PURPLE}),
        "n_events": ("disconnections", {"symbol": "x", "color": VERMILLION}),
    }
    found = []
    for column, (name, marker) in styles.items():
        some = rows.filter(_IS_LOSS[column]).sort("minute", *_SERIES)
        if some.height:
            drawn = drawable(some, "minute", [column], n_lines=len(styles))
            trace = {"type": "scatter", "x": drawn["minute"], "y": drawn[column], "name": name, "showlegend": True}
            found.append({**trace, "mode": "markers", "marker": {"size": 9, **marker}, "cliponaxis": False})
    return found


def _counting(rows: pl.DataFrame) -> dict[str, Any]:
    """An axis on which a single lost tick shows beside a thousand: logarithmic, from below 1 to above 10 at least."""
    highest = rows.select(pl.col(column).filter(is_one).max() for column, is_one in _IS_LOSS.items())
    top = highest.select(pl.max_horizontal(10, pl.all()).log10() + 0.1).item()
    return {"type": "log", "tickformat": "~s", "range": [-0.2, top], "dtick": 1}


def _lines(
    rows: pl.DataFrame, styles: Mapping[str, tuple[str, Mapping[str, Any]]], *, n_lines: int
) -> list[dict[str, Any]]:
    """A line for each of these columns, broken between runs; rows are ordered by run and minute."""
    if rows.is_empty():
        return []
    drawn = drawable(rows, "minute", list(styles), n_lines, by="run").select("run", "minute", *styles)
    breaks = drawn.group_by("run").agg(pl.col("minute").last())
    broken = pl.concat([drawn, breaks], how="diagonal").sort("run", maintain_order=True).head(-1)
    return [
        {
            "type": "scatter",
            "x": broken["minute"],
            "y": broken[column],
            "name": name,
            "mode": "lines+markers",  # a run may be a minute long
            "marker": {"size": 4, "color": style["color"]},
            "line": style,
            "showlegend": True,
        }
        for column, (name, style) in styles.items()
    ]


def tick_intervals(frame: pl.DataFrame, n_bins: int = 60) -> go.Figure:
    """How evenly ticks came: a histogram of the times between them; the share above 500 ms is in the title.

    Parameters
    ----------
    frame
        Rows with ``interval_ms``, the time from a tick to the next one; where it is NULL or no finite number it does
        not count.
    n_bins
        Bins of equal width on the logarithmic axis. What is shorter than 1 ms is in the lowest one.

    Notes
    -----
    The intervals of a store, of ticks that were seen one after the other::

        SELECT game_id, tick, (epoch_us(ts) - lag(epoch_us(ts)) OVER game) / 1000 AS interval_ms
        FROM ticks
        WHERE NOT rugged
        WINDOW game AS (PARTITION BY game_id ORDER BY tick)
        QUALIFY tick - lag(tick) OVER game = 1

    They are of the game, whichever session saw a tick best; ``feed_health`` has those of each session.
    """
    required(frame, "interval_ms")
    intervals = frame.select(pl.col("interval_ms").cast(pl.Float64)).filter(pl.col("interval_ms").is_finite())
    values = intervals["interval_ms"].to_numpy()
    figure = go.Figure()
    title = "Tick intervals: none"
    if len(values):
        drawn = np.maximum(values, 1)
        low, high = drawn.min(), drawn.max()
        edges = np.geomspace(low, high, n_bins + 1) if high > low else np.array([low / 1.1, low * 1.1])
        edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)  # what is rounded loses no interval
        counts, _ = np.histogram(drawn, edges)
        figure.add_scatter(
            x=edges,
            y=np.append(counts, 0),
            name="tick intervals",
            mode="lines",
            line={"shape": "hv", "color": BLUE, "width": 1.5},
            fill="tozeroy",
            fillcolor="rgba(0, 114, 178, 0.35)",
        )
        figure.add_vline(_LATE_MS, line={"color": VERMILLION, "width": 1, "dash": "dash"})
        title = f"{len(values):,} tick intervals, {np.mean(values > _LATE_MS):.2%} of them above {_LATE_MS} ms"
    figure.update_xaxes(title_text="interval (ms)", type="log", tickformat="~g")
    figure.update_yaxes(title_text="ticks<br>(count)", rangemode="tozero")
    return styled(figure, title)
