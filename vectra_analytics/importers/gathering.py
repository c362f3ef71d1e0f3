"""Rows of many files gathered into one commit, and what became of the lines that they came from."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from vectra_analytics.catalog import Catalog
from vectra_analytics.commit import commit
from vectra_analytics.errors import VectraError
from vectra_analytics.importers.batch import convert
from vectra_analytics.importers.formats import Format, Row, text_of_origin
from vectra_analytics.importers.lines import line_of
from vectra_analytics.importers.local_time import LocalClock
from vectra_analytics.rejects import Reject, keep_rejects


@dataclass(slots=True)
class ImportReport:
    """What became of every line: ``lines_read`` is the sum of the four kinds of line.

    A row of a Parquet file counts as a line, and so does a file, or the rest of one, that cannot be read.
    """

    n_files: int = 0
    lines_read: int = 0
    lines_stored: int = 0  # gave at least one new event
    lines_duplicate: int = 0  # all in them was stored before
    lines_not_events: int = 0  # blank, or a ## comment
    rejected: list[tuple[str, int, str]] = field(default_factory=list)  # (file, line, reason)
    events_stored: int = 0
    records_rescued: int = 0  # of events_stored: whole records out of torn or joined lines
    amounts_unreadable: int = 0  # in events_stored: cash or position_qty that is no number, or fits no column: NULL

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON, which takes names of files for texts."""
        rejected = [(file.encode(errors="replace").decode(), line, reason) for file, line, reason in self.rejected]
        return asdict(self) | {"rejected": rejected}


@dataclass(slots=True)
class Recording:
    """A file and what is known of it before its records are read."""

    path: Path
    n_bytes: int
    format: Format
    name: str  # of its session, and of the file that keeps its rejects
    begins_late: bool = False  # in the second of two equal hours
    why_not: str = ""  # why no record can be read of it, if so

    def refusal(self) -> VectraError:
        """The error that names the file and says why not."""
        return VectraError(f"{self.path} {self.why_not}; name other files")


def foreign_name(path: Path) -> str:
    """A name for the rejects of a file that is no recording."""
    return f"foreign-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"


@dataclass(slots=True)
class _Part:
    """The rows that a batch has of one file."""

    recording: Recording
    start: int
    end: int = 0
    is_new: bool = True  # the file begins here
    is_last: bool = False  # and ends here


