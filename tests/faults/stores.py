"""Stores whose every row is known, and what they hold by SQLite and PyArrow alone, without the code that is tested."""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from tests.builders import tick_event
from vectra_analytics import EventEnvelope, EventSource, EventStorePaths, EventStoreQuery, ParquetWriter
from vectra_analytics.maintenance.verification import verify
from vectra_analytics.schema import EVENT_SCHEMA

COMMIT_ROWS = 12
"""Events of a commit: of two days and of two kinds, so in four files."""
DAYS = (datetime(2025, 12, 15, 12, tzinfo=UTC), datetime(2025, 12, 16, 12, tzinfo=UTC))
LATER = datetime(2025, 12, 19, tzinfo=UTC)
"""A time when both days are closed."""
NEVER = 3600.0
"""Seconds of a flush_interval that does not end while a test runs."""

Row = tuple[object, ...]


def event(session_id: str, seq: int) -> EventEnvelope:
    """The event of this number: the same whenever it is asked for."""
    number, place = divmod(seq, COMMIT_ROWS)
    ts = DAYS[place % 2] + timedelta(seconds=number, milliseconds=250 * place)
    if place % 3 == 0:
        return EventEnvelope.from_system_event("note", {"n": seq}, EventSource.CDP, session_id, seq, ts=ts)
    return tick_event(place, 1 + seq / 7, f"{session_id}-{number}-{place % 2}", session_id, seq=seq, ts=ts)


def events(session_id: str, n_commits: int, first: int = 0) -> list[EventEnvelope]:
    """The events of so many commits."""
    return [event(session_id, seq) for seq in range(first * COMMIT_ROWS, (first + n_commits) * COMMIT_ROWS)]


def row_of(envelope: EventEnvelope) -> Row:
    """What has to be stored of an event."""
    return (
        str(envelope.doc_type.value),
        envelope.ts.astimezone(UTC).strftime("%Y-%m-%d"),
        envelope.ts,
        envelope.session_id,
        envelope.seq,
        envelope.game_id,
        envelope.tick,
        envelope.price,
        envelope.raw_json,
    )


def rows_of(envelopes: Iterable[EventEnvelope]) -> Counter[Row]:
    """What has to be stored of these events, each once."""
    return Counter(map(row_of, envelopes))


def write_commits(data_dir: Path, session_id: str, n_commits: int) -> None:
    """Make a store, or add to it, a commit of :data:`COMMIT_ROWS` events at a time."""
    with ParquetWriter(data_dir, buffer_size=10_000, flush_interval=NEVER) as writer:
        for number in range(n_commits):
            for one in events(session_id, 1, number):
                writer.write(one)
            writer.flush()


def stored(data_dir: Path) -> Counter[Row]:
    """All rows of the newest version: by the catalog's list of files, each read by PyArrow."""
    found: Counter[Row] = Counter()
    for name, *_ in asked(data_dir, "SELECT path FROM files WHERE removed IS NULL"):
        found.update(rows_in(data_dir / "events_parquet" / str(name)))
    return found


def globbed(data_dir: Path) -> Counter[Row]:
    """All rows that another tool finds which reads every Parquet file."""
    found: Counter[Row] = Counter()
    for file in (data_dir / "events_parquet").glob("**/*.parquet"):
        found.update(rows_in(file))
    return found


def rows_in(file: Path) -> Counter[Row]:
    """The rows of a file, with what its folders say."""
    return Counter(_read(file))


def _read(file: Path) -> Iterator[Row]:
    doc_type, date = (folder.name.partition("=")[2] for folder in (file.parent.parent, file.parent))
    with pq.ParquetFile(file) as content:
        table = content.read(use_threads=False)
    assert table.schema.equals(EVENT_SCHEMA, check_metadata=False), file
    columns = [table[name] for name in ("ts", "session_id", "seq", "game_id", "tick", "price", "raw_json")]
    for ts, *others in zip(*(column.to_pylist() for column in columns), strict=True):
        yield doc_type, date, ts.astimezone(UTC), *others


def asked(data_dir: Path, sql: str) -> list[tuple[object, ...]]:
    """The rows of an answer of the catalog; none where there is none."""
    file = data_dir / "manifests" / "catalog.sqlite"
    if not file.exists() or not file.stat().st_size:
        return []
    with contextlib.closing(sqlite3.connect(file)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'files'").fetchone():
            return []
        return db.execute(sql).fetchall()


def assert_sound(data_dir: Path, known_strays: Sequence[str] = (), *, keeps_commits: bool = True) -> list[str]:
    """Verify every byte; gives the names of leftovers.

    Parameters
    ----------
    known_strays
        Names of files of which verify is right to complain.
    keeps_commits
        No commit has lost a file.

    Raises
    ------
    AssertionError
        Something is wrong, or a commit of which some files are known lacks others.
    """
    report = verify(data_dir, deep=True)
    problems = [str(problem) for problem in report.problems if Path(problem.file).name not in known_strays]
    assert not problems, f"verify: {problems}"
    if keeps_commits:
        assert_whole_commits(data_dir)
    return report.leftovers


def assert_whole_commits(data_dir: Path) -> None:
    """Each version has as many files as the footers say that its commit has; one a doc_type and day."""
    known: Counter[object] = Counter()
    said: dict[object, int] = {}
    for name, added, is_compacted in asked(data_dir, "SELECT path, added, is_compacted FROM files"):
        file = data_dir / "events_parquet" / str(name)
        if is_compacted or not file.exists():  # a commit of which some files were vacuumed is known in part
            continue
        known[added] += 1
        said[added] = int((pq.read_metadata(file).metadata or {})[b"vectra.commit_files"])
    n_removed = Counter(added for added, *_ in asked(data_dir, "SELECT added FROM files WHERE removed IS NOT NULL"))
    for added, n_files in said.items():
        assert known[added] == n_files or n_removed[added], f"version {added} has {known[added]} of {n_files} files"


def assert_query_agrees(data_dir: Path, found: Counter[Row]) -> None:
    """The query gives as many rows as there are."""
    n_events = EventStoreQuery(EventStorePaths(data_dir)).count_events()
    assert n_events == found.total(), f"the query gives {n_events} of {found.total()} rows"


def difference(found: Counter[Row], wanted: Counter[Row]) -> str:
    """What is missing and what is too much, in short."""
    short = [row[:5] for row in (wanted - found)][:3]
    over = [row[:5] for row in (found - wanted)][:3]
    return f"{(wanted - found).total()} missing {short}, {(found - wanted).total()} too many {over}"


def assert_same(found: Counter[Row], wanted: Counter[Row], when: str) -> None:
    """Exactly these rows, each as often."""
    assert found == wanted, f"{when}: {difference(found, wanted)}"


def in_days(days: float) -> datetime:
    """A time so much later than the clock's."""
    return datetime.now(UTC) + timedelta(days=days)
