"""repair: a damaged store becomes one that is as its catalog says; what is bad goes to quarantine."""

import contextlib
import fcntl
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from vectra_analytics.catalog import Catalog
from vectra_analytics.catalog_file import PRUNED, give_layout
from vectra_analytics.errors import CorruptStore, VectraError
from vectra_analytics.maintenance import quarantine
from vectra_analytics.maintenance.catalog_copy import CatalogCopy, copied, listed_prunes
from vectra_analytics.maintenance.examination import MOVE_BACK, Examination, Progress, examine
from vectra_analytics.maintenance.file_contents import Footer, NotOurs, is_of_machine
from vectra_analytics.maintenance.mending import (
    Outcome,
    add_prunes,
    count_rejects,
    is_missing,
    mend,
    revivable,
    time_text,
)
from vectra_analytics.maintenance.strays import Stray, claimed
from vectra_analytics.maintenance.taking_in import Choice, choose
from vectra_analytics.maintenance.time_and_errors import explained
from vectra_analytics.maintenance.vacuuming import GRACE
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.schema import SCHEMA_VERSION
from vectra_analytics.sound_files import games_text
from vectra_analytics.whole_files import sync_folder, write_whole

_LOCK_SECONDS = 60.0  # as long as a commit waits for another one
_BUILDING = ".catalog.sqlite."  # how the names of catalogs begin that are being made


@dataclass(slots=True)
class RepairReport:
    """What a repair did."""

    data_dir: str
    version: int = 0  # the newest one afterwards
    catalog_from: str | None = None  # what the catalog was made anew from: "backup" or "files"
    quarantined: list[dict[str, Any]] = field(default_factory=list)  # as in their records, with the place
    forgotten: list[dict[str, Any]] = field(default_factory=list)  # files that are missing
    revived: list[str] = field(default_factory=list)  # superseded files that are read instead of a bad one
    taken_in: list[str] = field(default_factory=list)  # files that the catalog did not know
    swept: list[str] = field(default_factory=list)  # leftovers of killed processes
    rejects_lost: list[str] = field(default_factory=list)  # files of refused lines that are missing
    versions_lost: list[int] = field(default_factory=list)  # that could be read before
    versions_before: int | None = None  # after a catalog is made from files alone: all versions below it are lost
    snapshots_lost: list[str] = field(default_factory=list)
    prunes_listed: bool = False  # manifests/pruned.jsonl is what the catalog says again, as after a prune cut off
    rows_lost: int = 0  # of the newest version
    games_affected: list[str] = field(default_factory=list)  # that had such rows
    changed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        if not self.changed:
            return "nothing to repair"
        lines = []
        if self.catalog_from is not None:
            source = "its backup and the files" if self.catalog_from == "backup" else "the files alone"
            lines.append(f"the catalog was made anew from {source}; the old one, if there was one, is in quarantine/")
        lines += [
            f"quarantined: {said['file']}: {said['reason']}{_rows_text(said)}; it is {said['place']}"
            for said in self.quarantined
        ]
        lines += [f"forgotten: {said['file']}: it is missing" for said in self.forgotten]
        for name, files in (("read again", self.revived), ("taken in", self.taken_in), ("swept", self.swept)):
            if files:
                lines.append(f"{name}: {len(files):,} {'file' if len(files) == 1 else 'files'}, {files[0]} the first")
        lines += [f"lost: the refused lines in manifests/rejects/{name}.jsonl" for name in self.rejects_lost]
        if self.versions_before is not None:
            lines.append(f"lost: all versions before {self.versions_before:,}, and all snapshots")
        if self.versions_lost:
            lines.append(f"lost: versions {_spans(self.versions_lost)}")
        if self.snapshots_lost:
            lines.append(f"lost: snapshots {', '.join(self.snapshots_lost)}")
        if self.prunes_listed:
            lines.append("written anew: manifests/pruned.jsonl, of what was pruned")
        if self.rows_lost:
            lines.append(
                f"{self.rows_lost:,} rows are not live any more, of {games_text(self.games_affected)}; "
                "import their recordings again to have them back"
            )
        return "\n".join([*lines, f"the store is at version {self.version:,}"])


def _rows_text(said: Mapping[str, Any]) -> str:
    return f" ({said['n_rows']:,} rows of {games_text(said['games'])})" if "games" in said else ""


def _spans(numbers: list[int]) -> str:
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in spans)


