"""A process that reads a store again and again while others write it, and notes what no reader may see."""

import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.faults.children import Child, close, pipe_to_child
from tests.faults.stores import COMMIT_ROWS
from vectra_analytics import EventStorePaths, EventStoreQuery, VectraError
from vectra_analytics.catalog_file import NoCatalog

_PAUSE = 0.1
_COMMITS = f"""
    SELECT session_id, seq // {COMMIT_ROWS} AS number, count(*) AS n_rows, count(DISTINCT seq) AS n_events
    FROM events GROUP BY ALL ORDER BY ALL
"""


@dataclass
class Sightings:
    """What a reader saw."""

    n_polls: int = 0
    n_partial: int = 0  # polls with a part of a commit, or an event twice
    n_backwards: int = 0  # polls with an older version than the one before
    complaints: list[str] = field(default_factory=list)

    def add(self, other: "Sightings") -> None:
        """Count what another one saw, too."""
        self.n_polls += other.n_polls
        self.n_partial += other.n_partial
        self.n_backwards += other.n_backwards
        self.complaints += other.complaints


class Reader:
    """The process; it reads until :meth:`end`.

    Parameters
    ----------
    sizes
        How many rows of a commit may be seen: all commits have the same number at one time. None: commits are not
        cut in a way that is known, so each session's events are those from the first to some last one.
    """

    def __init__(self, data_dir: Path, sizes: Sequence[int] | None = (COMMIT_ROWS,)) -> None:
        stop, self._stop = pipe_to_child()
        self._begun, begun = os.pipe()
        self._child = Child(_read, data_dir, sizes, stop, begun)
        os.close(stop)
        os.close(begun)
        os.read(self._begun, 1)
        os.close(self._begun)

    def end(self) -> Sightings:
        """Let it look once more; gives what it saw."""
        close(self._stop)
        sightings = self._child.wait()
        assert isinstance(sightings, Sightings)
        return sightings


def _read(data_dir: Path, sizes: Sequence[int] | None, stop: int, begun: int) -> Sightings:
    seen = Sightings()
    query = EventStoreQuery(EventStorePaths(data_dir))
    version, is_last = 0, False
    totals: dict[int, int] = {}
    while True:
        try:
            now = query.version
            if now < version:
                seen.n_backwards += 1
                seen.complaints.append(f"version {now} after {version}")
            version = max(version, now)
            pinned = EventStoreQuery(EventStorePaths(data_dir), now)
            rows = pinned.query(_COMMITS).rows()
            total = sum(row[2] for row in rows)
            if totals.setdefault(now, total) != total:
                seen.n_partial += 1
                seen.complaints.append(f"version {now} has {total} rows, and had {totals[now]}")
            commits = [row for row in rows if not row[0].startswith("replay-")]  # what is imported has other commits
            fault = _fault(commits, sizes)
            if fault:
                seen.n_partial += 1
                seen.complaints.append(fault)
        except NoCatalog:
            pass  # its writer has not begun
        except VectraError as error:
            seen.n_partial += 1
            seen.complaints.append(f"{type(error).__name__}: {error}")
        if seen.n_polls == 0:
            os.write(begun, b".")
        seen.n_polls += 1
        if is_last:
            return seen
        is_last = bool(select.select([stop], [], [], 0)[0])
        time.sleep(0 if is_last else _PAUSE)


def _fault(commits: list[tuple[str, int, int, int]], sizes: Sequence[int] | None) -> str:
    """What is wrong with these (session, commit, rows, events)."""
    doubled = [commit for commit in commits if commit[2] != commit[3]]
    if doubled:
        return f"events twice: {doubled[:3]}"
    if sizes is not None:
        found = {n_rows for _, _, n_rows, _ in commits}
        if len(found) > 1 or not found <= set(sizes):
            return f"parts of commits: {[commit for commit in commits if commit[2] != max(sizes)][:3]}"
        return ""
    for (session_id, number, n_rows, _), after in pairwise([*commits, ("", -1, 0, 0)]):
        if after[0] == session_id and (n_rows != COMMIT_ROWS or after[1] != number + 1):
            return f"a hole in session {session_id} at commit {number}"
    return ""
