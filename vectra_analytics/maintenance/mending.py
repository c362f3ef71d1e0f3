"""Making a catalog say what the sound files of its store hold; SQL inside a transaction of the caller's."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from vectra_analytics.commit import runs_of
from vectra_analytics.live_files import MISSING
from vectra_analytics.maintenance.catalog_copy import CatalogCopy, KnownFile, listed_prunes
from vectra_analytics.maintenance.examination import Examination, seqs_of
from vectra_analytics.maintenance.file_contents import Rows
from vectra_analytics.maintenance.strays import Stray
from vectra_analytics.maintenance.taking_in import Choice


@dataclass(slots=True)
class Outcome:
    """What the catalog was changed by."""

    version: int | None = None  # the new one, where the newest had to change
    lost: list[KnownFile] = field(default_factory=list)  # live files whose rows are gone from the newest version
    revived: list[KnownFile] = field(default_factory=list)  # superseded files that are read again
    dropped: list[KnownFile] = field(default_factory=list)  # files that the catalog names no more
    closed: list[int] = field(default_factory=list)  # versions that cannot be read any more
    snapshots: list[str] = field(default_factory=list)  # that pinned one of these


def revivable(found: Examination, known: KnownFile) -> list[KnownFile]:
    """The superseded files that have all rows of a bad compacted one; none if they are not all sound."""
    before = [
        other for other in found.files if other.removed == known.added and other.file.partition == known.file.partition
    ]
    is_all = sum(other.file.n_rows for other in before) == known.file.n_rows
    return before if is_all and all(other.name in found.rows for other in before) else []


def mend(found: Examination, choice: Choice, commit_id: str) -> Outcome:
    """Take out what is bad, take in what was chosen, and make the tables about rows anew."""
    catalog, done = found.catalog, Outcome()
    newest = catalog.newest
    live = {known.name for known in found.live}
    for known in found.files:
        if known.name in found.bad or known.name in found.doubled or known.name in choice.replaced:
            done.dropped.append(known)
            is_live = known.removed is None
            if not (is_live and known.name in choice.replaced):  # else later versions read what is taken in
                done.closed += _close(catalog, known.added, newest + 1 if known.removed is None else known.removed)
            if is_live and known.name not in choice.replaced:
                back = revivable(found, known)
                done.revived += back
                done.lost += [] if back else [known]
    for known in done.dropped:
        for table in ("file_games", "file_sessions", "files"):
            catalog.ask(f"DELETE FROM {table} WHERE file_id = ?", (known.file.file_id,))
    for known in done.revived:
        catalog.ask("UPDATE files SET removed = NULL, removed_at = NULL WHERE file_id = ?", (known.file.file_id,))
    _take_in(catalog, [stray for stray, has_version in choice.take if has_version], choice, done, None)
    late = [stray for stray, has_version in choice.take if not has_version]
    if late or live & {known.name for known in done.dropped} - choice.replaced:
        done.version = max(newest, catalog.newest) + 1  # the newest one may have been closed
        catalog.ask("INSERT INTO versions VALUES (?, ?, ?)", (done.version, time_text(), commit_id))
        _take_in(catalog, late, choice, done, done.version)
    for known in found.files:
        if known.name in found.misindexed and known.name in found.rows:
            _index(catalog, known.file.file_id, found.rows[known.name])
    names = (live - {known.name for known in done.dropped}) | {known.name for known in done.revived}
    rows = [found.rows[name] for name in sorted(names)] + [choice.rows[stray.name] for stray, _ in choice.take]
    _tell_identities(catalog, rows)
    done.snapshots = _end_snapshots(catalog)
    return done


def _close(catalog: CatalogCopy, first: int, end: int) -> list[int]:
    versions = catalog.ask("SELECT version FROM versions WHERE version >= ? AND version < ?", (first, end))
    catalog.ask("DELETE FROM versions WHERE version >= ? AND version < ?", (first, end))
    return [version for (version,) in versions]


def _take_in(catalog: CatalogCopy, strays: Iterable[Stray], choice: Choice, done: Outcome, version: int | None) -> None:
    for stray in strays:
        assert stray.footer is not None
        added = stray.footer.version if version is None else version
        if version is None:
            catalog.ask(
                "INSERT OR IGNORE INTO versions VALUES (?, ?, ?)",
                (added, time_text(stray.path.stat().st_mtime), stray.footer.commit_id),
            )
        if stray.replaced:
            # Until then these rows were read from files that are gone.
            done.closed += _close(catalog, 0, added)
        hashes = choice.hashes[stray.name]
        catalog.ask(
            "INSERT INTO files (path, doc_type, date, n_rows, n_bytes, ts_min, ts_max, sha256, is_compacted, added) "
            "VALUES (?, ?, ?, 0, ?, 0, 0, ?, ?, ?)",
            (
                stray.name,
                stray.doc_type,
                stray.date,
                hashes.n_bytes,
                hashes.sha256,
                int(bool(stray.replaced)),
                added,
            ),
        )
        _index(catalog, catalog.number("SELECT last_insert_rowid()"), choice.rows[stray.name])


def _index(catalog: CatalogCopy, file_id: int, rows: Rows) -> None:
    """Write what the rows of a file say."""
    catalog.ask(
        "UPDATE files SET n_rows = ?, ts_min = ?, ts_max = ? WHERE file_id = ?",
        (rows.n_rows, rows.ts_min, rows.ts_max, file_id),
    )
    catalog.ask("DELETE FROM file_games WHERE file_id = ?", (file_id,))
    catalog.ask("DELETE FROM file_sessions WHERE file_id = ?", (file_id,))
    games = ((game_id, file_id, first, n_rows) for game_id, first, n_rows in rows.games)
    catalog.db.executemany("INSERT INTO file_games VALUES (?, ?, ?, ?)", games)
    sessions = ((session_id, file_id, low, high) for session_id, low, high in rows.sessions)
    catalog.db.executemany("INSERT INTO file_sessions VALUES (?, ?, ?, ?)", sessions)


def _tell_identities(catalog: CatalogCopy, live: list[Rows]) -> None:
    """What is stored, from the rows; what was pruned counts as stored, so that it stays gone."""
    pruned = catalog.prunes()
    seqs: dict[str, list[int]] = {session: seqs_of(runs).tolist() for session, runs in pruned.identities.items()}
    for rows in live:
        for session_id, some in rows.seqs.items():
            seqs.setdefault(session_id, []).extend(some.tolist())
    catalog.ask("DELETE FROM identities")
    for session_id, found in seqs.items():
        runs = ((session_id, *run) for run in runs_of(sorted(set(found))))
        catalog.db.executemany("INSERT INTO identities VALUES (?, ?, ?, ?)", runs)
    stories = {game_id: content for rows in live for game_id, content in rows.complete_games}
    catalog.ask("DELETE FROM complete_games")
    catalog.db.executemany("INSERT INTO complete_games VALUES (?, ?)", (stories | pruned.complete_games).items())


def _end_snapshots(catalog: CatalogCopy) -> list[str]:
    gone = "version > 0 AND version NOT IN (SELECT version FROM versions)"
    names = catalog.ask(f"SELECT name FROM snapshots WHERE ended_at IS NULL AND {gone} ORDER BY name")
    catalog.ask(f"DELETE FROM snapshots WHERE {gone}")
    return [name for (name,) in names]


def count_rejects(catalog: CatalogCopy) -> list[str]:
    """Let the catalog name the files of rejects that there are; returns those that are missing."""
    folder = catalog.paths.rejects_dir
    missing = [name for (name,) in catalog.ask("SELECT name FROM rejects") if not (folder / f"{name}.jsonl").is_file()]
    catalog.ask("DELETE FROM rejects")
    counted = ((file.stem, len(file.read_bytes().splitlines())) for file in sorted(folder.glob("*.jsonl")))
    catalog.db.executemany("INSERT INTO rejects VALUES (?, ?)", counted)
    return missing


def add_prunes(catalog: CatalogCopy, listing: Path) -> None:
    """Take out of the catalog what ``manifests/pruned.jsonl`` says was pruned after the catalog was copied."""
    for line, record in listed_prunes(listing)[0]:
        version = record["store_version"]
        if catalog.ask("SELECT 1 FROM prunes WHERE version = ?", (version,)):
            continue
        catalog.ask("INSERT INTO prunes VALUES (?, ?)", (version, line))
        for name in record["files"]:
            catalog.ask("UPDATE files SET removed = ? WHERE path = ? AND removed IS NULL", (version, name))
        catalog.ask("INSERT OR IGNORE INTO versions VALUES (?, ?, ?)", (version, time_text(), record["commit_id"]))


def is_missing(found: Examination, known: KnownFile) -> bool:
    """Whether the file is gone, and no more than that."""
    return found.bad.get(known.name) == MISSING


def time_text(seconds: float | None = None) -> str:
    """A time as the catalog has it; by default now."""
    time = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