class Gathering:
    """The batch being gathered, the rejects of the files that are not finished, and the report of all."""

    def __init__(self, catalog: Catalog, clock: LocalClock) -> None:
        self.report = ImportReport()
        self.rows: list[Row] = []
        self.places: list[int] = []  # of each row: line and position in it, as position_seq makes them one number
        self.first_of: dict[int, int] = {}  # rows that a record gave behind its first one, and that
        self.rescued: set[int] = set()  # rows out of torn lines
        self.unreadable: dict[int, int] = {}  # rows with amounts that are none, and how many
        self.n_bytes = 0
        self._catalog = catalog
        self._clock = clock
        self._utc = LocalClock("UTC")
        self._parts: list[_Part] = []
        self._rejects: dict[Path, list[Reject]] = {}

    def begin(self, recording: Recording) -> None:
        """What is added from now on is of this file; a batch has files of one format."""
        if self._parts and self._parts[-1].recording.format is not recording.format:
            self.commit()
        self.report.n_files += 1
        self._rejects[recording.path] = []
        self._parts.append(_Part(recording, len(self.rows)))

    def end(self) -> None:
        """The file has been read."""
        self._parts[-1].end = len(self.rows)
        self._parts[-1].is_last = True

    def forget(self, n_rows: int) -> None:
        """Take back the rows behind the first ``n_rows``."""
        del self.rows[n_rows:], self.places[n_rows:]
        self.first_of = {row: first for row, first in self.first_of.items() if row < n_rows}

    def reject(self, recording: Recording, line: int, reason: str, raw: str) -> None:
        """A line gave nothing."""
        self.report.rejected.append((str(recording.path), line, reason))
        self._keep(recording, line, reason, raw)

    def _keep(self, recording: Recording, line: int, reason: str, raw: str) -> None:
        reject = Reject(origin=str(recording.path), position=line, reason=reason, raw=raw)
        self._rejects[recording.path].append(reject)

    def commit_and_go_on(self) -> None:
        """Commit in the middle of a file."""
        part = self._parts[-1]
        part.end = len(self.rows)
        self.commit()
        # A file without a record in the batch is still to begin.
        self._parts = [_Part(part.recording, 0, is_new=part.is_new and part.start == part.end)]

    def commit(self) -> None:
        """Store the batch and say of each of its lines what became of it."""
        if not self._parts:
            return
        form = self._parts[-1].recording.format
        others: dict[str, Any] = dict(form.constants)
        clock = self._utc
        if not form.has_identities:
            clock = self._clock
            sessions: list[str] = []
            for part in self._parts:
                sessions += [part.recording.name] * (part.end - part.start)
            others |= {"session_id": sessions, "seq": self.places}
        files = {p.start: p.recording.begins_late for p in self._parts if p.is_new and p.start < p.end}
        batch = convert(form.columns, self.rows, others, clock, files)
        outcome = commit(self._catalog, batch.table, keep_conflicts=False)
        refused = batch.refused | {batch.kept[row]: reason for row, reason in outcome.conflicts.items()}
        duplicates = {batch.kept[row] for row in outcome.duplicates}
        not_stored = duplicates | refused.keys()
        self.report.events_stored += outcome.n_stored
        self.report.records_rescued += len(self.rescued - not_stored)
        self.report.amounts_unreadable += sum(n for row, n in self.unreadable.items() if row not in not_stored)
        special = self.rescued | not_stored
        for part in self._parts:
            if not self.first_of and special.isdisjoint(range(part.start, part.end)):
                self.report.lines_stored += part.end - part.start
            else:
                self._account(part, duplicates, refused)
        self._keep_rejects(part.recording for part in self._parts if part.is_last)
        self.rows, self.places, self._parts, self.n_bytes = [], [], [], 0
        self.first_of, self.rescued, self.unreadable = {}, set(), {}

    def _account(self, part: _Part, duplicates: set[int], refused: dict[int, str]) -> None:
        """A line is stored if one of its records is, else rejected if one was refused, else a duplicate."""
        kinds: dict[int, tuple[_Kind, str]] = {}
        for index in range(part.start, part.end):
            line = line_of(self.places[index])
            kind = _Kind.STORED
            if index in refused:
                kind = _Kind.REJECTED
                if refused.get(self.first_of.get(index, -1)) == refused[index]:
                    continue  # the record is refused, and with it all that it gave
                self._keep(part.recording, line, refused[index], text_of_origin(self.rows[index]))
            elif index in duplicates:
                kind = _Kind.DUPLICATE
            found = (kind, refused.get(index, ""))
            kinds[line] = min(kinds.get(line, found), found)
        counts = Counter(kind for kind, _ in kinds.values())
        self.report.lines_stored += counts[_Kind.STORED]
        self.report.lines_duplicate += counts[_Kind.DUPLICATE]
        self.report.rejected += [
            (str(part.recording.path), line, reason) for line, (kind, reason) in kinds.items() if kind == _Kind.REJECTED
        ]

    def _keep_rejects(self, finished: Iterable[Recording]) -> None:
        named = [(recording.name, self._rejects.pop(recording.path)) for recording in finished]
        if not any(rejects for _, rejects in named):
            return
        with self._catalog.transaction():
            for name, rejects in named:
                if rejects:
                    keep_rejects(self._catalog, name, rejects)


class _Kind(IntEnum):
    """What became of a record; of a line with several, the lowest counts."""

    STORED = 0
    REJECTED = 1
    DUPLICATE = 2
