"""Vacuum deletes what nobody may need any more: no file of a readable version, and no more than that stays."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.builders import START, episode, tick_event, write
from tests.test_cli import complaint, said, vectra
from vectra_analytics import (
    CorruptStore,
    EventStorePaths,
    EventStoreQuery,
    VectraError,
    VersionVacuumed,
    compact,
    prune,
    repair,
    snapshot,
    vacuum,
)
from vectra_analytics.catalog import Catalog
from vectra_analytics.features import catalogue
from vectra_analytics.live_files import LiveFile
from vectra_analytics.maintenance import compaction, vacuuming

DAY = timedelta(days=1)


def in_hours(hours: float) -> datetime:
    """A time from now."""
    return datetime.now(UTC) + timedelta(hours=hours)


@pytest.fixture
def store(paths: EventStorePaths) -> EventStorePaths:
    """Six versions: a game on the first day, four on the second, one on the third."""
    for number in range(6):
        day = START + (0 if number == 0 else 2 if number == 5 else 1) * DAY
        write(paths.data_dir, [tick_event(tick, 1 + tick, f"g{number}", f"s{number}", ts=day) for tick in range(3)])
    return paths


def readable(paths: EventStorePaths) -> list[int]:
    """The versions that can be read."""
    found = []
    for version in range(EventStoreQuery(paths).version + 1):
        try:
            EventStoreQuery(paths, version=version).features()
        except VersionVacuumed:
            continue
        found.append(version)
    return found


def files(paths: EventStorePaths) -> list[Path]:
    """All event files on the disk."""
    return sorted(paths.events_parquet_dir.rglob("*.parquet"))


def test_superseded_files_stay_for_the_grace_period(store: EventStorePaths) -> None:
    """A day after they were replaced they go, and not before; the newest version is as it was."""
    before, old = EventStoreQuery(store).features(), files(store)
    compact(store, now=START + 4 * DAY)

    early = vacuum(store, now=in_hours(23.9))
    late = vacuum(store, now=in_hours(24.1))

    assert (early.files_deleted, early.files_waiting, early.versions_closed) == (0, 6, 0)
    assert (late.files_deleted, late.files_waiting, late.files_pinned) == (6, 0, 0)
    assert late.bytes_deleted > 0
    assert not any(file.exists() for file in old)
    assert EventStoreQuery(store).features().equals(before)
    assert vacuum(store, now=in_hours(24.1)).to_dict() == vacuuming.VacuumReport().to_dict()


def test_a_version_closes_with_the_first_of_its_files(store: EventStorePaths) -> None:
    """Pruning the second day closes the versions that had it: those before and after can be read."""
    prune(store, (START + DAY).date(), yes=True)  # version 7 is without the first day

    report = vacuum(store, now=in_hours(25))

    assert (report.files_deleted, report.versions_closed) == (1, 6)
    assert readable(store) == [0, 7]


def test_versions_without_a_deleted_file_stay_readable(store: EventStorePaths) -> None:
    """Where only what came later was replaced, the versions before that are whole; a pin keeps all it needs."""
    snapshot(store, "three", 3)
    compact(store, now=START + 4 * DAY)
    before = EventStoreQuery(store, version=3).features()

    report = vacuum(store, now=in_hours(25))

    assert (report.files_deleted, report.files_pinned) == (3, 3)
    assert readable(store)[:4] == [0, 1, 2, 3]
    assert not {4, 5, 6} & set(readable(store))
    assert EventStoreQuery(store, version="three").features().equals(before)


def test_a_shorter_grace_period_can_be_asked_for(store: EventStorePaths) -> None:
    """Without any, what was replaced a moment ago goes; unfinished files of writers stay for a day all the same."""
    compact(store, now=START + 4 * DAY)
    (unfinished,) = [file.with_name(".x.parquet.0123456789ab.part") for file in files(store)[:1]]
    unfinished.write_bytes(b"PAR1")

    assert vacuum(store, timedelta(0)).files_deleted == 6
    assert unfinished.exists()
    assert vacuum(store, timedelta(0), now=in_hours(25)).leftovers_deleted == 1
    assert not unfinished.exists()


def test_a_dry_run_says_what_would_go_and_changes_nothing(store: EventStorePaths) -> None:
    """The figures of the dry run are those of the vacuum after it."""
    compact(store, now=START + 4 * DAY)
    on_disk, could = files(store), readable(store)

    said_before = vacuum(store, dry_run=True, now=in_hours(25))

    assert files(store) == on_disk
    assert readable(store) == could
    done = vacuum(store, now=in_hours(25))
    assert said_before.to_dict() == done.to_dict() | {"dry_run": True}
    assert done.files_deleted == 6


def test_a_reader_that_began_within_the_grace_period_goes_on(store: EventStorePaths) -> None:
    """It reads the files that it began with, though they were replaced meanwhile."""
    reading = EventStoreQuery(store).iter_episodes(view="ticks")
    first = next(reading)
    compact(store, now=START + 4 * DAY)
    vacuum(store, now=in_hours(23))

    assert [first["game_id"][0], *(rows["game_id"][0] for rows in reading)] == [f"g{number}" for number in range(6)]


def test_compaction_does_the_same_at_its_end(store: EventStorePaths) -> None:
    """What a snapshot needs stays there, too."""
    snapshot(store, "three", 3)
    compact(store, now=START + 4 * DAY)

    assert compact(store, now=in_hours(25)).files_deleted == 3
    assert EventStoreQuery(store, version="three").list_games() == ["g0", "g1", "g2"]


def test_files_of_which_nobody_knows_when_they_were_superseded_wait_from_now_on(store: EventStorePaths) -> None:
    """A catalog that was made anew may not know it: then the grace period begins with the first vacuum."""
    compact(store, now=START + 4 * DAY)
    with Catalog(store) as catalog:
        catalog._run("UPDATE files SET removed_at = NULL")

    assert vacuum(store).files_waiting == 6
    assert vacuum(store, now=in_hours(25)).files_deleted == 6


_CHILD = """
import os, sys, signal
from datetime import datetime
from pathlib import Path
from vectra_analytics import catalog, vacuum
from vectra_analytics.maintenance import vacuuming

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

