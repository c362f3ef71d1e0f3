"""What is wrong with a store: the catalog held against the files, and the files against themselves."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from vectra_analytics.catalog_file import PRUNED
from vectra_analytics.errors import CorruptStore
from vectra_analytics.live_files import MISSING
from vectra_analytics.maintenance.catalog_copy import CatalogCopy, KnownFile, copied, listed_prunes
from vectra_analytics.maintenance.file_contents import Footer, NotOurs, Rows, check_day, hashes_of, rows_of
from vectra_analytics.maintenance.strays import Stray, linked_folders, newer_than, strays_in
from vectra_analytics.schema import SCHEMA_VERSION
from vectra_analytics.sound_files import games_text

_READERS = 4  # files looked at at the same time
_PUT_BACK = "put it back from a copy, or run vectra repair, which moves it to quarantine"
_REPAIR = "run vectra repair"
MOVE_BACK = "put the folder itself there, or move the whole store and link that"
_CATALOG = "manifests/catalog.sqlite"

Progress = Callable[[int, int], object]
Runs = list[tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it should be."""

    file: str  # below the store
    what: str
    to_do: str
    is_live: bool | None = None  # of an event file: whether the newest version reads it
    doc_type: str | None = None
    date: str | None = None
    n_rows: int | None = None
    games: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        about = ""
        if self.n_rows is not None:
            about = f" ({self.n_rows:,} rows of {self.doc_type}, {self.date}; {games_text(self.games)})"
        live = "; it is superseded, so live rows are not affected" if self.is_live is False else ""
        return f"{self.file}{about}: {self.what}{live}; {self.to_do}"


@dataclass(slots=True)
class Examination:
    """What was found."""

    catalog: CatalogCopy
    files: list[KnownFile]
    problems: list[Problem] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)  # names of files that are missing or damaged, and why
    misindexed: set[str] = field(default_factory=set)  # names of sound files of which the catalog says something wrong
    rows: dict[str, Rows] = field(default_factory=dict)  # of sound files, where they were read
    linked: list[str] = field(default_factory=list)  # folders of known files that are links to elsewhere
    strays: list[Stray] = field(default_factory=list)
    doubled: dict[str, str] = field(default_factory=dict)  # names of live files with rows that another one has, too

    @property
    def live(self) -> list[KnownFile]:
        """The files of the newest version."""
        return [known for known in self.files if known.removed is None]


def examine(catalog: CatalogCopy, *, is_deep: bool, progress: Progress | None = None) -> Examination:
    """Hold a catalog and the files of its store against each other."""
    found = Examination(catalog, catalog.files())
    closed = closed_in(catalog, found.files)
    total, done = sum(known.file.n_bytes for known in found.files), 0
    with ThreadPoolExecutor(_READERS, "vectra-verify") as pool:
        looks = pool.map(lambda known: _look(known, is_deep=is_deep), found.files)
        for known, (fault, footer, rows) in zip(found.files, looks, strict=True):
            done += known.file.n_bytes
            if fault is not None:
                if known.name not in closed:  # else it is being deleted, and no version reads it
                    found.bad[known.name] = fault
                    found.problems.append(_bad_file(catalog, known, fault))
            else:
                if rows is not None:
                    found.rows[known.name] = rows
                for wrong in _index_faults(catalog, known, footer, rows):
                    found.misindexed.add(known.name)
                    found.problems.append(
                        _file_problem(catalog, known, f"the catalog is wrong about it: {wrong}", _REPAIR)
                    )
            if progress is not None:
                progress(done, total)
    found.problems += _identity_problems(found, is_deep=is_deep)
    found.problems += _other_problems(catalog, is_deep=is_deep)
    names = [known.name for known in found.files]
    found.linked = linked_folders(catalog.paths, names)
    for folder in found.linked:
        what = "is a link to another folder, and queries read nothing outside the store"
        found.problems.append(Problem(f"events_parquet/{folder}", what, MOVE_BACK))
    found.strays = strays_in(catalog.paths, [*names, *found.linked])
    return found


def stray_problems(found: Examination) -> Iterator[Problem]:
    """The files that the catalog does not name, but what killed processes leave."""
    newer, commits = newer_than(found.catalog, found.strays), found.catalog.commit_ids()
    for stray in found.strays:
        file = f"events_parquet/{stray.name}"
        if stray.footer is not None and not stray.replaced and stray.footer.commit_id in commits:
            what = "is not the catalog's, which has the commit that it names, without it: it is a copy"
            yield Problem(file, what, "delete it, or run vectra repair")
        elif stray.name in newer:
            yield Problem(file, "a whole commit that the catalog does not know: the catalog is older", _REPAIR)
        elif stray.why_not:
            what = f"is not the catalog's: {stray.why_not}"
            yield Problem(file, what, "move it elsewhere, or run vectra repair, which moves it to quarantine")


