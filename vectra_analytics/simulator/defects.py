"""What goes wrong in recordings, each on demand: in which rows are there, and in how they stand in the file."""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum

from vectra_analytics.errors import InvalidEvent
from vectra_analytics.simulator.feed import Row


class Defect(StrEnum):
    """One way in which a recording is not what one would wish, as seen in real ones."""

    # Which part of the game there is.
    JOINED_LATE = "joined late"  # begins in the middle of the game
    NO_RUG = "no rug"  # ends in the middle of the game
    RECONNECT = "reconnect"  # two files of one game, a few ticks lost between them
    RECORDED_TWICE = "recorded twice"  # two files of one game, the second 2 s late and complete from tick 0 on
    # Rows.
    MISSING_TICKS = "missing ticks"  # one to three runs of 1-5 ticks
    DUPLICATE_TICK = "duplicate tick"  # one tick twice, same price
    TICK_BACKWARDS = "tick backwards"  # two neighbours in the wrong order
    GHOST_JUMP = "ghost jump"  # the second rug emission is 7-45 ticks ahead, not 1-2
    ONE_RUGGED_ROW = "one rugged row"  # no second rug emission
    BURST = "burst"  # nothing for some seconds, up to 20, then the rows of that time within milliseconds
    # Records around them.
    TICK_BEFORE_GAME_START = "tick before game_start"
    SECOND_GAME_START = "second game_start"
    NO_GAME_END = "no game_end"
    TWO_GAME_ENDS = "two game_ends"
    LOST_ROWS = "lost rows"  # 1-3 countdown rows which game_end.total_ticks counts, but the file lacks
    # Lines.
    TORN_JOINED_LINE = "torn joined line"  # records on one line, all but the last without their closing brace
    OPENING_BRACE_TWICE = "opening brace twice"  # the same, and the line begins {"{
    TORN_TRADE_COUNT = "torn trade_count"  # the same, and the first record's trade count lacks its last digit
    HEADLESS_LINE = "headless line"  # only the end of a record
    COMMENT_LINE = "comment line"  # typed in by hand
    BLANK_LINE = "blank line"
    TRUNCATED_TAIL = "truncated tail"  # ends within a record, without a line end and without game_end


_ENOUGH_TICKS = 30  # a shorter game has no room for most defects
_NEEDS_NO_ROOM = {
    Defect.RECORDED_TWICE,
    Defect.LOST_ROWS,
    Defect.GHOST_JUMP,
    Defect.ONE_RUGGED_ROW,
    Defect.TICK_BEFORE_GAME_START,
    Defect.SECOND_GAME_START,
    Defect.NO_GAME_END,
    Defect.TWO_GAME_ENDS,
    Defect.TRUNCATED_TAIL,
}
NEEDS_COUNTDOWN = frozenset({Defect.RECORDED_TWICE, Defect.LOST_ROWS})
_ENOUGH_COUNTDOWN_MS = 3_000
_EITHER_OR = (
    {Defect.NO_RUG, Defect.GHOST_JUMP},
    {Defect.NO_RUG, Defect.ONE_RUGGED_ROW},
    {Defect.GHOST_JUMP, Defect.ONE_RUGGED_ROW},
    {Defect.RECONNECT, Defect.RECORDED_TWICE},
    {Defect.RECONNECT, Defect.JOINED_LATE},
    {Defect.RECONNECT, Defect.NO_RUG},
    {Defect.NO_GAME_END, Defect.TWO_GAME_ENDS},
    {Defect.TRUNCATED_TAIL, Defect.TWO_GAME_ENDS},
)


