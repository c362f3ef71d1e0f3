"""import_recordings: every line of every recording accounted for, every record in the store once."""

import contextlib
import gc
import hashlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import orjson

from vectra_analytics.catalog import Catalog
from vectra_analytics.commit import commit
from vectra_analytics.errors import CommitFailed, VectraError
from vectra_analytics.importers import replay
from vectra_analytics.importers.batch import Row, convert
from vectra_analytics.importers.lines import (
    POSITION_BITS,
    Source,
    TornFile,
    find_recordings,
    is_no_event,
    line_of,
    position_seq,
    read_lines,
    whole_objects,
)
from vectra_analytics.importers.local_time import NAIVE, LocalClock, is_naive, is_time
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.rejects import Reject, keep_rejects

_BATCH_ROWS = 200_000
_BATCH_BYTES = 64 << 20
_LOOK_BYTES = 1 << 16  # read at once while looking for the first record


@dataclass(slots=True)
class ImportReport:
    """What became of every line: ``lines_read`` is the sum of the four kinds of line."""

    n_files: int = 0
    lines_read: int = 0
    lines_stored: int = 0  # gave at least one new event
    lines_duplicate: int = 0  # all in them was stored before
    lines_not_events: int = 0  # blank, or a ## comment
    rejected: list[tuple[str, int, str]] = field(default_factory=list)  # (file, line, reason)
    events_stored: int = 0
    records_rescued: int = 0  # of events_stored: whole records out of torn or joined lines

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return asdict(self)


