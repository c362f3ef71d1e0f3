"""Small episodes and stores made to order; what the tests hold is written in the test."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vectra_analytics import EventEnvelope, EventSource, EventStorePaths, EventStoreQuery, ParquetWriter

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Real recordings, beside the project where its makers work; a user's clone has none."""
REAL_GAMES = SHARED / "recordings" / "games"
REAL_SAMPLES = SHARED / "recordings" / "websocket_samples.jsonl"
NO_REAL_RECORDINGS = (
    f"needs the real recordings in {SHARED.name}/recordings beside the project, which are not part of it"
)

START = datetime(2025, 12, 17, 12, 0, tzinfo=UTC)


def tick_event(tick: int, price: Any, game_id: str = "g1", session_id: str = "s1", **changes: Any) -> EventEnvelope:
    """One played tick, recorded 250 ms after the one before; seq is the tick unless given."""
    seq = changes.pop("seq", tick)
    ts = changes.pop("ts", START + timedelta(milliseconds=250 * tick))
    data = {"active": True, "rugged": False, **changes.pop("data", {})}
    assert not changes, f"unknown: {changes}"
    return EventEnvelope.from_game_tick(tick, price, data, EventSource.REPLAY, session_id, seq, game_id, ts=ts)


def episode(
    *prices: Any, game_id: str = "g1", session_id: str | None = None, first_tick: int = 0, rug: bool = False
) -> list[EventEnvelope]:
    """A game of these prices, a tick each (None: the tick was not seen), the last one a rug if asked for."""
    last = len(prices) - 1
    return [
        tick_event(
            first_tick + index,
            price,
            game_id,
            session_id or f"session-{game_id}",
            data={"rugged": rug and index == last},
        )
        for index, price in enumerate(prices)
        if price is not None
    ]


def write(data_dir: Path, events: Iterable[EventEnvelope]) -> EventStorePaths:
    """A store with these events, in one commit."""
    paths = EventStorePaths(data_dir)
    with ParquetWriter(paths, buffer_size=1_000_000, flush_interval=3600) as writer:
        for event in events:
            writer.write(event)
    return paths


def store_with(data_dir: Path, *episodes: Iterable[EventEnvelope]) -> EventStoreQuery:
    """A query on a store with these episodes."""
    return EventStoreQuery(write(data_dir, [event for some in episodes for event in some]))


def rows(query: EventStoreQuery, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """The answer as plain tuples."""
    return query.query(sql, params).rows()
