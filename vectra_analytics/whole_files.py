"""Files that are there whole or not at all, and stay there through a power cut."""

import contextlib
import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` so that a reader sees all of it under this name, or what was there before.

    The caller still has to :func:`sync_folder` the folder, if the name has to survive a power cut, too.
    """
    # A rename is atomic only within one file system, so the unfinished file is a neighbour. Other tools'
    # **/*.parquet scans also take hidden files: hence ".part" at the end.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        os.rename(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
