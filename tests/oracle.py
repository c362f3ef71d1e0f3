"""What every column of tick_features must hold, computed a second time: in fractions, and 200 bits where roots are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Any

import mpmath
import polars as pl

Tick = tuple[int, float, bool]
"""(tick, price, rugged)."""

Number = Any
"""A Fraction where the value is rational; else an mpf, of which mypy knows nothing."""

_RELATIVE = Fraction(1, 10**12)
_BITS = 200

LEVELS = ("price", "price_change", "volatility_5", "volatility_10", "volatility_20", "max_price")
"""In the unit of the price."""
RATIOS = (
    "price_pct_change",
    "log_return",
    "return_volatility_5",
    "return_volatility_10",
    "return_volatility_20",
    "drawdown",
    "max_drawdown",
    "momentum_3",
    "momentum_5",
    "momentum_10",
    "zscore_10",
)
"""Without a unit."""
CHEAP = (
    "price",
    "price_change",
    "price_pct_change",
    "max_price",
    "drawdown",
    "max_drawdown",
    "ticks_since_peak",
)
"""Columns of which the oracle computes tens of thousands in a second or two."""
COLUMNS = (*LEVELS, *RATIOS, "ticks_since_peak")


@dataclass(frozen=True, slots=True)
class Expected:
    """One value of one column: None for NULL."""

    value: Number
    scale: Number = Fraction(0)  # the s of the tolerance |got - exact| <= 1e-12 * max(|exact|, s)
    to_the_bit: bool = False
    or_null: bool = False

    def problem_with(self, got: float | int | None) -> str | None:
        """What is wrong with this value, if anything."""
        if self.value is None:
            return None if got is None else f"{got!r} instead of NULL"
        if got is None:
            return None if self.or_null else f"NULL instead of {_shown(self.value)}"
        if got != got or got in (float("inf"), float("-inf")):
            return f"{got!r} instead of {_shown(self.value)}"
        if isinstance(self.value, Fraction) and got == float(self.value):
            return None  # the nearest float of all: no need to measure how near
        if self.to_the_bit:
            return None if Fraction(got) == self.value else f"{got!r} instead of exactly {_shown(self.value)}"
        with mpmath.workprec(_BITS):
            if isinstance(self.value, Fraction) and isinstance(self.scale, Fraction):
                off, allowed = abs(Fraction(got) - self.value), _RELATIVE * max(abs(self.value), self.scale)
            else:
                exact, scale = _mpf(self.value), _mpf(self.scale)
                off, allowed = abs(_mpf(Fraction(got)) - exact), _mpf(_RELATIVE) * max(abs(exact), scale)
            if off <= allowed:
                return None
            return f"{got!r} instead of {_shown(self.value)}: {_shown(off / allowed)} times the tolerance"


class Oracle:
    """The exact tick_features of one game.

    Parameters
    ----------
    ticks
        What was seen of it, each tick once.
    """

    def __init__(self, ticks: Iterable[Tick]) -> None:
        self.ticks = sorted(ticks)
        self._at = {tick: Fraction(price) for tick, price, _ in self.ticks}
        self._changes: dict[int, Fraction | None] = {}

    def expected(self, index: int, column: str) -> Expected:
        """What stands in this column of the game's row ``index``."""
        tick = self.ticks[index][0]
        name, _, n = column.rpartition("_")
        match name:
            case "volatility":
                return self._volatility(tick, int(n))
            case "return_volatility":
                return self._return_volatility(tick, int(n))
            case "momentum":
                return Expected(self._momentum(tick, int(n)))
            case "zscore":
                return self._zscore(tick, int(n))
        return self._plain[column](index)

    def is_null(self, index: int, column: str) -> bool:
        """Whether it is NULL, without the cost of its value."""
        tick = self.ticks[index][0]
        name, _, n = column.rpartition("_")
        match name:
            case "volatility":
                return self._window(tick, int(n)) is None
            case "return_volatility":
                return self._return_window(tick, int(n)) is None
            case "zscore":
                window = self._window(tick, int(n))
                return window is None or len(set(window)) == 1
        if column == "log_return":
            return not self._at[tick] or not self._at.get(tick - 1)
        return self.expected(index, column).value is None

    @cached_property
    def _plain(self) -> Mapping[str, Callable[[int], Expected]]:
        return {
            "price": lambda index: Expected(Fraction(self.ticks[index][1]), to_the_bit=True),
            "price_change": lambda index: Expected(self._change(self.ticks[index][0])),
            "price_pct_change": lambda index: Expected(self._pct_change(self.ticks[index][0])),
            "log_return": lambda index: Expected(self._log_return(self.ticks[index][0])),
            "max_price": lambda index: Expected(self._peaks[index][0], to_the_bit=True),
            "ticks_since_peak": lambda index: Expected(
                Fraction(self.ticks[index][0] - self._peaks[index][1]), to_the_bit=True
            ),
            "drawdown": lambda index: Expected(self._drawdowns[index][0]),
            "max_drawdown": lambda index: Expected(self._drawdowns[index][1]),
        }

    @cached_property
    def _peaks(self) -> Sequence[tuple[Fraction, int]]:
        """For each row the highest price so far and the first tick at it."""
        peaks: list[tuple[Fraction, int]] = []
        for tick, _, _ in self.ticks:
            if not peaks or self._at[tick] > peaks[-1][0]:
                peaks.append((self._at[tick], tick))
            else:
                peaks.append(peaks[-1])
        return peaks

    @cached_property
    def _drawdowns(self) -> Sequence[tuple[Fraction | None, Fraction | None]]:
        """For each row its drawdown and the lowest one so far."""
        drawdowns: list[tuple[Fraction | None, Fraction | None]] = []
        lowest: Fraction | None = None
        for (tick, _, _), (peak, _) in zip(self.ticks, self._peaks, strict=True):
            drawdown = None if peak == 0 else (self._at[tick] - peak) / peak
            if drawdown is not None and (lowest is None or drawdown < lowest):
                lowest = drawdown
            drawdowns.append((drawdown, lowest))
        return drawdowns

    def _window(self, tick: int, n: int) -> list[Fraction] | None:
        """The prices of the last ``n`` ticks, None if one of them was not seen."""
        at = self._at
        window = [at[t] for t in range(tick - n + 1, tick + 1) if t in at]
        return window if len(window) == n else None

    def _return_window(self, tick: int, n: int) -> list[Fraction] | None:
        window = [change for t in range(tick - n + 1, tick + 1) if (change := self._pct_change(t)) is not None]
        return window if len(window) == n else None

    def _change(self, tick: int) -> Fraction | None:
        return self._at[tick] - self._at[tick - 1] if tick - 1 in self._at else None

    def _pct_change(self, tick: int) -> Fraction | None:
        if tick not in self._changes:
            now, before = self._at.get(tick), self._at.get(tick - 1)
            self._changes[tick] = None if now is None or not before else (now - before) / before
        return self._changes[tick]

    def _log_return(self, tick: int) -> Number:
        now, before = self._at[tick], self._at.get(tick - 1)
        if not now or not before:
            return None
        with mpmath.workprec(_BITS):
            return mpmath.log(_mpf(now / before))

    def _momentum(self, tick: int, n: int) -> Fraction | None:
        # A change looks at its two ends alone.
        now, before = self._at[tick], self._at.get(tick - n)
        return (now - before) / before if before else None

    def _volatility(self, tick: int, n: int) -> Expected:
        window = self._window(tick, n)
        if window is None:
            return Expected(None)
        if len(set(window)) == 1:
            return Expected(Fraction(0), to_the_bit=True)
        return Expected(_deviation(window), max(window) / 100)

    def _return_volatility(self, tick: int, n: int) -> Expected:
        window = self._return_window(tick, n)
        if window is None:
            return Expected(None)
        if not any(window):
            return Expected(Fraction(0), to_the_bit=True)
        return Expected(_deviation(window), max(map(abs, window)) / 100)

    def _zscore(self, tick: int, n: int) -> Expected:
        window = self._window(tick, n)
        if window is None or len(set(window)) == 1:
            return Expected(None)
        with mpmath.workprec(_BITS):
            volatility = _deviation(window)
            score = _mpf(window[-1] - sum(window) / n) / volatility
            # A window of which the volatility itself may be called 0 may be called constant.
            hardly_moves = bool(volatility <= _mpf(_RELATIVE * max(window) / 100))
            return Expected(score, _mpf(max(window)) / volatility, or_null=hardly_moves)


