"""repair: afterwards verify finds nothing wrong, and every row of every sound file is as it was."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.builders import START, episode, tick_event, write
from tests.effort import stride
from tests.test_cli import complaint, said, vectra
from tests.test_verify import LATER, WRONG, change_catalog, grow, live_file
from vectra_analytics import (
    CorruptStore,
    EventEnvelope,
    EventSource,
    EventStorePaths,
    EventStoreQuery,
    ParquetWriter,
    RepairReport,
    VectraError,
    VersionVacuumed,
    compact,
    prune,
    repair,
    snapshot,
    vacuum,
    verify,
)
from vectra_analytics.catalog import Catalog
from vectra_analytics.commit import commit
from vectra_analytics.envelope import events_to_table
from vectra_analytics.live_files import LiveFile
from vectra_analytics.maintenance.row_proof import Fingerprint, fingerprint


@pytest.fixture
def grown(paths: EventStorePaths) -> EventStorePaths:
    """Four commits on two days."""
    return grow(paths.data_dir)


def live(paths: EventStorePaths) -> list[LiveFile]:
    """The live files."""
    with Catalog(paths) as catalog:
        return catalog.live_files(catalog.version())


def proof(paths: EventStorePaths, but: Iterable[Path] = ()) -> Fingerprint:
    """A hash of the rows of all live files but these, whatever their order."""
    return fingerprint(paths.data_dir, [file for file in live(paths) if file.path not in set(but)])


def mended(paths: EventStorePaths, **options: Any) -> RepairReport:
    """The report of a repair after which all is well, and a second one has nothing to do."""
    report = repair(paths, **options)
    assert [str(problem) for problem in verify(paths, deep=True).problems] == []
    assert verify(paths, deep=True).leftovers == []
    assert not repair(paths).changed
    return report


def spoil(file: Path) -> None:
    """Flip a bit of it."""
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 16
    file.write_bytes(content)


def lose_catalog(paths: EventStorePaths) -> None:
    """Delete it, with all that SQLite has beside it."""
    for file in paths.manifests_dir.glob("catalog.sqlite*"):
        file.unlink()


def below(paths: EventStorePaths, file: Path) -> str:
    """A file's name as reports have it."""
    return file.relative_to(paths.data_dir).as_posix()


def test_a_sound_store_is_left_alone(grown: EventStorePaths) -> None:
    """Nothing to repair changes nothing."""
    before = {path: path.stat().st_mtime_ns for path in grown.data_dir.rglob("*")}

    report = repair(grown)

    assert (report.changed, str(report)) == (False, "nothing to repair")
    assert {path: path.stat().st_mtime_ns for path in grown.data_dir.rglob("*")} == before


def test_a_damaged_file_goes_to_quarantine(grown: EventStorePaths) -> None:
    """It is moved, with a record; other rows stay; a new version is without it; its events can be imported again."""
    file = live_file(grown, "g2")
    rows = EventStoreQuery(grown).query("SELECT * FROM events ORDER BY session_id, seq")
    version, others = EventStoreQuery(grown).version, proof(grown, [file])
    spoil(file)
    content = file.read_bytes()

    report = mended(grown)

    assert proof(grown) == others
    assert report.version == version + 1
    assert (report.rows_lost, report.games_affected) == (5, ["g1", "g2"])
    assert report.versions_lost == [2, 3, 4]
    assert EventStoreQuery(grown, version=1).count_events() == 4
    with pytest.raises(VersionVacuumed):
        EventStoreQuery(grown, version=3)
    assert not file.exists()
    assert (grown.quarantine_dir / file.name).read_bytes() == content
    record = json.loads((grown.quarantine_dir / f"{file.name}.json").read_bytes())
    assert (record["file"], record["n_rows"], record["games"]) == (below(grown, file), 5, ["g1", "g2"])
    assert "SHA-256" in record["reason"]

    write(grown.data_dir, [*episode(1, 2, game_id="g2"), *episode(5, 6, 7, game_id="g1", session_id="again")])

    assert EventStoreQuery(grown).query("SELECT * FROM events ORDER BY session_id, seq").equals(rows)
    assert verify(grown, deep=True).is_sound


