"""The rows of a view, or of a kind of event, some games after the other."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import chain, islice

import duckdb
import polars as pl
import polars.selectors as cs

from vectra_analytics.engine import Relations
from vectra_analytics.envelope import DocType
from vectra_analytics.errors import VectraError
from vectra_analytics.features import Views
from vectra_analytics.forks import check_polars
from vectra_analytics.game_reader import EPISODE_ORDER, NO_EVENTS, GameReader
from vectra_analytics.interruption import helpers
from vectra_analytics.live_files import GameRows
from vectra_analytics.schema import EVENT_COLUMNS
from vectra_analytics.second_execution import columns_read, rows_of
from vectra_analytics.statements import quote_identifier

_AT_ONCE = 2  # blocks that are computed meanwhile, a core each; one more may wait to be taken

Block = tuple[list[str], pl.DataFrame]
"""Some games and their rows."""


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


def selected(relations: Relations, views: Views, source: str, columns: Sequence[str]) -> duckdb.DuckDBPyRelation:
    """All rows of a relation, in its order."""
    wanted = ", ".join(map(quote_identifier, columns))
    _, order = shape_of(views, source)
    return relations.relation(f"{relations.select(source, wanted)} ORDER BY {', '.join(order)}")


def frame_of(answer: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """What DuckDB answers, as a frame."""
    if len(answer.columns) > 1:  # a single column needs no threads
        check_polars()
    spans = [name for name, kind in zip(answer.columns, answer.types, strict=True) if str(kind) == "INTERVAL"]
    if not spans:
        return in_utc(answer.pl())
    # Polars knows no span of months: what DuckDB gives for the difference of two times is one of microseconds.
    as_numbers = ", ".join(f"epoch_us({quote_identifier(name)}) AS {quote_identifier(name)}" for name in spans)
    return in_utc(answer.project(f"* REPLACE ({as_numbers})").pl()).with_columns(pl.col(spans).cast(pl.Duration("us")))


def of_kind(lying: Sequence[GameRows], source: str) -> list[GameRows]:
    """Of these rows those that a relation of events has."""
    return [rows for rows in lying if source in ("events", rows.file.doc_type)]


def blocks_of(
    views: Views, source: str, lying: Sequence[GameRows], games: Iterable[str], columns: Sequence[str]
) -> Iterator[Block]:
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
        return
    doc_types = views.doc_types(source)
    of_view = [piece for piece in lying if piece.file.doc_type in doc_types]
    kinds_of: dict[str, frozenset[str]] = {}
    for piece in of_view:
        kinds_of[piece.game_id] = kinds_of.get(piece.game_id, _NO_KINDS) | _KINDS[piece.file.doc_type]

    def compute(block: Block) -> Block:
        its_games, events = block
        kinds = _NO_KINDS.union(*{kinds_of[game_id] for game_id in its_games})
        return its_games, in_utc(rows_of(views, source, events, kinds, columns, order))

    needed = columns_read(views, source, _NO_KINDS.union(*set(kinds_of.values())))
    yield from _each(compute, GameReader(of_view, needed).blocks(games))


_NO_KINDS: frozenset[str] = frozenset()
_KINDS = {str(kind): frozenset({str(kind)}) for kind in DocType}


def _each(compute: Callable[[Block], Block], blocks: Iterator[Block]) -> Iterator[Block]:
    """What is made of each block, in order; where there are several, on two cores."""
    first = list(islice(blocks, 2))
    if len(first) < 2:
        yield from map(compute, first)
        return
    waiting: deque[Future[Block]] = deque()
    with helpers(_AT_ONCE, "vectra-views") as pool:
        for block in chain(first, blocks):
            waiting.append(pool.submit(compute, block))
            if len(waiting) > _AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def no_rows(views: Views, source: str) -> pl.DataFrame:
    """A frame of a relation's columns, without rows."""
    known, order = shape_of(views, source)
    if is_of_events(source):
        return NO_EVENTS
    return in_utc(rows_of(views, source, NO_EVENTS, _NO_KINDS, known, order))


def in_utc(frame: pl.DataFrame) -> pl.DataFrame:
    """DuckDB calls the zone Etc/UTC; everywhere else here it is UTC."""
    zones = {getattr(kind, "time_zone", None) for kind in frame.dtypes}
    if zones <= {None, "UTC"}:
        return frame
    return frame.with_columns(cs.datetime(time_zone="*").dt.convert_time_zone("UTC"))
