"""Catalog: which event files are live at which store version. SQLite; the one truth that readers go by."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vectra_analytics.catalog_file import PRUNED, CatalogFile
from vectra_analytics.errors import CorruptStore, VectraError, VersionVacuumed
from vectra_analytics.live_files import GameRows, LiveFile, SupersededFile
from vectra_analytics.whole_files import sync_folder, write_whole

_FILE_COLUMNS = "file_id, path, doc_type, date, files.n_rows AS n_rows, n_bytes, ts_min, ts_max, sha256, is_compacted"
_IS_LIVE = "added <= ?1 AND (removed IS NULL OR removed > ?1)"


class Catalog(CatalogFile):
    """The catalog of one store; each thread should have its own."""

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

    def still_superseded(self, files: Sequence[SupersededFile]) -> list[SupersededFile]:
        """Those of these files that have the same life as before, and are not live again."""
        names = json.dumps([self._name(file.path) for file in files])
        rows = self._run(
            "SELECT path, added, removed FROM files WHERE path IN (SELECT value FROM json_each(?))", (names,)
        )
        lives = set(rows)
        return [file for file in files if (self._name(file.path), file.added, file.removed) in lives]

    def files_beside(self, path: Path) -> list[LiveFile]:
        """All files of the partition in whose folder ``path`` lies, live or superseded."""
        doc_type, date = (folder.name.partition("=")[2] for folder in (path.parents[1], path.parent))
        sql = f"SELECT {_FILE_COLUMNS} FROM files WHERE doc_type = ? AND date = ? ORDER BY file_id"
        return [self._live_file(*row) for row in self._run(sql, (doc_type, date))]

    def pruned_files(self) -> set[Path]:
        """The files whose rows were taken out on purpose."""
        records = self._run("SELECT record FROM prunes").fetchall()
        return {self.paths.events_parquet_dir / name for (record,) in records for name in json.loads(record)["files"]}

    def forget(self, files: Sequence[Path]) -> None:
        """Drop, in a transaction, what the catalog has of superseded files that are gone from the disk."""
        names = json.dumps(list(map(self._name, files)))
        ids = "(SELECT file_id FROM files WHERE path IN (SELECT value FROM json_each(?)) AND removed IS NOT NULL)"
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
            write_whole(self.paths.manifests_dir / PRUNED, "".join(f"{line}\n" for line in records).encode())
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


def _now() -> int:
    return time.time_ns() // 1000


def _as_text(microseconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(microseconds // 1_000_000))


def _ids(files: Sequence[LiveFile]) -> str:
    return json.dumps([file.file_id for file in files])
