"""The folder of a report: it appears whole, or what was there stays."""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from vectra_analytics.errors import VectraError

SUMMARY = "report.json"
MADE_BY = "vectra report"


def check_folder(out: Path) -> None:
    """Refuse what is no report of ours: it would be replaced."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise VectraError(f"{out} is no folder; name another with --out")
    if out.is_dir() and any(out.iterdir()) and not _is_report(out):
        raise VectraError(f"{out} holds something else than an earlier report, which is left alone; name another --out")


def _is_report(folder: Path) -> bool:
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(summary, dict) and summary.get("made_by") == MADE_BY


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of ``out`` when all went well."""
    check_folder(out)
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    # A neighbour, so that a rename suffices; two reports at a time do not meet in it.
    mark = uuid.uuid4().hex[:12]
    new, old = (out.with_name(f".{out.name}.{mark}.{part}") for part in ("part", "old"))
    new.mkdir()
    try:
        yield new
        check_folder(out)  # minutes went by
        if out.exists():
            os.rename(out, old)
        try:
            os.rename(new, out)
        except BaseException:
            if old.exists():
                os.rename(old, out)
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)
