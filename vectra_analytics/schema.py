"""The one Arrow schema of every event file, whatever its doc_type; columns that do not apply are NULL, at no cost."""

import pyarrow as pa

SCHEMA_VERSION = "2.0.0"
"""Written to ``manifests/schema_version.json`` and to each file's footer; docs/data-format.md says what it promises."""

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
MONEY = pa.decimal128(38, 18)
"""SOL amounts: 20 digits before the point, 18 behind it, never rounded."""
_LABEL = pa.dictionary(pa.int32(), pa.string())  # few distinct values in a file

EVENT_SCHEMA = pa.schema(
    [
        pa.field("ts", UTC_MICROSECONDS, nullable=False),
        pa.field("source", _LABEL, nullable=False),
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("direction", _LABEL, nullable=False),
        pa.field("game_id", pa.string()),
        pa.field("player_id", pa.string()),
        pa.field("username", pa.string()),
        pa.field("event_name", _LABEL),
        pa.field("tick", pa.int64()),
        pa.field("price", pa.float64()),
        pa.field("active", pa.bool_()),
        pa.field("rugged", pa.bool_()),
        pa.field("phase", _LABEL),
        pa.field("cooldown_timer", pa.int64()),
        pa.field("trade_count", pa.int64()),
        pa.field("action_type", _LABEL),
        pa.field("cash", MONEY),
        pa.field("position_qty", MONEY),
        pa.field("button_id", _LABEL),
        pa.field("button_category", _LABEL),
        pa.field("sequence_id", pa.string()),
        pa.field("sequence_position", pa.int64()),
        pa.field("raw_json", pa.string(), nullable=False),
    ]
)
"""What a file holds. ``doc_type`` and ``date`` are in its path and only there."""

BATCH_SCHEMA = EVENT_SCHEMA.insert(0, pa.field("doc_type", pa.string(), nullable=False))
"""What a commit takes: the rows of all partitions together, so each row says its doc_type."""

EVENT_COLUMNS = (*EVENT_SCHEMA.names, "doc_type", "date")
"""What the relation ``events`` shows: a file's columns and its partition."""
