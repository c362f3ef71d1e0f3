"""Exports: the rows of a view as a file, or as a folder of files, whole or not at all, with their provenance beside."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vectra_analytics.errors import VectraError
from vectra_analytics.exports import folders, targets
from vectra_analytics.exports.formats import rebatched, suffix_of, write_rows
from vectra_analytics.exports.rows import ViewRows
from vectra_analytics.exports.splits import SPLITS, check_split

__all__ = ["SPLITS", "Export", "ViewRows", "check_export", "export", "rebatched"]


@dataclass(frozen=True, slots=True)
class Export:
    """A finished export."""

    path: Path
    meta_path: Path
    n_rows: int
    sha256: str  # of the file; of a folder, of the lines "<sha256 of a file>  <its path>", in the order of the paths
    n_files: int = 1
    n_computed: int = 1  # how many of them this export wrote; the others were there and would be the same


def check_export(path: Path, split: str | None) -> None:
    """Raise where an export could not be asked for so, before any work is done for it."""
    check_split(split)
    targets.check_name(path)


def export(
    path: Path,
    rows: ViewRows,
    *,
    split: str | None = None,
    overwrite: bool = False,
    like: Mapping[str, Any] | None = None,
) -> Export:
    """Write the rows to ``path`` and their provenance beside it, last.

    A reader sees the old export, none, or the new one.

    Parameters
    ----------
    like
        The meta of another export, whose cuts a split by date is to have.
    """
    is_folder = split is not None or not suffix_of(path)
    try:
        with targets.workplace(path) as new:
            before = targets.check_target(path, is_folder=is_folder, overwrite=overwrite)
            if before is not None:
                _check_split_stays(path, split, before)
            done, meta = _folder(path, new, rows, split, before or like) if is_folder else _file(path, new, rows)
            # Making it may have taken long; what somebody put there meanwhile stays, too.
            targets.check_target(path, is_folder=is_folder, overwrite=overwrite)
            targets.publish(path, new, meta)
            return done
    except OSError as error:
        raise VectraError(f"cannot export to {path}: {error.strerror or error}") from error


def _check_split_stays(path: Path, split: str | None, before: Mapping[str, Any]) -> None:
    said = before.get("split")
    was = said.get("by") if isinstance(said, dict) else None
    if was not in (None, split):
        raise VectraError(
            f"cannot update {path}: its games are split by {was}, which would be lost; ask for split {was}, "
            "delete the folder, or choose another name"
        )


def _file(path: Path, new: Path, rows: ViewRows) -> tuple[Export, Mapping[str, Any]]:
    written = write_rows(new, suffix_of(path), rows.stream(rows.games), rows.schema, rows.meta())
    done = Export(path, targets.meta_path(path), written.n_rows, written.sha256)
    return done, {**written.meta, "sha256": written.sha256}


def _folder(
    path: Path, new: Path, rows: ViewRows, split_by: str | None, before: Mapping[str, Any] | None
) -> tuple[Export, Mapping[str, Any]]:
    suffix = suffix_of(path)
    folders.check_rows(rows)
    split = folders.split_of(rows, split_by, before)
    folders.check_columns(rows, split, suffix)
    wanted = folders.pieces(rows, split, suffix)
    about = rows.meta() | ({} if split is None else {"split": split.meta()})
    entries, n_computed = folders.write_pieces(new, path, rows, wanted, before, about)
    meta = folders.folder_meta(about, entries, wanted, split)
    return Export(path, targets.meta_path(path), meta["n_rows"], meta["sha256"], len(entries), n_computed), meta
