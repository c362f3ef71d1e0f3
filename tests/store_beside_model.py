"""A store and its model side by side, and what is so after every step, whatever the steps are."""

import contextlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.disk import Died, Disk, Fault
from tests.faults import stores
from tests.faults.stores import NEVER, Row
from tests.store_model import Model, partitions_of
from vectra_analytics import (
    CommitFailed,
    EventEnvelope,
    EventStorePaths,
    EventStoreQuery,
    ParquetWriter,
    VectraError,
    VersionVacuumed,
    catalog,
    snapshots,
    verify,
    writer,
)
from vectra_analytics.catalog import Catalog
from vectra_analytics.maintenance import repairing

_SQL = "SELECT doc_type, date::VARCHAR, ts, session_id, seq, game_id, tick, price, raw_json FROM events"
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Writer:
    """A writer, and what is known of it without it."""

    def __init__(self, paths: EventStorePaths) -> None:
        self.real = ParquetWriter(paths, buffer_size=1_000_000, flush_interval=NEVER)
        self.waiting: list[EventEnvelope] = []
        self.has_failed = False
        self.n_rejected = 0
        self.is_beside_the_store = False  # a repair has put another catalog into the place of the one it has open


class StoreBesideModel(RuleBasedStateMachine):
    """A store and its model; each step is done to both."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="vectra-machine-", dir=_MEMORY))
        self.paths = EventStorePaths(self.folder / "store")
        self.patch = pytest.MonkeyPatch()
        self.model = Model(now=datetime.now(UTC))
        self.disk = Disk(self.patch)
        self.patch.setattr(catalog, "_now", lambda: int(self.model.now.timestamp() * 1e6))
        self.patch.setattr(repairing, "time", SimpleNamespace(time=lambda: self.model.now.timestamp()))
        self.patch.setattr(writer, "_RETRY_SECONDS", NEVER)
        self.writers = [Writer(self.paths) for _ in range(2)]
        self.n_names = 0
        self.rows_of: dict[tuple[Path, ...], Counter[Row]] = {}  # by live files, which do not change: see check()
        self.seen: dict[Path, int] = {}  # when each file of the store was changed, as of the last check
        self.n_changes = 0
        self.is_pruned_unlisted = False  # a prune was cut off before it could say so without the catalog

    def teardown(self) -> None:
        """All versions are as they were; nothing waits any more; a plain read of the live files agrees."""
        try:
            for one in self.writers:
                self.store_what_waits(one)
                one.real.close()
            self.check()
            assert verify(self.paths, deep=True).is_sound
            stores.assert_same(stores.stored(self.paths.data_dir), Counter(self.model.current), "read by PyArrow")
        finally:
            self.patch.undo()
            for one in self.writers:
                with contextlib.suppress(CommitFailed):
                    one.real.close()
            shutil.rmtree(self.folder)

    # --- what steps are made of

    def store_what_waits(self, one: Writer) -> None:
        """Flush, which goes well, but perhaps for the first one after the catalog was made anew."""
        if one.is_beside_the_store:
            with contextlib.suppress(CommitFailed):
                one.real.flush()
        files = one.real.flush()
        self.acknowledged(one, files)

    def acknowledged(self, one: Writer, files: list[Path] | None) -> None:
        """A flush went well, and named these files."""
        version, n_rejected = self.model.newest, self.model.n_rejected
        new = self.model.commit(one.waiting)
        one.n_rejected += self.model.n_rejected - n_rejected
        one.is_beside_the_store &= not one.waiting
        one.waiting, one.has_failed = [], False
        self.model.note_version(version + bool(new))
        if files is not None or new:
            assert files is not None
            with Catalog(self.paths) as known:
                assert set(files) <= {file.path for file in known.live_files(self.model.newest)}
            assert len(files) == len(partitions_of(new))

    def attempt(self, action: Callable[[], Any], fault: tuple[str, int, str] | None) -> tuple[Any, Fault | None]:
        """The answer of some maintenance, or the fault that it was cut off by."""
        if fault is None:
            return action(), None
        with self.disk.broken(*fault) as struck:
            try:
                return action(), None
            except (Died, VectraError):
                if not struck.has_struck:
                    raise
                return None, struck

    def unknown_files(self) -> set[Path]:
        """The files of commits, not of compactions, that the catalog does not name."""
        with Catalog(self.paths) as known:
            files = [f for f in self.paths.events_parquet_dir.glob("*/*/*.parquet") if not known.has_file(f)]
        return {file for file in files if (pq.read_metadata(file).metadata or {})[b"vectra.replaces"] == b"[]"}

    def readable(self) -> set[int]:
        """The versions that can be read, but 0."""
        with Catalog(self.paths) as known:
            return {version for version in self.model.versions if version and known.commit_of(version)}

    # --- what is always so

    @invariant()
    def check(self) -> None:
        """The newest version, older ones and snapshots hold their rows; nothing is wrong; what is counted agrees."""
        model = self.model
        model.now += timedelta(seconds=1)
        assert {made.name: made.version for made in snapshots(self.paths)} == model.snapshots
        with Catalog(self.paths) as known:
            assert known.version() == model.newest
            for version in model.versions:
                self.check_version(version, known)
        for name, version in model.snapshots.items():
            assert EventStoreQuery(self.paths, version=name).version == version
        files = {file: file.stat().st_mtime_ns for file in self.folder.rglob("*") if file.suffix != ".sqlite-shm"}
        if files != self.seen:
            assert all(files.get(file, time) == time for file, time in self.seen.items() if file.suffix == ".parquet")
            self.seen = files
            self.n_changes += 1
            report = verify(self.paths, deep=not self.n_changes % 5)
            assert [str(problem) for problem in report.problems] == []
            assert (report.version, report.n_rows) == (model.newest, len(model.rows))
        info = EventStoreQuery(self.paths).info()
        assert info.events_by_doc_type == Counter(row[0] for row in model.current)
        assert info.n_games == len({row[5] for row in model.current} - {None})
        assert info.n_rejected == model.n_rejected, f"{info.n_rejected} refused, {model.n_rejected} should be"
        for one in self.writers:
            assert one.real.buffer_count == len(one.waiting)
            assert one.real.n_rejected == one.n_rejected
            assert (one.real.failure is not None) == one.has_failed

    def check_version(self, number: int, known: Catalog) -> None:
        """A version holds what it held, or says that it was vacuumed where that may be."""
        version = self.model.versions[number]
        try:
            known.check_version(number)
        except VersionVacuumed:
            with pytest.raises(VersionVacuumed):
                EventStoreQuery(self.paths, version=number)
            assert version.may_be_closed, f"version {number} was closed for nothing"
            assert number not in self.model.snapshots.values()
            version.rows = None
        else:
            if version.rows is not None:
                stores.assert_same(self.rows(number, known), Counter(version.rows), f"version {number}")

    def rows(self, number: int, known: Catalog) -> Counter[Row]:
        """Those of a version; asked for anew where it has other files, which never change."""
        files = tuple(file.path for file in known.live_files(number))
        if files not in self.rows_of:
            self.rows_of[files] = Counter(EventStoreQuery(self.paths, version=number).query(_SQL).rows())
        return self.rows_of[files]

    def version(self) -> int:
        """The newest version."""
        return EventStoreQuery(self.paths).version
