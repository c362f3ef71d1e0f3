"""Replay recordings (``game_*.jsonl``, ``session_*.jsonl``): a record a line, each with a type and a local time."""

from typing import Any

from vectra_analytics.importers.formats import LineFormat, Record, Refused, Row

SYSTEM_TYPES = frozenset({"game_start", "game_end", "session_start", "session_end", "game_complete"})

_COLUMNS = (
    "doc_type",
    "ts",
    "game_id",
    "event_name",
    "tick",
    "price",
    "active",
    "rugged",
    "phase",
    "cooldown_timer",
    "trade_count",
    "raw_json",
)


def _recognises(record: Record) -> bool:
    """Whether the record is one of a replay recording."""
    kind = record.get("type")
    return "timestamp" in record and isinstance(kind, str) and (kind == "tick" or kind in SYSTEM_TYPES)


def _row(record: Any, raw: str) -> Row:
    """The record as a row of :data:`_COLUMNS`, its ``ts`` still a text; types are looked at by the column, later."""
    try:
        kind = record["type"]
        if kind == "tick":
            tick, price, game_id = record["tick"], record["price"], record["game_id"]
            if tick is None or price is None or not game_id:
                raise Refused("a tick record needs a game_id, a tick and a price; one of them is empty")
            get = record.get
            return (
                "game_tick",
                record["timestamp"],
                game_id,
                None,
                tick,
                price,
                get("active"),
                get("rugged"),
                get("phase"),
                get("cooldown_timer"),
                get("trade_count"),
                raw,
            )
        if kind not in SYSTEM_TYPES:
            raise Refused(f"unknown record type {str(kind)[:40]!r}")
        timestamp, game_id = record["timestamp"], record.get("game_id")
    except KeyError as missing:
        raise Refused(f"the record has no {missing.args[0]}") from None
    except TypeError:
        raise Refused("the line is JSON, but no record: an object with a type that is a text") from None
    return ("system_event", timestamp, game_id, kind, None, None, None, None, None, None, None, raw)


REPLAY = LineFormat(
    kind="replay",
    columns=_COLUMNS,
    constants={"source": "replay", "direction": "received"},
    keys="type and timestamp",
    recognises=_recognises,
    time_of=lambda record: record["timestamp"],
    row=_row,
)
