"""What is exported: the rows of a view at one store version, and the event files and days that they come from."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson
import polars as pl
import pyarrow as pa

from vectra_analytics.features import FeatureView, Views
from vectra_analytics.live_files import GameRows
from vectra_analytics.view_reader import blocks_of


@dataclass(frozen=True)
class ViewRows:
    """The rows of a view, as many as are wanted, read game by game; those of a summary of sessions at once."""

    views: Views
    view: FeatureView  # one of them
    version: int  # of the store
    columns: Sequence[str]
    schema: pa.Schema  # of these columns
    filters: Mapping[str, Any]  # as they were asked for
    lying: Sequence[GameRows]  # where the events of all wanted games lie
    whole: Callable[[], pl.DataFrame]  # gives all rows at once, in the view's order
    left_out: Sequence[Mapping[str, Any]] | None = None  # bad files that a query did not read; None: it is strict

    def meta(self) -> dict[str, Any]:
        """Where the rows come from and what they mean."""
        from importlib.metadata import version as installed  # here: it loads much that only an export needs

        about = self.view.columns
        chain = self.views.building_order(self.view.name)
        own = {view.name: view.sql for view in chain if not view.is_shipped}
        return {
            "store_version": self.version,
            "view": self.view.name,
            "view_version": self.views.version(self.view.name),
            "views": {view.name: self.views.version(view.name) for view in chain},
            **({"own_views": own} if own else {}),
            "filters": dict(self.filters),
            "columns": {
                name: {"unit": about[name].unit, "meaning": about[name].doc} for name in self.columns if name in about
            },
            "order": list(self.view.order),
            **({} if self.left_out is None else {"strict": False, "left_out": list(self.left_out)}),
            "libraries": {name: installed(name) for name in ("vectra_analytics", "duckdb", "polars", "pyarrow")},
        }

    def stream(self, games: Sequence[str]) -> "Stream":
        """The rows of these games in the view's order."""
        return Stream(self, games)

    def frames(self, games: Sequence[str], columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The rows of these games, one after the other; whole games in each frame."""
        lying = [rows for game_id in games for rows in self._of_game[game_id]]
        return (rows for _, rows in blocks_of(self.views, self.view.name, lying, games, columns))

    @property
    def games(self) -> Sequence[str]:
        """All wanted games, in order."""
        return sorted(self._of_game)

    def n_games(self, games: Sequence[str]) -> Mapping[str, int]:
        """How many of these games there are with rows, by date; computes the view once, for its game_id alone."""
        found: dict[str, int] = {}
        for block in self.frames(games, ["game_id"]):
            for game_id in block["game_id"].unique():
                found[self.dates[game_id]] = found.get(self.dates[game_id], 0) + 1
        return found

    @cached_property
    def dates(self) -> Mapping[str, str]:
        """The date of each game: the earliest day on which an event of it is stored."""
        found: dict[str, str] = {}
        for rows in self.lying:
            found[rows.game_id] = min(rows.file.date, found.get(rows.game_id, rows.file.date))
        return found

    @cached_property
    def contributing(self) -> Mapping[str, Sequence[str]]:
        """The games that may have rows, in order, each with the SHA-256 of the event files that the view reads."""
        reads = self.views.doc_types(self.view.name)
        found: dict[str, list[str]] = {}
        for rows in self.lying:
            if rows.file.doc_type in reads:
                found.setdefault(rows.game_id, []).append(rows.file.sha256)
        return {game_id: found[game_id] for game_id in sorted(found)}

    @cached_property
    def _of_game(self) -> Mapping[str, Sequence[GameRows]]:
        found: dict[str, list[GameRows]] = {}
        for rows in self.lying:
            found.setdefault(rows.game_id, []).append(rows)
        return found

    def fingerprint(self, games: Sequence[str], how: Mapping[str, Any]) -> str:
        """A hash of all that the rows of these games, and what is said of them, are made from."""
        of_file: dict[str, list[str]] = {}
        for game_id in games:
            for sha256 in self.contributing[game_id]:
                of_file.setdefault(sha256, []).append(game_id)
        made_from = {
            "view": self.view.name,
            "view_version": self.views.version(self.view.name),
            "columns": list(self.columns),
            "filters": dict(self.filters),
            "how": dict(how),
            "files": sorted(of_file.items()),
        }
        return hashlib.sha256(orjson.dumps(made_from, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass
class Stream:
    """Batches of rows; knows, once they were all taken, how many games they were of, if they are of games."""

    rows: ViewRows
    games: Sequence[str]
    n_games: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        self.n_games = 0
        rows = self.rows
        for frame in self._frames():
            if rows.view.subject == "game_id":
                self.n_games += frame["game_id"].n_unique()  # games are whole in a frame
            for batch in frame.select(rows.columns).to_arrow().to_batches():
                yield batch.cast(rows.schema)

    def _frames(self) -> Iterator[pl.DataFrame]:
        order = self.rows.view.order
        if self.rows.view.subject != "game_id":
            yield self.rows.whole()
            return
        if order[0] == "game_id":
            yield from self.rows.frames(self.games, list(dict.fromkeys([*self.rows.columns, "game_id"])))
            return
        # Another order than that of reading: all rows are put in it in memory. A summary has one a game.
        columns = list(dict.fromkeys([*self.rows.columns, "game_id", *order]))
        found = list(self.rows.frames(self.games, columns))
        if found:
            yield pl.concat(found).sort(order, nulls_last=True)
