"""ticks and games: one canonical series a game, whatever recorded it, and what is said of the game as a whole."""

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from tests.builders import NO_REAL_RECORDINGS, REAL_GAMES, START, episode, rows, store_with, tick_event, write
from vectra_analytics import EventEnvelope, EventSource, EventStorePaths, EventStoreQuery, import_recordings

Row = tuple[Any, ...]


def at(tick: float) -> datetime:
    """When the builder's tick events are recorded."""
    return START + timedelta(milliseconds=250 * tick)


def history(prices: Any, game_id: str = "g1", *, ts: datetime | None = None, **changes: Any) -> EventEnvelope:
    """A whole game as the feed's gameHistory has it."""
    return EventEnvelope.from_complete_game(
        {"id": game_id, "prices": prices, **changes},
        EventSource.PUBLIC_WS,
        f"history-{game_id}",
        0,
        ts=ts or START + timedelta(hours=1),
    )


def update(tick: int | None, price: Any, *, partial: Any = None, traced: bool = False, **changes: Any) -> EventEnvelope:
    """A gameStateUpdate of the feed, a second behind the builder's tick events unless ``ts`` says otherwise."""
    seq = changes.pop("seq", tick)
    ts = changes.pop("ts", at(tick or 0) + timedelta(seconds=1))
    session_id = changes.pop("session_id", "feed")
    said = {"gameId": "g1", "active": True, "rugged": False, "tickCount": tick, "price": price, **changes}
    if partial is not None:
        said["partialPrices"] = partial
    data = [{"__trace": True, "traceparent": "00-ab-01"}, said] if traced else said
    return EventEnvelope.from_ws_event("gameStateUpdate", data, EventSource.PUBLIC_WS, session_id, seq, ts=ts)


def values(prices: Mapping[int, Any]) -> dict[str, Any]:
    """A partialPrices object."""
    return {
        "startTick": min(prices),
        "endTick": max(prices),
        "values": {str(tick): price for tick, price in prices.items()},
    }


def ticks(query: EventStoreQuery, columns: str = "tick, price, rugged, source", game_id: str = "g1") -> list[Row]:
    """Some columns of the game's ticks, in order."""
    return rows(query, f"SELECT {columns} FROM ticks WHERE game_id = $game ORDER BY tick", {"game": game_id})


def game(query: EventStoreQuery, game_id: str = "g1") -> dict[str, Any]:
    """The one row of the game in ``games``."""
    return query.games().row(by_predicate=pl.col("game_id") == game_id, named=True)


# Where ticks come from


def test_recorded_ticks_are_ticks(tmp_path: Path) -> None:
    """A recorded episode comes back tick by tick, with its times; the last one is the rug."""
    query = store_with(tmp_path, episode(1, 1.5, 2, 0.01, rug=True))
    assert ticks(query, "tick, ts, price, rugged, source") == [
        (0, at(0), 1.0, False, "game_tick"),
        (1, at(1), 1.5, False, "game_tick"),
        (2, at(2), 2.0, False, "game_tick"),
        (3, at(3), 0.01, True, "game_tick"),
    ]


def test_all_three_sources_give_the_same_series(tmp_path: Path) -> None:
    """The same game as recorded ticks, as updates, as partial prices behind a trace header, and as a whole game."""
    prices = [1, 1.0100000000000002, 0.1 + 0.2, 824.123456789012345, 0.014]
    told = {
        "game_tick": episode(*prices, rug=True),
        "update": [update(tick, price, rugged=tick == 4) for tick, price in enumerate(prices)],
        "partial": [
            update(4, prices[4], rugged=True, partial=values(dict(enumerate(prices[:4]))), traced=True),
        ],
        "complete_game": [history(prices)],
    }
    wanted = [(tick, float(price), tick == 4) for tick, price in enumerate(prices)]
    for name, events in told.items():
        query = store_with(tmp_path / name, events)
        assert ticks(query, "tick, price, rugged") == wanted, name
        assert (game(query)["n_ticks"], game(query)["rug_tick"], game(query)["is_complete"]) == (5, 4, True), name


@pytest.mark.parametrize("traced", [False, True])
def test_partial_prices_fill_what_the_updates_left_out(tmp_path: Path, traced: bool) -> None:
    """The last five prices that an update repeats are ticks without a time of their own."""
    query = store_with(tmp_path, [update(4, 3, partial=values({0: 1, 1: 1.5, 2: 2, 3: 2.5, 4: 3}), traced=traced)])
    assert ticks(query, "tick, ts, price, source") == [
        (0, None, 1.0, "ws_event"),
        (1, None, 1.5, "ws_event"),
        (2, None, 2.0, "ws_event"),
        (3, None, 2.5, "ws_event"),
        (4, at(8), 3.0, "ws_event"),
    ]


