"""verify finds whatever is not as it was written, says what to do, and leaves no trace."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.builders import START, episode, tick_event, write
from tests.test_cli import complaint, vectra
from vectra_analytics import (
    EventEnvelope,
    EventSource,
    EventStorePaths,
    EventStoreQuery,
    ParquetWriter,
    VectraError,
    VerifyReport,
    compact,
    prune,
    snapshot,
    vacuum,
    verify,
)
from vectra_analytics.catalog import Catalog
from vectra_analytics.maintenance import verification
from vectra_analytics.maintenance.catalog_copy import CatalogCopy
from vectra_analytics.maintenance.examination import Examination, examine

LATER = START + timedelta(days=2)
GAME = {"id": "g4", "prices": [1.0, 1.5, 0.01], "rugged": True}


def grow(data_dir: Path) -> EventStorePaths:
    """A store of four commits on three days with a complete game, a trade, a reject and events without a game."""
    tomorrow = START + timedelta(days=1)
    write(data_dir, episode(1, 2, 3, 0.01, game_id="g1", rug=True))
    write(data_dir, [*episode(1, 2, game_id="g2"), *episode(5, 6, 7, game_id="g1", session_id="again")])
    write(
        data_dir,
        [
            EventEnvelope.from_complete_game(GAME, EventSource.PUBLIC_WS, "ws", 1, ts=START),
            EventEnvelope.from_player_action("buy", {}, EventSource.UI, "ui", 5, "g1", "alice", ts=START),
            EventEnvelope.from_system_event("end", {}, EventSource.CDP, "s9", 1, ts=START),
            tick_event(0, 9.0, "g1", "session-g1"),  # another content: rejected
        ],
    )
    return write(data_dir, [tick_event(tick, 1 + tick, "g3", "late", ts=tomorrow) for tick in range(5)])


@pytest.fixture
def grown(paths: EventStorePaths) -> EventStorePaths:
    """The same, for one test."""
    return grow(paths.data_dir)


def state(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Everything in the folder: content, time and inode; of SQLite's own files as well."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mtime_ns,
            path.stat().st_ino,
        )
        for path in sorted([folder, *folder.rglob("*")])
    }


def live_file(paths: EventStorePaths, game_id: str) -> Path:
    """A live file of ticks of this game."""
    with Catalog(paths) as catalog:
        rows = [found.file for found in catalog.game_rows(catalog.version(), [game_id])]
    return next(file.path for file in rows if file.doc_type == "game_tick")


def problems(report: VerifyReport) -> list[str]:
    """The files with a problem."""
    return [problem.file for problem in report.problems]


def change_catalog(paths: EventStorePaths, sql: str) -> None:
    """Tell the catalog something that is not so."""
    with sqlite3.connect(paths.catalog_file) as db:
        db.execute(sql)
    db.close()


def test_a_sound_store_is_sound(grown: EventStorePaths) -> None:
    """After commits, compactions, prunes, snapshots and vacuums there is nothing to find."""
    write(grown.data_dir, [])
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: snapshot(grown, "start"),
        lambda: compact(grown, now=LATER + timedelta(days=1)),
        lambda: prune(grown, "2025-12-18", yes=True),
        lambda: vacuum(grown, timedelta(0), now=LATER + timedelta(days=900)),
    ]
    for step in steps:
        step()
        for deep in (False, True):
            report = verify(grown, deep=deep)
            assert report.is_sound, str(report)
            assert report.leftovers == []
            assert report.version == EventStoreQuery(grown).version
            assert report.n_rows == EventStoreQuery(grown).count_events()


@pytest.mark.parametrize("deep", [False, True])
def test_nothing_is_written(grown: EventStorePaths, deep: bool) -> None:
    """Every byte, time and name in the folder is what it was, whatever state SQLite's files are in."""

    def look() -> None:
        before = state(grown.data_dir)
        assert verify(grown, deep=deep).is_sound
        after = state(grown.data_dir)
        assert [name for name in after if after[name] != before.get(name)] == []
        assert after.keys() == before.keys()

    look()  # closed: the catalog alone
    script = (
        "import sys; from tests.builders import *; w = ParquetWriter(sys.argv[1]);"
        "w.write(tick_event(0, 1.0, 'g9', 's9', seq=99)); w.flush(); print('written', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, grown.data_dir],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        look()  # open, with a log
        writer.kill()
    log = grown.catalog_file.with_name("catalog.sqlite-wal")
    assert log.stat().st_size > 0
    look()  # what a killed writer leaves
    grown.catalog_file.with_name("catalog.sqlite-shm").unlink()
    look()  # a copy of that without the memory that processes share
    assert verify(grown).n_rows == EventStoreQuery(grown).count_events() == 18


def test_nothing_is_written_about_a_damaged_store(grown: EventStorePaths) -> None:
    """Nor where something is wrong."""
    live_file(grown, "g1").unlink()
    (grown.events_parquet_dir / "notes.txt").write_text("x")
    before = state(grown.data_dir)

    assert len(problems(verify(grown, deep=True))) == 2
    assert state(grown.data_dir) == before


def test_every_flipped_bit_is_found(grown: EventStorePaths) -> None:
    """One bit anywhere in a live file, in 60 trials of 60, and the file at fault is the one that is named."""
    compact(grown, now=LATER)
    with Catalog(grown) as catalog:
        files = [file.path for file in catalog.live_files(catalog.version())]
    chance = random.Random(60)
    found = 0
    for _ in range(60):
        file = chance.choice(files)
        content = file.read_bytes()
        spoilt = bytearray(content)
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
        file.write_bytes(spoilt)
        found += problems(verify(grown, deep=True)) == [str(file.relative_to(grown.data_dir))]
        file.write_bytes(content)

    assert found == 60
    assert verify(grown, deep=True).is_sound


@pytest.mark.parametrize("damage", ["missing", "cut short", "longer", "a folder"])
def test_a_quick_look_finds_files_that_are_not_in_their_place(grown: EventStorePaths, damage: str) -> None:
    """Missing files and other sizes are found without reading; the line says rows, games and what to do."""
    file = live_file(grown, "g2")
    content = file.read_bytes()
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    elif damage != "missing":
        file.write_bytes(content[:-9] if damage == "cut short" else content + b"x")

    (problem,) = verify(grown).problems

    assert problem.file == str(file.relative_to(grown.data_dir))
    assert (problem.n_rows, problem.games, problem.is_live) == (5, ["g1", "g2"], True)
    assert "5 rows of game_tick, 2025-12-17; games g1, g2" in str(problem)
    assert ("vectra repair --forget" if damage == "missing" else "run vectra repair") in str(problem)


def test_superseded_files_are_looked_at_too(grown: EventStorePaths) -> None:
    """A superseded file that is damaged is a problem, and the line says that live rows are not affected."""
    file, other = live_file(grown, "g2"), live_file(grown, "g3")
    compact(grown, now=LATER)
    file.unlink()
    content = bytearray(other.read_bytes())
    content[40] ^= 1
    other.write_bytes(content)

    report = verify(grown, deep=True)

    assert sorted(problems(report)) == sorted(str(path.relative_to(grown.data_dir)) for path in (file, other))
    assert all("live rows are not affected" in str(problem) for problem in report.problems)


@pytest.mark.parametrize("name", ["a.parquet", "doc_type=game_tick/date=2025-12-17/120000_v1.parquet", "deep/er/x"])
def test_files_of_others_are_named(grown: EventStorePaths, name: str) -> None:
    """Whatever lies among the event files and is not the catalog's is named."""
    file = grown.events_parquet_dir / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"PAR1 and not PAR1")

    (problem,) = verify(grown).problems

    assert problem.file == f"events_parquet/{name}"
    assert "is not the catalog's" in problem.what
    assert "quarantine" in problem.to_do


