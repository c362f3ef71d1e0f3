"""An export that is a folder: a file for each day, each part of a split, or both; what has not changed is kept."""

import errno
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vectra_analytics.errors import VectraError
from vectra_analytics.exports.formats import Written, write_rows
from vectra_analytics.exports.rows import ViewRows
from vectra_analytics.exports.splits import PARTS, DateSplit, HashSplit, Split
from vectra_analytics.exports.targets import sha256_of
from vectra_analytics.whole_files import sync_folder

# A part, or a whole export, without games has one file without rows all the same, which tells tools the columns.
_NO_DATE = "1970-01-01"
_LAYOUT = 2  # of the files: another one makes them all be written anew


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of the folder that is to be."""

    path: str  # below the folder, with forward slashes
    part: str | None
    games: Sequence[str]  # in order
    fingerprint: str


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of the folder, as its meta has it."""

    path: str
    n_rows: int
    n_games: int
    sha256: str
    fingerprint: str
    store_version: int  # at which it was computed
    column_checksums: Mapping[str, str] | None = None  # None where an older version of this package computed it
    formula_guard: Mapping[str, Any] | None = None  # of CSV


def split_of(rows: ViewRows, by: str | None, before: Mapping[str, Any] | None) -> Split | None:
    """The split, with the cuts of the export that is there, if it has some."""
    if by is None:
        return None
    if by == "hash":
        return HashSplit()
    said = (before or {}).get("split")
    cuts = said.get("cuts") if isinstance(said, dict) else None
    if cuts:
        return DateSplit((cuts["validation_from"], cuts["test_from"]))
    return DateSplit.of(rows.n_games(list(rows.contributing)))


def pieces(rows: ViewRows, split: Split | None, suffix: str) -> list[Piece]:
    """The files that the folder is to have, in order."""
    games_of: dict[tuple[str | None, str | None], list[str]] = {}
    for game_id in rows.contributing:
        day = rows.dates[game_id]
        part = None if split is None else split.part(game_id, day)
        games_of.setdefault((part, None if suffix else day), []).append(game_id)
    filled = {part for part, _ in games_of}
    parts: Sequence[str | None] = [None] if split is None else PARTS
    games_of |= {(part, None if suffix else _NO_DATE): [] for part in parts if part not in filled}
    how = {"layout": _LAYOUT, "suffix": suffix, "split": split and split.meta()}
    found = []
    for (part, date), games in games_of.items():
        folders = [f"split={part}"] * (part is not None) + [f"date={date}"] * (date is not None)
        path = "/".join([*folders, f"{rows.view.name}{suffix or '.parquet'}"])
        found.append(Piece(path, part, games, rows.fingerprint(games, how)))
    return sorted(found, key=lambda piece: piece.path)


def check_rows(rows: ViewRows) -> None:
    """Raise where the rows are of no games, by whose dates and parts files are made."""
    if rows.view.subject != "game_id":
        raise VectraError(
            f"{rows.view.name} has rows of sessions, not of games, and a folder or a split has games whole in its "
            "files; export it without a split to one file (.csv, .csv.gz or .parquet)"
        )


def check_columns(rows: ViewRows, split: Split | None, suffix: str) -> None:
    """Raise where a column would have the name of a folder."""
    for name in ["split"] * (split is not None) + ["date"] * (not suffix):
        if name in rows.columns:
            raise VectraError(
                f"{rows.view.name} has a column {name!r}, which is what the folders are named by; "
                "give the columns that you want, without it, or export all to one file (.csv, .csv.gz or .parquet)"
            )


def write_pieces(
    new: Path,
    old: Path,
    rows: ViewRows,
    wanted: Sequence[Piece],
    before: Mapping[str, Any] | None,
    meta: dict[str, Any],
) -> tuple[list[FileEntry], int]:
    """Make the folder ``new``, unless the old one will do; the entries of its files, and how many were computed.

    Files of the export ``old`` that would be the same again are in both folders (the same file, not a copy, where
    the file system can do that). While this goes on, no new file has a name that ends in its format.
    """
    known = {file["path"]: file for file in (before or {}).get("files", [])}
    entries, kept, computed = [], [], []
    for piece in wanted:
        entry = _unchanged(old / piece.path, piece, known.get(piece.path))
        if entry is not None:
            kept.append(piece.path)
        else:
            entry = _compute(new, rows, piece, meta)
            computed.append(piece.path)
        entries.append(entry)
    if not computed and known.keys() == set(kept):
        return entries, 0
    for path in kept:
        (new / path).parent.mkdir(parents=True, exist_ok=True)
        _link(old / path, new / path)
    for path in computed:
        os.rename(_unfinished(new / path), new / path)
    for folder, _, _ in os.walk(new):
        sync_folder(Path(folder))
    return entries, len(computed)


def _unchanged(file: Path, piece: Piece, known: Mapping[str, Any] | None) -> FileEntry | None:
    if known is None or known.get("fingerprint") != piece.fingerprint or sha256_of(file) != known["sha256"]:
        return None
    try:
        return FileEntry(**known)
    except TypeError:  # another version of this package wrote it
        return None


def _compute(new: Path, rows: ViewRows, piece: Piece, meta: dict[str, Any]) -> FileEntry:
    file = new / piece.path
    file.parent.mkdir(parents=True, exist_ok=True)
    stream = rows.stream(piece.games)
    suffix = file.name.removeprefix(rows.view.name)
    written: Written = write_rows(_unfinished(file), suffix, stream, rows.schema, {**meta, "path": piece.path})
    return FileEntry(
        piece.path,
        written.n_rows,
        stream.n_games,
        written.sha256,
        piece.fingerprint,
        rows.version,
        written.meta["column_checksums"],
        written.meta.get("formula_guard"),
    )


def _unfinished(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        shutil.copy2(old, new)  # a file system without links


def folder_meta(
    meta: Mapping[str, Any], entries: Sequence[FileEntry], wanted: Sequence[Piece], split: Split | None
) -> dict[str, Any]:
    """What the folder's meta file says."""
    listing = "".join(f"{entry.sha256}  {entry.path}\n" for entry in entries)
    said = {
        **meta,
        "n_rows": sum(entry.n_rows for entry in entries),
        "n_games": sum(entry.n_games for entry in entries),
        "n_files": len(entries),
        "sha256": hashlib.sha256(listing.encode()).hexdigest(),
        "files": [{key: value for key, value in asdict(entry).items() if value is not None} for entry in entries],
    }
    guards = [entry.formula_guard for entry in entries if entry.formula_guard is not None]
    if guards:
        said["formula_guard"] = {**guards[0], "n_cells": sum(guard["n_cells"] for guard in guards)}
    if split is not None:
        of_part = {part: [e for e, p in zip(entries, wanted, strict=True) if p.part == part] for part in PARTS}
        said["split"] = split.meta() | {
            "parts": {
                part: {"n_games": sum(e.n_games for e in some), "n_rows": sum(e.n_rows for e in some)}
                for part, some in of_part.items()
            }
        }
    return said
