"""VersionReader: which files and which rows in them a query reads, as the catalog says of the version that it wants."""

import os
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, TypeVar

import polars as pl

from vectra_analytics.catalog import Catalog
from vectra_analytics.catalog_file import NoCatalog
from vectra_analytics.info import StoreInfo
from vectra_analytics.live_files import GameRows, LiveFile
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.sound_files import SoundFiles

T = TypeVar("T")

PROBLEMS = {
    "file": pl.String(),
    "doc_type": pl.String(),
    "date": pl.Date(),
    "n_rows": pl.Int64(),
    "games": pl.List(pl.String()),
    "problem": pl.String(),
}


class VersionReader:
    """A store at a pinned version, or at whatever is its newest one at each call.

    Where a method takes a version, that is to be read instead of the newest one, and None is the newest. Without a
    store there are no files, no games and version 0.

    Parameters
    ----------
    paths
        The store.
    version
        The version to pin: a number, the name of a snapshot, or None.
    is_strict
        Whether a bad file is an error; else it is left out.
    """

    def __init__(self, paths: EventStorePaths, version: int | str | None, *, is_strict: bool) -> None:
        self._paths = paths
        self._sound = SoundFiles(is_strict=is_strict)
        self.pinned: int | None = None
        if version is not None:
            with Catalog(paths) as catalog, catalog.reading():
                self.pinned = catalog.readable_version(version)

    @property
    def is_strict(self) -> bool:
        """Whether a bad file is an error."""
        return self._sound.is_strict

    @property
    def version(self) -> int:
        """The version that is read."""
        return self._ask(Catalog.version, 0) if self.pinned is None else self.pinned

    def commit_of(self, version: int) -> str | None:
        """The commit that made a version."""
        return self._ask(lambda catalog: catalog.commit_of(version), None)

    def files(self, version: int | None = None) -> list[LiveFile]:
        """The files to read."""
        return self._sound.of(self._live_files(version))

    def game_rows(self, version: int | None, game_ids: Sequence[str] | None) -> list[GameRows]:
        """Where the events of these games, or of all, lie."""
        if game_ids is not None:  # no stored name holds a NUL, and SQLite would end the text there
            game_ids = [game_id for game_id in game_ids if "\0" not in game_id]

        def ask(catalog: Catalog) -> list[GameRows]:
            with catalog.reading():
                return catalog.game_rows(self._readable(catalog, version), game_ids)

        return self._sound.of_rows(self._ask(ask, []))

    def game_ids(self) -> list[str]:
        """The games of the files that can be read, sorted."""
        if not self.is_strict:
            return sorted({rows.game_id for rows in self.game_rows(None, None)})
        self.files()  # all are in their places
        return self._known_game_ids()

    def left_out(self, version: int | None = None) -> list[dict[str, Any]]:
        """The bad files that are not read, with their games; rows of PROBLEMS."""
        bad = self._sound.bad(self._live_files(version))

        def ask(catalog: Catalog) -> list[dict[str, Any]]:
            return [
                {
                    "file": os.fsencode(file.path).decode(errors="replace"),
                    "doc_type": file.doc_type,
                    "date": date.fromisoformat(file.date),
                    "n_rows": file.n_rows,
                    "games": sorted(catalog.games_in([file])),
                    "problem": problem,
                }
                for file, problem in bad.items()
            ]

        return self._ask(ask, []) if bad else []

    def info(self) -> StoreInfo:
        """Counts, sizes and dates."""
        version = self.version
        n_rejected = self._ask(Catalog.n_rejected, 0)
        if self.is_strict:  # what the catalog says: files may be missing, and this still tells what they held
            files, n_games = self._live_files(version), len(self._known_game_ids())
        else:
            files, n_games = self.files(version), len(self.game_ids())
        return StoreInfo.of(self._paths.data_dir, version, files, n_games, n_rejected)

    def _ask(self, ask: Callable[[Catalog], T], without: T) -> T:
        """What the catalog says; ``without`` where there is no store yet."""
        try:
            with Catalog(self._paths) as catalog:
                return ask(catalog)
        except NoCatalog:
            return without

    def _live_files(self, version: int | None) -> list[LiveFile]:
        def ask(catalog: Catalog) -> list[LiveFile]:
            with catalog.reading():
                return catalog.live_files(self._readable(catalog, version))

        return self._ask(ask, [])

    def _known_game_ids(self) -> list[str]:
        found: list[str] = self._ask(lambda catalog: catalog.game_ids(self._readable(catalog, None)), [])
        return found

    def _readable(self, catalog: Catalog, version: int | None) -> int:
        if self.pinned is not None:
            catalog.check_version(self.pinned)
            return self.pinned
        return catalog.version() if version is None else version