def test_only_state_updates_and_recorded_ticks_name_prices(tmp_path: Path) -> None:
    """Trades, side bets, buttons and actions carry a tick and a price, too, and are no ticks."""
    said = {"gameId": "g1", "tickIndex": 2, "price": 9.0, "active": True, "rugged": False}
    source, ui = EventSource.PUBLIC_WS, EventSource.UI
    others = [
        EventEnvelope.from_ws_event("standard/newTrade", said, source, "o", 0, ts=START),
        EventEnvelope.from_ws_event("gameStatePlayerUpdate", said, source, "o", 1, ts=START),
        EventEnvelope.from_ws_event("newSideBet", [{"__trace": True}, said], source, "o", 2, ts=START),
        EventEnvelope.from_player_action("buy", said, ui, "o", 3, "g1", ts=START),
        EventEnvelope.from_button_event("BUY", "action", said, ui, "o", 4, "g1", tick=2, price=9, ts=START),
        EventEnvelope.from_server_state(said, source, "o", 5, "g1", "p1", ts=START),
        EventEnvelope.from_system_event("game_end", said, source, "o", 6, ts=START),
    ]
    assert ticks(store_with(tmp_path, others, episode(1, 2))) == [
        (0, 1.0, False, "game_tick"),
        (1, 2.0, False, "game_tick"),
    ]


# Which rows are played ticks


def test_settlement_and_presale_are_no_ticks(tmp_path: Path) -> None:
    """Rows that are neither active nor rugged are no ticks, in recordings and on the feed."""
    waiting = {"active": False, "rugged": False}
    events = [
        tick_event(0, 1.0, seq=0, data=waiting | {"phase": "PRESALE"}),
        tick_event(0, 7.0, seq=1, data=waiting | {"phase": "UNKNOWN"}),
        tick_event(2, 7.0, seq=2, data=waiting),
        update(3, 7.0, active=False, partial=values({1: 7.0, 2: 7.0})),
        *(tick_event(tick, 1.0 + tick, seq=10 + tick) for tick in range(3)),
    ]
    assert ticks(store_with(tmp_path, events), "tick, price") == [(0, 1.0), (1, 2.0), (2, 3.0)]


def test_a_game_that_was_only_prepared_is_none(tmp_path: Path) -> None:
    """Presale rows alone make no tick and no game, though the game is listed as named."""
    query = store_with(tmp_path, [tick_event(0, 1.0, data={"active": False})])
    assert ticks(query) == []
    assert query.games().height == 0
    assert query.list_games() == ["g1"]


@pytest.mark.parametrize("source", ["game_tick", "ws_event"])
def test_what_is_not_said_counts_as_played(tmp_path: Path, source: str) -> None:
    """An event is no played tick only where it says that the game is not active and does not say that it rugged."""
    played: dict[tuple[bool | None, bool | None], bool] = {
        (True, False): True,
        (True, True): True,
        (False, True): True,
        (False, False): False,
        (None, None): True,
        (None, False): True,
        (None, True): True,
        (True, None): True,
        (False, None): False,
    }
    events = []
    for seq, (active, rugged) in enumerate(played):
        said: dict[str, Any] = {"active": active, "rugged": rugged}
        game_id = f"{active} {rugged}"
        if source == "game_tick":
            events.append(tick_event(3, 2.0, game_id, seq=seq, data=said))
        else:
            events.append(update(3, 2.0, gameId=game_id, seq=seq, **said))
    query = store_with(tmp_path, events)
    for (active, rugged), is_played in played.items():
        wanted = [(3, 2.0, bool(rugged), source)] if is_played else []
        assert ticks(query, game_id=f"{active} {rugged}") == wanted, (active, rugged)


def test_a_row_without_a_price_is_no_tick(tmp_path: Path) -> None:
    """An event that names a tick and no price, or a price and no tick, names no tick at all."""
    query = store_with(
        tmp_path,
        [
            update(5, None),
            update(6, "12"),
            update(None, 3.0, seq=7),
            update(8, -1.0),
            EventEnvelope(
                ts=START,
                source=EventSource.CDP,
                doc_type="game_tick",  # type: ignore[arg-type]  # made a DocType by the envelope
                session_id="bare",
                seq=0,
                direction="received",  # type: ignore[arg-type]  # likewise
                raw_json="{}",
                game_id="g1",
                tick=9,
            ),
        ],
    )
    assert ticks(query) == []
    assert query.games().height == 0


def test_a_price_of_zero_is_a_price(tmp_path: Path) -> None:
    """0 is a price like any other, from every source."""
    query = store_with(tmp_path, [tick_event(0, 0.0), update(1, 0), update(3, 2, partial=values({2: 0}))])
    assert ticks(query, "tick, price") == [(0, 0.0), (1, 0.0), (2, 0.0), (3, 2.0)]


# Which row a tick has


def test_whole_games_go_before_recordings_and_these_before_the_feed(tmp_path: Path) -> None:
    """The price of a tick is that of the best source that has it, whichever came first."""
    early = START - timedelta(hours=1)
    query = store_with(
        tmp_path,
        [update(tick, 30.0 + tick, ts=early) for tick in range(4)],
        [tick_event(tick, 20.0 + tick) for tick in range(3)],
        [history([10, 11], rugged=False)],
    )
    assert ticks(query, "tick, price, source") == [
        (0, 10.0, "complete_game"),
        (1, 11.0, "complete_game"),
        (2, 22.0, "game_tick"),
        (3, 33.0, "ws_event"),
    ]


def test_a_rugged_row_goes_before_one_that_is_not(tmp_path: Path) -> None:
    """Among rows of the same kind the rugged one is believed, though seen last; its time is the tick's."""
    recorded = [
        tick_event(3, 5.0, session_id="a", seq=1),
        tick_event(3, 0.02, session_id="b", seq=2, ts=at(9), data={"rugged": True}),
    ]
    assert ticks(store_with(tmp_path / "recorded", recorded), "tick, ts, price, rugged") == [(3, at(9), 0.02, True)]
    fed = [update(3, 5.0, seq=0), update(3, 0.02, seq=1, ts=at(9), rugged=True, partial=values({2: 4.0, 3: 5.0}))]
    wanted = [(2, None, 4.0, False), (3, at(9), 0.02, True)]
    assert ticks(store_with(tmp_path / "fed", fed), "tick, ts, price, rugged") == wanted


