"""Tick records of game recordings as the updates that the feed sent, and what it tells a client that comes later."""

from collections.abc import Iterator, Mapping
from typing import Any

from vectra_analytics import payload

UPDATE = "gameStateUpdate"
_PARTIAL_TICKS = 5
_PRESALE_MS = 10_000  # what is left of the countdown when buying opens


class _Game:
    """The prices of a game as far as they were told."""

    def __init__(self, game_id: str | None = None) -> None:
        self.game_id = game_id
        self.rug_tick: int | None = None
        self._prices: dict[int, float] = {}

    def see(self, tick: int, price: float, is_rug: bool) -> None:
        """A tick and its price: the first one counts, but for that of the rug."""
        if is_rug and (self.rug_tick is None or tick < self.rug_tick):
            self.rug_tick = tick
            self._prices[tick] = price
        else:
            self._prices.setdefault(tick, price)

    def prices(self, first: int, last: int) -> dict[int, float]:
        """Those of the ticks from first to last that were seen; what comes after the rug is a ghost."""
        last = last if self.rug_tick is None else min(last, self.rug_tick)
        return {tick: self._prices[tick] for tick in range(first, last + 1) if tick in self._prices}

    def whole(self, last: int) -> list[float] | None:
        """The prices of all ticks from 0 to last; None where one of them was not seen."""
        seen = self.prices(0, last)
        return list(seen.values()) if len(seen) == last + 1 else None


class TickUpdates:
    """Makes ``gameStateUpdate`` payloads of the rows of game recordings, in their order.

    Notes
    -----
    What a recording does not tell is left out of an update, or null in a gameHistory: players, seeds. The second
    update of the rug carries the gameHistory, as on the feed; where the recording has none, the update of the rug is
    repeated for it. A game that lacks a tick has no gameHistory.
    """

    def __init__(self) -> None:
        self._game = _Game()
        self._rug: dict[str, Any] | None = None  # the update of the rug, while its gameHistory is owed
        self._rug_ts = 0  # us since 1970
        self._has_history = False

    def of(self, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The updates that a row gives: one for a tick record, and the end of the game before where it is owed."""
        is_tick = row["doc_type"] == "game_tick"
        if not is_tick or row["game_id"] != self._game.game_id:
            yield from self.end()
        if not is_tick:
            return
        if row["game_id"] != self._game.game_id:
            self._game, self._has_history = _Game(row["game_id"]), False
        timer = row["cooldown_timer"]
        state = {
            "gameId": row["game_id"],
            "cooldownTimer": timer,
            "allowPreRoundBuys": row["active"] is False and timer is not None and 0 < timer <= _PRESALE_MS,
        }
        if row["active"] is False and not row["rugged"]:  # settlement and presale say no more
            yield _said(state)
            return
        yield self._played(state, row)

    def _played(self, state: dict[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
        tick, price, game = row["tick"], row["price"], self._game
        game.see(tick, price, bool(row["rugged"]))
        first = max(0, tick - _PARTIAL_TICKS + 1)
        values = {str(at): value for at, value in game.prices(first, tick).items()}
        update = _said(
            {
                **state,
                "active": row["active"],
                "rugged": row["rugged"],
                "tickCount": tick,
                "price": price,
                "tradeCount": row["trade_count"],
                "partialPrices": {"startTick": first, "endTick": tick, "values": values},
            }
        )
        if row["rugged"] and self._rug is not None:
            self._rug = None
            update |= self._history()
        elif row["rugged"] and not self._has_history:
            self._rug, self._rug_ts = update, row["ts"]
        return update

    def end(self) -> Iterator[dict[str, Any]]:
        """The update that is owed where no more rows of the game come."""
        rug, self._rug = self._rug, None
        if rug is not None and (history := self._history()):
            yield rug | history

    def _history(self) -> dict[str, Any]:
        """The key with the finished game; none where a tick of it was not seen."""
        rug_tick = self._game.rug_tick
        prices = None if rug_tick is None else self._game.whole(rug_tick)
        if prices is None:
            return {}
        self._has_history = True
        game = {
            "id": self._game.game_id,
            "timestamp": self._rug_ts // 1000,
            "prices": prices,
            "peakMultiplier": max(prices),
            "rugged": True,
            "gameVersion": "v3",  # that of all public recordings; none says it
            "provablyFair": {"serverSeed": None, "serverSeedHash": None},
        }
        return {"gameHistory": [game]}


class ConnectSnapshot:
    """Follows the feed, and says what the feed sends first to a client that connects now."""

    def __init__(self) -> None:
        self._game = _Game()
        self._last: Mapping[str, Any] | None = None

    def see(self, name: str, data: Any) -> None:
        """An event as it is sent."""
        update = payload.unwrap(data) if name == UPDATE else None
        if not isinstance(update, Mapping) or (game_id := payload.game_id_of(update)) is None:
            return
        if game_id != self._game.game_id:
            self._game = _Game(game_id)
        self._last = update
        partial = update.get("partialPrices")
        for tick, price in [*_listed(update.get("prices")), *_by_tick(partial), payload.position_of(update)]:
            if tick is not None and price is not None and _is_played(update):
                is_rug = update.get("rugged") is True and tick == payload.position_of(update)[0]
                self._game.see(tick, price, is_rug)

    def update(self) -> dict[str, Any] | None:
        """The last update, in a game with its ``prices`` so far instead of the partial ones; None before the first.

        The last update stays as it was where a tick before it is unknown, as in a recording that began in a game.
        """
        if self._last is None:
            return None
        tick, _ = payload.position_of(self._last)
        prices = None if tick is None or not _is_in_game(self._last) else self._game.whole(tick)
        if prices is None:
            return dict(self._last)
        return {key: value for key, value in self._last.items() if key != "partialPrices"} | {"prices": prices}


def _said(update: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in update.items() if value is not None}


def _is_in_game(update: Mapping[str, Any]) -> bool:
    return update.get("active") is True and update.get("rugged") is not True


def _is_played(update: Mapping[str, Any]) -> bool:
    return update.get("active") is not False or update.get("rugged") is True


def _listed(prices: Any) -> list[tuple[int | None, float | None]]:
    if not isinstance(prices, list):
        return []
    return [payload.position_of({"tick": tick, "price": price}) for tick, price in enumerate(prices)]


def _by_tick(partial: Any) -> list[tuple[int | None, float | None]]:
    values = partial.get("values") if isinstance(partial, Mapping) else None
    if not isinstance(values, Mapping):
        return []
    return [
        payload.position_of({"tick": int(key), "price": price})
        for key, price in values.items()
        if key.isascii() and key.isdecimal() and len(key) < 20
    ]
