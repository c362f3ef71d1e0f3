"""Snapshots pin versions: what was read by a name once is read by it for good."""

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.builders import START, episode, write
from tests.test_cli import complaint, said, vectra
from vectra_analytics import (
    EventStorePaths,
    EventStoreQuery,
    VectraError,
    VersionVacuumed,
    catalog_file,
    compact,
    delete_snapshot,
    prune,
    snapshot,
    vacuum,
)
from vectra_analytics.catalog import Catalog
from vectra_analytics.maintenance.snapshotting import snapshots

LATER = START + timedelta(days=2)


def tomorrow() -> datetime:
    """When the grace period of what is done now is past."""
    return datetime.now(UTC) + timedelta(hours=25)


@pytest.fixture
def store(paths: EventStorePaths) -> EventStorePaths:
    """Three versions of a game each, on one day."""
    for number in (1, 2, 3):
        write(paths.data_dir, episode(1, 2, 3, game_id=f"g{number}"))
    return paths


def test_a_snapshot_reads_the_same_after_all_maintenance(store: EventStorePaths) -> None:
    """By its name and by its number, while the versions around it go."""
    made = snapshot(store, "paper", 2)
    before = EventStoreQuery(store, version="paper").features()

    compact(store, now=LATER)
    prune(store, "2026-01-01", yes=True)
    vacuum(store, now=tomorrow())

    assert made.version == 2
    for name in ("paper", 2):
        assert EventStoreQuery(store, version=name).features().equals(before)
        assert EventStoreQuery(store, version=name).version == 2
    assert EventStoreQuery(store).count_events() == 0
    with pytest.raises(VersionVacuumed, match="version 3"):
        EventStoreQuery(store, version=3)
    # What was live at version 1 is what version 2 needs, too: it can still be read.
    assert EventStoreQuery(store, version=1).list_games() == ["g1"]


def test_the_newest_version_is_pinned_by_default(store: EventStorePaths) -> None:
    """Snapshots are listed as they were made, with their version and time."""
    began = datetime.now(UTC)
    snapshot(store, "first")
    snapshot(store, "über 9000", version=1)

    assert [(made.name, made.version) for made in snapshots(store)] == [("first", 3), ("über 9000", 1)]
    assert all(began - timedelta(seconds=1) <= made.made_at <= datetime.now(UTC) for made in snapshots(store))


def test_a_deleted_snapshot_lets_its_files_go(store: EventStorePaths) -> None:
    """Its readers have the grace period, as readers of any version have; then the version is vacuumed."""
    snapshot(store, "paper", 2)
    compact(store, now=LATER)
    reader = EventStoreQuery(store, version="paper")
    delete_snapshot(store, "paper")
    assert snapshots(store) == []

    with Catalog(store) as catalog:  # its files were superseded days ago: only the deleted snapshot holds them
        catalog._run("UPDATE files SET removed_at = 0 WHERE removed IS NOT NULL")
    assert vacuum(store).files_pinned == 2
    assert reader.list_games() == ["g1", "g2"]

    assert vacuum(store, now=tomorrow()).files_deleted == 2
    with pytest.raises(VersionVacuumed, match="version 2"):
        reader.list_games()


def test_a_query_keeps_the_version_that_the_name_had(store: EventStorePaths) -> None:
    """A name can be used again for another version; a query that began before stays where it was."""
    snapshot(store, "paper", 1)
    reader = EventStoreQuery(store, version="paper")
    delete_snapshot(store, "paper")
    snapshot(store, "paper", 2)

    assert reader.list_games() == ["g1"]
    assert EventStoreQuery(store, version="paper").list_games() == ["g1", "g2"]


@pytest.mark.parametrize("name", ["", " ", "a ", "7", "a\nb", "\x00"])
def test_odd_names_are_refused(store: EventStorePaths, name: str) -> None:
    """A name that cannot be seen, or that looks like a version, would only confuse."""
    with pytest.raises(VectraError, match="cannot be named"):
        snapshot(store, name)


