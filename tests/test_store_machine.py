"""Any sequence of writes, failures, kills and maintenance leaves a store that holds what a model in memory holds."""

import contextlib
import dataclasses
import sqlite3
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.disk import AFTER_COMMIT, BEFORE_COMMIT, CALLS, DEATH, FROM_THEN_ON, ONCE, PLACES
from tests.effort import EFFORT, more
from tests.store_beside_model import StoreBesideModel, Writer
from tests.store_model import DAYS, GRACE, N_EVENTS, SESSIONS, Lost, event, partitions_of
from vectra_analytics import (
    CommitFailed,
    EventEnvelope,
    EventStoreQuery,
    VersionVacuumed,
    compact,
    delete_snapshot,
    prune,
    repair,
    snapshot,
    snapshots,
    vacuum,
    verify,
    writer,
)
from vectra_analytics.catalog import Catalog
from vectra_analytics.commit import Commit

N_STEPS = 40

writers = st.integers(0, 1)
batches = st.lists(
    st.builds(event, st.sampled_from(SESSIONS), st.integers(0, N_EVENTS - 1), st.sampled_from([0, 0, 0, 1, 2])),
    min_size=1,
    max_size=6,
)
days = st.sampled_from([day.date() for day in (*DAYS[:2], *DAYS)])  # else a prune soon leaves nothing to lose
places = st.sampled_from([*PLACES, BEFORE_COMMIT, AFTER_COMMIT])
flush_places = st.sampled_from(
    ["mkdir", "fsync", "rename", "rename", BEFORE_COMMIT, AFTER_COMMIT]
)  # nothing is deleted
numbers = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 5, 8])
faults = st.none() | st.tuples(places, numbers, st.sampled_from([ONCE, FROM_THEN_ON, DEATH]))


