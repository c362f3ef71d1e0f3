"""Prune takes whole days out on purpose; what is pruned stays gone, and nothing else changes."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.builders import START, episode, tick_event, write
from tests.test_cli import complaint, said, vectra
from vectra_analytics import (
    CorruptStore,
    EventEnvelope,
    EventSource,
    EventStorePaths,
    EventStoreQuery,
    ParquetWriter,
    PruneReport,
    VectraError,
    compact,
    import_recordings,
    prune,
    repair,
    snapshot,
    vacuum,
)
from vectra_analytics.catalog import Catalog
from vectra_analytics.maintenance import pruning
from vectra_analytics.maintenance.row_proof import Fingerprint

SAMPLES = Path(__file__).resolve().parents[1] / "data_samples"
FIRST, SECOND = "2025-12-17", "2025-12-18"
MIDNIGHT = datetime(2025, 12, 18, tzinfo=UTC)
TOMORROW = datetime.now(UTC) + timedelta(hours=25)
ALL = "SELECT * FROM events ORDER BY session_id, seq"


def _events() -> list[EventEnvelope]:
    """Two games on the first day, one over midnight, one on the second; other kinds of event on the first."""
    story = {"id": "g0", "prices": [1.0, 0.01], "rugged": True}
    return [
        *episode(1, 2, 0.01, game_id="g1", rug=True),
        *episode(1, 2, game_id="g2"),
        *(tick_event(tick, 1 + tick, "g3", ts=MIDNIGHT + timedelta(seconds=tick - 2)) for tick in range(5)),
        *(tick_event(tick, 1 + tick, "g4", "s4", ts=MIDNIGHT + timedelta(hours=1, seconds=tick)) for tick in range(4)),
        EventEnvelope.from_complete_game(story, EventSource.PUBLIC_WS, "ws", 1, ts=START),
        EventEnvelope.from_system_event("end", {}, EventSource.CDP, "s9", 1, ts=START),
    ]


@pytest.fixture
def store(paths: EventStorePaths) -> EventStorePaths:
    """A store of these events, in two commits."""
    events = _events()
    write(paths.data_dir, events[::2])
    write(paths.data_dir, events[1::2])
    return paths


def test_a_dry_run_says_what_would_go(store: EventStorePaths) -> None:
    """Rows, files, days and games, those that lose only a part of their rows apart; nothing is changed."""
    before = EventStoreQuery(store).query(ALL)

    report = prune(store, SECOND)

    assert report.to_dict() | {"n_bytes": 0} == {
        "before": SECOND,
        "done": False,
        "version": None,
        "days": [FIRST],
        "n_rows": 3 + 2 + 2 + 1 + 1,
        "n_files": 4,
        "n_bytes": 0,
        "n_games": 3,
        "n_games_in_part": 1,
    }
    assert report.n_bytes > 0
    assert EventStoreQuery(store).version == 2
    assert EventStoreQuery(store).query(ALL).equals(before)
    assert not (store.manifests_dir / "pruned.jsonl").exists()


@pytest.mark.parametrize("before", [SECOND, date(2025, 12, 18), MIDNIGHT])
def test_whole_days_of_all_kinds_go(store: EventStorePaths, before: date | str) -> None:
    """The newest version has exactly the rows from the date on, and the version before has all, until a vacuum."""
    all_rows = EventStoreQuery(store).query(ALL)

    report = prune(store, before, yes=True)

    assert (report.done, report.version) == (True, 3)
    assert EventStoreQuery(store).query(ALL).equals(all_rows.filter(pl.col("ts") >= MIDNIGHT))
    assert EventStoreQuery(store).list_games() == ["g3", "g4"]
    assert EventStoreQuery(store).get_game_episode("g3")["tick"].to_list() == [2, 3, 4]
    assert EventStoreQuery(store, version=2).query(ALL).equals(all_rows)
    assert vacuum(store, now=TOMORROW).files_deleted == 4
    assert not list(store.events_parquet_dir.rglob(f"date={FIRST}/*.parquet"))
    assert EventStoreQuery(store).query(ALL).equals(all_rows.filter(pl.col("ts") >= MIDNIGHT))


def test_a_prune_is_done_once(store: EventStorePaths) -> None:
    """Where there is nothing before the date no version is made."""
    prune(store, SECOND, yes=True)

    assert prune(store, SECOND, yes=True) == PruneReport(before=SECOND)
    assert EventStoreQuery(store).version == 3


def test_what_is_pruned_does_not_come_back(store: EventStorePaths) -> None:
    """Written again, before and after the files are deleted, it is a no-op, and no reject; new events do come in."""
    prune(store, SECOND, yes=True)
    kept = EventStoreQuery(store).query(ALL)

    for now in (None, TOMORROW):
        vacuum(store, now=now)
        with ParquetWriter(store) as writer:
            for event in _events():
                writer.write(event)
            assert writer.flush() is None
            assert writer.n_rejected == 0
    assert EventStoreQuery(store).query(ALL).equals(kept)

    write(store.data_dir, episode(1, 2, game_id="g7", session_id="new"))
    assert EventStoreQuery(store).count_events() == kept.height + 2
    assert compact(store, now=MIDNIGHT + timedelta(days=2)).n_partitions == 2


def test_recordings_imported_before_stay_gone(tmp_path: Path) -> None:
    """Every line of a second import is a duplicate, though the store has none of their events any more."""
    first = import_recordings(SAMPLES, tmp_path, timezone="America/New_York")
    prune(tmp_path, "2100-01-01", yes=True)
    vacuum(tmp_path, now=TOMORROW)
    assert EventStoreQuery(tmp_path).count_events() == 0

    again = import_recordings(SAMPLES, tmp_path, timezone="America/New_York")

    assert again.events_stored == again.lines_stored == 0
    assert again.lines_duplicate == first.lines_stored
    assert again.rejected == first.rejected
    assert EventStoreQuery(tmp_path).count_events() == 0


def test_a_snapshot_keeps_pruned_days(store: EventStorePaths) -> None:
    """It pins a version that has them."""
    all_rows = EventStoreQuery(store).query(ALL)
    snapshot(store, "all")
    prune(store, SECOND, yes=True)
    vacuum(store, now=TOMORROW)

    assert EventStoreQuery(store, version="all").query(ALL).equals(all_rows)


def test_a_record_tells_without_the_catalog_what_was_pruned(store: EventStorePaths) -> None:
    """All files of those days, the superseded ones too, with identities and stories; the backup knows it as well."""
    compact(store, now=MIDNIGHT + timedelta(hours=2))
    names = {
        path.relative_to(store.events_parquet_dir).as_posix() for path in store.events_parquet_dir.rglob("*.parquet")
    }
    prune(store, SECOND, yes=True)
    prune(store, "2025-12-19", yes=True)

    first, second = map(json.loads, (store.manifests_dir / "pruned.jsonl").read_text().splitlines())

    assert (first["before"], second["before"]) == (SECOND, "2025-12-19")
    assert set(first["files"]) == {name for name in names if FIRST in name}
    assert len(first["files"]) == 4 + 3
    assert set(first["files"]) | {name for name in names if SECOND in name} == set(second["files"])
    assert first["identities"] == {
        "s1": [[0, 1, 1]],
        "s9": [[1, 1, 1]],
        "session-g1": [[0, 2, 1]],
        "session-g2": [[0, 1, 1]],
        "ws": [[1, 1, 1]],
    }
    assert list(first["complete_games"]) == ["g0"]
    with Catalog(store) as catalog, sqlite3.connect(store.manifests_dir / "catalog.backup.sqlite") as copy:
        assert first["complete_games"]["g0"] == catalog.complete_game("g0")
        assert catalog.has_commit(first["commit_id"])
        assert [json.loads(record) for (record,) in copy.execute("SELECT record FROM prunes")] == [first, second]


@pytest.mark.parametrize("place", ["supersede", "add_prune", "list_prunes", "back_up"])
def test_a_kill_prunes_all_or_nothing(store: EventStorePaths, place: str) -> None:
    """Killed anywhere, all rows are there or exactly the later ones, and the same call finishes with its record."""
    all_rows = EventStoreQuery(store).query(ALL)
    later = all_rows.filter(pl.col("ts") >= MIDNIGHT)
    child = (
        "import os, signal, sys\nfrom vectra_analytics import catalog, prune\n"
        f"catalog.Catalog.{place} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"prune(sys.argv[1], '{SECOND}', yes=True)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", child, str(store.data_dir)],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert killed.returncode == -signal.SIGKILL
    is_done = place in ("list_prunes", "back_up")
    assert EventStoreQuery(store).query(ALL).equals(later if is_done else all_rows)
    assert prune(store, SECOND, yes=True).done is not is_done
    vacuum(store, now=TOMORROW)
    assert EventStoreQuery(store).query(ALL).equals(later)
    assert len((store.manifests_dir / "pruned.jsonl").read_text().splitlines()) == 1


def test_a_repair_lists_a_prune_that_was_cut_off(store: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off after its version was made, it is on record after a repair; so even a lost catalog does not undo it."""
    all_rows = EventStoreQuery(store).query(ALL)
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "back_up", lambda self: None)
        prune(store, SECOND, yes=True)
    assert not (store.manifests_dir / "pruned.jsonl").exists()

    report = repair(store)

    assert (report.changed, report.prunes_listed, report.quarantined) == (True, True, [])
    assert "pruned.jsonl" in str(report)
    assert not repair(store).changed
    for file in store.manifests_dir.glob("catalog.*"):
        file.unlink()
    repair(store)
    assert EventStoreQuery(store).query(ALL).equals(all_rows.filter(pl.col("ts") >= MIDNIGHT))


