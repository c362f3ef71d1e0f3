"""EventStoreQuery: a store and its views as DuckDB relations; SQL in, Polars out."""

import contextlib
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import polars as pl
import polars.selectors as cs
import pyarrow as pa

from vectra_analytics.catalog import Catalog, LiveFile, NoCatalog
from vectra_analytics.engine import EVENT_COLUMNS, Relations, check_read_only, quote_identifier
from vectra_analytics.envelope import DocType
from vectra_analytics.errors import VectraError
from vectra_analytics.exports import Export, check_target, library_versions, rebatched, write_export
from vectra_analytics.features import view_named, view_version
from vectra_analytics.info import StoreInfo
from vectra_analytics.paths import EventStorePaths

_GAMES_AT_ONCE = 200  # read together while iterating: some 10 MB of events
T = TypeVar("T")

_EPISODE_ORDER = ("ts", "session_id", "seq")


class EventStoreQuery:
    """Ask a store; each call reads its newest version, unless one is pinned. Safe from many threads.

    Parameters
    ----------
    paths
        The store; by default ``$RUGS_DATA_DIR``, else ``~/rugs_data``. One without events answers with empty
        frames of the right columns.
    version
        Read this store version and no other.

    Raises
    ------
    VectraError
        Where the store has no such version.
    VersionVacuumed
        Where it has it no more.

    Examples
    --------
    >>> query = EventStoreQuery(sample_store)
    >>> query.games().height
    3
    >>> query.query("SELECT max(price) AS peak FROM ticks WHERE game_id = $game", {"game": "g1"})["peak"].item()
    5.0
    """

    def __init__(self, paths: EventStorePaths | None = None, version: int | None = None) -> None:
        self._paths = paths if paths is not None else EventStorePaths()
        self._pinned = version
        if version is not None:
            with Catalog(self._paths) as catalog:
                catalog.check_version(version)

    # Any question

    def query(self, sql: str, params: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """The answer to one SQL statement that only reads.

        Parameters
        ----------
        sql
            It may name ``events``, each doc_type, ``ticks``, ``games`` and every view.
        params
            Values for ``$name`` parameters.

        Raises
        ------
        NotReadOnly
            Where the statement would change something or reach outside the store.
        UnknownView
            Where it names a relation that does not exist.
        """
        with self._answer(sql, params) as answer:
            return _in_utc(answer.pl())

    def query_arrow(self, sql: str, params: Mapping[str, Any] | None = None) -> pa.Table:
        """The same as an Arrow table."""
        with self._answer(sql, params) as answer:
            return _arrow_in_utc(answer.to_arrow_table())

    def scan(self, view: str) -> pl.LazyFrame:
        """A view as a lazy frame: what Polars then selects and filters is all that DuckDB reads.

        The frame keeps the version it began with.
        """
        relations = self._relations()  # the frame keeps its cursor, which ends with it
        with relations.explained():
            lazy: pl.LazyFrame = self._select(relations, view).pl(lazy=True)
        return lazy.with_columns(cs.datetime(time_zone="*").dt.convert_time_zone("UTC"))

    # Games and episodes

    def get_game_episode(self, game_id: str) -> pl.DataFrame:
        """All events of one game, ordered by (ts, session_id, seq); none if the game is unknown."""
        with self._relations([game_id]) as relations:
            return self._fetch(relations, "events")

    def get_episodes_batch(self, game_ids: Iterable[str]) -> dict[str, pl.DataFrame]:
        """The events of several games; a game without events is not in the answer."""
        wanted = list(dict.fromkeys(game_ids))
        return dict(self._frames(self.version, wanted, "events", None))

    def iter_episodes(
        self,
        player_id: str | None = None,
        min_ticks: int | None = None,
        limit: int | None = None,
        *,
        view: str | None = None,
        columns: Sequence[str] | None = None,
        shuffle: int | None = None,
    ) -> Iterator[pl.DataFrame]:
        """One frame a game, ordered by (started_at, game_id), games without a start last.

        Parameters
        ----------
        player_id
            Only games in which this player took part.
        min_ticks
            Only games with at least so many rows in ``ticks``.
        limit
            At most so many games.
        view
            The rows of this view instead of the events.
        columns
            Only these columns.
        shuffle
            A seed: another order, the same for the same seed and version.

        Notes
        -----
        All is read from the version at the time of the call; a few hundred games are in memory at a time.
        """
        source = "events" if view is None else view
        known, _ = _shape(source)
        if columns is not None:
            _checked(columns, source, known)
        version = self.version
        games = self._chosen_games(version, player_id, min_ticks, limit, shuffle)
        return (frame for _, frame in self._frames(version, games, source, columns))

    def get_player_games(self, player_id: str, limit: int | None = None) -> pl.DataFrame:
        """All events, everybody's, of the games in which the player took part; ``limit`` counts games."""
        version = self.version
        with self._relations(self._chosen_games(version, player_id, None, limit, None), version) as relations:
            return self._fetch(relations, "events")

    def get_player_actions(self, player_id: str, limit: int | None = None) -> pl.DataFrame:
        """The player's own player_action events, in order; ``limit`` counts events."""
        sql = f"SELECT * FROM player_action WHERE player_id = $player ORDER BY {', '.join(_EPISODE_ORDER)} LIMIT $most"
        return self.query(sql, {"player": player_id, "most": _checked_limit(limit)})

    def list_games(self, limit: int | None = None) -> list[str]:
        """Every game_id that an event names, sorted."""
        version = self.version
        found: list[str] = self._ask_catalog(lambda catalog: catalog.game_ids(version), [])
        return found[: _checked_limit(limit)]

    def list_players(self, limit: int | None = None) -> list[str]:
        """Every player_id that an event names, sorted."""
        sql = "SELECT DISTINCT player_id FROM events WHERE player_id IS NOT NULL ORDER BY player_id LIMIT $most"
        return self.query(sql, {"most": _checked_limit(limit)})["player_id"].to_list()

    def count_events(self, doc_type: str | None = None) -> int:
        """How many events are stored, of one kind or of all."""
        return sum(file.n_rows for file in self._files() if doc_type is None or file.doc_type == doc_type)

    # Views

    def games(self) -> pl.DataFrame:
        """One row a game with at least one tick: the ``games`` view."""
        with self._relations() as relations:
            return self._fetch(relations, "games")

    def get_tick_features(self, game_id: str) -> pl.DataFrame:
        """Every tick of one game with its features, in order; ``vectra features --describe`` explains them."""
        return self.features(games=[game_id])

    def features(
        self,
        view: str = "tick_features",
        games: Iterable[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """The rows of a view, ordered by game and tick.

        Parameters
        ----------
        view
            Its name; UnknownView lists those that there are.
        games
            Ids of the only games wanted.
        columns
            The only columns wanted.
        """
        with self._relations(None if games is None else list(games)) as relations:
            return self._fetch(relations, view, columns)

    def export(
        self,
        path: str | os.PathLike[str],
        view: str = "tick_features",
        games: Iterable[str] | None = None,
        columns: Sequence[str] | None = None,
        overwrite: bool = False,
    ) -> Export:
        """Write the rows of a view, in their order, to one file with its provenance in ``<path>.meta.json``.

        Parameters
        ----------
        path
            Its suffix names the format: ``.csv`` or ``.parquet``.
        view, games, columns
            As for :meth:`features`.
        overwrite
            Replace an export of this name.

        Raises
        ------
        VectraError
            Where the target exists or cannot be written; nothing is left of it then.
        """
        target = Path(path).expanduser().absolute()
        check_target(target, overwrite=overwrite)
        about = view_named(view)
        chosen = None if games is None else sorted(set(games))
        version = self.version
        meta = {
            "store_version": version,
            "view": view,
            "view_version": view_version(view),
            "filters": {"games": chosen, "columns": None if columns is None else list(columns)},
            "columns": {
                name: {"unit": about.columns[name].unit, "meaning": about.columns[name].doc}
                for name in (columns or about.columns)
                if name in about.columns
            },
            "order": list(about.order),
            "libraries": library_versions(),
        }
        with self._relations(chosen, version) as relations, relations.explained():
            reader = self._select(relations, view, columns).to_arrow_reader()
            schema = _arrow_in_utc(reader.schema.empty_table()).schema
            rows = (batch.cast(schema) for batch in rebatched(reader))
            return write_export(target, rows, schema, meta)

    # About the store

    @property
    def paths(self) -> EventStorePaths:
        """Where the store lies."""
        return self._paths

    @property
    def version(self) -> int:
        """The store version that calls read: the pinned one, else the newest; 0 for a store without events."""
        return self._ask_catalog(Catalog.version, 0) if self._pinned is None else self._pinned

    def info(self) -> StoreInfo:
        """Counts, sizes and dates of the store."""
        version = self.version
        n_rejected = self._ask_catalog(Catalog.n_rejected, 0)
        return StoreInfo.of(
            self._paths.data_dir, version, self._files(version=version), len(self.list_games()), n_rejected
        )

    def problems(self) -> pl.DataFrame:
        """What reads leave out: nothing, for a damaged or missing file is an error that names it."""
        return pl.DataFrame(schema={"path": pl.String, "doc_type": pl.String, "n_rows": pl.Int64, "problem": pl.String})

    def __repr__(self) -> str:
        pinned = "" if self._pinned is None else f", version={self._pinned}"
        return f"EventStoreQuery({self._paths!r}{pinned})"

    def _repr_html_(self) -> str:
        return self.info()._repr_html_()

    # How

    def _ask_catalog(self, ask: Callable[[Catalog], T], without: T) -> T:
        """What the catalog says; ``without`` where there is no store yet."""
        try:
            with Catalog(self._paths) as catalog:
                return ask(catalog)
        except NoCatalog:
            return without

    def _files(self, game_ids: Sequence[str] | None = None, version: int | None = None) -> list[LiveFile]:
        wanted = self._pinned if version is None else version
        return self._ask_catalog(
            lambda catalog: catalog.live_files(catalog.version() if wanted is None else wanted, game_ids=game_ids), []
        )

    def _relations(self, game_ids: Sequence[str] | None = None, version: int | None = None) -> Relations:
        return Relations(self._paths.data_dir, self._files(game_ids, version), game_ids)

    @contextlib.contextmanager
    def _answer(self, sql: str, params: Mapping[str, Any] | None) -> Iterator[duckdb.DuckDBPyRelation]:
        sql = check_read_only(sql)
        with self._relations() as relations, relations.explained():
            relations.offer(sql)
            yield relations.relation(sql, params)

    def _fetch(self, relations: Relations, view: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        with relations.explained():
            return _in_utc(self._select(relations, view, columns).pl())

    @staticmethod
    def _select(relations: Relations, view: str, columns: Sequence[str] | None = None) -> duckdb.DuckDBPyRelation:
        known, order = _shape(view)
        wanted = ", ".join(known if columns is None else _checked(columns, view, known))
        return relations.relation(f"{relations.select(view, wanted)} ORDER BY {', '.join(order)}")

    def _chosen_games(
        self, version: int, player_id: str | None, min_ticks: int | None, limit: int | None, shuffle: int | None
    ) -> list[str]:
        sql = """
            WITH played AS (
                SELECT game_id, count(*) AS n_ticks, arg_min_null(ts, tick) AS started_at FROM ticks GROUP BY game_id
            ),
            named AS (
                SELECT game_id, bool_or(player_id = $player) AS has_player FROM events
                WHERE game_id IS NOT NULL GROUP BY game_id
            )
            SELECT game_id FROM named LEFT JOIN played USING (game_id)
            WHERE ($player IS NULL OR has_player) AND ($least IS NULL OR coalesce(n_ticks, 0) >= $least)
            ORDER BY started_at NULLS LAST, game_id
        """
        with self._relations(version=version) as relations, relations.explained():
            relations.offer(sql)
            found: list[str] = (
                relations.relation(sql, {"player": player_id, "least": min_ticks}).pl()["game_id"].to_list()
            )
        if shuffle is not None:
            random.Random(shuffle).shuffle(found)
        return found[: _checked_limit(limit)]

    def _frames(
        self, version: int, game_ids: Sequence[str], view: str, columns: Sequence[str] | None
    ) -> Iterator[tuple[str, pl.DataFrame]]:
        """The (game_id, rows) of these games, in their order; games without rows are left out."""
        extra = columns is not None and "game_id" not in columns
        wanted = ["game_id", *columns] if columns is not None and extra else columns
        for start in range(0, len(game_ids), _GAMES_AT_ONCE):
            some = game_ids[start : start + _GAMES_AT_ONCE]
            with self._relations(some, version) as relations:
                rows = self._fetch(relations, view, wanted)
            found = rows.partition_by("game_id", as_dict=True)
            for game_id in some:
                frame = found.get((game_id,))
                if frame is not None:
                    yield game_id, frame.drop("game_id") if extra else frame


def _shape(view: str) -> tuple[Sequence[str], Sequence[str]]:
    """The columns of a relation, and those that order it."""
    if view in ("events", *DocType):
        return EVENT_COLUMNS, _EPISODE_ORDER
    found = view_named(view)
    return list(found.columns), found.order


def _checked(columns: Sequence[str], view: str, known: Sequence[str]) -> list[str]:
    if isinstance(columns, str):
        raise VectraError(f"columns is the text {columns!r}; give a list of names")
    for name in columns:
        if name not in known:
            raise VectraError(f"{view} has no column {name!r}; it has {', '.join(known)}")
    return list(map(quote_identifier, columns))


def _checked_limit(limit: int | None) -> int | None:
    if limit is not None and limit < 0:
        raise VectraError(f"limit is {limit}; it must be 0 or more, or None for no limit")
    return limit


def _in_utc(frame: pl.DataFrame) -> pl.DataFrame:
    """DuckDB calls the zone Etc/UTC; everywhere else here it is UTC."""
    return frame.with_columns(cs.datetime(time_zone="*").dt.convert_time_zone("UTC"))


def _arrow_in_utc(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.tz is not None:
            column = table.column(index).cast(pa.timestamp(field.type.unit, tz="UTC"))
            table = table.set_column(index, field.with_type(column.type), column)
    return table
