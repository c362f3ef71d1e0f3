"""A Parquet store of the reference implementation (VECTRA-PLAYER): text columns, placeholders, rows stored twice."""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from vectra_analytics import payload
from vectra_analytics.envelope import Direction, DocType, EventSource
from vectra_analytics.errors import InvalidEvent, VectraError
from vectra_analytics.exact_values import money
from vectra_analytics.importers.formats import Format, Refused, Row
from vectra_analytics.importers.gathering import Recording, foreign_name
from vectra_analytics.importers.lines import LINE_SUFFIXES
from vectra_analytics.schema import BATCH_SCHEMA

REFERENCE = Format(kind="reference", columns=(*BATCH_SCHEMA.names, "origin"), constants={})

_ROWS_AT_ONCE = 256
_LARGE = 1 << 26  # bytes of a file that is not read a column at once
_BUFFER = 1 << 20
_NEEDED = ("ts", "source", "session_id", "seq", "direction", "raw_json")
_PLACEHOLDER = "unknown"  # what the reference writes where it knows no game or player
_OF_A_PLAYER = frozenset({DocType.WS_EVENT, DocType.SERVER_STATE, DocType.PLAYER_ACTION, DocType.BUTTON_EVENT})
_AT_A_TICK = frozenset({DocType.WS_EVENT, DocType.GAME_TICK, DocType.PLAYER_ACTION, DocType.BUTTON_EVENT})


class BrokenFile(VectraError):
    """A Parquet file that cannot be read from some row on."""


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row as the file has it; texts that are no UTF-8 are bytes."""

    values: Mapping[str, Any]
    folder_doc_type: str | None

    def as_text(self) -> str:
        """The row as JSON, for a reject."""
        return json.dumps(self.values, ensure_ascii=False, default=str)

    @property
    def n_bytes(self) -> int:
        """About what it takes in memory."""
        return 500 + 2 * len(self.values["raw_json"] or "")


def is_parquet(path: Path) -> bool:
    """Whether a file is one of Parquet, by its name or by its first bytes."""
    if path.name.endswith(LINE_SUFFIXES):
        return False
    if path.suffix == ".parquet":
        return True
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False  # whoever reads its lines says why it cannot be read


def look_at(path: Path) -> Recording:
    """Find out whether the file is one of the reference's."""
    try:
        n_bytes = path.stat().st_size
        why_not, footer = _examined(path, n_bytes)
    except OSError as error:
        raise VectraError(f"cannot read {path}: {error.strerror or error}") from error
    name = foreign_name(path) if why_not else f"reference-{hashlib.sha256(footer).hexdigest()[:16]}"
    return Recording(path, n_bytes, REFERENCE, name, why_not=why_not)


def _examined(path: Path, n_bytes: int) -> tuple[str, bytes]:
    """Why the file is none of the reference's, or nothing; and its footer, which no other file has."""
    if n_bytes == 0:
        return "is empty: a Parquet file that was never written", b""
    try:
        with pa.OSFile(os.fsencode(path)) as source, pq.ParquetFile(source) as file:
            schema, metadata = file.schema_arrow, file.metadata.metadata or {}
            names = schema.names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if getattr(error, "errno", None):
            raise
        return f"is no Parquet file, or a broken one: {_one_line(error)}", b""
    if any(key.startswith(b"vectra.") for key in metadata) or _is_typed(schema):
        return "is no recording but typed, as the files of this package's own stores: --data-dir queries those", b""
    if len(set(names)) < len(names):
        return "is no event file: two of its columns have one name", b""
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        return f"is no event file: it has no column {', '.join(missing)}", b""
    with path.open("rb") as raw:
        raw.seek(-8, 2)
        length = int.from_bytes(raw.read(4), "little")
        raw.seek(-8 - length, 2)
        return "", raw.read(length)


def _is_typed(schema: pa.Schema) -> bool:
    return "ts" in schema.names and pa.types.is_timestamp(schema.field("ts").type)


def read_rows(path: Path) -> Iterator[tuple[list[StoredRow], int]]:
    """The rows in lists, each list with the bytes of the file that it is about through; few are in memory at once."""
    folder = next((part for part in reversed(path.parent.parts) if part.startswith("doc_type=")), None)
    doc_type = folder.removeprefix("doc_type=") if folder else None
    try:
        n_bytes = path.stat().st_size
        # Through a buffer pyarrow takes seconds, and gigabytes, to find that a page's header is damaged.
        n_buffer = _BUFFER if n_bytes > _LARGE else 0
        with (
            pa.OSFile(os.fsencode(path)) as source,
            pq.ParquetFile(source, buffer_size=n_buffer, pre_buffer=False) as file,
        ):
            n_rows, n_read = file.metadata.num_rows, 0
            names = [name for name in file.schema_arrow.names if name in BATCH_SCHEMA.names]
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=names):
                n_read += batch.num_rows
                columns = [_values(batch.column(name)) for name in names]
                rows = zip(*columns, strict=True)
                yield (
                    [StoredRow(dict(zip(names, row, strict=True)), doc_type) for row in rows],
                    n_bytes * n_read // n_rows,
                )
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise BrokenFile(f"the file breaks off: {_one_line(error)}") from error


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        return [_decoded(value) for value in column.cast(pa.large_binary()).to_pylist()]


