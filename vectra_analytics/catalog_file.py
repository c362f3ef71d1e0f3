"""The SQLite file of a catalog: its tables, how it is opened, and how it is changed by one process at a time."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from vectra_analytics.errors import CorruptStore, VectraError
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.schema import SCHEMA_VERSION
from vectra_analytics.whole_files import write_whole

_LOCK_SECONDS = 60.0  # how long one commit waits for another process's to end
_WRITE_LOCK = "120"  # the byte of a write-ahead log's index that a writer locks, as SQLite's format has it
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


class CatalogFile:
    """The SQLite file of one store's catalog, open; each thread should have its own."""

    def __init__(self, paths: EventStorePaths, *, create: bool = False) -> None:
        self.paths = paths
        self._opened: tuple[int, int] | None = None  # which file it is, of one that can be written
        self._is_copy = False  # in memory, to be read alone
        self.durable_folders: set[Path] = set()  # partitions whose names are known to survive a power cut
        file = paths.catalog_file
        n_bytes = _size(file)
        if not n_bytes:
            if was_a_store(paths):
                state = "missing" if n_bytes is None else "empty"
                if not has_event_files(paths):
                    raise CorruptStore(
                        f"the catalog {file} is {state}, though there was one; put it back from a copy, "
                        "or run vectra repair, which makes it anew"
                    )
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
            if create:
                self._check_can_be_changed()  # a writer would take events that can never be stored
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
        if was_a_store(self.paths):  # the tables are durable before the first event file is there
            raise CorruptStore(
                f"the catalog {self.paths.catalog_file} has no tables, though it had; "
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
                if not _is_read_only(error):
                    raise
                # Whoever may only read is given a copy in the present layout, in which nothing can be acknowledged.
                copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                self._db.backup(copy)
                self._db.close()
                self._db, self._is_copy = copy, True
                give_layout(self._db)
                self._run("PRAGMA query_only = ON")
            layout = self._layout()
        if layout != _LAYOUT:
            raise VectraError(
                f"the catalog {self.paths.catalog_file} has layout {layout}, and this version of vectra_analytics "
                f"reads layout {_LAYOUT}; use the version that wrote it, or import the recordings into a new store"
            )

    def _check_can_be_changed(self) -> None:
        if self._is_copy:
            file = self.paths.catalog_file
            raise VectraError(
                f"cannot change the store: its catalog {file} has layout 2 and cannot be written, so it can only be "
                f"read; make {file.name} and its folder writable, then the same call brings it to layout {_LAYOUT}"
            )

    def _layout(self) -> int:
        (layout,) = self._run("PRAGMA user_version").fetchone()
        return int(layout)

    def _explained(self, error: sqlite3.DatabaseError) -> VectraError:
        text = str(error)
        if "locked" in text or "busy" in text:
            return VectraError(
                f"the catalog {self.paths.catalog_file} has been held for {_LOCK_SECONDS:.0f} s by "
                f"{_holder(self.paths.catalog_file)}; wait for it to end, then try again"
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done inside becomes durable together, or not at all; one at a time in all processes."""
        self._check_can_be_changed()
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


def has_event_files(paths: EventStorePaths) -> bool:
    """Whether there is any event file, whatever the catalog says."""
    return any(paths.events_parquet_dir.glob("*/*/*.parquet"))


def was_a_store(paths: EventStorePaths) -> bool:
    """Whether something was stored there, whatever is left of it; all of it may have been pruned."""
    left = ("catalog.backup.sqlite", PRUNED)
    return has_event_files(paths) or any((paths.manifests_dir / name).exists() for name in left)


PRUNED = "pruned.jsonl"
"""In ``manifests``: what was taken out on purpose."""


def _connected(target: str, *, is_uri: bool = False) -> sqlite3.Connection:
    """A connection that has read from the database."""
    db = sqlite3.connect(target, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False, uri=is_uri)
    try:
        db.execute("PRAGMA user_version")
    except BaseException:
        db.close()
        raise
    return db


def _is_read_only(error: BaseException) -> bool:
    """Whether SQLite, by its own code, could not write; its texts are of the disk and of names, too."""
    said = error.__cause__ if isinstance(error, VectraError) else error
    return isinstance(said, sqlite3.Error) and getattr(said, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY


def _holder(file: Path) -> str:
    """Who changes the database: a process by its number and name, where Linux tells."""
    # Asked of the system, since opening and closing the file would end the locks that this process has of it.
    with contextlib.suppress(OSError, ValueError, StopIteration):
        place = f":{file.with_name(f'{file.name}-shm').stat().st_ino}"
        locks = (line.split() for line in Path("/proc/locks").read_text(encoding="utf-8").splitlines())
        number = next(
            int(lock[-4])
            for lock in locks
            if lock[-3].endswith(place) and "WRITE" in lock and lock[-2] == lock[-1] == _WRITE_LOCK
        )
        name = Path(f"/proc/{number}/comm").read_text(encoding="utf-8").strip()
        return f"process {number} ({name})"
    return "another process"


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
