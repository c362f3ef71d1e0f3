"""Tail: new events as they become durable, whatever other processes commit, compact or prune meanwhile."""

import time
from collections.abc import Iterator
from itertools import groupby

import polars as pl

from vectra_analytics.catalog import Catalog
from vectra_analytics.catalog_file import NoCatalog
from vectra_analytics.errors import VectraError
from vectra_analytics.game_reader import EPISODE_ORDER, read_files
from vectra_analytics.live_files import LiveFile
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.schema import EVENT_COLUMNS

_MOST_ROWS = 50_000  # in a frame, unless one commit has more


class Tail(Iterator[pl.DataFrame]):
    """Frames of new events, commit by commit; :meth:`~vectra_analytics.EventStoreQuery.tail` makes one.

    A commit is one store version, and its files keep their rows until they are vacuumed: so a version is all that has
    to be remembered, and no event is seen twice or left out. What compactions write was seen before.
    """

    def __init__(
        self, paths: EventStorePaths, since: int | None, *, poll: float = 0.25, timeout: float | None = None
    ) -> None:
        if since is not None and since < 0:
            raise VectraError(f"a tail cannot begin at version {since}; versions begin with 0")
        if not poll > 0:
            raise VectraError(f"a tail cannot look every {poll} s; give a time above 0")
        self._paths, self._poll, self._timeout = paths, poll, timeout
        self._waiting: list[list[tuple[int, LiveFile]]] = []  # commits that are known and not read yet
        self._cursor = self._version() if since is None else since

    @property
    def cursor(self) -> int:
        """The version up to which all was given."""
        return self._cursor

    def __next__(self) -> pl.DataFrame:
        began = time.monotonic()
        while True:
            frame = self._read()
            if frame is not None:
                return frame
            left = None if self._timeout is None else began + self._timeout - time.monotonic()
            if left is not None and left <= 0:
                raise StopIteration
            time.sleep(self._poll if left is None else min(self._poll, left))

    def _version(self) -> int:
        try:
            with Catalog(self._paths) as catalog:
                return catalog.version()
        except NoCatalog:
            return 0

    def _read(self) -> pl.DataFrame | None:
        """The events of the next commits, some ten thousand; None where there are none."""
        if not self._waiting:
            version = self._version()
            if version < self._cursor:
                raise VectraError(
                    f"the store at {self._paths.data_dir} has no version {self._cursor}; it has {version}"
                )
            if version == self._cursor:
                return None
            with Catalog(self._paths) as catalog:
                added = catalog.files_added(self._cursor, version)
            self._waiting = [list(commit) for _, commit in groupby(added, key=lambda one: one[0])]
            if not self._waiting:
                self._cursor = version
                return None
        n_rows = 0
        frames: list[pl.DataFrame] = []
        while self._waiting and (not frames or n_rows < _MOST_ROWS):
            commit = self._waiting[0]
            frames.append(_events([file for _, file in commit]))
            n_rows += frames[-1].height
            self._waiting.pop(0)
            self._cursor = commit[0][0]
        return pl.concat(frames)


def _events(files: list[LiveFile]) -> pl.DataFrame:
    """All rows of a commit."""
    return pl.concat([read_files([file], EVENT_COLUMNS) for file in files]).sort(EPISODE_ORDER)
