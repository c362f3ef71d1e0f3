"""Views over rows in memory, planned once: planning a wide view costs more than computing it for one game."""

import atexit
import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from functools import partial

import duckdb
import polars as pl

from vectra_analytics.engine import locked_instance, select_from, within_memory
from vectra_analytics.features import Views
from vectra_analytics.game_reader import NO_EVENTS
from vectra_analytics.interruption import interruptibly
from vectra_analytics.schema import EVENT_COLUMNS
from vectra_analytics.statements import quote_identifier, words_of

_MOST_IDLE = 16  # plans, of some 100 kB

_Key = tuple[str, str, frozenset[str], tuple[str, ...], tuple[str, ...], int | None]


def view_of(
    views: Views,
    view: str,
    events: pl.DataFrame,
    kinds: frozenset[str],
    columns: Sequence[str],
    order: Sequence[str],
    *,
    threads: int | None = None,
) -> pl.DataFrame:
    """The rows that a view has over these events and no others.

    Parameters
    ----------
    views, view
        The catalogue, and the name of the view in it.
    events
        Rows with the columns of :func:`columns_read`.
    kinds
        The doc_types that are among them: a plan without the others is shorter.
    columns, order
        Columns of the view: those wanted ("*": all that its SQL gives), and those by which the rows are ordered.
    threads
        How many DuckDB may use; by default one a core.
    """
    with _plan(views, (view, views.version(view), kinds, tuple(columns), tuple(order), threads)) as plan:
        return plan.run(events)


def columns_read(views: Views, view: str) -> tuple[str, ...]:
    """The columns of ``events`` that a view, or one that it reads, may use."""
    words = {word for read in views.building_order(view) for word in (*words_of(read.sql), *read.columns)}
    return tuple(name for name in EVENT_COLUMNS if name in words or name == "doc_type")


class _Plan:
    """A view's SELECT, prepared on a cursor of its own over whichever rows are put under it."""

    def __init__(
        self,
        views: Views,
        view: str,
        kinds: frozenset[str],
        columns: Sequence[str],
        order: Sequence[str],
        threads: int | None,
    ) -> None:
        self._rows = _Rows(columns_read(views, view))
        self._cursor = new_cursor(threads)
        self._cursor.register("chosen_events", self._rows)
        listed = ", ".join(name if name == "*" else quote_identifier(name) for name in columns)
        sql = select_from(views, view, listed, partial(_chosen_events_sql, kinds))
        self._cursor.execute(f"PREPARE chosen AS {sql} ORDER BY {', '.join(order)}")

    def run(self, events: pl.DataFrame) -> pl.DataFrame:
        self._rows.events = events
        try:
            with within_memory():
                return interruptibly(self._cursor, self._rows_chosen)
        finally:
            self._rows.clear()

    def _rows_chosen(self) -> pl.DataFrame:
        rows: pl.DataFrame = self._cursor.sql("EXECUTE chosen").pl()
        return rows

    def close(self) -> None:
        self._cursor.unregister("chosen_events")
        self._cursor.close()


class _Rows:
    """What DuckDB reads anew, through Arrow's C interface, each time that a plan runs."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._none = self.events = NO_EVENTS.select(columns)

    def clear(self) -> None:
        self.events = self._none

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.events.__arrow_c_stream__(requested_schema)


def _chosen_events_sql(kinds: frozenset[str], name: str, columns: str) -> str:
    sql = f"SELECT {columns} FROM chosen_events"
    if name == "events" or kinds == {name}:
        return sql
    return f"{sql} WHERE doc_type = '{name}'" if name in kinds else f"{sql} WHERE false"


_lock = threading.Lock()
_instances: dict[int | None, duckdb.DuckDBPyConnection] = {}  # by threads, for all stores: they read no files
_idle: list[tuple[_Key, _Plan]] = []  # the last one used is the last


def new_cursor(threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """A cursor that reads what is registered on it, and no file."""
    with _lock:
        if threads not in _instances:
            _instances[threads] = locked_instance((), threads)
        return _instances[threads].cursor()


@contextlib.contextmanager
def _plan(views: Views, key: _Key) -> Iterator[_Plan]:
    """A plan that no other thread has as long as it runs."""
    with _lock:
        place = next((place for place, (its_key, _) in enumerate(_idle) if its_key == key), None)
        plan = None if place is None else _idle.pop(place)[1]
    if plan is None:
        view, _, kinds, columns, order, threads = key
        plan = _Plan(views, view, kinds, columns, order, threads)
    try:
        yield plan
    except BaseException:
        plan.close()  # an interrupt leaves it in an unknown state
        raise
    with _lock:
        _idle.append((key, plan))
        surplus = _idle[:-_MOST_IDLE]
        del _idle[:-_MOST_IDLE]
    for _, old in surplus:
        old.close()


@atexit.register
def _close_all() -> None:
    """Cursors must not outlive the interpreter with our rows registered on them."""
    while _idle:
        _idle.pop()[1].close()
    _instances.clear()


def _forget_all() -> None:
    """A forked child must neither use nor free what has its parent's threads and locks."""
    global _lock
    _lock = threading.Lock()
    _abandoned.append((list(_idle), dict(_instances)))
    _idle.clear()
    _instances.clear()


_abandoned: list[object] = []
os.register_at_fork(after_in_child=_forget_all)
