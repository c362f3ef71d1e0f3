"""For tests that throw anything at the ways in: how long they go on, what they throw, what plain Python reads."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.effort import EFFORT, more


def tries(n_examples: int) -> settings:
    """So many examples, or as many more as were asked for."""
    return settings(
        max_examples=more(n_examples),
        derandomize=EFFORT == 1,
        database=None,
        deadline=None,
        phases=[Phase.generate],  # examples are small, and to make one smaller takes longer than all others
        suppress_health_check=list(HealthCheck),
    )


# JSON as text, so that it may be none

ODD_JSON = [
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "-0.0", "1e-400", "5e-324", "1.7976931348623157e308"),
    *(str(2**53 + 1), str(2**63 - 1), str(2**63), str(-(2**63)), str(-(2**63) - 1), str(2**64), str(2**70 + 1)),
    *("9" * 400, "9" * 5_000, "0.1000000000000000055511151231257827", "1E5", "7.0", "-1", "\r12345678901234567890123"),
    *("true", "false", "null", '""', "[]", "{}", "[[[{}]]]", '{"a":{"type":"tick","timestamp":"x"}}', "[NaN]"),
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude80"', '"\\u0000"', '"a\\nb"', '"\\/"', '"\t"', '"\x00"', '"\x7f"'),
    *("01", "+1", ".5", "1.", "0x1", "1_0", "'a'", "undefined", "", '"', '"\\', "[", "{", "]", "}", ",", '"\ufeff"'),
    *('"2025-10-30"', '"2025-10-30T11:45:60"', '"2025-10-30T24:00:00"', '"2025-02-30T11:45:00"', '"now"'),
    *('"0000-01-01T00:00:00"', '"0001-01-01T00:00:00"', '"9999-12-31T23:59:59.999999"', '"1969-12-31T23:59:59Z"'),
    *('"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59-23:59"', '"2025-10-30T11:45:00.1234567"'),
    *('"2025-10-30T11:45:00+23:59:59.999999"', '"2025-10-30 11:45"', '"20251030T114500"', '"2025-W44-4T11:45:00"'),
    *(
        '"\uff12\uff10\uff12\uff15-10-30T11:45:00"',
        '"2025-10-30T11:45:00\\u0000"',
        '"-2025-10-30T11:45:00"',
        '"2025-10-30T11:45:00\\n"',
    ),
    f'"{"x" * 5_000}"',
]
PLAIN_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
).map(json.dumps)
JSON_TEXT = st.sampled_from(ODD_JSON) | PLAIN_JSON


def spliced(record: dict[str, Any], changes: dict[str, str], again: list[tuple[str, str]]) -> bytes:
    """The record as JSON with these texts as values, and with further keys that may be there already."""
    members = [(key, changes.get(key, json.dumps(value))) for key, value in record.items()] + again
    text = "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in members) + "}"
    return text.encode("utf-8", "surrogatepass").replace(b"\n", b" ")


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "double", "swap", "end"]),
        st.integers(0, 1 << 20),
        st.integers(0, 1 << 20),
        st.sampled_from(
            [
                b"\n",
                b"\r",
                b"\0",
                b"{",
                b"}",
                b'"',
                b"\\",
                b"\xff",
                b"\xef\xbb\xbf",
                b"\xed\xa0\x80",
                b"\x1f\x8b\x08",
                b"##",
            ]
        )
        | st.binary(max_size=3),
    ),
    max_size=4,
)


def edited(content: bytes, edits: list[tuple[str, int, int, bytes]]) -> bytes:
    """The content after a bad day: bits that turned, pieces gone, there twice or in another place, an early end."""
    for what, first, second, new in edits:
        start, end = sorted(at % (len(content) + 1) for at in (first, second))
        end = min(end, start + 300) if what == "cut" else end
        if what == "flip" and start < len(content):
            content = content[:start] + bytes([content[start] ^ (1 << second % 8)]) + content[start + 1 :]
        elif what == "cut":
            content = content[:start] + content[end:]
        elif what == "insert":
            content = content[:start] + new + content[start:]
        elif what == "double":
            content = content[:end] + content[start:]
        elif what == "swap":
            lines = content.split(b"\n")
            one, other = first % len(lines), second % len(lines)
            lines[one], lines[other] = lines[other], lines[one]
            content = b"\n".join(lines)
        elif what == "end":
            content = content[: max(end, len(content) // 2)]
    return content


# What plain Python reads


class NotJson(ValueError):
    """The text is none, or says what 64-bit floats and UTF-8 cannot hold."""


def _whole(text: str) -> int | float:
    # Beyond 64 bits a column gets the nearest float, as from any other reader of JSON.
    number = int(text) if len(text) < 30 else float(text)
    return number if isinstance(number, int) and -(2**63) <= number < 2**64 else _float(str(number))


def _float(text: str) -> float:
    if not math.isfinite(float(text)):
        raise NotJson(text)
    return float(text)


def _no_constant(text: str) -> float:
    raise NotJson(text)


def read_json(text: bytes, *, exact: bool = False) -> Any:
    """The value that the standard library reads; exact whole numbers have all of their digits."""
    try:
        value = json.loads(
            text.decode(), parse_int=int if exact else _whole, parse_float=_float, parse_constant=_no_constant
        )
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from None
    return value


def read_time(value: object) -> datetime | None:
    """The time in UTC, which is also the zone of one that names none; None where it is no time."""
    if not isinstance(value, str) or len(value) < len("2025-10-30T11:45"):
        return None
    try:
        time = datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def stored_rows(store: Path) -> list[dict[str, Any]]:
    """All rows of a store's files, in the order of identities; no query engine has a say in it."""
    files = sorted((store / "events_parquet").rglob("*.parquet"))
    if not files:
        return []
    frames = [
        pl.read_parquet(file, hive_partitioning=False).with_columns(doc_type=pl.lit(file.parts[-3].partition("=")[2]))
        for file in files
    ]
    return pl.concat(frames, how="vertical_relaxed").sort("session_id", "seq").to_dicts()
