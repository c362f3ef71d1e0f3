"""Which files that the catalog does not know belong into it: whole commits, and compacted files that are needed."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from vectra_analytics.maintenance.examination import Examination, seqs_of
from vectra_analytics.maintenance.file_contents import Hashes, NotOurs, Rows, check_day, hashes_of, rows_of
from vectra_analytics.maintenance.strays import Stray, claimed, commits_of

_Key = tuple[str, int | None]  # an identity; or a game whose story it is, without a seq


@dataclass(slots=True)
class _Unit:
    """Files that are taken in together or not at all."""

    files: list[Stray]
    why_not: str = ""  # it may not be taken in, whatever is stored
    is_late: bool = False  # it comes after all others, and with the version that the repair makes


@dataclass(slots=True)
class Choice:
    """What becomes of the files that the catalog does not know."""

    take: list[tuple[Stray, bool]] = field(default_factory=list)  # and whether it comes with a version of its own
    replaced: set[str] = field(default_factory=set)  # names of files of which a taken one has the rows
    sweep: list[Stray] = field(default_factory=list)  # all of their rows are stored, or were never to be
    refuse: list[tuple[Stray, str]] = field(default_factory=list)  # and why
    rows: dict[str, Rows] = field(default_factory=dict)  # of all sound ones
    hashes: dict[str, Hashes] = field(default_factory=dict)


def choose(found: Examination, mentioned: Iterable[str]) -> Choice:
    """Sort the strays of an examination.

    A compacted file is taken in only where a file that it replaced is gone: as long as those are all there, they are
    what is read. Of commits that claim the same version the one that was written last came through, or the one that a
    compaction names; another one was killed before it was acknowledged, and its events were perhaps stored anew. So no
    unit is taken in that has an identity which is stored already: it is swept if all of them are, and refused if some
    are. Those that surely came through are first: what a compaction made, the last one before others; then commits with
    versions of their own; then those of which it is not known, more rows before fewer.

    Parameters
    ----------
    mentioned
        As for :func:`~vectra_analytics.maintenance.strays.commits_of`.
    """
    choice = Choice()
    pruned = found.catalog.prunes()
    ours = []
    for stray in found.strays:
        if stray.is_unfinished:
            continue
        if stray.name in pruned.paths:
            choice.sweep.append(stray)
        elif stray.why_not:
            choice.refuse.append((stray, stray.why_not))
        else:
            try:
                choice.rows[stray.name] = rows_of(stray.path, stray.doc_type)
                check_day(choice.rows[stray.name], stray.date)
                choice.hashes[stray.name] = hashes_of(stray.path)
                ours.append(stray)
            except NotOurs as error:
                choice.refuse.append((stray, str(error)))
    units = _compacted(found, ours, choice)
    replaced = [stray for stray in ours if stray.name in choice.replaced]
    choice.sweep += replaced
    units += _ordinary(found, [stray for stray in ours if stray not in replaced], {*mentioned, *choice.replaced})
    _admit(found, sorted(units, key=lambda unit: _rank(unit, choice)), choice)
    choice.take.sort(key=lambda taken: (not taken[1], _version(taken[0]), taken[0].name))
    return choice


def _rank(unit: _Unit, choice: Choice) -> tuple[bool, bool, int, str]:
    first = unit.files[0]
    if unit.is_late:
        order = -sum(choice.rows[stray.name].n_rows for stray in unit.files)
    else:
        order = -_version(first) if first.replaced else _version(first)
    return unit.is_late, not first.replaced, order, first.name


def _version(stray: Stray) -> int:
    assert stray.footer is not None
    return stray.footer.version


def _compacted(found: Examination, ours: list[Stray], choice: Choice) -> list[_Unit]:
    sound = found.rows.keys() | choice.rows.keys()
    units = []
    for stray in sorted(ours, key=_version, reverse=True):
        if not stray.replaced:
            continue
        if stray.name in choice.replaced:  # superseded by a later one
            choice.replaced |= set(stray.replaced)
        elif sound.issuperset(stray.replaced):
            units.append(_Unit([stray], is_late=True))  # swept, unless those cannot be taken in
        else:
            rows = choice.rows[stray.name]
            before = [found.rows.get(name) or choice.rows[name] for name in stray.replaced if name in sound]
            if choice.replaced & set(stray.replaced):
                units.append(_Unit([stray], why_not="a later compaction replaced the same files"))
            elif not all(_has_all(rows, some) for some in before):
                units.append(_Unit([stray], why_not="it has not all rows of the files that it replaced"))
            else:
                choice.replaced |= set(stray.replaced)
                units.append(_Unit([stray]))
    return units


def _has_all(rows: Rows, some: Rows) -> bool:
    return all(
        session_id in rows.seqs and bool(np.isin(seqs, rows.seqs[session_id]).all())
        for session_id, seqs in some.seqs.items()
    )


def _ordinary(found: Examination, ours: list[Stray], mentioned: set[str]) -> list[_Unit]:
    newest = found.catalog.newest
    claims = claimed(mentioned)
    written: dict[int, float] = {}  # when the last commit of a version was written
    for stray in ours:
        version = _version(stray)
        written[version] = max(written.get(version, 0), stray.path.stat().st_mtime)
    units = []
    for commit in commits_of(ours, {*mentioned, *(stray.name for stray in found.strays)}):
        n_files = commit.files[0].footer.n_files if commit.files[0].footer else 0
        time = max(stray.path.stat().st_mtime for stray in commit.files)
        units.append(
            _Unit(
                list(commit.files),
                why_not="" if commit.is_whole else f"its commit had {n_files} files, and not all are there",
                is_late=commit.version <= newest
                or time < written[commit.version]
                or bool(claims.get(commit.version, set()) - {commit.commit_id[:8]}),
            )
        )
    return units


def _admit(found: Examination, units: list[_Unit], choice: Choice) -> None:
    pruned = found.catalog.prunes()
    owners: dict[str, list[tuple[int, np.ndarray]]] = {}  # 0 is what is stored
    tellers: dict[str, list[int]] = {}
    for session_id, runs in pruned.identities.items():
        owners.setdefault(session_id, []).append((0, seqs_of(runs)))
    for game_id in pruned.complete_games:
        tellers.setdefault(game_id, []).append(0)
    stored = [
        found.rows[known.name]
        for known in found.live
        if known.name in found.rows and known.name not in choice.replaced and known.name not in found.doubled
    ]
    rows_of_unit = [stored, *([choice.rows[stray.name] for stray in unit.files] for unit in units)]
    for number, some in enumerate(rows_of_unit):
        for rows in some:
            for session_id, seqs in rows.seqs.items():
                owners.setdefault(session_id, []).append((number, seqs))
            for game_id, _ in rows.complete_games:
                tellers.setdefault(game_id, []).append(number)
    shared = _shared(owners, tellers, len(rows_of_unit))
    taken = set(shared[0])
    for number, unit in enumerate(units, start=1):
        n_events = sum(rows.n_rows for rows in rows_of_unit[number])
        n_stored = sum(1 for _, seq in shared[number] & taken if seq is not None)
        if n_stored == n_events:
            choice.sweep += unit.files
        elif unit.why_not or shared[number] & taken:
            why = unit.why_not or f"{n_stored:,} of its events are stored already, in other files"
            choice.refuse += [(stray, why) for stray in unit.files]
        else:
            taken |= shared[number]
            choice.take += [(stray, not unit.is_late) for stray in unit.files]


def _shared(
    owners: dict[str, list[tuple[int, np.ndarray]]], tellers: dict[str, list[int]], n_units: int
) -> list[set[_Key]]:
    """Of each unit the identities, and games told, that another one has as well."""
    shared: list[set[_Key]] = [set() for _ in range(n_units)]
    for session_id, parts in owners.items():
        seqs = np.concatenate([some for _, some in parts])
        numbers = np.concatenate([np.full(len(some), number) for number, some in parts])
        order = np.argsort(seqs, kind="stable")
        seqs, numbers = seqs[order], numbers[order]
        same = seqs[1:] == seqs[:-1]
        twice = np.concatenate([same, [False]]) | np.concatenate([[False], same])
        for number, seq in zip(numbers[twice].tolist(), seqs[twice].tolist(), strict=True):
            shared[number].add((session_id, seq))
    for game_id, telling in tellers.items():
        for number in set(telling) if len(telling) > 1 else ():
            shared[number].add((game_id, None))
    return shared
