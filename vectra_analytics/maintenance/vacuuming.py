"""vacuum: superseded files that nobody may need any more are deleted, and the versions that read them closed."""

import hashlib
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from vectra_analytics.catalog import Catalog
from vectra_analytics.errors import VectraError
from vectra_analytics.live_files import LiveFile, SupersededFile
from vectra_analytics.maintenance.file_contents import Footer, NotOurs
from vectra_analytics.maintenance.time_and_errors import explained, microseconds, time_of
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.whole_files import sync_folder

GRACE = timedelta(hours=24)
"""How long superseded files stay for readers that began before."""


@dataclass(slots=True)
class VacuumReport:
    """What a vacuum did, or would do."""

    files_deleted: int = 0
    bytes_deleted: int = 0
    versions_closed: int = 0  # that could be read until now
    files_waiting: int = 0  # superseded, and kept for readers that began within the grace period
    files_pinned: int = 0  # superseded before that, and kept for snapshots
    files_kept_for_repair: int = 0  # due, but a file that has their rows now is missing or damaged
    leftovers_deleted: int = 0  # of processes that were killed
    dry_run: bool = False  # nothing was done

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return asdict(self)


def vacuum(
    store: EventStorePaths | str | os.PathLike[str] | None = None,
    older_than: timedelta = GRACE,
    dry_run: bool = False,
    *,
    now: datetime | None = None,
) -> VacuumReport:
    """Delete the files that only versions need which nobody may read any more.

    A file that was superseded stays as long as a snapshot needs it, or a reader may that began within the grace
    period. A version can be read as long as no file is gone that was live in it. Files whose replacement is missing
    or damaged stay for :func:`~vectra_analytics.repair`, which reads them again.

    Parameters
    ----------
    store
        The store, or its folder; by default ``$RUGS_DATA_DIR``, else ``~/rugs_data``.
    older_than
        The grace period. A shorter one than :data:`GRACE` is safe where nobody is reading.
    dry_run
        Only say what would be done.
    now
        The time; by default the clock's.

    Raises
    ------
    VectraError
        Where there is no store, or it cannot be written; the same call then goes on.
    """
    paths = EventStorePaths.of(store)
    if not isinstance(older_than, timedelta) or older_than < timedelta(0):
        raise VectraError(f"older_than is {older_than!r}; give a timedelta of 0 or more, such as timedelta(hours=24)")
    with Catalog(paths) as catalog, explained("vacuum", paths):
        report = clear(catalog, time_of(now), older_than, dry_run=dry_run)
        if not dry_run:
            catalog.back_up()
    return report


def clear(catalog: Catalog, now: datetime, older_than: timedelta = GRACE, *, dry_run: bool = False) -> VacuumReport:
    """Do what :func:`vacuum` does, on an open catalog."""
    report = VacuumReport(dry_run=dry_run)
    sound = _Sound()
    # Writers may be at work whatever grace period was asked for: what they have not finished yet is left alone for
    # a day.
    leftovers = list(_leftovers(catalog, now - max(older_than, GRACE), sound))
    report.leftovers_deleted = len(leftovers)
    before = microseconds(now - older_than)
    with catalog.reading():
        standing = _standing(catalog, _unneeded(catalog, before, VacuumReport()))
    for file in standing:
        sound.check(file)  # all bytes, and so before the lock: event files never change
    with catalog.reading() if dry_run else catalog.transaction():
        due = _unneeded(catalog, before, report)
        unproven = {file.path.parent for file in _standing(catalog, due) if not sound.was(file)}
        gone = [file for file in due if file.path.parent not in unproven]
        report.files_kept_for_repair = len(due) - len(gone)
        spans = _joined((file.added, file.removed) for file in gone)
        report.versions_closed = sum(catalog.n_versions(*span) for span in spans)
        if not dry_run:
            catalog.date_superseded()
            catalog.forget_snapshots(before)
            for span in spans:
                catalog.close_versions(*span)
    # A kill from here on leaves files that no version reads: the next call finds them as this one did.
    if not dry_run:
        report.leftovers_deleted = _sweep(catalog, leftovers)
        gone = _delete(catalog, gone)
    report.files_deleted = len(gone)
    report.bytes_deleted = sum(file.n_bytes for file in gone)
    return report