def known_defects(names: Iterable[str], rug_tick: int, countdown_ms: int) -> frozenset[Defect]:
    """The defects of these names, if a recording of this length can have them together."""
    names = tuple(names)
    if unknown := [name for name in names if name not in set(Defect)]:
        raise InvalidEvent(f"defects {unknown}: there are {', '.join(Defect)}; give a collection of them")
    defects = frozenset(map(Defect, names))
    if rug_tick < _ENOUGH_TICKS and (wanted := sorted(defects - _NEEDS_NO_ROOM)):
        raise InvalidEvent(
            f"defects {', '.join(wanted)}: the game rugs at tick {rug_tick}; give one of {_ENOUGH_TICKS} ticks or more"
        )
    if countdown_ms < _ENOUGH_COUNTDOWN_MS and (wanted := sorted(defects & NEEDS_COUNTDOWN)):
        raise InvalidEvent(f"defects {', '.join(wanted)}: give a countdown_ms of {_ENOUGH_COUNTDOWN_MS} or more")
    for pair in _EITHER_OR:
        if pair <= defects:
            raise InvalidEvent(f"defects {' and '.join(sorted(pair))}: a recording has the one or the other")
    return defects


def whole_number(generator: random.Random, lowest: int, highest: int) -> int:
    """A whole number from lowest to highest, both included."""
    return lowest + int(generator.random() * (highest - lowest + 1))


def row_defects(rows: list[Row], defects: frozenset[Defect], seed: str) -> list[Row]:
    """The rows of one file, damaged as asked."""
    for defect, damage in _ROW_DAMAGES.items():
        if defect in defects:
            # A generator each, so that asking for one defect more leaves the others where they were.
            rows = damage(rows, random.Random(f"{defect} in {seed}"))
    return rows


def line_defects(lines: list[str], defects: frozenset[Defect], seed: str) -> list[str]:
    """The lines of one file, each with its line end, damaged as asked."""
    for defect, damage in _LINE_DAMAGES.items():
        if defect in defects:
            lines = damage(lines, random.Random(f"{defect} in {seed}"))
    return lines


def _inner(rows: list[Row]) -> list[int]:
    """Where the rows of play are which are neither the first nor the last of it."""
    return [i for i, row in enumerate(rows) if row.active and not row.rugged and row.tick > 0][2:-2]


def _missing_ticks(rows: list[Row], generator: random.Random) -> list[Row]:
    inner = _inner(rows)
    gone: set[int] = set()
    for _ in range(whole_number(generator, 1, 3)):
        first = whole_number(generator, 0, len(inner) - 1)
        gone |= set(inner[first : first + whole_number(generator, 1, 5)])
    return [row for i, row in enumerate(rows) if i not in gone]


def _duplicate_tick(rows: list[Row], generator: random.Random) -> list[Row]:
    inner = _inner(rows)
    at = inner[whole_number(generator, 0, len(inner) - 1)]
    halfway = rows[at].at + (rows[at + 1].at - rows[at].at) / 2
    return [*rows[: at + 1], replace(rows[at], at=halfway), *rows[at + 1 :]]


def _tick_backwards(rows: list[Row], generator: random.Random) -> list[Row]:
    inner = _inner(rows)
    at = inner[whole_number(generator, 0, len(inner) - 2)]
    if rows[0].tick > 0:
        at = 0  # joined late: the snapshot of the connect overtakes the update before it
    # Times stay where they are: within a file they never go back.
    earlier, following = rows[at], rows[at + 1]
    swapped = [replace(following, at=earlier.at), replace(earlier, at=following.at)]
    return [*rows[:at], *swapped, *rows[at + 2 :]]


def _ghost_jump(rows: list[Row], generator: random.Random) -> list[Row]:
    first, second = (row for row in rows if row.rugged)
    return [*rows[:-1], replace(second, tick=first.tick + whole_number(generator, 7, 45))]


