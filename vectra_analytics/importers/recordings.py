"""import_recordings: every line of every recording accounted for, every record in the store once."""

import contextlib
import gc
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from vectra_analytics.catalog import Catalog
from vectra_analytics.errors import CommitFailed, VectraError
from vectra_analytics.importers import reference_store
from vectra_analytics.importers.batch import convert
from vectra_analytics.importers.feed import CAPTURES, SAMPLES
from vectra_analytics.importers.formats import LineFormat, Record, Refused, Row
from vectra_analytics.importers.gathering import Gathering, ImportReport, Recording, foreign_name
from vectra_analytics.importers.lines import (
    POSITION_BITS,
    Source,
    TornFile,
    find_recordings,
    is_no_event,
    line_of,
    position_of,
    position_seq,
    read_lines,
    whole_objects,
)
from vectra_analytics.importers.local_time import NAIVE, LocalClock, is_naive, is_time
from vectra_analytics.importers.replay import REPLAY
from vectra_analytics.paths import EventStorePaths

_BATCH_ROWS = 200_000
_BATCH_BYTES = 64 << 20
_MOST_ROWS = 1 << POSITION_BITS  # of a line
_TOO_MANY = f"a line with more than {_MOST_ROWS:,} events"
_LOOK_BYTES = 1 << 16  # read at once while looking for the first record
_ANY_ZONE = "UTC"  # where only the differences between times matter
_LINE_FORMATS = (REPLAY, SAMPLES, CAPTURES)  # a record that could be of several is of the first of them


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
        Files, folders (searched for ``*.jsonl``, ``*.jsonl.gz``, ``*.jsonl.zst``, ``*.parquet``) and glob patterns,
        or one of them. Replay recordings, raw websocket samples, raw captures and a Parquet store of the reference
        implementation are known by their content; stores of this package are passed over.
    store
        The store, or its folder; made where it is missing.
    timezone
        The IANA zone of timestamps that name none; in a store of the reference those are UTC.
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
    recordings = _look_at_all(sources, clock)
    paths = EventStorePaths.of(store)
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


def recordings_of_lines(sources: Source | Iterable[Source]) -> list[Recording]:
    """The recordings with an event a line that these files, folders and patterns mean, for :func:`read_rows`.

    Raises
    ------
    VectraError
        A source is missing, cannot be read or is no recording, or is a Parquet file.
    """
    recordings = _look_at_all(sources, LocalClock(_ANY_ZONE))
    for recording in recordings:
        if not isinstance(recording.format, LineFormat):
            raise VectraError(f"{recording.path} is a Parquet file; name recordings, which end in .jsonl, .gz or .zst")
    return recordings


def read_rows(recording: Recording, pass_over: Callable[[int, str], object]) -> Iterator[tuple[int, dict[str, Any]]]:
    """What an import would store of a recording of lines, in order: the line, and the columns by their names.

    ``ts`` is in microseconds since 1970; times that name no zone are read as UTC. A game of a gameHistory has no row
    of its own.

    Parameters
    ----------
    pass_over
        Called with the line and the reason for what is no row: what an import would reject.
    """
    form = recording.format
    assert isinstance(form, LineFormat)
    if recording.why_not:
        pass_over(1, f"the file {recording.why_not}")
        return
    clock = LocalClock(_ANY_ZONE)
    number = 0
    try:
        for lines, _ in read_lines(recording.path):
            rows: list[Row] = []
            numbers: list[int] = []
            for number, line in enumerate(map(bytes.strip, lines), number + 1):  # noqa: B020  # goes on from it
                n_before = len(rows)
                reason = "no whole record is in it"
                for record, raw in _records(line, form):
                    try:
                        rows.append(form.row(record, raw))
                    except Refused as error:
                        reason = str(error)
                numbers += [number] * (len(rows) - n_before)
                if len(rows) == n_before and not is_no_event(line):
                    pass_over(number, reason)
            batch = convert(form.columns, rows, form.constants, clock, {})
            for index, reason in batch.refused.items():
                pass_over(numbers[index], reason)
            for index, ts in zip(batch.kept, batch.table["ts"].cast(pa.int64()).to_pylist(), strict=True):
                yield numbers[index], {**form.constants, **dict(zip(form.columns, rows[index], strict=True)), "ts": ts}
    except TornFile as error:
        pass_over(number + 1, str(error))


