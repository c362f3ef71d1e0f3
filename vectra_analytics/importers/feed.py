"""The feed as it came: raw websocket samples and raw captures, an event of the server (or to it) a line."""

import json
import re
from typing import Any

from vectra_analytics import payload
from vectra_analytics.envelope import Direction, DocType, EventSource
from vectra_analytics.errors import InvalidEvent
from vectra_analytics.exact_values import to_json
from vectra_analytics.importers.formats import LineFormat, Record, Refused, Row

_COLUMNS = (
    "doc_type",
    "ts",
    "source",
    "direction",
    "game_id",
    "player_id",
    "username",
    "event_name",
    "tick",
    "price",
    "active",
    "rugged",
    "phase",
    "cooldown_timer",
    "trade_count",
    "raw_json",
    "text",  # of the line, for a reject
)
_FLAT_KEYS = frozenset({"seq", "ts", "timestamp", "event", "event_type", "direction", "source"})
_KINDS = bytes(ord("0" if chr(byte).isdecimal() else " " if chr(byte) in ":,[- \t\r" else "x") for byte in range(256))
_LONG_NUMBER = re.compile(r"[:,\[\s]-?[0-9]{19,}(?![0-9.eE])")


def _is_sample(record: Record) -> bool:
    return "timestamp" in record and "data" in record and isinstance(record.get("event_type"), str)


def _is_captured(record: Record) -> bool:
    return ("ts" in record or "timestamp" in record) and "data" in record and isinstance(record.get("event"), str)


def _time_of_captured(record: Record) -> object:
    return record["ts"] if "ts" in record else record["timestamp"]


def _sample_row(record: Any, text: str) -> Row:
    """The sample as a row of :data:`_COLUMNS`, with its text behind them."""
    if not isinstance(record, dict):
        raise Refused("the line is JSON, but no record: an object with timestamp, event_type and data")
    for key in ("timestamp", "event_type", "data"):
        if key not in record:
            raise Refused(f"the record has no {key}")
    name, data = record["event_type"], _exact(record, text)["data"]
    return _row(record["timestamp"], EventSource.PUBLIC_WS, Direction.RECEIVED, name, data, text)


def _captured_row(record: Any, text: str) -> Row:
    """The captured event as a row of :data:`_COLUMNS`, with its text behind them."""
    if not isinstance(record, dict):
        raise Refused("the line is JSON, but no record: an object with ts or timestamp, event and data")
    for key in ("event", "data"):
        if key not in record:
            raise Refused(f"the record has no {key}")
    if "ts" not in record and "timestamp" not in record:
        raise Refused("the record has no ts and no timestamp")
    direction = record.get("direction")
    if direction is None:
        direction = Direction.RECEIVED
    elif direction not in ("received", "sent"):
        raise Refused(f"direction is {ascii(direction)[:40]}, neither received nor sent")
    source = EventSource.CDP if payload.is_of_browser(record) else EventSource.PUBLIC_WS
    data = _exact(record, text)["data"]
    return _row(_time_of_captured(record), source, direction, record["event"], data, text)


def _row(ts: object, source: str, direction: str, name: object, data: Any, text: str) -> Row:
    if not isinstance(name, str):
        raise Refused(f"the name of the event is {ascii(name)[:40]}, which is a {type(name).__name__}")
    if "\0" in name:
        raise Refused(f"the name of the event is {ascii(name)[:40]}, with a NUL character in it")
    inner = payload.unwrap(data)
    return (
        DocType.WS_EVENT.value,
        ts,
        str(source),
        str(direction),
        payload.game_id_of(inner),
        *payload.player_of(name, inner),
        name,
        *payload.position_of(inner),
        *payload.game_state(inner).values(),
        _json({"event": name, "data": data}),
        text,
    )


def _complete_games(record: Record, row: Row) -> list[Row]:
    """The games whose whole story an update tells; one without an id stays in the update alone."""
    ts, source, direction, text = row[1], row[2], row[3], row[-1]
    if row[7] != "gameStateUpdate" or not _game_history(record):
        return []
    found: list[Row] = []
    for game in _game_history(_exact(record, text)):
        game_id = payload.complete_game_id_of(game)
        if game_id is not None:
            raw = _json(game)
            found.append(
                (
                    DocType.COMPLETE_GAME.value,
                    ts,
                    source,
                    direction,
                    game_id,
                    *(None,) * 5,
                    *payload.game_state(game).values(),
                    raw,
                    raw,
                )
            )
    return found


def _game_history(record: Record) -> list[Any]:
    return payload.game_history(payload.unwrap(record["data"]))


def _json(data: Any) -> str:
    try:
        return to_json(data)
    except InvalidEvent as error:
        raise Refused(str(error)) from None


def _exact(record: Record, text: str) -> Record:
    """The record with whole numbers beyond 64 bits as they were written, not as the nearest float."""
    # Nearly no record has a number of so many digits, and this finds that out four times as fast as the pattern.
    if b" " + b"0" * 19 in text.encode().translate(_KINDS) and _LONG_NUMBER.search(text):
        try:
            return json.loads(text)  # type: ignore[no-any-return]  # it was read before, with less care
        except (ValueError, RecursionError) as error:
            raise Refused(f"a number, or a depth, that cannot be read exactly: {str(error)[:80]}") from None
    return record


SAMPLES = LineFormat(
    kind="ws",
    columns=_COLUMNS,
    constants={},
    keys="timestamp, event_type and data",
    recognises=_is_sample,
    time_of=lambda record: record["timestamp"],
    row=_sample_row,
    further_rows=_complete_games,
    flat_keys=_FLAT_KEYS,
)
CAPTURES = LineFormat(
    kind="capture",
    columns=_COLUMNS,
    constants={},
    keys="ts or timestamp, event and data",
    recognises=_is_captured,
    time_of=_time_of_captured,
    row=_captured_row,
    further_rows=_complete_games,
    flat_keys=_FLAT_KEYS,
)
