"""Recordings as numbered lines: which files a source means, and what stands in them."""

import glob
import json
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator, Set
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from vectra_analytics.errors import VectraError
from vectra_analytics.importers.torn import end_of_torn

LINE_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
SUFFIXES = (*LINE_SUFFIXES, ".parquet")
_FOLDERS_OF_STORES = ("events_parquet", "exports", "manifests", "vectors")
_ZSTD_PIECE = 1 << 12
_BOM = b"\xef\xbb\xbf"

Source = str | os.PathLike[str]


def find_recordings(sources: Source | Iterable[Source]) -> dict[Path, bool]:
    """The files that these files, folders and glob patterns mean, each once, sorted within a source.

    Beside each, whether it was named itself: such a file must be a recording, one of many found need not.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    found: dict[Path, bool] = {}
    for source in sources:
        try:
            matches = _matches(os.fspath(source))
            for match in matches:
                is_named = match == Path(os.path.expanduser(source))
                found[match.absolute()] = found.get(match.absolute(), False) or is_named
        except (OSError, ValueError) as error:
            raise VectraError(f"cannot read {os.fspath(source):.300}: {_reason(error)}") from error
    if not found:
        raise VectraError("no recordings were named; give files, folders or patterns")
    return found


def _matches(source: str) -> list[Path]:
    path = Path(source)
    if source.startswith("~") and not path.exists():
        path = Path(os.path.expanduser(source))
    if path.is_dir():
        matches = _in_folder(path)
        if not matches and (_is_store(path) or _is_of_store(path)):
            raise VectraError(
                f"{path} is a store of this package, or in one: what is stored is no recording; "
                "query it with --data-dir, or name recordings"
            )
        if not matches:
            raise VectraError(f"no recordings in the folder {path}: it has no file named *{', *'.join(SUFFIXES)}")
        return matches
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        matches = sorted(Path(match) for match in _globbed(str(path)) if os.path.isfile(match))
        if not matches:
            raise VectraError(
                f"no such file or folder: {path}; give a recording, a folder of them or a pattern"
            ) from None
        return matches
    if not stat.S_ISREG(mode):
        raise VectraError(f"{path} is a pipe or a device, and a recording is read twice; name a file")
    return [path]


def _globbed(pattern: str) -> Iterator[str]:
    """As glob.glob has it, but ** follows no link to a folder: links may lead round in circles."""
    parts = Path(pattern).parts
    if "**" not in parts:
        yield from glob.iglob(pattern)
        return
    at = parts.index("**")
    for root in glob.iglob(str(Path(*parts[:at]))):
        for parent, folders, _ in os.walk(root):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from _globbed(str(Path(glob.escape(parent), *parts[at + 1 :] or ("*",))))


def _in_folder(folder: Path) -> list[Path]:
    def explain(error: OSError) -> None:
        raise VectraError(f"cannot read the folder {error.filename}: {error.strerror}") from error

    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=explain):
        if "catalog.sqlite" in names:  # the manifests of a store: its rejects are no recordings
            folders.clear()
            continue
        here = Path(parent)
        tables = [name for name in names if name.endswith(".parquet") and not name.startswith(".")]
        if tables and not _is_of_store(here):
            found += [here / name for name in tables]
        found += [here / name for name in names if name.endswith(LINE_SUFFIXES)]
    return sorted(path for path in found if not _is_pipe_or_device(path))


def _is_pipe_or_device(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False  # whoever reads it says why it cannot be read


def _is_store(folder: Path) -> bool:
    return (folder / "manifests" / "catalog.sqlite").is_file()


def _is_of_store(folder: Path) -> bool:
    """Whether a folder is one that a store of this package keeps: what is in it was imported, or made of that."""
    below = [(parent, child.name) for child, parent in pairwise([folder.absolute(), *folder.absolute().parents])]
    return any(name in _FOLDERS_OF_STORES and _is_store(parent) for parent, name in below)


class TornFile(VectraError):
    """A compressed recording that ends, or breaks, in the middle; ``rest`` is what there is of its last line."""

    def __init__(self, message: str, rest: bytes) -> None:
        super().__init__(message)
        self.rest = rest


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
        file = pa.OSFile(os.fsencode(path))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise VectraError(f"cannot read {path}: {_reason(error)}") from error
    with file:
        stream, piece_bytes = file, chunk_bytes
        if path.suffix == ".gz":
            stream = _GzipStream(file)
        elif path.suffix == ".zst":
            # A read that meets a break gives nothing of what it decoded before it: small ones lose little.
            stream, piece_bytes = pa.CompressedInputStream(file, "zstd"), min(chunk_bytes, _ZSTD_PIECE)
        pieces: list[bytes] = []  # of a line whose end was not read yet
        is_first = True
        while True:
            try:
                piece = stream.read(piece_bytes)
            except (OSError, pa.ArrowException) as error:
                if stream is file:
                    raise VectraError(f"cannot read {path}: {_reason(error)}") from error
                raise TornFile(f"the compressed data break off: {_reason(error)}", b"".join(pieces)) from error
            if not piece:
                break
            if b"\n" not in piece:
                pieces.append(piece)
                continue
            lines = b"".join([*pieces, piece]).split(b"\n")
            pieces = [lines.pop()]
            if is_first:
                lines[0], is_first = lines[0].removeprefix(_BOM), False
            yield lines, file.tell()
        rest = b"".join(pieces)
        if rest:
            yield [rest.removeprefix(_BOM) if is_first else rest], file.tell()


class _GzipStream:
    """Decompresses as far as it can: Arrow's and Python's readers give up what they read before a break."""

    def __init__(self, file: pa.NativeFile) -> None:
        self._file = file
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._failure: OSError | None = None

    def read(self, n_bytes: int) -> bytes:
        """Some decompressed bytes, none at the end."""
        while self._failure is None:
            compressed = self._member.unconsumed_tail or self._member.unused_data or self._file.read(n_bytes)
            if self._member.eof:  # a recorder that opens its file anew writes one member behind the other
                if not compressed:
                    return b""
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            if not compressed:
                self._failure = OSError("the end is missing")
                break
            try:
                piece = self._member.decompress(compressed, n_bytes)
            except zlib.error as error:
                self._failure = OSError(str(error))
                break
            if piece:
                return piece
        raise self._failure


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def is_no_event(line: bytes) -> bool:
    """Whether a stripped line is blank or a hand-written ``##`` comment."""
    return not line or line.startswith(b"##")


