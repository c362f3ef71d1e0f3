"""Recordings as numbered lines: which files a source means, and what stands in them."""

import glob
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from vectra_analytics.errors import VectraError

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_BOM = b"\xef\xbb\xbf"

Source = str | os.PathLike[str]


def find_recordings(sources: Source | Iterable[Source]) -> list[Path]:
    """The files that these files, folders and glob patterns mean, each once, sorted within a source."""
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    found: dict[Path, None] = {}
    for source in sources:
        path = Path(source).expanduser()
        if path.is_dir():
            matches = _in_folder(path)
        elif path.exists():
            matches = [path]
        else:
            matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True) if os.path.isfile(match))
        if not matches:
            if path.is_dir():
                raise VectraError(f"no recordings in the folder {path}: it has no file named *{', *'.join(SUFFIXES)}")
            raise VectraError(f"no such file or folder: {path}; give a recording, a folder of them or a pattern")
        found.update(dict.fromkeys(match.absolute() for match in matches))
    return list(found)


def _in_folder(folder: Path) -> list[Path]:
    def explain(error: OSError) -> None:
        raise VectraError(f"cannot read the folder {error.filename}: {error.strerror}") from error

    return sorted(
        Path(parent, name)
        for parent, _, names in os.walk(folder, onerror=explain)
        for name in names
        if name.endswith(SUFFIXES)
    )


class TornFile(VectraError):
    """A compressed recording that ends, or breaks, in the middle."""


def read_lines(path: Path, chunk_bytes: int = 1 << 20) -> Iterator[tuple[list[bytes], int]]:
    """The file's lines in lists, each list with the bytes of the file read so far.

    ``chunk_bytes`` are read at once. Lines come without their ending. A last line without one is a line, too.

    Raises
    ------
    TornFile
        After the last whole line, where compressed data end early or are damaged.
    VectraError
        Where the file cannot be read.
    """
    try:
        file = pa.OSFile(str(path))
    except (OSError, pa.ArrowException) as error:
        raise VectraError(f"cannot read {path}: {_reason(error)}") from error
    with file:
        compression = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
        stream = pa.CompressedInputStream(file, compression) if compression else file
        rest, first = b"", True
        while True:
            try:
                chunk = stream.read(chunk_bytes)
            except (OSError, pa.ArrowException) as error:
                if not compression:
                    raise VectraError(f"cannot read {path}: {_reason(error)}") from error
                if rest:
                    yield [rest], file.tell()
                raise TornFile(f"the compressed data break off: {_reason(error)}") from error
            if not chunk:
                break
            if first:
                chunk, first = chunk.removeprefix(_BOM), False
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            yield lines, file.tell()
        if rest:
            yield [rest], file.tell()


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def is_no_event(line: bytes) -> bool:
    """Whether a stripped line is blank or a hand-written ``##`` comment."""
    return not line or line.startswith(b"##")


def whole_objects(line: bytes) -> list[tuple[dict[str, Any], str]]:
    """Every complete JSON object in a torn or joined line, with its own text, in their order.

    An object that lacks its end is passed over, but not what stands complete behind (or in) it.
    """
    # Bytes that are no UTF-8 become surrogates here and come back as they were, so that orjson,
    # which has the last word, refuses an object that holds them.
    text = line.decode("utf-8", "surrogateescape")
    found: list[tuple[dict[str, Any], str]] = []
    start = text.find("{")
    while start >= 0:
        end = _end_of_object(text, start)
        if end is not None:
            part = text[start:end].encode("utf-8", "surrogateescape")
            try:
                found.append((orjson.loads(part), text[start:end]))
            except orjson.JSONDecodeError:
                end = None
        start = text.find("{", start + 1 if end is None else end)
    return found


_scan = json.JSONDecoder().raw_decode


def _end_of_object(text: str, start: int) -> int | None:
    try:
        return _scan(text, start)[1]
    except (ValueError, RecursionError):
        return None


def position_seq(line: int, position: int) -> int:
    """The seq of the ``position``-th record (from 0) of a line (from 1): file order, and stable as files grow."""
    if position >> _POSITION_BITS:
        raise VectraError(f"line {line} holds more than {1 << _POSITION_BITS} records")
    return line << _POSITION_BITS | position


def line_of(seq: int) -> int:
    """The line that a seq of :func:`position_seq` came from."""
    return seq >> _POSITION_BITS


_POSITION_BITS = 20
