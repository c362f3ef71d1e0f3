"""The alternatives: what someone at home in DuckDB, Polars or pandas writes in ten minutes for the same numbers.

They may count on what the corpus happens to be: every game whole from tick 0 to its rug, each tick once, no price of 0,
and none so large that a square overflows. So they leave out what the views do besides: choosing among several sightings
of a tick, cutting ghosts, leaving windows with holes empty, keeping NaN and infinity out, accurate logarithms of small
moves, and sums whose last bit does not depend on the games around.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

TICK_COLUMNS = ["game_id", "tick", "ts", "price", "rugged"]

FEATURES = """
changes AS (
    SELECT
        *,
        price - lag(price) OVER game AS price_change,
        (price - lag(price) OVER game) / lag(price) OVER game AS price_pct_change,
        ln(price / lag(price) OVER game) AS log_return,
        CASE WHEN tick >= 4 THEN stddev_samp(price) OVER last_5 END AS volatility_5,
        CASE WHEN tick >= 9 THEN stddev_samp(price) OVER last_10 END AS volatility_10,
        CASE WHEN tick >= 19 THEN stddev_samp(price) OVER last_20 END AS volatility_20,
        avg(price) OVER last_10 AS mean_10,
        max(price) OVER so_far AS max_price,
        (price - lag(price, 3) OVER game) / lag(price, 3) OVER game AS momentum_3,
        (price - lag(price, 5) OVER game) / lag(price, 5) OVER game AS momentum_5,
        (price - lag(price, 10) OVER game) / lag(price, 10) OVER game AS momentum_10
    FROM played
    WINDOW
        game AS (PARTITION BY game_id ORDER BY tick),
        last_5 AS (PARTITION BY game_id ORDER BY tick ROWS 4 PRECEDING),
        last_10 AS (PARTITION BY game_id ORDER BY tick ROWS 9 PRECEDING),
        last_20 AS (PARTITION BY game_id ORDER BY tick ROWS 19 PRECEDING),
        so_far AS (PARTITION BY game_id ORDER BY tick ROWS UNBOUNDED PRECEDING)
)
SELECT
    * EXCLUDE (mean_10),
    CASE WHEN tick >= 5 THEN stddev_samp(price_pct_change) OVER last_5 END AS return_volatility_5,
    CASE WHEN tick >= 10 THEN stddev_samp(price_pct_change) OVER last_10 END AS return_volatility_10,
    CASE WHEN tick >= 20 THEN stddev_samp(price_pct_change) OVER last_20 END AS return_volatility_20,
    (price - max_price) / max_price AS drawdown,
    min((price - max_price) / max_price) OVER so_far AS max_drawdown,
    tick - max(CASE WHEN price = max_price THEN tick END) OVER so_far AS ticks_since_peak,
    (price - mean_10) / volatility_10 AS zscore_10
FROM changes
WINDOW
    last_5 AS (PARTITION BY game_id ORDER BY tick ROWS 4 PRECEDING),
    last_10 AS (PARTITION BY game_id ORDER BY tick ROWS 9 PRECEDING),
    last_20 AS (PARTITION BY game_id ORDER BY tick ROWS 19 PRECEDING),
    so_far AS (PARTITION BY game_id ORDER BY tick ROWS UNBOUNDED PRECEDING)
ORDER BY game_id, tick
"""

REFERENCE_FEATURES = """
SELECT
    tick,
    CAST(price AS DOUBLE) AS price,
    CAST(price AS DOUBLE) - lag(CAST(price AS DOUBLE)) OVER (ORDER BY tick) AS price_change,
    CAST(price AS DOUBLE) / lag(CAST(price AS DOUBLE)) OVER (ORDER BY tick) - 1 AS price_pct_change,
    stddev(CAST(price AS DOUBLE)) OVER (ORDER BY tick ROWS 4 PRECEDING) AS volatility_5,
    stddev(CAST(price AS DOUBLE)) OVER (ORDER BY tick ROWS 9 PRECEDING) AS volatility_10,
    max(CAST(price AS DOUBLE)) OVER (ORDER BY tick ROWS UNBOUNDED PRECEDING) AS max_price,
    CAST(price AS DOUBLE) / max(CAST(price AS DOUBLE)) OVER (ORDER BY tick ROWS UNBOUNDED PRECEDING) - 1 AS drawdown
