"""EventBus: producers publish, subscribers are called at once; neither knows of the other."""

import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from enum import Enum, StrEnum
from typing import Any

_LOG = logging.getLogger(__name__)

Callback = Callable[[dict[str, Any]], object]


class Events(StrEnum):
    """What is published; the values are the names that a callback is given."""

    WS_RAW_EVENT = "ws.raw_event"
    GAME_TICK = "game.tick"
    PLAYER_UPDATE = "player.update"
    TRADE_BUY = "trade.buy"
    TRADE_SELL = "trade.sell"
    TRADE_SIDEBET = "trade.sidebet"
    TRADE_CONFIRMED = "trade.confirmed"
    BUTTON_PRESS = "button.press"


class EventBus:
    """Hand what is published to all who asked for it, in the publisher's thread and in the order of subscribing.

    A subscriber that raises harms no other: the error is logged and counted. Safe from any thread, and from inside a
    callback; who unsubscribes may be called once more by a publication under way.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: defaultdict[str, tuple[Callback, ...]] = defaultdict(tuple)
        self._counts: Counter[str] = Counter()
        self._by_event: Counter[str] = Counter()

    def subscribe(self, event: str, callback: Callback) -> None:
        """Call ``callback`` with ``{"name": ..., "data": ...}`` whenever ``event`` is published; held strongly.

        A callback that is subscribed already is not called twice.
        """
        name = _name(event)
        with self._lock:
            if callback not in self._callbacks[name]:
                self._callbacks[name] += (callback,)

    def unsubscribe(self, event: str, callback: Callback) -> None:
        """Call it no more; nothing happens where it was not subscribed."""
        name = _name(event)
        with self._lock:
            # Bound methods are equal, not identical, each time they are looked up.
            self._callbacks[name] = tuple(other for other in self._callbacks[name] if other != callback)

    def publish(self, event: str, data: Any) -> None:
        """Call all subscribers of ``event``; returns when each has been."""
        name = _name(event)
        with self._lock:
            self._counts["events_published"] += 1
            self._by_event[name] += 1
            callbacks = self._callbacks.get(name, ())
        for callback in callbacks:
            kind = "events_processed"
            try:
                callback({"name": name, "data": data})
            except Exception:  # whatever it is, the others are to be called
                kind = "errors"
                _LOG.exception("a subscriber of %s failed", name)
            with self._lock:
                self._counts[kind] += 1

    def stats(self) -> dict[str, Any]:
        """Counts since the bus was made: events published, calls that came back and that failed, subscribers."""
        with self._lock:
            return {
                "events_published": self._counts["events_published"],
                "events_processed": self._counts["events_processed"],
                "errors": self._counts["errors"],
                "subscriber_count": sum(map(len, self._callbacks.values())),
                "by_event": dict(self._by_event),
            }


def _name(event: str) -> str:
    return str(event.value) if isinstance(event, Enum) else event
