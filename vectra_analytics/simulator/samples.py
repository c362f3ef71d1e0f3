"""The recordings of ``data_samples/``: which games, when, with which defects; and the page that says so."""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from vectra_analytics.simulator.defects import NEEDS_COUNTDOWN, Defect
from vectra_analytics.simulator.feed import COUNTDOWN_MS, later, rows
from vectra_analytics.simulator.process import SimulatedGame, Version, invent_ids, play
from vectra_analytics.simulator.recordings import Recording, Status, record, record_session

# The first series whose games are long enough for the defects asked of them, and which stays below 3 MB.
_SERIES = 4
_SHORT_COUNTDOWN_MS = 300  # most recordings begin late in the presale, which keeps the folder small
_WHOLE_COUNTDOWN_EVERY = 10  # games
_NEXT_GAME_AFTER_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sitting:
    """A recorder left running: games one after the other."""

    started_at: datetime  # UTC
    n_games: int
    counts_games: bool = False  # then names end in the game id, and game_start has a session_game_number
    writes_status: bool = False
    defects: dict[int, tuple[Defect, ...]] = field(default_factory=dict)  # by number of the game, from 1
    endings: dict[int, tuple[Status, str]] = field(default_factory=dict)  # other than complete
    versions: dict[int, Version] = field(default_factory=dict)  # other than v3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One game of the samples and the files it is in."""

    game: SimulatedGame
    defects: tuple[Defect, ...]
    files: tuple[Recording, ...]
    note: str = ""


_SITTINGS = (
    _Sitting(  # Friday evening; at 20:00 Eastern the UTC date, and so the game id, goes on to the next day
        started_at=datetime(2025, 10, 31, 23, 50, tzinfo=UTC),
        n_games=13,
        counts_games=True,
        defects={
            2: (Defect.TICK_BEFORE_GAME_START,),
            4: (Defect.RECONNECT,),
            6: (Defect.COMMENT_LINE, Defect.BLANK_LINE),
            8: (Defect.JOINED_LATE, Defect.TICK_BACKWARDS),
            10: (Defect.RECORDED_TWICE,),
            12: (Defect.NO_RUG,),
        },
    ),
    _Sitting(  # Saturday noon
        started_at=datetime(2025, 11, 1, 16, 5, tzinfo=UTC),
        n_games=13,
        defects={
            1: (Defect.TORN_JOINED_LINE,),
            3: (Defect.TORN_JOINED_LINE, Defect.OPENING_BRACE_TWICE, Defect.TORN_TRADE_COUNT),
            4: (Defect.HEADLESS_LINE, Defect.TWO_GAME_ENDS),
            6: (Defect.LOST_ROWS,),
            8: (Defect.SECOND_GAME_START,),
            10: (Defect.DUPLICATE_TICK,),
        },
        versions={11: "v1", 12: "v2"},
    ),
    _Sitting(  # Sunday, the last hour of daylight saving time
        started_at=datetime(2025, 11, 2, 5, 45, tzinfo=UTC), n_games=4, defects={2: (Defect.GHOST_JUMP,)}
    ),
    _Sitting(  # one game over the change: its times go from 01:59:59 back to 01:00:00
        started_at=datetime(2025, 11, 2, 5, 59, 50, 250_000, tzinfo=UTC), n_games=1
    ),
    _Sitting(  # Sunday evening in standard time: the UTC date now goes on at 19:00
        started_at=datetime(2025, 11, 2, 23, 55, tzinfo=UTC),
        n_games=12,
        defects={
            2: (Defect.JOINED_LATE,),
            4: (Defect.MISSING_TICKS,),
            6: (Defect.BURST,),
            7: (Defect.ONE_RUGGED_ROW,),
            9: (Defect.OPENING_BRACE_TWICE,),
            11: (Defect.RECONNECT,),
        },
    ),
    _Sitting(  # Monday morning, with the latest recorder
        started_at=datetime(2025, 11, 3, 14, 30, tzinfo=UTC),
        n_games=12,
        counts_games=True,
        writes_status=True,
        defects={
            3: (Defect.NO_RUG,),
            5: (Defect.NO_GAME_END,),
            8: (Defect.JOINED_LATE,),
            12: (Defect.NO_RUG, Defect.TRUNCATED_TAIL),
        },
        endings={3: ("incomplete", "disconnect"), 8: ("discarded", "joined mid-game")},
    ),
)
_COMPLETE: tuple[Status, None] = ("complete", None)
_SESSION_AT = datetime(2025, 11, 1, 20, 30, tzinfo=UTC)  # two games in one file, as a bot's recorder wrote them