def _look_at_all(sources: Source | Iterable[Source], clock: LocalClock) -> list[Recording]:
    """Look at all that is meant; what was named itself must be a recording, and so must one of the others."""
    recordings = []
    for file, is_named in find_recordings(sources).items():
        recordings.append(_look_at(file, clock))
        if is_named and recordings[-1].why_not:
            raise recordings[-1].refusal()
    if all(recording.why_not for recording in recordings):
        raise recordings[0].refusal()
    return recordings


def _look_at(path: Path, clock: LocalClock) -> Recording:
    """Find the first record, which tells what kind of recording it is, before anything is stored."""
    if reference_store.is_parquet(path):
        return reference_store.look_at(path)
    recording: Recording | None = None
    form: LineFormat | None = None
    torn = ""
    n_lines = 0
    try:
        n_bytes = path.stat().st_size
        for lines, _ in read_lines(path, _LOOK_BYTES):
            for line in lines:
                n_lines += 1
                for record, raw in _records(line.strip()):
                    form = form or next((one for one in _LINE_FORMATS if one.recognises(record)), None)
                    if form is None or not form.recognises(record):
                        continue
                    if recording is None:
                        name = f"{form.kind}-{hashlib.sha256(raw.encode()).hexdigest()[:16]}"
                        recording = Recording(path, n_bytes, form, name)
                    time = form.time_of(record)
                    if isinstance(time, str) and is_time(time):
                        if clock.timezone is None and is_naive(time):
                            raise VectraError(f"{path}: {NAIVE}, such as --timezone America/New_York")
                        recording.begins_late = clock.is_ambiguous(time) and clock.begins_in_second_hour(
                            _times(path, form)
                        )
                        return recording
    except TornFile as error:
        torn = str(error)
    except OSError as error:
        raise VectraError(f"cannot read {path}: {error.strerror}") from error
    if recording is not None:
        return recording
    if torn:
        why_not = f"is no recording: {torn}"
    elif n_lines == 0:
        why_not = "is empty: there is nothing in it"
    else:
        kinds = ", or ".join(form.keys for form in _LINE_FORMATS)
        why_not = f"is no recording: none of its {n_lines} lines holds a record of a known kind (objects with {kinds})"
    # Where it is one of many files, each of its lines will be rejected.
    return Recording(path, n_bytes, _LINE_FORMATS[0], foreign_name(path), why_not=why_not)


def _times(path: Path, form: LineFormat) -> Iterator[str]:
    """The times of a recording's records, in order."""
    with contextlib.suppress(TornFile):
        for lines, _ in read_lines(path, _LOOK_BYTES):
            for line in lines:
                for record, _ in _records(line.strip(), form):
                    time = form.time_of(record) if form.recognises(record) else None
                    if isinstance(time, str):
                        yield time


def _records(line: bytes, form: LineFormat | None = None) -> Iterator[tuple[Record, str]]:
    """The JSON objects in a stripped line with their texts: the line itself, or what can be rescued of it."""
    if is_no_event(line):
        return
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        yield from _rescued(line, form)
    else:
        if isinstance(record, dict):
            yield record, line.decode()


def _rescued(line: bytes, form: LineFormat | None) -> Iterator[tuple[Record, str]]:
    """The whole records of a format, or of any, in a torn line."""
    for one in (form,) if form else _LINE_FORMATS:
        for record, raw in whole_objects(line, one.flat_keys):
            if one.recognises(record):
                yield record, raw


