"""What a measure found: the cost of ours beside the cost of an alternative, in the same run."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

TOLERANCE = 1e-9  # relative; two ways that differ by more do not do the same work


class Unit(NamedTuple):
    """How a cost is shown; a rate is shown the other way round, more being better."""

    show: Callable[[float], str]
    limit: str = "<="


MICROSECONDS = Unit(lambda seconds: f"{seconds * 1e6:,.0f} us")
MILLISECONDS = Unit(lambda seconds: f"{seconds * 1e3:,.1f} ms")
SECONDS = Unit(lambda seconds: f"{seconds:,.2f} s")
MEGABYTES = Unit(lambda n_bytes: f"{n_bytes / 1e6:,.0f} MB")


def per_second(amount: float, unit: str = "") -> Unit:
    """Seconds shown as what is done in one of them."""

    def show(seconds: float) -> str:
        rate = amount / seconds
        return f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.2g} {unit}/s"

    return Unit(show, ">=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row of the table."""

    what: str
    ours: str
    alternative: str
    wanted: str = "-"
    ratio: float | None = None  # cost of ours / cost of the alternative: below 1 ours takes less
    is_met: bool | None = None  # None where nothing is wanted, or nothing was measured
    cost: float | None = None  # seconds or bytes
    alternative_cost: float | None = None


def compared(
    what: str,
    ours: float,
    theirs: float | None,
    than: str,
    unit: Unit,
    *,
    at_most: float | None = None,
    ratio_at_most: float | None = None,
) -> Result:
    """Ours beside an alternative.

    Parameters
    ----------
    ours, theirs
        What each costs, in seconds or bytes; None for an alternative that was not measured.
    than
        The alternative in a few words.
    at_most
        The most that ours should cost.
    ratio_at_most
        The most that ours should cost beside the alternative.
    """
    ratio = None if theirs is None else ours / theirs
    wanted = []
    met: list[bool] = []
    if at_most is not None:
        wanted.append(f"{unit.limit} {unit.show(at_most)}")
        met.append(ours <= at_most)
    if ratio_at_most is not None:
        wanted.append(f"<= {times(ratio_at_most)}")
        if ratio is not None:
            met.append(ratio <= ratio_at_most)
    return Result(
        what=what,
        ours=unit.show(ours),
        alternative=than if theirs is None else f"{unit.show(theirs)}: {than}",
        wanted=", ".join(wanted) or "-",
        ratio=ratio,
        is_met=all(met) if met else None,
        cost=ours,
        alternative_cost=theirs,
    )


def times(ratio: float) -> str:
    """A ratio as it is said: 2.5, or 1/80."""
    if ratio >= 1:
        return f"{ratio:.4g}"
    return f"1/{1 / ratio:.0f}" if ratio <= 0.1 else f"1/{1 / ratio:.2g}"


def best_of(n_times: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs, which is the one that others on the machine disturbed least."""
    spent = []
    for _ in range(n_times):
        begin = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begin)
    return min(spent)


Way = Callable[[str], Callable[[], pl.DataFrame]]
"""Makes ready for one game, which is not measured, and gives what is."""


def in_turns(games: Sequence[str], *ways: Way) -> list[float]:
    """The median seconds of each way over some games, the first of them to warm up.

    Each game is asked of every way before the next one, so what disturbs the machine disturbs all alike.
    """
    spent: list[list[float]] = [[] for _ in ways]
    for game in games:
        for way, times_of_way in zip(ways, spent, strict=True):
            work = way(game)
            begin = time.perf_counter()
            work()
            times_of_way.append(time.perf_counter() - begin)
    return [statistics.median(some[1:] or some) for some in spent]


class Disagreement(Exception):
    """An alternative gave other numbers, so its speed says nothing."""


def check_same(ours: pl.DataFrame, theirs: pl.DataFrame, than: str, *, skip_nulls: bool = False) -> None:
    """Raise where the alternative's columns differ from ours of the same name, row by row.

    Parameters
    ----------
    skip_nulls
        Do not compare where ours is NULL: the alternative says something of windows that are not full.
    """
    if ours.height != theirs.height or not ours.height:
        raise Disagreement(f"{than}: {theirs.height} rows where ours has {ours.height}")
    for name in theirs.columns:
        mine, other = ours[name], theirs[name]
        if mine.dtype.is_temporal():
            mine, other = mine.dt.epoch("us"), other.dt.epoch("us")
        if mine.dtype == pl.Boolean or not mine.dtype.is_numeric():
            agrees = (mine.cast(pl.String) == other.cast(pl.String)) | (mine.is_null() & other.is_null())
        else:
            mine, other = mine.cast(pl.Float64).fill_nan(None), other.cast(pl.Float64).fill_nan(None)
            largest = pl.DataFrame({"mine": mine.abs(), "other": other.abs()}).max_horizontal()
            both_null = mine.is_null() & other.is_null()
            agrees = ((mine - other).abs() <= TOLERANCE * largest).fill_null(False) | both_null
        if skip_nulls:
            agrees = agrees | mine.is_null()
        agrees = agrees.fill_null(False)
        if not agrees.all():
            row = agrees.to_list().index(False)
            raise Disagreement(
                f"{than}: {name} is {theirs[name][row]!r} in row {row} where ours is {ours[name][row]!r}"
            )