def test_a_better_source_goes_before_a_rugged_row(tmp_path: Path) -> None:
    """The rug that only the feed saw marks the recorded tick, whose price stays."""
    query = store_with(tmp_path, [tick_event(3, 0.5), update(3, 0.02, rugged=True), tick_event(4, 0.5)])
    assert ticks(query, "tick, ts, price, rugged, source") == [(3, at(3), 0.5, True, "game_tick")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"ts": at(1), "session_id": "z", "seq": 9}, {"ts": at(2), "session_id": "a", "seq": 1}),
        ({"ts": at(1), "session_id": "a", "seq": 9}, {"ts": at(1), "session_id": "b", "seq": 1}),
        ({"ts": at(1), "session_id": "a", "seq": 1}, {"ts": at(1), "session_id": "a", "seq": 2}),
    ],
)
def test_among_equals_the_earliest_seen_is_believed(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """By time, then by session and its numbers: the same row whichever was stored first."""
    events = [tick_event(1, 2.0, **first), tick_event(1, 3.0, **second)]
    for name, order in (("there", events), ("back", events[::-1])):
        query = store_with(tmp_path / name, order)
        assert ticks(query, "ts, price") == [(first["ts"], 2.0)]
        assert game(query)["n_conflicts"] == 1
    for name, order in (("there, apart", events), ("back, apart", events[::-1])):
        for event in order:
            paths = write(tmp_path / name, [event])
        assert ticks(EventStoreQuery(paths), "ts, price") == [(first["ts"], 2.0)]


def test_partial_prices_and_updates_are_equals(tmp_path: Path) -> None:
    """Between an update and an earlier or later list of partial prices, the earlier is believed."""
    late, early = update(4, 4.0, seq=1, partial=values({3: 33.0})), update(3, 3.0, seq=0)
    assert ticks(store_with(tmp_path / "a", [late, early]), "tick, ts, price")[0] == (3, at(7), 3.0)
    late, early = update(3, 3.0, seq=1, ts=at(9)), update(4, 4.0, seq=0, partial=values({3: 33.0}))
    assert ticks(store_with(tmp_path / "b", [late, early]), "tick, ts, price")[0] == (3, at(9), 33.0)


def test_the_time_is_that_of_the_best_source_that_has_one(tmp_path: Path) -> None:
    """Lists of prices have no time for a tick: it comes from the recording, else from the feed, else it is NULL."""
    query = store_with(
        tmp_path,
        [history([1, 2, 3, 4], ts=START - timedelta(days=1))],
        [tick_event(0, 1), tick_event(3, 4, data={"rugged": True})],
        [update(tick, tick + 1, ts=START - timedelta(hours=1 + tick)) for tick in (0, 1)],
        [update(6, None, partial=values({2: 3, 3: 4}))],
    )
    assert ticks(query, "tick, ts, source") == [
        (0, at(0), "complete_game"),
        (1, START - timedelta(hours=2), "complete_game"),
        (2, None, "complete_game"),
        (3, at(3), "complete_game"),
    ]


# The rug

NAMED_AT_3 = {
    "game_tick": [tick_event(3, 0.01, session_id="rug", data={"rugged": True})],
    "ws_event": [update(3, 0.01, session_id="rug", rugged=True)],
    "complete_game": [history([1, 2, 3, 0.01])],
}
GHOSTS = {
    "game_tick": [tick_event(tick, 0.01, data={"rugged": True}) for tick in (4, 5, 48)],
    "not rugged": [tick_event(tick, 0.01) for tick in (4, 5, 48)],
    "ws_event": [update(tick, 0.01, rugged=True) for tick in (4, 48)],
    "partialPrices": [update(5, 0.01, rugged=True, partial=values({2: 3, 3: 0.01, 4: 0.01, 5: 0.01}))],
    "complete_game": [history([1, 2, 3, 0.01, 0.01, 0.01])],
}


@pytest.mark.parametrize(
    ("source", "ghosts"),
    # A store has one complete_game of a game, so that cannot contradict itself.
    [(source, ghosts) for source in NAMED_AT_3 for ghosts in GHOSTS if {source, ghosts} != {"complete_game"}],
)
def test_nothing_comes_after_the_lowest_rugged_tick(tmp_path: Path, source: str, ghosts: str) -> None:
    """What repeats the rug under a later tick is cut, whichever source saw the rug and whichever repeats it."""
    query = store_with(tmp_path, episode(1, 2, 3), NAMED_AT_3[source], GHOSTS[ghosts])
    assert ticks(query, "tick, price, rugged") == [(0, 1.0, False), (1, 2.0, False), (2, 3.0, False), (3, 0.01, True)]
    found = game(query)
    assert (found["n_ticks"], found["rug_tick"], found["rug_price"], found["last_price"]) == (4, 3, 0.01, 3.0)
    assert (found["is_complete"], found["missing_ticks"], found["n_conflicts"]) == (True, 0, 0)


def test_a_lower_rug_is_the_rug_though_a_better_source_names_a_higher(tmp_path: Path) -> None:
    """The rug is the lowest over all sources; the price there stays that of the best source."""
    query = store_with(tmp_path, [history([1, 2, 3, 0.02, 0.01])], [update(3, 0.015, rugged=True)])
    assert ticks(query)[2:] == [(2, 3.0, False, "complete_game"), (3, 0.02, True, "complete_game")]
    assert game(query)["n_conflicts"] == 1


def test_a_rug_of_one_game_cuts_no_other(tmp_path: Path) -> None:
    """Each game has its own rug."""
    query = store_with(tmp_path, episode(1, 0.01, rug=True), episode(1, 2, 3, 4, game_id="g2"))
    assert [row[0] for row in ticks(query)] == [0, 1]
    assert [row[0] for row in ticks(query, game_id="g2")] == [0, 1, 2, 3]


# Odd whole games, odd partial prices


ODD_GAMES: dict[str, tuple[dict[str, Any], list[Row]]] = {
    "no prices": ({"prices": []}, []),
    "one price": ({"prices": [1.5]}, [(0, 1.5, True)]),
    "a null": ({"prices": [1, None, 2, 0.01]}, [(0, 1.0, False), (2, 2.0, False), (3, 0.01, True)]),
    "only nulls": ({"prices": [None, None]}, []),
    "texts": ({"prices": ["1", "2.5", "0.01"]}, [(0, 1.0, False), (1, 2.5, False), (2, 0.01, True)]),
    "no numbers": (
        {"prices": [1, "x", True, [2], {"a": 2}, -1, "NaN", "inf", "1e999", 0.01]},
        [(0, 1.0, False), (9, 0.01, True)],
    ),
    "not rugged": ({"prices": [1, 2, 3], "rugged": False}, [(0, 1.0, False), (1, 2.0, False), (2, 3.0, False)]),
    "rugged": ({"prices": [1, 2, 3], "rugged": True}, [(0, 1.0, False), (1, 2.0, False), (2, 3.0, True)]),
    "rugged null": ({"prices": [1, 2, 3], "rugged": None}, [(0, 1.0, False), (1, 2.0, False), (2, 3.0, True)]),
    "not active": ({"prices": [1, 2, 3], "active": False}, [(0, 1.0, False), (1, 2.0, False), (2, 3.0, True)]),
    "no key": ({}, []),
    "null": ({"prices": None}, []),
    "an object": ({"prices": {"0": 1, "1": 2}}, []),
    "a text": ({"prices": "[1, 2]"}, []),
    "a number": ({"prices": 12.5}, []),
}


@pytest.fixture(scope="module")
def odd_games(tmp_path_factory: pytest.TempPathFactory) -> EventStoreQuery:
    """A store with all of ODD_GAMES, and an ordinary game of each kind."""
    odd = [
        EventEnvelope.from_complete_game({"id": name, **said}, EventSource.PUBLIC_WS, "history", seq, ts=START)
        for seq, (name, (said, _)) in enumerate(ODD_GAMES.items())
    ]
    return store_with(tmp_path_factory.mktemp("odd"), odd, [history([1, 0.02], "g2")], episode(1, 2))


@pytest.mark.parametrize("name", ODD_GAMES)
def test_odd_whole_games_give_what_can_be_read(odd_games: EventStoreQuery, name: str) -> None:
    """What is no list of prices gives no ticks, and an entry that is no price none either."""
    assert ticks(odd_games, "tick, price, rugged", name) == ODD_GAMES[name][1]


def test_odd_whole_games_harm_no_other(odd_games: EventStoreQuery) -> None:
    """Ordinary games beside odd ones are read as ever, and odd ones without ticks are no games."""
    assert ticks(odd_games, "tick, price", "g2") == [(0, 1.0), (1, 0.02)]
    assert ticks(odd_games, "tick, price") == [(0, 1.0), (1, 2.0)]
    with_ticks = {name for name, (_, wanted) in ODD_GAMES.items() if wanted}
    assert set(odd_games.games()["game_id"]) == {"g1", "g2"} | with_ticks


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    "odd",
    [
        pytest.param([{}, {"values": None}, {"values": {}}, [1, 2], "text", 5, True], id="none"),
        pytest.param([{"values": [1, 2]}], id="a list"),
        pytest.param([{"values": "1, 2"}], id="a text"),
        pytest.param([{"values": 5}], id="a number"),
    ],
)
def test_odd_partial_prices_are_passed_over(tmp_path: Path, odd: list[Any], traced: bool) -> None:
    """Where partial prices are not what they should be, the update still gives its own tick, and all else is read."""
    updates = [update(5 + n, 3.0, partial=partial, traced=traced) for n, partial in enumerate(odd)]
    query = store_with(tmp_path, episode(1, 2), updates)
    assert ticks(query, "tick, price") == [(0, 1.0), (1, 2.0), *((5 + n, 3.0) for n in range(len(odd)))]
    assert game(query)["n_ticks"] == 2 + len(odd)


