"""Reading typed columns out of what a source sent; the factories, the importers and the service all ask here."""

import math
from collections.abc import Mapping
from typing import Any, TypedDict

INT64_MAX = 2**63 - 1

# The feed, the recorders and third-party tools name the same thing differently; the first name present wins.
_GAME_ID = ("gameId", "game_id")
_PLAYER_ID = ("playerId", "player_id")
_TICK = ("tickCount", "tick", "tickIndex")
_PRICE = ("price", "multiplier")
_COOLDOWN = ("cooldownTimer", "cooldown_timer")
_TRADES = ("tradeCount", "trade_count")

_BROWSER = ("cdp", "cdp_intercept")

# In these events `id` is the player; elsewhere it is a trade's or a message's own id.
_ID_IS_PLAYER = frozenset({"playerUpdate", "usernameStatus"})


class GameState(TypedDict):
    """What a payload says of the state of the game; None where it says nothing, or nothing usable."""

    active: bool | None
    rugged: bool | None
    phase: str | None
    cooldown_timer: int | None
    trade_count: int | None


def unwrap(data: Any) -> Any:
    """The payload proper: a list that opens with a trace header gives its last real object."""
    if isinstance(data, list):
        real = [part for part in data if isinstance(part, Mapping) and "__trace" not in part]
        return real[-1] if real else data
    return data


def game_state(data: Any) -> GameState:
    """The columns that every kind of event fills from its payload where it has them."""
    payload = data if isinstance(data, Mapping) else {}
    active, rugged = payload.get("active"), payload.get("rugged")
    return {
        "active": active if isinstance(active, bool) else None,
        "rugged": rugged if isinstance(rugged, bool) else None,
        "phase": text_of(payload.get("phase")),
        "cooldown_timer": whole(first(payload, _COOLDOWN)),
        "trade_count": whole(first(payload, _TRADES)),
    }


def game_id_of(data: Any) -> str | None:
    """The game that a payload names, if any."""
    return text_of(first(data, _GAME_ID)) if isinstance(data, Mapping) else None


def complete_game_id_of(game: Any) -> str | None:
    """The id of a game of the feed's gameHistory, where it stands under `id`."""
    return (text_of(game.get("id")) or game_id_of(game)) if isinstance(game, Mapping) else None


def game_history(data: Any) -> list[Any]:
    """The games whose whole story an update of the feed tells."""
    games = data.get("gameHistory") if isinstance(data, Mapping) else None
    return games if isinstance(games, list) else []


def is_of_browser(record: Mapping[str, Any]) -> bool:
    """Whether the browser's listener took this record: only it tells the direction or keeps the frame."""
    source = record.get("source")
    return source in _BROWSER or (source is None and ("direction" in record or "raw" in record))


def player_of(event_name: str, data: Any) -> tuple[str | None, str | None]:
    """The (player_id, username) that a payload names."""
    if not isinstance(data, Mapping):
        return None, None
    player_id = text_of(first(data, _PLAYER_ID))
    if player_id is None and event_name in _ID_IS_PLAYER:
        player_id = text_of(data.get("id"))
    return player_id, text_of(data.get("username"))


def position_of(data: Any) -> tuple[int | None, float | None]:
    """The (tick, price) that a payload names; None for what is no tick (a whole number from 0) or no price."""
    if not isinstance(data, Mapping):
        return None, None
    tick, price = whole(first(data, _TICK)), first(data, _PRICE)
    if tick is not None and tick < 0:
        tick = None
    if isinstance(price, bool) or not isinstance(price, int | float):
        return tick, None
    try:
        price = float(price)
    except OverflowError:
        return tick, None
    return tick, price if math.isfinite(price) and price >= 0 else None


def first(payload: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The value under the first of these names that is there and not null."""
    for name in names:
        value = payload.get(name)
        if value is not None:
            return value
    return None


def whole(value: Any) -> int | None:
    """The value if it is a whole number that 64 bits hold."""
    if isinstance(value, int) and not isinstance(value, bool) and -INT64_MAX - 1 <= value <= INT64_MAX:
        return value
    return None


def text_of(value: Any) -> str | None:
    """The value if it is a text that UTF-8 and SQL can hold."""
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    return value if value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value) else None