def closed_in(catalog: CatalogCopy, files: list[KnownFile]) -> set[str]:
    """The superseded files that no version reads which is still kept."""
    versions = np.array(sorted(version for (version,) in catalog.ask("SELECT version FROM versions")), dtype=np.int64)

    def is_read(first: int, end: int) -> bool:
        return bool(np.searchsorted(versions, first) < np.searchsorted(versions, end))

    return {known.name for known in files if known.removed is not None and not is_read(known.added, known.removed)}


def _look(known: KnownFile, *, is_deep: bool) -> tuple[str | None, Footer | None, Rows | None]:
    """What is wrong with a file; else its footer, and where all of it was read its rows."""
    fault = known.file.problem()
    if fault is not None:
        return fault, None, None
    try:
        hashes = hashes_of(known.file.path) if is_deep else None
        if hashes is not None and hashes.sha256 != known.file.sha256:
            raise NotOurs("its content is not what was written (SHA-256)")
        footer, rows = Footer.of(known.file.path), None
        if hashes is not None:
            if not hashes.agree_with(footer):
                raise NotOurs("its content is not what its footer says (SHA-256)")
            rows = rows_of(known.file.path, known.file.doc_type)
            check_day(rows, known.file.date)
    except NotOurs as error:
        return f"is damaged: {error}", None, None
    except OSError as error:
        return f"cannot be read: {error.strerror}", None, None
    return None, footer, rows


def _bad_file(catalog: CatalogCopy, known: KnownFile, fault: str) -> Problem:
    if known.removed is not None:
        return _file_problem(catalog, known, fault, "put it back from a copy, or run vectra repair")
    to_do = "put it back from a copy; deleted on purpose? run vectra repair --forget" if fault == MISSING else _PUT_BACK
    return _file_problem(catalog, known, fault, to_do)


def _file_problem(catalog: CatalogCopy, known: KnownFile, what: str, to_do: str) -> Problem:
    return Problem(
        file=f"events_parquet/{known.name}",
        what=what,
        to_do=to_do,
        is_live=known.removed is None,
        doc_type=known.file.doc_type,
        date=known.file.date,
        n_rows=known.file.n_rows,
        games=sorted(game_id for game_id, _, _ in catalog.games_of(known.file)),
    )


def _index_faults(catalog: CatalogCopy, known: KnownFile, footer: Footer | None, rows: Rows | None) -> Iterator[str]:
    """What the catalog says of a sound file, and is not so."""
    file = known.file
    games, sessions = catalog.games_of(file), catalog.sessions_of(file)
    n_named = sum(n_rows for _, _, n_rows in games)
    if not known.name.startswith(f"doc_type={file.doc_type}/date={file.date}/"):
        yield f"it calls it {file.doc_type} of {file.date}"
    if footer is not None and footer.n_rows != file.n_rows:
        yield f"it says {file.n_rows} rows, and there are {footer.n_rows}"
    if footer is not None and footer.n_named not in (None, n_named):
        yield f"it says {n_named} rows that name a game, and there are {footer.n_named}"
    elif any(first + n_rows > after for (_, first, n_rows), (_, after, _) in pairwise(games)):
        yield "two games have the same rows"
    elif rows is not None and sorted(games) != sorted(rows.games):
        yield "it does not say where the games' rows lie"
    if rows is None and not sessions:
        yield "it names no session of it"
    elif rows is not None and sessions != sorted(rows.sessions):
        yield "it says other sessions or numbers of events"
    if rows is not None and (file.ts_min, file.ts_max) != (rows.ts_min, rows.ts_max):
        yield "it says another time of the first or last event"