@pytest.mark.parametrize("again", [shutil.copy, os.link])
def test_a_file_that_came_back_to_its_place_is_not_kept_twice(
    grown: EventStorePaths, again: Callable[[Path, Path], object]
) -> None:
    """A power cut may leave what went to quarantine under its old name, too; a file with other bytes keeps apart."""
    file = live_file(grown, "g2")
    spoil(file)
    mended(grown)
    names = sorted(os.listdir(grown.quarantine_dir))
    again(grown.quarantine_dir / file.name, file)

    mended(grown)

    assert not file.exists()
    assert sorted(os.listdir(grown.quarantine_dir)) == names
    file.write_bytes(b"PAR1")
    mended(grown)
    assert (grown.quarantine_dir / f"{file.stem}.2.parquet").read_bytes() == b"PAR1"


@pytest.mark.parametrize("fault", ["cannot be read: Too many open files", "is damaged: [errno 5] Input/output error"])
def test_a_file_that_could_not_be_looked_at_is_not_bad(
    grown: EventStorePaths, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A limit, a right or a disk that fails just then: an error that names the file, and it stays where it is."""
    before, name = proof(grown), live(grown)[0].path.name
    with monkeypatch.context() as machine:
        machine.setattr(LiveFile, "problem", lambda file: fault if file.path.name == name else None)
        with pytest.raises(VectraError, match=rf"{name} could not be looked at .*nothing was changed"):
            repair(grown)
    assert proof(grown) == before
    assert not (grown.data_dir / "quarantine").exists()
    assert not repair(grown).changed


def test_a_lost_complete_game_can_come_again(grown: EventStorePaths) -> None:
    """What the catalog knew of the stories in a file goes with it."""
    (file,) = grown.events_parquet_dir.glob("doc_type=complete_game/**/*.parquet")
    spoil(file)
    mended(grown)

    game = {"id": "g4", "prices": [1.0, 1.5, 0.01], "rugged": True}
    write(grown.data_dir, [EventEnvelope.from_complete_game(game, EventSource.PUBLIC_WS, "other", 7, ts=START)])

    assert EventStoreQuery(grown).count_events("complete_game") == 1
    assert verify(grown, deep=True).is_sound


def test_a_missing_file_is_forgotten_only_on_demand(grown: EventStorePaths) -> None:
    """Without forget it is an error that names the option, and nothing changes; with it the rows are given up."""
    file = live_file(grown, "g2")
    others = proof(grown, [file])
    spoil(live_file(grown, "g3"))
    file.unlink()
    before = grown.catalog_file.read_bytes()

    with pytest.raises(CorruptStore, match=r"with 5 rows of games g1, g2; .*run vectra repair --forget"):
        repair(grown)
    assert grown.catalog_file.read_bytes() == before
    shutil.rmtree(live_file(grown, "g3").parent)

    report = mended(grown, forget=True)

    assert len(report.forgotten) == 2
    assert below(grown, file) in [about["file"] for about in report.forgotten]
    assert proof(grown).n_rows == others.n_rows - 5


@pytest.mark.parametrize("damage", ["missing", "spoilt"])
def test_superseded_files_come_back_for_a_bad_compacted_one(grown: EventStorePaths, damage: str) -> None:
    """As long as the files that a compaction replaced are there, no row is lost with the new one."""
    before = proof(grown)
    compact(grown, now=LATER)
    file = live_file(grown, "g2")
    if damage == "missing":
        file.unlink()
    else:
        spoil(file)

    report = mended(grown)

    assert proof(grown) == before
    assert report.rows_lost == 0
    assert len(report.revived) == 2
    assert report.version > 4


def test_a_bad_superseded_file_costs_old_versions_alone(grown: EventStorePaths) -> None:
    """Live rows stay, the versions that read the file are lost, others can be read, and snapshots of them are named."""
    file = live_file(grown, "g2")
    snapshot(grown, "first", 1)
    snapshot(grown, "third", 3)
    compact(grown, now=LATER)
    before, version = proof(grown), EventStoreQuery(grown).version
    spoil(file)

    report = mended(grown)

    assert proof(grown) == before
    assert report.version == version
    assert report.versions_lost == [2, 3, 4, 5]  # the complete game's partition was compacted as version 5
    assert report.snapshots_lost == ["third"]
    assert EventStoreQuery(grown, version="first").count_events() == 4


def test_files_of_others_go_to_quarantine(grown: EventStorePaths) -> None:
    """Foreign files of the same name keep apart there; a link is moved, not what it leads to."""
    before, names = proof(grown), ["a.parquet", "doc_type=game_tick/a.parquet", "doc_type=game_tick/date=2025-12-17/.x"]
    outside = grown.data_dir.parent / "mine.txt"
    outside.write_text("mine")
    for name in names:
        (grown.events_parquet_dir / name).write_text(name)
    (grown.events_parquet_dir / "link").symlink_to(outside)

    report = mended(grown)

    assert proof(grown) == before
    assert {about["file"]: about["place"] for about in report.quarantined} == {
        "events_parquet/a.parquet": "quarantine/a.parquet",
        "events_parquet/doc_type=game_tick/a.parquet": "quarantine/a.2.parquet",
        "events_parquet/doc_type=game_tick/date=2025-12-17/.x": "quarantine/.x",
        "events_parquet/link": "quarantine/link",
    }
    assert (grown.quarantine_dir / "a.2.parquet").read_text() == names[1]
    assert outside.read_text() == "mine"


def test_a_partition_that_was_moved_and_linked_stays(grown: EventStorePaths) -> None:
    """Verify names it and repair refuses: to move the link would take the live files behind it out of the store."""
    folder = grown.events_parquet_dir / "doc_type=game_tick" / "date=2025-12-17"
    elsewhere = grown.data_dir.parent / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    (problem,) = verify(grown).problems
    assert (problem.file, "link to another folder" in problem.what) == (below(grown, folder), True)

    with pytest.raises(VectraError, match=r"link to another folder; .*nothing was changed"):
        repair(grown)
    with pytest.raises(VectraError, match="date=2025-12-17: it is a link to another folder"):
        EventStoreQuery(grown).query("SELECT * FROM game_tick")

    assert folder.is_symlink()
    folder.unlink()
    elsewhere.rename(folder)
    assert verify(grown, deep=True).is_sound


@pytest.mark.parametrize("wrong", WRONG)
def test_what_the_catalog_says_is_made_right(grown: EventStorePaths, wrong: str) -> None:
    """Tables that do not agree with the rows are made from them; no row and no file changes."""
    before, files = proof(grown), sorted(grown.events_parquet_dir.rglob("*.parquet"))
    sql, _ = WRONG[wrong]
    change_catalog(grown, sql)

    mended(grown)

    assert proof(grown) == before
    assert sorted(grown.events_parquet_dir.rglob("*.parquet")) == files
    assert EventStoreQuery(grown).get_game_episode("g3").height == 5
    with ParquetWriter(grown) as writer:
        writer.write(tick_event(3, 4.0, "g3", "late", ts=START + timedelta(days=1)))
        assert writer.flush() is None


def noise(paths: EventStorePaths) -> None:
    """No header, and the log of somebody else."""
    paths.catalog_file.write_bytes(b"noise" * 9_000)
    paths.catalog_file.with_name("catalog.sqlite-wal").write_bytes(b"more noise")


def half(paths: EventStorePaths) -> None:
    """Cut off in the middle."""
    content = paths.catalog_file.read_bytes()
    paths.catalog_file.write_bytes(content[: len(content) // 2])


def empty(paths: EventStorePaths) -> None:
    """No byte left."""
    paths.catalog_file.write_bytes(b"")


@pytest.mark.parametrize("damage", [lose_catalog, noise, half, empty])
def test_a_catalog_is_made_anew_from_the_files_alone(
    grown: EventStorePaths, damage: Callable[[EventStorePaths], None]
) -> None:
    """The same rows, games, rejects and identities as before; which versions are lost is said."""
    before = proof(grown)
    games = EventStoreQuery(grown).games()
    info = EventStoreQuery(grown).info()
    damage(grown)

    report = mended(grown)

    assert proof(grown) == before
    assert EventStoreQuery(grown).games().equals(games)
    assert EventStoreQuery(grown).info() == info
    assert (report.catalog_from, report.versions_before, report.rows_lost) == ("files", 4, 0)
    assert "all versions before 4" in str(report)
    with pytest.raises(VersionVacuumed):
        EventStoreQuery(grown, version=3)
    assert (grown.quarantine_dir / "catalog.sqlite").exists() == (damage is not lose_catalog)
    with ParquetWriter(grown) as writer:
        writer.write(tick_event(3, 4.0, "g3", "late", ts=START + timedelta(days=1)))
        assert writer.flush() is None
        writer.write(tick_event(5, 4.0, "g3", "late", ts=START + timedelta(days=1)))
        assert writer.flush()
    assert EventStoreQuery(grown).version == 5


@pytest.mark.parametrize("damage", [lose_catalog, noise])
def test_a_catalog_is_made_anew_from_its_backup(
    grown: EventStorePaths, damage: Callable[[EventStorePaths], None]
) -> None:
    """Versions and snapshots of the backup stay; commits that came after it are taken in by their footers."""
    snapshot(grown, "third", 3)
    compact(grown, now=LATER)
    old = EventStoreQuery(grown, version="third").query("SELECT * FROM events ORDER BY session_id, seq")
    write(grown.data_dir, [*episode(1, 2, game_id="g7"), tick_event(0, 1.0, "g7", "x", ts=START + timedelta(days=9))])
    write(grown.data_dir, episode(1, 2, game_id="g8"))
    before, version = proof(grown), EventStoreQuery(grown).version
    damage(grown)

    report = mended(grown)

    assert proof(grown) == before
    assert (report.catalog_from, report.versions_lost, report.snapshots_lost) == ("backup", [], [])
    assert len(report.taken_in) == 3
    assert EventStoreQuery(grown).version == version
    assert EventStoreQuery(grown, version="third").query("SELECT * FROM events ORDER BY session_id, seq").equals(old)
    assert EventStoreQuery(grown, version=version - 1).list_games() == ["g1", "g2", "g3", "g4", "g7"]


def test_a_compaction_after_the_backup_is_found_by_its_footer(grown: EventStorePaths) -> None:
    """Where the files that it replaced are deleted, the compacted one is taken in for them."""
    compact(grown, now=START)  # makes a backup, and compacts nothing
    before, old = proof(grown), live_file(grown, "g2")
    backup = (grown.manifests_dir / "catalog.backup.sqlite").read_bytes()
    compact(grown, now=LATER)
    compact(grown, now=LATER + timedelta(days=900))
    assert not old.exists()
    (grown.manifests_dir / "catalog.backup.sqlite").write_bytes(backup)
    lose_catalog_but_backup(grown)

    report = mended(grown)

    assert proof(grown) == before
    assert report.rows_lost == 0
    assert report.forgotten == []
    assert not report.snapshots_lost


def lose_catalog_but_backup(paths: EventStorePaths) -> None:
    """Delete the catalog, and nothing else."""
    paths.catalog_file.unlink()


def test_a_commit_that_is_not_whole_is_not_taken(grown: EventStorePaths) -> None:
    """Of a commit with three files of which one is gone nothing is read; its files are in quarantine."""
    (system,) = grown.events_parquet_dir.glob("doc_type=system_event/**/*.parquet")
    others = [file.path for file in live(grown) if file.path.name == system.name]
    assert len(others) == 3
    before = proof(grown, others)
    lose_catalog(grown)
    system.unlink()

    report = mended(grown)

    assert proof(grown) == before
    assert all("its commit had 3 files, and not all are there" in about["reason"] for about in report.quarantined)
    assert len(report.quarantined) == 2


def test_a_damaged_file_does_not_take_its_commit_along(grown: EventStorePaths) -> None:
    """Without a catalog too: a file that is there, though spoilt, shows that its commit got to its end."""
    (system,) = grown.events_parquet_dir.glob("doc_type=system_event/**/*.parquet")
    before = proof(grown, [system])
    lose_catalog(grown)
    spoil(system)

    report = mended(grown)

    assert proof(grown) == before
    assert [about["file"] for about in report.quarantined] == [below(grown, system)]


def test_an_old_catalog_gets_the_later_commits(grown: EventStorePaths) -> None:
    """A copy of the catalog that is older than the files is brought up to them."""
    old = grown.catalog_file.read_bytes()
    for number in range(3):
        write(grown.data_dir, episode(1, 2, game_id=f"new {number}"))
    before = proof(grown)
    grown.catalog_file.write_bytes(old)

    report = mended(grown)

    assert proof(grown) == before
    assert (report.version, len(report.taken_in)) == (7, 3)


def test_leftovers_of_a_retried_commit_are_swept(grown: EventStorePaths) -> None:
    """Files of a commit that did not come through, the events of which were stored by another, are deleted."""
    file = live_file(grown, "g3")
    other = write(grown.data_dir.parent / "other", [])
    content = file.read_bytes()
    old = grown.data_dir.parent / "before"
    shutil.copytree(grown.data_dir, old)
    tomorrow = START + timedelta(days=1)
    again = write(old, [tick_event(tick, 1.0, "g3", "more", ts=tomorrow) for tick in range(3)])
    (left,) = set(again.events_parquet_dir.rglob("*.parquet")) - {
        old / path.path.relative_to(grown.data_dir) for path in live(grown)
    }
    stray = grown.data_dir / left.relative_to(old)
    shutil.copyfile(left, stray)  # killed after it had named its file
    write(grown.data_dir, [tick_event(tick, 1.0, "g3", "more", ts=tomorrow) for tick in range(5)])
    (stray.parent / ".120000_v00000009_0123abcd.parquet.0123456789ab.part").write_bytes(b"PAR1")
    before = proof(grown)

    report = mended(grown)

    assert proof(grown) == before
    assert len(report.swept) == 2
    assert not stray.exists()
    assert (report.quarantined, report.taken_in) == ([], [])
    assert file.read_bytes() == content
    assert other.data_dir.exists()


LEFT_BEHIND = {  # sizes of the acknowledged batches, and of those whose process was killed before it was told
    "a batch that was written again": [("a", 10, True), ("b", 10, False), ("b", 10, True), ("c", 50, True)],
    "a batch that was written again in a larger one": [("a", 10, True), ("b", 10, False), ("b", 40, True)],
    "a batch of which the number was given to another": [
        ("a", 10, True),
        ("b", 10, False),
        ("c", 10, True),
        ("b", 40, True),
    ],
}


@pytest.mark.parametrize("is_compacted", [True, False])
@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_leftovers_do_not_take_the_place_of_what_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, *, is_compacted: bool
) -> None:
    """Without catalog and backup a repair finds all that was acknowledged, though a part of it lies there twice."""
    store = EventStorePaths(tmp_path / "store")
    for session_id, n_ticks, is_acknowledged in LEFT_BEHIND[what]:
        events = [tick_event(tick, 1.0, session_id, session_id) for tick in range(n_ticks)]
        with contextlib.ExitStack() as stack:
            if not is_acknowledged:  # cut off when its files have their names
                patch = stack.enter_context(monkeypatch.context())
                patch.setattr(Catalog, "add_run", lambda *_: signal.raise_signal(signal.SIGINT))
                patch.setattr(Catalog, "may_have", lambda *_: True)
                stack.enter_context(pytest.raises(KeyboardInterrupt))
            with Catalog(store, create=True) as catalog:
                commit(catalog, events_to_table(events), keep_conflicts=True)
    everything = proof(store)
    if is_compacted:
        compact(store, now=LATER)
        vacuum(store, timedelta(0))
    lose_catalog(store)
    (store.manifests_dir / "catalog.backup.sqlite").unlink(missing_ok=True)

    report = mended(store)

    assert proof(store) == everything
    assert (len(report.swept), report.quarantined) == (1, [])


def test_a_version_number_is_not_given_out_again(grown: EventStorePaths) -> None:
    """A version that is lost with its only file stays lost; the next commit is behind it."""
    newest = EventStoreQuery(grown).version
    file = max(live(grown), key=lambda known: known.path.name.partition("_v")[2]).path
    spoil(file)
    lose_catalog(grown)
    (grown.manifests_dir / "catalog.backup.sqlite").unlink(missing_ok=True)

    mended(grown)

    write(grown.data_dir, episode(1, 2, game_id="new", session_id="new"))
    assert EventStoreQuery(grown).version > newest + 1
    with pytest.raises(VersionVacuumed):
        EventStoreQuery(grown, version=newest)


@pytest.mark.parametrize("loss", ["catalog", "catalog and backup"])
def test_what_is_pruned_stays_gone(grown: EventStorePaths, loss: str) -> None:
    """Neither the files, which are still there, nor a second import bring it back."""
    prune(grown, "2025-12-18", yes=True)
    before = proof(grown)
    lose_catalog(grown)
    if loss == "catalog and backup":
        (grown.manifests_dir / "catalog.backup.sqlite").unlink()

    mended(grown)

    assert proof(grown) == before
    write(grown.data_dir, episode(1, 2, 3, 0.01, game_id="g1", rug=True))
    assert EventStoreQuery(grown).list_games() == ["g3"]
    assert verify(grown, deep=True).is_sound


def test_a_store_of_which_all_was_pruned_is_still_one(grown: EventStorePaths) -> None:
    """Without catalog and files it is no new store, in which the pruned events would be stored again."""
    prune(grown, "2100-01-01", yes=True)
    vacuum(grown, timedelta(0))
    lose_catalog(grown)

    with pytest.raises(CorruptStore, match="run vectra repair"):
        write(grown.data_dir, episode(1, 2, 3, 0.01, game_id="g1", rug=True))
    mended(grown)

    write(grown.data_dir, episode(1, 2, 3, 0.01, game_id="g1", rug=True))
    assert EventStoreQuery(grown).count_events() == 0


@pytest.mark.parametrize("loss", [(), ("catalog",), ("catalog", "backup")])
def test_a_damaged_list_of_prunes_goes_to_quarantine(grown: EventStorePaths, loss: tuple[str, ...]) -> None:
    """Verify names it; lines that can be read count, and what the catalog or its backup knows is written anew."""
    prune(grown, "2025-12-18", yes=True)
    prune(grown, "2025-12-19", yes=True)
    write(grown.data_dir, episode(1, 2, game_id="later", session_id="later"))
    before = proof(grown)
    listing = grown.manifests_dir / "pruned.jsonl"
    first, second = listing.read_bytes().splitlines()
    listing.write_bytes(first[:40] + b"\xff" + first[41:] + b"\n" + second + b"\n")
    (problem,) = verify(grown).problems
    assert problem.file == "manifests/pruned.jsonl"
    for name in loss:
        (grown.manifests_dir / {"catalog": "catalog.sqlite", "backup": "catalog.backup.sqlite"}[name]).unlink()

    report = mended(grown)

    assert [said["file"] for said in report.quarantined if "pruned" in said["file"]] == ["manifests/pruned.jsonl"]
    assert proof(grown) == before
    assert listing.read_bytes().splitlines() == [first, second][len(loss) // 2 :]


def test_any_text_may_be_in_the_list_of_prunes(grown: EventStorePaths) -> None:
    """Also one with what some take for the end of a line."""
    write(grown.data_dir, episode(1, 2, game_id="g9", session_id="a\u2028b\x85c"))
    prune(grown, "2025-12-18", yes=True)
    before = proof(grown)
    lose_catalog(grown)
    (grown.manifests_dir / "catalog.backup.sqlite").unlink()

    mended(grown)

    write(grown.data_dir, episode(1, 2, game_id="g9", session_id="a\u2028b\x85c"))
    assert proof(grown) == before


def test_a_snapshot_of_what_was_pruned_outlives_the_catalog(grown: EventStorePaths) -> None:
    """Cut off before the backup, a prune leaves one that has the snapshot; it has its rows after a repair, too."""
    snapshot(grown, "all")
    n_events = EventStoreQuery(grown).count_events()
    backup = (grown.manifests_dir / "catalog.backup.sqlite").read_bytes()
    prune(grown, "2025-12-18", yes=True)
    before = proof(grown)
    (grown.manifests_dir / "catalog.backup.sqlite").write_bytes(backup)
    lose_catalog(grown)

    report = mended(grown)

    assert report.snapshots_lost == []
    assert EventStoreQuery(grown, version="all").count_events() == n_events
    assert proof(grown) == before


def test_lost_rejects_and_our_other_files_are_mended(grown: EventStorePaths) -> None:
    """What was refused and is gone is no longer counted; the schema version and the backup are written anew."""
    compact(grown, now=START)
    (rejects,) = grown.rejects_dir.glob("*.jsonl")
    rejects.unlink()
    (grown.manifests_dir / "schema_version.json").write_text("?")
    (grown.manifests_dir / "catalog.backup.sqlite").write_bytes(b"noise")

    report = mended(grown)

    assert report.rejects_lost == [rejects.stem]
    assert EventStoreQuery(grown).info().n_rejected == 0


def test_an_open_writer_goes_on_with_the_new_catalog(grown: EventStorePaths) -> None:
    """Events that are written while the catalog is made anew are stored in the new one, each once."""
    with ParquetWriter(grown, buffer_size=1) as writer:
        writer.write(tick_event(0, 1.0, "g9", "new"))
        writer.flush()
        before = proof(grown)
        noise_over_pages(grown)
        repair(grown)
        assert proof(grown) == before
        with contextlib.suppress(VectraError):
            writer.write(tick_event(1, 1.0, "g9", "new"))
            writer.flush()
        writer.flush()
    assert EventStoreQuery(grown).get_game_episode("g9")["seq"].to_list() == [0, 1]
    assert verify(grown, deep=True).is_sound


def noise_over_pages(paths: EventStorePaths) -> None:
    """As a disk would: in the file, while others have it open."""
    with sqlite3.connect(paths.catalog_file) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    code = "import sys; f = open(sys.argv[1], 'r+b'); f.seek(4096); f.write(b'\\xa5' * 40960)"
    # In another process: to open and close the file in this one would end SQLite's locks.
    subprocess.run([sys.executable, "-c", code, paths.catalog_file], check=True)


_CHILD = """
import os, signal, sqlite3, sys
from pathlib import Path
from vectra_analytics.maintenance import repairing

left = int(sys.argv[2])

def killing(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

os.rename, os.fsync, os.replace = map(killing, (os.rename, os.fsync, os.replace))
Path.unlink = killing(Path.unlink)
repairing.mend = killing(repairing.mend)
repairing.count_rejects = killing(repairing.count_rejects)
repairing.repair(sys.argv[1], forget=True)
"""


@pytest.mark.parametrize("catalog", ["sound", "noise", "missing"])
def test_a_kill_at_any_step_is_mended_by_the_next_call(tmp_path: Path, catalog: str) -> None:
    """Killed before any rename, sync or deletion, the next repair completes; no sound row is lost or doubled.

    Each step takes seconds: with the usual effort every eleventh is tried.
    """
    start = grow(tmp_path / "start")
    compact(start, now=START)
    write(start.data_dir, episode(1, 2, game_id="later"))
    spoilt = live_file(start, "g2")
    before = proof(start, [spoilt])
    spoil(spoilt)
    (spoilt.parent / "foreign.parquet").write_bytes(b"?")
    (spoilt.parent / ".120000_v00000009_0123abcd.parquet.0123456789ab.part").write_bytes(b"PAR1")
    if catalog == "noise":
        noise(start)
    elif catalog == "missing":
        start.catalog_file.unlink()
    for step in range(1, 1_000, stride(11)):
        paths = EventStorePaths(tmp_path / f"killed {step}")
        shutil.copytree(start.data_dir, paths.data_dir)
        command = [sys.executable, "-c", _CHILD, str(paths.data_dir), str(step)]
        child = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        is_done = child.returncode == 0
        assert is_done or child.returncode == -signal.SIGKILL
        assert repair(paths).changed != is_done or step > 1
        assert verify(paths, deep=True).problems == []
        assert proof(paths) == before
        kept = {path.name for path in paths.quarantine_dir.iterdir()}
        assert {spoilt.name, f"{spoilt.name}.json", "foreign.parquet", "foreign.parquet.json"} <= kept
        assert not any(".2." in name for name in kept if "catalog" not in name)
        shutil.rmtree(paths.data_dir)
        if is_done:
            break
    assert step > 8


def test_two_repairs_exclude_each_other(grown: EventStorePaths) -> None:
    """The second says so."""
    spoil(live_file(grown, "g2"))

    def again(*_: object) -> None:
        with pytest.raises(VectraError, match=r"another repair .* is under way"):
            repair(grown)

    repair(grown, progress=again)
    assert verify(grown, deep=True).is_sound


def test_the_command_says_what_it_did(grown: EventStorePaths, tmp_path: Path) -> None:
    """What was moved, which rows and versions are lost; exit 2 where it cannot be done."""
    assert said(vectra("repair", "--data-dir", grown.data_dir)) == "nothing to repair\n"
    file = live_file(grown, "g2")
    spoil(file)
    words = said(vectra("repair", "--data-dir", grown.data_dir))
    assert f"quarantined: {below(grown, file)}" in words
    assert "lost: versions 2 to 4" in words
    assert "5 rows are not live any more, of games g1, g2" in words
    live_file(grown, "g3").unlink()
    assert "vectra repair --forget" in complaint(vectra("repair", "--data-dir", grown.data_dir))
    report = json.loads(said(vectra("repair", "--forget", "--json", "--data-dir", grown.data_dir)))
    assert (report["rows_lost"], report["games_affected"]) == (5, ["g3"])
    assert "there is no store" in complaint(vectra("repair", "--data-dir", tmp_path / "nowhere"))
