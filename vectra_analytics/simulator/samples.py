"""The recordings of ``data_samples/``: which games, when, with which defects."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from vectra_analytics.simulator.defects import NEEDS_COUNTDOWN, Defect
from vectra_analytics.simulator.feed import COUNTDOWN_MS, later, rows
from vectra_analytics.simulator.process import SimulatedGame, Version, invent_ids, play
from vectra_analytics.simulator.recordings import Recording, Status, record, record_session

# The first series whose games are long enough for the defects asked of them, and which stays below 3 MB.
_SERIES = 36
_SHORT_COUNTDOWN_MS = 300  # most recordings begin late in the presale, which keeps the folder small
_WHOLE_COUNTDOWN_EVERY = 16  # games
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
        started_at=datetime(2025, 10, 31, 23, 54, tzinfo=UTC),
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
