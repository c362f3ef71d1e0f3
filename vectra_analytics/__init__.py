"""Record episodes, ask questions of them, look at the answers.

Read the rooms in this order: envelope, writer, importers, service, compaction, features, law, query, exports.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vectra_analytics.envelope import Direction, DocType, EventEnvelope, EventSource
from vectra_analytics.errors import (
    CommitFailed,
    CorruptStore,
    InvalidEvent,
    LawBroken,
    NotReadOnly,
    PartialStore,
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
    from vectra_analytics.event_bus import EventBus, Events
    from vectra_analytics.importers import ImportReport, import_recordings
    from vectra_analytics.law import LawReport, check_view
    from vectra_analytics.pruning import PruneReport, prune
    from vectra_analytics.repairing import RepairReport, repair
    from vectra_analytics.service import EventStoreService
    from vectra_analytics.snapshotting import Snapshot, delete_snapshot, snapshot, snapshots
    from vectra_analytics.vacuuming import VacuumReport, vacuum
    from vectra_analytics.verification import VerifyReport, verify

__all__ = [
    "CommitFailed",
    "CompactionReport",
    "CorruptStore",
    "Direction",
    "DocType",
    "EventBus",
    "EventEnvelope",
    "EventSource",
    "EventStorePaths",
    "EventStoreQuery",
    "EventStoreService",
    "Events",
    "ImportReport",
    "InvalidEvent",
    "LawBroken",
    "LawReport",
    "NotReadOnly",
    "ParquetWriter",
    "PartialStore",
    "PruneReport",
    "RepairReport",
    "Snapshot",
    "UnknownView",
    "VacuumReport",
    "VectraError",
    "VerifyReport",
    "VersionVacuumed",
    "WriterClosed",
    "check_view",
    "compact",
    "delete_snapshot",
    "import_recordings",
    "prune",
    "repair",
    "snapshot",
    "snapshots",
    "vacuum",
    "verify",
]


_LATER = {
    "CompactionReport": "compaction",
    "EventBus": "event_bus",
    "EventStoreService": "service",
    "Events": "event_bus",
    "ImportReport": "importers",
    "LawReport": "law",
    "PruneReport": "pruning",
    "RepairReport": "repairing",
    "Snapshot": "snapshotting",
    "VacuumReport": "vacuuming",
    "VerifyReport": "verification",
    "check_view": "law",
    "compact": "compaction",
    "delete_snapshot": "snapshotting",
    "import_recordings": "importers",
    "prune": "pruning",
    "repair": "repairing",
    "snapshot": "snapshotting",
    "snapshots": "snapshotting",
    "vacuum": "vacuuming",
    "verify": "verification",
}


def __getattr__(name: str) -> object:
    """Load importers, the service, maintenance and the law when they are asked for: most programs only read a store."""
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
