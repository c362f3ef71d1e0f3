"""A disk that fails once, fails from then on, or is the last thing that a process sees, at a call of one's choice."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from vectra_analytics.catalog import Catalog

CALLS = ("mkdir", "fsync", "rename", "unlink")
BEFORE_COMMIT, AFTER_COMMIT = "before COMMIT", "after COMMIT"
PLACES = (*CALLS, BEFORE_COMMIT, AFTER_COMMIT)
ONCE, FROM_THEN_ON, DEATH = "fails once", "fails from then on", "kills"


class Died(BaseException):
    """The process is no more: what it would still do to the disk does not happen."""


class Fault:
    """What happens at the ``number``-th call of a kind, from 0."""

    def __init__(self, place: str, number: int, how: str) -> None:
        self.place = place
        self.how = how
        self.has_struck = False
        self._left = number

    def at(self, place: str) -> None:
        """Raise where it is time."""
        if self.has_struck:
            if self.how != ONCE:
                raise self._error(place)
        elif place == self.place:
            self._left -= 1
            if self._left < 0:
                self.has_struck = True
                raise self._error(place)

    @property
    def was_committed(self) -> bool:
        """Whether the first transaction was durable when it struck, though nobody was told."""
        return self.has_struck and self.place == AFTER_COMMIT

    def _error(self, place: str) -> BaseException:
        if self.how == DEATH:
            return Died(place)
        if place in CALLS:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return sqlite3.OperationalError("database or disk is full")


class Disk:
    """The calls of this process that change files, and the transactions of catalogs, under watch."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._fault: Fault | None = None
        for name in CALLS:
            patch.setattr(os, name, self._watched(name, getattr(os, name)))
        run = Catalog._run

        def watched_run(catalog: Catalog, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
            if sql == "COMMIT":
                self._pass(BEFORE_COMMIT)
            answer = run(catalog, sql, parameters)
            if sql == "COMMIT":
                self._pass(AFTER_COMMIT)
            return answer

        patch.setattr(Catalog, "_run", watched_run)

    def _watched(self, name: str, call: Any) -> Any:
        def watched(*arguments: Any, **named: Any) -> Any:
            self._pass(name)
            return call(*arguments, **named)

        return watched

    def _pass(self, place: str) -> None:
        if self._fault is not None:
            self._fault.at(place)

    @contextlib.contextmanager
    def broken(self, place: str, number: int, how: str) -> Iterator[Fault]:
        """Inside, the fault happens."""
        self._fault = fault = Fault(place, number, how)
        try:
            yield fault
        finally:
            self._fault = None
