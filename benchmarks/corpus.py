"""Data to measure on: games whose prices are a random walk, made fast; not the simulator's."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vectra_analytics import EventEnvelope, EventSource

TICKS = 250
START = datetime(2025, 11, 3, tzinfo=UTC)


def prices(number: int) -> list[float]:
    """One game's prices, the last one a rug."""
    generator = random.Random(number)
    found, price = [], 1.0
    for _ in range(TICKS - 1):
        found.append(price)
        price *= 1 + generator.uniform(-0.03, 0.035)
    return [*found, 0.01]


def game_id(number: int) -> str:
    """As the site makes them: a UTC date and 16 hex digits."""
    return f"{_start(number):%Y%m%d}-{number:016x}"


def _start(number: int) -> datetime:
    return START + timedelta(seconds=86.4 * number)  # a thousand games a day


def events(number: int, session_id: str) -> Iterator[EventEnvelope]:
    """One game as a live recorder would hand it to the writer."""
    start, game = _start(number), game_id(number)
    for tick, price in enumerate(prices(number)):
        yield EventEnvelope.from_game_tick(
            tick,
            price,
            {"active": True, "rugged": tick == TICKS - 1, "tick": tick, "price": price},
            EventSource.PUBLIC_WS,
            session_id,
            number * TICKS + tick + 1,
            game,
            ts=start + timedelta(milliseconds=250 * tick),
        )


def recordings(folder: Path, n_games: int) -> Path:
    """A folder of replay recordings, a game a file."""
    into = folder / "recordings"
    into.mkdir()
    for number in range(n_games):
        lines = []
        for tick, price in enumerate(prices(number)):
            time = _start(number) + timedelta(milliseconds=250 * tick, microseconds=1)
            lines.append(
                json.dumps(
                    {
                        "type": "tick",
                        "timestamp": f"{time:%Y-%m-%dT%H:%M:%S.%f}",
                        "game_id": game_id(number),
                        "tick": tick,
                        "price": price,
                        "phase": "ACTIVE_GAMEPLAY",
                        "active": True,
                        "rugged": tick == TICKS - 1,
                        "cooldown_timer": 0,
                        "trade_count": tick * 3,
                    }
                )
            )
        (into / f"game_{number:06}.jsonl").write_text("\n".join(lines) + "\n")
    return into