def test_a_copy_of_an_event_file_is_not_the_catalogs(grown: EventStorePaths) -> None:
    """A sound file under another folder's name is no leftover: its version is another commit's, or an older one's."""
    file = live_file(grown, "g2")
    other = grown.parquet_partition_dir("game_tick", "2025-12-20") / file.name
    other.parent.mkdir(parents=True)
    shutil.copyfile(file, other)

    report = verify(grown)

    assert (problems(report), report.leftovers) == (
        [f"events_parquet/{other.relative_to(grown.events_parquet_dir)}"],
        [],
    )


def test_what_a_killed_writer_leaves_is_no_problem(grown: EventStorePaths, tmp_path: Path) -> None:
    """Unfinished files, and those of a commit that never became durable, are leftovers: never read, and listed."""
    other = write(tmp_path / "other", [*episode(1, game_id="g1"), *episode(2, game_id="g9", session_id="x")])
    folder = live_file(grown, "g1").parent
    (orphan,) = other.events_parquet_dir.rglob("*.parquet")
    shutil.copyfile(orphan, folder / orphan.name)
    (folder / ".120000_v00000009_0123abcd.parquet.0123456789ab.part").write_bytes(b"PAR1")

    report = verify(grown, deep=True)

    assert report.is_sound
    assert len(report.leftovers) == 2
    assert "2 leftovers" in str(report)


