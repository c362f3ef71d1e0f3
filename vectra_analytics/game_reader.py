"""The events of chosen games, read from where the catalog says that they lie."""

import io
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from vectra_analytics.errors import CorruptStore
from vectra_analytics.forks import check_polars
from vectra_analytics.live_files import GameRows, LiveFile
from vectra_analytics.schema import EVENT_COLUMNS, EVENT_SCHEMA, MONEY, UTC_MICROSECONDS
from vectra_analytics.sound_files import first_bad

EPISODE_ORDER = ("ts", "session_id", "seq")

_LABELS = [column.name for column in EVENT_SCHEMA if pa.types.is_dictionary(column.type)]
# Written out, since asking pyarrow for them would load pandas where that is installed.
_TYPES: dict[pa.DataType, pl.DataType] = {
    UTC_MICROSECONDS: pl.Datetime("us", "UTC"),
    pa.int64(): pl.Int64(),
    pa.float64(): pl.Float64(),
    pa.bool_(): pl.Boolean(),
    MONEY: pl.Decimal(MONEY.precision, MONEY.scale),
}
NO_EVENTS = pl.DataFrame(
    schema={column.name: _TYPES.get(column.type, pl.String()) for column in EVENT_SCHEMA}
    | {"doc_type": pl.String(), "date": pl.Date()}
)

BLOCK_ROWS = 125_000  # of games that are read together; some 50 MB with all columns
_BLOCK_BYTES = 16 << 20  # on the disk; JSON is ten times that in memory
_WHOLE_FILE_CELLS = 40_000_000  # rows times columns; larger files are read slice by slice
_WHOLE_FILE_BYTES = 64 << 20
_SMALL_FILE_ROWS = 1 << 14
_WORTHWHILE_SHARE = 1 / 16
_FEW_RUNS = 64  # slices of a frame of which the columns may as well be made


def _read(slices: Sequence[GameRows], columns: Sequence[str]) -> pl.DataFrame:
    """All rows of these slices, in their order."""
    joined = _joined(slices)
    lazy = (_lazy([rows.file], columns).slice(rows.first_row, rows.n_rows) for rows in joined)
    return _collected(lazy, slices)


def _joined(slices: Sequence[GameRows]) -> list[GameRows]:
    """The same rows in as few slices as can be: one takes the row groups that it touches to be unpacked."""
    found: list[GameRows] = []
    for rows in slices:
        last = found[-1] if found else None
        if last is not None and last.file is rows.file and last.first_row + last.n_rows == rows.first_row:
            found[-1] = GameRows("", last.file, last.first_row, last.n_rows + rows.n_rows)
        else:
            found.append(rows)
    return found


def read_files(files: Sequence[LiveFile], columns: Sequence[str]) -> pl.DataFrame:
    """All rows of these files of one partition, in their order."""
    return _collected([_lazy(files, columns)], [GameRows("", file, 0, file.n_rows) for file in files])


def _collected(lazy: Iterable[pl.LazyFrame], slices: Sequence[GameRows]) -> pl.DataFrame:
    try:
        rows = pl.concat(lazy).collect()
        if rows.height == sum(some.n_rows for some in slices):
            return rows
        error: Exception = ValueError(f"{rows.height} rows where the catalog has {sum(s.n_rows for s in slices)}")
    except (OSError, pl.exceptions.PolarsError) as failure:
        error = failure
    raise _explained(error, [some.file for some in slices]) from error


def _lazy(files: Sequence[LiveFile], columns: Sequence[str]) -> pl.LazyFrame:
    stored = [name for name in columns if name in EVENT_SCHEMA.names]
    partition = {
        "doc_type": pl.lit(files[0].doc_type, pl.String),
        "date": pl.lit(date.fromisoformat(files[0].date), pl.Date),
    }
    return (
        pl.scan_parquet([_source(file.path) for file in files], glob=False, hive_partitioning=False)
        .select(stored)
        .with_columns(
            pl.col([name for name in _LABELS if name in stored]).cast(pl.String),
            **{name: literal for name, literal in partition.items() if name in columns},
        )
        .select(columns)
    )


