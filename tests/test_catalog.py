"""Catalog: the one truth of which files are live at which store version."""

import contextlib
import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.builders import START, episode, rows, tick_event, write
from vectra_analytics import (
    CorruptStore,
    EventEnvelope,
    EventSource,
    EventStorePaths,
    EventStoreQuery,
    ParquetWriter,
    VectraError,
    catalog_file,
    repair,
    verify,
)
from vectra_analytics.catalog import Catalog
from vectra_analytics.catalog_file import NoCatalog
from vectra_analytics.schema import EVENT_SCHEMA, SCHEMA_VERSION

ALL_EVENTS = f"SELECT {', '.join(EVENT_SCHEMA.names)}, doc_type, date FROM events ORDER BY session_id, seq"


@pytest.fixture
def grown(paths: EventStorePaths) -> EventStorePaths:
    """A store of three versions, a game each, and a system_event in the last."""
    for number in (1, 2, 3):
        events = episode(1, 2, 3, game_id=f"g{number}")
        if number == 3:
            events.append(EventEnvelope.from_system_event("end", {}, EventSource.CDP, "s9", 1, ts=START))
        write(paths.data_dir, events)
    return paths


def games_at(paths: EventStorePaths, version: int | None = None) -> list[str]:
    """The games of a version, by SQL over the files."""
    sql = "SELECT DISTINCT game_id FROM events WHERE game_id IS NOT NULL ORDER BY game_id"
    return [game for (game,) in rows(EventStoreQuery(paths, version=version), sql)]


# --- versions


def test_versions_count_the_commits_that_store_something(paths: EventStorePaths) -> None:
    """Each such commit is the next version; empty flushes, duplicates and opening a writer add none."""
    assert EventStoreQuery(paths).version == 0
    with ParquetWriter(paths, buffer_size=1_000, flush_interval=3_600) as one:
        versions = [EventStoreQuery(paths).version]
        for seq in (0, 1, 1, 2):
            one.write(tick_event(seq, 1.0))
            one.flush()
            one.flush()
            versions.append(EventStoreQuery(paths).version)
    write(paths.data_dir, [])
    versions.append(EventStoreQuery(paths).version)

    assert versions == [0, 1, 2, 2, 3, 3]


def test_a_pinned_version_stays_as_it_was(grown: EventStorePaths) -> None:
    """A query on version n gives the rows that there were then, however the store has grown."""
    assert [games_at(grown, version) for version in (0, 1, 2, 3)] == [[], ["g1"], ["g1", "g2"], ["g1", "g2", "g3"]]
    assert games_at(grown) == ["g1", "g2", "g3"]


def test_a_pinned_query_is_steady_in_every_call(grown: EventStorePaths) -> None:
    """Rows, counts, lists and figures of a pinned query are the same before and after later commits."""

    def say(query: EventStoreQuery) -> list[Any]:
        return [
            query.version,
            query.query(ALL_EVENTS).rows(),
            query.list_games(),
            query.count_events(),
            query.games().rows(),
            query.info().n_events,
            [frame.height for frame in query.iter_episodes()],
        ]

    pinned = EventStoreQuery(grown, version=2)
    before = say(pinned)
    write(grown.data_dir, episode(9, 9, 9, 9, game_id="g1", session_id="other"))

    assert say(pinned) == say(EventStoreQuery(grown, version=2)) == before
    assert before[0] == 2
    assert EventStoreQuery(grown).version == 4


@pytest.mark.parametrize("version", [4, -1, 10**6, 2**63, 2**70])
def test_an_unknown_version_is_an_error_that_names_it(version: int, grown: EventStorePaths) -> None:
    """A version that the store has not, and one that no store can have, is a VectraError with the number."""
    with pytest.raises(VectraError, match=re.escape(str(version))):
        EventStoreQuery(grown, version=version)