def _burst(rows: list[Row], generator: random.Random) -> list[Row]:
    inner = _inner(rows)
    held = inner[whole_number(generator, 0, len(inner) // 2) :][: whole_number(generator, 12, 80)]
    back_at = rows[held[-1]].at  # when the connection works again; all that waited comes at once
    due = {i: back_at - timedelta(microseconds=1500 * n) for n, i in enumerate(reversed(held))}
    return [replace(row, at=due[i]) if i in due else row for i, row in enumerate(rows)]


_ROW_DAMAGES: dict[Defect, Callable[[list[Row], random.Random], list[Row]]] = {
    Defect.MISSING_TICKS: _missing_ticks,
    Defect.BURST: _burst,
    Defect.DUPLICATE_TICK: _duplicate_tick,
    Defect.TICK_BACKWARDS: _tick_backwards,
    Defect.GHOST_JUMP: _ghost_jump,
    Defect.ONE_RUGGED_ROW: lambda rows, _: rows[:-1],
}


def _places(lines: list[str], generator: random.Random, length: int) -> list[int]:
    """Three places in a file with so many tick lines in a row, one in each third, the last first."""
    good = [i for i in range(1, len(lines) - length - 1) if all(_is_tick(line) for line in lines[i : i + length])]
    third = len(good) // 3
    # Not up to the end of a third: what happens in one must not reach into the next.
    return [good[n * third + whole_number(generator, 0, max(0, third - length - 1))] for n in (2, 1, 0)]


def _is_tick(line: str) -> bool:
    return line.startswith('{"type": "tick"') and line.endswith("}\n") and line.count('"type"') == 1


def _joined(lines: list[str], separator: str) -> str:
    return separator.join([*(line.removesuffix("}\n") for line in lines[:-1]), lines[-1]])


def _torn_joined_line(lines: list[str], generator: random.Random) -> list[str]:
    for at in _places(lines, generator, 4):
        n_records = whole_number(generator, 2, 4)
        separator = '{"' if generator.random() < 0.5 else ""
        lines = [*lines[:at], _joined(lines[at : at + n_records], separator), *lines[at + n_records :]]
    return lines


def _opening_brace_twice(lines: list[str], generator: random.Random) -> list[str]:
    for at in _places(lines, generator, 3):
        n_records = whole_number(generator, 2, 3)
        lines = [*lines[:at], '{"' + _joined(lines[at : at + n_records], '{"'), *lines[at + n_records :]]
    return lines


def _torn_trade_count(lines: list[str], generator: random.Random) -> list[str]:
    places = [
        i
        for i in range(1, len(lines) - 1)
        if _is_tick(lines[i]) and _is_tick(lines[i + 1]) and lines[i][-4:-2].isdigit()  # two digits or more
    ]
    at = places[whole_number(generator, 0, len(places) - 1)]
    return [*lines[:at], lines[at][:-3] + '{"' + lines[at + 1], *lines[at + 2 :]]


def _headless_line(lines: list[str], generator: random.Random) -> list[str]:
    at = _places(lines, generator, 1)[0]
    return [*lines[:at], lines[at][whole_number(generator, 5, 120) :], *lines[at + 1 :]]


def _comment_line(lines: list[str], generator: random.Random) -> list[str]:
    at = _places(lines, generator, 1)[0]
    comment = '## From here on the feed calls this "UNKNOWN"; look at it again. \n'
    return [*lines[:at], lines[at].replace("\n", " \n"), comment, *lines[at + 1 :]]


def _blank_line(lines: list[str], generator: random.Random) -> list[str]:
    at = _places(lines, generator, 1)[0]
    return [*lines[:at], "\n", *lines[at:]]


def _truncated_tail(lines: list[str], generator: random.Random) -> list[str]:
    last = max(i for i, line in enumerate(lines) if '"type": "tick"' in line)
    return [*lines[:last], lines[last][: whole_number(generator, 60, 200)]]


_LINE_DAMAGES: dict[Defect, Callable[[list[str], random.Random], list[str]]] = {
    Defect.TORN_JOINED_LINE: _torn_joined_line,
    Defect.OPENING_BRACE_TWICE: _opening_brace_twice,
    Defect.TORN_TRADE_COUNT: _torn_trade_count,
    Defect.HEADLESS_LINE: _headless_line,
    Defect.COMMENT_LINE: _comment_line,
    Defect.BLANK_LINE: _blank_line,
    Defect.TRUNCATED_TAIL: _truncated_tail,
}