def _one_more(catalog: Catalog, files: list[Any], version: int) -> bool:
    return _SUPERSEDE(catalog, catalog.live_files(version), version)


_SUPERSEDE = Catalog.supersede


def test_it_refuses_where_another_row_would_go(store: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """If what would be left is not what was there from the date on, nothing is changed."""
    all_rows = EventStoreQuery(store).query(ALL)
    with monkeypatch.context() as fault:
        fault.setattr(Catalog, "supersede", _one_more)
        with pytest.raises(CorruptStore, match="would not have exactly the files of the days from 2025-12-18 on"):
            prune(store, SECOND, yes=True)
    with monkeypatch.context() as fault:
        fault.setattr(pruning, "fingerprint", lambda _, __, where="": Fingerprint(len(where), 1, 1))
        with pytest.raises(CorruptStore, match="do not hold exactly the rows of those days"):
            prune(store, SECOND, yes=True)

    assert EventStoreQuery(store).version == 2
    assert EventStoreQuery(store).query(ALL).equals(all_rows)
    assert not (store.manifests_dir / "pruned.jsonl").exists()


def test_it_refuses_files_that_do_not_hold_their_day(store: EventStorePaths) -> None:
    """A file whose rows are of another day than the catalog says is left alone, with all others."""
    with Catalog(store) as catalog:
        catalog._run("UPDATE files SET date = '2025-12-16' WHERE date = '2025-12-18'")

    with pytest.raises(CorruptStore, match="do not hold exactly the rows"):
        prune(store, FIRST, yes=True)


def test_a_damaged_file_is_named(store: EventStorePaths) -> None:
    """What cannot be read cannot be shown to stay as it is."""
    file = next(store.events_parquet_dir.rglob(f"date={SECOND}/*.parquet"))
    file.write_bytes(file.read_bytes()[:-50])

    with pytest.raises(CorruptStore, match=file.name):
        prune(store, SECOND, yes=True)


def test_what_is_written_meanwhile_is_taken_into_account(
    store: EventStorePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events of a day that goes, and of one that stays, may come while all is read: each is treated by its day."""
    real = pruning._prove
    late: list[bool] = []

    def overtaken(*arguments: Any) -> None:
        real(*arguments)
        if not late:
            late.append(True)
            write(store.data_dir, episode(1, 2, game_id="g8"))
            write(store.data_dir, [tick_event(0, 1.0, "g9", "s-late", ts=MIDNIGHT)])
            compact(store, now=MIDNIGHT + timedelta(days=3))

    monkeypatch.setattr(pruning, "_prove", overtaken)
    report = prune(store, SECOND, yes=True)

    assert report.n_rows == 9 + 2
    assert EventStoreQuery(store).list_games() == ["g3", "g4", "g9"]
    assert EventStoreQuery(store).count_events() == 3 + 4 + 1


def test_it_gives_up_where_the_days_never_rest(store: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who goes on importing those days is told of."""
    monkeypatch.setattr(pruning, "_take_out", lambda *_: None)

    with pytest.raises(VectraError, match="were changed 5 times"):
        prune(store, SECOND, yes=True)


@pytest.mark.parametrize("before", ["yesterday", "2025-13-01", "", 7])
def test_a_date_that_is_none_is_refused(store: EventStorePaths, before: Any) -> None:
    """The message says how a date is given."""
    with pytest.raises(VectraError, match="give the first day to keep as YYYY-MM-DD"):
        prune(store, before)


def test_the_command_asks_first(store: EventStorePaths) -> None:
    """A dry run unless --yes; both say how many games lose only a part."""
    folder = store.data_dir
    dry = said(vectra("prune", "--before", SECOND, "--data-dir", folder))
    assert EventStoreQuery(store).version == 2
    done = said(vectra("prune", "--before", SECOND, "--yes", "--data-dir", folder))

    assert "9 events of 1 day (2025-12-17 to 2025-12-17), 3 whole games, in 4 files" in dry
    assert "1 games would lose only a part of their rows" in dry
    assert "nothing is changed; --yes does it" in dry
    assert "version 3 is without them" in done
    assert "nothing to prune" in said(vectra("prune", "--before", SECOND, "--yes", "--data-dir", folder))
    as_json = said(vectra("prune", "--before", "2025-12-19", "--json", "--data-dir", folder))
    assert json.loads(as_json)["n_rows"] == 7
    assert "2025-12-32" in complaint(vectra("prune", "--before", "2025-12-32", "--data-dir", folder))
    assert "--before" in complaint(vectra("prune", "--data-dir", folder))