def problems(ticks: Iterable[Tick], got: pl.DataFrame, costly: Iterable[int] | None = None) -> list[str]:
    """Every value of ``got``, the tick_features of one game, that is not what it must be.

    Parameters
    ----------
    ticks
        What was seen of the game.
    got
        The view's rows of it, ordered by tick.
    costly
        The rows to look at in full; of the others the cheap columns and what is NULL. None: all.
    """
    oracle = Oracle(ticks)
    seen = got.select("tick", "price", "rugged").rows()
    if seen != oracle.ticks:
        return [f"the rows are not the ticks: {seen[:5]} ... instead of {oracle.ticks[:5]} ..."]
    in_full = set(range(got.height) if costly is None else costly)
    found = []
    for column in COLUMNS:
        for index, value in enumerate(got[column].to_list()):
            if index in in_full or column in CHEAP:
                problem = oracle.expected(index, column).problem_with(value)
            else:
                should_be_null = oracle.is_null(index, column)
                problem = None if (value is None) == should_be_null else f"{value!r}: is it NULL? {should_be_null}"
            if problem:
                found.append(f"tick {oracle.ticks[index][0]} {column}: {problem}")
    return found


def _deviation(window: Sequence[Fraction]) -> Number:
    """The sample standard deviation; all but the root in whole numbers over one denominator."""
    below = lcm(*(value.denominator for value in window))
    above = [value.numerator * (below // value.denominator) for value in window]
    n = len(window)
    squares = n * sum(value * value for value in above) - sum(above) ** 2
    with mpmath.workprec(_BITS):
        return mpmath.sqrt(mpmath.mpf(squares) / (n * (n - 1))) / below


def _mpf(value: Number) -> Number:
    """At the precision in force."""
    if isinstance(value, Fraction):
        return mpmath.mpf(value.numerator) / value.denominator
    return mpmath.mpf(value)


def _shown(value: Number) -> str:
    return str(mpmath.nstr(_mpf(value), 20))
