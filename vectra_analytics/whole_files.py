"""Files that are there whole or not at all, and stay there through a power cut."""

import contextlib
import hashlib
import io
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class HashingFile(io.RawIOBase):
    """A file that knows the length and the SHA-256 of what was written to it."""

    def __init__(self, file: io.BufferedWriter) -> None:
        self._file: io.BufferedWriter | None = file
        self.digest = hashlib.sha256()
        self.n_bytes = 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, content: Any) -> int:
        """Write all of it."""
        n_bytes = memoryview(content).nbytes
        if self._file is not None:
            self.digest.update(content)
            self._file.write(content)
            self.n_bytes += n_bytes
        return n_bytes

    def abandon(self) -> None:
        """Let further writes go nowhere: a format's writer still wants to end its file when all is lost."""
        self._file = None

    def tell(self) -> int:
        """How many bytes were written."""
        return self.n_bytes


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[HashingFile]:
    """A file to write, which gets its name when all went well; until then a reader sees what was there before.

    The caller still has to :func:`sync_folder` the folder, if the name has to survive a power cut, too.
    """
    # A rename is atomic only within one file system, so the unfinished file is a neighbour. Other tools'
    # **/*.parquet scans also take hidden files: hence ".part" at the end.
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    file: HashingFile | None = None
    try:
        with unfinished.open("wb") as sink:
            file = HashingFile(sink)
            yield file
            sink.flush()
            os.fsync(sink.fileno())
        os.rename(unfinished, path)
    except BaseException:
        if file is not None:
            file.abandon()
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` as a :func:`whole_file`."""
    with whole_file(path) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