place, name = {
    "in the transaction": (catalog.Catalog, "close_versions"),
    "before the first file goes": (Path, "unlink"),
    "after the last file has gone": (catalog.Catalog, "forget"),
    "before the backup": (catalog.Catalog, "back_up"),
}[sys.argv[2]]
setattr(place, name, die)
vacuum(sys.argv[1], now=datetime.fromisoformat(sys.argv[3]))
"""


@pytest.mark.parametrize(
    "place",
    ["in the transaction", "before the first file goes", "after the last file has gone", "before the backup"],
)
def test_a_kill_loses_nothing(store: EventStorePaths, place: str) -> None:
    """Killed anywhere, what can be read is whole, and a later call finishes."""
    snapshot(store, "three", 3)
    pinned, newest = (EventStoreQuery(store, version=version) for version in ("three", None))
    before = [{view: query.features(view) for view in catalogue()} for query in (pinned, newest)]
    compact(store, now=START + 4 * DAY)
    command = [sys.executable, "-c", _CHILD, str(store.data_dir), place, in_hours(25).isoformat()]

    killed = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})

    assert killed.returncode == -signal.SIGKILL
    for _ in range(2):
        for query, frames in zip((pinned, newest), before, strict=True):
            for view, frame in frames.items():
                assert query.features(view).sort(frame.columns).equals(frame.sort(frame.columns)), view
        vacuum(store, now=in_hours(25))
    with Catalog(store) as catalog:
        assert {file for file in files(store) if not catalog.has_file(file)} == set()
        assert len(catalog.superseded()) == 3
    assert len(files(store)) == 3 + 3


def compacted(paths: EventStorePaths, date: str = "2025-12-18") -> Path:
    """The one sorted file of a day."""
    (file,) = paths.events_parquet_dir.glob(f"*/date={date}/000000_*")
    return file


def damage(file: Path) -> None:
    """Turn a bit of it."""
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [damage, Path.unlink], ids=["damaged", "missing"])
def test_originals_stay_where_what_replaced_them_is_bad(store: EventStorePaths, harm: Any) -> None:
    """They are the only copy then: neither a vacuum nor a compaction deletes them, and a repair reads them again."""
    before = EventStoreQuery(store).query("SELECT * FROM events ORDER BY session_id, seq")
    compact(store, now=START + 4 * DAY)
    harm(compacted(store))

    dry = vacuum(store, dry_run=True, now=in_hours(25))
    report = compact(store, now=in_hours(25))
    words = said(vectra("vacuum", "--grace", 0, "--data-dir", store.data_dir))

    assert (dry.files_deleted, dry.files_kept_for_repair) == (2, 4)
    assert (report.files_deleted, report.files_kept_for_repair) == (2, 4)
    assert "4 files stay: the file that replaced them is missing or damaged; run vectra repair" in words
    assert repair(store).rows_lost == 0
    assert EventStoreQuery(store).query("SELECT * FROM events ORDER BY session_id, seq").equals(before)
    compact(store, now=in_hours(26))
    assert vacuum(store, now=in_hours(60)).files_kept_for_repair == 0
    assert EventStoreQuery(store).query("SELECT * FROM events ORDER BY session_id, seq").equals(before)


def test_what_a_repair_made_live_meanwhile_is_not_deleted(
    store: EventStorePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repair between the closing of the versions and the deletions reads the old files again: they stay."""
    before = EventStoreQuery(store).query("SELECT * FROM events ORDER BY session_id, seq")
    compact(store, now=START + 4 * DAY)
    real = vacuuming._delete

    def repaired_before(*arguments: Any) -> Any:
        damage(compacted(store))
        assert len(repair(store).revived) == 4
        return real(*arguments)

    monkeypatch.setattr(vacuuming, "_delete", repaired_before)
    report = vacuum(store, now=in_hours(25))

    assert report.files_deleted == 2
    assert EventStoreQuery(store).query("SELECT * FROM events ORDER BY session_id, seq").equals(before)


