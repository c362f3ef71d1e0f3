"""EventStoreQuery: a store and its views as DuckDB relations; SQL in, Polars out."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import duckdb
import polars as pl
import polars.selectors as cs
import pyarrow as pa

from vectra_analytics.engine import Relations
from vectra_analytics.errors import VectraError
from vectra_analytics.features import FeatureView, Views, own_views
from vectra_analytics.forks import check_polars
from vectra_analytics.game_order import games_in_order, starts_of_games
from vectra_analytics.game_reader import EPISODE_ORDER, NO_EVENTS, GameReader
from vectra_analytics.info import StoreInfo
from vectra_analytics.live_files import GameRows
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.reduction import is_along_time, m4_sql
from vectra_analytics.statements import check_read_only, statement_text
from vectra_analytics.tail import Tail
from vectra_analytics.version_reader import PROBLEMS, VersionReader
from vectra_analytics.view_reader import (
    blocks_of,
    frame_of,
    is_of_events,
    no_rows,
    of_kind,
    selected,
    shape_of,
    wanted_columns,
)

if TYPE_CHECKING:
    from vectra_analytics.exports import Export

T = TypeVar("T")
Frame: TypeAlias = pl.DataFrame | pa.Table


class EventStoreQuery:
    """Ask a store; each call reads its newest version, unless one is pinned. Safe from many threads.

    Parameters
    ----------
    paths
        The store; by default ``$RUGS_DATA_DIR``, else ``~/rugs_data``. One without events answers with empty
        frames of the right columns.
    version
        Read this store version and no other: its number, or the name of a snapshot that pins it.
    strict
        A live file that is missing, or found to be damaged when it is read, is CorruptStore. If False, the SHA-256 of
        each file is checked before it is read for the first time; bad files are left out, with one
        :class:`~vectra_analytics.errors.PartialStore` warning, and :meth:`problems` lists them.

    Raises
    ------
    VectraError
        Where the store has no such version or snapshot.
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

    def __init__(
        self,
        paths: EventStorePaths | str | os.PathLike[str] | None = None,
        version: int | str | None = None,
        strict: bool = True,
    ) -> None:
        self._paths = EventStorePaths.of(paths)
        self._read = VersionReader(self._paths, version, is_strict=strict)
        self._views = own_views()
        # When games started, by the numbers of the files that say so, which never change: kept for the next pass.
        self._starts: tuple[tuple[int, ...], dict[str, int | None]] = ((), {})

    # Any question

    def query(
        self,
        sql: str,
        params: Mapping[str, Any] | None = None,
        *,
        frames: Mapping[str, Frame] | None = None,
        timeout: float | None = None,
    ) -> pl.DataFrame:
        """The answer to one SQL statement that only reads.

        Parameters
        ----------
        sql
            It may name ``events``, each doc_type, ``ticks``, ``games`` and every view.
        params
            Values for ``$name`` parameters.
        frames
            Polars frames or Arrow tables of one's own, by the names that the statement gives them; for this call.
        timeout
            Seconds after which the query is stopped; None: it may take as long as it takes.

        Raises
        ------
        NotReadOnly
            Where the statement would change something or reach outside the store.
        UnknownView
            Where it names a relation that does not exist.
        VectraError
            Where a frame cannot be used, or the statement takes more time, or more memory, than it may have:
            60 per cent of the machine's, or ``$VECTRA_MEMORY_LIMIT``.
        """
        sql = check_read_only(sql)
        return self._asked(sql, lambda relations: frame_of(relations.relation(sql, params)), frames, timeout)

    def query_arrow(
        self,
        sql: str,
        params: Mapping[str, Any] | None = None,
        *,
        frames: Mapping[str, Frame] | None = None,
        timeout: float | None = None,
    ) -> pa.Table:
        """The same as an Arrow table."""
        sql = check_read_only(sql)
        found = self._asked(sql, lambda relations: relations.relation(sql, params).to_arrow_table(), frames, timeout)
        return _arrow_in_utc(found)

    def reduced(
        self,
        sql: str,
        params: Mapping[str, Any] | None = None,
        *,
        x: str = "tick",
        y: str | Sequence[str] = "price",
        by: str | None = None,
        n_buckets: int = 1000,
        frames: Mapping[str, Frame] | None = None,
        timeout: float | None = None,
    ) -> pl.DataFrame:
        """The rows of an answer that a line plot needs: of each bucket of x the first, last, lowest and highest (M4).

        No peak and no rug gets lost, as they would if every n-th row were taken.

        Parameters
        ----------
        sql, params, frames, timeout
            As for :meth:`query`.
        x
            The column on the horizontal axis: numbers or times.
        y
            The columns drawn over it.
        by
            A column that tells series apart, ``game_id`` say; each is reduced by itself.
        n_buckets
            Buckets of equal width along x: some 1,000, the pixels across a plot. Rows without a place on x are
            left out; where several have the same, all of them are kept or none.
        """
        if n_buckets < 1:
            raise VectraError(f"n_buckets is {n_buckets}; it must be 1 or more")
        ys = [y] if isinstance(y, str) else list(y)
        sql = check_read_only(sql)

        def work(relations: Relations) -> pl.DataFrame:
            answer = relations.relation(sql, params)
            types = {name: str(one) for name, one in zip(answer.columns, answer.types, strict=True)}
            is_time = is_along_time(types, x, ys, by)
            reduced = m4_sql(statement_text(sql), x, ys, n_buckets, by, is_time=is_time)
            return frame_of(relations.relation(reduced, params))

        return self._asked(sql, work, frames, timeout)

    def scan(self, view: str) -> pl.LazyFrame:
        """A view as a lazy frame: what Polars then selects and filters is all that DuckDB reads.

        The frame keeps the version it began with.
        """
        check_polars()
        relations = self._relations()  # the frame keeps its cursor, which ends with it
        with relations.explained():
            lazy = relations.lazily(self._select(relations, view))
        return lazy.with_columns(cs.datetime(time_zone="*").dt.convert_time_zone("UTC"))

    # Games and episodes

    def get_game_episode(self, game_id: str) -> pl.DataFrame:
        """All events of one game, ordered by (ts, session_id, seq); none if the game is unknown."""
        return self.get_episodes_batch([game_id]).get(game_id, NO_EVENTS.clone())

    def get_episodes_batch(self, game_ids: Iterable[str]) -> dict[str, pl.DataFrame]:
        """The events of several games; a game without events is not in the answer."""
        wanted = _ids(game_ids) or []
        return dict(GameReader(self._read.game_rows(None, wanted)).episodes(wanted))

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
            The rows of this view instead of the events; it must have a game_id.
        columns
            Only these columns.
        shuffle
            A seed: another order, the same for the same seed and version.

        Notes
        -----
        All is read from the version at the time of the call; a few hundred games are in memory at a time.
        """
        if player_id in self._views:
            raise VectraError(f"player_id is {player_id!r}, the name of a view; give it as view={player_id!r}")
        source = "events" if view is None else view
        wanted = self._wanted(source, columns)
        _check_is_of_games(self._views, source)
        games, lying = self._in_order(player_id, min_ticks, limit, shuffle)
        if is_of_events(source):
            return (rows for _, rows in GameReader(of_kind(lying, source), wanted).episodes(games))
        blocks = blocks_of(self._views, source, lying, games, list(dict.fromkeys(["game_id", *wanted])))
        return (
            found[game_id,].select(wanted)
            for block, rows in blocks
            for found in [rows.partition_by("game_id", as_dict=True)]
            for game_id in block
            if (game_id,) in found
        )

    def get_player_games(self, player_id: str, limit: int | None = None) -> pl.DataFrame:
        """All events, everybody's, of the games in which the player took part; ``limit`` counts games."""
        games, lying = self._in_order(player_id, limit=limit)
        found = [NO_EVENTS, *(rows for _, rows in GameReader(lying).blocks(games))]
        return pl.concat(found).sort(EPISODE_ORDER)

    def get_player_actions(self, player_id: str, limit: int | None = None) -> pl.DataFrame:
        """The player's own player_action events, in order; ``limit`` counts events."""
        _check_limit(limit)
        sql = f"SELECT * FROM player_action WHERE player_id = $player ORDER BY {', '.join(EPISODE_ORDER)} LIMIT $most"
        return self.query(sql, {"player": player_id, "most": limit})

    def list_games(self, limit: int | None = None) -> list[str]:
        """Every game_id that an event names, sorted."""
        _check_limit(limit)
        return self._read.game_ids()[:limit]

    def list_players(self, limit: int | None = None) -> list[str]:
        """Every player_id that an event names, sorted."""
        _check_limit(limit)
        sql = "SELECT DISTINCT player_id FROM events WHERE player_id IS NOT NULL ORDER BY player_id LIMIT $most"
        return self.query(sql, {"most": limit})["player_id"].to_list()

    def count_events(self, doc_type: str | None = None) -> int:
        """How many events are stored, of one kind or of all."""
        return sum(file.n_rows for file in self._read.files() if doc_type is None or file.doc_type == doc_type)

    # Views

    @property
    def views(self) -> Views:
        """All views by name: the package's, those in the user's folder, and those registered here."""
        return self._views

    def register_view(self, sql: str | FeatureView, name: str | None = None) -> FeatureView:
        """Take in a view of one's own: from now on SQL may name it, and features and exports may be asked of it.

        Parameters
        ----------
        sql
            The text of a view's file: a header and one SELECT. docs/views.md shows how to write one. Or a view.
        name
            A text's name; by default the one in the header. A view registered before under this name is replaced.

        Returns
        -------
        FeatureView
            What was understood of the header.

        Raises
        ------
        LawBroken
            Where the view sees the future, or otherwise breaks the law; the message has the counterexample.
        VectraError
            Where its header or its SQL cannot be used.

        Notes
        -----
        A file of the same text in ``vectra_views/`` beside the notebooks, or in ``$VECTRA_VIEWS``, does the same for
        every query. What is checked here is a short form of :func:`vectra_analytics.check_view`.
        """
        view = sql if isinstance(sql, FeatureView) else FeatureView.parse(sql, name)
        views = self._views.adding(view)
        _require(views, view.name)
        self._views = views
        return view

    def tail(self, since: int | None = None, *, poll: float = 0.25, timeout: float | None = None) -> Tail:
        """New events as they become durable: an iterator of frames, with no gap and no repeat.

        Parameters
        ----------
        since
            A version: what was stored behind it comes first. By default the present one. ``tail.cursor`` is where to
            go on later, also in another process.
        poll
            Seconds between two looks.
        timeout
            Seconds without a new event after which the iteration ends; 0 gives what is there and ends. By default it
            waits for ever.

        Returns
        -------
        Tail
            Each frame has the columns of ``events``, in the order of commits and, within one, of (ts, session_id, seq).

        Raises
        ------
        VersionVacuumed
            While iterating, where ``since`` is so old that compaction may have removed what came behind it.
        """
        return Tail(self._paths, since, poll=poll, timeout=timeout)

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
            Ids of the only games wanted; a summary of sessions has rows of no game.
        columns
            The only columns wanted.
        """
        wanted = self._wanted(view, columns)
        _, order = shape_of(self._views, view)
        if games is not None:
            _check_is_of_games(self._views, view)
        if games is None and order[0] != "game_id":
            return self._whole(None, view, wanted)
        in_order = order[0] == "game_id"
        lying = self._read.game_rows(None, _ids(games))
        computed = wanted if in_order else list(dict.fromkeys([*wanted, *order]))
        ids = sorted({rows.game_id for rows in lying})
        found = [rows for _, rows in blocks_of(self._views, view, lying, ids, computed)]
        if len(found) == 1 and computed == wanted:
            return found[0]
        rows = pl.concat(found) if found else no_rows(self._views, view)
        return (rows if in_order else rows.sort(order, nulls_last=True)).select(wanted)

    def export(
        self,
        path: str | os.PathLike[str],
        view: str = "tick_features",
        games: Iterable[str] | None = None,
        columns: Sequence[str] | None = None,
        split: str | None = None,
        overwrite: bool = False,
    ) -> "Export":
        """Write the rows of a view, in their order, to a file or a folder with their provenance beside it.

        Parameters
        ----------
        path
            Its suffix names the format: ``.csv``, ``.csv.gz`` or ``.parquet``. Without one it is a folder of Parquet
            files by date, whole games in each; a later export with ``overwrite`` computes only the days whose event
            files changed.
        view, games, columns
            As for :meth:`features`.
        split
            "date" or "hash": a folder with ``split=train``, ``split=validation`` and ``split=test``, some 80, 10 and
            10 per cent of the games, each game whole in one of them. By hash a game's part never changes; by date
            the earliest days are train.
        overwrite
            Replace, or for a folder update, an export of this name.

        Returns
        -------
        Export
            The provenance is in its ``meta_path``, ``<path>.meta.json``: an export without it is not finished.

        Raises
        ------
        VectraError
            Where the target exists or cannot be written; it is then as it was. Where games, a split or a folder is
            wanted of a summary of sessions.
        """
        from vectra_analytics.exports import ViewRows, check_export, export  # here: most queries export nothing

        check_polars()
        target = Path(path).expanduser().absolute()
        for folder in (self._paths.events_parquet_dir, self._paths.manifests_dir):
            if target.resolve().is_relative_to(folder.resolve()):
                raise VectraError(f"cannot export to {target}: {folder} is the store's own; choose another folder")
        wanted = self._wanted(view, columns)
        check_export(target, split)
        named = _ids(games)
        if named is not None:
            _check_is_of_games(self._views, view)
        chosen = None if named is None else sorted(named)
        version = self.version
        made_at = (version, self._read.commit_of(version))
        found = ViewRows.of(
            self._views,
            view,
            made_at,
            self._read.game_rows(version, chosen),
            chosen,
            columns,
            split,
            whole=lambda: self._whole(version, view, wanted),
            left_out=None if self._read.is_strict else self._read.left_out(version),
        )
        return export(target, found, split=split, overwrite=overwrite)

    # About the store

    @property
    def paths(self) -> EventStorePaths:
        """Where the store lies."""
        return self._paths

    @property
    def version(self) -> int:
        """The store version that calls read: the pinned one, else the newest; 0 for a store without events."""
        return self._read.version

    def info(self) -> StoreInfo:
        """Counts, sizes and dates of the store."""
        return self._read.info()

    def problems(self) -> pl.DataFrame:
        """The live files that reads leave out, with their games; none in a strict query, where each is an error."""
        return pl.DataFrame(self._read.left_out(), PROBLEMS, orient="row")

    def __repr__(self) -> str:
        pinned = "" if self._read.pinned is None else f", version={self._read.pinned}"
        return f"EventStoreQuery({self._paths!r}{pinned}{'' if self._read.is_strict else ', strict=False'})"

    def _repr_html_(self) -> str:
        return self.info()._repr_html_()

    # How

    def _relations(self, version: int | None = None) -> Relations:
        return Relations(self._paths.data_dir, self._read.files(version), self._views)

    def _asked(
        self, sql: str, ask: Callable[[Relations], T], frames: Mapping[str, Frame] | None, timeout: float | None
    ) -> T:
        """What is asked of all that ``sql`` names, within the time."""
        if timeout is not None and not timeout > 0:
            raise VectraError(f"timeout is {timeout}; it must be above 0, or None for no limit")

        def work() -> T:
            relations.offer(sql, self._require)
            return ask(relations)

        with self._relations() as relations:
            relations.add_frames(frames or {})
            return relations.asked(work, timeout)

    def _wanted(self, source: str, columns: Sequence[str] | None) -> list[str]:
        """The columns that are wanted of a relation, which is no view of the user's that breaks the law."""
        self._require(source)
        return wanted_columns(self._views, source, columns)

    def _require(self, source: str) -> None:
        """Raise where this is a view of the user's own that breaks the law."""
        if not is_of_events(source):
            _require(self._views, source)

    def _whole(self, version: int | None, view: str, columns: Sequence[str]) -> pl.DataFrame:
        """All rows of a view, at once."""
        with self._relations(version) as relations:
            return self._fetch(relations, view, columns)

    def _fetch(self, relations: Relations, view: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        return relations.asked(lambda: frame_of(self._select(relations, view, columns)))

    def _select(self, relations: Relations, view: str, columns: Sequence[str] | None = None) -> duckdb.DuckDBPyRelation:
        return selected(relations, self._views, view, self._wanted(view, columns))

    def _in_order(
        self,
        player_id: str | None = None,
        min_ticks: int | None = None,
        limit: int | None = None,
        shuffle: int | None = None,
    ) -> tuple[list[str], list[GameRows]]:
        """Games as :func:`games_in_order`, and where the rows of all games lie."""
        _check_limit(limit)
        lying = self._read.game_rows(None, None)
        files = list({rows.file.file_id: rows.file for rows in lying}.values())
        ids = tuple(file.file_id for file in files)
        with Relations(self._paths.data_dir, files) as relations:
            known_of, started_at = self._starts
            if known_of != ids:
                started_at = starts_of_games(relations)
                self._starts = (ids, started_at)
            return games_in_order(relations, lying, started_at, player_id, min_ticks, limit, shuffle), lying


def _require(views: Views, name: str) -> None:
    """Raise where a view of the user's own breaks the law; those of the package were tried before."""
    if not views.named(name).is_shipped:
        from vectra_analytics.law import require  # here: most programs have no views of their own

        require(views, name)


def _check_is_of_games(views: Views, source: str) -> None:
    """Raise where this is a summary of sessions, of which no rows belong to a game."""
    if not is_of_events(source) and views.named(source).subject != "game_id":
        raise VectraError(
            f"{source} has rows of sessions, not of games; ask for all with features({source!r}), "
            "or for some with SQL: SELECT ... WHERE session_id = ..."
        )


def _ids(games: Iterable[str] | None) -> list[str] | None:
    """Game ids, each once."""
    if isinstance(games, str):
        raise VectraError(f"games is the text {games!r}; give a list of ids")
    return None if games is None else list(dict.fromkeys(games))


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 0:
        raise VectraError(f"limit is {limit}; it must be 0 or more, or None for no limit")


def _arrow_in_utc(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.tz is not None:
            column = table.column(index).cast(pa.timestamp(field.type.unit, tz="UTC"))
            table = table.set_column(index, field.with_type(column.type), column)
    return table
