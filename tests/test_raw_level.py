"""A raw level keeps of the feed's updates what was asked for, and nothing that ticks are made of is lost by it."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from polars.testing import assert_frame_equal

from tests.builders import NO_REAL_RECORDINGS, REAL_SAMPLES
from vectra_analytics import EventBus, Events, EventStoreQuery, EventStoreService, VectraError
from vectra_analytics.live.raw_level import RawLevel


def unfolded(kept: list[dict[str, Any]], state: set[str]) -> list[dict[str, Any]]:
    """The whole updates again, as the documentation says: each laid over the one before."""
    found: list[dict[str, Any]] = []
    rest: dict[str, Any] = {}
    for update in kept:
        assert update["__kept"] == "changes"
        gone = update.get("__gone", [])
        new = {k: v for k, v in update.items() if k not in state and k not in ("__kept", "__gone", "gameHistory")}
        rest = {name: value for name, value in {**rest, **new}.items() if name not in gone}
        found.append({**rest, **{name: update[name] for name in state if name in update}})
    return found


STATE = {
    *("gameId", "tickCount", "price", "active", "rugged", "cooldownTimer", "allowPreRoundBuys", "tradeCount"),
    "partialPrices",
}


def test_all_is_what_came() -> None:
    """The very object, whatever it is."""
    for data in ({"gameId": "g", "x": [1]}, [{"__trace": True}, {"gameId": "g"}], None, 7):
        assert RawLevel("all").kept(data) is data


def test_changes_can_be_laid_over_each_other() -> None:
    """New, changed, vanished and returning keys; of values that are equal, true and 1 are two."""
    updates: list[dict[str, Any]] = [
        {"gameId": "g", "tickCount": 1, "price": 1, "leaderboard": [{"pnl": 1}], "count2x": 40},
        {"gameId": "g", "tickCount": 2, "price": 1, "leaderboard": [{"pnl": 1}], "count2x": 40},
        {"gameId": "g", "tickCount": 3, "price": 1.5, "leaderboard": [{"pnl": 2}], "count2x": 40},
        {"gameId": "h", "cooldownTimer": 100, "leaderboard": []},
        {"gameId": "h", "cooldownTimer": 0, "leaderboard": [], "count2x": None, "new": False},
        {"gameId": "h", "cooldownTimer": 0, "leaderboard": [], "count2x": None, "new": 0},
    ]
    level = RawLevel("changes")
    kept = []
    for update in updates:
        kept.append(level.kept(update))
        level.is_stored()
    assert kept[1] == {"__kept": "changes", "gameId": "g", "tickCount": 2, "price": 1}
    assert kept[3]["__gone"] == ["count2x"]
    assert json.dumps(unfolded(kept, STATE), sort_keys=True) == json.dumps(updates, sort_keys=True)


def test_changes_are_those_since_what_was_stored(tmp_path: Path) -> None:
    """An update that is refused, or a value that its program changes where it is, leaves no hole."""
    bus = EventBus()
    board = [1]
    with EventStoreService(bus, tmp_path, "s", raw="changes") as service:
        service.resume()
        for more in ({"x": 1, "y": 1}, {"x": 2, "bad": float("nan")}, {"x": 2, "y": 1}, {"x": 2, "y": 1, 3: 4}, {}):
            bus.publish(Events.WS_RAW_EVENT, {"event": "gameStateUpdate", "data": {"leaderboard": board, **more}})
            board.append(0)
        assert service.stats()["refused"] == {"data cannot be kept as JSON": 1}

    texts = EventStoreQuery(tmp_path).query("SELECT raw_json FROM ws_event ORDER BY seq")["raw_json"]
    whole = unfolded([json.loads(text)["data"] for text in texts], STATE)
    assert [list(map(update.get, ("x", "y", "3"))) for update in whole] == [
        *([1, 1, None], [2, 1, None], [2, 1, 4], [None, None, None])
    ]
    assert [len(update["leaderboard"]) for update in whole] == [1, 3, 4, 5]


def test_a_game_that_cannot_be_kept_harms_no_other(tmp_path: Path) -> None:
    """It is counted; those behind it are stored."""
    bus = EventBus()
    told = [{"id": "a", "prices": [float("nan")]}, {"id": "b", "prices": [1]}]
    with EventStoreService(bus, tmp_path, "s", raw="none") as service:
        service.resume()
        bus.publish(Events.WS_RAW_EVENT, {"event": "gameStateUpdate", "data": {"gameHistory": told}})
        assert service.recorded_game_ids == {"b"}
        assert service.stats()["refused"] == {"data cannot be kept as JSON": 1}


def test_none_is_the_state_alone() -> None:
    """With partialPrices, by which missed ticks are filled in; a game without an id has no other place and stays."""
    update = {"gameId": "g", "price": 2, "partialPrices": {"values": {"1": 2}}, "leaderboard": [], "gameHistory": []}
    wanted = {"__kept": "none", "gameId": "g", "price": 2, "partialPrices": {"values": {"1": 2}}}
    assert RawLevel("none").kept(update) == wanted
    nameless = {**update, "gameHistory": [{"prices": [1]}]}
    assert RawLevel("none").kept(nameless) == {**wanted, "gameHistory": [{"prices": [1]}]}
    with pytest.raises(VectraError, match="it is one of all, changes, none"):
        RawLevel("some")


@pytest.mark.skipif(not REAL_SAMPLES.exists(), reason=NO_REAL_RECORDINGS)
def test_every_level_gives_the_same_numbers(tmp_path: Path) -> None:
    """Of the real feed: ticks, games and whole games are those of the feed kept whole; changes unfold to it."""
    records = [json.loads(line) for line in REAL_SAMPLES.read_text().splitlines()]
    queries = {}
    for level in ("all", "changes", "none"):
        bus = EventBus()
        with EventStoreService(bus, tmp_path / level, "s", raw=level) as service:
            service.resume()
            for record in records:
                at = datetime.fromisoformat(record["timestamp"]).replace(tzinfo=ZoneInfo("America/New_York"))
                bus.publish(
                    Events.WS_RAW_EVENT, {"event": record["event_type"], "data": record["data"], "timestamp": at}
                )
        queries[level] = EventStoreQuery(tmp_path / level)
    for level in ("changes", "none"):
        for view in ("ticks", "games", "tick_features"):
            assert_frame_equal(queries[level].features(view), queries["all"].features(view))
        stories = "SELECT game_id, raw_json FROM complete_game ORDER BY game_id"
        assert_frame_equal(queries[level].query(stories), queries["all"].query(stories))

    sql = "SELECT raw_json FROM ws_event WHERE event_name = 'gameStateUpdate' ORDER BY seq"
    kept = [json.loads(text)["data"] for text in queries["changes"].query(sql)["raw_json"]]
    whole = [record["data"] for record in records if record["event_type"] == "gameStateUpdate"]
    for update in whole:
        update.pop("gameHistory", None)
    assert unfolded(kept, STATE) == whole
