"""The rows of a view, or of a kind of event, some games after the other."""

from collections.abc import Iterable, Iterator, Sequence

import polars as pl
import polars.selectors as cs

from vectra_analytics.envelope import DocType
from vectra_analytics.errors import VectraError
from vectra_analytics.features import Views
from vectra_analytics.game_reader import EPISODE_ORDER, NO_EVENTS, GameReader
from vectra_analytics.live_files import GameRows
from vectra_analytics.prepared import columns_read, view_of
from vectra_analytics.schema import EVENT_COLUMNS


def is_of_events(source: str) -> bool:
    """Whether a relation is ``events`` or one doc_type of them, and no view."""
    return source in ("events", *DocType)


def shape_of(views: Views, source: str) -> tuple[Sequence[str], Sequence[str]]:
    """The columns of a relation, and those that order it; UnknownView where there is none of this name."""
    if is_of_events(source):
        return EVENT_COLUMNS, EPISODE_ORDER
    found = views.named(source)
    return list(found.columns), found.order


def wanted_columns(views: Views, source: str, columns: Sequence[str] | None) -> list[str]:
    """The columns of a relation that are wanted, each of which it must have; None means all."""
    known, _ = shape_of(views, source)
    if columns is None:
        return list(known)
    if isinstance(columns, str):
        raise VectraError(f"columns is the text {columns!r}; give a list of names")
    wanted = list(columns)
    for name in wanted:
        if name not in known:
            raise VectraError(f"{source} has no column {name!r}; it has {', '.join(known)}")
        if wanted.count(name) > 1:
            raise VectraError(f"the column {name!r} is wanted twice, and a frame or a file has each once")
    if not wanted:
        raise VectraError("no columns are wanted; name them, or leave columns out for all")
    return wanted


def of_kind(lying: Sequence[GameRows], source: str) -> list[GameRows]:
    """Of these rows those that a relation of events has."""
    return [rows for rows in lying if source in ("events", rows.file.doc_type)]


def blocks_of(
    views: Views, source: str, lying: Sequence[GameRows], games: Iterable[str], columns: Sequence[str]
) -> Iterator[tuple[list[str], pl.DataFrame]]:
    """The rows that a relation has of these games, in bounded memory: some games and their rows, in its order.

    Parameters
    ----------
    lying
        Where the events of the games lie.
    games
        In the order wanted; those that lie nowhere are left out.
    columns
        Columns of the relation.
    """
    known, order = shape_of(views, source)
    if is_of_events(source):
        read = [name for name in known if name in columns or name in order]
        for block, rows in GameReader(of_kind(lying, source), read).blocks(games):
            yield block, rows.sort(order).select(columns)
    else:
        kinds = frozenset(rows.file.doc_type for rows in lying)
        for block, rows in GameReader(lying, columns_read(views, source)).blocks(games):
            yield block, in_utc(view_of(views, source, rows, kinds, columns, order))


def no_rows(views: Views, source: str) -> pl.DataFrame:
    """A frame of a relation's columns, without rows."""
    known, order = shape_of(views, source)
    if is_of_events(source):
        return NO_EVENTS
    events = NO_EVENTS.select(columns_read(views, source))
    return in_utc(view_of(views, source, events, frozenset(), known, order))


def in_utc(frame: pl.DataFrame) -> pl.DataFrame:
    """DuckDB calls the zone Etc/UTC; everywhere else here it is UTC."""
    return frame.with_columns(cs.datetime(time_zone="*").dt.convert_time_zone("UTC"))
