"""Recordings made to order: the files a recorder would have written of a simulated game."""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from vectra_analytics.simulator.defects import Defect, known_defects, line_defects, row_defects, whole_number
from vectra_analytics.simulator.feed import COUNTDOWN_MS, RECORDER_ZONE, Row, later, local_text, rows
from vectra_analytics.simulator.process import SimulatedGame

Status = Literal["complete", "incomplete", "discarded"]

_REASON_KEYS: dict[Status, str] = {"incomplete": "incomplete_reason", "discarded": "discard_reason"}
_SECOND_RECORDER_AFTER_S = 2.0  # so that the two files differ in name


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One file: its name and its lines, each with the line end it has."""

    name: str
    lines: tuple[str, ...]

    @property
    def content(self) -> bytes:
        """What the file holds, byte for byte."""
        return "".join(self.lines).encode()

    def write(self, folder: Path) -> Path:
        """Write the file into a folder, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        path.write_bytes(self.content)  # bytes, so that no line end is translated
        return path


class Options(TypedDict, total=False):
    """What :func:`record` can be told by keyword."""

    defects: Iterable[str]
    seed: int
    countdown_ms: int
    session_game_number: int | None
    status: Status | None
    reason: str | None


def record(
    game: SimulatedGame,
    started_at: datetime,
    *,
    defects: Iterable[str] = (),
    seed: int = 0,
    countdown_ms: int = COUNTDOWN_MS,
    session_game_number: int | None = None,
    status: Status | None = None,
    reason: str | None = None,
) -> tuple[Recording, ...]:
    """The recording of a game: one file, or two with ``Defect.RECONNECT`` and ``Defect.RECORDED_TWICE``.

    Parameters
    ----------
    game
        From :func:`~vectra_analytics.simulator.play`.
    started_at
        When the recorder receives its first update; with a time zone. The file shows US Eastern time without one.
    defects
        What is to go wrong, :class:`Defect` or its text. Of two files, the last has the defects of rows and lines.
    seed
        Of intervals, trade counts and the places of defects. The same arguments give the same bytes everywhere.
    countdown_ms
        What the timer shows when the recorder connects: 15,000 records the whole countdown of 15 s.
    session_game_number
        Which game of its session this is. Recorders that count also put the end of the game id in the file name.
    status, reason
        Recorders of November 2025 wrote ``"complete"``, or ``"incomplete"`` or ``"discarded"`` with a reason,
        into the game_end.

    Raises
    ------
    InvalidEvent
        The game is too short for a defect, two defects exclude each other, or a time has no zone.

    Notes
    -----
    Without any defect a file has what nearly all real ones have: a ghost tick after the rug, the price 1 as an int
    where the feed sends one, the trade count of the game before in the first presale row, and a game_end whose
    ``total_ticks`` counts countdown rows and whose ``tick_range`` ends at the ghost.
    """
    wanted = known_defects(defects, game.rug_tick, countdown_ms)
    key = f"{game.game_id}, {seed}"
    whole = rows(game, started_at, seed=seed, countdown_ms=countdown_ms)
    *before, last = _connections(whole, game, wanted, random.Random(f"connections of {key}"))
    damaged = row_defects(last, wanted, key)
    extra = {"session_game_number": session_game_number} if session_game_number is not None else {}
    closing = ({"status": status} if status else {}) | ({_REASON_KEYS[status]: reason} if status and reason else {})
    files = [(part, frozenset[Defect]()) for part in before] + [(damaged, wanted)]
    return tuple(
        Recording(
            name=_name(part[0].at, game.game_id if session_game_number is not None else None),
            lines=tuple(line_defects(_lines(game.game_id, part, here, extra, closing, key), here, key)),
        )
        for part, here in files
    )


def recording_lines(game: SimulatedGame, started_at: datetime, **options: Unpack[Options]) -> list[str]:
    """The lines of a recording with their line ends; of two files those of the last. Options as in :func:`record`."""
    return list(record(game, started_at, **options)[-1].lines)


def write_recording(folder: Path, game: SimulatedGame, started_at: datetime, **options: Unpack[Options]) -> list[Path]:
    """Write the file, or the two files, of a recording into a folder, made if need be. Options as in :func:`record`."""
    return [file.write(folder) for file in record(game, started_at, **options)]


