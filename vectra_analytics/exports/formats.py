"""The rows of one exported file, as CSV or Parquet, streamed: no more than a batch is in memory."""

import gzip
import io
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson
import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.parquet as pq

from vectra_analytics.exports.checksums import ColumnChecksums
from vectra_analytics.interruption import helpers
from vectra_analytics.parquet import ROW_GROUP_ROWS
from vectra_analytics.whole_files import HashingFile

SUFFIXES = (".csv", ".csv.gz", ".parquet")

# What spreadsheets take for the start of a formula: a sign, also in its full-width form, also behind white space or
# characters that do not show, which some of them drop; and tab, return and line feed themselves.
_FORMULA = r"^(?:[\t\r\n]|[\s\x00-\x1f\u200b-\u200f\u2060\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20])"
_FORMULA_RULE = (
    "text that begins with = + - @ (also full-width, also behind white space), a tab, a carriage return or a line "
    "feed has an apostrophe put before it"
)
_TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"


@dataclass(frozen=True, slots=True)
class Written:
    """One file that was written, and what was said of it."""

    n_rows: int
    sha256: str
    meta: Mapping[str, Any]


class _Sink(Protocol):
    def add(self, rows: pa.RecordBatch) -> None: ...

    def finish(self, meta: Mapping[str, Any]) -> Mapping[str, Any]: ...


def suffix_of(path: Path) -> str:
    """The suffix that names the format, or whatever else the name ends in; "" for a folder."""
    return next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), path.suffix)


def write_rows(
    path: Path, suffix: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, meta: Mapping[str, Any]
) -> Written:
    """Write the rows to ``path``, durably, in the format of ``suffix``.

    Under this name the file may be seen half written; the caller gives it another one when it is whole.
    """
    with path.open("wb") as file:
        hashing = HashingFile(file)
        with _Behind(hashing) as behind:
            sink: _Sink = _ParquetSink(behind, schema) if suffix == ".parquet" else _CsvSink(behind, schema, suffix)
            n_rows = 0
            checksums = ColumnChecksums(schema)
            for batch in _ahead(rebatched(batches)):
                sink.add(batch)
                checksums.add(batch)
                n_rows += batch.num_rows
            said = sink.finish({**meta, "n_rows": n_rows, "column_checksums": checksums.to_dict()})
        file.flush()
        os.fsync(file.fileno())
    return Written(n_rows, hashing.digest.hexdigest(), said)


class _Behind(io.RawIOBase):
    """A file whose writing and hashing a thread does, a few megabytes behind whoever makes its content."""

    _PIECE = 1 << 20
    _MOST_WAITING = 2  # pieces; one of CSV may have 50 MB

    def __init__(self, file: HashingFile) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, "vectra-file")
        self._waiting: deque[Future[int]] = deque()
        self._held = bytearray()
        self._n_bytes = 0
        self._is_over = False

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._n_bytes

    def write(self, content: Any) -> int:
        n_bytes = memoryview(content).nbytes
        self._n_bytes += n_bytes
        if isinstance(content, bytes) and n_bytes >= self._PIECE:
            self._pass_on(self._held)
            self._pass_on(content)
            self._held = bytearray()
        else:
            self._held += content  # a copy: whoever wrote it may use its memory again
            if len(self._held) >= self._PIECE:
                self._pass_on(self._held)
                self._held = bytearray()
        return n_bytes

    def _pass_on(self, piece: bytes | bytearray) -> None:
        if self._is_over:
            return  # a format's writer still wants to end its file when all is lost
        while len(self._waiting) >= self._MOST_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._file.write, piece))

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        """All is in the file, or nothing more comes into it."""
        try:
            if kind is None:
                self._pass_on(self._held)
                while self._waiting:
                    self._waiting.popleft().result()
                return
        finally:
            self._is_over = True
            self._file.abandon()
            self._thread.shutdown()


class _Pieces(io.BytesIO):
    """Text as Polars gives it, megabytes at a time: not joined, and written where errors of the disk are seen."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, content: Any) -> int:
        self.pieces.append(bytes(content))  # no copy of what is bytes already
        return len(content)


class _CsvSink:
    """Numbers as the shortest text that reads back as they are, times in ISO 8601, NULL as an empty field."""

    def __init__(self, file: _Behind, schema: pa.Schema, suffix: str) -> None:
        # The hour and the name of the file would make each export another one.
        self._file = gzip.GzipFile("", "wb", 1, file, mtime=0) if suffix == ".csv.gz" else file
        self._n_guarded = 0
        empty = pl.DataFrame(pa.Table.from_batches([], schema))
        # No shipped view has a column of such a name; a view of a user's own may.
        self._write(empty.rename(lambda name: f"'{name}" if re.match(_FORMULA, name) else name), header=True)

    def add(self, rows: pa.RecordBatch) -> None:
        frame = pl.DataFrame(rows)
        # A text stands in many rows, one after the other: of each run of equals one is looked at.
        suspect = [
            column.name
            for column in frame.select(cs.string())
            if column.filter(column.ne_missing(column.shift())).str.contains(_FORMULA).any()
        ]
        is_formula = frame.select(pl.col(suspect).str.contains(_FORMULA))
        self._n_guarded += int(sum(column.sum() for column in is_formula))
        self._write(frame.with_columns(pl.col(suspect).str.replace(_FORMULA, "'${0}")), header=False)

    def _write(self, frame: pl.DataFrame, *, header: bool) -> None:
        text = _Pieces()
        frame.write_csv(text, include_header=header, datetime_format=_TIME)
        for piece in text.pieces:
            self._file.write(piece)

    def finish(self, meta: Mapping[str, Any]) -> Mapping[str, Any]:
        if isinstance(self._file, gzip.GzipFile):
            self._file.close()
        return {**meta, "formula_guard": {"rule": _FORMULA_RULE, "n_cells": self._n_guarded}}


class _ParquetSink:
    """zstd, with the provenance in the footer too.

    Prices and ratios are noise to the last bit: a dictionary of them only grows, and a slower level gains 6 %.
    """

    def __init__(self, file: _Behind, schema: pa.Schema) -> None:
        texts = [
            column.name for column in schema if pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        ]
        whole = [
            column.name for column in schema if pa.types.is_int64(column.type) or pa.types.is_timestamp(column.type)
        ]
        self._writer = pq.ParquetWriter(
            file,
            schema,
            compression="zstd",
            compression_level=-7,
            use_dictionary=texts,
            column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
            write_page_checksum=True,
        )

    def add(self, rows: pa.RecordBatch) -> None:
        self._writer.write_table(pa.Table.from_batches([rows]), row_group_size=8 * ROW_GROUP_ROWS)

    def finish(self, meta: Mapping[str, Any]) -> Mapping[str, Any]:
        self._writer.add_key_value_metadata({"vectra": orjson.dumps(meta)})
        self._writer.close()
        return meta


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches, each made while the one before is written."""
    with helpers(1, "vectra-rows") as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def rebatched(batches: Iterable[pa.RecordBatch], n_rows: int = 8 * ROW_GROUP_ROWS) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of ``n_rows``, so that a file does not depend on how they came."""
    waiting: list[pa.RecordBatch] = []
    n_waiting = 0
    for batch in batches:
        while batch.num_rows:
            part = batch.slice(0, n_rows - n_waiting)
            batch = batch.slice(part.num_rows)
            waiting.append(part)
            n_waiting += part.num_rows
            if n_waiting == n_rows:
                yield pa.concat_batches(waiting)
                waiting, n_waiting = [], 0
    if waiting:
        yield pa.concat_batches(waiting)
