"""Games that bring out what a view must not do: holes, ties, ghosts, spikes, zeros, late joins, several sources."""

import json
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import polars as pl

from vectra_analytics.game_reader import NO_EVENTS

_START = datetime(2025, 12, 17, 12, tzinfo=UTC)
_EDGES = (1, 3, 5, 10, 16, 20, 32, 40, 50, 64, 100, 128, 160, 200, 256, 500, 512, 1000, 1024, 2048, 4096)
"""Lengths of windows, and of the blocks that engines cut data into."""

Prices = Sequence[float | None]
"""A price a tick; None where the tick was not seen."""


@dataclass(frozen=True, slots=True)
class Game:
    """The events of one game, and where to cut it off."""

    game_id: str
    what: str  # what is special about it, in a few words
    events: pl.DataFrame  # with the columns of `events`
    cuts: tuple[int, ...]  # the last ticks that are left

    @property
    def is_plain(self) -> bool:
        """Whether it is one tick after the other, each price in the column ``price``."""
        ticks = self.events["tick"]
        return set(self.events["doc_type"].unique()) == {"game_tick"} and not ticks.has_nulls() and ticks.is_sorted()


@cache
def short_corpus() -> tuple[Game, ...]:
    """Games enough to catch what looks ahead or aside, in a second."""
    return (
        _game(1, "holes, ties in time, a zero, a spike, a flat stretch, a rug", _eventful(1, 96), rug=True),
        _mixed(2, "several sources, conflicts, ghosts, trades", 48),
        _game(3, "a constant price", [0.1] * 30, cuts=(4, 9, 20, 25)),
        _game(4, "joined late, with gaps", _holes(_walk(4, 64), 4, 0.15), first_tick=37, cuts=range(40, 100, 5)),
        _game(5, "one tick", [1.0], cuts=()),
        _game(6, "a rug at tick 1", [1.0, 0.01], rug=True, cuts=(0,)),
        _game(7, "long, without holes", _walk(7, 640, 0.03), rug=True, cuts=_around_edges(640)[::3]),
        _game(8, "nothing but zeros", [0.0] * 12, cuts=(3, 7)),
        _listed(9, "known from the feed's list of games alone", 26),
    )