def test_only_whole_numbers_name_a_tick_in_partial_prices(tmp_path: Path) -> None:
    """A key that is no tick, or a value that is no price, is passed over."""
    odd = {
        "3": "2.5",
        "x": 1,
        "": 1,
        "-1": 1,
        "1.5": 1,
        "1e1": 1,
        "6": None,
        "7": [1],
        "8": True,
        "9": -1,
        "99999999999999999999": 1,
    }
    query = store_with(tmp_path, [update(5, 3.0, partial={"values": odd})])
    assert ticks(query, "tick, price") == [(3, 2.5), (5, 3.0)]


@pytest.mark.parametrize("order", ["header first", "header last", "something behind"])
def test_partial_prices_are_those_of_the_object_that_gives_the_tick(tmp_path: Path, order: str) -> None:
    """A wrapped update is the last real object of its list, wherever the trace header stands."""
    header: dict[str, Any] = {"__trace": True}
    said = {
        "gameId": "g1",
        "active": True,
        "rugged": False,
        "tickCount": 2,
        "price": 3,
        "partialPrices": values({1: 2}),
    }
    data = {
        "header first": [header, said],
        "header last": [said, header],
        "something behind": [header, said, None],
    }[order]
    event = EventEnvelope.from_ws_event("gameStateUpdate", data, EventSource.CDP, "feed", 0, ts=START)
    assert ticks(store_with(tmp_path, [event]), "tick, price") == [(1, 2.0), (2, 3.0)]


