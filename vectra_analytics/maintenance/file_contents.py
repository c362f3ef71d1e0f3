"""What an event file holds, by its own bytes alone: its footer, its hashes, and what its rows say."""

import errno
import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from vectra_analytics.commit import canonical_hash
from vectra_analytics.schema import EVENT_SCHEMA

_CHUNK = 1 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Footer:
    """What a file of ours says of itself."""

    commit_id: str
    version: int
    n_files: int  # of the commit
    replaces: tuple[str, ...]  # names in the same folder; of a compacted file
    body_bytes: int
    body_sha256: str
    n_rows: int
    n_named: int | None  # rows that name a game, where the statistics tell

    @classmethod
    def of(cls, path: Path) -> "Footer":
        """The footer of a file; NotOurs where it has none that this package wrote."""
        try:
            metadata = pq.read_metadata(path)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise NotOurs(f"it is no whole Parquet file: {' '.join(str(error).split())[-200:]}") from error
        said = {key.decode(errors="replace"): value for key, value in (metadata.metadata or {}).items()}
        try:
            return cls(
                commit_id=said["vectra.commit_id"].decode(),
                version=int(said["vectra.store_version"]),
                n_files=int(said["vectra.commit_files"]),
                replaces=tuple(json.loads(said["vectra.replaces"])),
                body_bytes=int(said["vectra.body_bytes"]),
                body_sha256=said["vectra.body_sha256"].decode(),
                n_rows=metadata.num_rows,
                n_named=_n_named(metadata),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise NotOurs("another program wrote it: its footer does not name a commit") from error


class NotOurs(Exception):
    """A file is none of this package, or not whole; the message says which."""


# These are of the machine, and may be gone the next time: a file that is whole must not suffer for them.
_PASSING = tuple(
    os.strerror(code)
    for code in (errno.EMFILE, errno.ENFILE, errno.EIO, errno.EACCES, errno.EPERM, errno.ENOMEM, errno.ESTALE)
)


def is_of_machine(fault: str) -> bool:
    """Whether what is said to be wrong with a file is no more than that it could not be read just now."""
    return any(text in fault for text in _PASSING)


def _n_named(metadata: pq.FileMetaData) -> int | None:
    column = EVENT_SCHEMA.get_field_index("game_id")
    n_named = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        statistics = group.column(column).statistics if group.num_columns > column else None
        if statistics is None or not statistics.has_null_count:
            return None
        n_named += group.num_rows - statistics.null_count
    return n_named


@dataclass(frozen=True, slots=True)
class Hashes:
    """Of a file's bytes."""

    n_bytes: int
    sha256: str
    body_bytes: int  # before the footer, by the length of it that the last bytes say
    body_sha256: str

    def agree_with(self, footer: Footer) -> bool:
        """Whether the body is what the footer says."""
        return (self.body_bytes, self.body_sha256) == (footer.body_bytes, footer.body_sha256)


def hashes_of(path: Path) -> Hashes:
    """Read all bytes of the file."""
    digest, body, n_bytes = hashlib.sha256(), "", 0
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        file.seek(max(0, length - 8))
        body_bytes = max(0, length - 8 - int.from_bytes(file.read(4), "little"))
        file.seek(0)
        while chunk := file.read(min(_CHUNK, body_bytes - n_bytes) if n_bytes < body_bytes else _CHUNK):
            digest.update(chunk)
            n_bytes += len(chunk)
            if n_bytes == body_bytes:
                body = digest.hexdigest()
    return Hashes(n_bytes, digest.hexdigest(), body_bytes, body)


@dataclass(slots=True)
class Rows:
    """What the rows of a file say, as far as the catalog keeps it."""

    n_rows: int
    ts_min: int  # microseconds since 1970
    ts_max: int
    games: list[tuple[str, int, int]]  # with the first row and the number of rows
    is_grouped: bool  # each game's rows stand together
    seqs: dict[str, np.ndarray]  # ascending, by session
    complete_games: list[tuple[str, str]]  # game_id and the hash of its story

    @property
    def sessions(self) -> list[tuple[str, int, int]]:
        """The sessions with their lowest and highest seq."""
        return [(session_id, int(seqs[0]), int(seqs[-1])) for session_id, seqs in self.seqs.items()]


def rows_of(path: Path, doc_type: str) -> Rows:
    """Read all pages of the file, with their checksums; NotOurs where they are not as they should be."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if not file.schema_arrow.equals(EVENT_SCHEMA, check_metadata=False):
                raise NotOurs("its columns are not those of the schema")
            groups = [_looked_at(file.read_row_group(number), doc_type) for number in range(file.num_row_groups)]
    except (OSError, ValueError, pa.ArrowException) as error:
        raise NotOurs(f"its pages cannot be read: {' '.join(str(error).split())[-200:]}") from error
    if not groups:
        raise NotOurs("it has no rows")
    return _joined(pl.concat(keys for keys, _ in groups), [story for _, stories in groups for story in stories])


def check_day(rows: Rows, date: str) -> None:
    """Raise NotOurs unless all rows are of this UTC day, which is that of the file's partition."""
    days = [
        (_EPOCH + timedelta(microseconds=time)).strftime("%Y-%m-%d").zfill(10) for time in (rows.ts_min, rows.ts_max)
    ]
    if days != [date, date]:
        raise NotOurs(f"it has rows of {days[0]} to {days[1]}, and lies among those of {date}")


def _looked_at(table: pa.Table, doc_type: str) -> tuple[pl.DataFrame, list[tuple[str, str]]]:
    keys = pl.DataFrame(table.select(["ts", "session_id", "seq", "game_id"]))
    if doc_type != "complete_game":
        return keys, []
    texts = zip(table["game_id"].to_pylist(), table["raw_json"].to_pylist(), strict=True)
    return keys, [(game_id, canonical_hash(raw)) for game_id, raw in texts if game_id is not None]


def _joined(keys: pl.DataFrame, complete_games: list[tuple[str, str]]) -> Rows:
    games, first = [], 0
    for game_id, n_rows in keys["game_id"].rle().struct.unnest().select("value", "len").rows():
        if game_id is not None:
            games.append((game_id, first, n_rows))
        first += n_rows
    times = keys["ts"].dt.epoch("us")
    return Rows(
        n_rows=keys.height,
        ts_min=int(times.min()),  # type: ignore[arg-type]
        ts_max=int(times.max()),  # type: ignore[arg-type]
        games=games,
        is_grouped=len({game_id for game_id, _, _ in games}) == len(games),
        seqs={
            str(session_id): np.sort(some["seq"].to_numpy())
            for (session_id,), some in keys.partition_by("session_id", as_dict=True).items()
        },
        complete_games=complete_games,
    )
