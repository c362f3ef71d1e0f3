"""Whatever maintenance runs in whatever order, a version that can be read gives the rows that it had."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.builders import tick_event, write
from tests.effort import more
from vectra_analytics import (
    EventEnvelope,
    EventStorePaths,
    EventStoreQuery,
    VersionVacuumed,
    catalog,
    compact,
    delete_snapshot,
    prune,
    snapshot,
    snapshots,
    vacuum,
)
from vectra_analytics.catalog import Catalog
from vectra_analytics.maintenance import vacuuming

FIRST_DAY = datetime(2025, 12, 10, tzinfo=UTC)
N_DAYS = 4

Row = tuple[str, int, str]


class Interrupted(BaseException):
    """The power goes."""


class Sequence:
    """A store, and what is known of it without it: the rows of each version, and the files that each had."""

    def __init__(self, folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chance = random.Random(seed)
        self.paths = EventStorePaths(folder)
        self.now = FIRST_DAY + timedelta(days=N_DAYS + 1)
        self.monkeypatch = monkeypatch
        monkeypatch.setattr(
            catalog, "_now", lambda: (self.now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        )
        self.written: list[EventEnvelope] = []
        self.current: set[Row] = set()
        self.rows: dict[int, set[Row]] = {}
        self.files: dict[int, set[Path]] = {}
        self.pinned: dict[str, int] = {}
        self.n_names = 0
        self.was_interrupted = False
        self.write()

    def write(self) -> None:
        """Some events of some days, and some that were written before, among them pruned ones."""
        session = f"s{self.chance.randrange(3)}"
        seq = max((event.seq for event in self.written if event.session_id == session), default=-1) + 1
        events = []
        for number in range(self.chance.randint(1, 4)):
            day = self.chance.randrange(N_DAYS)
            ts = FIRST_DAY + timedelta(days=day, hours=self.chance.randrange(24), seconds=number)
            game = f"g{self.chance.randrange(4)}"
            events.append(tick_event(number, self.chance.random(), game, session, seq=seq + number, ts=ts))
        again = self.chance.sample(self.written, min(len(self.written), self.chance.randrange(3)))
        write(self.paths.data_dir, [*events, *again])
        self.written += events
        self.current = self.current | {(e.session_id, e.seq, e.raw_json) for e in events}

    def compact(self) -> None:
        """No row changes."""
        compact(self.paths, now=self.now)

    def prune(self) -> None:
        """The rows of the first days go."""
        day = (FIRST_DAY + timedelta(days=self.chance.randrange(N_DAYS))).date()
        if prune(self.paths, day, yes=True).done:
            early = {(e.session_id, e.seq) for e in self.written if e.ts.date() < day}
            self.current = {row for row in self.current if row[:2] not in early}

    def snapshot(self) -> None:
        """Some version is pinned, or was vacuumed."""
        version = self.chance.choice([None, *self.rows])
        self.n_names += 1
        try:
            made = snapshot(self.paths, f"n{self.n_names}", version)
        except VersionVacuumed:
            assert not self.is_whole(version or 0)
        else:
            self.pinned[made.name] = made.version

    def delete_snapshot(self) -> None:
        """Some version is pinned no longer."""
        if self.pinned:
            name = self.chance.choice(sorted(self.pinned))
            delete_snapshot(self.paths, name)
            del self.pinned[name]

    def vacuum(self) -> None:
        """Without a grace period, or with the usual one."""
        vacuum(self.paths, timedelta(hours=self.chance.choice([0, 24, 24])), now=self.now)

    def vacuum_a_day_later(self) -> None:
        """All that was superseded may go, but for what is pinned."""
        self.now += timedelta(hours=25)
        vacuum(self.paths, now=self.now)

    def interrupted(self) -> None:
        """A vacuum, or a compaction, during which the power goes somewhere."""
        place: Any = self.chance.choice(
            [(Path, "unlink"), (Catalog, "forget"), (vacuuming, "_delete"), (Catalog, "back_up"), (Catalog, "add_file")]
        )

        def interrupt(*_: Any, **__: Any) -> None:
            raise Interrupted

        with self.monkeypatch.context() as fault:
            fault.setattr(place[0], place[1], interrupt)
            try:
                self.chance.choice([self.vacuum, self.compact])()
            except Interrupted:
                self.was_interrupted = True

    def wait(self) -> None:
        """Hours go by."""
        self.now += timedelta(hours=self.chance.choice([1, 13, 25]))

    def is_whole(self, version: int) -> bool:
        """Whether all files are there that the version had when it was the newest."""
        return all(path.exists() for path in self.files[version])

    def check(self) -> None:
        """The newest version, the pinned ones and all whose files are there give their rows; the others say so."""
        with Catalog(self.paths) as known:
            newest = known.version()
            if newest not in self.rows:
                self.rows[newest] = self.current
                self.files[newest] = {file.path for file in known.live_files(newest)}
        assert {made.name: made.version for made in snapshots(self.paths)} == self.pinned
        for version, rows in self.rows.items():
            must_read = version == newest or version in self.pinned.values()
            try:
                found = self.read(version)
            except VersionVacuumed:
                assert not must_read, f"version {version} cannot be read"
                # Only where a vacuum was cut off are versions closed of which all files are still there.
                assert self.was_interrupted or not self.is_whole(version), f"version {version} was closed for nothing"
            else:
                assert found == sorted(rows), f"the rows of version {version} changed"
                assert self.is_whole(version)
        for name, version in self.pinned.items():
            assert self.read(name) == sorted(self.rows[version])
        assert self.read(None) == sorted(self.current)

    def read(self, version: int | str | None) -> list[Row]:
        """What a version says that it holds."""
        query = EventStoreQuery(self.paths, version=version)
        return query.query("SELECT session_id, seq, raw_json FROM events ORDER BY ALL").rows()


@pytest.mark.parametrize("seed", range(more(10)))
def test_no_version_that_can_be_read_ever_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """After each step of a random sequence, every readable version has its rows; at its end no step has lost a file."""
    store = Sequence(tmp_path / "store", seed, monkeypatch)
    steps: list[Callable[[], None]] = [
        *[store.write] * 3,
        *[store.compact] * 2,
        store.prune,
        *[store.snapshot] * 2,
        store.delete_snapshot,
        store.vacuum,
        *[store.vacuum_a_day_later] * 3,
        store.interrupted,
        store.wait,
    ]
    store.check()
    for _ in range(store.chance.randint(8, 16)):
        store.chance.choice(steps)()
        store.check()

    # Nothing that was stored comes twice, nothing that was pruned comes back.
    version = EventStoreQuery(store.paths).version
    write(store.paths.data_dir, store.written)
    assert EventStoreQuery(store.paths).version == version
    assert EventStoreQuery(store.paths).info().n_rejected == 0

    # Without snapshots, a day later only the newest version is left, and any other tool reads its rows.
    for name in list(store.pinned):
        delete_snapshot(store.paths, name)
    store.now += timedelta(hours=25)
    vacuum(store.paths, now=store.now)
    with Catalog(store.paths) as known:
        live = [file.path for file in known.live_files(known.version())]
        assert known.superseded() == []
        known_files = {path for path in store.paths.events_parquet_dir.rglob("*.parquet") if known.has_file(path)}
    assert known_files == set(live)
    assert store.read(None) == sorted(store.current)
    if live:
        plain = duckdb.read_parquet([str(path) for path in live], hive_partitioning=True)
        assert plain.project("session_id, seq, raw_json").order("1, 2").fetchall() == sorted(store.current)