@pytest.mark.parametrize("doc_type", ["game_tick", "ws_event", "complete_game"])
@pytest.mark.parametrize("raw_json", ["", "no JSON", '{"prices": [1, 2', '{"data": {"partialPrices"', "null", '"x"'])
def test_a_text_that_is_no_json_harms_nothing_else(tmp_path: Path, doc_type: str, raw_json: str) -> None:
    """An envelope keeps what the source sent, even where that is torn: it gives what its columns say."""
    torn = EventEnvelope(
        ts=START,
        source=EventSource.CDP,
        doc_type=doc_type,  # type: ignore[arg-type]  # made a DocType by the envelope
        session_id="torn",
        seq=0,
        direction="received",  # type: ignore[arg-type]  # likewise
        raw_json=raw_json,
        game_id="g1",
        event_name="gameStateUpdate" if doc_type == "ws_event" else None,
        tick=None if doc_type == "complete_game" else 2,
        price=None if doc_type == "complete_game" else 3.0,
    )
    query = store_with(tmp_path, episode(1, 2), [torn], [history([1, 0.02], "g2")])
    own = [] if doc_type == "complete_game" else [(2, 3.0)]
    assert ticks(query, "tick, price") == [(0, 1.0), (1, 2.0), *own]
    assert query.games()["game_id"].to_list() == ["g1", "g2"]


# What is said of a game


def test_a_game_is_described(tmp_path: Path) -> None:
    """Every column of games, by hand, for a complete game recorded once."""
    query = store_with(tmp_path, episode(1, 3, 2, 3, 0.5, 0.01, rug=True))
    assert game(query) == {
        "game_id": "g1",
        "started_at": at(0),
        "ended_at": at(5),
        "n_ticks": 6,
        "rug_tick": 5,
        "peak_price": 3.0,
        "peak_tick": 1,
        "last_price": 0.5,
        "rug_price": 0.01,
        "missing_ticks": 0,
        "joined_late": False,
        "is_complete": True,
        "n_sessions": 1,
        "sources": "game_tick",
        "n_actions": 0,
        "n_players": 0,
        "n_conflicts": 0,
    }


@pytest.mark.parametrize(
    ("prices", "first_tick", "rug", "wanted"),
    [
        pytest.param((1, 2, 3), 0, False, (3, None, None, None, 0, False, False), id="no rug"),
        pytest.param((1, 2, None, 0.01), 0, True, (3, 3, None, 0.01, 1, False, False), id="last tick unseen"),
        pytest.param((1, None, None, 4, 0.01), 0, True, (3, 4, 4.0, 0.01, 2, False, False), id="holes"),
        pytest.param((2, 3, 0.01), 4, True, (3, 6, 3.0, 0.01, 0, True, False), id="joined late"),
        pytest.param((2, None, 3), 1, False, (2, None, None, None, 1, True, False), id="late, a hole, no rug"),
        pytest.param((0.02,), 0, True, (1, 0, None, 0.02, 0, False, True), id="rugged at tick 0"),
        pytest.param((0.02,), 9, True, (1, 9, None, 0.02, 0, True, False), id="only the rug"),
        pytest.param((1, 0.02), 0, True, (2, 1, 1.0, 0.02, 0, False, True), id="rugged at tick 1"),
    ],
)
def test_what_was_not_seen_of_a_game_is_said(
    tmp_path: Path, prices: Sequence[float | None], first_tick: int, rug: bool, wanted: Row
) -> None:
    """Holes, late starts and missing rugs are counted, and prices that were not seen are NULL."""
    found = game(store_with(tmp_path, episode(*prices, first_tick=first_tick, rug=rug)))
    names = ("n_ticks", "rug_tick", "last_price", "rug_price", "missing_ticks", "joined_late", "is_complete")
    assert tuple(found[name] for name in names) == wanted


def test_the_peak_is_the_first_of_equals(tmp_path: Path) -> None:
    """peak_tick is the first tick at the peak, also where it is the first or the rug."""
    query = store_with(
        tmp_path,
        episode(1, 5, 2, 5, 5, game_id="middle"),
        episode(7, 7, 1, game_id="first"),
        episode(1, 2, 3, game_id="rug", rug=True),
        episode(0, 0, game_id="nothing"),
    )
    peaks = {row["game_id"]: (row["peak_price"], row["peak_tick"]) for row in query.games().iter_rows(named=True)}
    assert peaks == {"middle": (5.0, 1), "first": (7.0, 0), "rug": (3.0, 2), "nothing": (0.0, 0)}