class StoreMachine(StoreBesideModel):
    """Whatever is done in whatever order, and whatever fails meanwhile, each version holds what its model holds."""

    # --- writing

    @rule(number=writers, events=batches)
    def write(self, number: int, events: list[EventEnvelope]) -> None:
        """Events are taken, or refused as long as what came before cannot be stored."""
        one = self.writers[number]
        for some in events:
            if one.has_failed:
                with pytest.raises(CommitFailed):
                    one.real.write(some)
            else:
                one.real.write(some)
                one.waiting.append(some)

    @rule(number=writers)
    def flush(self, number: int) -> None:
        """What waits is stored, each event once, and the files of it are named."""
        self.store_what_waits(self.writers[number])

    @rule(number=writers, events=batches)
    def write_and_flush(self, number: int, events: list[EventEnvelope]) -> None:
        """The usual."""
        self.flush(number)
        self.write(number, events)
        self.flush(number)

    @rule(number=writers, events=batches, place=flush_places, count=numbers, how=st.sampled_from([ONCE, FROM_THEN_ON]))
    def flush_on_a_broken_disk(
        self, number: int, events: list[EventEnvelope], place: str, count: int, how: str
    ) -> None:
        """It is done, or an error; then all of it waits, whether or not it was durable before the disk failed."""
        self.write(number, events)
        self._flush_cut_off(self.writers[number], place, count, how)

    @rule(number=writers, events=batches, place=flush_places, count=numbers, is_repaired=st.booleans())
    def kill(self, number: int, events: list[EventEnvelope], place: str, count: int, is_repaired: bool) -> None:
        """The process of a writer ends within a flush; another one opens the store, which may be repaired at once."""
        self.write(number, events)
        one = self.writers[number]
        self._flush_cut_off(one, place, count, DEATH)
        with pytest.MonkeyPatch.context() as grave:
            grave.setattr(writer, "commit", lambda *_: Commit())  # what waits in it is never stored
            one.real.close()
        self.writers[number] = Writer(self.paths)
        if is_repaired:
            self.repair(None)

    def _flush_cut_off(self, one: Writer, place: str, count: int, how: str) -> None:
        before = self.unknown_files()
        files: list[Path] | None = None
        failed = False
        if one.is_beside_the_store:
            self.store_what_waits(one)
        # A flush has one transaction, and many calls of other kinds.
        with self.disk.broken(place, count if place in CALLS else 0, how) as fault:
            try:
                files = one.real.flush()
            except CommitFailed:
                failed = True
        if not failed:
            self.acknowledged(one, files)
            return
        assert fault.has_struck
        one.has_failed = True
        if fault.was_committed:
            version = self.model.newest
            new = self.model.commit(one.waiting)
            self.model.note_version(version + bool(new))
            return
        new, n_refused = self.model.judge(one.waiting)
        self.model.n_perhaps_rejected += n_refused
        left = self.unknown_files() - before
        if left:
            self.model.lost.append(Lost(new, is_whole=len(left) == len(partitions_of(new))))

    @rule(number=writers)
    def reopen(self, number: int) -> None:
        """A writer is closed, and stores what it has first."""
        one = self.writers[number]
        self.store_what_waits(one)
        one.real.close()
        self.writers[number] = Writer(self.paths)

    # --- keeping

    @rule(fault=faults)
    def compact(self, fault: tuple[str, int, str] | None) -> None:
        """No row changes."""
        n_rows = Counter(row[:2] for row in self.model.current if row[2] != DAYS[-1])
        report, _ = self.attempt(lambda: compact(self.paths, now=self.model.now), fault)
        self.model.let_go(GRACE)
        self.model.note_version(self.version())
        if report is not None:
            self.is_pruned_unlisted = False
            assert report.n_rows <= n_rows.total()
            with Catalog(self.paths) as known:
                closed = [f for f in known.live_files(self.model.newest) if f.date < str(DAYS[-1].date())]
            assert all(file.is_compacted for file in closed)
            assert len(closed) == len({file.partition for file in closed})

    @rule(day=days, fault=faults)
    def prune(self, day: date, fault: tuple[str, int, str] | None) -> None:
        """The rows of earlier days go from the newest version, for good; a dry run has said which, and did nothing."""
        self._check_prune(prune(self.paths, day), day, is_done=False)
        assert self.version() == self.model.newest
        report, _ = self.attempt(lambda: prune(self.paths, day, yes=True), fault)
        version = self.version()
        if report is not None:
            self._check_prune(report, day, is_done=bool(self.model.before(day)))
        if report is None or report.done:
            self.is_pruned_unlisted = report is None and (self.is_pruned_unlisted or version > self.model.newest)
        if version > self.model.newest:
            assert version == self.model.newest + 1
            self.model.prune(day)
            self.model.note_version(version)

    def _check_prune(self, report: Any, day: date, *, is_done: bool) -> None:
        gone = self.model.before(day)
        games = {row[5] for row in gone} - {None}
        later = {row[5] for row in self.model.current - gone}
        assert report.done == is_done
        assert report.n_rows == len(gone)
        assert report.days == sorted({str(row[1]) for row in gone})
        assert (report.n_games, report.n_games_in_part) == (len(games - later), len(games & later))

    @rule(
        hours=st.sampled_from([0, 24]),
        fault=faults,
    )
    def vacuum(self, hours: int, fault: tuple[str, int, str] | None) -> None:
        """Files go that nobody may need; a dry run has said which."""
        older_than = timedelta(hours=hours)
        would = vacuum(self.paths, older_than, dry_run=True, now=self.model.now)
        before = self.readable()
        report, _ = self.attempt(lambda: vacuum(self.paths, older_than, now=self.model.now), fault)
        self.model.let_go(older_than)
        if report is not None:
            self.is_pruned_unlisted = False
            assert dataclasses.replace(would, dry_run=False) == report
            assert report.versions_closed == len(before) - len(self.readable())

    @rule(
        data=st.data(),
        is_newest=st.booleans(),
        fault=faults,
    )
    def snapshot(self, data: st.DataObject, is_newest: bool, fault: tuple[str, int, str] | None) -> None:
        """A version gets a name that pins it, unless it was vacuumed."""
        version = None if is_newest else data.draw(st.sampled_from(sorted(self.model.versions)), "version")
        self._snapshot(version, fault)

    def _snapshot(self, version: int | None, fault: tuple[str, int, str] | None) -> None:
        number = self.model.newest if version is None else version
        is_there = number == 0 or number in self.readable()
        self.n_names += 1
        name = f"n{self.n_names}"
        try:
            made, _ = self.attempt(lambda: snapshot(self.paths, name, version), fault)
        except VersionVacuumed:
            assert not is_there
            return
        if made is not None:
            assert is_there
            self.is_pruned_unlisted = False
        if made is not None or name in {known.name for known in snapshots(self.paths)}:
            self.model.snapshots[name] = number

    @precondition(lambda self: self.model.snapshots)
    @rule(data=st.data())
    def delete_snapshot(self, data: st.DataObject) -> None:
        """A version is pinned no longer, but for those who read it now."""
        name = data.draw(st.sampled_from(sorted(self.model.snapshots)), "name")
        delete_snapshot(self.paths, name)
        self.model.ended_snapshots.append((self.model.snapshots.pop(name), self.model.now))
        self.is_pruned_unlisted = False

    @rule(fault=faults)
    def repair(self, fault: tuple[str, int, str] | None) -> None:
        """What was cut off is taken in or put away; no row changes that was stored, and no version is lost."""
        report, _ = self.attempt(lambda: repair(self.paths), fault)
        self._repaired(is_done=report is not None)
        if report is not None:
            self.is_pruned_unlisted = False
            assert (report.rows_lost, report.versions_lost, report.snapshots_lost) == (0, [], [])

    @precondition(lambda self: not self.is_pruned_unlisted)
    @rule(fault=faults)
    def lose_the_catalog(self, fault: tuple[str, int, str] | None) -> None:
        """Deleted, it is made anew: every row is there, and what cannot be had again is named."""
        if self.model.newest == 0:
            return
        model, kept, named = self.model, 0, set[str]()
        backup = self.paths.manifests_dir / "catalog.backup.sqlite"
        if backup.exists():
            with contextlib.closing(sqlite3.connect(backup)) as db:
                (kept,) = db.execute("SELECT coalesce(max(version), 0) FROM versions").fetchone()
                named = {name for (name,) in db.execute("SELECT name FROM snapshots WHERE ended_at IS NULL")}
        for file in self.paths.manifests_dir.glob("catalog.sqlite*"):
            file.unlink()
        for one in self.writers:
            one.is_beside_the_store = True
        report, _ = self.attempt(lambda: repair(self.paths), fault)
        if report is None and not self.paths.catalog_file.exists():
            report = repair(self.paths)
        if report is None:  # it was cut off before it could say so
            named &= {known.name for known in snapshots(self.paths)}
            lost = model.versions.keys() - self.readable()
        else:
            named -= set(report.snapshots_lost)
            lost = set(report.versions_lost) & model.versions.keys()
        model.forget_versions(behind=kept)
        model.snapshots = {name: version for name, version in model.snapshots.items() if name in named}
        for version in lost & model.versions.keys():
            model.versions[version].may_be_closed = True
        self._repaired(is_done=report is not None)

    def _repaired(self, *, is_done: bool) -> None:
        with Catalog(self.paths) as known:
            found = self.rows(known.version(), known)
        assert max(found.values(), default=1) == 1
        self.model.repaired(frozenset(found), is_done=is_done)
        self.model.note_version(self.version(), is_like_the_others=False)
        n_rejected = EventStoreQuery(self.paths).info().n_rejected
        least = self.model.n_rejected
        assert least <= n_rejected <= least + self.model.n_perhaps_rejected
        self.model.n_perhaps_rejected -= n_rejected - least
        self.model.n_rejected = n_rejected
        if is_done:
            left = verify(self.paths).leftovers
            assert all(Path(name).name.lstrip(".").startswith("000000_v") for name in left), "not of a compaction"
            assert not repair(self.paths).changed

    @rule(hours=st.sampled_from([1, 25, 25]))
    def wait(self, hours: int) -> None:
        """Time goes by."""
        self.model.now += timedelta(hours=hours)

    @rule(number=writers, events=batches)
    def keep_house(self, number: int, events: list[EventEnvelope]) -> None:
        """What a store sees every day: a snapshot, events, a compaction, and a vacuum when the grace period is over."""
        if self.model.newest not in self.model.snapshots.values():
            self._snapshot(None, None)
        self.write_and_flush(number, events)
        self.compact(None)
        self.wait(25)
        self.vacuum(24, None)


StoreMachine.TestCase.settings = settings(
    max_examples=more(7),
    stateful_step_count=N_STEPS,
    derandomize=EFFORT == 1,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestStoreMachine = StoreMachine.TestCase
