"""When a view is computed by numpy instead of by its SQL: where that is known to give the same bits.

It is not for a version of the SQL other than the one that was written down here, and not in a process in which it gave
another bit for a small sample: a processor or a build of DuckDB may join a multiplication and an addition into one.
"""

import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import polars as pl

from vectra_analytics.game_reader import NO_EVENTS

EXECUTES: Mapping[str, str] = {"ticks": "090b8e2448be", "tick_features": "447ff237bfaf"}
"""The views, each with the version of its SQL that :mod:`vectra_analytics.columnar` was written after."""

TICK_KINDS = frozenset({"game_tick"})
EVENT_COLUMNS = ("ts", "session_id", "seq", "game_id", "tick", "price", "active", "rugged")
"""All that is read of events of those kinds."""

BySql = Callable[[str, frozenset[str], pl.DataFrame, Sequence[str] | None], pl.DataFrame]
"""A view's rows by its SQL: the view, the doc_types among the events, the events, the columns wanted (None: all)."""

_TICK_COLUMNS = ("game_id", "tick", "ts", "price", "rugged")
_lock = threading.Lock()
_agrees: list[bool] = []  # empty until it was compared
_is_off = [bool(os.environ.get("VECTRA_ONLY_SQL"))]


def is_known(view: str, version: str) -> bool:
    """Whether this is a view, in the version, that there is a second execution of."""
    return EXECUTES.get(view) == version and not _is_off[0]


def rows_of(
    view: str, kinds: frozenset[str], events: pl.DataFrame, columns: Sequence[str], by_sql: BySql
) -> pl.DataFrame | None:
    """The rows of a known view, ordered by game and tick; None where the SQL has to give them.

    Parameters
    ----------
    events
        With :data:`EVENT_COLUMNS`, and all that the SQL reads where there are other kinds than game_tick among them.
    """
    if not _agrees_with(by_sql):
        return None
    return _rows_of(view, kinds, events, columns, by_sql)


def _rows_of(
    view: str, kinds: frozenset[str], events: pl.DataFrame, columns: Sequence[str], by_sql: BySql
) -> pl.DataFrame | None:
    from vectra_analytics import columnar  # here, for numpy's sake: most programs that import the package compute none

    if view == "ticks":
        return columnar.ticks(events, columns) if kinds <= TICK_KINDS else None
    read = [name for name in _TICK_COLUMNS if name in columns or name in ("game_id", "tick", "price")]
    ticks = columnar.ticks(events, read) if kinds <= TICK_KINDS else by_sql("ticks", kinds, events, read)
    return None if ticks is None else columnar.tick_features(ticks, columns)


def _agrees_with(by_sql: BySql) -> bool:
    with _lock:
        if not _agrees:
            _agrees.append(_gives_the_same_bits(by_sql))
        return _agrees[0]


def _gives_the_same_bits(by_sql: BySql) -> bool:
    """Whether all columns of `tick_features`, and so of `ticks`, are the same for the sample."""
    events = sample()
    wanted = by_sql("tick_features", TICK_KINDS, events, None)
    found = _rows_of("tick_features", TICK_KINDS, events, wanted.columns, by_sql)
    return found is not None and same_bits(found, wanted)


def same_bits(some: pl.DataFrame, other: pl.DataFrame) -> bool:
    """Whether two frames hold the same, each float to the last bit."""
    floats = [name for name, kind in some.schema.items() if kind == pl.Float64]
    return some.equals(other, null_equal=True) and all(
        bool((some[name].to_numpy().view("i8") == other[name].to_numpy().view("i8")).all()) for name in floats
    )


_PRICES = (0.0, 5e-324, 1e-310, 1e-300, 1e-16, 1e-6, 0.1, 1.0, 1.0 + 2**-52, 600.0, 1e12, 1e150, 1e155, 1e300, 1.7e308)


def sample() -> pl.DataFrame:
    """Some hundreds of events of twelve games with all that makes a difference: what a first use is compared on."""
    chance = random.Random(1)
    found = [event for game in range(12) for event in _game(f"game {game:02}", chance, is_wild=game % 3 == 2)]
    chance.shuffle(found)
    schema = {name: NO_EVENTS.schema[name] for name in EVENT_COLUMNS}
    events = pl.DataFrame(found, schema, orient="row", strict=False)
    return pl.concat([NO_EVENTS, events.with_columns(doc_type=pl.lit("game_tick"))], how="diagonal")


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