def test_sessions_and_sources_of_a_game_are_counted(tmp_path: Path) -> None:
    """A game seen by four sessions through all three sources says so; its sources are sorted."""
    query = store_with(
        tmp_path,
        [update(1, 2, session_id="feed")],
        [tick_event(0, 1, session_id="a"), tick_event(1, 2, session_id="a"), tick_event(1, 2, session_id="b")],
        [history([1, 2, 0.01])],
        [history([1, 2, 0.01], "g2")],
    )
    assert (game(query)["n_sessions"], game(query)["sources"]) == (4, "complete_game,game_tick,ws_event")
    assert (game(query, "g2")["n_sessions"], game(query, "g2")["sources"]) == (1, "complete_game")


def test_sessions_that_saw_no_tick_of_a_game_do_not_count(tmp_path: Path) -> None:
    """Neither ghosts after the rug, nor presale, nor other events make a session or a source of a game's ticks."""
    query = store_with(
        tmp_path,
        episode(1, 2, 0.01, rug=True),
        [update(4, 0.01, session_id="ghosts", rugged=True)],
        [tick_event(0, 1, session_id="presale", data={"active": False})],
        [EventEnvelope.from_player_action("buy", {}, EventSource.UI, "ui", 0, "g1", "p1", ts=START)],
    )
    assert (game(query)["n_sessions"], game(query)["sources"]) == (1, "game_tick")


def test_conflicts_are_ticks_on_whose_price_sources_disagree(tmp_path: Path) -> None:
    """Each disputed tick counts once; agreement, ghosts and what only one source has do not."""
    query = store_with(
        tmp_path,
        [history([1, 2, 3, 4, 0.01])],
        [tick_event(tick, price) for tick, price in ((0, 1), (1, 2.5), (2, 3), (3, 4.5))],
        [update(1, 2.7), update(3, 4.5), update(4, 0.01, rugged=True), update(6, 0.5, rugged=True)],
        [tick_event(6, 0.7, session_id="ghost")],
        episode(1, 2, game_id="g2"),
    )
    assert game(query)["n_conflicts"] == 2
    assert game(query, "g2")["n_conflicts"] == 0


def test_the_smallest_disagreement_is_one(tmp_path: Path) -> None:
    """A price that differs in its last bit differs."""
    query = store_with(tmp_path, [tick_event(0, 0.1 + 0.2), update(0, 0.3), tick_event(1, 0.5), update(1, 0.5)])
    assert game(query)["n_conflicts"] == 1


def test_actions_and_players_of_a_game_are_counted(tmp_path: Path) -> None:
    """player_action events of the game, and the different players that any of its events names."""
    source, ui = EventSource.PUBLIC_WS, EventSource.UI
    query = store_with(
        tmp_path,
        episode(1, 2),
        episode(1, 2, game_id="g2"),
        [
            EventEnvelope.from_player_action("buy", {}, ui, "ui", 0, "g1", "p1", ts=START),
            EventEnvelope.from_player_action("sell", {}, ui, "ui", 1, "g1", "p1", ts=START),
            EventEnvelope.from_player_action("buy", {}, ui, "ui", 2, "g1", ts=START),
            EventEnvelope.from_player_action("buy", {}, ui, "ui", 3, "without ticks", "p9", ts=START),
            EventEnvelope.from_player_action("buy", {}, ui, "ui", 4, None, "p9", ts=START),
            EventEnvelope.from_server_state({}, source, "ws", 0, "g1", "p2", ts=START),
            EventEnvelope.from_server_state({}, source, "ws", 1, "g1", "p2", ts=START),
        ],
    )
    found = {row["game_id"]: (row["n_actions"], row["n_players"]) for row in query.games().iter_rows(named=True)}
    assert found == {"g1": (3, 2), "g2": (0, 0)}


def test_a_game_known_only_as_a_whole_has_no_times_and_comes_last(tmp_path: Path) -> None:
    """started_at and ended_at are those of the first and last tick, NULL where these have none; NULL sorts last."""
    query = store_with(
        tmp_path,
        [history([1, 2, 0.01], "a", ts=START - timedelta(days=9))],
        [history([1, 2, 0.01], "m")],
        [history([1, 2, 0.01], "partly"), tick_event(1, 2, "partly")],
        [tick_event(0, 1, "late", "s-late", ts=at(900)), tick_event(1, 1, "late", "s-late", ts=at(901))],
        episode(1, 2, game_id="z"),
        [history([1, 2, 0.01], "start"), tick_event(0, 1, "start", "s-start", ts=at(500))],
    )
    assert query.games().select("game_id", "started_at", "ended_at").rows() == [
        ("z", at(0), at(1)),
        ("start", at(500), None),
        ("late", at(900), at(901)),
        ("a", None, None),
        ("m", None, None),
        ("partly", None, None),
    ]


def test_games_that_start_together_are_ordered_by_their_ids(tmp_path: Path) -> None:
    """Equal starts are ordered by game_id, so that the order never depends on storage."""
    query = store_with(tmp_path, *(episode(1, 2, game_id=name) for name in ("c", "a", "b")))
    assert query.games()["game_id"].to_list() == ["a", "b", "c"]


# Whatever the order of storing; and nothing stored


