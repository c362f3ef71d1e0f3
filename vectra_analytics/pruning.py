"""prune: whole days are taken out of the newest version on purpose, and stay out."""

import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import orjson

from vectra_analytics.catalog import Catalog
from vectra_analytics.commit import runs_of
from vectra_analytics.engine import Relations
from vectra_analytics.errors import CorruptStore, VectraError
from vectra_analytics.live_files import LiveFile
from vectra_analytics.maintenance import explained, time_of
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.row_proof import fingerprint

_ATTEMPTS = 5  # a compaction, or events that come late, may change the days in question while they are looked at


@dataclass(slots=True)
class PruneReport:
    """What a prune took out, or would take out."""

    before: str  # the first UTC day that stays
    done: bool = False  # False: nothing was changed
    version: int | None = None  # the store version without it
    days: list[str] = field(default_factory=list)
    n_rows: int = 0
    n_files: int = 0
    n_bytes: int = 0
    n_games: int = 0  # of which nothing stays
    n_games_in_part: int = 0  # that have rows on a later day, too, which stay

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return asdict(self)


def prune(store: EventStorePaths | str | os.PathLike[str] | None, before: date | str, yes: bool = False) -> PruneReport:
    """Take all events of the UTC days before a date out of the newest version; by default only say what would go.

    Older versions still have them until :func:`~vectra_analytics.vacuum` deletes the files, 24 hours later, and those
    that a snapshot pins for good. An import of the same recordings does not bring them back. A game that was played
    across midnight keeps its rows of the later day.

    Parameters
    ----------
    store
        The store, or its folder; None is ``$RUGS_DATA_DIR``, else ``~/rugs_data``.
    before
        The first day that stays, as a date or ``YYYY-MM-DD``.
    yes
        Do it.

    Raises
    ------
    CorruptStore
        Where a file cannot be read, or the rows of the later days would not stay as they are; nothing is changed then.
    VectraError
        Where ``before`` is no date, or there is no store, or it cannot be written.
    """
    paths, day = EventStorePaths.of(store), _day(before)
    with Catalog(paths) as catalog, explained("prune", paths):
        for _ in range(_ATTEMPTS):
            with catalog.reading():
                files = catalog.live_files(catalog.version())
                gone, kept = _split(files, day)
                report = _reported(catalog, day, gone, kept)
            if not gone or not yes:
                return report
            _prove(paths, files, gone, kept, day)
            report.version = _take_out(catalog, gone, day)
            if report.version is not None:
                report.done = True
                catalog.back_up()
                return report
    raise VectraError(
        f"cannot prune {paths.data_dir}: the days before {day} were changed {_ATTEMPTS} times while they were looked "
        "at; nothing was taken out; wait for the import or compaction that is under way, then try again"
    )


def _day(before: date | str) -> str:
    try:
        day = date.fromisoformat(before) if isinstance(before, str) else before
        return date(day.year, day.month, day.day).isoformat()
    except (ValueError, AttributeError) as error:
        raise VectraError(
            f"before is {before!r}, which is no date; give the first day to keep as YYYY-MM-DD"
        ) from error


def _split(files: Sequence[LiveFile], day: str) -> tuple[list[LiveFile], list[LiveFile]]:
    """The files of earlier days, and the others."""
    return [file for file in files if file.date < day], [file for file in files if file.date >= day]


def _reported(catalog: Catalog, day: str, gone: list[LiveFile], kept: list[LiveFile]) -> PruneReport:
    games = catalog.games_in(gone)
    in_part = games & catalog.games_in(kept)
    return PruneReport(
        before=day,
        days=sorted({file.date for file in gone}),
        n_rows=sum(file.n_rows for file in gone),
        n_files=len(gone),
        n_bytes=sum(file.n_bytes for file in gone),
        n_games=len(games - in_part),
        n_games_in_part=len(in_part),
    )


def _prove(paths: EventStorePaths, files: list[LiveFile], gone: list[LiveFile], kept: list[LiveFile], day: str) -> None:
    """Raise unless the files that stay hold exactly the rows of the later days, by what is on the disk.

    This reads all of them. Event files never change, so it is done before the transaction, which would make every
    writer wait; the transaction then looks whether these are still the files.
    """
    later = f"ts >= '{day}T00:00:00Z'::TIMESTAMPTZ"
    rows_to_stay = fingerprint(paths.data_dir, files, later)
    rows_of_kept = fingerprint(paths.data_dir, kept)
    n_earlier = _n_rows(paths, gone, f"NOT ({later})")
    if rows_to_stay != rows_of_kept or n_earlier != sum(file.n_rows for file in gone):
        raise CorruptStore(
            f"cannot prune {paths.data_dir}: its files of the days before {day} do not hold exactly the rows of those "
            "days, so nothing was taken out; `vectra verify` names the file that is not as it should be"
        )


def _n_rows(paths: EventStorePaths, files: list[LiveFile], where: str) -> int:
    with Relations(paths.data_dir, files) as relations, relations.explained():
        (found,) = relations.relation(f"{relations.select('events', 'count(*)')} WHERE {where}").fetchall()
    return int(found[0])


def _take_out(catalog: Catalog, gone: list[LiveFile], day: str) -> int | None:
    """Make the version without these files; None, and nothing done, where they are not those days any more."""
    commit_id = uuid.uuid4().hex
    identities = _identities(catalog.paths, gone)
    with catalog.transaction():
        live = catalog.live_files(catalog.version())
        earlier, later = _split(live, day)
        if earlier != gone:
            return None
        version = catalog.add_version(commit_id)
        is_superseded = catalog.supersede(gone, version)
        catalog.add_prune(version, _record(catalog, commit_id, version, day, gone, identities))
        if not is_superseded or catalog.live_files(version) != later:
            raise CorruptStore(
                f"cannot prune {catalog.paths.data_dir}: version {version} would not have exactly the files of the "
                f"days from {day} on, so nothing was taken out; check the disk, and run it again"
            )
    return version


def _record(
    catalog: Catalog,
    commit_id: str,
    version: int,
    day: str,
    gone: list[LiveFile],
    identities: dict[str, list[tuple[int, int, int]]],
) -> str:
    """What a catalog that is made anew from the files has to know."""
    stories = catalog.games_in([file for file in gone if file.doc_type == "complete_game"])
    said = {
        "before": day,
        "pruned_at": time_of(None).isoformat(timespec="seconds"),
        "store_version": version,
        "commit_id": commit_id,
        # Superseded ones too: where they are still there, those that replaced them may not be.
        "files": catalog.paths_before(day),
        "identities": identities,
        "complete_games": {game_id: catalog.complete_game(game_id) for game_id in sorted(stories)},
    }
    return orjson.dumps(said).decode()


def _identities(paths: EventStorePaths, files: list[LiveFile]) -> dict[str, list[tuple[int, int, int]]]:
    """The identities of all rows in these files: of each session, runs of seqs (first, last, step)."""
    with Relations(paths.data_dir, files) as relations, relations.explained():
        sql = relations.select("events", "session_id, list(seq ORDER BY seq)")
        rows = relations.relation(f"{sql} GROUP BY session_id ORDER BY session_id").fetchall()
    return {session_id: list(runs_of(seqs)) for session_id, seqs in rows}