class _Sound:
    """Which files have all their bytes, read once a vacuum."""

    def __init__(self) -> None:
        self._checked: dict[LiveFile, bool] = {}

    def check(self, file: LiveFile) -> bool:
        if file not in self._checked:
            try:
                with file.path.open("rb") as content:
                    self._checked[file] = hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
            except OSError:
                self._checked[file] = False
        return self._checked[file]

    def was(self, file: LiveFile) -> bool:
        """Whether it was found so; no file is that was not looked at."""
        return self._checked.get(file, False)


def _standing(catalog: Catalog, due: list[SupersededFile]) -> list[LiveFile]:
    """The live compacted files of the partitions of these: what has their rows, if they were not pruned."""
    folders = {file.path.parent for file in due}
    if not folders:
        return []
    live = catalog.live_files(catalog.version())
    return [file for file in live if file.is_compacted and file.path.parent in folders]


def _unneeded(catalog: Catalog, before: int, report: VacuumReport) -> list[SupersededFile]:
    """The files that were superseded before this time and that no snapshot needs."""
    pins = catalog.pinned_versions(before)
    due = []
    for file in catalog.superseded():
        place = bisect_left(pins, file.added)
        if file.removed_at >= before:
            report.files_waiting += 1
        elif place < len(pins) and pins[place] < file.removed:
            report.files_pinned += 1
        else:
            due.append(file)
    return due


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers in as few spans as will do; each is from its first number to before its second."""
    joined: list[tuple[int, int]] = []
    for first, end in sorted(set(spans)):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((first, end))
    return joined


def _delete(catalog: Catalog, files: list[SupersededFile]) -> list[SupersededFile]:
    """Delete and forget these; returns those that were deleted, which are not live again."""
    deleted: list[SupersededFile] = []
    if files:
        catalog.list_prunes()  # before a pruned file goes there is a word of it that does not need the catalog
    # Under the lock, so that no repair makes a file live between the look and the deletion; a folder at a time, so that
    # recorders do not wait for all of them. A kill inside leaves the rows of files that are gone, for the next call.
    for folder, some in groupby(sorted(files, key=lambda file: file.path), lambda file: file.path.parent):
        with catalog.transaction():
            gone = catalog.still_superseded(list(some))
            for file in gone:
                file.path.unlink(missing_ok=True)
            if folder.exists():
                sync_folder(folder)
            catalog.forget([file.path for file in gone])
        deleted += gone
    return deleted


def _sweep(catalog: Catalog, leftovers: list[Path]) -> int:
    """Delete these but for what the catalog knows by now, as after an exchange; returns how many."""
    if not leftovers:
        return 0
    with catalog.transaction():
        gone = [file for file in leftovers if not catalog.has_file(file)]
        for file in gone:
            file.unlink(missing_ok=True)
    return len(gone)


def _leftovers(catalog: Catalog, before: datetime, sound: _Sound) -> Iterator[Path]:
    """What killed processes have left: unfinished files, and new files of compactions that were not exchanged.

    A file of a commit that no version knows is none: if the catalog is older than the files, it is needed to repair it.
    """
    for file in catalog.paths.events_parquet_dir.glob("doc_type=*/date=*/*"):
        try:
            is_young = file.stat().st_mtime >= before.timestamp()
        except FileNotFoundError:  # a writer has finished it meanwhile, or another compaction has deleted it
            continue
        if is_young:
            continue
        is_unfinished = file.name.startswith(".") and file.suffix == ".part"
        if is_unfinished or (
            file.name.startswith("000000_v") and not catalog.has_file(file) and _is_spare(catalog, file, sound)
        ):
            yield file


def _is_spare(catalog: Catalog, file: Path, sound: _Sound) -> bool:
    """Whether a compaction wrote the file, and all its rows are in others that the catalog knows, or were pruned.

    An older catalog, put back from a copy, does not know a file that was exchanged later, and that may be the only one
    that has its rows by now.
    """
    missing = _replaced_by(file)
    if not missing:
        return False
    for known in catalog.files_beside(file):
        stands_for = {known.path} | (_replaced_by(known.path) if known.is_compacted else set())
        if missing & stands_for and sound.check(known):
            missing -= stands_for
    return not missing or missing <= catalog.pruned_files()


def _replaced_by(file: Path) -> set[Path]:
    """The files that a compacted file was made of; none where it is not ours, or cannot be read."""
    try:
        return {file.with_name(name) for name in Footer.of(file).replaces}
    except NotOurs:
        return set()