def repair(
    store: EventStorePaths | str | os.PathLike[str] | None = None,
    forget: bool = False,
    progress: Progress | None = None,
) -> RepairReport:
    """Make the store one that ``verify`` finds nothing wrong with.

    Bad event files, and files that are not the store's, are moved to ``quarantine/`` with a record of what they were;
    no file is deleted but leftovers of which every row is stored elsewhere. Their events can be imported again. Where
    a bad file was made by compaction, and the files that it replaced are still there, those are read again. A damaged
    or missing catalog is made anew from its backup and the footers of the files. docs/data-format.md has the rules.

    Parameters
    ----------
    store
        The store, or its folder; by default ``$RUGS_DATA_DIR``, else ``~/rugs_data``.
    forget
        Take files out of the catalog that are missing; without it they are an error, and nothing is changed.
    progress
        Called with (bytes looked at, bytes in all) after each file.

    Raises
    ------
    CorruptStore
        Where live files are missing and are not to be forgotten.
    VectraError
        Where there is no store, another repair is under way, or the store cannot be written.

    Notes
    -----
    It may be killed anywhere and run again. All that the catalog is to say differently is one transaction of SQLite's,
    or, where it is made anew, one rename of a finished file. Before that only records are written; after it files are
    moved and deleted that no version names. What a kill leaves of the latter, the next call finds as strays.

    Writers wait meanwhile: it holds SQLite's write lock, of the old catalog too if that can be opened. Who waited for
    the old one finds at the beginning and at the end of each transaction that another file is in its place, and begins
    anew with that. Two repairs exclude each other by a lock on the folder ``manifests``, which ends with the process.
    """
    paths = EventStorePaths.of(store)
    with explained("repair", paths), _alone(paths):
        report = RepairReport(str(paths.data_dir))
        try:
            catalog = copied(paths)
        except CorruptStore:
            _make_anew(paths, forget=forget, progress=progress, report=report)
        else:
            report.prunes_listed = not catalog.prunes_are_listed()
            if _is_fine(catalog, progress) and not report.prunes_listed:
                report.version = catalog.newest
                return report
            with Catalog(paths) as opened:
                with opened.transaction():
                    work = _Work(CatalogCopy(paths, opened.connection), forget=forget, report=report)
                    work.change(progress)
                work.clear_up()
        report.changed = True
        _write_schema_version(paths)
        with Catalog(paths) as opened:
            opened.back_up()
            report.version = opened.version()
        return report