def test_the_order_and_number_of_commits_do_not_matter(tmp_path: Path) -> None:
    """The same events stored at once, one by one and shuffled give the same ticks and games."""
    events = [
        *episode(1, 2, None, 4, 0.01, rug=True),
        *episode(1, 2.5, 3, 4, 0.02, session_id="again", rug=True),
        *(update(tick, 9.0 + tick, rugged=tick > 3, partial=values({tick - 1: 7.0})) for tick in range(1, 7)),
        history([1, 2, 3, 5]),
        # Of g2 two recordings and the feed say three things at the same times.
        *episode(1, 2, 3, None, 5, game_id="g2"),
        *episode(1.5, 2.5, 3.5, None, 0.5, game_id="g2", session_id="again g2", rug=True),
        *(
            update(tick, 7.0 + tick, gameId="g2", seq=100 + tick, ts=at(0), partial=values({3: tick, 5: 9.0}))
            for tick in range(5)
        ),
    ]

    def found(paths: EventStorePaths) -> tuple[list[Row], list[Row]]:
        query = EventStoreQuery(paths)
        return query.features("ticks").rows(), query.games().rows()

    wanted = found(write(tmp_path / "at once", events))
    assert [row[1] for row in wanted[0]] == [0, 1, 2, 3, 0, 1, 2, 3, 4]
    assert game(EventStoreQuery(EventStorePaths(tmp_path / "at once")))["n_conflicts"] == 4
    for seed in range(3):
        shuffled = random.Random(seed).sample(events, len(events))
        assert found(write(tmp_path / f"shuffled {seed}", shuffled)) == wanted
        for start in range(0, len(shuffled), 4):
            paths = write(tmp_path / f"by fours {seed}", shuffled[start : start + 4])
        assert found(paths) == wanted


TICK_TYPES = {
    "game_id": pl.String(),
    "tick": pl.Int64(),
    "ts": pl.Datetime("us", "UTC"),
    "price": pl.Float64(),
    "rugged": pl.Boolean(),
    "source": pl.String(),
}
GAME_TYPES = {
    "game_id": pl.String(),
    "started_at": pl.Datetime("us", "UTC"),
    "ended_at": pl.Datetime("us", "UTC"),
    "n_ticks": pl.Int64(),
    "rug_tick": pl.Int64(),
    "peak_price": pl.Float64(),
    "peak_tick": pl.Int64(),
    "last_price": pl.Float64(),
    "rug_price": pl.Float64(),
    "missing_ticks": pl.Int64(),
    "joined_late": pl.Boolean(),
    "is_complete": pl.Boolean(),
    "n_sessions": pl.Int64(),
    "sources": pl.String(),
    "n_actions": pl.Int64(),
    "n_players": pl.Int64(),
    "n_conflicts": pl.Int64(),
}


@pytest.mark.parametrize("stored", ["nothing", "no ticks", "a game"])
def test_the_columns_are_always_the_same(tmp_path: Path, stored: str) -> None:
    """An empty store, one without ticks and one with a game have the same columns of the same types, in order."""
    query = EventStoreQuery(EventStorePaths(tmp_path / "none"))
    if stored != "nothing":
        query = store_with(tmp_path / "some", [tick_event(0, 1, data={"active": stored == "a game"})])
    n = int(stored == "a game")
    for frame, types in (
        (query.features("ticks"), TICK_TYPES),
        (query.query("FROM ticks"), TICK_TYPES),
        (query.games(), GAME_TYPES),
        (query.query("SELECT * FROM games"), GAME_TYPES),
        (query.features("games", games=["g1", "g2"]), GAME_TYPES),
    ):
        assert list(frame.schema.items()) == list(types.items())
        assert frame.height == n


# The real recordings, read a second time in plain Python


@dataclass
class Seen:
    """What one session saw of a tick."""

    rugged: bool
    ts: datetime
    session: str
    line: int
    price: float

    @property
    def order(self) -> Row:
        """The lowest is believed."""
        return not self.rugged, self.ts, self.session, self.line


@dataclass
class Reading:
    """All played ticks of the recordings by game and tick."""

    games: dict[str, dict[int, list[Seen]]] = field(default_factory=dict)

    def rug_tick(self, game_id: str) -> int | None:
        """The lowest rugged tick."""
        return min((tick for tick, seen in self.games[game_id].items() if any(s.rugged for s in seen)), default=None)

    def played(self, game_id: str) -> dict[int, Seen]:
        """The believed row of each tick up to the rug."""
        rug = self.rug_tick(game_id)
        return {
            tick: min(seen, key=lambda one: one.order)
            for tick, seen in sorted(self.games[game_id].items())
            if rug is None or tick <= rug
        }

    def ticks(self) -> list[Row]:
        """The rows of the ``ticks`` view."""
        found: list[Row] = []
        for game_id in sorted(self.games):
            rug = self.rug_tick(game_id)
            for tick, seen in self.played(game_id).items():
                found.append((game_id, tick, seen.ts, seen.price, tick == rug, "game_tick"))
        return found

    def game(self, game_id: str) -> Row:
        """The row of the ``games`` view."""
        played, rug = self.played(game_id), self.rug_tick(game_id)
        first, last = min(played), max(played)
        peak = max(seen.price for seen in played.values())
        holes = sum(later - tick - 1 for tick, later in pairwise(played))
        sightings = [self.games[game_id][tick] for tick in played]
        return (
            game_id,
            played[first].ts,
            played[last].ts,
            len(played),
            rug,
            peak,
            next(tick for tick, seen in played.items() if seen.price == peak),
            played[rug - 1].price if rug is not None and rug - 1 in played else None,
            None if rug is None else played[rug].price,
            holes,
            first > 0,
            first == 0 and rug is not None and holes == 0,
            len({one.session for seen in sightings for one in seen}),
            "game_tick",
            0,
            0,
            sum(len({one.price for one in seen}) > 1 for seen in sightings),
        )


