"""What a recorder receives of one game: rows in order, each with its time, phase, tick, price and trade count."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from vectra_analytics.errors import InvalidEvent
from vectra_analytics.simulator.process import SimulatedGame, from_quantiles

RECORDER_ZONE = ZoneInfo("America/New_York")  # whose clock the recordings show, without saying so
COUNTDOWN_MS = 15_000  # from one rug to the next game
PRESALE_MS = 10_000  # what is left of it when buying opens
_COUNTDOWN_STEP_MS = 100

# Quantiles of the intervals in recordings of October and November 2025, in seconds, without the longest stalls.
_COUNTDOWN_INTERVALS = (0.001, 0.055, 0.094, 0.097, 0.099, 0.1, 0.101, 0.103, 0.105, 0.118, 0.24)
_TICK_INTERVALS = (0.004, 0.14, 0.238, 0.244, 0.248, 0.2503, 0.253, 0.256, 0.262, 0.3, 0.5)
_RUG_INTERVALS = (0.02, 0.22, 0.275, 0.298, 0.315, 0.51)
_GHOST_INTERVALS = (0.29, 0.42, 0.537, 0.605, 0.75, 0.95, 2.1)
_GHOST_STEPS = (1.0, 1.0, 1.0, 2.0, 2.0, 2.0)  # ticks the second rug emission is ahead of the first


@dataclass(frozen=True, slots=True)
class Row:
    """One update of the feed, as a recorder writes it down."""

    at: datetime  # UTC
    tick: int
    price: float  # an int where the feed sends 1 without a point
    phase: str
    active: bool = False
    rugged: bool = False
    cooldown_timer: int = 0  # ms
    trade_count: int = 0

    def record(self, game_id: str) -> dict[str, object]:
        """The fields in the order of a recording."""
        return {
            "type": "tick",
            "timestamp": local_text(self.at),
            "game_id": game_id,
            "tick": self.tick,
            "price": self.price,
            "phase": self.phase,
            "active": self.active,
            "rugged": self.rugged,
            "cooldown_timer": self.cooldown_timer,
            "trade_count": self.trade_count,
        }


def local_text(at: datetime) -> str:
    """A time as the recorders wrote it: US Eastern, microseconds, no zone."""
    return at.astimezone(RECORDER_ZONE).replace(tzinfo=None).isoformat(timespec="microseconds")


def later(at: datetime, seconds: float) -> datetime:
    """A time so many seconds on, in whole microseconds."""
    return at + timedelta(microseconds=round(seconds * 1e6))


def rows(game: SimulatedGame, started_at: datetime, *, seed: int = 0, countdown_ms: int = COUNTDOWN_MS) -> list[Row]:
    """Every update of a game, from the countdown to the second rug emission.

    Parameters
    ----------
    started_at
        When the first update comes; with a time zone.
    seed
        Of the intervals and trade counts; prices come from the game alone.
    countdown_ms
        What the timer shows at the first update: 15,000 from the previous rug on, 10,000 and less in the presale,
        0 for a recorder which connects as the game becomes active.
    """
    if started_at.tzinfo is None:
        raise InvalidEvent(f"started_at {started_at.isoformat()} has no time zone; give it in UTC")
    if countdown_ms % _COUNTDOWN_STEP_MS or not 0 <= countdown_ms <= COUNTDOWN_MS:
        raise InvalidEvent(f"countdown_ms {countdown_ms}: give a multiple of 100 from 0 to {COUNTDOWN_MS}")
    generator = random.Random(f"updates of {game.game_id}, {seed}")
    found = _countdown(started_at.astimezone(UTC), generator, countdown_ms)
    at = later(found[-1].at, 0.14) if found else started_at.astimezone(UTC)
    found.append(Row(at, 0, 1, "GAME_ACTIVATION", active=True))
    trades = 20 + int(generator.random() * 60)  # those of the presale arrive at once
    for tick, price in enumerate(game.prices[1:-1], start=1):
        at = later(at, from_quantiles(generator, _TICK_INTERVALS))
        found.append(Row(at, tick, price, "ACTIVE_GAMEPLAY", active=True, trade_count=trades))
        trades += int(generator.random() ** 4 * 12)
    return found + _rug(game, at, generator, trades)


def _countdown(at: datetime, generator: random.Random, countdown_ms: int) -> list[Row]:
    found: list[Row] = []
    for timer in range(countdown_ms, 0, -_COUNTDOWN_STEP_MS):
        phase = "PRESALE" if timer <= PRESALE_MS else "UNKNOWN"
        if timer == COUNTDOWN_MS:
            found.append(Row(at, 0, 1, phase, cooldown_timer=timer))
        elif timer == PRESALE_MS:
            # The one full update of the countdown: it still counts the trades of the game before.
            trades = 100 + int(generator.random() * 500)
            found.append(Row(at, 0, 1, phase, cooldown_timer=timer, trade_count=trades))
            found.append(Row(later(at, 0.0008), 0, 1.0, phase, cooldown_timer=timer))
        else:
            found.append(Row(at, 0, 1.0, phase, cooldown_timer=timer))
        at = later(found[-1].at, from_quantiles(generator, _COUNTDOWN_INTERVALS))
    return found


def _rug(game: SimulatedGame, at: datetime, generator: random.Random, trades: int) -> list[Row]:
    """The two emissions of the rug; the second has counted on, so its tick is a ghost."""
    first_at = later(at, from_quantiles(generator, _RUG_INTERVALS))
    second_at = later(first_at, from_quantiles(generator, _GHOST_INTERVALS))
    ghost = game.rug_tick + round(from_quantiles(generator, _GHOST_STEPS))
    # The recorders' phase lags by one update, which shows when the first tick is the rug.
    phase = "GAME_ACTIVATION" if game.rug_tick == 1 else "ACTIVE_GAMEPLAY"
    return [
        Row(first_at, game.rug_tick, game.rug_price, phase, active=True, rugged=True, trade_count=trades + 9),
        Row(second_at, ghost, game.rug_price, "RUG_EVENT_1", active=True, rugged=True),
    ]
