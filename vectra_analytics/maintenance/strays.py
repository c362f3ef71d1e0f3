"""Files below events_parquet that the catalog does not name: what killed processes left, and what is not ours."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vectra_analytics.maintenance.catalog_copy import CatalogCopy
from vectra_analytics.maintenance.file_contents import Footer, NotOurs, hashes_of
from vectra_analytics.paths import EventStorePaths

_OUR_NAME = re.compile(r"\d{6}_v(\d{8,})_([0-9a-f]{8})\.parquet").fullmatch
_OUR_FOLDER = re.compile(r"doc_type=[a-z_]+/date=\d{4}-\d{2}-\d{2}").fullmatch


@dataclass(frozen=True, slots=True)
class Stray:
    """A file that the catalog does not name."""

    path: Path
    name: str  # below events_parquet
    footer: Footer | None = None  # of a sound file of ours
    why_not: str = ""  # it is none

    @property
    def is_unfinished(self) -> bool:
        """Whether a process was writing it."""
        return self.path.name.startswith(".") and self.path.suffix == ".part"

    @property
    def folder(self) -> str:
        """Its partition's, below events_parquet."""
        return self.name.rpartition("/")[0]

    @property
    def doc_type(self) -> str:
        """As its folder says."""
        return self.folder.partition("/")[0].removeprefix("doc_type=")

    @property
    def date(self) -> str:
        """As its folder says."""
        return self.folder.partition("/")[2].removeprefix("date=")

    @property
    def replaced(self) -> list[str]:
        """The files that it stands for, below events_parquet."""
        return [] if self.footer is None else [f"{self.folder}/{name}" for name in self.footer.replaces]


def strays_in(paths: EventStorePaths, known: Iterable[str]) -> list[Stray]:
    """All files below events_parquet, and links to folders, but these; ours are read to the last byte of their body."""
    names = set(known)
    return [_looked_at(paths, name) for name in sorted(_files_below(paths.events_parquet_dir)) if name not in names]


def linked_folders(paths: EventStorePaths, known: Iterable[str]) -> list[str]:
    """Folders of these files that are links to elsewhere: to take one away would take its files out of the store."""
    folders = {folder for name in known for folder in Path(name).parents if folder.name}
    return sorted(folder.as_posix() for folder in folders if (paths.events_parquet_dir / folder).is_symlink())


def _files_below(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in (*files, *links):
            yield Path(parent, name).relative_to(folder).as_posix()


def _looked_at(paths: EventStorePaths, name: str) -> Stray:
    path = paths.events_parquet_dir / name
    stray = Stray(path, name)
    if stray.is_unfinished:
        return stray
    if not _OUR_FOLDER(stray.folder):
        return Stray(path, name, why_not="it lies in no partition of the store")
    try:
        footer = Footer.of(path)
        if not hashes_of(path).agree_with(footer):
            raise NotOurs("its content is not what its footer says (SHA-256)")
    except NotOurs as error:
        return Stray(path, name, why_not=str(error))
    except OSError as error:
        return Stray(path, name, why_not=f"it cannot be read: {error.strerror}")
    return Stray(path, name, footer)


@dataclass(frozen=True, slots=True)
class StrayCommit:
    """The files of one commit that the catalog does not name, and whether these are all that it had."""

    commit_id: str
    version: int
    files: Sequence[Stray]
    is_whole: bool


def commits_of(strays: Sequence[Stray], mentioned: Iterable[str]) -> list[StrayCommit]:
    """The ordinary commits among the strays, by version.

    Parameters
    ----------
    mentioned
        Names of files that are known to have been there: those that compacted files replaced, or that were pruned or
        put into quarantine. They count for the commit that their names say.
    """
    by_commit: dict[str, list[Stray]] = {}
    for stray in strays:
        if stray.footer is not None and not stray.footer.replaces:
            by_commit.setdefault(stray.footer.commit_id, []).append(stray)
    # A damaged file of a commit tells by its name that the commit got as far as to name it.
    names = {*mentioned, *(stray.name for stray in strays if _OUR_NAME(stray.path.name))}
    found = []
    for commit_id, files in by_commit.items():
        footer = files[0].footer
        assert footer is not None
        ending = f"_v{footer.version:08d}_{commit_id[:8]}.parquet"
        is_whole = sum(name.endswith(ending) for name in names) >= footer.n_files
        found.append(StrayCommit(commit_id, footer.version, files, is_whole))
    return sorted(found, key=lambda commit: (commit.version, commit.commit_id))


def claimed(names: Iterable[str]) -> dict[int, set[str]]:
    """Of each version that these names of files have in them, how the ids of the commits begin that claim it."""
    found: dict[int, set[str]] = {}
    for name in names:
        ours = _OUR_NAME(name.rpartition("/")[2])
        if ours is not None:
            found.setdefault(int(ours[1]), set()).add(ours[2])
    return found


def newer_than(catalog: CatalogCopy, strays: Sequence[Stray]) -> set[str]:
    """The strays that show that the catalog is older than its files: whole commits after its newest version.

    Those with the next version, where there are none of later ones, are not among them: a process that is killed
    between naming its files and telling the catalog leaves such a commit, and so does the one after it.
    """
    commits = [
        commit
        for commit in commits_of(strays, catalog.prunes().paths)
        if commit.is_whole and commit.version > catalog.newest
    ]
    if all(commit.version == catalog.newest + 1 for commit in commits):
        return set()
    return {stray.name for commit in commits for stray in commit.files}