def seqs_of(runs: Runs) -> np.ndarray:
    """All numbers of some runs, ascending."""
    counts = [np.arange((last - first) // step + 1, dtype=np.int64) for first, last, step in runs]
    parts = [first + step * count for (first, _, step), count in zip(runs, counts, strict=True)]
    return np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)


def _identity_problems(found: Examination, *, is_deep: bool) -> Iterator[Problem]:
    return _identities_by_rows(found) if is_deep else _identities_by_counts(found)


def _identities_by_counts(found: Examination) -> Iterator[Problem]:
    catalog, pruned = found.catalog, found.catalog.prunes()
    n_stored = _n_identities(catalog.identities())
    n_rows = sum(known.file.n_rows for known in found.live) + _n_identities(pruned.identities)
    if n_stored != n_rows:
        yield Problem(_CATALOG, f"it knows {n_stored:,} identities, and there are {n_rows:,} rows", _REPAIR)
    tellers = [known for known in found.live if known.file.doc_type == "complete_game"]
    n_told = sum(n_rows for known in tellers for _, _, n_rows in catalog.games_of(known.file))
    n_told += len(pruned.complete_games)
    n_known = len(catalog.complete_games())
    if n_known != n_told:
        yield Problem(_CATALOG, f"it knows {n_known:,} complete games, and {n_told:,} are stored", _REPAIR)


def _n_identities(stored: dict[str, Runs]) -> int:
    return sum((last - first) // step + 1 for runs in stored.values() for first, last, step in runs)


def _identities_by_rows(found: Examination) -> Iterator[Problem]:
    stored, pruned = found.catalog.identities(), found.catalog.prunes()
    of_bad = [known for known in found.live if known.name in found.bad]
    unsure = {session_id for known in of_bad for session_id, _, _ in found.catalog.sessions_of(known.file)}
    by_session: dict[str, list[tuple[str, np.ndarray]]] = {}
    for name, rows in _live_rows(found):
        for session_id, seqs in rows.seqs.items():
            by_session.setdefault(session_id, []).append((name, seqs))
    wrong = []
    for session_id in sorted(by_session.keys() | pruned.identities.keys() | (stored.keys() - unsure)):
        parts = by_session.get(session_id, [])
        there = np.sort(np.concatenate([part for _, part in parts])) if parts else np.empty(0, np.int64)
        twice = np.unique(there[1:][there[1:] == there[:-1]])
        if len(twice):
            yield from _doubled(found, session_id, parts, twice)
        expected = np.union1d(there, seqs_of(pruned.identities.get(session_id, [])))
        known_seqs = seqs_of(stored.get(session_id, []))
        is_there = bool(np.isin(expected, known_seqs).all())
        if not is_there or (session_id not in unsure and len(known_seqs) != len(expected)):
            wrong.append(session_id)
    if wrong:
        some = f"session {wrong[0]}" + (f" and {len(wrong) - 1:,} more" if len(wrong) > 1 else "")
        yield Problem(_CATALOG, f"the identities that it knows are not those of the rows: {some}", _REPAIR)
    told = {game: content for _, rows in _live_rows(found) for game, content in rows.complete_games}
    told |= pruned.complete_games
    known_stories = found.catalog.complete_games()
    is_unsure = any(known.file.doc_type == "complete_game" for known in of_bad)
    if known_stories != told and not (is_unsure and told.items() <= known_stories.items()):
        yield Problem(_CATALOG, "the complete games that it knows are not those of the rows", _REPAIR)


def _live_rows(found: Examination) -> Iterator[tuple[str, Rows]]:
    return ((known.name, found.rows[known.name]) for known in found.live if known.name in found.rows)


def _doubled(
    found: Examination, session_id: str, parts: list[tuple[str, np.ndarray]], twice: np.ndarray
) -> Iterator[Problem]:
    """Rows that are stored twice: the file that came first keeps them."""
    having = [name for name, seqs in parts if np.isin(twice, seqs).any()]
    for name in having[1:] or having:
        what = f"{len(twice):,} events of session {session_id} are stored twice, {twice[0]} the first"
        if name not in found.doubled:
            found.doubled[name] = what
            known = next(known for known in found.live if known.name == name)
            yield _file_problem(found.catalog, known, what, "run vectra repair, which moves it to quarantine")


def _other_problems(catalog: CatalogCopy, *, is_deep: bool) -> Iterator[Problem]:
    paths = catalog.paths
    for name, n_rejected in catalog.ask("SELECT name, n_rejected FROM rejects ORDER BY name"):
        file = paths.rejects_dir / f"{name}.jsonl"
        if not file.is_file():
            yield Problem(f"manifests/rejects/{file.name}", f"{MISSING}, with {n_rejected:,} rejects", _REPAIR)
        elif is_deep and len(file.read_bytes().splitlines()) < n_rejected:
            yield Problem(
                f"manifests/rejects/{file.name}", f"it has fewer than the {n_rejected:,} lines it had", _REPAIR
            )
    version_file = paths.manifests_dir / "schema_version.json"
    try:
        is_right = json.loads(version_file.read_bytes()) == {"schema_version": SCHEMA_VERSION}
    except (OSError, ValueError):
        is_right = False
    if not is_right:
        yield Problem("manifests/schema_version.json", f"it does not say {SCHEMA_VERSION}", _REPAIR)
    if listed_prunes(paths.manifests_dir / PRUNED)[1]:
        yield Problem(f"manifests/{PRUNED}", "it has lines that cannot be read", _REPAIR)
    backup = paths.manifests_dir / "catalog.backup.sqlite"
    if backup.exists():
        try:
            copied(paths, backup).db.close()
        except CorruptStore as error:
            yield Problem(
                f"manifests/{backup.name}", f"is damaged: {error}", "run vectra repair, which makes a new one"
            )
