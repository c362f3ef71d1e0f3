"""What every kind of maintenance shares: its clock, and its errors in one line."""

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import duckdb

from vectra_analytics.errors import VectraError
from vectra_analytics.paths import EventStorePaths


@contextlib.contextmanager
def explained(action: str, paths: EventStorePaths) -> Iterator[None]:
    """Turn errors of the disk, SQLite and DuckDB into one of ours; ``action`` is what could not be done."""
    try:
        yield
    except (OSError, duckdb.Error, sqlite3.Error) as error:
        raise VectraError(
            f"cannot {action} {paths.data_dir}: {reason_of(error)}; nothing that can be read is lost, and the same "
            "call goes on from there"
        ) from error


def reason_of(error: Exception) -> str:
    """What the system, SQLite or DuckDB said, in one line."""
    return getattr(error, "strerror", None) or str(error).partition("\n")[0]


def time_of(now: datetime | None) -> datetime:
    """A time that was given, with its zone, or the clock's."""
    if now is None:
        return datetime.now(UTC)
    if now.tzinfo is None:
        raise VectraError(f"now is {now}, a time without a zone; give it in UTC")
    return now


def microseconds(time: datetime) -> int:
    """Since 1970, as the catalog keeps times."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def time_at(microseconds: int) -> datetime:
    """The time that the catalog keeps so, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
