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
    """Write the rejects to ``manifests/rejects/<name>.jsonl`` and count them; call it inside a transaction.

    The same name replaces what was kept under it, so reading a recording again counts nothing twice.
    """
    folder = catalog.paths.rejects_dir
    unfinished = folder / f".{name}.jsonl.{os.getpid()}.part"
    try:
        with unfinished.open("wb") as sink:
            for reject in rejects:
                # A raw text need not be UTF-8; surrogates from bytes that are not become replacement signs.
                clean = {**reject, "raw": reject["raw"].encode(errors="replace").decode()}
                sink.write(orjson.dumps(clean, option=orjson.OPT_APPEND_NEWLINE))
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(unfinished, folder / f"{name}.jsonl")
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    sync_folder(folder)
    catalog.add_rejects(name, len(rejects))
