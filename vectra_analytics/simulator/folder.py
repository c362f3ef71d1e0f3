"""The folder ``data_samples/``: the recordings, the answers to them, and the page that says what is in it."""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from vectra_analytics.simulator.defects import Defect
from vectra_analytics.simulator.recordings import Recording
from vectra_analytics.simulator.samples import Sample, samples


def write_samples(folder: Path) -> list[Path]:
    """Write the recordings, ``games.csv`` and ``README.md`` into a folder; what else is in it stays.

    Returns
    -------
    list of Path
        The files written.
    """
    found = samples()
    recordings = {file.name: file for sample in found for file in sample.files}
    paths = [file.write(folder) for file in recordings.values()]
    pages = {"games.csv": _answers(found), "README.md": readme(found)}
    for name, text in pages.items():
        (folder / name).write_bytes(text.encode())
        paths.append(folder / name)
    return paths


def _answers(found: Iterable[Sample]) -> str:
    """What the process says of each game: what a reader of the recordings should arrive at."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(
        ["game_id", "version", "rug_tick", "peak", "peak_tick", "rug_price", "server_seed", "server_seed_hash"]
    )
    for sample in found:
        game = sample.game
        writer.writerow(
            [
                game.game_id,
                game.version,
                game.rug_tick,
                repr(game.peak),
                game.peak_tick,
                repr(game.rug_price),
                game.server_seed,
                game.server_seed_hash,
            ]
        )
    return table.getvalue()


_WHOLE_RECORD = re.compile(
    r'\{"type": "tick", "timestamp": "[^"]+", "game_id": "[^"]+", "tick": \d+, "price": [-+.e\d]+, "phase": "\w+", '
    r'"active": \w+, "rugged": \w+, "cooldown_timer": \d+, "trade_count": \d+\}'
)


def counts(found: Sequence[Sample]) -> dict[str, int]:
    """What a reader of the recordings can check itself against."""
    files = {file.name: file for sample in found for file in sample.files}
    n = dict.fromkeys(
        [
            "files",
            "bytes",
            "lines, blank ones and those cut off included",
            "games",
            "lines which are JSON",
            "tick records among them",
            "lines which are not JSON, neither blank nor comment",
            "whole tick records inside those",
            "comment lines",
            "blank lines",
        ],
        0,
    )
    seen: dict[str, dict[int, bool]] = {}
    n["files"] = len(files)
    n["games"] = len({sample.game.game_id for sample in found})
    for file in files.values():
        n["bytes"] += len(file.content)
        for line in file.lines:
            n["lines, blank ones and those cut off included"] += 1
            try:
                read = [json.loads(line)]
                n["lines which are JSON"] += 1
                n["tick records among them"] += read[0]["type"] == "tick"
            except ValueError:
                read = []
                if not line.strip():
                    n["blank lines"] += 1
                elif line.startswith("##"):
                    n["comment lines"] += 1
                else:
                    n["lines which are not JSON, neither blank nor comment"] += 1
                    read = [json.loads(match) for match in _WHOLE_RECORD.findall(line)]
                    n["whole tick records inside those"] += len(read)
            for row in read:
                if row["type"] == "tick" and row["active"] and row["phase"] != "RUG_EVENT_1":
                    seen.setdefault(row["game_id"], {})[row["tick"]] = row["rugged"]
    n["games with active rows"] = len(seen)
    n["games with a rug"] = sum(any(ticks.values()) for ticks in seen.values())
    n["games complete from tick 0 to the rug"] = sum(map(_is_complete, seen.values()))
    return n


def _is_complete(ticks: dict[int, bool]) -> bool:
    return sorted(ticks) == list(range(len(ticks))) and ticks[len(ticks) - 1]


def readme(found: Sequence[Sample]) -> str:
    """The page beside the recordings."""
    return _PAGE.format(
        counts="\n".join(f"| {what} | {number:,} |" for what, number in counts(found).items()),
        files="\n".join(_file_rows(found)),
        defects="\n".join(
            f"| {defect} | {sum(defect in sample.defects for sample in found)} |" for defect in sorted(Defect)
        ),
    )


def _file_rows(found: Iterable[Sample]) -> list[str]:
    listed: dict[str, str] = {}
    for sample in found:
        for number, file in enumerate(sample.files, start=1):
            what = [*sample.defects] if number == len(sample.files) else [d for d in sample.defects if d in _TWO_FILES]
            said = ", ".join([*what, *([sample.note] if sample.note else [])])
            if any(_goes_back(sample.files[0])) and not said:
                said = "over the change of the clock"
            listed.setdefault(file.name, f"| {file.name} | {len(file.lines)} | {said} |")
    return list(listed.values())


_TWO_FILES = (Defect.RECONNECT, Defect.RECORDED_TWICE)


def _goes_back(file: Recording) -> list[bool]:
    times = re.findall(r'"timestamp": "([^"]+)"', "".join(file.lines))
    return [later_one < earlier for earlier, later_one in pairwise(times)]


_PAGE = """# Sample recordings

Recordings of crash games that were never played: every game, seed, time and trade count here is made up by the
package's own simulator. The prices follow the published price process, so they behave as real ones do; the files
have the form of real recordings (REPLAYER, October and November 2025) and what is wrong with them. No data of the
site, of a player or of another project are in this folder.

Made by, and made again byte for byte on any machine by:

    python -m vectra_analytics.simulator data_samples

Times in the files are US Eastern without saying so, on both sides of the change of 2 November 2025: import with
`--timezone America/New_York`. Game ids carry the UTC date.

- `game_YYYYMMDD_HHMMSS.jsonl`, and with the end of the game id where the recorder counted games: one recording.
- `session_YYYYMMDD_HHMMSS.jsonl`: two games in one file.
- `games.csv`: what the process says of each game, with the seed to check it by. `rug_tick` is the index of the rug
  price; the files show a ghost tick after it.

For statistics play games of your own: here a game with a defect had to be long enough for it, and the whole had to
stay below 3 MB, so the mean rug tick is not that of the process.

## To check a reader against

"Tick records" counts records of type `tick`, countdown and ghost included. A record inside a broken line is whole if
it has its end: one that lacks the closing brace may lack a digit of its trade count, too, as one here does. A game is
complete if its files together have every tick from 0 to a rug.

| what | number |
|---|---:|
{counts}

## Defects

| defect | games |
|---|---:|
{defects}

## Files

| file | lines | what is the matter |
|---|---:|---|
{files}
"""