def _decoded(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def row(stored: StoredRow) -> tuple[Row, int]:
    """The row as one of :data:`REFERENCE`'s, and how many of its amounts are none; raises Refused.

    What a column lacks is read from ``raw_json``, as the factories of :class:`EventEnvelope` would.
    """
    values = stored.values
    get = values.get
    for column, value in values.items():
        if isinstance(value, bytes):
            raise Refused(f"{column} is no UTF-8 text: {value[:40]!a}")
    doc_type = _member(DocType, get("doc_type") or stored.folder_doc_type, "doc_type")
    source, direction = _member(EventSource, get("source"), "source"), _member(Direction, get("direction"), "direction")
    session_id, seq, raw = get("session_id"), payload.whole(get("seq")), get("raw_json")
    if payload.text_of(session_id) is None:
        raise Refused(f"session_id is {ascii(session_id)[:40]}: an event needs one")
    if seq is None or seq < 0:
        raise Refused(f"seq is {ascii(get('seq'))[:40]}: an event needs a whole number from 0")
    if raw is None:
        raw = "null"
    if not isinstance(raw, str) or "\0" in raw:
        raise Refused(f"raw_json is {ascii(raw)[:40]}, no text that SQL can hold")
    said_name, data = _payload(doc_type, _parsed(raw))
    name = payload.text_of(get("event_name")) or payload.text_of(said_name)
    tick, price = _whole_from_0(get("tick")), _price(get("price"))
    if doc_type in _AT_A_TICK:
        seen_tick, seen_price = payload.position_of(data)
        tick, price = seen_tick if tick is None else tick, seen_price if price is None else price
    player_id, username = _id(get("player_id")), payload.text_of(get("username"))
    if doc_type in _OF_A_PLAYER:
        update = "playerUpdate" if doc_type == DocType.SERVER_STATE else name or ""
        seen_player, seen_name = payload.player_of(update, data)
        player_id, username = player_id or _id(seen_player), username or seen_name
    id_of_game = payload.complete_game_id_of if doc_type == DocType.COMPLETE_GAME else payload.game_id_of
    cash, position_qty = _amount(get("cash")), _amount(get("position_qty"))
    event: dict[str, Any] = {
        "doc_type": doc_type,
        "ts": get("ts"),
        "source": source,
        "session_id": session_id,
        "seq": seq,
        "direction": direction,
        "game_id": _id(get("game_id")) or _id(id_of_game(data)),
        "player_id": player_id,
        "username": username,
        "event_name": name,
        "tick": tick,
        "price": price,
        **payload.game_state(data),
        "cash": cash,
        "position_qty": position_qty,
        "sequence_position": payload.whole(get("sequence_position")),
        "raw_json": raw,
        "origin": stored,
    }
    for label in ("action_type", "button_id", "button_category", "sequence_id"):
        event[label] = payload.text_of(get(label))
    n_unreadable = (cash is None and get("cash") is not None) + (
        position_qty is None and get("position_qty") is not None
    )
    return tuple(map(event.__getitem__, REFERENCE.columns)), n_unreadable


def _member(kind: type[DocType] | type[EventSource] | type[Direction], value: object, name: str) -> str:
    if value not in list(kind):
        raise Refused(f"{name} is {ascii(value)[:40]}, not one of {', '.join(kind)}")
    return str(value)


def _id(value: object) -> str | None:
    return None if value == _PLACEHOLDER else payload.text_of(value)


def _whole_from_0(value: object) -> int | None:
    number = payload.whole(value)
    return None if number is None or number < 0 else number


def _price(value: object) -> float | None:
    """The price that a text, or a number, names; None for what is none."""
    if not isinstance(value, str | float | int) or (isinstance(value, str) and "_" in value):
        return None
    try:
        price = float(value)
    except ValueError:
        return None
    return price if math.isfinite(price) and price >= 0 else None


def _amount(value: Any) -> Any:
    if value is None or (isinstance(value, str) and "_" in value):
        return None
    try:
        return money(value, "amount")
    except InvalidEvent:
        return None


def _parsed(raw: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            return json.loads(raw)  # the reference writes NaN, which JSON does not have
        except (ValueError, RecursionError):
            return None


def _payload(doc_type: str, said: Any) -> tuple[object, Any]:
    """The event's name, where it stands in its raw_json, and the payload proper."""
    if isinstance(said, Mapping) and "data" in said:
        if doc_type == DocType.WS_EVENT and isinstance(said.get("event"), str):
            return said["event"], payload.unwrap(said["data"])
        if doc_type == DocType.SYSTEM_EVENT and isinstance(said.get("type"), str):
            return said["type"], said["data"]
    return None, payload.unwrap(said)