def test_a_leftover_that_was_exchanged_meanwhile_is_not_swept(
    store: EventStorePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the catalog knows when it comes to deleting is none any more."""
    compact(store, now=START + 4 * DAY)
    live = compacted(store)
    monkeypatch.setattr(vacuuming, "_leftovers", lambda *_: iter([live]))

    assert vacuum(store).leftovers_deleted == 0
    assert live.exists()


def test_a_sorted_file_that_an_older_catalog_does_not_know_is_not_swept(
    store: EventStorePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files that it replaced are gone: it is the only copy, and a repair takes it in."""
    before = EventStoreQuery(store).query("SELECT * FROM events ORDER BY session_id, seq")
    real = compaction._holds_the_same

    def copied_before(*arguments: Any) -> bool:
        with sqlite3.connect(store.catalog_file) as db, sqlite3.connect(tmp_path / "copy.sqlite") as copy:
            db.backup(copy)
        db.close()
        copy.close()
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(compaction, "_holds_the_same", copied_before)
        compact(store, now=START + 4 * DAY)
    vacuum(store, timedelta(0))
    for file in store.manifests_dir.glob("catalog.sqlite*"):
        file.unlink()
    shutil.copy(tmp_path / "copy.sqlite", store.catalog_file)
    on_disk = files(store)

    assert vacuum(store, now=in_hours(30)).leftovers_deleted == 0
    assert files(store) == on_disk
    repair(store, forget=True)
    assert EventStoreQuery(store).query("SELECT * FROM events ORDER BY session_id, seq").equals(before)


@pytest.fixture
def left(store: EventStorePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a compaction left that was killed before its exchange."""
    kept: list[Path] = []

    def cut_off(_: Path, replaced: list[LiveFile], new: LiveFile) -> bool:
        kept.append(new.path)
        shutil.copy(new.path, tmp_path / "left")
        raise CorruptStore("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(compaction, "_holds_the_same", cut_off)
        with pytest.raises(CorruptStore, match="cut off"):
            compact(store, now=START + 2 * DAY)
    shutil.copy(tmp_path / "left", kept[0])
    return kept[0]


@pytest.mark.parametrize("fate", ["live", "replaced and deleted", "pruned and deleted"])
def test_what_was_never_exchanged_goes_when_its_rows_are_elsewhere(
    store: EventStorePaths, left: Path, fate: str
) -> None:
    """Whether its version can still be read or not: in the files themselves, in what replaced them, or pruned."""
    if fate == "replaced and deleted":
        compact(store, now=START + 4 * DAY)
    if fate == "pruned and deleted":
        prune(store, "2026-01-01", yes=True)
    vacuum(store, timedelta(0))
    assert left.exists()

    assert vacuum(store, now=in_hours(25)).leftovers_deleted == 1
    assert not left.exists()


def test_what_was_never_exchanged_stays_where_an_original_is_bad(store: EventStorePaths, left: Path) -> None:
    """It may be the only sound copy of these rows."""
    with Catalog(store) as catalog:
        damage(next(file.path for file in catalog.live_files(6) if file.path.parent == left.parent))

    assert vacuum(store, now=in_hours(25)).leftovers_deleted == 0
    assert left.exists()


def test_what_cannot_be_is_said_in_one_line(store: EventStorePaths, tmp_path: Path) -> None:
    """A grace period that is none, a folder that is no store."""
    for odd in (timedelta(seconds=-1), 24):
        with pytest.raises(VectraError, match="older_than is"):
            vacuum(store, odd)  # type: ignore[arg-type]
    with pytest.raises(VectraError, match="a time without a zone"):
        vacuum(store, now=datetime(2026, 1, 1))
    with pytest.raises(VectraError, match="there is no store"):
        vacuum(tmp_path / "other")


def test_the_command_says_what_it_did(store: EventStorePaths) -> None:
    """In words and as JSON; the grace period is in hours."""
    folder = store.data_dir
    compact(store, now=START + 4 * DAY)

    waiting = said(vectra("vacuum", "--data-dir", folder))
    dry = said(vectra("vacuum", "--grace", 0, "--dry-run", "--data-dir", folder))
    done = json.loads(said(vectra("vacuum", "--grace", 0, "--json", "--data-dir", folder)))

    assert "6 files stay: they were replaced less than 24 hours ago" in waiting
    assert "6 files (0.0 MB) would be deleted" in dry
    assert done["files_deleted"] == 6
    assert "--grace" in complaint(vectra("vacuum", "--grace", -1, "--data-dir", folder))


def test_the_episode_of_a_readable_version_is_whole(paths: EventStorePaths) -> None:
    """Events of a game that came in several commits, the first of which was compacted, are all there."""
    write(paths.data_dir, episode(1, 2, 3))
    compact(paths, now=START + 2 * DAY)
    write(paths.data_dir, episode(4, 5, first_tick=3, session_id="later"))
    vacuum(paths, now=in_hours(25))

    assert readable(paths) == [0, 2, 3]
    assert EventStoreQuery(paths, version=2).get_game_episode("g1").height == 3
    assert EventStoreQuery(paths).get_game_episode("g1").height == 5