def test_what_several_killed_writers_leave_is_no_problem(grown: EventStorePaths) -> None:
    """Whole commits that all claim the next version: each was killed before the catalog had it."""
    before = grown.catalog_file.read_bytes()
    for game in ("g7", "g8"):
        write(grown.data_dir, episode(1, 2, game_id=game))
        grown.catalog_file.write_bytes(before)

    report = verify(grown, deep=True)

    assert (problems(report), len(report.leftovers)) == ([], 2)


def test_a_catalog_that_is_older_than_its_files_is_told(grown: EventStorePaths) -> None:
    """An old copy of the catalog in its place: whole commits that came later are named."""
    old = grown.catalog_file.read_bytes()
    write(grown.data_dir, episode(1, 2, game_id="g7"))
    write(grown.data_dir, episode(1, 2, game_id="g8"))
    names = [str(live_file(grown, game).relative_to(grown.data_dir)) for game in ("g7", "g8")]
    grown.catalog_file.write_bytes(old)

    report = verify(grown)

    assert sorted(problems(report)) == sorted(names)
    assert all("the catalog is older" in problem.what for problem in report.problems)


WRONG = {
    "a game's rows": ("UPDATE file_games SET n_rows = n_rows + 1 WHERE game_id = 'g3'", False),
    "a game's place": ("UPDATE file_games SET first_row = 1 - first_row / 2 WHERE game_id = 'g2'", False),
    "a game's name": ("UPDATE file_games SET game_id = 'nobody' WHERE game_id = 'g3'", True),
    "a session": ("DELETE FROM file_sessions WHERE session_id = 'late'", False),
    "a session's seqs": ("UPDATE file_sessions SET seq_max = 9 WHERE session_id = 'late'", True),
    "rows": ("UPDATE files SET n_rows = n_rows + 1 WHERE doc_type = 'system_event'", False),
    "a time": ("UPDATE files SET ts_max = ts_max + 1 WHERE doc_type = 'system_event'", True),
    "a lost identity": ("DELETE FROM identities WHERE session_id = 'late'", False),
    "another identity": ("UPDATE identities SET session_id = 'later' WHERE session_id = 'late'", True),
    "a shifted run": ("UPDATE identities SET first = first + 1, last = last + 1 WHERE session_id = 'late'", True),
    "a story": ("DELETE FROM complete_games", False),
    "another story": ("UPDATE complete_games SET content = 'x'", True),
    "rejects": ("INSERT INTO rejects VALUES ('nothing', 3)", False),
    "n_rejects": ("UPDATE rejects SET n_rejected = 7", True),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_catalog_that_says_something_wrong_is_found_out(grown: EventStorePaths, wrong: str) -> None:
    """What can be counted is found quickly, what only the rows tell with deep=True."""
    sql, needs_deep = WRONG[wrong]
    change_catalog(grown, sql)

    assert not verify(grown, deep=True).is_sound
    assert verify(grown).is_sound == needs_deep


@pytest.mark.parametrize("damage", ["missing", "empty", "noise", "half"])
def test_a_catalog_that_is_no_catalog_is_a_problem(grown: EventStorePaths, damage: str) -> None:
    """The report says so, by name, and does not raise."""
    content = grown.catalog_file.read_bytes()
    grown.catalog_file.unlink()
    if damage != "missing":
        grown.catalog_file.write_bytes(
            {"empty": b"", "noise": b"noise" * 5_000, "half": content[: len(content) // 2]}[damage]
        )

    report = verify(grown)

    assert problems(report) == ["manifests/catalog.sqlite"]
    assert report.version is None
    assert "run vectra repair" in str(report)


def test_other_files_of_ours_are_looked_at(grown: EventStorePaths) -> None:
    """The schema version and the backup of the catalog."""
    compact(grown, now=LATER)
    (grown.manifests_dir / "schema_version.json").write_text("{}")
    (grown.manifests_dir / "catalog.backup.sqlite").write_bytes(b"noise" * 2_000)

    assert problems(verify(grown)) == ["manifests/schema_version.json", "manifests/catalog.backup.sqlite"]


def test_writers_and_compactions_may_go_on(paths: EventStorePaths) -> None:
    """A store that changes all the time is never found to be damaged."""
    wrong: list[str] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for deep in (False, True):
                report = verify(paths, deep=deep)
                wrong.extend(str(problem) for problem in report.problems)

    write(paths.data_dir, episode(1, 2, game_id="first"))
    looker = threading.Thread(target=look)
    looker.start()
    with ParquetWriter(paths, buffer_size=5) as writer:
        for seq in range(150):
            writer.write(tick_event(seq % 50, 1.0, f"g{seq // 50}", "s", seq=seq))
            if seq % 40 == 39:
                writer.flush()
                compact(paths, now=LATER)
                vacuum(paths, timedelta(0))
    stop.set()
    looker.join()

    assert wrong == []


def test_progress_is_told(grown: EventStorePaths) -> None:
    """Bytes looked at, up to all of them."""
    told: list[tuple[int, int]] = []
    verify(grown, deep=True, progress=lambda done, total: told.append((done, total)))

    assert told[-1][0] == told[-1][1] > 0
    assert told == sorted(told)


def test_the_command_says_it_by_its_exit_code(grown: EventStorePaths, tmp_path: Path) -> None:
    """0 where all is well, 1 with a line a problem, 2 where there is no store; --json for scripts."""
    well = vectra("verify", "--data-dir", grown.data_dir)
    assert (well.returncode, well.stderr) == (0, "")
    assert "all is as it should be" in well.stdout
    file = live_file(grown, "g2")
    content = bytearray(file.read_bytes())
    content[50] ^= 8
    file.write_bytes(content)

    assert vectra("verify", "--data-dir", grown.data_dir).returncode == 0
    bad = vectra("verify", "--deep", "--data-dir", grown.data_dir)
    as_json = vectra("verify", "--deep", "--json", "--data-dir", grown.data_dir)

    assert (bad.returncode, as_json.returncode) == (1, 1)
    assert bad.stdout.startswith(f"{file.relative_to(grown.data_dir)} (5 rows of game_tick")
    said = json.loads(as_json.stdout)
    assert said["is_sound"] is False
    assert [problem["games"] for problem in said["problems"]] == [["g1", "g2"]]
    assert "there is no store" in complaint(vectra("verify", "--data-dir", tmp_path / "nowhere"))
    with pytest.raises(VectraError, match="there is no store"):
        verify(tmp_path / "nowhere")


def test_a_vacuum_may_be_at_work_meanwhile(grown: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that it has deleted since the catalog was read are not missed, though the catalog still names them."""
    compact(grown, now=LATER)
    monkeypatch.setattr(Catalog, "forget", lambda catalog, files: None)  # which is a vacuum's last step

    def examine_late(catalog: CatalogCopy, **options: Any) -> Examination:
        assert vacuum(grown, timedelta(0)).files_deleted
        return examine(catalog, **options)

    monkeypatch.setattr(verification, "examine", examine_late)
    assert problems(verify(grown)) == []


def test_lines_of_rejects_that_are_not_counted_are_no_fault(tmp_path: Path) -> None:
    """A kill while a file of refused lines is written anew leaves more of them; fewer are a loss, which is named."""
    store = grow(tmp_path / "store")
    (rejects,) = store.rejects_dir.glob("*.jsonl")
    lines = rejects.read_bytes()
    rejects.write_bytes(lines + lines)
    assert verify(store, deep=True).is_sound

    rejects.write_bytes(b"")

    assert [problem.file for problem in verify(store, deep=True).problems] == [f"manifests/rejects/{rejects.name}"]