def test_a_version_of_no_store_is_an_error(paths: EventStorePaths) -> None:
    """Where there is no store there is no version to pin, and asking makes none."""
    with pytest.raises(VectraError, match=re.escape(str(paths.data_dir))):
        EventStoreQuery(paths, version=1)
    assert not paths.data_dir.exists()


# --- only what the catalog names


def test_other_files_are_never_read(grown: EventStorePaths) -> None:
    """Foreign, torn, orphaned and unfinished files in the partition folders change no answer."""
    before = EventStoreQuery(grown).query(ALL_EVENTS)
    live = sorted(grown.events_parquet_dir.rglob("*.parquet"))
    folder = live[0].parent
    shutil.copy(live[0], folder / "copy of a live file.parquet")
    (folder / "torn.parquet").write_bytes(live[0].read_bytes()[:-20])
    (folder / "empty.parquet").touch()
    (folder / "noise.parquet").write_text("this is no Parquet")
    (folder / f".{live[0].name}.77.part").write_bytes(live[0].read_bytes())
    elsewhere = grown.parquet_partition_dir("game_tick", "2020-01-01")
    elsewhere.mkdir(parents=True)
    shutil.copy(live[0], elsewhere / live[0].name)
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT 'other' AS mood) TO '{folder / 'foreign.parquet'}'")
    query = EventStoreQuery(grown)

    assert query.query(ALL_EVENTS).equals(before)
    assert query.count_events() == before.height
    assert query.info().n_files == 4
    assert [frame.height for frame in query.iter_episodes()] == [3, 3, 3]
    assert query.list_games() == ["g1", "g2", "g3"]


def test_a_writer_goes_on_beside_other_files(grown: EventStorePaths) -> None:
    """Junk in the folders stops no writer, nor its look at what is stored already."""
    (file, *_) = grown.events_parquet_dir.rglob("*.parquet")
    (file.parent / "torn.parquet").write_bytes(file.read_bytes()[:50])
    write(grown.data_dir, [*episode(1, 2, 3, game_id="g1"), tick_event(3, 4.0, "g1", "session-g1")])

    assert EventStoreQuery(grown).count_events() == 11


# --- what it says of a file


def test_the_catalog_knows_each_file(grown: EventStorePaths) -> None:
    """Rows, bytes, times, doc_type, date and SHA-256 in the catalog are the file's."""
    with Catalog(grown) as catalog:
        files = catalog.live_files(catalog.version())

    assert len(files) == 4
    for file in files:
        content = file.path.read_bytes()
        table = pq.read_table(file.path, partitioning=None)
        times = [ts.timestamp() * 1e6 for ts in table["ts"].to_pylist()]
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert (file.n_bytes, file.n_rows) == (len(content), table.num_rows)
        assert (file.ts_min, file.ts_max) == (min(times), max(times))
        assert file.path.parent == grown.parquet_partition_dir(file.doc_type, file.date)


def test_rows_are_found_by_game(paths: EventStorePaths) -> None:
    """game_rows gives exactly the slices of files that hold a game's rows, however they came in between others."""
    mixed = [
        event for two in zip(episode(1, 2, game_id="g1"), episode(3, 4, game_id="g2"), strict=True) for event in two
    ]
    write(paths.data_dir, mixed)
    write(paths.data_dir, episode(1, 2, game_id="g3"))
    write(paths.data_dir, [*episode(1, 2, game_id="g1", session_id="again"), *episode(1, game_id='it\'s "g4" [*]')])
    write(paths.data_dir, [EventEnvelope.from_system_event("end", {}, EventSource.CDP, "s9", 1, ts=START)])
    held: dict[str, list[str | None]] = {
        path.name: pq.read_table(path, partitioning=None)["game_id"].to_pylist()
        for path in paths.events_parquet_dir.rglob("*.parquet")
    }
    with Catalog(paths) as catalog:
        for wanted in (
            ["g1"],
            ["g2"],
            ["g3"],
            ['it\'s "g4" [*]'],
            ["g2", "g3"],
            ["g1", "nobody"],
            ["nobody"],
            [],
            None,
        ):
            found: dict[str, set[int]] = {}
            for rows in catalog.game_rows(4, wanted):
                span = range(rows.first_row, rows.first_row + rows.n_rows)
                games = held[rows.file.path.name]
                assert {games[row] for row in span} == {rows.game_id}
                found.setdefault(rows.file.path.name, set()).update(span)
            for name, games in held.items():
                expected = {row for row, game in enumerate(games) if game and (wanted is None or game in wanted)}
                assert found.get(name, set()) == expected, (wanted, name)
        assert {rows.game_id for rows in catalog.game_rows(1, ["g1", "g3"])} == {"g1"}
        assert catalog.game_ids(2) == ["g1", "g2", "g3"]
        assert catalog.game_ids(4) == ["g1", "g2", "g3", 'it\'s "g4" [*]']


