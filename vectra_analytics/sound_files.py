"""Which live files can be read: a bad one is an error that says what is lost, or it is left out with a warning."""

import contextlib
import hashlib
import sys
import threading
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vectra_analytics.catalog import Catalog
from vectra_analytics.errors import CorruptStore, PartialStore, VectraError
from vectra_analytics.live_files import MISSING, GameRows, LiveFile
from vectra_analytics.paths import EventStorePaths

_HASHERS = 4  # files hashed at the same time; hashing leaves the interpreter free
_SHOWN_GAMES = 5

_Seen = tuple[Path, int, int, int, int]
_sha256_of: dict[_Seen, str] = {}  # of files as they were seen: by path, inode, size and times of change


def content_problem(file: LiveFile) -> str | None:
    """What is wrong with the file, to the last bit.

    Its bytes are hashed once for each state that the file system shows of it, and never again in this process: a
    disk that turns bits without anybody writing to the file is seen by the next process.
    """
    problem = file.problem()
    if problem is not None:
        return problem
    try:
        about = file.path.stat()
        seen = (file.path, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
        found = _sha256_of.get(seen)
        if found is None:
            with file.path.open("rb") as content:
                found = _sha256_of[seen] = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if found == file.sha256 else "is damaged: its content is not what was written (SHA-256)"


def corrupt(file: LiveFile, problem: str) -> CorruptStore:
    """The error that names the file, its rows and its games, and says what to do."""
    what = f"{file.path} ({file.n_rows} rows of {file.doc_type}, {file.date}{_games_of(file)})"
    if problem == MISSING:
        return CorruptStore(
            f"the live file {what} is missing; if this reading began before a compaction of more than 24 hours ago, "
            "begin it anew; else put the file back from a copy; deleted on purpose? run vectra repair --forget"
        )
    return CorruptStore(
        f"the live file {what} {problem}; put it back from a copy, or run vectra repair, which moves it to quarantine"
    )


def _games_of(file: LiveFile) -> str:
    with contextlib.suppress(VectraError), Catalog(EventStorePaths(file.path.parents[3])) as catalog:
        return f"; {games_text(sorted(catalog.games_in([file])))}"
    return ""  # the catalog cannot say it either


def games_text(games: Sequence[str]) -> str:
    """Some of the games, and how many more there are."""
    if not games:
        return "no game"
    more = f" and {len(games) - _SHOWN_GAMES:,} more" if len(games) > _SHOWN_GAMES else ""
    return f"{'game' if len(games) == 1 else 'games'} {', '.join(games[:_SHOWN_GAMES])}{more}"


def first_bad(files: Iterable[LiveFile]) -> CorruptStore | None:
    """The error for the first of these files that is not what the catalog says; for when reading has failed."""
    for file in files:
        problem = content_problem(file)
        if problem is not None:
            return corrupt(file, problem)
    return None


class SoundFiles:
    """What a query reads of the live files, and its memory of having warned.

    Strict: all of them, or an error where one is not in its place; damage inside one is an error when reading fails.
    Else each file's SHA-256 is checked before it is read for the first time, and those that are bad are left out.
    """

    def __init__(self, *, is_strict: bool) -> None:
        self.is_strict = is_strict
        self._has_warned = False
        self._lock = threading.Lock()

    def of(self, files: Sequence[LiveFile]) -> list[LiveFile]:
        """Those of the files that are to be read."""
        if self.is_strict:
            for file in files:
                if not file.is_in_place():
                    raise corrupt(file, file.problem() or MISSING)
            return list(files)
        bad = self.bad(files)
        if bad:
            self._warn(bad)
        return [file for file in files if file not in bad]

    def of_rows(self, rows: Sequence[GameRows]) -> list[GameRows]:
        """Those of the rows that are to be read."""
        sound = set(self.of(list({some.file.file_id: some.file for some in rows}.values())))
        return [some for some in rows if some.file in sound]

    def bad(self, files: Sequence[LiveFile]) -> dict[LiveFile, str]:
        """The files that a query which is not strict leaves out, and why."""
        if self.is_strict:
            return {}
        with ThreadPoolExecutor(_HASHERS, "vectra-hash") as pool:
            problems = pool.map(content_problem, files)
            return {file: problem for file, problem in zip(files, problems, strict=True) if problem is not None}

    def _warn(self, bad: dict[LiveFile, str]) -> None:
        with self._lock:
            if self._has_warned:
                return
            self._has_warned = True
        file, problem = next(iter(bad.items()))
        n_rows = sum(file.n_rows for file in bad)
        warnings.warn(
            f"{len(bad):,} live {'file is' if len(bad) == 1 else 'files are'} left out, with {n_rows:,} rows: "
            f"{file.path} {problem}; query.problems() lists all, with their games",
            PartialStore,
            stacklevel=_levels_below_the_caller(),
        )


def _levels_below_the_caller() -> int:
    """How far up the stack the code is that called this package: the warning is shown at its line."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        ("vectra_analytics", "contextlib")
    ):
        level, frame = level + 1, frame.f_back
    return level
