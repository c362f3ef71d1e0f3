"""commit: a batch of rows becomes one store version, across all partitions, or nothing does."""

import contextlib
import hashlib
import threading
import uuid
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from vectra_analytics.catalog import Catalog
from vectra_analytics.errors import CorruptStore
from vectra_analytics.forks import check_polars
from vectra_analytics.live_files import LiveFile
from vectra_analytics.parquet import footer_of, write_atomically
from vectra_analytics.rejects import Reject, keep_rejects
from vectra_analytics.schema import BATCH_SCHEMA, EVENT_SCHEMA
from vectra_analytics.whole_files import sync_folder

_IDENTITY = ["session_id", "seq"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000_000  # microseconds
_WRITERS = 4  # files written at the same time
_LABELS = [column.name for column in EVENT_SCHEMA if pa.types.is_dictionary(column.type)]


@dataclass(slots=True)
class Commit:
    """What became of a batch."""

    version: int | None = None  # None where no row was new
    files: list[Path] = field(default_factory=list)
    n_stored: int = 0
    duplicates: list[int] = field(default_factory=list)  # rows of the batch that were stored before
    conflicts: dict[int, str] = field(default_factory=dict)  # rows refused, with the reason


def commit(catalog: Catalog, batch: pa.Table, *, keep_conflicts: bool = True) -> Commit:
    """Store the rows of ``batch`` that are new, durably, and tell what became of the others.

    Parameters
    ----------
    batch
        Rows of :data:`vectra_analytics.schema.BATCH_SCHEMA`.
    keep_conflicts
        Write refused rows to ``manifests/rejects`` in the same transaction. An importer, which knows their
        file and line, does it itself.
    """
    outcome = Commit()
    commit_id = uuid.uuid4().hex
    written: list[Path] = []
    try:
        with catalog.transaction():
            by_session = _by_session(_identities(batch))
            new = _new_rows(catalog, batch, by_session, outcome)
            if new is not batch:
                by_session = _by_session(_identities(new))
            if outcome.conflicts and keep_conflicts:
                keep_rejects(catalog, commit_id, list(_as_rejects(batch, outcome.conflicts)))
            if new.num_rows:
                outcome.version = catalog.add_version(commit_id)
                _store(catalog, new, by_session, outcome.version, commit_id, written)
    except BaseException:
        # Even an interrupt, or an error of SQLite's, may come when all was durable already. Only files of
        # which it is certain that no version has them are removed; a reader never sees the others either.
        if not catalog.may_have(commit_id):
            for path in [*written, catalog.paths.rejects_dir / f"{commit_id}.jsonl"]:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
        raise
    outcome.files = written
    outcome.n_stored = new.num_rows
    return outcome


def _store(
    catalog: Catalog,
    new: pa.Table,
    by_session: dict[str, list[int]],
    version: int,
    commit_id: str,
    written: list[Path],
) -> None:
    partitions = list(_partitions(new))
    footer = footer_of(commit_id, version, n_files=len(partitions))
    folders: set[Path] = set()
    for part in partitions:
        folder = catalog.paths.parquet_partition_dir(part.doc_type, part.date)
        folder.mkdir(parents=True, exist_ok=True)
        folders.add(folder)
        if folder not in catalog.durable_folders:
            folders.update(folder.parents[: len(folder.relative_to(catalog.paths.data_dir).parts) + 1])
        began = (_EPOCH + timedelta(microseconds=part.ts_min)).strftime("%H%M%S")
        written.append(folder / f"{began}_v{version:08d}_{commit_id[:8]}.parquet")
    arguments = ([[part.rows] for part in partitions], written, [footer] * len(partitions))
    if len(partitions) == 1 or not threading.main_thread().is_alive():
        files = list(map(write_atomically, *arguments))  # a process that ends starts no thread any more
    else:
        # Encoding and waiting for the disk both leave the interpreter free: the files are made together.
        with ThreadPoolExecutor(min(_WRITERS, len(partitions))) as pool:
            files = list(pool.map(write_atomically, *arguments))
    for part, file in zip(partitions, files, strict=True):
        live = LiveFile(
            file_id=-1,
            path=file.path,
            doc_type=part.doc_type,
            date=part.date,
            n_rows=part.rows.num_rows,
            n_bytes=file.n_bytes,
            ts_min=part.ts_min,
            ts_max=part.ts_max,
            sha256=file.sha256,
            is_compacted=0,
        )
        catalog.add_file(live, version, part.games, part.sessions)
    for folder in folders:
        sync_folder(folder)
    catalog.durable_folders |= folders
    for session_id, seqs in by_session.items():
        for run in runs_of(sorted(seqs)):
            catalog.add_run(session_id, *run)


@dataclass(slots=True)
class _Partition:
    """The rows of one file, and what the catalog keeps of them."""

    doc_type: str
    date: str
    rows: pa.Table  # EVENT_SCHEMA
    ts_min: int  # microseconds since 1970
    ts_max: int
    games: list[tuple[str, int, int]]  # with the first row and the number of rows
    sessions: list[tuple[str, int, int]]  # with the lowest and highest seq


def _partitions(rows: pa.Table) -> Iterator[_Partition]:
    """The rows by doc_type and UTC day, those of a game together."""
    times = rows["ts"].cast(pa.int64()).to_pylist()
    games = rows["game_id"].to_pylist()
    identities = _identities(rows)
    days = [time // _DAY for time in times]
    parts: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for row, key in enumerate(zip(rows["doc_type"].to_pylist(), days, strict=True)):
        parts[key].append(row)
    for (doc_type, day), found in sorted(parts.items()):
        # A game's rows stand together, in the order they came: a reader then needs one slice of the file.
        by_game: defaultdict[str | None, list[int]] = defaultdict(list)
        for row in found:
            by_game[games[row]].append(row)
        part = list(chain.from_iterable(by_game.values()))
        spans, first = [], 0
        for game_id, its_rows in by_game.items():
            if game_id is not None:
                spans.append((game_id, first, len(its_rows)))
            first += len(its_rows)
        mine = rows if part == list(range(rows.num_rows)) else _take(rows, part)
        by_session = _by_session(map(identities.__getitem__, part))
        some_times = list(map(times.__getitem__, part))
        yield _Partition(
            doc_type=doc_type,
            date=(_EPOCH + timedelta(days=day)).strftime("%Y-%m-%d").zfill(10),
            rows=mine.select(EVENT_SCHEMA.names).combine_chunks(),
            ts_min=min(some_times),
            ts_max=max(some_times),
            games=spans,
            sessions=[(session_id, min(seqs), max(seqs)) for session_id, seqs in by_session.items()],
        )


def _new_rows(catalog: Catalog, batch: pa.Table, by_session: dict[str, list[int]], outcome: Commit) -> pa.Table:
    """The rows whose identity, and game if they are complete games, the store does not have."""
    known, first_of = _known_and_repeated(catalog, batch, by_session, outcome)
    if known:
        low, high = _bounds(batch, known)
        stored = _read_stored(catalog, {s: (low[s], high[s]) for s in low})
        _judge(batch, known, stored, outcome, "is stored already with other content")
    if first_of:
        firsts = _frame(_take(batch, list(first_of.values()))).unique(_IDENTITY)
        _judge(batch, list(first_of), firsts, outcome, "came before in the same batch with other content")
    refused = set(outcome.duplicates) | outcome.conflicts.keys()
    if not refused:
        return batch
    return _take(batch, [row for row in range(batch.num_rows) if row not in refused])


def _take(batch: pa.Table, rows: list[int]) -> pa.Table:
    return batch.take(pa.array(rows, pa.int64()))


def _identities(rows: pa.Table) -> list[tuple[str, int]]:
    return list(zip(*(rows[name].to_pylist() for name in _IDENTITY), strict=True))


def _by_session(identities: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for session_id, seq in identities:
        found[session_id].append(seq)
    return found


def _known_and_repeated(
    catalog: Catalog, batch: pa.Table, by_session: dict[str, list[int]], outcome: Commit
) -> tuple[list[int], dict[int, int]]:
    """Rows stored before; and those that repeat an identity of this batch, each with the first row that has it.

    Complete games are judged on the way: one that is not stored, since its game is, leaves its identity free.
    """
    known_seqs: dict[str, set[int]] = {}
    has_repeats = False
    for session_id, seqs in by_session.items():
        has_repeats |= len(set(seqs)) != len(seqs)
        runs = catalog.stored_runs(session_id, min(seqs), max(seqs))
        ordered = sorted(seqs)
        known = {
            seq
            for first, last, step in runs
            for seq in ordered[bisect_left(ordered, first) : bisect_right(ordered, last)]
            if not (seq - first) % step
        }
        if known:
            known_seqs[session_id] = known
    games = {row for row, doc_type in enumerate(batch["doc_type"].to_pylist()) if doc_type == "complete_game"}
    if not known_seqs and not has_repeats:
        for row in sorted(games):
            _is_new_game(catalog, batch, row, outcome)
        return [], {}
    stored_before: list[int] = []
    firsts: dict[tuple[str, int], int] = {}
    first_of: dict[int, int] = {}
    for row, identity in enumerate(_identities(batch)):
        if identity[1] in known_seqs.get(identity[0], ()):
            stored_before.append(row)
        elif identity in firsts:
            first_of[row] = firsts[identity]
        elif row not in games or _is_new_game(catalog, batch, row, outcome):
            firsts[identity] = row
    return stored_before, first_of


def _bounds(batch: pa.Table, rows: list[int]) -> tuple[dict[str, int], dict[str, int]]:
    seqs = _by_session(_identities(_take(batch, rows)))
    return {s: min(found) for s, found in seqs.items()}, {s: max(found) for s, found in seqs.items()}


def _read_stored(catalog: Catalog, wanted: dict[str, tuple[int, int]]) -> pl.DataFrame:
    """The stored rows of these sessions between these seqs."""
    files: dict[tuple[Path, str], list[str]] = {}
    for session_id, (low, high) in wanted.items():
        for file in catalog.files_of_session(session_id, low, high):
            files.setdefault(file, []).append(session_id)
    frames = [_frame(BATCH_SCHEMA.empty_table())]
    for (path, doc_type), sessions in files.items():
        try:
            table = pq.read_table(path, filters=[("session_id", "in", sessions)], partitioning=None)
        except (OSError, pa.ArrowException) as error:
            raise CorruptStore(
                f"the live file {path} cannot be read, so it is not known whether it holds these events: "
                f"{' '.join(str(error).split())[:200]}; put it back from a copy"
            ) from error
        frames.append(_frame(table.add_column(0, BATCH_SCHEMA.field(0), pa.array([doc_type] * table.num_rows))))
    return pl.concat(frames)


def _frame(rows: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(rows.select(BATCH_SCHEMA.names))
    assert isinstance(frame, pl.DataFrame)
    return frame.cast(dict.fromkeys(_LABELS, pl.String()))


def _judge(batch: pa.Table, rows: list[int], kept: pl.DataFrame, outcome: Commit, why: str) -> None:
    """Sort ``rows``, whose identities are all in ``kept``, into duplicates and conflicts."""
    check_polars()
    content = [name for name in BATCH_SCHEMA.names if name not in _IDENTITY]
    again = _frame(_take(batch, rows)).with_columns(_row=pl.Series(rows, dtype=pl.Int64))
    paired = again.join(kept, on=_IDENTITY, how="left", suffix="_kept", maintain_order="left")
    # A complete game is itself whenever it was captured; of other events every column counts. Of JSON the
    # meaning counts, not the order of keys.
    # A row that was stored and is not any more was pruned: what is pruned stays gone, and nothing is left to compare.
    columns = [name for name in content if name != "raw_json"]
    judged = paired.select(
        *("_row", "session_id", "seq", "raw_json", "raw_json_kept"),
        is_same=pl.all_horizontal(pl.col(c).eq_missing(pl.col(f"{c}_kept")) for c in columns)
        | pl.all_horizontal(pl.col(c).eq(pl.col(f"{c}_kept")) for c in ("doc_type", "game_id"))
        & pl.col("doc_type").eq("complete_game"),
        is_pruned=pl.col("doc_type_kept").is_null(),
    )
    for row, session_id, seq, raw, raw_kept, is_same, is_pruned in judged.iter_rows():
        if is_pruned or (is_same and (raw == raw_kept or canonical_hash(raw) == canonical_hash(raw_kept))):
            outcome.duplicates.append(row)
        else:
            outcome.conflicts[row] = f"event {_shown(session_id)}/{seq} {why}"


def _is_new_game(catalog: Catalog, batch: pa.Table, row: int, outcome: Commit) -> bool:
    """Judge a complete game, which is stored once, under whatever identity it came first; remember a new one."""
    if not batch["game_id"][row].is_valid:
        return True
    game_id = batch["game_id"][row].as_py()
    content = canonical_hash(batch["raw_json"][row].as_py())
    stored = catalog.complete_game(game_id)
    if stored is None:
        catalog.add_complete_game(game_id, content)
    elif stored == content:
        outcome.duplicates.append(row)
    else:
        outcome.conflicts[row] = f"the complete game {_shown(game_id)} is stored already with other content"
    return stored is None


def _shown(name: str) -> str:
    """The name for a reason, which is one line and no page."""
    return name if name.isprintable() and len(name) <= 80 else ascii(name[:80])


def canonical_hash(raw_json: str) -> str:
    """The same for texts that differ only in spaces and the order of keys."""
    try:
        canonical = orjson.dumps(orjson.loads(raw_json), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        canonical = raw_json.encode()
    return hashlib.sha256(canonical).hexdigest()


def runs_of(seqs: Iterable[int]) -> Iterator[tuple[int, int, int]]:
    """Ascending numbers as (first, last, step): 1 2 3 10 20 30 gives (1, 3, 1) and (10, 30, 10)."""
    run: tuple[int, int, int] | None = None
    for seq in seqs:
        if run is None:
            run = (seq, seq, 1)
        elif run[0] == run[1]:
            run = (run[0], seq, seq - run[0])
        elif seq - run[1] == run[2]:
            run = (run[0], seq, run[2])
        else:
            yield run
            run = (seq, seq, 1)
    if run is not None:
        yield run


def _as_rejects(batch: pa.Table, conflicts: dict[int, str]) -> Iterator[Reject]:
    for row, reason in conflicts.items():
        yield Reject(
            origin=batch["session_id"][row].as_py(),
            position=batch["seq"][row].as_py(),
            reason=reason,
            raw=batch["raw_json"][row].as_py(),
        )