def _source(path: Path) -> Any:
    """The file as Polars takes it, which knows no name that is not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return io.BytesIO(path.read_bytes())
    return path


def _explained(error: Exception, files: Iterable[LiveFile]) -> Exception:
    """The error as one that names the file at fault."""
    some = list({file.file_id: file for file in files}.values())
    names = ", ".join(str(file.path) for file in some[:3])
    text = " ".join(str(error).split())[:200]
    return first_bad(some) or CorruptStore(f"a live file cannot be read: {text}; it is among {names}")


class _Rows:
    """Rows in memory."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    @cached_property
    def unordered(self) -> frozenset[str]:
        """The games whose rows do not stand in the order of time, each before the next."""
        is_late = (pl.col("game_id") == pl.col("game_id").shift()) & (pl.col("ts") <= pl.col("ts").shift())
        return frozenset(self.frame.lazy().filter(is_late).select("game_id").collect()["game_id"])


@dataclass(slots=True)
class _Piece:
    """A game's rows of one file, in memory."""

    rows: _Rows
    first_row: int  # in rows.frame
    n_rows: int


_Block = dict[str, list[_Piece]]


class GameReader:
    """Reads games in a given order, many together: a file once, however its games are spread over a block.

    Parameters
    ----------
    slices
        Where the rows of all these games lie.
    columns
        Columns of ``events``, the only ones wanted.
    """

    def __init__(self, slices: Iterable[GameRows], columns: Sequence[str] = EVENT_COLUMNS) -> None:
        check_polars()
        self._columns = list(columns)
        # A game's rows may have to be put in order, whatever columns are wanted of them.
        self._read_columns = [name for name in EVENT_COLUMNS if name in columns or name in ("game_id", *EPISODE_ORDER)]
        self._of_game: dict[str, list[GameRows]] = {}
        for piece in slices:
            self._of_game.setdefault(piece.game_id, []).append(piece)
        # Files that were read whole for the last block: their rows, and where in them each begins. The next block
        # often needs one of them again.
        self._held: dict[int, tuple[_Rows, int]] = {}

    def episodes(self, game_ids: Iterable[str]) -> Iterator[tuple[str, pl.DataFrame]]:
        """The (game_id, events in EPISODE_ORDER) of these games, in their order; unknown ones are left out."""
        for block in self._ahead(self._blocks(game_ids)):
            shown: dict[int, pl.DataFrame] = {}
            for game_id, pieces in block.items():
                piece = pieces[0]
                if len(pieces) > 1 or game_id in piece.rows.unordered:
                    rows = pl.concat([piece.rows.frame.slice(piece.first_row, piece.n_rows) for piece in pieces])
                    yield game_id, rows.sort(EPISODE_ORDER).select(self._columns)
                    continue
                frame = shown.get(id(piece.rows))
                if frame is None:
                    frame = shown[id(piece.rows)] = piece.rows.frame.select(self._columns)
                yield game_id, frame.slice(piece.first_row, piece.n_rows)

    def blocks(self, game_ids: Iterable[str]) -> Iterator[tuple[list[str], pl.DataFrame]]:
        """The events of these games, many games at a time: the games, and their rows in no order."""
        for block in self._ahead(self._blocks(game_ids)):
            of_file: dict[int, list[_Piece]] = {}
            for piece in (piece for pieces in block.values() for piece in pieces):
                of_file.setdefault(id(piece.rows), []).append(piece)
            rows = pl.concat([_gathered(pieces) for pieces in of_file.values()])
            yield list(block), rows if rows.columns == self._columns else rows.select(self._columns)

    def _blocks(self, game_ids: Iterable[str]) -> Iterator[list[str]]:
        block: list[str] = []
        n_rows = n_bytes = 0.0
        for game_id in game_ids:
            pieces = self._of_game.get(game_id)
            if pieces is None:
                continue
            block.append(game_id)
            for piece in pieces:
                n_rows += piece.n_rows
                n_bytes += piece.n_rows / piece.file.n_rows * piece.file.n_bytes
            if n_rows >= BLOCK_ROWS or n_bytes >= _BLOCK_BYTES:
                yield block
                block, n_rows, n_bytes = [], 0.0, 0.0
        if block:
            yield block

    def _ahead(self, blocks: Iterator[list[str]]) -> Iterator[_Block]:
        """Each block with its rows, the next one being read meanwhile."""
        first, second = next(blocks, None), next(blocks, None)
        if first is None:
            return
        if second is None:
            yield self._read(first)
            return
        with ThreadPoolExecutor(1, "vectra-reader") as reader:
            reading = reader.submit(self._read, first)
            for following in chain([second], blocks):
                block, reading = reading.result(), reader.submit(self._read, following)
                yield block
            yield reading.result()

    def _read(self, block: list[str]) -> _Block:
        slices = [rows for game_id in block for rows in self._of_game[game_id]]
        slices.sort(key=lambda rows: (rows.file.file_id, rows.first_row))
        of_file = [list(some) for _, some in groupby(slices, lambda rows: rows.file.file_id)]
        self._hold(
            [
                some[0].file
                for some in of_file
                if some[0].file.file_id in self._held or _isread_files(some, len(self._read_columns))
            ]
        )
        found: _Block = {game_id: [] for game_id in block}
        for some in of_file:
            held = self._held.get(some[0].file.file_id)
            rows, first_row = held or (_Rows(_read(some, self._read_columns)), 0)
            for piece in some:
                place = first_row if held is None else first_row + piece.first_row
                found[piece.game_id].append(_Piece(rows, place, piece.n_rows))
                first_row += 0 if held else piece.n_rows
        return found

    def _hold(self, files: list[LiveFile]) -> None:
        """Have these files read whole, a partition's together, and forget those of the block before."""
        held = {file.file_id: self._held[file.file_id] for file in files if file.file_id in self._held}
        new = sorted((file for file in files if file.file_id not in held), key=lambda file: file.partition)
        self._held = held
        for _, some in groupby(new, lambda file: file.partition):
            of_partition = list(some)
            rows, first_row = _Rows(read_files(of_partition, self._read_columns)), 0
            for file in of_partition:
                held[file.file_id] = (rows, first_row)
                first_row += file.n_rows


