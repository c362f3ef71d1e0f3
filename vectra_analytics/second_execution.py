"""When a view is computed by numpy instead of by its SQL: where that is known to give the same bits.

It is not for a version of the SQL other than the one that was written down here, and not in a process in which it gave
another bit for a small sample: a processor or a build of DuckDB may join a multiplication and an addition into one.
"""

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import polars as pl
import polars.selectors as cs

from vectra_analytics import prepared
from vectra_analytics.features import Views
from vectra_analytics.game_reader import NO_EVENTS

EXECUTES: Mapping[str, str] = {"ticks": "7ff621f6c410", "tick_features": "52b4ccb10c06"}
"""The views, each with the version of its SQL that :mod:`vectra_analytics.columnar` was written after."""

_ORDER = ("game_id", "tick")
_TICKS_ALONE = frozenset({"game_tick"})
_COLUMNS_OF_TICKS = ("ts", "session_id", "seq", "game_id", "tick", "price", "active", "rugged")
_agrees: dict[str, bool] = {}  # by version of tick_features, once it was compared
_is_off = [bool(os.environ.get("VECTRA_ONLY_SQL"))]


def columns_read(views: Views, view: str, kinds: frozenset[str]) -> tuple[str, ...]:
    """The columns of ``events`` that :func:`rows_of` needs of these doc_types."""
    return (
        _COLUMNS_OF_TICKS if is_executed(views, view) and kinds <= _TICKS_ALONE else prepared.columns_read(views, view)
    )


def rows_of(
    views: Views, view: str, events: pl.DataFrame, kinds: frozenset[str], columns: Sequence[str], order: Sequence[str]
) -> pl.DataFrame:
    """The rows that a view has over these events and no others, by whichever execution is the faster.

    Parameters
    ----------
    views, view
        The catalogue, and the name of the view in it.
    events
        Rows with the columns of :func:`columns_read`, or more.
    kinds
        The doc_types that are among them.
    columns, order
        Columns of the view: those wanted, and those by which the rows are ordered.
    """
    if is_executed(views, view) and tuple(order) == _ORDER and _agrees_with_the_sql(views):
        found = _computed(views, view, events, kinds, columns)
        if found is not None:
            return found
    return _by_sql(views, view, events, kinds, columns, order)


def is_executed(views: Views, view: str) -> bool:
    """Whether numpy can compute the view as it is defined now."""
    return view in EXECUTES and EXECUTES[view] == views.version(view) and not _is_off[0]


def _computed(
    views: Views, view: str, events: pl.DataFrame, kinds: frozenset[str], columns: Sequence[str]
) -> pl.DataFrame | None:
    """By numpy, all of it or what comes after the ticks."""
    from vectra_analytics import columnar  # here, for numpy's sake: most programs that import the package compute none

    has_ticks_alone = kinds <= _TICKS_ALONE
    if view == "ticks":
        return columnar.ticks(events, columns) if has_ticks_alone else None
    read = [name for name in ("game_id", "tick", "ts", "price", "rugged") if name in columns or name in _NEEDED]
    ticks = columnar.ticks(events, read) if has_ticks_alone else _by_sql(views, "ticks", events, kinds, read, _ORDER)
    return None if ticks is None else columnar.tick_features(ticks, columns)


_NEEDED = ("game_id", "tick", "price")


def _by_sql(
    views: Views, view: str, events: pl.DataFrame, kinds: frozenset[str], columns: Sequence[str], order: Sequence[str]
) -> pl.DataFrame:
    wanted = prepared.columns_read(views, view)
    # Of ticks alone less was read: what the SQL asks of other kinds, of which there are no rows.
    lacking = [pl.lit(None, NO_EVENTS.schema[name]).alias(name) for name in wanted if name not in events.columns]
    return prepared.view_of(views, view, events.with_columns(lacking).select(wanted), kinds, columns, order)


def _agrees_with_the_sql(views: Views) -> bool:
    """Whether all columns of `tick_features`, and so those of `ticks`, are the same for the sample."""
    version = views.version("tick_features")
    if version not in _agrees:
        events, columns = sample(), list(views["tick_features"].columns)
        wanted = _by_sql(views, "tick_features", events, _TICKS_ALONE, columns, _ORDER)
        found = _computed(views, "tick_features", events, _TICKS_ALONE, columns)
        _agrees[version] = found is not None and same_bits(found, wanted)
    return _agrees[version]


def same_bits(some: pl.DataFrame, other: pl.DataFrame) -> bool:
    """Whether two frames hold the same, each float to the last bit."""
    floats = [name for name, kind in some.schema.items() if kind == pl.Float64]
    return some.with_columns(cs.datetime().dt.epoch()).equals(
        other.with_columns(cs.datetime().dt.epoch()), null_equal=True
    ) and all(bool((some[name].to_numpy().view("i8") == other[name].to_numpy().view("i8")).all()) for name in floats)


_PRICES = (0.0, 5e-324, 1e-310, 1e-300, 1e-16, 1e-6, 0.1, 1.0, 1.0 + 2**-52, 600.0, 1e12, 1e150, 1e155, 1e300, 1.7e308)


def sample() -> pl.DataFrame:
    """Some hundreds of events of twelve games with all that makes a difference: what a first use is compared on."""
    chance = random.Random(1)
    found = [event for game in range(12) for event in _game(f"game {game:02}", chance, is_wild=game % 3 == 2)]
    chance.shuffle(found)
    return pl.DataFrame(found, {name: NO_EVENTS.schema[name] for name in _COLUMNS_OF_TICKS}, orient="row")


def _game(name: str, chance: random.Random, *, is_wild: bool) -> Iterator[tuple[object, ...]]:
    price, n_ticks = 1.0, chance.choice((1, 24, 60, 110))
    for tick in range(n_ticks):
        stands_still = 30 <= tick < 54 and not is_wild
        if chance.random() < 0.03 and not stands_still:
            continue  # a hole
        if is_wild:
            price = chance.choice(_PRICES)
        elif not stands_still:
            price *= 1 + chance.uniform(-1, 1) * 10.0 ** -chance.choice((1, 1, 2, 8, 15))
        rugged = tick >= n_ticks - 2 and name != "game 01"  # the last one is a ghost of the one before
        for again in range(1 if stands_still else chance.choice((1, 1, 1, 3))):
            ts = 1_765_000_000_000_000 + 250_000 * (tick - (again == 2))
            said = chance.choice((True, None)), rugged if rugged and again != 1 else chance.choice((False, None))
            yield ts, f"session {again}", tick, name, tick, price * (1 + again / 8), *said
    yield 1_765_000_000_000_000, "session 0", n_ticks, name, n_ticks, 1.0, False, False  # of the settlement


@contextmanager
def left_out() -> Iterator[None]:
    """For tests: all by SQL, as with VECTRA_ONLY_SQL in the environment."""
    before, _is_off[0] = _is_off[0], True
    try:
        yield
    finally:
        _is_off[0] = before
