"""Catalog: which event files are live at which store version. SQLite; the one truth that readers go by."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vectra_analytics.errors import CorruptStore, VectraError, VersionVacuumed
from vectra_analytics.live_files import GameRows, LiveFile, SupersededFile
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.schema import SCHEMA_VERSION
from vectra_analytics.whole_files import sync_folder, write_whole

_LOCK_SECONDS = 60.0  # how long one commit waits for another process's to end
_LAYOUT = 3  # of the tables below

_TABLES = """
CREATE TABLE versions (
    version INTEGER PRIMARY KEY,
    committed_at TEXT NOT NULL,
    commit_id TEXT NOT NULL
);
CREATE TABLE files (
    file_id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,              -- below events_parquet, with forward slashes
    doc_type TEXT NOT NULL,
    date TEXT NOT NULL,                     -- UTC day of every ts in it
    n_rows INTEGER NOT NULL,
    n_bytes INTEGER NOT NULL,
    ts_min INTEGER NOT NULL,                -- microseconds since 1970, UTC
    ts_max INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    is_compacted INTEGER NOT NULL,          -- sorted by game and tick
    added INTEGER NOT NULL REFERENCES versions,
    removed INTEGER REFERENCES versions,    -- NULL while live
    removed_at INTEGER                      -- microseconds since 1970: from here on counts the grace period
);
CREATE INDEX files_removed ON files (removed);
CREATE TABLE file_games (                   -- where a game's rows lie: they stand together in each file
    game_id TEXT NOT NULL,
    file_id INTEGER NOT NULL REFERENCES files,
    first_row INTEGER NOT NULL,             -- from 0
    n_rows INTEGER NOT NULL,
    PRIMARY KEY (game_id, file_id)
) WITHOUT ROWID;
CREATE INDEX file_games_file ON file_games (file_id);
CREATE TABLE file_sessions (                -- which files hold events of a session
    session_id TEXT NOT NULL,
    file_id INTEGER NOT NULL REFERENCES files,
    seq_min INTEGER NOT NULL,
    seq_max INTEGER NOT NULL,
    PRIMARY KEY (session_id, file_id)
) WITHOUT ROWID;
CREATE TABLE identities (                   -- stored (session_id, seq): first, first + step, ..., last
    session_id TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    step INTEGER NOT NULL,
    PRIMARY KEY (session_id, first)
) WITHOUT ROWID;
CREATE TABLE complete_games (               -- a complete game is stored once, whichever way it comes
    game_id TEXT PRIMARY KEY,
    content TEXT NOT NULL                   -- SHA-256 of its canonical JSON
) WITHOUT ROWID;
CREATE TABLE rejects (                      -- files in manifests/rejects, whole once they are named here
    name TEXT PRIMARY KEY,
    n_rejected INTEGER NOT NULL
) WITHOUT ROWID;
"""
_TABLES_SINCE_3 = """
CREATE TABLE snapshots (                    -- versions that no maintenance closes
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    made_at INTEGER NOT NULL,               -- microseconds since 1970, UTC
    ended_at INTEGER                        -- when it was deleted: who reads it then has the grace period, too
);
CREATE UNIQUE INDEX snapshots_name ON snapshots (name) WHERE ended_at IS NULL;
CREATE TABLE prunes (                       -- what was taken out on purpose
    version INTEGER PRIMARY KEY,            -- the one that was the first without it
    record TEXT NOT NULL                    -- a line of manifests/pruned.jsonl
);
"""
_FROM_2_TO_3 = f"""{_TABLES_SINCE_3}
ALTER TABLE files ADD COLUMN removed_at INTEGER;
UPDATE files SET removed_at = coalesce(
    (SELECT strftime('%s', committed_at) * 1000000 FROM versions WHERE version = removed), 0
) WHERE removed IS NOT NULL;
"""

LAYOUTS = (2, _LAYOUT)
"""Those that can be read."""


def give_layout(db: sqlite3.Connection) -> None:
    """Make the tables in an empty database, or give those of an older layout the present one."""
    (layout,) = db.execute("PRAGMA user_version").fetchone()
    statements = {0: _TABLES + _TABLES_SINCE_3, 2: _FROM_2_TO_3}.get(layout, "")
    for statement in statements.split(";\n"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {_LAYOUT}")


_FILE_COLUMNS = "file_id, path, doc_type, date, files.n_rows AS n_rows, n_bytes, ts_min, ts_max, sha256, is_compacted"
_IS_LIVE = "added <= ?1 AND (removed IS NULL OR removed > ?1)"


class Catalog:
    """The catalog of one store; each thread should have its own."""

    def __init__(self, paths: EventStorePaths, *, create: bool = False) -> None:
        self.paths = paths
        self._opened: tuple[int, int] | None = None  # which file it is, of one that can be written
        self.durable_folders: set[Path] = set()  # partitions whose names are known to survive a power cut
        file = paths.catalog_file
        n_bytes = _size(file)
        if not n_bytes:
            if has_event_files(paths):
                state = "missing" if n_bytes is None else "empty"
                raise CorruptStore(
                    f"the catalog {file} is {state}, though there are event files; put it back from a copy, "
                    "or import the files into a new store if another program wrote them"
                )
            if not create:
                raise NoCatalog(f"there is no store at {paths.data_dir}: it has no catalog {file}")
            paths.ensure_directories()
        if create:
            self._say_schema_version()  # first, so that no kill leaves a catalog without it
        try:
            self._db = _connected(str(file))
        except sqlite3.DatabaseError as error:
            if create or _size(file.with_name(f"{file.name}-wal")):
                raise self._explained(error) from error
            # On a full or a read-only disk SQLite cannot make the files that it shares with writers; where
            # there is no log of theirs, the catalog can be read as it stands.
            try:
                self._db = _connected(f"{file.as_uri()}?mode=ro&immutable=1", is_uri=True)
            except sqlite3.DatabaseError:
                raise self._explained(error) from error
            self._bring_up_to_date()
            return
        try:
            self._opened = _place(file)
            mode = self._begin()
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.DatabaseError):
                raise self._explained(error) from error
            raise
        if mode != "wal":
            raise VectraError(
                f"the catalog {file} cannot use SQLite's write-ahead log (it has {mode!r}): the file system, perhaps a "
                "network home, cannot share memory; put the store on a local disk with --data-dir or $RUGS_DATA_DIR"
            )

    def _say_schema_version(self) -> None:
        file = self.paths.manifests_dir / "schema_version.json"
        if not file.exists():
            try:
                write_whole(file, json.dumps({"schema_version": SCHEMA_VERSION}).encode() + b"\n")
            except OSError as error:
                raise VectraError(f"cannot write {file}: {error.strerror}") from error

    def _begin(self) -> str:
        """Make the tables where there are none; returns how SQLite keeps its journal."""
        self._run("PRAGMA synchronous = FULL")
        if self._run("PRAGMA user_version").fetchone()[0] == 0:
            mode = self._use_log()
            if mode != "wal":
                return mode  # without tables, so that whoever tries it next begins anew
            with self.transaction():
                # Another process may have been first while this one waited for the lock.
                if self._run("PRAGMA user_version").fetchone()[0] == 0:
                    self._check_is_new()
                    give_layout(self._db)
        (mode,) = self._run("PRAGMA journal_mode").fetchone()
        self._bring_up_to_date()
        return str(mode)

    def _check_is_new(self) -> None:
        if has_event_files(self.paths):  # the tables are durable before the first of them is there
            raise CorruptStore(
                f"the catalog {self.paths.catalog_file} has no tables, though there are event files; "
                "run vectra repair, or put it back from a copy"
            )

    def _use_log(self) -> str:
        # SQLite does not wait for a lock here, as it does elsewhere, when two processes begin together.
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                (mode,) = self._run("PRAGMA journal_mode = WAL").fetchone()
                return str(mode)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _bring_up_to_date(self) -> None:
        """Give the tables of an older layout the present one; raise where they are of another one."""
        layout = self._layout()
        if layout == 2:
            try:
                with self.transaction():
                    if self._layout() == 2:  # no other process has done it meanwhile
                        give_layout(self._db)
            except (sqlite3.OperationalError, VectraError) as error:
                if "readonly" not in str(error):
                    raise
                # Whoever may only read is given a copy in the present layout.
                copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                self._db.backup(copy)
                self._db.close()
                self._db = copy
                give_layout(self._db)
            layout = self._layout()
        if layout != _LAYOUT:
            raise VectraError(
                f"the catalog {self.paths.catalog_file} has layout {layout}, and this version of vectra_analytics "
                f"reads layout {_LAYOUT}; use the version that wrote it, or import the recordings into a new store"
            )

    def _layout(self) -> int:
        (layout,) = self._run("PRAGMA user_version").fetchone()
        return int(layout)

    def _explained(self, error: sqlite3.DatabaseError) -> VectraError:
        text = str(error)
        if "locked" in text or "busy" in text:
            return VectraError(
                f"another process has held the catalog {self.paths.catalog_file} for {_LOCK_SECONDS:.0f} s; "
                "wait for it to end, then try again"
            )
        if "not a database" in text or "malformed" in text:
            return CorruptStore(f"the catalog {self.paths.catalog_file} is damaged: {text}")
        return VectraError(f"cannot use the catalog {self.paths.catalog_file}: {text}")

    def _run(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        try:
            return self._db.execute(sql, parameters)
        except sqlite3.DatabaseError as error:
            if "malformed" in str(error) or "not a database" in str(error):
                raise self._explained(error) from error
            raise

    def close(self) -> None:
        """Give the SQLite file back."""
        self._db.close()

    def __enter__(self) -> "Catalog":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done inside becomes durable together, or not at all; one at a time in all processes."""
        try:
            self._run("BEGIN IMMEDIATE")
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from error
        try:
            self._check_place()
            yield
            self._check_place()
            self._run("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._run("ROLLBACK")
            raise

    def _check_place(self) -> None:
        """Raise where another file has come into the place of the one that is open; the next call has that one.

        A repair that makes the catalog anew holds the lock of the old one until the new one is in its place, so nobody
        can end a transaction on a file that no reader will look at.
        """
        file = self.paths.catalog_file
        place = _place(file)
        if self._opened in (None, place):  # None: it was opened to be read alone
            return
        if place is not None:
            there = _connected(str(file))
            self._db.close()
            self._db, self._opened = there, place
            self._run("PRAGMA synchronous = FULL")
            self._bring_up_to_date()
        raise VectraError(
            f"the catalog {file} is not the file that was opened: a repair has made it anew, or it was moved; "
            "nothing was changed, try again"
        )

    @property
    def connection(self) -> sqlite3.Connection:
        """For maintenance that has SQL of its own; to be used inside a transaction."""
        return self._db

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """All that is asked inside is answered as of one moment."""
        self._run("BEGIN")
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):
                self._run("COMMIT")

    # What a reader asks

    def version(self) -> int:
        """The newest store version; 0 before the first commit."""
        (version,) = self._run("SELECT coalesce(max(version), 0) FROM versions").fetchone()
        return int(version)

    def check_version(self, version: int) -> None:
        """Raise where ``version`` is none that can be read."""
        newest = self.version()
        if not 0 <= version <= newest:
            raise VectraError(f"the store at {self.paths.data_dir} has no version {version}; it has 0 to {newest}")
        if version and not self._run("SELECT 1 FROM versions WHERE version = ?", (version,)).fetchone():
            raise VersionVacuumed(
                f"version {version} of the store at {self.paths.data_dir} was vacuumed; read the newest one, or pin "
                "one with `vectra snapshot NAME` before files of it are superseded"
            )

    def readable_version(self, version: int | str) -> int:
        """The number of a version that can be read, or of the one that a snapshot of this name pins."""
        number = self.snapshot_version(version) if isinstance(version, str) else version
        self.check_version(number)
        return number

    def live_files(self, version: int) -> list[LiveFile]:
        """The files of ``version``, in the order they were added."""
        sql = f"SELECT {_FILE_COLUMNS} FROM files WHERE {_IS_LIVE} ORDER BY file_id"
        return [self._live_file(*row) for row in self._run(sql, (version,))]

    def game_rows(self, version: int, game_ids: Sequence[str] | None = None) -> list[GameRows]:
        """Where the rows of these games, or of all games, lie in the files of ``version``; file by file."""
        sql = (
            f"SELECT game_id, first_row, file_games.n_rows, {_FILE_COLUMNS} FROM file_games JOIN files USING (file_id)"
        )
        sql += f" WHERE {_IS_LIVE}"
        parameters: tuple[int | str, ...] = (version,)
        if game_ids is not None:
            sql += " AND game_id IN (SELECT value FROM json_each(?2))"
            parameters = (version, json.dumps(list(game_ids)))
        files: dict[int, LiveFile] = {}
        found = []
        for game_id, first_row, n_rows, file_id, *about in self._run(f"{sql} ORDER BY file_id, first_row", parameters):
            file = files.get(file_id)
            if file is None:
                file = files[file_id] = self._live_file(file_id, *about)
            found.append(GameRows(game_id, file, first_row, n_rows))
        return found

    def _live_file(self, file_id: int, path: str, *about: Any) -> LiveFile:
        return LiveFile(file_id, self.paths.events_parquet_dir / path, *about)

    def files_added(self, after: int, version: int) -> list[tuple[int, LiveFile]]:
        """The files that commits behind ``after``, up to ``version``, have brought, each with its commit's version.

        Superseded ones, too; those of compactions hold nothing new and are left out.

        Raises
        ------
        VersionVacuumed
            Where files of these commits may be deleted already.
        """
        (n_versions,) = self._run(
            "SELECT count(*) FROM versions WHERE version > ? AND version <= ?", (after, version)
        ).fetchone()
        if n_versions < version - after:
            raise VersionVacuumed(
                f"files that came to {self.paths.data_dir} behind version {after} may be deleted, since compaction "
                "replaced them; begin anew from the present version, and query what was before"
            )
        sql = (
            f"SELECT added, {_FILE_COLUMNS} FROM files WHERE added > ? AND added <= ? AND is_compacted = 0 "
            "ORDER BY added, file_id"
        )
        return [(added, self._live_file(*about)) for added, *about in self._run(sql, (after, version))]

    def game_ids(self, version: int) -> list[str]:
        """Every game that an event of ``version`` names, sorted."""
        rows = self._run(
            f"SELECT DISTINCT game_id FROM file_games JOIN files USING (file_id) WHERE {_IS_LIVE} ORDER BY game_id",
            (version,),
        )
        return [game_id for (game_id,) in rows]

    def n_rejected(self) -> int:
        """How many events and lines were refused so far."""
        (total,) = self._run("SELECT coalesce(sum(n_rejected), 0) FROM rejects").fetchone()
        return int(total)

    # What a commit asks and tells, inside a transaction

    def stored_runs(self, session_id: str, low: int, high: int) -> list[tuple[int, int, int]]:
        """The (first, last, step) of stored seqs that may meet ``low ... high``."""
        return self._run(
            "SELECT first, last, step FROM identities WHERE session_id = ? AND first <= ? AND last >= ?",
            (session_id, high, low),
        ).fetchall()

    def files_of_session(self, session_id: str, low: int, high: int) -> list[tuple[Path, str]]:
        """The live files (path, doc_type) that may hold the seqs ``low ... high`` of a session."""
        rows = self._run(
            "SELECT path, doc_type FROM file_sessions JOIN files USING (file_id) "
            "WHERE session_id = ? AND seq_min <= ? AND seq_max >= ? AND removed IS NULL",
            (session_id, high, low),
        )
        return [(self.paths.events_parquet_dir / path, doc_type) for path, doc_type in rows]

    def highest_seq(self, session_id: str) -> int | None:
        """The highest stored seq of a session, None for a new one."""
        (last,) = self._run("SELECT max(last) FROM identities WHERE session_id = ?", (session_id,)).fetchone()
        return last  # type: ignore[no-any-return]

    def complete_game(self, game_id: str) -> str | None:
        """The content hash of the stored complete game, if there is one."""
        row = self._run("SELECT content FROM complete_games WHERE game_id = ?", (game_id,)).fetchone()
        return row[0] if row else None

    def add_version(self, commit_id: str) -> int:
        """Open the next store version."""
        version = self.version() + 1
        self._run("INSERT INTO versions VALUES (?, ?, ?)", (version, _as_text(_now()), commit_id))
        return version

    def may_have(self, commit_id: str) -> bool:
        """Whether a commit, or its rejects, are durable after all; yes if that cannot be told."""
        sql = "SELECT 1 FROM versions WHERE commit_id = ?1 UNION ALL SELECT 1 FROM rejects WHERE name = ?1"
        try:
            return self._db.in_transaction or self._run(sql, (commit_id,)).fetchone() is not None
        except (sqlite3.Error, CorruptStore):
            return True

    def add_file(
        self,
        file: LiveFile,
        version: int,
        games: Iterable[tuple[str, int, int]],
        sessions: Iterable[tuple[str, int, int]],
    ) -> None:
        """Make a file live from ``version`` on; its ``file_id`` is the catalog's to give.

        Parameters
        ----------
        games, sessions
            The (game_id, first row, number of rows) and the (session_id, lowest, highest seq) in it.
        """
        file_id = self._run(
            "INSERT INTO files (path, doc_type, date, n_rows, n_bytes, ts_min, ts_max, sha256, is_compacted, added) "
            "VALUES (:path, :doc_type, :date, :n_rows, :n_bytes, :ts_min, :ts_max, :sha256, :is_compacted, :added)",
            {**asdict(file), "path": self._name(file.path), "added": version},
        ).lastrowid
        self._db.executemany(
            "INSERT INTO file_games VALUES (?, ?, ?, ?)", ((game, file_id, first, n) for game, first, n in games)
        )
        self._db.executemany(
            "INSERT INTO file_sessions VALUES (?, ?, ?, ?)",
            ((session, file_id, low, high) for session, low, high in sessions),
        )

    # What maintenance asks and tells

    def has_file(self, path: Path) -> bool:
        """Whether the catalog names this event file, live or superseded."""
        return self._run("SELECT 1 FROM files WHERE path = ?", (self._name(path),)).fetchone() is not None

    def _name(self, path: Path) -> str:
        return path.relative_to(self.paths.events_parquet_dir).as_posix()

    def commit_of(self, version: int) -> str | None:
        """The id of the commit that made a version; None of 0 and of one that was vacuumed."""
        row = self._run("SELECT commit_id FROM versions WHERE version = ?", (version,)).fetchone()
        return row[0] if row else None

    def has_commit(self, commit_id: str) -> bool:
        """Whether a version came of this commit, or was taken by this compaction."""
        return self._run("SELECT 1 FROM versions WHERE commit_id = ?", (commit_id,)).fetchone() is not None

    def sessions_in(self, files: Sequence[LiveFile]) -> list[tuple[str, int, int]]:
        """The (session_id, lowest, highest seq) in these files together."""
        return self._run(
            "SELECT session_id, min(seq_min), max(seq_max) FROM file_sessions "
            "WHERE file_id IN (SELECT value FROM json_each(?)) GROUP BY session_id",
            (_ids(files),),
        ).fetchall()

    def supersede(self, files: Sequence[LiveFile], version: int) -> bool:
        """End the life of these files with ``version``; False, and nothing done, where one is not live any more."""
        (n_live,) = self._run(
            "SELECT count(*) FROM files WHERE removed IS NULL AND file_id IN (SELECT value FROM json_each(?))",
            (_ids(files),),
        ).fetchone()
        if n_live != len(files):
            return False
        # The grace period begins now, not when the version was taken: between lies the rewriting.
        self._run(
            "UPDATE files SET removed = ?, removed_at = ? WHERE file_id IN (SELECT value FROM json_each(?))",
            (version, _now(), _ids(files)),
        )
        self._run("UPDATE versions SET committed_at = ? WHERE version = ?", (_as_text(_now()), version))
        return True

    def superseded(self) -> list[SupersededFile]:
        """All files that were live once and are not any more, and are still known."""
        rows = self._run(
            "SELECT path, n_bytes, added, removed, coalesce(removed_at, ?) FROM files WHERE removed IS NOT NULL "
            "ORDER BY file_id",
            (_now(),),
        )
        return [SupersededFile(self.paths.events_parquet_dir / path, *about) for path, *about in rows]

    def date_superseded(self) -> None:
        """Let the grace period of superseded files of which nobody said when, as a rebuilt catalog may, begin now."""
        self._run("UPDATE files SET removed_at = ? WHERE removed IS NOT NULL AND removed_at IS NULL", (_now(),))

    def n_versions(self, first: int, end: int) -> int:
        """How many of the versions from ``first`` to before ``end`` can be read."""
        (n_versions,) = self._run(
            "SELECT count(*) FROM versions WHERE version >= ? AND version < ?", (first, end)
        ).fetchone()
        return int(n_versions)

    def close_versions(self, first: int, end: int) -> None:
        """From now on the versions from ``first`` to before ``end`` cannot be read."""
        self._run("DELETE FROM versions WHERE version >= ? AND version < ?", (first, end))

    def forget(self, files: Sequence[Path]) -> None:
        """Drop what the catalog has of superseded files that are gone from the disk."""
        names = json.dumps(list(map(self._name, files)))
        ids = "(SELECT file_id FROM files WHERE path IN (SELECT value FROM json_each(?)) AND removed IS NOT NULL)"
        with self.transaction():
            for table in ("file_games", "file_sessions", "files"):
                self._run(f"DELETE FROM {table} WHERE file_id IN {ids}", (names,))

    def snapshots(self) -> list[tuple[str, int, int]]:
        """The (name, version, microseconds since 1970 when it was made) of each snapshot, the oldest first."""
        return self._run(
            "SELECT name, version, made_at FROM snapshots WHERE ended_at IS NULL ORDER BY made_at, name"
        ).fetchall()

    def snapshot_version(self, name: str) -> int:
        """The version that a snapshot pins."""
        pinned = {known: version for known, version, _ in self.snapshots()}
        if name not in pinned:
            there_are = f"there are {', '.join(sorted(pinned))}" if pinned else "there is none yet"
            raise VectraError(
                f"the store at {self.paths.data_dir} has no snapshot {name!r}; {there_are}; "
                "`vectra snapshot NAME` makes one"
            )
        return pinned[name]

    def add_snapshot(self, name: str, version: int) -> None:
        """Pin a version under this name."""
        self._run("INSERT INTO snapshots (name, version, made_at) VALUES (?, ?, ?)", (name, version, _now()))

    def end_snapshot(self, name: str) -> None:
        """Pin its version no longer than those who read it now may need it."""
        self._run("UPDATE snapshots SET ended_at = ? WHERE name = ? AND ended_at IS NULL", (_now(), name))

    def pinned_versions(self, before: int) -> list[int]:
        """The versions of all snapshots, those included that did not end before a time (us since 1970); ascending."""
        rows = self._run(
            "SELECT DISTINCT version FROM snapshots WHERE ended_at IS NULL OR ended_at >= ? ORDER BY version", (before,)
        )
        return [version for (version,) in rows]

    def forget_snapshots(self, before: int) -> None:
        """Drop what the catalog has of snapshots that ended before a time (us since 1970)."""
        self._run("DELETE FROM snapshots WHERE ended_at < ?", (before,))

    def games_in(self, files: Sequence[LiveFile]) -> set[str]:
        """Every game that an event in these files names."""
        rows = self._run(
            "SELECT DISTINCT game_id FROM file_games WHERE file_id IN (SELECT value FROM json_each(?))", (_ids(files),)
        )
        return {game_id for (game_id,) in rows}

    def paths_before(self, date: str) -> list[str]:
        """Every file of an earlier day, live or superseded, as a name below events_parquet."""
        return [path for (path,) in self._run("SELECT path FROM files WHERE date < ? ORDER BY path", (date,))]

    def add_prune(self, version: int, record: str) -> None:
        """Remember what ``version`` took out."""
        self._run("INSERT INTO prunes VALUES (?, ?)", (version, record))

    def list_prunes(self) -> None:
        """Write ``manifests/pruned.jsonl``, which says without the catalog what was taken out on purpose."""
        records = [record for (record,) in self._run("SELECT record FROM prunes ORDER BY version")]
        if records:
            write_whole(self.paths.manifests_dir / "pruned.jsonl", "".join(f"{line}\n" for line in records).encode())
            sync_folder(self.paths.manifests_dir)

    def back_up(self) -> None:
        """Keep a copy of the catalog beside it, made by SQLite itself, so that none of it can be torn."""
        self.list_prunes()
        with contextlib.closing(sqlite3.connect(":memory:")) as copy:
            self._db.backup(copy)
            content = copy.serialize()
        write_whole(self.paths.manifests_dir / "catalog.backup.sqlite", content)
        sync_folder(self.paths.manifests_dir)

    def add_run(self, session_id: str, first: int, last: int, step: int) -> None:
        """Remember the identities of newly stored rows; a run that goes on from an older one lengthens it."""
        before = self._run(
            "SELECT first, last, step FROM identities WHERE session_id = ? AND first < ? ORDER BY first DESC LIMIT 1",
            (session_id, first),
        ).fetchone()
        if before is not None:
            gap = first - before[1]
            if gap > 0 and (before[0] == before[1] or before[2] == gap) and (first == last or step == gap):
                self._run(
                    "UPDATE identities SET last = ?, step = ? WHERE session_id = ? AND first = ?",
                    (last, gap, session_id, before[0]),
                )
                return
        self._run("INSERT INTO identities VALUES (?, ?, ?, ?)", (session_id, first, last, step))

    def add_complete_game(self, game_id: str, content: str) -> None:
        """Remember that this game is stored."""
        self._run("INSERT INTO complete_games VALUES (?, ?)", (game_id, content))

    def add_rejects(self, name: str, n_rejected: int) -> None:
        """Count the lines of a finished file of rejects."""
        self._run("INSERT OR REPLACE INTO rejects VALUES (?, ?)", (name, n_rejected))


def has_event_files(paths: EventStorePaths) -> bool:
    """Whether there is any event file, whatever the catalog says."""
    return any(paths.events_parquet_dir.glob("*/*/*.parquet"))


def _now() -> int:
    return time.time_ns() // 1000


def _as_text(microseconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(microseconds // 1_000_000))


def _ids(files: Sequence[LiveFile]) -> str:
    return json.dumps([file.file_id for file in files])


def _connected(target: str, *, is_uri: bool = False) -> sqlite3.Connection:
    """A connection that has read from the database."""
    db = sqlite3.connect(target, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False, uri=is_uri)
    try:
        db.execute("PRAGMA user_version")
    except BaseException:
        db.close()
        raise
    return db


def _place(file: Path) -> tuple[int, int] | None:
    """Which file it is; None where there is none."""
    try:
        about = file.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise VectraError(f"cannot use the catalog {file}: {error.strerror}") from error


class NoCatalog(VectraError):
    """There is no store here yet."""