@contextlib.contextmanager
def _alone(paths: EventStorePaths) -> Iterator[None]:
    if not paths.manifests_dir.is_dir() and paths.events_parquet_dir.is_dir():
        paths.ensure_directories()
    try:
        descriptor = os.open(paths.manifests_dir, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        raise VectraError(
            f"there is no store at {paths.data_dir}; name one with --data-dir or $RUGS_DATA_DIR"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise VectraError(f"another repair of {paths.data_dir} is under way; wait for it to end") from None
        for left in paths.manifests_dir.glob(f"{_BUILDING}*"):
            left.unlink()
        yield
    finally:
        os.close(descriptor)


def _is_fine(catalog: CatalogCopy, progress: Progress | None) -> bool:
    """Whether there is nothing to do, found out without keeping writers waiting."""
    found = examine(catalog, is_deep=True, progress=progress)
    commits = catalog.commit_ids()
    return not found.problems and all(_may_be_at_work(stray, commits) for stray in found.strays)


class _Work:
    """One change of a catalog, and what is to be done with files when it is durable."""

    def __init__(self, catalog: CatalogCopy, *, forget: bool, report: RepairReport) -> None:
        self._catalog = catalog
        self._paths = catalog.paths
        self._forget = forget
        self._report = report
        self.seen: set[str] = set()  # names of event files that are, or once were, there
        self._moves: list[tuple[Path, Path]] = []
        self._sweep: list[Path] = []

    def _check_read(self, faults: Mapping[str, str]) -> None:
        """Raise where it is not known whether a file is bad."""
        for name, fault in faults.items():
            if is_of_machine(fault):
                raise VectraError(
                    f"cannot repair {self._paths.data_dir}: events_parquet/{name} could not be looked at ({fault}); "
                    "mend that, or move the file elsewhere, then try again; nothing was changed"
                )

    def change(self, progress: Progress | None) -> None:
        """Look at everything, and change the catalog; inside a transaction."""
        found = examine(self._catalog, is_deep=True, progress=progress)
        self._check_read(found.bad)
        for folder in found.linked:
            raise VectraError(
                f"cannot repair {self._paths.data_dir}: events_parquet/{folder} is a link to another folder; "
                f"{MOVE_BACK}; nothing was changed"
            )
        mentioned = _mentioned(found)
        self.seen = {*mentioned, *(stray.name for stray in found.strays)}
        choice = choose(found, mentioned)
        self._check_read({stray.name: why for stray, why in choice.refuse})
        self._check_missing(found, choice)
        # Compactions go on without the lock while they write: what they have not exchanged yet is theirs.
        commits = self._catalog.commit_ids()
        theirs = {stray.name for stray in found.strays if _may_be_at_work(stray, commits)}
        choice.sweep = [stray for stray in choice.sweep if stray.name not in theirs]
        names = found.bad.keys() | found.doubled.keys() | choice.replaced
        games = {
            known.name: sorted(game for game, _, _ in self._catalog.games_of(known.file))
            for known in found.files
            if known.name in names
        }
        done = mend(found, choice, uuid.uuid4().hex)
        self._tell(found, choice, done, games)
        self._report.rejects_lost = count_rejects(self._catalog)
        listing = self._paths.manifests_dir / PRUNED
        if listed_prunes(listing)[1]:
            reason = "it has lines that cannot be read; what only these say was pruned may come back"
            self._quarantine(listing, {"file": f"manifests/{PRUNED}", "reason": reason})
        unfinished = [stray for stray in found.strays if stray.is_unfinished and stray.name not in theirs]
        for stray in [*choice.sweep, *unfinished]:
            self._sweep.append(stray.path)
            self._report.swept.append(f"events_parquet/{stray.name}")

    def _check_missing(self, found: Examination, choice: Choice) -> None:
        missing = [
            known
            for known in found.live
            if is_missing(found, known) and known.name not in choice.replaced and not revivable(found, known)
        ]
        if missing and not self._forget:
            games = sorted({game for known in missing for game, _, _ in self._catalog.games_of(known.file)})
            n_rows = sum(known.file.n_rows for known in missing)
            raise CorruptStore(
                f"{len(missing):,} live {'file is' if len(missing) == 1 else 'files are'} missing from "
                f"{self._paths.data_dir}, {missing[0].name} the first, with {n_rows:,} rows of {games_text(games)}; "
                "put them back from a copy; deleted on purpose? run vectra repair --forget"
            )

    def _tell(self, found: Examination, choice: Choice, done: Outcome, games: dict[str, list[str]]) -> None:
        report, lost = self._report, {known.name for known in done.lost}
        report.games_affected = sorted({game for name in lost for game in games[name]})
        for known in done.dropped:
            reason = found.bad.get(known.name) or found.doubled.get(known.name)
            said: dict[str, Any] = {
                "file": f"events_parquet/{known.name}",
                "reason": reason or "a file that was made of it has its rows",
                "doc_type": known.file.doc_type,
                "date": known.file.date,
                "n_rows": known.file.n_rows,
                "games": games[known.name],
                "was_live": known.removed is None,
                "rows_lost": known.file.n_rows if known.name in lost else 0,
                "sha256": known.file.sha256,
            }
            report.rows_lost += said["rows_lost"]
            if is_missing(found, known):
                if known.name not in choice.replaced:
                    report.forgotten.append(said)
            else:
                self._quarantine(known.file.path, said)
        for stray, reason in choice.refuse:
            of_rows: dict[str, Any] = {}
            if stray.name in choice.rows:
                rows = choice.rows[stray.name]
                of_rows = {"n_rows": rows.n_rows, "games": sorted({game for game, _, _ in rows.games})}
            self._quarantine(stray.path, {"file": f"events_parquet/{stray.name}", "reason": reason, **of_rows})
        report.revived = [f"events_parquet/{known.name}" for known in done.revived]
        report.taken_in = [f"events_parquet/{stray.name}" for stray, _ in choice.take]
        report.versions_lost = sorted(set(done.closed))
        report.snapshots_lost = done.snapshots

    def _quarantine(self, file: Path, said: dict[str, Any]) -> None:
        place = quarantine.announce(self._paths, file, said)
        self._moves.append((file, place))
        self._report.quarantined.append({**said, "place": place.relative_to(self._paths.data_dir).as_posix()})

    def clear_up(self) -> None:
        """Move and delete files which the catalog, now durable, does not name."""
        for file, place in self._moves:
            quarantine.move(file, place)
        for path in self._sweep:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in self._sweep}:
            sync_folder(folder)


def _may_be_at_work(stray: Stray, commits: set[str]) -> bool:
    try:
        is_young = time.time() - stray.path.stat().st_mtime < GRACE.total_seconds()
    except FileNotFoundError:
        return True
    if stray.is_unfinished:
        return is_young and stray.path.name.startswith(".000000_v")
    return is_young and bool(stray.replaced) and stray.footer is not None and stray.footer.commit_id in commits


def _mentioned(found: Examination) -> set[str]:
    """Names of event files that are, or once were, in the store."""
    names = {known.name for known in found.files} | found.catalog.prunes().paths
    names |= {name for stray in found.strays for name in stray.replaced}
    for known in found.files:
        with contextlib.suppress(NotOurs, OSError):
            if known.file.is_compacted:
                folder = known.name.rpartition("/")[0]
                names |= {f"{folder}/{name}" for name in Footer.of(known.file.path).replaces}
    names |= {str(said["file"]).removeprefix("events_parquet/") for said in quarantine.records(found.catalog.paths)}
    return names


def _make_anew(paths: EventStorePaths, *, forget: bool, progress: Progress | None, report: RepairReport) -> None:
    """Build a catalog beside the old one, and put it into its place."""
    new = paths.manifests_dir / f"{_BUILDING}{uuid.uuid4().hex[:12]}.part"
    with _held(paths.catalog_file):
        try:
            with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as db:
                catalog = CatalogCopy(paths, db)
                report.catalog_from = "backup" if _begin_with_backup(catalog) else "files"
                db.execute("BEGIN IMMEDIATE")
                give_layout(db)
                add_prunes(catalog, paths.manifests_dir / PRUNED)
                work = _Work(catalog, forget=forget, report=report)
                work.change(progress)
                _pass_over(catalog, work.seen)
                if report.catalog_from == "files":
                    report.versions_before = catalog.newest if catalog.newest > 1 else None
                    catalog.ask("DELETE FROM versions WHERE version < ?", (catalog.newest,))
                    report.versions_lost = []
                db.execute("COMMIT")
                db.execute("PRAGMA journal_mode = WAL")
            _sync(new)
            for old in (paths.catalog_file, *(_beside(paths.catalog_file, what) for what in ("wal", "shm"))):
                if old.exists():
                    said = {"file": f"manifests/{old.name}", "reason": "a repair made the catalog anew"}
                    quarantine.move(old, quarantine.announce(paths, old, said))
            os.rename(new, paths.catalog_file)
            sync_folder(paths.manifests_dir)
        finally:
            for part in (new, _beside(new, "wal"), _beside(new, "shm"), _beside(new, "journal")):
                part.unlink(missing_ok=True)
    work.clear_up()


def _pass_over(catalog: CatalogCopy, names: Iterable[str]) -> None:
    """Let the newest version be above all that ever were: a number that was given out means its own rows for good."""
    highest = max(claimed(names), default=0)
    if highest > catalog.newest:
        catalog.ask("INSERT INTO versions VALUES (?, ?, ?)", (highest + 1, time_text(), uuid.uuid4().hex))


def _beside(file: Path, what: str) -> Path:
    return file.with_name(f"{file.name}-{what}")


@contextlib.contextmanager
def _held(old: Path) -> Iterator[None]:
    """Keep writers from the old catalog, as far as it can still be opened; those who cannot open it store nothing."""
    if not old.exists():
        yield
        return
    with contextlib.closing(sqlite3.connect(old, timeout=_LOCK_SECONDS, isolation_level=None)) as db:
        with contextlib.suppress(sqlite3.DatabaseError):
            db.execute("BEGIN IMMEDIATE")
        yield


def _begin_with_backup(catalog: CatalogCopy) -> bool:
    backup = catalog.paths.manifests_dir / "catalog.backup.sqlite"
    if not backup.exists():
        return False
    try:
        with contextlib.closing(copied(catalog.paths, backup).db) as copy:
            copy.backup(catalog.db)
    except CorruptStore:
        return False
    catalog.db.execute("PRAGMA journal_mode = DELETE")
    return True


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_schema_version(paths: EventStorePaths) -> None:
    file = paths.manifests_dir / "schema_version.json"
    said = {"schema_version": SCHEMA_VERSION}
    with contextlib.suppress(FileNotFoundError, orjson.JSONDecodeError):
        if orjson.loads(file.read_bytes()) == said:
            return
    write_whole(file, orjson.dumps(said) + b"\n")
    sync_folder(paths.manifests_dir)