def whole_objects(line: bytes, flat_keys: Set[str] | None = None) -> Iterator[tuple[dict[str, Any], str]]:
    """Every complete JSON object in a torn or joined line, with its own text, in their order.

    An object that lacks its end is passed over, but not what stands complete behind it; nor what stands in it,
    unless records hold objects: then ``flat_keys`` are the keys under which they do not.
    """
    # Bytes that are no UTF-8 become surrogates here and come back as they were, so that orjson,
    # which has the last word, refuses an object that holds them.
    text = line.decode("utf-8", "surrogateescape")
    start = text.find("{")
    window, offset = text, 0
    known: int | None = 0  # up to here the line is understood: its beginning, or the end of a whole object
    while start >= 0:
        opening = _OPENING.search(text, start)
        if opening is None:
            return
        if opening.start() > start:
            start, known = opening.start(), None
        if start - offset > _WINDOW:
            # The decoder's errors count lines from the beginning of what it was given: keep that near.
            window, offset = text[start:], start
        end, is_too_deep = _end_of_object(window, start - offset)
        if end is not None:
            part = _part(text, start, end + offset)
            if part is None:
                end = None
            elif flat_keys is None or known is None or not _is_inside(text[known:start], known):
                yield part
                known = end + offset
        if end is not None:
            start = text.find("{", end + offset)
        elif flat_keys is not None:
            start, known = text.find("{", end_of_torn(text, start, flat_keys)), None
        elif is_too_deep:
            # The decoder would go down as far again from each of the levels.
            whole: list[tuple[int, int]] = []
            start = text.find("{", end_of_torn(text, start, frozenset(), whole))
            yield from filter(None, (_part(text, *place) for place in whole))
        else:
            start = text.find("{", start + 1)


def _part(text: str, start: int, end: int) -> tuple[dict[str, Any], str] | None:
    """The object that stands there, with its text; None where it is none."""
    try:
        return orjson.loads(text[start:end].encode("utf-8", "surrogateescape")), text[start:end]
    except orjson.JSONDecodeError:
        return None


def _is_inside(before: str, known: int) -> bool:
    """Whether an object behind this text, which may be the end of a record, is a value in it."""
    before = before.strip()
    return before[-1:] in (":", ",", "[") and not (before == "," and known)  # a comma may separate two records


_WINDOW = 1 << 14  # characters
_OPENING = re.compile(r"""\{(?=[ \t\r\n]*+["}])""")  # another brace opens no object
_scan = json.JSONDecoder().raw_decode


def _end_of_object(text: str, start: int) -> tuple[int | None, bool]:
    """Where the object ends that begins there, if it does; and whether it is too deep to be read."""
    try:
        return _scan(text, start)[1], False
    except RecursionError:
        return None, True
    except ValueError:
        return None, False


def position_seq(line: int, position: int) -> int:
    """The seq of the ``position``-th record (from 0) of a line (from 1): file order, and stable as files grow."""
    if position >> POSITION_BITS:
        raise VectraError(f"line {line} holds more than {1 << POSITION_BITS} records")
    return line << POSITION_BITS | position


def line_of(seq: int) -> int:
    """The line that a seq of :func:`position_seq` came from."""
    return seq >> POSITION_BITS


def position_of(seq: int) -> int:
    """The position in its line that a seq of :func:`position_seq` came from."""
    return seq & ((1 << POSITION_BITS) - 1)


POSITION_BITS = 20
