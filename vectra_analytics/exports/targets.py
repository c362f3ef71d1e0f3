"""Where an export lies: a file or a folder with its meta file beside it, both there whole or not at all."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from vectra_analytics.errors import VectraError
from vectra_analytics.exports.formats import SUFFIXES, suffix_of
from vectra_analytics.whole_files import sync_folder, write_whole

# In the workplace of an export, which is a hidden folder beside its target:
_NEW = "new"  # the file or folder that is being made
_NEW_META = "new.meta.json"  # there once that is finished
_OLD, _OLD_META = "old", "old.meta.json"  # what stood in the target's place


def meta_path(path: Path) -> Path:
    """Where an export's provenance lies."""
    return path.with_name(f"{path.name}.meta.json")


def check_name(path: Path) -> None:
    """Raise where nothing could be exported under this name, whatever is there now."""
    if "\0" in str(path) or path.name in ("", ".."):
        raise VectraError(f"cannot export to {str(path)!r}: that names no file or folder of its own")
    if suffix_of(path) not in ("", *SUFFIXES):
        raise VectraError(
            f"cannot export to {path}: the name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}; "
            "one without a suffix is a folder of Parquet files by date"
        )
    if not path.parent.is_dir():
        raise VectraError(f"cannot export to {path}: there is no folder {path.parent}; make it first")


def check_target(path: Path, *, is_folder: bool, overwrite: bool) -> Mapping[str, Any] | None:
    """The meta of the folder export that is there; raise where what is there must stay."""
    for target in (path, meta_path(path)):
        if target.is_symlink():
            raise VectraError(f"cannot export to {target}: it is a symbolic link; name the place that it leads to")
    if meta_path(path).is_dir():
        raise VectraError(f"cannot export to {path}: its provenance would be {meta_path(path)}, and that is a folder")
    meta = read_meta(meta_path(path))
    if not path.exists():
        if meta is None and meta_path(path).exists() and not overwrite:
            raise VectraError(f"{meta_path(path)} exists; choose another name, or overwrite it with {_OVERWRITE}")
        return None
    if path.is_dir() != is_folder:
        there, wanted = ("a folder", "a file") if path.is_dir() else ("a file", "a folder")
        raise VectraError(
            f"cannot export to {path}: it is {there}, and this export is {wanted}; delete it, or choose another name"
        )
    if is_folder:
        _check_folder(path, meta)
    elif not path.is_file():
        raise VectraError(f"cannot export to {path}: it is no ordinary file; choose another name")
    if not overwrite:
        does = "update it, which computes only what changed," if is_folder and meta else "overwrite it"
        raise VectraError(f"{path} exists; choose another name, or {does} with {_OVERWRITE}")
    return meta if is_folder else None


_OVERWRITE = "--overwrite (overwrite=True)"


def _check_folder(path: Path, meta: Mapping[str, Any] | None) -> None:
    there = files_in(path)
    foreign = sorted(there - files_of(meta or {}))
    if foreign:
        why = "which no export wrote" if meta else f"and no export: there is no {meta_path(path).name} of one beside it"
        raise VectraError(
            f"cannot export to {path}: the folder holds {', '.join(foreign[:3])}"
            f"{f' and {len(foreign) - 3} more' if len(foreign) > 3 else ''}, {why}; "
            "move that elsewhere, delete the folder, or choose another name"
        )


def read_meta(path: Path) -> dict[str, Any] | None:
    """What a meta file of ours says; None where there is none."""
    try:
        said = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    if not isinstance(said, dict) or not {"view", "view_version", "sha256"} <= said.keys():
        return None
    files = said.get("files", [])
    is_whole = isinstance(files, list) and all(isinstance(f, dict) and {"path", "sha256"} <= f.keys() for f in files)
    return said if is_whole else None


def files_of(meta: Mapping[str, Any]) -> set[str]:
    """The files of a folder export, as its meta names them."""
    return {file["path"] for file in meta.get("files", [])}


def files_in(folder: Path) -> set[str]:
    """All that is in a folder but other folders, below it and with forward slashes."""
    found = set()
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        found |= {Path(parent, name).relative_to(folder).as_posix() for name in (*files, *links)}
    return found


def sha256_of(path: Path) -> str | None:
    """Of a file's content; None where it is not there."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def vouches(meta_file: Path, path: Path) -> bool:
    """Whether a meta file is that of the export, to the last bit."""
    meta = read_meta(meta_file)
    if meta is None:
        return False
    if not path.is_dir():
        return sha256_of(path) == str(meta["sha256"])
    return files_in(path) == files_of(meta) and all(
        sha256_of(path / file["path"]) == file["sha256"] for file in meta["files"]
    )


@contextlib.contextmanager
def workplace(path: Path) -> Iterator[Path]:
    """The path at which to make an export that :func:`publish` then puts into its place, alone.

    What a killed export left is finished or undone before, and what this one leaves afterwards.
    """
    # Not a name that ends in .parquet: other tools' **/*.parquet scans take hidden files, too.
    work = path.with_name(f".{path.name}.vectra.part")
    lock = _lock(work, path)
    try:
        _settle(path, work)
        try:
            yield work / _NEW
        finally:
            _settle(path, work)
            os.rmdir(work)
    finally:
        os.close(lock)


def _lock(work: Path, path: Path) -> int:
    """Hold the workplace as long as the descriptor is open; a kill lets it go, too."""
    while True:
        with contextlib.suppress(FileExistsError):
            os.mkdir(work)
        try:
            descriptor = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # whoever had it has just ended
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise VectraError(f"cannot export to {path}: another export to it is under way; wait for it") from None
        except OSError:
            pass  # a file system without locks
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(work)):
                return descriptor
        os.close(descriptor)


def publish(path: Path, new: Path, meta: Mapping[str, Any]) -> None:
    """Put what was made into its place, and its meta file beside it, last; where nothing was made, that alone.

    Each step is a rename, and between any two it is clear to :func:`_settle` which were done; after a power cut, too,
    as each name is durable in its new folder before it may go from its old one. A meta file that stands beside an
    export is that of the export.
    """
    work = new.parent
    write_whole(work / _NEW_META, orjson.dumps(meta, option=orjson.OPT_INDENT_2) + b"\n")
    sync_folder(work)
    if new.exists():
        if meta_path(path).exists():
            _move(meta_path(path), work / _OLD_META)
        if path.is_dir():
            _move(path, work / _OLD)
        _move(new, path)
    _move(work / _NEW_META, meta_path(path))


def _move(source: Path, target: Path) -> None:
    os.rename(source, target)
    sync_folder(target.parent)
    sync_folder(source.parent)


def _settle(path: Path, work: Path) -> None:
    """Finish a publishing that was interrupted, or undo it, and clear the workplace."""
    meta = meta_path(path)
    if not os.path.lexists(meta) and vouches(work / _NEW_META, path):  # only its meta is missing
        _move(work / _NEW_META, meta)
    elif os.path.lexists(work / _NEW):  # it did not come to its place: what stood there goes back
        if os.path.lexists(work / _OLD) and not os.path.lexists(path):
            _move(work / _OLD, path)
        if os.path.lexists(work / _OLD_META) and not os.path.lexists(meta):
            _move(work / _OLD_META, meta)
    for name in os.listdir(work):
        if (work / name).is_dir():
            shutil.rmtree(work / name)
        else:
            os.unlink(work / name)
