"""A stream of rows becomes one CSV or Parquet file, whole or not at all, with its provenance beside it."""

import contextlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Protocol

import orjson
import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.parquet as pq

from vectra_analytics.errors import VectraError
from vectra_analytics.parquet import ROW_GROUP_ROWS
from vectra_analytics.whole_files import HashingFile, sync_folder, write_whole

SUFFIXES = (".csv", ".parquet")
_FORMULA = r"^[=+\-@\t\r]"  # what spreadsheets take for the start of a formula
_TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"


@dataclass(frozen=True, slots=True)
class Export:
    """A finished export."""

    path: Path
    meta_path: Path
    n_rows: int
    sha256: str


class _Sink(Protocol):
    def add(self, rows: pa.RecordBatch) -> None: ...

    def finish(self, meta: Mapping[str, Any]) -> Mapping[str, Any]: ...


def check_target(path: Path, *, overwrite: bool) -> None:
    """Raise where an export could not be written, before any work is done for it."""
    if path.suffix not in SUFFIXES:
        raise VectraError(f"cannot export to {path}: the name must end in {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise VectraError(f"cannot export to {path}: there is no folder {path.parent}; make it first")
    for target in (path, meta_path(path)):
        if target.exists() and not overwrite:
            raise VectraError(
                f"{target} exists; choose another name, or overwrite it with --overwrite (overwrite=True)"
            )
        if target.is_dir():
            raise VectraError(f"cannot export to {target}: it is a folder")


def meta_path(path: Path) -> Path:
    """Where an export's provenance lies."""
    return path.with_name(f"{path.name}.meta.json")


def write_export(path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema, meta: Mapping[str, Any]) -> Export:
    """Write the rows to ``path`` and ``meta`` beside it, last.

    The rows stream: no more than a batch is in memory. A reader sees the old export, none, or the new one.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            hashing = HashingFile(file)
            sink: _Sink = _CsvSink(hashing, schema) if path.suffix == ".csv" else _ParquetSink(hashing, schema)
            n_rows = 0
            for batch in batches:
                sink.add(batch)
                n_rows += batch.num_rows
            said = sink.finish({**meta, "n_rows": n_rows})
            file.flush()
            os.fsync(file.fileno())
        digest = hashing.digest.hexdigest()
        # An export is what has a meta file: an old one must not vouch for new rows.
        meta_path(path).unlink(missing_ok=True)
        os.replace(unfinished, path)
        write_whole(meta_path(path), orjson.dumps({**said, "sha256": digest}, option=orjson.OPT_INDENT_2) + b"\n")
        sync_folder(path.parent)
    except OSError as error:
        raise VectraError(f"cannot export to {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return Export(path, meta_path(path), n_rows, digest)


def library_versions() -> dict[str, str]:
    """What an export was made with."""
    return {name: installed(name) for name in ("vectra_analytics", "duckdb", "polars", "pyarrow")}


class _CsvSink:
    """Numbers as the shortest text that reads back as they are, times in ISO 8601, NULL as an empty field."""

    def __init__(self, file: HashingFile, schema: pa.Schema) -> None:
        self._file = file
        self._n_guarded = 0
        self._write(pl.DataFrame(pa.Table.from_batches([], schema)), header=True)

    def add(self, rows: pa.RecordBatch) -> None:
        frame = pl.DataFrame(rows)
        is_formula = frame.select(cs.string().str.contains(_FORMULA))
        self._n_guarded += int(sum(column.sum() for column in is_formula))
        self._write(frame.with_columns(cs.string().str.replace(_FORMULA, "'${0}")), header=False)

    def _write(self, frame: pl.DataFrame, *, header: bool) -> None:
        text = io.BytesIO()
        frame.write_csv(text, include_header=header, datetime_format=_TIME)
        self._file.write(text.getvalue())

    def finish(self, meta: Mapping[str, Any]) -> Mapping[str, Any]:
        rule = "text that begins with = + - @, a tab or a carriage return has an apostrophe put before it"
        return {**meta, "formula_guard": {"rule": rule, "n_cells": self._n_guarded}}


class _ParquetSink:
    """zstd, with the provenance in the footer too."""

    def __init__(self, file: HashingFile, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True)

    def add(self, rows: pa.RecordBatch) -> None:
        self._writer.write_table(pa.Table.from_batches([rows]), row_group_size=8 * ROW_GROUP_ROWS)

    def finish(self, meta: Mapping[str, Any]) -> Mapping[str, Any]:
        self._writer.add_key_value_metadata({"vectra": orjson.dumps(meta)})
        self._writer.close()
        return meta


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
