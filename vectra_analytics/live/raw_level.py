"""gameStateUpdate: most of what the feed sends, and most of that says again what was said before."""

from typing import Any

from vectra_analytics import payload
from vectra_analytics.errors import VectraError
from vectra_analytics.exact_values import to_json

LEVELS = ("all", "changes", "none")

# What ticks, games and phases are made of.
_STATE = (
    *("gameId", "tickCount", "price", "active", "rugged", "cooldownTimer", "allowPreRoundBuys", "tradeCount"),
    "partialPrices",
)
KEPT, GONE = "__kept", "__gone"


class RawLevel:
    """How much of each update's JSON is kept.

    Parameters
    ----------
    level
        ``all``: as it came. ``changes``: the keys of the state, and every other key whose value is not that of the
        update before; ``__gone`` lists keys that were there and are not. Laying each over the one before gives them
        whole again. ``none``: the state alone. Of the latter two ``__kept`` says so, and ``gameHistory`` is left out:
        its games are events of their own.
    """

    def __init__(self, level: str = "all") -> None:
        if level not in LEVELS:
            raise VectraError(f"the raw level is {level!r}; it is one of {', '.join(LEVELS)}")
        self._level = level
        self._before: dict[str, str] = {}  # of the last update that was stored
        self._next: dict[str, str] = {}  # of the one that is being stored

    def kept(self, data: Any) -> Any:
        """What to keep of an update; raises InvalidEvent where it cannot be kept."""
        update = payload.unwrap(data)
        if self._level == "all" or not isinstance(update, dict):
            return data
        state = {name: update[name] for name in _STATE if name in update}
        nameless = any(payload.complete_game_id_of(game) is None for game in payload.game_history(update))
        history = {"gameHistory": update["gameHistory"]} if nameless else {}  # no event of its own has such a game
        if self._level == "none":
            return {KEPT: "none", **state, **history}
        # Compared as texts: a program may change a value where it is, and True equals 1.
        self._next = {
            name: to_json(value) for name, value in update.items() if name not in state and name != "gameHistory"
        }
        changed = {name: update[name] for name, text in self._next.items() if self._before.get(name) != text}
        gone = sorted(map(str, self._before.keys() - self._next.keys()))
        return {KEPT: "changes", **state, **changed, **history, **({GONE: gone} if gone else {})}

    def is_stored(self) -> None:
        """What :meth:`kept` gave last is stored: further changes are those since then."""
        self._before = self._next
