"""Record episodes, ask questions of them, look at the answers.

Read the rooms in this order: envelope, writer, importers, features, query, exports.
"""

from typing import TYPE_CHECKING

from vectra_analytics.envelope import Direction, DocType, EventEnvelope, EventSource
from vectra_analytics.errors import (
    CommitFailed,
    CorruptStore,
    InvalidEvent,
    NotReadOnly,
    UnknownView,
    VectraError,
    VersionVacuumed,
    WriterClosed,
)
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.query import EventStoreQuery
from vectra_analytics.writer import ParquetWriter

if TYPE_CHECKING:
    from vectra_analytics.importers import ImportReport, import_recordings

__all__ = [
    "CommitFailed",
    "CorruptStore",
    "Direction",
    "DocType",
    "EventEnvelope",
    "EventSource",
    "EventStorePaths",
    "EventStoreQuery",
    "ImportReport",
    "InvalidEvent",
    "NotReadOnly",
    "ParquetWriter",
    "UnknownView",
    "VectraError",
    "VersionVacuumed",
    "WriterClosed",
    "import_recordings",
]


def __getattr__(name: str) -> object:
    """Load the importers when they are asked for: most programs read a store and import nothing."""
    if name in {"ImportReport", "import_recordings"}:
        from vectra_analytics import importers

        return getattr(importers, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