def record_session(games: Sequence[SimulatedGame], started_at: datetime, *, seed: int = 0) -> Recording:
    """Several games in one file, as a bot's recorder wrote them: session_start, games, session_end.

    Notes
    -----
    As in the real file, ``server_seed`` is cut to 20 digits and ``peak_multiplier`` is that of the game before.
    """
    local_start = started_at.astimezone(RECORDER_ZONE)
    opening: dict[str, object] = {
        "type": "session_start",
        "timestamp": local_text(started_at),
        "session_id": f"session_{local_start:%Y%m%d_%H%M%S}",
        "starting_balance": 0.1,
        "max_games": len(games),
    }
    records = [opening]
    at, peak, n_ticks = later(started_at, 0.4), 1.0, 0
    for number, game in enumerate(games, start=1):
        played = rows(game, at, seed=seed)
        n_ticks += len(played)
        at = later(played[-1].at, 0.0003)
        records.append(_record("game_start", played[0].at, game.game_id, session_game_number=number))
        records += [row.record(game.game_id) for row in played]
        records.append(
            _record(
                "game_complete",
                at,
                game.game_id,
                game_number=number,
                final_tick=played[-1].tick,
                peak_multiplier=peak,
                server_seed=game.server_seed[:20],
            )
        )
        at, peak = later(at, 0.05), game.peak
    closing: dict[str, object] = {
        "type": "session_end",
        "timestamp": local_text(at),
        "total_games": len(games),
        "total_ticks": n_ticks,
        "ending_balance": None,
    }
    lines = tuple(json.dumps(found) + "\n" for found in [*records, closing])
    return Recording(name=f"session_{local_start:%Y%m%d_%H%M%S}.jsonl", lines=lines)


def _name(at: datetime, game_id: str | None) -> str:
    ending = f"_{game_id[-8:]}" if game_id else ""
    return f"game_{at.astimezone(RECORDER_ZONE):%Y%m%d_%H%M%S}{ending}.jsonl"


def _connections(
    whole: list[Row], game: SimulatedGame, defects: frozenset[Defect], generator: random.Random
) -> list[list[Row]]:
    """The rows of each file of a game."""
    fifth = game.rug_tick // 5
    first = whole_number(generator, fifth, 2 * fifth) if Defect.JOINED_LATE in defects else 0
    last = whole_number(generator, 3 * fifth, 4 * fifth) if Defect.NO_RUG in defects else game.rug_tick + 99
    if Defect.RECONNECT in defects:
        lost_at = whole_number(generator, fifth, 3 * fifth)
        back_at = lost_at + whole_number(generator, 3, 7)
        return [
            [row for row in whole if row.tick <= lost_at],
            _connected([row for row in whole if row.tick >= back_at]),
        ]
    seen = [row for row in whole if first <= row.tick <= last]
    if first:
        seen = _connected([row for row in seen if row.tick > 0])
    if Defect.RECORDED_TWICE not in defects:
        return [seen]
    # The second recorder is a little further from the server; it comes in during the countdown.
    delay, from_then_on = timedelta(milliseconds=3), later(whole[0].at, _SECOND_RECORDER_AFTER_S)
    return [seen, [replace(row, at=row.at + delay) for row in seen if row.at >= from_then_on]]


def _connected(seen: list[Row]) -> list[Row]:
    """Rows from a connect in the middle of a game on: the first does not know the number of trades."""
    return [replace(seen[0], trade_count=0), *seen[1:]]


def _lines(
    game_id: str,
    part: list[Row],
    defects: frozenset[Defect],
    extra: dict[str, int],
    closing: dict[str, str],
    seed: str,
) -> list[str]:
    ticks = [row.record(game_id) for row in part]
    started = _record("game_start", part[0].at, game_id, **extra)
    opening = [started]
    counted = part
    if Defect.SECOND_GAME_START in defects:
        opening.append(started)
    if Defect.TICK_BEFORE_GAME_START in defects:
        # The summary counts what came after game_start only.
        opening, ticks, counted = [ticks[0], *opening], ticks[1:], part[1:]
    if Defect.LOST_ROWS in defects:
        n_lost = whole_number(random.Random(f"lost rows of {seed}"), 1, 3)
        countdown = [found for found in ticks if not found["active"]]
        ticks = [*countdown[:1], *countdown[1 + n_lost :], *ticks[len(countdown) :]]
    prices = [row.price for row in counted]
    ended = _record(
        "game_end",
        later(part[-1].at, 0.0003),
        game_id,
        total_ticks=len(counted),
        tick_range=[min(row.tick for row in counted), max(row.tick for row in counted)],
        price_range=[min(prices), max(prices)],
        peak_price=max(prices),
        final_price=prices[-1],
        **closing,
    )
    n_ends = 2 if Defect.TWO_GAME_ENDS in defects else 1
    if defects & {Defect.NO_GAME_END, Defect.TRUNCATED_TAIL}:
        n_ends = 0
    return [json.dumps(found) + "\n" for found in [*opening, *ticks, *[ended] * n_ends]]


def _record(kind: str, at: datetime, game_id: str, **fields: object) -> dict[str, object]:
    return {"type": kind, "timestamp": local_text(at), "game_id": game_id, **fields}
