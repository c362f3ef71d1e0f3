"""One event file: written whole or not at all, with what is needed to know it again in its footer."""

import contextlib
import hashlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vectra_analytics.schema import EVENT_SCHEMA

ROW_GROUP_ROWS = 16_384
_DICTIONARY = [field.name for field in EVENT_SCHEMA if pa.types.is_dictionary(field.type)] + [
    # Their values repeat in every file, though their number has no bound over the store's life.
    "session_id",
    "game_id",
    "player_id",
    "username",
]
_ENCODING = {
    "price": "BYTE_STREAM_SPLIT",
    **{
        field.name: "DELTA_BINARY_PACKED"
        for field in EVENT_SCHEMA
        if pa.types.is_int64(field.type) or pa.types.is_timestamp(field.type)
    },
}


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """What the catalog keeps of a file."""

    path: Path
    n_bytes: int
    sha256: str  # of the whole file


def write_atomically(table: pa.Table, path: Path, footer: Mapping[str, str]) -> WrittenFile:
    """Write ``table`` so that a reader sees the whole file or no file, and a power cut after this keeps it.

    The footer gets ``footer`` (under ``vectra.*``) and the SHA-256 of all bytes before it, so a file can be
    checked when the catalog is lost. The caller still has to :func:`sync_folder` the file's folder.
    """
    buffer = io.BytesIO()
    writer = pq.ParquetWriter(
        buffer,
        table.schema,
        compression="zstd",
        use_dictionary=_DICTIONARY,
        column_encoding=_ENCODING,
        write_page_checksum=True,
    )
    writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
    body = buffer.getvalue()
    writer.add_key_value_metadata(
        {f"vectra.{key}": value for key, value in footer.items()}
        | {"vectra.body_bytes": str(len(body)), "vectra.body_sha256": hashlib.sha256(body).hexdigest()}
    )
    writer.close()
    content = buffer.getvalue()
    # A rename is atomic only within one file system, so the unfinished file is a neighbour. Other tools'
    # **/*.parquet scans also take hidden files: hence ".part" at the end.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        os.rename(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    return WrittenFile(path, len(content), hashlib.sha256(content).hexdigest())


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
