"""quarantine/: files that were taken out of a store, each with a record of what it was; nothing in it is ever read."""

import filecmp
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from vectra_analytics.paths import EventStorePaths
from vectra_analytics.whole_files import sync_folder, write_whole


def records(paths: EventStorePaths) -> Iterator[Mapping[str, Any]]:
    """What is said of the files there."""
    for path in sorted(paths.quarantine_dir.glob("*.json")):
        yield from _read(path)


def announce(paths: EventStorePaths, file: Path, about: Mapping[str, Any]) -> Path:
    """Write the record of a file that is to come, and give its place there.

    The record is there before the catalog forgets the file, and the file moves after that: whoever is killed between
    leaves a file that the catalog does not know, which the next call moves to the place that was announced.
    """
    folder = paths.quarantine_dir
    if not folder.exists():
        folder.mkdir(parents=True)
        sync_folder(folder.parent)
    name = file.relative_to(paths.data_dir).as_posix()
    number = 1
    while True:
        place = folder / (file.name if number == 1 else f"{file.stem}.{number}{file.suffix}")
        record = place.with_name(f"{place.name}.json")
        is_free = not os.path.lexists(place)
        if is_free and not record.exists():
            break
        if any(said["file"] == name for said in _read(record)) and (is_free or _is_copy(file, place)):
            return place
        number += 1
    said = {"file": os.fsencode(name).decode(errors="replace"), **about}
    said["quarantined_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_whole(record, orjson.dumps(said, option=orjson.OPT_INDENT_2) + b"\n")
    sync_folder(folder)
    return place


def _read(record: Path) -> Iterator[Mapping[str, Any]]:
    try:
        said = json.loads(record.read_bytes())
    except (OSError, ValueError):
        return
    if isinstance(said, dict) and "file" in said:
        yield said


def _is_copy(file: Path, place: Path) -> bool:
    """Whether the file lies at that place, too: a power cut may leave what was moved under both names."""
    return all(path.is_file() and not path.is_symlink() for path in (file, place)) and filecmp.cmp(file, place, False)


def move(file: Path, place: Path) -> None:
    """Put the file into its announced place, durably; one that is gone already is no error."""
    if os.path.lexists(file):
        if os.path.lexists(place) and file.samefile(place):
            os.unlink(file)  # renaming one file onto itself would leave both names
        else:
            os.rename(file, place)
        sync_folder(place.parent)
        sync_folder(file.parent)