def _isread_files(slices: list[GameRows], n_columns: int) -> bool:
    """Whether reading all of a file is less work than reading these slices of it."""
    file = slices[0].file
    share = sum(rows.n_rows for rows in slices) / file.n_rows
    fits = file.n_rows * n_columns <= _WHOLE_FILE_CELLS and file.n_bytes <= _WHOLE_FILE_BYTES
    return file.n_rows <= _SMALL_FILE_ROWS or (fits and share >= _WORTHWHILE_SHARE)


def _gathered(pieces: list[_Piece]) -> pl.DataFrame:
    """The rows of all these pieces of one frame."""
    frame = pieces[0].rows.frame
    if sum(piece.n_rows for piece in pieces) == frame.height:
        return frame
    runs: list[tuple[int, int]] = []  # first row and end of pieces that stand one behind the other
    for piece in pieces:
        if runs and runs[-1][1] == piece.first_row:
            runs[-1] = (runs[-1][0], piece.first_row + piece.n_rows)
        else:
            runs.append((piece.first_row, piece.first_row + piece.n_rows))
    if len(runs) <= _FEW_RUNS:  # no copy
        return pl.concat([frame.slice(first, end - first) for first, end in runs], rechunk=False)
    firsts, ends = (pl.Series(places, dtype=pl.Int64) for places in zip(*runs, strict=True))
    return frame[pl.int_ranges(firsts, ends, eager=True).explode()]
