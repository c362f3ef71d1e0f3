"""The bus calls all who asked, in order, whatever one of them does."""

import threading
from typing import Any

import pytest

from vectra_analytics import EventBus, Events


def test_a_subscriber_gets_name_and_data() -> None:
    """At once, in the publisher's thread; others and earlier publications are none of its business."""
    bus = EventBus()
    got: list[Any] = []
    bus.publish(Events.GAME_TICK, {"tick": 0})
    bus.subscribe(Events.GAME_TICK, lambda event: got.append((event, threading.get_ident())))
    bus.publish(Events.GAME_TICK, {"tick": 1})
    bus.publish(Events.PLAYER_UPDATE, {})
    bus.publish("game.tick", None)

    me = threading.get_ident()
    assert got == [({"name": "game.tick", "data": {"tick": 1}}, me), ({"name": "game.tick", "data": None}, me)]


def test_a_subscriber_that_fails_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """The rest is called, the publisher sees nothing, and the failure is counted and logged."""
    bus = EventBus()
    got: list[Any] = []

    def fails(event: dict[str, Any]) -> None:
        raise SystemError("mine")

    bus.subscribe(Events.TRADE_BUY, fails)
    bus.subscribe(Events.TRADE_BUY, got.append)
    bus.publish(Events.TRADE_BUY, 1)

    assert [event["data"] for event in got] == [1]
    assert bus.stats() == {
        "events_published": 1,
        "events_processed": 1,
        "errors": 1,
        "subscriber_count": 2,
        "by_event": {"trade.buy": 1},
    }
    assert "SystemError: mine" in caplog.text


class Counting:
    """A subscriber whose method is bound anew each time it is named."""

    def __init__(self) -> None:
        self.n = 0

    def take(self, event: dict[str, Any]) -> None:
        """Count the event."""
        self.n += 1


def test_methods_are_held_and_subscribed_once() -> None:
    """Twice subscribed is once called; the last reference may go; unsubscribing twice does nothing."""
    bus, counting = EventBus(), Counting()
    bus.subscribe(Events.BUTTON_PRESS, counting.take)
    bus.subscribe(Events.BUTTON_PRESS, counting.take)
    bus.subscribe(Events.BUTTON_PRESS, Counting().take)
    bus.publish(Events.BUTTON_PRESS, {})
    assert (counting.n, bus.stats()["events_processed"]) == (1, 2)

    bus.unsubscribe(Events.BUTTON_PRESS, counting.take)
    bus.unsubscribe(Events.BUTTON_PRESS, counting.take)
    bus.unsubscribe(Events.GAME_TICK, counting.take)
    bus.publish(Events.BUTTON_PRESS, {})
    assert (counting.n, bus.stats()["subscriber_count"]) == (1, 1)


def test_callbacks_may_use_the_bus() -> None:
    """One that subscribes, publishes and leaves from inside its call neither hangs nor is called again."""
    bus = EventBus()
    got: list[Any] = []

    def once(event: dict[str, Any]) -> None:
        bus.unsubscribe(Events.GAME_TICK, once)
        bus.subscribe(Events.TRADE_SELL, got.append)
        bus.publish(Events.TRADE_SELL, "inside")
        got.append(event)

    bus.subscribe(Events.GAME_TICK, once)
    bus.publish(Events.GAME_TICK, 1)
    bus.publish(Events.GAME_TICK, 2)
    assert [event["data"] for event in got] == ["inside", 1]


def test_threads_lose_no_count() -> None:
    """Eight publishers: each event is counted and delivered once."""
    bus = EventBus()
    got: list[dict[str, Any]] = []
    bus.subscribe(Events.GAME_TICK, got.append)

    def publish(k: int) -> None:
        for n in range(500):
            bus.publish(Events.GAME_TICK, (k, n))

    threads = [threading.Thread(target=publish, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event["data"] for event in got) == [(k, n) for k in range(8) for n in range(500)]
    assert bus.stats()["events_published"] == bus.stats()["events_processed"] == 4000
