"""compact: the many files of a closed day become one sorted file a partition, and no row changes."""

import contextlib
import logging
import os
import sqlite3
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa

from vectra_analytics.catalog import Catalog
from vectra_analytics.engine import Relations
from vectra_analytics.errors import CorruptStore, VectraError
from vectra_analytics.forks import check_polars
from vectra_analytics.live_files import LiveFile
from vectra_analytics.maintenance.row_proof import fingerprint
from vectra_analytics.maintenance.time_and_errors import reason_of, time_of
from vectra_analytics.maintenance.vacuuming import clear
from vectra_analytics.parquet import ROW_GROUP_ROWS, WrittenFile, footer_of, write_atomically
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.schema import EVENT_SCHEMA
from vectra_analytics.whole_files import sync_folder

_CLOSED_AFTER = timedelta(hours=1)  # after the end of the UTC day
_GROUP_BYTES = 64 << 20  # of a row group in memory: raw events of the feed are large
_SORT = "game_id NULLS LAST, tick NULLS LAST, ts, seq, session_id"


@dataclass(slots=True)
class CompactionReport:
    """What a compaction did."""

    n_partitions: int = 0  # rewritten
    n_rows: int = 0  # in them
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    files_deleted: int = 0  # superseded by an earlier compaction, the grace period being past
    files_kept_for_repair: int = 0  # due as well, but a file that has their rows now is missing or damaged

    def to_dict(self) -> dict[str, int]:
        """The same, for JSON."""
        return asdict(self)


def compact(
    store: EventStorePaths | str | os.PathLike[str] | None = None,
    *,
    now: datetime | None = None,
    progress: Callable[[int, int], object] | None = None,
    more_than: int = 0,
) -> CompactionReport:
    """Make one file, sorted by (game_id, tick, ts, seq), of all files that a closed day has of a doc_type.

    A day is closed an hour after its end (UTC). Writers and readers go on meanwhile; what is written to a closed
    day afterwards is taken in by the next compaction. At its end it deletes what :func:`~vectra_analytics.vacuum`
    would: superseded files that no version within the grace period and no snapshot needs.

    Parameters
    ----------
    store
        The store, or its folder; by default ``$RUGS_DATA_DIR``, else ``~/rugs_data``.
    now
        The time; by default the clock's.
    progress
        Called with (bytes rewritten, bytes in all) after each partition.
    more_than
        Only days with more new files than this, of all doc_types together.

    Raises
    ------
    CorruptStore
        Where a file cannot be read, or the new file would not hold the very same rows; the old ones stay live.
    VectraError
        Where there is no store, no room for the new file, or the store cannot be written.
    """
    check_polars()
    paths = EventStorePaths.of(store)
    time_now = time_of(now)
    report = CompactionReport()
    with Catalog(paths) as catalog:
        place: Path = paths.data_dir
        try:
            todo = _partitions(catalog, time_now, more_than)
            total = sum(file.n_bytes for files in todo for file in files)
            done = 0
            for files in todo:
                place = files[0].path.parent
                _compact_partition(catalog, files, report)
                done += sum(file.n_bytes for file in files)
                if progress is not None:
                    progress(done, total)
            place = paths.events_parquet_dir
            cleared = clear(catalog, time_now)
            report.files_deleted = cleared.files_deleted
            report.files_kept_for_repair = cleared.files_kept_for_repair
            place = paths.manifests_dir
            catalog.back_up()
        except (OSError, duckdb.Error, sqlite3.Error) as error:
            raise VectraError(
                f"cannot compact {place}: {reason_of(error)}; its files stay as they were, and the same call goes on "
                "from there"
            ) from error
    return report


