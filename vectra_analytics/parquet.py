"""One event file: written whole or not at all, with what is needed to know it again in its footer."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vectra_analytics.schema import EVENT_SCHEMA, SCHEMA_VERSION
from vectra_analytics.whole_files import whole_file

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


def footer_of(commit_id: str, version: int, *, n_files: int, replaces: Sequence[str] = ()) -> dict[str, str]:
    """What a file's footer says of the commit that made it, of which there are ``n_files``."""
    return {
        "schema_version": SCHEMA_VERSION,
        "commit_id": commit_id,
        "store_version": str(version),
        "commit_files": str(n_files),
        "replaces": json.dumps(list(replaces)),
    }


def write_atomically(rows: Iterable[pa.Table], path: Path, footer: Mapping[str, str]) -> WrittenFile:
    """Write ``rows`` so that a reader sees the whole file or no file, and a power cut after this keeps it.

    Each table begins a row group. The footer gets ``footer`` (under ``vectra.*``) and the SHA-256 of all bytes
    before it, so a file can be checked when the catalog is lost. The caller still has to sync the file's folder.
    """
    with whole_file(path) as file:
        writer = pq.ParquetWriter(
            file,
            EVENT_SCHEMA,
            compression="zstd",
            use_dictionary=_DICTIONARY,
            column_encoding=_ENCODING,
            write_page_checksum=True,
        )
        for table in rows:
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        writer.add_key_value_metadata(
            {f"vectra.{key}": value for key, value in footer.items()}
            | {"vectra.body_bytes": str(file.n_bytes), "vectra.body_sha256": file.digest.hexdigest()}
        )
        writer.close()
    return WrittenFile(path, file.n_bytes, file.digest.hexdigest())
