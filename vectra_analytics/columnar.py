"""`ticks` and `tick_features` executed a second time, over whole columns in numpy: the bits of their SQL, sooner.

The SQL files are the definition; docs/decisions/second-execution.md tells why there is this beside them, and what keeps
it to them. Inside, NaN stands for NULL, and a row stands for the rows of all games, one game after the other: windows
that would reach into the game before are found with those that reach over a hole, by where they begin.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import polars as pl

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Rows: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]  # places in a column
Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

_BEST_FIRST = ("game_id", "tick", "rugged", "ts", "session_id", "seq")
_AT_ONCE = 32_768  # rows whose sums stay in the cache; with fewer, two threads wait for each other
_BEYOND = 20  # room behind the last row, so that windows that begin there need no care


def ticks(events: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame | None:
    """These columns of the view `ticks`, of which `source` comes last; None where it is left to the SQL.

    Parameters
    ----------
    events
        Those of the kind game_tick and no others, in no order, with the columns game_id, tick, ts, price, active,
        rugged, session_id and seq.
    """
    rows = _played(events)
    if any(rows[name].null_count() for name in ("ts", "session_id", "seq")):
        return None  # no recorder leaves these out
    starts = _starts_of_games(rows["game_id"])
    if not _is_sorted(rows, starts):
        rows = rows[_best_sightings(rows, starts)]
        starts = _starts_of_games(rows["game_id"])
    rows = _without_ghosts(rows, starts)
    chosen = rows[[name for name in columns if name != "source"]]
    return chosen.with_columns(source=pl.lit("game_tick", pl.String)) if "source" in columns else chosen


def _played(events: pl.DataFrame) -> pl.DataFrame:
    """The rows with a tick and a price of the game itself; the same frame, and no copy, where all are."""
    is_played = events.select(
        (pl.col("active").fill_null(True) | pl.col("rugged").fill_null(False))
        & pl.col("game_id").is_not_null()
        & (pl.col("tick") >= 0)
        & (pl.col("price") >= 0)
        & pl.col("price").is_finite()
    ).to_series()
    rows = events if is_played.sum() == events.height else events.filter(is_played)
    return rows.with_columns(pl.col("rugged").fill_null(False)) if rows["rugged"].null_count() else rows


def _starts_of_games(game_ids: pl.Series) -> Rows:
    """The first row of each game, where a game's rows stand together."""
    if not len(game_ids):
        return np.empty(0, np.int64)
    changes = game_ids.slice(1) != game_ids.slice(0, len(game_ids) - 1)
    return np.append(0, np.flatnonzero(changes.to_numpy()) + 1)


def _is_sorted(rows: pl.DataFrame, starts: Rows) -> bool:
    """Whether the rows stand in the order of game and tick, each tick once."""
    tick = _numbers(rows["tick"])
    is_after = tick[1:] > tick[:-1]
    is_after[starts[1:] - 1] = True
    return bool(is_after.all()) and rows["game_id"].gather(starts).is_sorted()


def _best_sightings(rows: pl.DataFrame, starts: Rows) -> Rows:
    """Where the best sighting of each tick stands, ordered by game and tick."""
    names, tick = rows["game_id"].gather(starts), _numbers(rows["tick"])
    game = np.repeat(_numbers(names.rank("dense").cast(pl.Int64)), np.diff(starts, append=rows.height))
    order = np.lexsort((tick, game))  # fast where it is nearly so already
    game, tick = game[order], tick[order]
    firsts = np.flatnonzero(np.append(True, (game[1:] != game[:-1]) | (tick[1:] != tick[:-1])))
    best, n_sightings = order[firsts], np.diff(firsts, append=len(order))
    is_seen_again = n_sightings > 1
    if is_seen_again.any():
        them = order[np.repeat(is_seen_again, n_sightings)]
        in_order = (
            rows[them]
            .with_row_index("place")
            .sort(_BEST_FIRST, descending=[name == "rugged" for name in _BEST_FIRST])["place"]
        )
        sizes = n_sightings[is_seen_again]
        best[is_seen_again] = them[_numbers(in_order)[np.cumsum(sizes) - sizes]]
    return best


def _without_ghosts(rows: pl.DataFrame, starts: Rows) -> pl.DataFrame:
    """The rows up to the first rugged one of each game."""
    rugged = np.flatnonzero(rows["rugged"].to_numpy())
    game = np.searchsorted(starts, rugged, "right") - 1
    is_first = np.diff(game, prepend=-1) > 0
    last, end = rugged[is_first], np.append(starts, rows.height)[game[is_first] + 1]
    if (last + 1 == end).all():
        return rows
    ghosts = np.zeros(rows.height + 1, np.int8)
    ghosts[last + 1] = 1
    ghosts[end] -= 1
    return rows.filter(pl.Series(np.cumsum(ghosts[:-1], dtype=np.int8) == 0))