class AutoCompaction:
    """Compact days once they are closed, as long as a process records: on a thread of its own, beside the writer's.

    Parameters
    ----------
    store
        The store, or its folder.
    more_than
        A closed day with more new files than this is compacted.
    every
        How often it is looked.
    on_error
        Called with what a compaction raised; by default it is logged. It is tried again the next time.

    Examples
    --------
    >>> with AutoCompaction(sample_store, on_error=print):
    ...     pass  # record
    """

    def __init__(
        self,
        store: EventStorePaths | str | os.PathLike[str],
        *,
        more_than: int = 200,
        every: timedelta = timedelta(minutes=10),
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        self._paths = EventStorePaths.of(store)
        self._more_than = more_than
        self._every = every.total_seconds()
        self._on_error = on_error or _log_error
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vectra-compaction", daemon=True)

    def start(self) -> None:
        """Begin to look; once."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns when a compaction that is under way has ended."""
        self._stopping.set()
        self._thread.join()

    def __enter__(self) -> "AutoCompaction":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
            except Exception as error:  # recording goes on whatever becomes of this
                with contextlib.suppress(Exception):
                    self._on_error(error)
            self._stopping.wait(self._every)

    def _look(self) -> None:
        with Catalog(self._paths) as catalog:
            if not _partitions(catalog, time_of(None), self._more_than):
                return
        compact(self._paths, more_than=self._more_than)


def _log_error(error: Exception) -> None:
    logging.getLogger(__name__).warning("a day was not compacted, and will be tried again: %s", error)


def _partitions(catalog: Catalog, now: datetime, more_than: int = 0) -> list[list[LiveFile]]:
    """The live files of each partition that is not one sorted file already, of closed days with so many new files."""
    last_closed = now - _CLOSED_AFTER - timedelta(days=1)
    files = sorted(catalog.live_files(catalog.version()), key=lambda file: (file.date, file.doc_type, file.file_id))
    n_new = Counter(file.date for file in files if not file.is_compacted)
    found = [list(some) for _, some in groupby(files, lambda file: file.partition)]
    return [
        some
        for some in found
        if datetime.combine(date.fromisoformat(some[0].date), time(), UTC) <= last_closed
        and not (len(some) == 1 and some[0].is_compacted)
        and n_new[some[0].date] > more_than
    ]


def _compact_partition(catalog: Catalog, files: list[LiveFile], report: CompactionReport) -> None:
    commit_id = uuid.uuid4().hex
    # The version is taken first, since the footer names it; until the exchange it is like the one before.
    with catalog.transaction():
        version = catalog.add_version(commit_id)
    path = files[0].path.with_name(f"000000_v{version:08d}_{commit_id[:8]}.parquet")
    footer = footer_of(commit_id, version, n_files=1, replaces=[file.path.name for file in files])
    games = _Spans()
    try:
        with Relations(catalog.paths.data_dir, files) as relations:
            names = ", ".join(EVENT_SCHEMA.names)
            sql = f"{relations.select(files[0].doc_type, names)} ORDER BY {_SORT}"

            def write() -> WrittenFile:
                rows = relations.relation(sql).to_arrow_reader(ROW_GROUP_ROWS)
                return write_atomically(_row_groups(rows, games), path, footer)

            written = relations.asked(write)
        sync_folder(path.parent)
        new = _as_live(files, written)
        if not _holds_the_same(catalog.paths.data_dir, files, new):
            raise CorruptStore(
                f"{path} does not hold the rows of the {len(files)} files that it should replace, which stay as they "
                "were; run the compaction again, and check the disk if this happens twice"
            )
        with catalog.transaction():
            # The proof was before the lock: whoever sweeps leftovers under it may have taken the file for one.
            if not new.is_in_place():
                raise CorruptStore(
                    f"{path} was deleted or changed while it was compared with the {len(files)} files that it should "
                    "replace, which stay as they were; run the compaction again"
                )
            if not catalog.supersede(files, version):
                raise _NotLiveAnyMore
            catalog.add_file(new, version, games, catalog.sessions_in(files))
    except BaseException as error:
        with contextlib.suppress(Exception):
            if not catalog.has_file(path):
                path.unlink(missing_ok=True)
        if isinstance(error, _NotLiveAnyMore):
            return  # another process has compacted the partition meanwhile
        raise
    report.n_partitions += 1
    report.n_rows += new.n_rows
    report.files_before += len(files)
    report.files_after += 1
    report.bytes_before += sum(file.n_bytes for file in files)
    report.bytes_after += new.n_bytes


class _NotLiveAnyMore(Exception):
    pass


class _Spans:
    """Where each game's rows stand in a file, gathered while it is written."""

    def __init__(self) -> None:
        self._spans: dict[str, tuple[int, int]] = {}
        self._n_rows = 0

    def add(self, rows: pa.RecordBatch) -> None:
        for game_id, n_rows in pl.Series(rows["game_id"]).rle().struct.unnest().select("value", "len").rows():
            if game_id is not None:
                first, before = self._spans.get(game_id, (self._n_rows, 0))
                self._spans[game_id] = (first, before + n_rows)
            self._n_rows += n_rows

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        return ((game_id, first, n_rows) for game_id, (first, n_rows) in self._spans.items())


def _row_groups(batches: pa.RecordBatchReader, games: _Spans) -> Iterator[pa.Table]:
    for batch in batches:
        games.add(batch)
        n_parts = batch.nbytes // _GROUP_BYTES + 1
        n_rows = -(-batch.num_rows // n_parts)
        for first in range(0, batch.num_rows, n_rows):
            yield pa.Table.from_batches([batch.slice(first, n_rows)]).cast(EVENT_SCHEMA)


def _as_live(files: list[LiveFile], written: WrittenFile) -> LiveFile:
    """The new file as the catalog will know it, but for its number."""
    return LiveFile(
        file_id=-1,
        path=written.path,
        doc_type=files[0].doc_type,
        date=files[0].date,
        n_rows=sum(file.n_rows for file in files),
        n_bytes=written.n_bytes,
        ts_min=min(file.ts_min for file in files),
        ts_max=max(file.ts_max for file in files),
        sha256=written.sha256,
        is_compacted=1,
    )


def _holds_the_same(data_dir: Path, files: list[LiveFile], new: LiveFile) -> bool:
    """Whether both have the same rows, whatever their order, by what is now on the disk."""
    before, after = fingerprint(data_dir, files), fingerprint(data_dir, [new])
    return before == after and after.n_rows == new.n_rows