def test_the_highest_seq_of_a_session_is_known(paths: EventStorePaths) -> None:
    """What a session goes on after is its highest stored seq, also where seqs came out of order."""
    write(paths.data_dir, [tick_event(seq, 1.0) for seq in (7, 3, 12, 5)])
    write(paths.data_dir, [tick_event(4, 1.0), tick_event(2, 1.0, session_id="s2")])
    with Catalog(paths) as catalog:
        assert catalog.highest_seq("s1") == 12
        assert catalog.highest_seq("s2") == 2
        assert catalog.highest_seq("s3") is None


# --- the file itself


def test_the_catalog_is_sqlite_with_a_durable_log(grown: EventStorePaths) -> None:
    """The catalog is a sound SQLite file with a write-ahead log, and each commit waits for the disk."""
    assert grown.catalog_file == grown.manifests_dir / "catalog.sqlite"
    with Catalog(grown) as catalog:
        # The setting belongs to the connection, so only the catalog's own can tell.
        (synchronous,) = catalog._db.execute("PRAGMA synchronous").fetchone()
    connection = sqlite3.connect(grown.catalog_file)
    try:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        connection.close()
    assert synchronous == 2


def test_the_schema_version_is_written(paths: EventStorePaths) -> None:
    """manifests/schema_version.json says under which schema the files were written."""
    write(paths.data_dir, [])

    assert json.loads((paths.manifests_dir / "schema_version.json").read_text()) == {"schema_version": SCHEMA_VERSION}