def import_recordings(
    sources: Source | Iterable[Source],
    store: EventStorePaths | Source,
    *,
    timezone: str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> ImportReport:
    """Store every record of the recordings that the store does not have.

    Parameters
    ----------
    sources
        Files, folders (searched for ``*.jsonl``, ``*.jsonl.gz``, ``*.jsonl.zst``) and glob patterns, or one of them.
    store
        The store, or its folder; made where it is missing.
    timezone
        The IANA zone of timestamps that name none.
    progress
        Called with (bytes read, bytes in all) from time to time.

    Returns
    -------
    ImportReport
        Rejected lines are in it, and with their text in ``manifests/rejects``.

    Raises
    ------
    VectraError
        Before anything is stored: a source that is missing, cannot be read or is no recording, or naive times
        without ``timezone``. Later: a store that cannot be written; what was stored until then stays.
    """
    clock = LocalClock(timezone)
    files = find_recordings(sources)
    recordings = [_look_at(file, clock, is_named=is_named) for file, is_named in files.items()]
    if not any(recording.is_known for recording in recordings):
        _look_at(recordings[0].path, clock, is_named=True)  # raises, and says what is wrong with it
    paths = store if isinstance(store, EventStorePaths) else EventStorePaths(store)
    with Catalog(paths, create=True) as catalog:
        try:
            with _without_cycle_search():
                return _Import(catalog, clock, progress).run(recordings)
        except (OSError, sqlite3.Error) as error:
            raise CommitFailed(
                f"cannot store events in {paths.data_dir}: {getattr(error, 'strerror', None) or error}; "
                "what was stored until now is safe, and the same import goes on from there"
            ) from error


@contextlib.contextmanager
def _without_cycle_search() -> Iterator[None]:
    """Hundreds of thousands of rows without a cycle among them: looking for some costs a fifth of an import."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass(slots=True)
class _Recording:
    """A file and what its first record says of it."""

    path: Path
    n_bytes: int
    session_id: str
    begins_late: bool  # in the second of two equal hours
    is_known: bool = True  # else no line of it is a record, and each is rejected


def _look_at(path: Path, clock: LocalClock, *, is_named: bool) -> _Recording:
    """Find the first record, and refuse a named file that is no recording before anything is stored."""
    session_id: str | None = None
    torn = ""
    n_lines = 0
    try:
        n_bytes = path.stat().st_size
        for lines, _ in read_lines(path, _LOOK_BYTES):
            for line in lines:
                n_lines += 1
                for record, raw in _records(line.strip()):
                    if not replay.recognises(record):
                        continue
                    if session_id is None:
                        session_id = f"replay-{hashlib.sha256(raw.encode()).hexdigest()[:16]}"
                    time = record["timestamp"]
                    if isinstance(time, str) and is_time(time):
                        if clock.timezone is None and is_naive(time):
                            raise VectraError(f"{path}: {NAIVE}, such as --timezone America/New_York")
                        late = clock.is_ambiguous(time) and clock.begins_in_second_hour(_times(path))
                        return _Recording(path, n_bytes, session_id, late)
    except TornFile as error:
        torn = str(error)
    except OSError as error:
        raise VectraError(f"cannot read {path}: {error.strerror}") from error
    if session_id is not None:
        return _Recording(path, n_bytes, session_id, begins_late=False)
    if not is_named:
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return _Recording(path, n_bytes, f"foreign-{name}", begins_late=False, is_known=False)
    if torn:
        raise VectraError(f"{path} is no recording: {torn}; name other files")
    if n_lines == 0:
        raise VectraError(f"{path} is empty: there is nothing to import; remove it, or name other files")
    raise VectraError(
        f"{path} is no recording: none of its {n_lines} lines holds a record of a known kind "
        "(JSON objects with type and timestamp); name other files"
    )


def _times(path: Path) -> Iterator[str]:
    """The times of a recording's records, in order."""
    with contextlib.suppress(TornFile):
        for lines, _ in read_lines(path, _LOOK_BYTES):
            for line in lines:
                for record, _ in _records(line.strip()):
                    if replay.recognises(record) and isinstance(record["timestamp"], str):
                        yield record["timestamp"]


def _records(line: bytes) -> Iterator[tuple[dict[str, Any], str]]:
    """The JSON objects in a stripped line with their texts: the line itself, or what can be rescued of it."""
    if is_no_event(line):
        return
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        yield from whole_objects(line)
    else:
        if isinstance(record, dict):
            yield record, line.decode()


@dataclass(slots=True)
class _Part:
    """The rows that a batch has of one file."""

    recording: _Recording
    start: int
    end: int = 0
    is_new: bool = True  # the file begins here
    is_last: bool = False  # and ends here


class _Import:
    def __init__(self, catalog: Catalog, clock: LocalClock, progress: Callable[[int, int], object] | None) -> None:
        self.catalog = catalog
        self.clock = clock
        self.progress = progress or (lambda done, total: None)
        self.report = ImportReport()
        # The batch being gathered: rows, their seqs, and which of them were rescued.
        self.rows: list[Row] = []
        self.seqs: list[int] = []
        self.rescued: set[int] = set()
        self.n_bytes = 0
        self.parts: list[_Part] = []
        # Rejects of the files that are not finished.
        self.rejects: dict[Path, list[Reject]] = {}

    def run(self, recordings: list[_Recording]) -> ImportReport:
        total = sum(recording.n_bytes for recording in recordings)
        done = 0
        for recording in recordings:
            self.report.n_files += 1
            self.rejects[recording.path] = []
            self.parts.append(_Part(recording, len(self.rows)))
            for n_read in self._read(recording):
                self.progress(done + n_read, total)
            done += recording.n_bytes
            self.parts[-1].end = len(self.rows)
            self.parts[-1].is_last = True
        self._commit()
        self.progress(total, total)
        return self.report

    def _read(self, recording: _Recording) -> Iterator[int]:
        number = 0
        try:
            for lines, n_read in read_lines(recording.path):
                number = self._take_lines(recording, number, lines)
                self.report.lines_read += len(lines)
                self.n_bytes += sum(map(len, lines))
                yield n_read
                if len(self.rows) >= _BATCH_ROWS or self.n_bytes >= _BATCH_BYTES:
                    self._commit_and_go_on(recording)
        except TornFile as error:
            self.report.lines_read += 1  # the line that the break cut off
            self._reject(recording, number + 1, str(error), error.rest.decode(errors="replace"))

    def _take_lines(self, recording: _Recording, number: int, lines: list[bytes]) -> int:
        """Gather the records of the lines behind line ``number``; returns the number of the last one."""
        add_row, add_seq = self.rows.append, self.seqs.append
        for number, line in enumerate(map(bytes.strip, lines), number + 1):  # noqa: B020  # goes on from it
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                if is_no_event(line):
                    self.report.lines_not_events += 1
                else:
                    self._rescue(recording, number, line)
                continue
            raw = line.decode()
            try:
                add_row(replay.row(record, raw))
            except replay.Refused as error:
                self._reject(recording, number, str(error), raw)
            else:
                add_seq(number << POSITION_BITS)  # position_seq(number, 0), without the call
        return number

    def _rescue(self, recording: _Recording, number: int, line: bytes) -> None:
        position = 0
        for record, raw in whole_objects(line):
            try:
                row = replay.row(record, raw)
            except replay.Refused:
                continue  # a complete object inside a torn record, or one of no known kind
            self.rescued.add(len(self.rows))
            self.rows.append(row)
            self.seqs.append(position_seq(number, position))
            position += 1
        if position == 0:
            self._reject(recording, number, "a torn line: no whole record is in it", line.decode(errors="replace"))

    def _reject(self, recording: _Recording, number: int, reason: str, raw: str) -> None:
        self.report.rejected.append((str(recording.path), number, reason))
        self._keep(recording, number, reason, raw)

    def _keep(self, recording: _Recording, number: int, reason: str, raw: str) -> None:
        self.rejects[recording.path].append(Reject(origin=str(recording.path), position=number, reason=reason, raw=raw))

    def _commit_and_go_on(self, recording: _Recording) -> None:
        part = self.parts[-1]
        part.end = len(self.rows)
        self._commit()
        # A file without a record in the batch is still to begin.
        self.parts = [_Part(recording, 0, is_new=part.is_new and part.start == part.end)]

    def _commit(self) -> None:
        """Store the batch and say of each of its lines what became of it."""
        sessions: list[str] = []
        for part in self.parts:
            sessions += [part.recording.session_id] * (part.end - part.start)
        others = {**replay.CONSTANTS, "session_id": sessions, "seq": self.seqs}
        files = {part.start: part.recording.begins_late for part in self.parts if part.is_new and part.start < part.end}
        batch = convert(replay.COLUMNS, self.rows, others, self.clock, files)
        outcome = commit(self.catalog, batch.table, keep_conflicts=False)
        refused = batch.refused | {batch.kept[row]: reason for row, reason in outcome.conflicts.items()}
        duplicates = {batch.kept[row] for row in outcome.duplicates}
        self.report.events_stored += outcome.n_stored
        self.report.records_rescued += len(self.rescued - duplicates - refused.keys())
        special = self.rescued | duplicates | refused.keys()
        for part in self.parts:
            if special.isdisjoint(range(part.start, part.end)):
                self.report.lines_stored += part.end - part.start
            else:
                self._account(part, duplicates, refused)
        self._keep_rejects([part.recording for part in self.parts if part.is_last])
        self.rows, self.seqs, self.rescued, self.parts, self.n_bytes = [], [], set(), [], 0

    def _account(self, part: _Part, duplicates: set[int], refused: dict[int, str]) -> None:
        """A line is stored if one of its records is, else rejected if one was refused, else a duplicate."""
        kinds: dict[int, tuple[_Kind, str, str]] = {}
        for index in range(part.start, part.end):
            line, raw = line_of(self.seqs[index]), self.rows[index][-1]
            kind = _Kind.STORED
            if index in refused:
                kind = _Kind.REJECTED
                self._keep(part.recording, line, refused[index], raw)
            elif index in duplicates:
                kind = _Kind.DUPLICATE
            found = (kind, refused.get(index, ""), raw)
            kinds[line] = min(kinds.get(line, found), found)
        counts = Counter(kind for kind, _, _ in kinds.values())
        self.report.lines_stored += counts[_Kind.STORED]
        self.report.lines_duplicate += counts[_Kind.DUPLICATE]
        self.report.rejected += [
            (str(part.recording.path), line, reason)
            for line, (kind, reason, _) in kinds.items()
            if kind == _Kind.REJECTED
        ]

    def _keep_rejects(self, finished: list[_Recording]) -> None:
        named = [(recording.session_id, self.rejects.pop(recording.path)) for recording in finished]
        if not any(rejects for _, rejects in named):
            return
        with self.catalog.transaction():
            for name, rejects in named:
                if rejects:
                    keep_rejects(self.catalog, name, rejects)


class _Kind(IntEnum):
    """What became of a record; of a line with several, the lowest counts."""

    STORED = 0
    REJECTED = 1
    DUPLICATE = 2
