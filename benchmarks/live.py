"""What recording costs the publisher: from `publish()` until the event waits in the writer's queue."""

import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.results import MICROSECONDS, Result, compared
from vectra_analytics import EventBus, Events, EventStoreService


def _tick(number: int) -> dict[str, Any]:
    return {"tick": number, "price": 1 + number / 7, "gameId": "g1", "active": True, "rugged": False, "tradeCount": 9}


def update(number: int, generator: random.Random) -> dict[str, Any]:
    """An update of 12 kB: made up, of the feed's form and size."""

    def amount() -> float:
        return generator.random() * 10

    leaders = [
        {
            **{"id": f"did:privy:{generator.getrandbits(100):025x}", "username": f"player_{place}", "level": place},
            **{
                name: amount()
                for name in ("pnl", "regularPnl", "pnlPercent", "positionQty", "avgCost", "totalInvested")
            },
            **{"sidebetPnl": 0, "shortPnl": 0, "hasActiveTrades": True, "sidebetActive": None, "shortPosition": None},
            **{"position": place, "selectedCoin": {"address": "0xPractice", "ticker": "FREE", "max_bet": 10_000}},
        }
        for place in range(1, 25)
    ]
    values = {str(tick): amount() for tick in range(number, number + 5)}
    return {
        **{"gameId": "20251207-0123456789abcdef", "active": True, "rugged": False, "price": amount()},
        **{"tickCount": number + 4, "cooldownTimer": 0, "tradeCount": number, "allowPreRoundBuys": False},
        "partialPrices": {"startTick": number, "endTick": number + 4, "values": values},
        "leaderboard": leaders,
        "provablyFair": {"serverSeedHash": f"{generator.getrandbits(256):064x}", "version": "v3"},
    }


def handling(folder: Path) -> list[Result]:
    """Ticks and updates of 12 kB over the bus into a service that records, against only making their JSON."""
    generator = random.Random("handling")
    ticks = [(Events.GAME_TICK, _tick(number)) for number in range(5_000)]
    updates = [
        (Events.WS_RAW_EVENT, {"event": "gameStateUpdate", "data": update(number, generator)}) for number in range(500)
    ]
    results = []
    for what, published, at_most in (("a tick", ticks, 40e-6), ("an update of 12 kB", updates, 250e-6)):
        bus = EventBus()
        with EventStoreService(bus, folder / what.replace(" ", "-"), buffer_size=10_000, flush_interval=60) as service:
            service.resume()
            ours = _median(lambda one, bus=bus: bus.publish(*one), published)  # type: ignore[misc]
        bare = _median(lambda one: json.dumps(one[1]), published)
        name = f"handling {what}: median"
        results.append(compared(name, ours, bare, "making its JSON with json", MICROSECONDS, at_most=at_most))
    return results


def _median(do: Callable[[Any], object], some: list[Any]) -> float:
    times = []
    for one in some:
        begin = time.perf_counter()
        do(one)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)