def test_errors_say_what_there_is(store: EventStorePaths, tmp_path: Path) -> None:
    """A name twice, a name that is not there, a version that is not there, a folder that is no store."""
    with pytest.raises(VectraError, match="no snapshot 'paper'; there is none yet"):
        EventStoreQuery(store, version="paper")
    snapshot(store, "paper", 1)
    with pytest.raises(VectraError, match="there is a snapshot 'paper' already, of version 1"):
        snapshot(store, "paper", 2)
    with pytest.raises(VectraError, match="no snapshot 'papers'; there are paper"):
        delete_snapshot(store, "papers")
    with pytest.raises(VectraError, match="no version 9; it has 0 to 3"):
        snapshot(store, "nine", 9)
    with pytest.raises(VectraError, match="there is no store"):
        snapshot(tmp_path / "other", "paper")
    assert [made.name for made in snapshots(store)] == ["paper"]


def test_a_vacuumed_version_cannot_be_pinned(store: EventStorePaths) -> None:
    """There is nothing left to keep."""
    compact(store, now=LATER)
    vacuum(store, now=tomorrow())

    with pytest.raises(VersionVacuumed):
        snapshot(store, "late", 2)


def test_snapshots_are_in_the_backup(store: EventStorePaths) -> None:
    """A catalog that is put back from its copy knows them."""
    snapshot(store, "paper", 1)

    with sqlite3.connect(store.manifests_dir / "catalog.backup.sqlite") as copy:
        assert copy.execute("SELECT name, version FROM snapshots").fetchall() == [("paper", 1)]


def as_layout_2(paths: EventStorePaths) -> None:
    """Make the catalog what the version of the package before snapshots wrote."""
    with Catalog(paths) as catalog:
        for sql in (
            "DROP TABLE snapshots",
            "DROP TABLE prunes",
            "ALTER TABLE files DROP COLUMN removed_at",
            "PRAGMA user_version = 2",
        ):
            catalog._run(sql)
        catalog._run("PRAGMA wal_checkpoint(TRUNCATE)")


def test_a_store_of_the_layout_before_is_brought_up_to_date(store: EventStorePaths) -> None:
    """Whoever opens it first does so; rows, versions and the grace period of superseded files are as they were."""
    compact(store, now=LATER)
    before = [EventStoreQuery(store, version=version).features() for version in (1, 2, 3)]
    as_layout_2(store)

    after = [EventStoreQuery(store, version=version).features() for version in (1, 2, 3)]

    assert all(one.equals(other) for one, other in zip(before, after, strict=True))
    assert vacuum(store).files_waiting == 3
    snapshot(store, "paper", 2)
    assert vacuum(store, now=tomorrow()).to_dict() | {"bytes_deleted": 0} == {
        "files_deleted": 1,
        "bytes_deleted": 0,
        "versions_closed": 1,
        "files_waiting": 0,
        "files_pinned": 2,
        "files_kept_for_repair": 0,
        "leftovers_deleted": 0,
        "dry_run": False,
    }


