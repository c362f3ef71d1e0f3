"""Record episodes, ask questions of them, look at the answers.

Read the rooms in this order: envelope, writer, importers, compaction, features, query, exports.
"""

from importlib import import_module
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
    from vectra_analytics.compaction import CompactionReport, compact
    from vectra_analytics.importers import ImportReport, import_recordings

__all__ = [
    "CommitFailed",
    "CompactionReport",
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
    "compact",
    "import_recordings",
]


_LATER = {
    "CompactionReport": "compaction",
    "ImportReport": "importers",
    "compact": "compaction",
    "import_recordings": "importers",
}


def __getattr__(name: str) -> object:
    """Load importers and maintenance when they are asked for: most programs only read a store."""
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
