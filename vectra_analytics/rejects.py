"""Refused events and lines: kept with their reason in ``manifests/rejects``, counted in the catalog."""

import contextlib
import os
from collections.abc import Sequence
from typing import TypedDict

import orjson

from vectra_analytics.catalog import Catalog
from vectra_analytics.parquet import sync_folder


class Reject(TypedDict):
    """One refused event or line."""

    origin: str  # the file it came from, or its session
    position: int  # its line in the file (from 1), or its seq
    reason: str
    raw: str  # what the source sent


def keep_rejects(catalog: Catalog, name: str, rejects: Sequence[Reject]) -> None:
    """Add the rejects to ``manifests/rejects/<name>.jsonl`` and count them; call it inside a transaction.

    The same text at the same place is kept once, so reading a recording or its copy again counts nothing twice.
    """
    folder = catalog.paths.rejects_dir
    kept = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / f"{name}.jsonl").read_bytes().splitlines():
            before: Reject = orjson.loads(line)
            kept[before["position"], before["raw"]] = before
    for reject in rejects:
        # A raw text need not be UTF-8; surrogates from bytes that are not become replacement signs.
        clean = reject["raw"].encode(errors="replace").decode()
        kept[reject["position"], clean] = Reject(
            origin=reject["origin"].encode(errors="replace").decode(),
            position=reject["position"],
            reason=reject["reason"],
            raw=clean,
        )
    unfinished = folder / f".{name}.jsonl.{os.getpid()}.part"
    try:
        with unfinished.open("wb") as sink:
            for _, reject in sorted(kept.items()):
                sink.write(orjson.dumps(reject, option=orjson.OPT_APPEND_NEWLINE))
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(unfinished, folder / f"{name}.jsonl")
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    sync_folder(folder)
    catalog.add_rejects(name, len(kept))
