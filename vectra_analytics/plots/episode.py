"""Episodes over their ticks: one with its drawdown and volatility, or many prices over each other."""

from typing import Any

import plotly.graph_objects as go
import polars as pl

from vectra_analytics.errors import VectraError
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
    titled,
)

_MARKS = {"buy": ("triangle-up", GREEN), "sell": ("triangle-down", PURPLE)}
_OTHER_MARK = ("diamond", GREY)
_MOST_NAMED = 12  # lines that a legend can name


def episode(
    features: pl.DataFrame,
    trades: pl.DataFrame | None = None,
    *,
    volatility: str = "return_volatility_10",
    log: bool = True,
) -> go.Figure:
    """One game: price and running maximum, the drawdown below it, and a volatility, over the same ticks.

    Parameters
    ----------
    features
        Rows of ``tick_features`` of one game, ordered by tick.
    trades
        Rows of ``actions_with_ticks`` of the game: each is marked at the tick and price that it saw.
    volatility
        The column in the third panel; it may be any other number.
    log
        Draw prices on a logarithmic axis, where a rise of ten percent is equally high everywhere.

    Raises
    ------
    VectraError
        Where the frame lacks a column, or has rows of several games.
    """
    required(features, "game_id", "tick", "price", "max_price", "drawdown", "rugged", volatility)
    game_ids = features["game_id"].unique().to_list()
    if len(game_ids) > 1:
        raise VectraError(f"the frame has rows of {len(game_ids)} games; filter one, or use overlay()")
    lines = [("price", "y", BLUE), ("max_price", "y", GREY), ("drawdown", "y2", VERMILLION), (volatility, "y3", PURPLE)]
    rows = drawable(features, "tick", [name for name, _, _ in lines])
    traces = [
        {
            "type": "scatter",
            "x": rows["tick"],
            "y": rows[name],
            "name": name,
            "mode": "lines",
            "line": {"color": color, "width": 1.5, "dash": "dot" if name == "max_price" else "solid"},
            "fill": "tozeroy" if name == "drawdown" else "none",
            "fillcolor": "rgba(213, 94, 0, 0.25)",
            "yaxis": axis,
        }
        for name, axis, color in lines
    ]
    rug = features.filter("rugged").head(1)
    if rug.height:
        traces.append(_rug(rug))
    if trades is not None:
        traces += _trades(trades)
    # All at once, since each update of a part costs as much as the whole, and someone is waiting. The panels share one
    # horizontal axis: what is under the pointer is read in each of them.
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": titled("tick")}, "anchor": "y3"},
        "yaxis": {"title": {"text": "price<br>(multiple of the start)"}, "domain": [0.55, 1]},
        "yaxis2": {"title": {"text": "drawdown<br>(ratio)"}, "domain": [0.3, 0.5], "tickformat": ".0%"},
        "yaxis3": {"title": {"text": titled(volatility).replace(" (", "<br>(")}, "domain": [0, 0.25]},
        "shapes": [_line_down(tick) for tick in rug["tick"]],
    }
    if log:
        layout["yaxis"] |= {"type": "log", "tickformat": "~g"}
    title = f"Game {game_ids[0]}" if game_ids else "No ticks"
    return styled(go.Figure(traces, layout), title, height=620)


def _rug(rug: pl.DataFrame) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": rug["tick"],
        "y": rug["price"],
        "name": "rug",
        "mode": "markers",
        "marker": {"symbol": "x", "size": 10, "color": VERMILLION},
    }


def _line_down(tick: int) -> dict[str, Any]:
    """A line through all panels."""
    line = {"color": VERMILLION, "width": 1, "dash": "dash"}
    return {"type": "line", "x0": tick, "x1": tick, "yref": "paper", "y0": 0, "y1": 1, "line": line}


def _trades(trades: pl.DataFrame) -> list[dict[str, Any]]:
    required(trades, "action_type", "seen_tick", "seen_price", "player_id")
    marks = []
    seen = trades.filter(pl.col("seen_tick").is_not_null())
    for name in sorted(seen["action_type"].drop_nulls().unique()):
        some = seen.filter(pl.col("action_type") == name)
        symbol, color = _MARKS.get(name.lower(), _OTHER_MARK)
        marks.append(
            {
                "type": "scatter",
                "x": some["seen_tick"],
                "y": some["seen_price"],
                "name": plain(name),
                "text": [plain(player_id) for player_id in some["player_id"].fill_null("unknown player")],
                "mode": "markers",
                "marker": {"symbol": symbol, "size": 9, "color": color, "line": {"color": GREY, "width": 1}},
            }
        )
    return marks


def overlay(episodes: pl.DataFrame, column: str = "price", *, x: str = "tick", log: bool = True) -> go.Figure:
    """A column of several games over each other.

    Parameters
    ----------
    episodes
        Rows of several games with the columns ``game_id``, ``column`` and ``x``; a line each, in the order of the
        frame.
    x
        ``tick``; or ``ticks_to_rug`` of ``tick_labels``, to have all rugs at the same place.
    log
        A logarithmic vertical axis; values of 0 and below are not on it.
    """
    required(episodes, "game_id", x, column)
    games = episodes.partition_by("game_id", maintain_order=True)
    figure = go.Figure()
    for number, game in enumerate(games):
        rows = drawable(game.sort(x), x, [column], n_lines=len(games))
        name = plain(str(game["game_id"][0]))
        figure.add_scatter(x=rows[x], y=rows[column], name=name, mode="lines", line=line_style(number))
    figure.update_xaxes(title_text=titled(x), autorange="reversed" if x == "ticks_to_rug" else True)
    figure.update_yaxes(title_text=titled(column))
    if log:
        figure.update_yaxes(type="log", tickformat="~g")
    has_legend = len(games) <= _MOST_NAMED
    n_lines = -(-len(games) // 3) if has_legend else 0  # of the legend, which stands between title and plot
    styled(figure, f"{column} of {len(games)} games", height=420 + 18 * n_lines)
    return figure.update_layout(hovermode="closest", showlegend=has_legend, margin_t=64 + 18 * max(0, n_lines - 1))