def _numbers(column: pl.Series) -> Any:
    """As numpy has it; shares the memory where that is in one piece."""
    return column.rechunk().to_numpy()


def tick_features(ticks: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame | None:
    """These columns of the view `tick_features`; None where it is left to the SQL.

    Parameters
    ----------
    ticks
        Rows of `ticks`, ordered by game and tick, with the columns game_id, tick, price, and of ts and rugged those
        that are wanted.
    """
    price = _numbers(ticks["price"])
    if np.signbit(price).any():
        return None  # which of 0 and -0 is the larger, the SQL does not say
    with np.errstate(all="ignore"):
        computed = _Features(_starts_of_games(ticks["game_id"]), _numbers(ticks["tick"]), price)
        return pl.DataFrame([_series(name, ticks, computed) for name in columns])


def _series(name: str, ticks: pl.DataFrame, computed: "_Features") -> pl.Series:
    if name in ticks.columns:
        return ticks[name]
    found = getattr(computed, name)
    if found.dtype == np.int64:
        return pl.Series(name, found)
    found[np.isinf(found)] = np.nan  # what has no finite value is NULL
    return pl.Series(name, found, nan_to_null=True)


class _Sums:
    """Of the windows that end in each row: what DuckDB's aggregates add up, in its order of adding.

    Welford (1962): ``mean += (x - mean) / count; squares += (x - mean before) * (x - mean)``, and for avg a plain sum.
    The first five rows of a window of ten are the window of five that ends there, so one pass gives both.
    """

    def __init__(self, column: Floats) -> None:
        n = len(column)
        x = np.concatenate((column, np.zeros(_BEYOND)))
        self.deviation_5, self.variance_10, self.mean_10 = (np.empty(n + _BEYOND) for _ in range(3))
        for found in (self.deviation_5, self.variance_10, self.mean_10):
            found[:9] = np.nan  # no whole window ends there
        buffers = np.empty((5, min(n, _AT_ONCE)))
        for first in range(0, n, _AT_ONCE):
            self._add_up(x, first, min(n, first + _AT_ONCE), buffers)
        np.sqrt(self.deviation_5, out=self.deviation_5)

    def _add_up(self, x: Floats, first: int, end: int, buffers: Floats) -> None:
        """The windows that begin in these rows."""
        mean, squares, total, change, change_after = buffers[:, : end - first]
        mean[:] = total[:] = x[first:end]
        squares[:] = 0
        for count in range(2, 11):
            value = x[first + count - 1 : end + count - 1]
            np.subtract(value, mean, out=change)
            np.divide(change, count, out=change_after)
            np.add(mean, change_after, out=mean)
            np.subtract(value, mean, out=change_after)
            np.multiply(change_after, change, out=change_after)
            np.add(squares, change_after, out=squares)
            np.add(total, value, out=total)
            if count == 5:
                np.divide(squares, 4, out=self.deviation_5[first + 4 : end + 4])
        np.divide(squares, 9, out=self.variance_10[first + 9 : end + 9])
        np.divide(total, 10, out=self.mean_10[first + 9 : end + 9])

    def deviation_20(self) -> Floats:
        """Two windows of ten, joined."""
        found = np.empty_like(self.variance_10)
        found[:10] = np.nan
        between = self.mean_10[10:] - self.mean_10[:-10]
        found[10:] = np.sqrt((9 * (self.variance_10[10:] + self.variance_10[:-10]) + 5 * between * between) / 19)
        return found


class _Features:
    """The columns of `tick_features` and what they are computed from, each when it is first asked for."""

    def __init__(self, starts: Rows, tick: Rows, price: Floats) -> None:
        self._starts, self._tick, self._price = starts, tick, price
        self._n = len(tick)

    @cached_property
    def _breaks(self) -> Rows:
        """The rows whose tick before was not seen; the first one of each game is one."""
        sees = np.empty(self._n, np.bool_)
        np.equal(self._tick[1:] - 1, self._tick[:-1], out=sees[1:])
        sees[self._starts] = False
        return np.flatnonzero(~sees)

    def _whole(self, found: Floats, n_ticks: int) -> Floats:
        """Of a column of windows of so many prices those whose ticks were all seen, one after the other."""
        for place in range(n_ticks - 1):
            found[self._breaks + place] = np.nan
        return found[: self._n]

    @cached_property
    def price_change(self) -> Floats:
        found = np.empty(self._n)
        np.subtract(self._price[1:], self._price[:-1], out=found[1:])
        found[self._breaks] = np.nan
        return found

    @cached_property
    def price_pct_change(self) -> Floats:
        found = np.empty(self._n)
        np.divide(self.price_change[1:], self._price[:-1], out=found[1:])
        found[self._breaks] = np.nan
        found[np.isinf(found)] = np.nan
        return found

    @cached_property
    def log_return(self) -> Floats:
        change, ratio = self.price_pct_change, np.empty(self._n)
        np.divide(self._price[1:], self._price[:-1], out=ratio[1:])
        after = 1 + change
        is_small = np.abs(change) < 0.5
        np.copyto(ratio, after, where=is_small)
        found = pl.Series(ratio).log().to_numpy(writable=True)  # the C library's, as DuckDB's is; numpy has its own
        np.copyto(found, found * change / (after - 1), where=is_small)
        np.copyto(found, change, where=after == 1)
        found[np.isnan(change)] = np.nan
        return found

    @cached_property
    def _of_prices(self) -> _Sums:
        return _Sums(self._price)

    @cached_property
    def _of_changes(self) -> _Sums:
        # Where a change is NaN so is every window with it; the first one of each game is.
        return _Sums(self.price_pct_change)

    @cached_property
    def volatility_5(self) -> Floats:
        return self._whole(self._of_prices.deviation_5.copy(), 5)

    @cached_property
    def volatility_10(self) -> Floats:
        return self._whole(np.sqrt(self._of_prices.variance_10), 10)

    @cached_property
    def volatility_20(self) -> Floats:
        return self._whole(self._of_prices.deviation_20(), 20)

    @cached_property
    def return_volatility_5(self) -> Floats:
        return self._of_changes.deviation_5[: self._n].copy()

    @cached_property
    def return_volatility_10(self) -> Floats:
        return np.sqrt(self._of_changes.variance_10[: self._n])

    @cached_property
    def return_volatility_20(self) -> Floats:
        return self._of_changes.deviation_20()[: self._n]

    @cached_property
    def zscore_10(self) -> Floats:
        return (self._price - self._of_prices.mean_10[: self._n]) / self.volatility_10

    def _of_each_game(self, running: np.ufunc, column: Floats) -> Floats:
        """The highest or lowest so far."""
        found = np.empty_like(column)
        bounds = [*self._starts.tolist(), self._n]
        for first, end in pairwise(bounds):
            running.accumulate(column[first:end], out=found[first:end])
        return found

    @cached_property
    def max_price(self) -> Floats:
        return self._of_each_game(np.maximum, self._price)

    @cached_property
    def drawdown(self) -> Floats:
        return (self._price - self.max_price) / self.max_price

    @cached_property
    def max_drawdown(self) -> Floats:
        return self._of_each_game(np.fmin, self.drawdown)  # fmin passes over NaN

    @cached_property
    def ticks_since_peak(self) -> Rows:
        is_peak = np.empty(self._n, np.bool_)
        np.greater(self._price[1:], self.max_price[:-1], out=is_peak[1:])
        is_peak[self._starts] = True
        peak = np.maximum.accumulate(np.where(is_peak, np.arange(self._n), 0))
        return self._tick - self._tick[peak]

    @cached_property
    def momentum_3(self) -> Floats:
        return self._momentum(3)

    @cached_property
    def momentum_5(self) -> Floats:
        return self._momentum(5)

    @cached_property
    def momentum_10(self) -> Floats:
        return self._momentum(10)

    def _momentum(self, n: int) -> Floats:
        found = np.full(self._n + _BEYOND, np.nan)
        before = self._price[:-n]
        np.divide(self._price[n:] - before, before, out=found[n : self._n])
        found = self._whole(found, n + 1)
        if len(self._holes):
            now, then = self._over_holes(n)
            found[now] = (self._price[now] - self._price[then]) / self._price[then]
        return found

    @cached_property
    def _holes(self) -> Rows:
        return np.setdiff1d(self._breaks, self._starts, assume_unique=True)

    def _over_holes(self, n: int) -> tuple[Rows, Rows]:
        """The rows soon after a hole for which the tick ``n`` ago was seen nevertheless, and the rows of that."""
        soon = np.unique(self._holes[:, None] + np.arange(n))
        soon = soon[soon < self._n]
        first = self._starts[np.searchsorted(self._starts, soon, "right") - 1]
        found = [np.empty((2, 0), np.int64)]
        for back in range(1, n):
            reaches = soon - back >= first
            reaches[reaches] = self._tick[soon[reaches] - back] == self._tick[soon[reaches]] - n
            found.append(np.stack((soon[reaches], soon[reaches] - back)))
        now, before = np.concatenate(found, axis=1)
        return now, before