@cache
def full_corpus() -> tuple[Game, ...]:
    """The same, and games of every length, of 300 ticks cut at each, and of up to 40,000."""
    lengths = sorted({n for edge in _EDGES[1:13] for n in (edge - 1, edge, edge + 1)})
    return (
        *short_corpus(),
        _game(20, "300 ticks with all that moves a window", _eventful(20, 300), rug=True),
        _game(21, "300 ticks, smooth, still running", _walk(21, 300, 0.01)),
        _mixed(22, "several sources, conflicts, ghosts, trades", 90),
        *(_game(100 + n, f"{n} ticks", _walk(n, n), cuts=(n // 2,), rug=n % 2 == 0) for n in lengths),
        _game(30, "a spike of 1e12", [*_walk(30, 60), 1e12, *_walk(31, 60)], cuts=range(50, 90)),
        _game(31, "the largest and the smallest prices", [1e12, 1e-6, 0.0, 1.0, 1e-6] * 12, cuts=range(60)),
        _game(32, "two prices by turns", [1.0, 2.0] * 40, cuts=range(0, 80, 7)),
        _game(33, "4,200 ticks", _eventful(33, 4_200), cuts=_around_edges(4_200), rug=True),
        _game(34, "40,000 ticks", _walk(34, 40_000, 0.002), cuts=_LONGEST_CUTS, rug=True),
    )


_LONGEST_CUTS = (4, 5, 9, 10, 19, 20, 40, 100, 256, 1_023, 2_047, 2_048, 4_096, 8_191, 20_479, 39_998)


def cut(game: Game, ticks: Iterable[int]) -> pl.DataFrame:
    """What was known of a game after each of these ticks, as many games as ticks; :func:`cut_of` tells them.

    An event is left if its tick is not later; one without a tick, if it came before any that is later. Lists of prices
    are cut as well.
    """
    at = pl.Series(list(ticks), dtype=pl.Int64)
    if game.is_plain:  # in the order of ticks: what is left are the first rows
        n_left = game.events["tick"].search_sorted(at, side="right").cast(pl.Int64)
        left = game.events[pl.int_ranges(0, n_left, eager=True).explode()]
        cuts = pl.select(at.repeat_by(n_left).explode()).to_series()
    else:
        left = _left(game.events, at)
        cuts = left.drop_in_place("_cut")
    return left.with_columns(pl.concat_str(pl.col(name), pl.lit(_COPY), cuts) for name in ("game_id", "session_id"))


def _left(events: pl.DataFrame, ticks: pl.Series) -> pl.DataFrame:
    """The events of a game that are left when it is cut off after each tick, which is in a column ``_cut``."""
    cuts = pl.DataFrame({"_cut": ticks, "_end": ends_of(events, ticks)})
    came_before = _IS_LIST | pl.col("_end").is_null() | (pl.col("ts") < pl.col("_end"))
    is_left = pl.when(pl.col("tick").is_null()).then(came_before).otherwise(pl.col("tick") <= pl.col("_cut"))
    left = cuts.join(events, how="cross", maintain_order="left_right").filter(is_left).drop("_end")
    lists = left.filter(_IS_LIST)
    texts = [_cut_list(text, tick) for text, tick in lists.select("raw_json", "_cut").iter_rows()]
    lists = lists.with_columns(raw_json=pl.Series(texts, dtype=pl.String), rugged=pl.lit(False))
    return pl.concat([left.filter(~_IS_LIST), lists]).sort("_cut", maintain_order=True)


_IS_LIST = pl.col("doc_type") == "complete_game"


def ends_of(events: pl.DataFrame, ticks: pl.Series) -> pl.Series:
    """When the first event came that a cut after each tick removes; a list of prices comes when the game is over."""
    known = events.filter(pl.col("tick").is_not_null()).sort("tick")
    first_from = known["ts"].reverse().cum_min().reverse().extend_constant(None, 1)
    end = first_from[known["tick"].search_sorted(ticks, side="right")]
    return pl.select(
        pl.min_horizontal(end, pl.lit(events.filter(_IS_LIST)["ts"].min(), events.schema["ts"]))
    ).to_series()


_COPY = "~cut "


def uncut_name(name: pl.Expr) -> pl.Expr:
    """What a game or a session was called before it was cut."""
    return name.str.replace(f"{_COPY}\\d+$", "")


def cut_of(name: pl.Expr) -> pl.Expr:
    """The tick after which it was cut off."""
    return name.str.extract(f"{_COPY}(\\d+)$").cast(pl.Int64)


def _cut_list(text: str, tick: int) -> str:
    try:
        said = json.loads(text)
        return json.dumps({"id": said.get("id"), "prices": said["prices"][: tick + 1]})
    except (ValueError, KeyError, TypeError, AttributeError):
        return "{}"


def scaled(game: Game, factor: float) -> pl.DataFrame:
    """The events of a plain game with prices times a factor."""
    return game.events.with_columns(pl.col("price") * factor)


def all_events(games: Iterable[Game]) -> pl.DataFrame:
    """The events of all these games."""
    return pl.concat([game.events for game in games])


def _around_edges(n: int) -> tuple[int, ...]:
    """Some 200 ticks of a long game: those around the edges of windows, and some between."""
    between = range(0, n, max(1, n // 60))
    near = {cut for edge in _EDGES for cut in range(edge - 3, edge + 4)}
    return tuple(sorted(cut for cut in near.union(between) if 0 <= cut < n - 1))


def _walk(seed: int, n: int, spread: float = 0.07) -> list[float]:
    """A price that wanders, now and then flat."""
    chance = random.Random(seed)
    prices = [1.0]
    while len(prices) < n:
        step = 1.0 if chance.random() < 0.1 else math.exp(chance.gauss(0, spread))
        prices.append(min(max(prices[-1] * step, 1e-6), 1e12))
    return prices


def _holes(prices: Iterable[float], seed: int, share: float) -> list[float | None]:
    chance = random.Random(seed)
    return [None if chance.random() < share else price for price in prices]


def _eventful(seed: int, n: int) -> list[float | None]:
    prices = _holes(_walk(seed, n, 0.2), seed, 0.03)
    prices[0] = 1.0
    for place, price in ((n // 5, 0.0), (n // 3, 1e12), (n // 2, 1e-6)):
        prices[place] = price
    prices[n // 4 : n // 4 + 22] = [0.1] * min(22, n - n // 4)
    return prices[:n]


def _id(number: int) -> str:
    return f"20251217-{number:016x}"  # as the site makes them


def _game(
    number: int, what: str, prices: Prices, *, first_tick: int = 0, rug: bool = False, cuts: Iterable[int] | None = None
) -> Game:
    """A game of game_tick events; every fifth group of four ticks has one and the same time."""
    seen = [first_tick + place for place, price in enumerate(prices) if price is not None]
    times = [250 * (tick - tick % 4 if tick % 20 < 4 else tick) for tick in seen]
    events = _frame(
        number,
        doc_type="game_tick",
        ts=[_START + timedelta(milliseconds=time) for time in times],
        seq=seen,
        tick=seen,
        price=[float(price) for price in prices if price is not None],
        active=True,
        rugged=[rug and tick == seen[-1] for tick in seen],
        phase="ACTIVE_GAMEPLAY",
        trade_count=[tick // 2 for tick in seen],
    )
    return Game(_id(number), what, events, tuple(seen[:-1] if cuts is None else cuts))


def _frame(number: int, **columns: Any) -> pl.DataFrame:
    """Events of one game; what is not said of them is as a recorder has it, or NULL."""
    usual = {
        "source": "public_ws",
        "session_id": f"session-{number}",
        "direction": "received",
        "game_id": _id(number),
        "raw_json": "{}",
        "date": date(2025, 12, 17),
    }
    said = {**usual, **columns}
    n_rows = len(said["seq"])
    return pl.DataFrame(
        {
            name: said[name] if isinstance(said.get(name), list) else [said.get(name)] * n_rows
            for name in NO_EVENTS.columns
        },
        schema=NO_EVENTS.schema,
    )


def _listed(number: int, what: str, n: int) -> Game:
    """A game of which nothing was seen but the list of its prices, afterwards; so its ticks have no times."""
    prices = [*_walk(number, n - 1), 0.01]
    said = json.dumps({"id": _id(number), "prices": prices, "rugged": True})
    events = _frame(number, doc_type="complete_game", ts=[_START], seq=[1], rugged=True, raw_json=said)
    return Game(_id(number), what, events, tuple(range(n - 1)))


def _mixed(number: int, what: str, n: int) -> Game:
    """A game that two recorders, the feed's updates and its list of games tell of, with what players did."""
    prices = [*_walk(number, n - 1, 0.1), 0.015]
    start = [_START + timedelta(milliseconds=250 * tick, microseconds=7 * (tick % 3)) for tick in range(n)]
    some = [tick for tick in range(n) if tick % 7 != 3]
    others = [tick for tick in range(n // 3, n) if tick % 2]
    updates = list(range(4, n, 5))
    players = [f"did:privy:player{tick % 3}" if tick % 4 else None for tick in range(n)]
    parts = [
        _frame(  # waiting before the game: no ticks
            number,
            doc_type="game_tick",
            ts=[_START - timedelta(seconds=second) for second in (9, 5, 1)],
            seq=[1, 2, 3],
            tick=0,
            price=1.0,
            active=False,
            rugged=False,
            phase="PRESALE",
        ),
        _frame(
            number,
            doc_type="game_tick",
            ts=[start[tick] for tick in some],
            seq=[10 + tick for tick in some],
            tick=some,
            price=[prices[tick] for tick in some],
            active=True,
            rugged=[tick == n - 1 for tick in some],
        ),
        _frame(  # another recorder, late, and in conflict now and then
            number,
            session_id=f"other-{number}",
            doc_type="game_tick",
            ts=[start[tick] + timedelta(milliseconds=40) for tick in others],
            seq=others,
            tick=others,
            price=[prices[tick] * (1.001 if tick % 9 == 0 else 1) for tick in others],
            active=True,
            rugged=[tick == n - 1 for tick in others],
        ),
        _frame(
            number,
            doc_type="ws_event",
            event_name="gameStateUpdate",
            ts=[start[tick] + timedelta(milliseconds=3) for tick in updates],
            seq=[1000 + tick for tick in updates],
            tick=updates,
            price=[prices[tick] for tick in updates],
            active=True,
            rugged=[tick == n - 1 for tick in updates],
            raw_json=[json.dumps(_update(prices, tick)) for tick in updates],
        ),
        _frame(  # the rug again, as a ghost
            number,
            doc_type="game_tick",
            ts=[start[-1] + timedelta(milliseconds=600)],
            seq=[900],
            tick=n + 1,
            price=prices[-1],
            active=True,
            rugged=True,
        ),
        _frame(
            number,
            doc_type="ws_event",
            event_name="standard/newTrade",
            ts=[start[tick] + timedelta(milliseconds=100) for tick in updates],
            seq=[2000 + tick for tick in updates],
            tick=updates,
            price=[prices[tick] for tick in updates],
            player_id=[players[tick] for tick in updates],
            raw_json=[json.dumps({"event": "standard/newTrade", "data": _trade(tick)}) for tick in updates],
        ),
        _frame(
            number,
            doc_type="player_action",
            source="ui",
            direction="sent",
            action_type=["buy" if tick % 2 else "sell" for tick in others],
            ts=[start[tick] + timedelta(milliseconds=(tick % 4) * 60) for tick in others],
            seq=[3000 + tick for tick in others],
            tick=[tick if tick % 3 else None for tick in others],
            player_id=[players[tick] for tick in others],
        ),
        _frame(  # bought before the game: no tick can be known
            number,
            doc_type="player_action",
            source="ui",
            direction="sent",
            action_type="buy",
            ts=[_START - timedelta(seconds=second) for second in (4, 3)],
            seq=[2900, 2901],
            tick=[0, None],
            player_id="did:privy:player1",
        ),
        _frame(
            number,
            doc_type="server_state",
            ts=[start[tick] for tick in updates],
            seq=[4000 + tick for tick in updates],
            player_id="did:privy:player1",
            cash=Decimal("0.5"),
            position_qty=[Decimal(tick % 5) for tick in updates],
        ),
        _frame(
            number,
            doc_type="complete_game",
            ts=[start[-1] + timedelta(seconds=1)],
            seq=[5000],
            rugged=True,
            raw_json=json.dumps({"id": _id(number), "prices": prices, "rugged": True}),
        ),
    ]
    return Game(_id(number), what, pl.concat(parts), tuple(range(n - 1)))


def _update(prices: Sequence[float], tick: int) -> dict[str, Any]:
    values = {str(t): prices[t] for t in range(max(0, tick - 4), tick + 1)}
    partial = {"startTick": max(0, tick - 4), "endTick": tick, "values": values}
    return {"event": "gameStateUpdate", "data": {"tickCount": tick, "price": prices[tick], "partialPrices": partial}}


def _trade(tick: int) -> dict[str, Any]:
    return {"type": "buy" if tick % 3 else None, "tickIndex": tick, "amount": 0.01 * (tick % 7), "qty": 1.5}
