"""Rows of many files gathered into one commit: columns are checked and converted whole, not value by value."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from vectra_analytics.importers.formats import Row
from vectra_analytics.importers.local_time import LocalClock
from vectra_analytics.payload import INT64_MAX
from vectra_analytics.schema import BATCH_SCHEMA, UTC_MICROSECONDS

_NONE = type(None)
_TYPES: dict[str, frozenset[type]] = {
    "ts": frozenset({str}),
    "game_id": frozenset({str, _NONE}),
    "tick": frozenset({int, _NONE}),
    "price": frozenset({float, int, _NONE}),
    "active": frozenset({bool, _NONE}),
    "rugged": frozenset({bool, _NONE}),
    "phase": frozenset({str, _NONE}),
    "cooldown_timer": frozenset({int, _NONE}),
    "trade_count": frozenset({int, _NONE}),
}
_LEAST: dict[str, float] = {"tick": 0, "price": 0, "cooldown_timer": -INT64_MAX - 1, "trade_count": -INT64_MAX - 1}
_MOST = {name: math.nextafter(math.inf, 0) if name == "price" else INT64_MAX for name in _LEAST}


@dataclass(slots=True)
class Converted:
    """The rows that can be stored, and why the others cannot."""

    table: pa.Table  # BATCH_SCHEMA
    kept: Sequence[int]  # which row of the batch each row of the table was
    refused: dict[int, str]


def convert(
    names: Sequence[str], rows: list[Row], others: Mapping[str, Any], clock: LocalClock, files: Mapping[int, bool]
) -> Converted:
    """Rows as read, of whatever JSON types, to the store's.

    Parameters
    ----------
    names
        The columns of ``rows``; ``ts`` is a text as recorded.
    others
        Further columns: a list as long as ``rows``, or one text for all of them.
    files
        Where in ``rows`` a new file begins, and whether in the second of two equal hours: see
        :meth:`LocalClock.read`.
    """
    columns: dict[str, Sequence[Any]] = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}
    columns |= {name: [value] * len(rows) if isinstance(value, str) else value for name, value in others.items()}
    refused: dict[int, str] = {}
    if not _types_are_right(columns):
        refused = _refusals(columns, is_ts_read=False)
    texts = columns.get("ts", [])
    if refused:
        texts = ["" if index in refused else text for index, text in enumerate(texts)]
    late = [row for row, is_late in files.items() if is_late]
    times = clock.read(texts, list(files), late) if texts else []
    if set(map(type, times)) != {int}:
        for index, time in enumerate(times):
            if isinstance(time, str):
                refused.setdefault(index, time)
    columns["ts"] = times
    try:
        converted = _converted(columns, len(rows), refused)
        if _is_in_range(converted.table) and not _names_hold_nul(converted.table):
            return converted
    except (OverflowError, pa.ArrowException):
        pass  # a number beyond 64 bits: found and named below
    refused = _refusals(columns, is_ts_read=True) | refused
    return _converted(columns, len(rows), refused)


def _converted(columns: Mapping[str, Sequence[Any]], n_rows: int, refused: dict[int, str]) -> Converted:
    kept: Sequence[int] = range(n_rows)
    if refused:
        kept = [row for row in kept if row not in refused]
    arrays = []
    for column in BATCH_SCHEMA:
        values = columns.get(column.name)
        if values is None:
            arrays.append(pa.nulls(len(kept), column.type))
            continue
        if refused:
            values = [values[index] for index in kept]
        if column.name == "price" and int in set(map(type, values)):
            values = [value if value is None else float(value) for value in values]
        if column.type == UTC_MICROSECONDS:
            arrays.append(pa.array(values, pa.int64()).cast(column.type))
        else:
            arrays.append(pa.array(values, column.type))
    return Converted(pa.Table.from_arrays(arrays, schema=BATCH_SCHEMA), kept, refused)


def _types_are_right(columns: Mapping[str, Sequence[Any]]) -> bool:
    return all(
        types.issuperset(map(type, columns[name])) for name, types in _TYPES.items() if columns.get(name) is not None
    )


def _is_in_range(table: pa.Table) -> bool:
    for name in ("tick", "price"):
        values = pl.Series(table[name])
        low, high = values.min(), values.max()
        if low is not None and not _LEAST[name] <= low <= high <= _MOST[name]:  # type: ignore[operator]  # numbers
            return False
    return True


def _names_hold_nul(table: pa.Table) -> bool:
    return bool(pl.Series(table["game_id"]).str.contains("\0", literal=True).any())


def _refusals(columns: Mapping[str, Sequence[Any]], *, is_ts_read: bool) -> dict[int, str]:
    """Which rows hold a value of the wrong type or size; ``ts`` is looked at as long as it is as recorded."""
    reasons: dict[int, str] = {}
    for name, types in _TYPES.items():
        if name == "ts" and is_ts_read:
            continue
        for index, value in enumerate(columns.get(name) or ()):
            if type(value) not in types:
                reasons.setdefault(index, f"{name} is {ascii(value)[:40]}, which is a {type(value).__name__}")
            elif value is not None and name in _LEAST and not _LEAST[name] <= value <= _MOST[name]:
                reasons.setdefault(index, f"{name} is {ascii(value)[:40]}, out of range")
            elif name == "game_id" and value is not None and "\0" in value:
                reasons.setdefault(index, f"{name} is {ascii(value)[:40]}, with a NUL character in it")
    return reasons
