"""Record episodes, ask questions of them, look at the answers.

Read the rooms in this order: envelope, writer, importers, features, query, exports.
"""

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
from vectra_analytics.importers import ImportReport, import_recordings
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.query import EventStoreQuery
from vectra_analytics.writer import ParquetWriter

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
