"""What kinds of recording have in common: how one is known, and how its records become rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = tuple[Any, ...]
"""The values of a format's columns; behind them, or as the last of them, the record that they came from."""

Record = dict[str, Any]


class Refused(ValueError):
    """A record that cannot become an event; the text is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A kind of recording, as rows."""

    kind: str
    columns: tuple[str, ...]
    constants: Mapping[str, str]  # columns that are the same in every row

    @property
    def has_identities(self) -> bool:
        """Whether rows bring a (session_id, seq) of their own; else it is made of the first record and the place."""
        return "seq" in self.columns


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFormat(Format):
    """A kind of recording that has a JSON record a line; its session ids begin with ``kind``."""

    keys: str  # that a record of it has, for messages
    recognises: Callable[[Record], bool]
    time_of: Callable[[Record], object]
    row: Callable[[Any, str], Row]
    """The record, of whatever JSON type, and its text to a row; raises Refused."""
    further_rows: Callable[[Any, Row], list[Row]] | None = None
    """The rows that a record gives behind its first one, made of both."""
    flat_keys: frozenset[str] | None = None
    """Keys of a record that never hold an object; None where records hold none at all."""


def text_of_origin(row: Row) -> str:
    """What the row came from, as a reject keeps it."""
    origin = row[-1]
    return origin if isinstance(origin, str) else str(origin.as_text())  # a row of a table
