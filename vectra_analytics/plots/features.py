"""Features beside labels and beside each other."""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from vectra_analytics.errors import VectraError
from vectra_analytics.plots.theme import BLUE, line_style, plain, required, styled, titled


def feature_against_label(frame: pl.DataFrame, feature: str, label: str, n_bins: int = 10) -> go.Figure:
    """A label in bins of a feature that hold equally many rows: its median and quartiles, or the share that is true.

    Parameters
    ----------
    frame
        Rows with both columns, of ``tick_features`` and ``tick_labels`` joined, say; rows with a NULL in either do not
        count.
    label
        A number or a flag.
    n_bins
        At most; equal values of the feature are never parted.

    Notes
    -----
    No interval of confidence is drawn: ticks of one game are not independent of each other.
    """
    required(frame, feature, label)
    rows = frame.select(_feature=feature, _label=label).drop_nulls()
    is_flag = rows["_label"].dtype == pl.Boolean
    bins = _binned(rows, n_bins)
    figure = go.Figure()
    about = {"customdata": bins["n"], "hovertemplate": "%{y:.4g} of %{customdata:,} rows"}
    if is_flag:
        style = line_style(0)
        figure.add_scatter(x=bins["at"], y=bins["mean"], name="share true", mode="lines+markers", line=style, **about)
        figure.update_yaxes(tickformat=".1%", title_text=f"{plain(label)}<br>(share that is true)")
    else:
        for name, dash in (("upper quartile", "dot"), ("median", "solid"), ("lower quartile", "dot")):
            figure.add_scatter(
                x=bins["at"],
                y=bins[name],
                name=name,
                mode="lines+markers",
                line={"color": BLUE, "dash": dash, "width": 1.5},
                **about,
            )
        figure.update_yaxes(title_text=titled(label))
    figure.update_xaxes(title_text=f"{titled(feature)}: median of each bin")
    return styled(figure, f"{label} by {feature}, {rows.height:,} rows")


def _binned(rows: pl.DataFrame, n_bins: int) -> pl.DataFrame:
    """Of each bin of the feature: the median of it, the number of rows, and what there is of the label."""
    place = (pl.col("_feature").rank("min") - 1) * n_bins // pl.len()
    label = pl.col("_label").cast(pl.Float64)
    return (
        rows.group_by(place.cast(pl.Int64).alias("bin"))
        .agg(
            pl.len().alias("n"),
            pl.col("_feature").cast(pl.Float64).median().alias("at"),
            label.mean().alias("mean"),
            label.median().alias("median"),
            label.quantile(0.25, "linear").alias("lower quartile"),
            label.quantile(0.75, "linear").alias("upper quartile"),
        )
        .sort("bin")
    )


def feature_by_label(frame: pl.DataFrame, feature: str, label: str, n_bins: int = 60) -> go.Figure:
    """How a feature is distributed for each value of a flag, or for the lowest, middle and highest third of a number.

    The bins reach from the 1st to the 99th percentile of the feature; the share of rows beyond is in the title.
    """
    required(frame, feature, label)
    rows = frame.select(_feature=pl.col(feature).cast(pl.Float64), _label=label).drop_nulls()
    figure = go.Figure()
    beyond = 0.0
    if rows.height:
        values = rows["_feature"].to_numpy()
        low, high = np.quantile(values, (0.01, 0.99), method="lower")
        beyond = float(np.mean((values < low) | (values > high)))
        edges = np.linspace(low, high, n_bins + 1) if high > low else np.array([low - 0.5, low + 0.5])
        for number, (name, some) in enumerate(_classes(rows, label)):
            counts, _ = np.histogram(some.to_numpy(), edges)
            shares = counts / max(1, len(some))
            style = {**line_style(number), "shape": "hv"}
            figure.add_scatter(x=edges, y=np.append(shares, 0), name=name, mode="lines", line=style)
    figure.update_xaxes(title_text=titled(feature))
    figure.update_yaxes(title_text="share of the rows<br>(ratio)", tickformat=".1%", rangemode="tozero")
    return styled(figure, f"{feature} by {label}, {rows.height:,} rows, {beyond:.1%} of them beyond the axis")


def _classes(rows: pl.DataFrame, label: str) -> list[tuple[str, pl.Series]]:
    label = plain(label)
    if rows["_label"].dtype == pl.Boolean:
        found = [(f"{label} is {str(value).lower()}", pl.col("_label") == value) for value in (False, True)]
    else:
        third, two_thirds = np.quantile(rows["_label"].cast(pl.Float64).to_numpy(), (1 / 3, 2 / 3))
        found = [
            (f"{label} <= {third:.4g}", pl.col("_label") <= third),
            ("between", (pl.col("_label") > third) & (pl.col("_label") <= two_thirds)),
            (f"{label} > {two_thirds:.4g}", pl.col("_label") > two_thirds),
        ]
    return [(name, rows.filter(which)["_feature"]) for name, which in found]


def correlation(frame: pl.DataFrame, columns: list[str]) -> go.Figure:
    """Spearman's rank correlation of each two columns, over the rows where none of them is NULL.

    Ranks, since prices and what is computed of them have tails that would decide Pearson's alone. A column that is
    constant has no correlation: its cells are empty.
    """
    required(frame, *columns)
    if len(columns) < 2:
        raise VectraError("a correlation needs two columns or more")
    rows = frame.select(pl.col(columns).cast(pl.Float64)).drop_nulls()
    ranks = rows.select(pl.all().rank("average")).to_numpy()
    ranks = ranks - ranks.mean(axis=0) if len(ranks) else ranks
    norms = np.sqrt((ranks**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = ranks.T @ ranks / np.outer(norms, norms)
    found = np.clip(found, -1, 1)
    figure = go.Figure(
        go.Heatmap(
            x=[plain(name) for name in columns],
            y=[plain(name) for name in columns],
            z=[[None if np.isnan(value) else round(float(value), 4) for value in row] for row in found],
            zmin=-1,
            zmax=1,
            colorscale="RdBu_r",
            texttemplate="%{z:.2f}" if len(columns) <= 12 else None,
            colorbar={"title": {"text": "correlation<br>(ratio)"}},
            hovertemplate="%{x}, %{y}: %{z:.3f}<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed")
    styled(figure, f"Rank correlation over {rows.height:,} rows", height=140 + 34 * max(8, len(columns)))
    return figure.update_layout(hovermode="closest")