def test_a_store_of_the_layout_before_can_be_read_where_nothing_can_be_written(
    store: EventStorePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store on a disk that is read-only is read as it stands, and stays so."""
    as_layout_2(store)
    content = store.catalog_file.read_bytes()
    real = sqlite3.connect

    def no_shared_files(target: str, **options: object) -> sqlite3.Connection:
        if "immutable" not in target and target != ":memory:":
            raise sqlite3.OperationalError("unable to open database file")
        return real(target, **options)  # type: ignore[call-overload, no-any-return]

    with monkeypatch.context() as disk:
        disk.setattr(sqlite3, "connect", no_shared_files)
        assert EventStoreQuery(store).list_games() == ["g1", "g2", "g3"]
        assert EventStoreQuery(store, version=1).list_games() == ["g1"]
        with pytest.raises(VectraError, match="no snapshot 'x'; there is none yet"):
            EventStoreQuery(store, version="x")

    assert store.catalog_file.read_bytes() == content


def test_a_catalog_of_the_layout_before_that_cannot_be_written_is_never_changed_in_memory(
    store: EventStorePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be read; whoever would write is refused in one line, no file goes, and later the same calls succeed."""
    compact(store, now=LATER)
    as_layout_2(store)
    on_disk = sorted(store.events_parquet_dir.rglob("*.parquet"))
    real = sqlite3.connect

    def read_only(target: str, **options: Any) -> sqlite3.Connection:
        if target == str(store.catalog_file):
            target, options = f"{store.catalog_file.as_uri()}?mode=ro", {**options, "uri": True}
        return real(target, **options)  # type: ignore[no-any-return]

    with monkeypatch.context() as disk:
        disk.setattr(sqlite3, "connect", read_only)
        assert EventStoreQuery(store).list_games() == ["g1", "g2", "g3"]
        changes: list[Callable[[], object]] = [
            lambda: snapshot(store, "paper", 2),
            lambda: vacuum(store, timedelta(0)),
            lambda: write(store.data_dir, episode(1, game_id="g4")),
        ]
        for change in changes:
            with pytest.raises(VectraError, match=r"layout 2 and cannot be written.*make catalog") as refusal:
                change()
            assert "\n" not in str(refusal.value)
        with Catalog(store) as catalog, pytest.raises(sqlite3.OperationalError):
            catalog._run("DELETE FROM versions")

    assert sorted(store.events_parquet_dir.rglob("*.parquet")) == on_disk
    snapshot(store, "paper", 2)
    write(store.data_dir, episode(1, game_id="g4"))
    assert EventStoreQuery(store).list_games() == ["g1", "g2", "g3", "g4"]


def test_only_sqlite_says_whether_a_catalog_can_be_written(
    store: EventStorePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in whose text the word readonly stands is no reason to read a copy."""
    as_layout_2(store)

    real = catalog_file.give_layout
    failed: list[bool] = []

    def fails_once(db: sqlite3.Connection) -> None:
        if not failed:
            failed.append(True)
            raise sqlite3.OperationalError("disk I/O error in /readonly/store")
        real(db)

    monkeypatch.setattr(catalog_file, "give_layout", fails_once)
    with pytest.raises(VectraError, match=r"cannot use the catalog .*disk I/O error"):
        Catalog(store)


def test_an_interrupted_change_of_layout_changes_nothing(
    store: EventStorePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one transaction: what a kill leaves is the layout before, and the next one to open it does it."""
    as_layout_2(store)
    real = catalog_file.give_layout

    def interrupted(db: sqlite3.Connection) -> None:
        real(db)
        raise KeyboardInterrupt  # all is done, and not committed

    with monkeypatch.context() as fault:
        fault.setattr(catalog_file, "give_layout", interrupted)
        with pytest.raises(KeyboardInterrupt):
            EventStoreQuery(store).list_games()
    with sqlite3.connect(store.catalog_file) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'snapshots'").fetchone() == (0,)

    assert EventStoreQuery(store).list_games() == ["g1", "g2", "g3"]
    assert snapshots(store) == []


def test_the_command_makes_lists_and_deletes(store: EventStorePaths) -> None:
    """In words and as JSON; what cannot be is one line."""
    folder = store.data_dir
    assert "no snapshots" in said(vectra("snapshot", "--data-dir", folder))
    assert said(vectra("snapshot", "paper", "--version", 2, "--data-dir", folder)) == "version 2 is pinned: paper\n"
    assert json.loads(said(vectra("snapshot", "now", "--json", "--data-dir", folder)))["version"] == 3
    listed = said(vectra("snapshot", "--data-dir", folder))
    assert listed.splitlines()[1].split()[:2] == ["paper", "2"]
    assert [made["name"] for made in json.loads(said(vectra("snapshot", "--json", "--data-dir", folder)))] == [
        "paper",
        "now",
    ]
    assert "no longer: paper" in said(vectra("snapshot", "--delete", "paper", "--data-dir", folder))
    assert "no snapshot 'paper'" in complaint(vectra("snapshot", "--delete", "paper", "--data-dir", folder))
    assert "not both" in complaint(vectra("snapshot", "a", "--delete", "b", "--data-dir", folder))
    assert "Give a NAME" in complaint(vectra("snapshot", "--version", "2", "--data-dir", folder))
