"""verify: say of every file of a store whether it is what the catalog says, and change nothing."""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vectra_analytics.catalog_file import NoCatalog
from vectra_analytics.errors import CorruptStore
from vectra_analytics.maintenance.catalog_copy import copied
from vectra_analytics.maintenance.examination import Examination, Problem, Progress, closed_in, examine, stray_problems
from vectra_analytics.paths import EventStorePaths


@dataclass(slots=True)
class VerifyReport:
    """What a verification found."""

    data_dir: str
    deep: bool
    version: int | None = None  # that was looked at; None where the catalog cannot be read
    n_files: int = 0  # live and superseded
    n_rows: int = 0  # of live files
    n_bytes: int = 0  # of all files
    problems: list[Problem] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)  # of killed or running processes: never read, no problem

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return {**asdict(self), "is_sound": self.is_sound}

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems]
        how = "every byte was read" if self.deep else "sizes, footers and counts were compared; --deep reads every byte"
        if self.version is not None:
            verdict = f"{len(self.problems):,} problems" if self.problems else "all is as it should be"
            size = f"{self.n_files:,} files, {self.n_rows:,} rows, {self.n_bytes / 1e6:,.1f} MB"
            lines.append(f"version {self.version:,}, {size}: {verdict} ({how})")
        if self.leftovers:
            lines.append(
                f"{len(self.leftovers):,} leftovers of killed or running processes, which no reader sees: "
                "vectra repair clears them"
            )
        return "\n".join(lines)


def verify(
    store: EventStorePaths | str | os.PathLike[str] | None = None,
    deep: bool = False,
    progress: Progress | None = None,
) -> VerifyReport:
    """Hold the catalog and the files of a store against each other.

    Nothing is written, not even by SQLite: :func:`~vectra_analytics.maintenance.catalog_copy.copied` says how the
    catalog is read. Recording, compaction and queries may go on meanwhile.

    Parameters
    ----------
    store
        The store, or its folder; by default ``$RUGS_DATA_DIR``, else ``~/rugs_data``.
    deep
        Read every byte: the SHA-256 of each file, the checksums of its pages and all that the catalog says of its
        rows. Without it, sizes, footers and numbers of rows are compared.
    progress
        Called with (bytes looked at, bytes in all) after each file.

    Returns
    -------
    VerifyReport
        Its ``problems`` name each file that is damaged, missing or not the catalog's, and what to do.

    Raises
    ------
    VectraError
        Where there is no store, or its catalog cannot be opened for a reason that is no damage.
    """
    paths = EventStorePaths.of(store)
    report = VerifyReport(str(paths.data_dir), deep)
    try:
        catalog = copied(paths)
    except NoCatalog:
        raise
    except CorruptStore as error:
        what = str(error).removeprefix(f"the catalog {paths.catalog_file} ")
        report.problems.append(
            Problem("manifests/catalog.sqlite", what, "run vectra repair, which makes it anew from the files")
        )
        return report
    found = examine(catalog, is_deep=deep, progress=progress)
    _forgive_the_moment(found)
    strays = list(stray_problems(found))
    at_fault = {problem.file for problem in strays}
    report.version = catalog.newest
    report.n_files = len(found.files)
    report.n_rows = sum(known.file.n_rows for known in found.live)
    report.n_bytes = sum(known.file.n_bytes for known in found.files)
    report.problems = [*found.problems, *strays]
    report.leftovers = [
        name for name in (f"events_parquet/{stray.name}" for stray in found.strays) if name not in at_fault
    ]
    return report


def _forgive_the_moment(found: Examination) -> None:
    """Drop what only looks wrong because commits and deletions went on since the catalog was copied."""
    if not found.bad and not found.strays:
        return
    now = copied(found.catalog.paths)
    files = now.files()
    known = {file.name for file in files}
    needed = known - closed_in(now, files)  # what is closed may be gone before the catalog forgets it
    found.strays = [stray for stray in found.strays if stray.name not in known and stray.path.exists()]
    gone = {f"events_parquet/{name}" for name in found.bad if name not in needed and not _path(found, name).exists()}
    found.problems = [problem for problem in found.problems if problem.file not in gone]
    found.catalog = now


def _path(found: Examination, name: str) -> Path:
    return found.catalog.paths.events_parquet_dir / name