def records_in(line: bytes) -> Iterator[dict[str, Any]]:
    """The records of a line: itself, or whichever flat objects stand whole in it (records hold no others)."""
    candidates = [line]
    try:
        json.loads(line)
    except ValueError:
        candidates = re.findall(rb"\{[^{}]*\}", line)
    for candidate in candidates:
        try:
            record = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(record, dict) and "type" in record and "timestamp" in record:
            yield record


def read_recordings(files: Sequence[Path]) -> Reading:
    """The played ticks of replay recordings of the American east coast."""
    eastern, reading = ZoneInfo("America/New_York"), Reading()
    for path in files:
        for number, line in enumerate(path.read_bytes().split(b"\n")):
            for record in records_in(line):
                local = datetime.fromisoformat(record["timestamp"])
                assert not datetime(2025, 11, 2, 1) <= local < datetime(2025, 11, 2, 2), "the hour that comes twice"
                if record["type"] == "tick" and (record["active"] or record["rugged"]):
                    seen = Seen(
                        rugged=record["rugged"],
                        ts=local.replace(tzinfo=eastern).astimezone(UTC),
                        session=path.name,
                        line=number,
                        price=float(record["price"]),
                    )
                    reading.games.setdefault(record["game_id"], {}).setdefault(record["tick"], []).append(seen)
    return reading


@dataclass
class Recorded:
    """The real recordings, imported and read."""

    query: EventStoreQuery
    reading: Reading


REAL_FILES = sorted(REAL_GAMES.glob("*.jsonl"))
needs_recordings = pytest.mark.skipif(not REAL_FILES, reason=NO_REAL_RECORDINGS)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """All real recordings, in a store and in plain Python."""
    data_dir = tmp_path_factory.mktemp("recorded")
    import_recordings(REAL_FILES, data_dir, timezone="America/New_York")
    return Recorded(EventStoreQuery(EventStorePaths(data_dir)), read_recordings(REAL_FILES))


@needs_recordings
def test_real_ticks_are_those_of_the_lines(recorded: Recorded) -> None:
    """Every tick, time, price and rug of the real recordings, to the last bit."""
    wanted = recorded.reading.ticks()
    assert len(wanted) > 20_000
    assert recorded.query.features("ticks").rows() == wanted


@needs_recordings
def test_real_games_are_those_of_the_lines(recorded: Recorded) -> None:
    """Every column of every real game, in order of their starts."""
    wanted = sorted(map(recorded.reading.game, recorded.reading.games), key=lambda row: (row[1], row[0]))
    assert len(wanted) > 100
    assert recorded.query.games().columns == list(GAME_TYPES)
    assert recorded.query.games().rows() == wanted
    complete, late, holes, sessions, no_rug = (
        sum(condition(dict(zip(GAME_TYPES, row, strict=True))) for row in wanted)
        for condition in (
            lambda row: row["is_complete"],
            lambda row: row["joined_late"],
            lambda row: row["missing_ticks"] > 0,
            lambda row: row["n_sessions"] > 1,
            lambda row: row["rug_tick"] is None,
        )
    )
    assert min(complete, late, holes, sessions, no_rug) > 0  # there is something of each kind to get wrong


@needs_recordings
def test_real_times_are_right_on_both_sides_of_the_change(recorded: Recorded) -> None:
    """Before 2 November 2025 the recorders' clocks are four hours behind UTC, from then on five."""
    starts = (
        recorded.query.games().filter(pl.col("started_at").is_not_null()).sort("started_at")["started_at"].to_list()
    )
    assert starts[0] == datetime(2025, 10, 29, 22, 36, 8, 376110, UTC)
    assert min(start for start in starts if start.day == 2) > datetime(2025, 11, 2, 14 + 5, tzinfo=UTC)
    # Ids of games carry the UTC date of their making, up to some minutes before the first tick.
    for game_id, start in recorded.query.games().select("game_id", "started_at").rows():
        made = datetime.strptime(game_id[:8], "%Y%m%d").replace(tzinfo=UTC)
        assert made <= start < made + timedelta(days=1, hours=1)


@needs_recordings
@pytest.mark.parametrize("way", ["backwards", "shuffled", "one file at a time", "twice"])
def test_the_order_of_real_files_does_not_matter(recorded: Recorded, tmp_path: Path, way: str) -> None:
    """The files in any order, one at a time or all of them twice, give the same ticks and games."""
    shuffled = random.Random(way).sample(REAL_FILES, len(REAL_FILES))
    for files in {
        "backwards": [REAL_FILES[::-1]],
        "shuffled": [shuffled],
        "one file at a time": [[path] for path in shuffled],
        "twice": [shuffled[:90], REAL_FILES],
    }[way]:
        import_recordings(files, tmp_path, timezone="America/New_York")
    query = EventStoreQuery(EventStorePaths(tmp_path))
    assert query.features("ticks").equals(recorded.query.features("ticks"))
    assert query.games().equals(recorded.query.games())