def samples(series: int = _SERIES) -> list[Sample]:
    """Every game of the samples, in order of time."""
    found: list[Sample] = []
    for sitting in _SITTINGS:
        at = sitting.started_at
        for number in range(1, sitting.n_games + 1):
            seed, game_id = invent_ids(f"sample {len(found) + 1} of series {series}", at)
            version = sitting.versions.get(number, "v3")
            game = play(seed, game_id, version)
            defects = sitting.defects.get(number, ())
            countdown_ms = _countdown_ms(len(found), defects)
            status, reason = sitting.endings.get(number, _COMPLETE)
            files = record(
                game,
                at,
                defects=defects,
                countdown_ms=countdown_ms,
                session_game_number=number if sitting.counts_games else None,
                status=status if sitting.writes_status else None,
                reason=reason if sitting.writes_status else None,
            )
            note = f"price process {version}" if version != "v3" else ""
            if sitting.writes_status and Defect.NO_GAME_END not in defects and Defect.TRUNCATED_TAIL not in defects:
                note = f"status {status}"
            found.append(Sample(game=game, defects=defects, files=files, note=note))
            # The next game's countdown begins where this one's rug ends; late recorders miss the first part of it.
            last = rows(game, at, countdown_ms=countdown_ms)[-1].at
            missed_ms = COUNTDOWN_MS - _countdown_ms(len(found), sitting.defects.get(number + 1, ()))
            at = later(last, _NEXT_GAME_AFTER_S + missed_ms / 1000)
    games = [play(*invent_ids(f"session game {number} of series {series}", _SESSION_AT)) for number in (1, 2)]
    file = record_session(games, _SESSION_AT)
    found += [Sample(game=game, defects=(), files=(file,), note="session file of two games") for game in games]
    return sorted(found, key=lambda sample: sample.files[0].name.partition("_")[2])


def _countdown_ms(index: int, defects: tuple[Defect, ...]) -> int:
    shown = index % _WHOLE_COUNTDOWN_EVERY == 0 or NEEDS_COUNTDOWN & set(defects)
    return COUNTDOWN_MS if shown else _SHORT_COUNTDOWN_MS


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
    r'"active": \w+, "rugged": \w+, "cooldown_timer": \d+, "trade_count": \d+'
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
    plain: dict[str, dict[int, bool]] = {}
    rescued: dict[str, dict[int, bool]] = {}
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
                into = [plain, rescued]
            except ValueError:
                read, into = [], [rescued]
                if not line.strip():
                    n["blank lines"] += 1
                elif line.startswith("##"):
                    n["comment lines"] += 1
                else:
                    n["lines which are not JSON, neither blank nor comment"] += 1
                    read = [json.loads(match + "}") for match in _WHOLE_RECORD.findall(line)]
                    n["whole tick records inside those"] += len(read)
            for row in read:
                if row["type"] == "tick" and row["active"] and row["phase"] != "RUG_EVENT_1":
                    for ticks in into:
                        ticks.setdefault(row["game_id"], {})[row["tick"]] = row["rugged"]
    n["games with active rows"] = len(rescued)
    n["games with a rug"] = sum(any(ticks.values()) for ticks in rescued.values())
    n["games complete from tick 0 to the rug"] = sum(map(_is_complete, rescued.values()))
    n["games complete without the records inside broken lines"] = sum(map(_is_complete, plain.values()))
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
nothing but its closing brace is missing; in one of them a digit of the trade count is missing too. A game is
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
