"""The catalog as it is at one moment, read without changing anything: what verification asks."""

import contextlib
import json
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vectra_analytics.catalog_file import LAYOUTS, PRUNED, NoCatalog, was_a_store
from vectra_analytics.errors import CorruptStore, VectraError
from vectra_analytics.live_files import LiveFile
from vectra_analytics.paths import EventStorePaths


@dataclass(frozen=True, slots=True)
class KnownFile:
    """An event file as the catalog has it."""

    file: LiveFile
    name: str  # below events_parquet
    added: int
    removed: int | None  # None while live


class Prunes(NamedTuple):
    """What was taken out on purpose, and must not come back."""

    paths: set[str]  # below events_parquet
    identities: dict[str, list[tuple[int, int, int]]]  # by session: first, last, step
    complete_games: dict[str, str]  # with the hash of their story


class CatalogCopy:
    """Questions to a catalog that nobody else changes.

    Parameters
    ----------
    db
        A connection to the copy, or to the catalog itself in a transaction.
    """

    def __init__(self, paths: EventStorePaths, db: sqlite3.Connection) -> None:
        self.paths = paths
        self.db = db

    def ask(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of an answer."""
        return self.db.execute(sql, parameters).fetchall()

    def number(self, sql: str) -> int:
        """An answer that is one number."""
        ((found,),) = self.ask(sql)
        return int(found or 0)

    @property
    def newest(self) -> int:
        """The newest store version."""
        return self.number("SELECT max(version) FROM versions")

    def commit_ids(self) -> set[str]:
        """The commits that made the versions that are still kept."""
        return {commit_id for (commit_id,) in self.ask("SELECT commit_id FROM versions")}

    def files(self) -> list[KnownFile]:
        """All files, in the order they were added."""
        rows = self.ask(
            "SELECT file_id, path, doc_type, date, n_rows, n_bytes, ts_min, ts_max, sha256, is_compacted, added, "
            "removed FROM files ORDER BY file_id"
        )
        return [
            KnownFile(LiveFile(file_id, self.paths.events_parquet_dir / name, *about), name, added, removed)
            for file_id, name, *about, added, removed in rows
        ]

    def games_of(self, file: LiveFile) -> list[tuple[str, int, int]]:
        """The games of a file, with the first row and the number of rows; in the order of their rows."""
        sql = "SELECT game_id, first_row, n_rows FROM file_games WHERE file_id = ? ORDER BY first_row"
        return self.ask(sql, (file.file_id,))

    def sessions_of(self, file: LiveFile) -> list[tuple[str, int, int]]:
        """The sessions of a file with their lowest and highest seq, sorted."""
        sql = "SELECT session_id, seq_min, seq_max FROM file_sessions WHERE file_id = ? ORDER BY session_id"
        return self.ask(sql, (file.file_id,))

    def identities(self) -> dict[str, list[tuple[int, int, int]]]:
        """All stored identities: by session, runs of seqs (first, last, step)."""
        found: dict[str, list[tuple[int, int, int]]] = {}
        for session_id, *run in self.ask("SELECT session_id, first, last, step FROM identities"):
            found.setdefault(session_id, []).append((run[0], run[1], run[2]))
        return found

    def complete_games(self) -> dict[str, str]:
        """The games whose story is stored, with its hash."""
        return dict(self.ask("SELECT game_id, content FROM complete_games"))

    def prunes(self) -> Prunes:
        """What was pruned, whether or not its files are still there."""
        return prunes_of([json.loads(record) for record in self._records_of_prunes()])

    def prunes_are_listed(self) -> bool:
        """Whether ``manifests/pruned.jsonl`` says the same; a prune that was cut off did not come to it."""
        wanted = "".join(f"{record}\n" for record in self._records_of_prunes())
        listed = self.paths.manifests_dir / PRUNED
        return not wanted or (listed.is_file() and listed.read_bytes() == wanted.encode())

    def _records_of_prunes(self) -> list[str]:
        if not self.ask("SELECT 1 FROM sqlite_master WHERE name = 'prunes'"):  # an older layout
            return []
        return [record for (record,) in self.ask("SELECT record FROM prunes ORDER BY version")]


_OF_A_PRUNE = {"store_version", "commit_id", "files", "identities", "complete_games"}


def listed_prunes(listing: Path) -> tuple[list[tuple[str, dict[str, Any]]], int]:
    """The lines of ``manifests/pruned.jsonl`` with their records, and how many lines more cannot be read."""
    found, n_bad = [], 0
    for line in listing.read_bytes().split(b"\n") if listing.exists() else ():
        try:
            record = json.loads(line) if line else None
        except ValueError:
            record = {}
        if isinstance(record, dict) and record.keys() >= _OF_A_PRUNE:
            found.append((line.decode(), record))
        elif line:
            n_bad += 1
    return found, n_bad


def prunes_of(records: list[dict[str, Any]]) -> Prunes:
    """What these records of prunes say together."""
    found = Prunes(set(), {}, {})
    for record in records:
        found.paths.update(record["files"])
        found.complete_games.update(record["complete_games"])
        for session_id, runs in record["identities"].items():
            found.identities.setdefault(session_id, []).extend((first, last, step) for first, last, step in runs)
    return found


def copied(paths: EventStorePaths, file: Path | None = None) -> CatalogCopy:
    """The catalog, or another file of its kind, as it is now, in memory.

    Nothing is written into the store. Where no process has the catalog open (there is no ``-wal`` beside it), SQLite
    reads it as a file that cannot change. Else it reads it together with the log, through the memory that processes
    share (``-shm``), which it opens for reading alone. It takes SQLite's shared locks meanwhile, which hold up no
    writer, and leaves no trace; only where this very process has the catalog open for writing does SQLite note in the
    shared memory, which is none of the store's content, how far somebody reads. A log without that memory, of a store
    that was copied, or with one that a killed process left unfinished, is read from a copy in the temporary folder.

    Raises
    ------
    NoCatalog
        Where there is none, and no event files either.
    CorruptStore
        Where it is missing, empty or damaged.
    VectraError
        Where it cannot be read, or another version of this package wrote it.
    """
    file = paths.catalog_file if file is None else file
    try:
        if not file.exists() or not file.stat().st_size:
            raise _absent(paths, file)
        db = _read(file)
        _check(db, paths, file)
    except sqlite3.DatabaseError as error:
        if any(word in str(error) for word in ("not a database", "malformed", "disk image")):
            raise CorruptStore(f"the catalog {file} is damaged: {error}") from error
        raise VectraError(f"cannot use the catalog {file}: {error}") from error
    except OSError as error:
        raise VectraError(f"cannot use the catalog {file}: {error.strerror}") from error
    return CatalogCopy(paths, db)


def _read(file: Path) -> sqlite3.Connection:
    log, memory = (file.with_name(f"{file.name}-{what}") for what in ("wal", "shm"))
    for is_last in (False, False, True):  # processes may come or go just then
        try:
            if not log.exists():
                db = _in_memory(file, "immutable=1")
                if not log.exists():
                    return db
                db.close()
            if memory.exists():
                try:
                    return _in_memory(file, "readonly_shm=1")
                except sqlite3.OperationalError as error:
                    # Whoever had it open was killed, and this memory has to be made anew, which is writing.
                    if "locking protocol" not in str(error):
                        raise
            with tempfile.TemporaryDirectory(prefix="vectra-") as folder:
                for part in (file, log):
                    shutil.copyfile(part, Path(folder, part.name))
                return _in_memory(Path(folder, file.name), "cache=private")
        except (sqlite3.OperationalError, FileNotFoundError):
            if is_last:
                raise
    raise AssertionError("the last attempt returns or raises")


def _absent(paths: EventStorePaths, file: Path) -> VectraError:
    if was_a_store(paths):
        return CorruptStore(f"the catalog {file} is {'empty' if file.exists() else 'missing'}")
    return NoCatalog(f"there is no store at {paths.data_dir}: it has no catalog {file}")


def _in_memory(file: Path, how: str) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro&{how}", uri=True)) as db:
            db.backup(copy)
    except BaseException:
        copy.close()
        raise
    return copy


def _check(db: sqlite3.Connection, paths: EventStorePaths, file: Path) -> None:
    faults = [fault for (fault,) in db.execute("PRAGMA integrity_check(3)") if fault != "ok"]
    if faults:
        raise CorruptStore(f"the catalog {file} is damaged: {'; '.join(' '.join(fault.split()) for fault in faults)}")
    (layout,) = db.execute("PRAGMA user_version").fetchone()
    if layout == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
        if not was_a_store(paths):  # a process was killed that had just begun to make the store
            raise NoCatalog(f"there is no store at {paths.data_dir}: its catalog {file} has no tables yet")
        raise CorruptStore(f"the catalog {file} is damaged: it has no tables")
    if layout not in LAYOUTS:
        raise VectraError(
            f"the catalog {file} has layout {layout}, and this version of vectra_analytics reads "
            f"{' and '.join(map(str, LAYOUTS))}; use the version that wrote it"
        )