FROM read_parquet($glob, hive_partitioning = true)
WHERE game_id = $game
ORDER BY tick
"""
"""The six features of the store that this package replaces, as it asks for them: ours gives seventeen."""


def connection() -> duckdb.DuckDBPyConnection:
    """DuckDB as it comes, but for two settings that help it here and that ours has, too."""
    found = duckdb.connect()
    found.execute("SET TimeZone = 'UTC'")
    found.execute("SET parquet_metadata_cache = true")
    return found


def reading(files: Sequence[Path], columns: Sequence[str] = ("*",), where: str = "") -> str:
    """A SELECT over exactly these files."""
    listed = ", ".join(f"'{file}'" for file in files)
    return f"SELECT {', '.join(columns)} FROM read_parquet([{listed}], hive_partitioning = false) {where}"


def with_duckdb(files: Sequence[Path], where: str = "") -> str:
    """All columns of tick_features over these files."""
    return f"WITH played AS ({reading(files, TICK_COLUMNS, where)}), {FEATURES}"


def with_polars(files: Sequence[Path]) -> pl.DataFrame:
    """The same in Polars, lazily, so that it may plan the whole."""
    price, returns = pl.col("price"), pl.col("price_pct_change")
    so_far = {
        "price_change": price.diff(),
        "price_pct_change": price.pct_change(),
        "log_return": (price / price.shift()).log(),
        **{f"volatility_{n}": price.rolling_std(n) for n in (5, 10, 20)},
        "max_price": price.cum_max(),
        **{f"momentum_{n}": price.pct_change(n) for n in (3, 5, 10)},
        "zscore_10": (price - price.rolling_mean(10)) / price.rolling_std(10),
    }
    peak_tick = pl.when(price == pl.col("max_price")).then("tick").forward_fill()
    return (
        pl.scan_parquet(list(files), hive_partitioning=False)
        .select(TICK_COLUMNS)
        .sort("game_id", "tick")
        .with_columns(**{name: column.over("game_id") for name, column in so_far.items()})
        .with_columns(
            drawdown=price / pl.col("max_price") - 1,
            ticks_since_peak=pl.col("tick") - peak_tick.over("game_id"),
            **{f"return_volatility_{n}": returns.rolling_std(n).over("game_id") for n in (5, 10, 20)},
        )
        .with_columns(max_drawdown=pl.col("drawdown").cum_min().over("game_id"))
        .collect()
    )


def with_exact_polars(files: Sequence[Path]) -> pl.DataFrame:
    """In Polars as exact as the views: no sum runs over a whole column, so none keeps what a spike left in it.

    Each window is looked at by itself, beside its oldest value: a constant one gives exactly 0. As games are whole, one
    that would reach into the game before is known by its tick.
    """
    price, returns, tick = pl.col("price"), pl.col("price_pct_change"), pl.col("tick")

    def at_least(first_tick: int, column: pl.Expr) -> pl.Expr:
        return pl.when(tick >= first_tick).then(column)

    def beside(column: pl.Expr, n: int) -> list[pl.Expr]:
        return [column.shift(age) - column.shift(n - 1) for age in range(n - 1)]

    def means(column: pl.Expr, name: str) -> dict[str, pl.Expr]:
        return {f"{name}_mean_{n}": reduce(add, beside(column, n)) / n for n in (5, 10, 20)}

    def deviation(column: pl.Expr, mean: str, n: int) -> pl.Expr:
        squares = [(value - pl.col(mean)) ** 2 for value in beside(column, n)]
        return (reduce(add, squares, pl.col(mean) ** 2) / (n - 1)).sqrt()

    peak_tick = pl.when(price == pl.col("max_price")).then("tick").forward_fill()
    return (
        pl.scan_parquet(list(files), hive_partitioning=False)
        .select(TICK_COLUMNS)
        .sort("game_id", "tick")
        .with_columns(
            price_change=at_least(1, price - price.shift()),
            price_pct_change=at_least(1, (price - price.shift()) / price.shift()),
            max_price=price.cum_max().over("game_id"),
            **{f"momentum_{n}": at_least(n, (price - price.shift(n)) / price.shift(n)) for n in (3, 5, 10)},
            **means(price, "price"),
        )
        .with_columns(
            log_return=returns.log1p(),
            drawdown=(price - pl.col("max_price")) / pl.col("max_price"),
            ticks_since_peak=tick - peak_tick.over("game_id"),
            **{f"volatility_{n}": at_least(n - 1, deviation(price, f"price_mean_{n}", n)) for n in (5, 10, 20)},
            **means(returns, "return"),
        )
        .with_columns(
            max_drawdown=pl.col("drawdown").cum_min().over("game_id"),
            zscore_10=(price - (price.shift(9) + pl.col("price_mean_10"))) / pl.col("volatility_10"),
            **{f"return_volatility_{n}": at_least(n, deviation(returns, f"return_mean_{n}", n)) for n in (5, 10, 20)},
        )
        .select(pl.exclude("^(price|return)_mean_.*$"))
        .collect()
    )


def with_pandas(files: Sequence[Path]) -> Any:
    """The same in pandas: groupby and rolling, whose results lie in the order of the sorted rows.

    Raises
    ------
    ImportError
        Where pandas is not installed: it belongs to the extra ``bench``.
    """
    import numpy as np
    import pandas as pd

    frame = pd.read_parquet(list(map(str, files)), columns=TICK_COLUMNS, partitioning=None)
    frame = frame.sort_values(["game_id", "tick"], ignore_index=True)

    def rolling(column: str, n: int) -> Any:
        return frame.groupby("game_id", sort=False, observed=True)[column].rolling(n)

    price = frame.groupby("game_id", sort=False, observed=True)["price"]
    frame["price_change"] = price.diff()
    frame["price_pct_change"] = price.pct_change()
    frame["log_return"] = np.log(frame["price"] / price.shift())
    frame["max_price"] = price.cummax()
    for n in (5, 10, 20):
        frame[f"volatility_{n}"] = rolling("price", n).std().to_numpy()
        frame[f"return_volatility_{n}"] = rolling("price_pct_change", n).std().to_numpy()
    for n in (3, 5, 10):
        frame[f"momentum_{n}"] = price.pct_change(n)
    frame["zscore_10"] = (frame["price"] - rolling("price", 10).mean().to_numpy()) / frame["volatility_10"]
    frame["drawdown"] = frame["price"] / frame["max_price"] - 1
    games = frame.groupby("game_id", sort=False, observed=True)
    frame["max_drawdown"] = games["drawdown"].cummin()
    peak_tick = frame["tick"].where(frame["price"] == frame["max_price"])
    frame["ticks_since_peak"] = frame["tick"] - peak_tick.groupby(frame["game_id"], sort=False, observed=True).ffill()
    return frame
