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
    from vectra_analytics.importers import ImportReport, import_recordings
    from vectra_analytics.law import LawReport, check_view
    from vectra_analytics.live.event_bus import EventBus, Events
    from vectra_analytics.live.service import EventStoreService
    from vectra_analytics.maintenance.compaction import AutoCompaction, CompactionReport, compact
    from vectra_analytics.maintenance.pruning import PruneReport, prune
    from vectra_analytics.maintenance.repairing import RepairReport, repair
    from vectra_analytics.maintenance.reproduction import ReproduceReport, reproduce
    from vectra_analytics.maintenance.snapshotting import Snapshot, delete_snapshot, snapshot, snapshots
    from vectra_analytics.maintenance.vacuuming import VacuumReport, vacuum
    from vectra_analytics.maintenance.verification import VerifyReport, verify

__all__ = [
    "AutoCompaction",
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
    "ReproduceReport",
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
    "reproduce",
    "snapshot",
    "snapshots",
    "vacuum",
    "verify",
]


_LATER = {
    "AutoCompaction": "maintenance.compaction",
    "CompactionReport": "maintenance.compaction",
    "EventBus": "live.event_bus",
    "EventStoreService": "live.service",
    "Events": "live.event_bus",
    "ImportReport": "importers",
    "LawReport": "law",
    "PruneReport": "maintenance.pruning",
    "ReproduceReport": "maintenance.reproduction",
    "RepairReport": "maintenance.repairing",
    "Snapshot": "maintenance.snapshotting",
    "VacuumReport": "maintenance.vacuuming",
    "VerifyReport": "maintenance.verification",
    "check_view": "law",
    "compact": "maintenance.compaction",
    "delete_snapshot": "maintenance.snapshotting",
    "import_recordings": "importers",
    "prune": "maintenance.pruning",
    "reproduce": "maintenance.reproduction",
    "repair": "maintenance.repairing",
    "snapshot": "maintenance.snapshotting",
    "snapshots": "maintenance.snapshotting",
    "vacuum": "maintenance.vacuuming",
    "verify": "maintenance.verification",
}


def __getattr__(name: str) -> object:
    """Load importers, the service, maintenance and the law when they are asked for: most programs only read a store."""
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
