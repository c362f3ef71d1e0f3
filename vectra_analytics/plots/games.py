"""Games beside each other: how high they rise and how long they last."""

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from vectra_analytics.plots.theme import BLUE, VERMILLION, required, styled, titled


def peaks(games: pl.DataFrame, n_bins: int = 40) -> go.Figure:
    """How high games rise: a histogram of ``peak_price`` on a logarithmic axis, and the share that reaches a price.

    Parameters
    ----------
    games
        Rows of ``games``, commonly those with ``is_complete``; the rest were not seen whole.
    """
    return _distribution(games, "peak_price", n_bins, log=True)


def rug_ticks(games: pl.DataFrame, n_bins: int = 40) -> go.Figure:
    """How long games last: a histogram of ``rug_tick``, and the share that is still running at a tick."""
    return _distribution(games, "rug_tick", n_bins, log=False)


def _distribution(games: pl.DataFrame, column: str, n_bins: int, *, log: bool) -> go.Figure:
    required(games, column)
    values = np.sort(games[column].drop_nulls().to_numpy().astype(float))
    if log:
        values = values[values > 0]
    figure = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.06)
    if len(values):
        low, high = values[0], values[-1]
        edges = np.geomspace(low, high, n_bins + 1) if log else np.linspace(low, high, n_bins + 1)
        counts, _ = np.histogram(values, edges if high > low else [low - 0.5, high + 0.5])
        figure.add_scatter(
            x=edges if high > low else [low - 0.5, high + 0.5],
            y=np.append(counts, 0),
            name="games",
            line={"shape": "hv", "color": BLUE, "width": 1.5},
            fill="tozeroy",
            fillcolor="rgba(0, 114, 178, 0.35)",
            mode="lines",
            row=1,
            col=1,
        )
        # Of n games sorted, n - i reach the i-th value.
        reached, first = np.unique(values, return_index=True)
        figure.add_scatter(
            x=reached,
            y=(len(values) - first) / len(values),
            name="share that reaches it",
            line={"shape": "vh", "color": VERMILLION, "width": 1.5},
            mode="lines",
            row=2,
            col=1,
        )
    figure.update_yaxes(title_text="games<br>(count)", row=1, col=1)
    figure.update_yaxes(title_text="share of games<br>(ratio)", tickformat=".0%", rangemode="tozero", row=2, col=1)
    if log:
        figure.update_xaxes(type="log", tickformat="~g")
    figure.update_xaxes(title_text=titled(column), row=2, col=1)
    return styled(figure, f"{column} of {len(values):,} games", height=480)