def test_a_catalog_is_never_without_its_schema_version(paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is killed while making a store leaves no catalog beside which the schema version is missing."""
    real = catalog_file._connected

    def connected(target: str, **how: bool) -> sqlite3.Connection:
        assert (paths.manifests_dir / "schema_version.json").exists()
        return real(target, **how)

    monkeypatch.setattr(catalog_file, "_connected", connected)
    Catalog(paths, create=True).close()


def test_who_holds_the_catalog_is_named(grown: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits in vain is told which process to end; once that is dead, its lock is nobody's."""
    hold = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('BEGIN IMMEDIATE'); print(flush=True)"
    command = [sys.executable, "-c", f"{hold}; sys.stdin.read()", str(grown.catalog_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        monkeypatch.setattr(catalog_file, "_LOCK_SECONDS", 0.1)
        with (
            Catalog(grown) as catalog,
            pytest.raises(VectraError, match="has been held for") as caught,
            catalog.transaction(),
        ):
            pass
        holder.kill()

    by = f"process {holder.pid} (" if sys.platform == "linux" else "another process"
    assert f" s by {by}" in str(caught.value)
    with Catalog(grown) as catalog, catalog.transaction():
        pass


def test_a_catalog_that_lost_its_tables_is_no_new_one(paths: EventStorePaths) -> None:
    """Where there are event files, a catalog without tables is an error and stays as it is; else it is a new one."""
    paths.ensure_directories()
    with contextlib.closing(sqlite3.connect(paths.catalog_file)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(NoCatalog, match="no tables yet"):
        verify(paths)
    write(paths.data_dir, [tick_event(0, 1.0)])

    paths.catalog_file.unlink()
    with contextlib.closing(sqlite3.connect(paths.catalog_file)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(CorruptStore, match="no tables"):
        EventStoreQuery(paths).count_events()
    with pytest.raises(CorruptStore, match="no tables"):
        write(paths.data_dir, [tick_event(1, 1.0)])
    assert not verify(paths).is_sound
    repair(paths)
    assert EventStoreQuery(paths).count_events() == 1


def test_a_missing_schema_version_is_written_again(paths: EventStorePaths) -> None:
    """Where a process died before writing it, the next writer does."""
    write(paths.data_dir, [])
    (paths.manifests_dir / "schema_version.json").unlink()
    write(paths.data_dir, [])

    assert json.loads((paths.manifests_dir / "schema_version.json").read_text()) == {"schema_version": SCHEMA_VERSION}


def test_a_file_system_without_shared_memory_is_refused(
    paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where SQLite's log cannot work, as on a network home, the error says so and what to do."""
    real = sqlite3.connect

    def without_shared_memory(file: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(f"file:{file}?vfs=unix-dotfile", **{**options, "uri": True})
        return connection

    monkeypatch.setattr(sqlite3, "connect", without_shared_memory)
    with pytest.raises(VectraError, match="write-ahead log") as error:
        ParquetWriter(paths)

    assert "RUGS_DATA_DIR" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_reader_changes_nothing(grown: EventStorePaths) -> None:
    """Asking questions leaves every file of the store as it was."""

    def look() -> dict[str, bytes]:
        return {
            str(path.relative_to(grown.data_dir)): path.read_bytes()
            for path in sorted(grown.data_dir.rglob("*"))
            if path.is_file() and not path.name.endswith(("-wal", "-shm"))
        }

    before = look()
    query = EventStoreQuery(grown)
    query.games()
    query.info()
    query.query(ALL_EVENTS)

    assert look() == before


# --- damage


def no_header(content: bytes) -> bytes:
    """Noise from the first byte."""
    return b"this is no database" * (len(content) // 19)


def half(content: bytes) -> bytes:
    """The first half."""
    return content[: len(content) // 2]


def noise_behind_the_first_page(content: bytes) -> bytes:
    """A sound header and nothing sound behind it."""
    return content[:4096] + b"\xa5" * (len(content) - 4096)


def nothing(content: bytes) -> bytes:
    """No byte left."""
    return content[:0]


READS: dict[str, Callable[[EventStorePaths], object]] = {
    "query": lambda paths: EventStoreQuery(paths).query("SELECT * FROM events"),
    "list_games": lambda paths: EventStoreQuery(paths).list_games(),
    "info": lambda paths: EventStoreQuery(paths).info(),
    "version": lambda paths: EventStoreQuery(paths).version,
    "pinned": lambda paths: EventStoreQuery(paths, version=1),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("damage", [no_header, half, noise_behind_the_first_page, nothing])
def test_a_damaged_catalog_is_said_to_be(damage: Callable[[bytes], bytes], read: str, grown: EventStorePaths) -> None:
    """Whatever is wrong with the catalog, a reader says CorruptStore and names it, and never finds the store empty."""
    grown.catalog_file.write_bytes(damage(grown.catalog_file.read_bytes()))

    with pytest.raises(CorruptStore, match=re.escape(str(grown.catalog_file))):
        READS[read](grown)


@pytest.mark.parametrize("damage", [no_header, half, noise_behind_the_first_page, nothing])
def test_a_writer_refuses_a_damaged_catalog(damage: Callable[[bytes], bytes], grown: EventStorePaths) -> None:
    """A writer does not begin anew over a damaged catalog: it says so, stores nothing, and the event files stay."""
    files = sorted(grown.events_parquet_dir.rglob("*.parquet"))
    sound = grown.catalog_file.read_bytes()
    grown.catalog_file.write_bytes(damage(sound))
    opened: list[ParquetWriter] = []

    def begin() -> None:
        opened.append(ParquetWriter(grown, flush_interval=3_600))
        opened[-1].write(tick_event(0, 1.0, "g9", "s9"))
        opened[-1].flush()

    try:
        with pytest.raises(VectraError, match=re.escape(str(grown.data_dir))):
            begin()
        assert sorted(grown.events_parquet_dir.rglob("*.parquet")) == files
    finally:
        grown.catalog_file.write_bytes(sound)
        for one in opened:
            with contextlib.suppress(VectraError):
                one.close()


@pytest.mark.parametrize("read", READS)
def test_a_lost_catalog_is_not_an_empty_store(read: str, grown: EventStorePaths) -> None:
    """Event files without a catalog are a damaged store, not one without events."""
    for file in grown.manifests_dir.glob("catalog.sqlite*"):
        file.unlink()

    with pytest.raises(VectraError, match=re.escape(str(grown.catalog_file))):
        READS[read](grown)


@pytest.mark.parametrize("damage", ["missing", "cut short", "noise", "longer"])
def test_a_damaged_event_file_is_named(damage: str, grown: EventStorePaths) -> None:
    """A live file that is missing, cut short or not itself is CorruptStore with its name, however it is read."""
    with Catalog(grown) as catalog:
        file = catalog.live_files(3)[1].path
    content = file.read_bytes()
    file.unlink()
    if damage == "cut short":
        file.write_bytes(content[:-30])
    elif damage == "noise":
        file.write_bytes(b"noise" * 100)
    elif damage == "longer":
        file.write_bytes(content + b"noise")

    query = EventStoreQuery(grown)
    asked: tuple[Callable[[], object], ...] = (
        lambda: query.query("SELECT * FROM events"),
        query.games,
        lambda: query.get_game_episode("g2"),
        lambda: list(query.iter_episodes()),
    )
    for ask in asked:
        with pytest.raises(CorruptStore, match=re.escape(file.name)):
            ask()
    assert query.get_game_episode("g1").height == 3


# --- for other tools


def test_a_plain_reader_finds_the_same_rows(grown: EventStorePaths) -> None:
    """DuckDB's read_parquet over all files gives the rows of `events`, with both partition keys as columns."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        columns = ", ".join((*EVENT_SCHEMA.names, "doc_type", "date"))
        plain = connection.sql(
            f"SELECT {columns} FROM read_parquet('{grown.events_parquet_dir}/**/*.parquet', hive_partitioning = true) "
            "ORDER BY session_id, seq"
        ).pl()

    assert plain.rows() == EventStoreQuery(grown).query(ALL_EVENTS).rows()
    assert plain.height == 10


def test_a_reader_never_waits_for_a_writer(grown: EventStorePaths) -> None:
    """While a commit holds the catalog, a reader still sees the version before it, at once."""
    with Catalog(grown) as writing, writing.transaction():
        writing.add_version("under way")
        answer: list[int] = []
        thread = threading.Thread(target=lambda: answer.append(EventStoreQuery(grown).count_events()))
        thread.start()
        thread.join(5)

        assert answer == [10]
        assert EventStoreQuery(grown).version == 3


def test_a_transaction_that_fails_leaves_nothing(grown: EventStorePaths) -> None:
    """What was done in a transaction that ends with an error was not done."""

    def fail(catalog: Catalog) -> None:
        with catalog.transaction():
            catalog.add_version("never")
            raise ZeroDivisionError

    with Catalog(grown) as catalog:
        with pytest.raises(ZeroDivisionError):
            fail(catalog)
        assert catalog.version() == 3
        with catalog.transaction():
            assert catalog.add_version("next") == 4
    assert EventStoreQuery(grown).version == 4


def test_the_catalog_says_where_there_is_no_store(tmp_path: Path) -> None:
    """Opening a catalog that is not there, without leave to make it, is a VectraError and makes nothing."""
    with pytest.raises(VectraError, match="no store"):
        Catalog(EventStorePaths(tmp_path / "store"))
    assert list(tmp_path.iterdir()) == []