class _Import:
    """Reads one recording after the other."""

    def __init__(self, catalog: Catalog, clock: LocalClock, progress: Callable[[int, int], object] | None) -> None:
        self.progress = progress or (lambda done, total: None)
        self.gathering = Gathering(catalog, clock)
        self.report = self.gathering.report

    def run(self, recordings: list[Recording]) -> ImportReport:
        total = sum(recording.n_bytes for recording in recordings)
        done = 0
        for recording in recordings:
            self.gathering.begin(recording)
            is_of_lines = isinstance(recording.format, LineFormat)
            for n_read in self._read_lines(recording) if is_of_lines else self._read_table(recording):
                self.progress(done + n_read, total)
                if len(self.gathering.rows) >= _BATCH_ROWS or self.gathering.n_bytes >= _BATCH_BYTES:
                    self.gathering.commit_and_go_on()
            done += recording.n_bytes
            self.gathering.end()
        self.gathering.commit()
        self.progress(total, total)
        return self.report

    def _read_lines(self, recording: Recording) -> Iterator[int]:
        number = 0
        try:
            for lines, n_read in read_lines(recording.path):
                number = self._take_lines(recording, number, lines)
                self.report.lines_read += len(lines)
                self.gathering.n_bytes += sum(map(len, lines))
                yield n_read
        except TornFile as error:
            self.report.lines_read += 1  # the line that the break cut off
            self.gathering.reject(recording, number + 1, str(error), error.rest.decode(errors="replace"))

    def _take_lines(self, recording: Recording, number: int, lines: list[bytes]) -> int:
        """Gather the records of the lines behind line ``number``; returns the number of the last one."""
        form = recording.format
        assert isinstance(form, LineFormat)
        make_row, further_rows = form.row, form.further_rows
        add_row, add_place = self.gathering.rows.append, self.gathering.places.append
        for number, line in enumerate(map(bytes.strip, lines), number + 1):  # noqa: B020  # goes on from it
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                if is_no_event(line):
                    self.report.lines_not_events += 1
                else:
                    self._rescue(recording, form, number, line)
                continue
            raw = line.decode()
            try:
                row = make_row(record, raw)
                more = further_rows(record, row) if further_rows is not None else ()
                if len(more) >= _MOST_ROWS:
                    raise Refused(_TOO_MANY)
            except Refused as error:
                self.gathering.reject(recording, number, str(error), raw)
            else:
                add_row(row)
                add_place(number << POSITION_BITS)  # position_seq(number, 0), without the call
                if more:
                    self._add_further(more)
        return number

    def _add_further(self, rows: Sequence[Row]) -> None:
        """Add the rows that the last row's record gave, too."""
        first, place = len(self.gathering.rows) - 1, self.gathering.places[-1]
        for offset, row in enumerate(rows, 1):
            self.gathering.first_of[len(self.gathering.rows)] = first
            self.gathering.rows.append(row)
            self.gathering.places.append(position_seq(line_of(place), position_of(place) + offset))

    def _rescue(self, recording: Recording, form: LineFormat, number: int, line: bytes) -> None:
        rows, places = self.gathering.rows, self.gathering.places
        n_before = len(rows)
        reason = "a torn line: no whole record is in it"
        for record, raw in whole_objects(line, form.flat_keys):
            try:
                row = form.row(record, raw)
                more = form.further_rows(record, row) if form.further_rows is not None else ()
            except Refused:
                continue  # a complete object inside a torn record, or one of no known kind
            if len(rows) - n_before + 1 + len(more) > _MOST_ROWS:
                reason = _TOO_MANY
                self.gathering.forget(n_before)
                break
            places.append(position_seq(number, len(rows) - n_before))
            rows.append(row)
            self._add_further(more)
        self.gathering.rescued.update(range(n_before, len(rows)))
        if len(rows) == n_before:
            self.gathering.reject(recording, number, reason, line.decode(errors="replace"))

    def _read_table(self, recording: Recording) -> Iterator[int]:
        """Gather the rows of a Parquet file."""
        if recording.why_not:
            self._reject_rest(recording, 1, f"the file {recording.why_not}")
            return
        number = 0
        try:
            for found, n_read in reference_store.read_rows(recording.path):
                for number, one in enumerate(found, number + 1):  # noqa: B020  # goes on from it
                    self._take_table_row(recording, number, one)
                yield n_read
        except reference_store.BrokenFile as error:
            self._reject_rest(recording, number + 1, str(error))

    def _take_table_row(self, recording: Recording, number: int, one: reference_store.StoredRow) -> None:
        self.report.lines_read += 1
        try:
            row, n_unreadable = reference_store.row(one)
        except Refused as error:
            self.gathering.reject(recording, number, str(error), one.as_text())
            return
        if n_unreadable:
            self.gathering.unreadable[len(self.gathering.rows)] = n_unreadable
        self.gathering.rows.append(row)
        self.gathering.places.append(position_seq(number, 0))
        self.gathering.n_bytes += one.n_bytes

    def _reject_rest(self, recording: Recording, number: int, reason: str) -> None:
        self.report.lines_read += 1  # however many there are
        self.gathering.reject(recording, number, reason, "")
