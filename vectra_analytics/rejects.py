"""Refused events and lines: kept with their reason in ``manifests/rejects``, counted in the catalog."""

import contextlib
from collections.abc import Sequence
from typing import TypedDict

import orjson

from vectra_analytics.catalog import Catalog
from vectra_analytics.whole_files import sync_folder, write_whole


class Reject(TypedDict):
    """One refused event or line."""

    origin: str  # the file it came from, or its session
    position: int  # its line in the file (from 1), or its seq
    reason: str
    raw: str  # what the source sent


def keep_rejects(catalog: Catalog, name: str, rejects: Sequence[Reject]) -> None:
    """Add the rejects to ``manifests/rejects/<name>.jsonl`` and count them; call it inside a transaction.

    What is kept under this name is not added again, so reading a recording or a copy again counts nothing twice.
    """
    folder = catalog.paths.rejects_dir
    kept: list[Reject] = []
    with contextlib.suppress(FileNotFoundError):
        kept = [orjson.loads(line) for line in (folder / f"{name}.jsonl").read_bytes().splitlines()]
    before = {(reject["position"], reject["raw"]) for reject in kept}
    for reject in rejects:
        # A text need not be UTF-8; surrogates from bytes that are not become replacement signs.
        raw, origin = (text.encode(errors="replace").decode() for text in (reject["raw"], reject["origin"]))
        if (reject["position"], raw) not in before:
            kept.append(Reject(origin=origin, position=reject["position"], reason=reject["reason"], raw=raw))
    kept.sort(key=lambda reject: reject["position"])
    lines = (orjson.dumps(reject, option=orjson.OPT_APPEND_NEWLINE) for reject in kept)
    write_whole(folder / f"{name}.jsonl", b"".join(lines))
    sync_folder(folder)
    catalog.add_rejects(name, len(kept))
