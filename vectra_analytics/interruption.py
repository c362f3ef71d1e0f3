"""Work that Ctrl-C, a notebook's stop button and a time limit reach, though DuckDB is busy with it.

Signals reach the main thread alone, and Python only between two of its steps: while DuckDB works there they have to
wait. So DuckDB works in a helper thread; the main one waits for it and, when it is stopped, tells DuckDB to stop, too.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar
from weakref import WeakKeyDictionary

import duckdb

from vectra_analytics.errors import VectraError

T = TypeVar("T")

_SECONDS_BETWEEN = 0.02  # an interrupt that comes before the next statement has begun is lost


class _Team:
    """Helper threads; their own helpers work for it, too."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self._works_for = _team_of.get(threading.current_thread())

    def admit(self) -> None:
        """Take in the thread that calls this."""
        self.threads.append(threading.current_thread())
        _team_of[threading.current_thread()] = self

    def works_for(self, other: "_Team") -> bool:
        team: _Team | None = self
        while team is not None and team is not other:
            team = team._works_for
        return team is other

    def stop(self) -> None:
        """Interrupt what all of them ask of DuckDB, until they have ended."""
        for thread in self.threads:
            while thread.is_alive():
                with _lock:
                    for other, cursors in _busy.items():
                        team = _team_of.get(other)
                        if team is not None and team.works_for(self):
                            cursors[-1].interrupt()
                thread.join(_SECONDS_BETWEEN)


_lock = threading.Lock()
_busy: dict[threading.Thread, list[duckdb.DuckDBPyConnection]] = {}  # the cursors that each thread waits for
_team_of: WeakKeyDictionary[threading.Thread, _Team] = WeakKeyDictionary()


@contextlib.contextmanager
def helpers(n_threads: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Threads that are told to stop when the one that waits for them is stopped."""
    team = _Team()
    pool = ThreadPoolExecutor(n_threads, name, initializer=team.admit)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        team.stop()
        raise
    finally:
        pool.shutdown()


def interruptibly(cursor: duckdb.DuckDBPyConnection, work: Callable[[], T], timeout: float | None = None) -> T:
    """What ``work`` gives, which asks this cursor.

    Parameters
    ----------
    timeout
        Seconds that it may take; by default it may take for ever.

    Raises
    ------
    VectraError
        When the time is over.
    """
    is_main = threading.current_thread() is threading.main_thread()
    # A process that ends starts no thread any more.
    if (timeout is None and not is_main) or not threading.main_thread().is_alive():
        return _busy_with(cursor, work)
    with helpers(1, "vectra-query") as helper:
        doing = helper.submit(_busy_with, cursor, work)
        if wait([doing], timeout).not_done:
            raise VectraError(
                f"the query was stopped after {timeout:g} s, its time limit; ask of fewer games, days or columns, or "
                "give it more time (timeout=, None for no limit)"
            )
        return doing.result()


def _busy_with(cursor: duckdb.DuckDBPyConnection, work: Callable[[], T]) -> T:
    thread = threading.current_thread()
    with _lock:
        _busy.setdefault(thread, []).append(cursor)
    try:
        return work()
    finally:
        with _lock:  # from here on nobody interrupts the cursor, which may go to another thread
            _busy[thread].pop()
            if not _busy[thread]:
                del _busy[thread]


def _forget_all() -> None:
    """A forked child has none of these threads, and must not interrupt what its parent does."""
    global _lock
    _lock = threading.Lock()
    _busy.clear()
    _team_of.clear()


os.register_at_fork(after_in_child=_forget_all)
