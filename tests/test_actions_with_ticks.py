"""actions_with_ticks: what each action and trade could know of its game, and nothing that came with it or after it."""

import random
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from tests.builders import (
    NO_REAL_RECORDINGS,
    REAL_SAMPLES,
    START,
    episode,
    store_with,
    tick_event,
    write,
)
from tests.test_tick_features import assert_same_bits
from tests.test_ticks_and_games import at, history, update
from vectra_analytics import EventEnvelope, EventSource, EventStorePaths, EventStoreQuery, import_recordings
from vectra_analytics.features import catalogue

TYPES = {
    "game_id": "VARCHAR",
    "session_id": "VARCHAR",
    "seq": "BIGINT",
    "ts": "TIMESTAMP WITH TIME ZONE",
    "doc_type": "VARCHAR",
    "player_id": "VARCHAR",
    "username": "VARCHAR",
    "action_type": "VARCHAR",
    "tick": "BIGINT",
    "seen_tick": "BIGINT",
    "seen_ts": "TIMESTAMP WITH TIME ZONE",
    "seen_price": "DOUBLE",
    "ticks_since_seen": "BIGINT",
}


def action(
    seq: int, ts: datetime = START, tick: int | None = None, game_id: str | None = "g1", session_id: str = "ui"
) -> EventEnvelope:
    """A buy by the player p1."""
    data = {} if tick is None else {"tick": tick}
    return EventEnvelope.from_player_action("buy", data, EventSource.UI, session_id, seq, game_id, "p1", "Ann", ts=ts)


def trade(
    seq: int,
    ts: datetime = START,
    tick: int | None = None,
    *,
    traced: bool = False,
    session_id: str = "feed",
    **said: Any,
) -> EventEnvelope:
    """A trade of the feed: a sale by the player p2 unless ``said`` otherwise."""
    data = {"id": "t-1", "gameId": "g1", "playerId": "p2", "username": None, "price": 9.0, "type": "sell", **said}
    if tick is not None:
        data["tickIndex"] = tick
    payload = [{"__trace": True, "traceparent": "00-ab-01"}, data] if traced else data
    return EventEnvelope.from_ws_event("standard/newTrade", payload, EventSource.PUBLIC_WS, session_id, seq, ts=ts)


def actions(query: EventStoreQuery) -> list[dict[str, Any]]:
    """All rows of the view, in order."""
    return query.features("actions_with_ticks").rows(named=True)


def seen(query: EventStoreQuery, *columns: str) -> list[tuple[Any, ...]]:
    """Columns of the view, in order; which tick was seen if none is named."""
    return query.features("actions_with_ticks", columns=columns or ["seen_tick"]).rows()


# With a tick of its own


def test_an_action_sees_the_tick_before_its_own(tmp_path: Path) -> None:
    """A trade at tick 2 knew tick 1, its time and its price, but not what tick 2 would bring."""
    query = store_with(tmp_path, episode(1, 1.5, 4, 0.01, rug=True), [trade(7, at(2), 2, traced=True)])
    assert actions(query) == [
        {
            "game_id": "g1",
            "session_id": "feed",
            "seq": 7,
            "ts": at(2),
            "doc_type": "ws_event",
            "player_id": "p2",
            "username": None,
            "action_type": "sell",
            "tick": 2,
            "seen_tick": 1,
            "seen_ts": at(1),
            "seen_price": 1.5,
            "ticks_since_seen": 1,
        }
    ]


def test_where_the_tick_before_was_not_seen_the_last_one_below_it_counts(tmp_path: Path) -> None:
    """A hole makes what is known older, which ticks_since_seen tells."""
    query = store_with(tmp_path, episode(1, 2, None, None, 5, 6), [action(0, tick=4), action(1, tick=5)])
    assert seen(query, "tick", "seen_tick", "seen_price", "ticks_since_seen") == [(4, 1, 2.0, 3), (5, 4, 5.0, 1)]


@pytest.mark.parametrize("seq", [0, 99])
def test_the_tick_of_the_action_itself_is_never_seen(tmp_path: Path, seq: int) -> None:
    """Neither recorded before the action nor after it, in its session or another."""
    for session_id in ("session-g1", "other"):
        events = [action(seq + 10, at(3), 3, session_id=session_id)]
        assert seen(store_with(tmp_path / session_id, episode(1, 2, 3, 4, 5), events)) == [(2,)]


def test_before_the_game_nothing_is_seen(tmp_path: Path) -> None:
    """An action of tick 0, and one before the first tick of a game that was joined late, know no price."""
    query = store_with(tmp_path, episode(5, 6, first_tick=8), [action(0, tick=0), trade(0, tick=8), trade(1, tick=9)])
    assert seen(query, "tick", "seen_tick", "seen_ts", "seen_price", "ticks_since_seen") == [
        (8, None, None, None, None),
        (9, 8, at(8), 5.0, 1),
        (0, None, None, None, None),
    ]


def test_after_the_rug_the_rug_is_seen(tmp_path: Path) -> None:
    """At the rug's own tick it is not known; whatever names a later tick knows the rug, and no ghost of it."""
    ghosts = [tick_event(tick, 0.01, session_id="ghosts", data={"rugged": True}) for tick in (4, 5)]
    query = store_with(
        tmp_path,
        episode(1, 2, 3, 0.01, rug=True),
        ghosts,
        [action(n, tick=n) for n in (3, 4, 5, 6)],
        [action(7, at(9))],
    )
    assert seen(query, "seen_tick", "ticks_since_seen") == [(2, 1), (3, 1), (3, 2), (3, 3), (3, None)]


def test_with_a_tick_of_its_own_time_does_not_matter(tmp_path: Path) -> None:
    """A clock that is an hour off changes nothing, nor do ticks without a time."""
    hour = timedelta(hours=1)
    events = [action(0, START - hour, 3), action(1, START + hour, 3)]
    assert seen(store_with(tmp_path / "timed", episode(1, 2, 3, 4, 5), events)) == [(2,), (2,)]
    query = store_with(tmp_path / "untimed", [history([1, 2, 3, 4, 0.01])], events)
    assert seen(query, "seen_tick", "seen_ts", "seen_price") == [(2, None, 3.0), (2, None, 3.0)]


# Without a tick of its own


def test_without_a_tick_an_action_sees_what_was_recorded_before_it(tmp_path: Path) -> None:
    """The last tick strictly before it in time; how many ticks ago that was nobody knows."""
    events = [action(n, at(tick)) for n, tick in enumerate((-1, 0.5, 2.5, 99))]
    query = store_with(tmp_path, episode(1, 2, 3, 4), events)
    assert seen(query, "tick", "seen_tick", "seen_ts", "seen_price", "ticks_since_seen") == [
        (None, None, None, None, None),
        (None, 0, at(0), 1.0, None),
        (None, 2, at(2), 3.0, None),
        (None, 3, at(3), 4.0, None),
    ]


@pytest.mark.parametrize(
    ("session_id", "seq", "wanted"),
    [
        ("session-g1", 3, 2),  # recorded after tick 2, whose seq is 2
        ("session-g1", 9, 2),
        ("another", 9, 1),
        ("zzz", 0, 1),
    ],
)
def test_at_the_same_time_only_what_its_session_recorded_before_it_is_seen(
    tmp_path: Path, session_id: str, seq: int, wanted: int
) -> None:
    """Two recorders do not tell which of two events of one instant was first; one recorder's numbers do."""
    query = store_with(tmp_path, episode(1, 2, 3), [action(seq, at(2), session_id=session_id)])
    assert seen(query) == [(wanted,)]


def test_at_the_same_time_what_its_session_recorded_after_it_is_not_seen(tmp_path: Path) -> None:
    """A tick of the same instant with a higher number came later."""
    ticks = [tick_event(n, 1.0 + n, session_id="s", seq=10 * n) for n in range(3)]
    assert seen(store_with(tmp_path, ticks, [action(15, at(2), session_id="s")])) == [(1,)]


def test_several_ticks_of_one_instant_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    """Of a burst with one time, what came before the action is seen and what came after is not."""
    ticks = [tick_event(n, 1.0 + n, session_id="s", seq=2 * n, ts=START) for n in range(6)]
    events = [action(seq, START, session_id="s") for seq in (1, 5, 11)]
    assert seen(store_with(tmp_path, ticks, events)) == [(0,), (2,), (5,)]


def test_the_sighting_that_counts_is_the_one_that_gave_the_tick_its_time(tmp_path: Path) -> None:
    """The feed's update of the same instant, recorded before the action, is not where the tick's time comes from."""
    fed = update(1, 2.0, ts=at(1), session_id="ui", seq=0)
    recorded = tick_event(1, 2.0, session_id="recorder", seq=1)
    first = tick_event(0, 1.0, session_id="recorder", seq=0)
    events = [first, fed, action(5, at(1))]
    assert seen(store_with(tmp_path / "feed alone", events)) == [(1,)]
    assert seen(store_with(tmp_path / "both", [*events, recorded])) == [(0,)]
    # Among equals with one time it is the first by session, as it is for the price.
    also = tick_event(1, 2.0, session_id="ui", seq=1)
    assert seen(store_with(tmp_path / "recorder", [first, recorded, also, action(5, at(1))])) == [(0,)]
    other = tick_event(1, 2.0, session_id="z-recorder", seq=1)
    assert seen(store_with(tmp_path / "ui", [first, other, also, action(5, at(1))])) == [(1,)]


def test_a_rugged_sighting_gives_the_time_of_its_tick(tmp_path: Path) -> None:
    """The same order as for the price: rugged first, though another session said the same instant."""
    events = [
        tick_event(0, 1.0, session_id="a", seq=0),
        tick_event(1, 2.0, session_id="a", seq=1),
        tick_event(1, 0.01, session_id="b", seq=1, data={"rugged": True}),
    ]
    query = store_with(tmp_path, events, [action(8, at(1), session_id="a"), action(8, at(1), session_id="b")])
    assert seen(query) == [(0,), (1,)]


def test_where_clocks_and_ticks_disagree_the_greatest_tick_counts(tmp_path: Path) -> None:
    """Who has seen tick 3 is at tick 3, though a clock put tick 2 behind it."""
    times = {0: 0, 1: 1, 2: 6, 3: 3, 4: 8}
    ticks = [tick_event(tick, 1.0 + tick, ts=at(time)) for tick, time in times.items()]
    events = [action(n, at(time)) for n, time in enumerate((2, 4, 7, 9))]
    assert seen(store_with(tmp_path, ticks, events), "seen_tick", "seen_ts") == [
        (1, at(1)),
        (3, at(3)),
        (3, at(3)),
        (4, at(8)),
    ]


def test_a_tick_without_a_time_is_not_seen_by_time(tmp_path: Path) -> None:
    """Nobody knows when it happened: the last one with a time counts."""
    query = store_with(tmp_path, [history([1, 2, 3, 4, 0.01], rugged=True)], episode(1, 2), [action(0, at(90))])
    assert seen(query, "seen_tick", "seen_price") == [(1, 2.0)]


# Which events have a row, and what it says


def test_actions_and_trades_that_name_a_game_have_a_row(tmp_path: Path) -> None:
    """Side bets of the feed, buttons, ticks and whatever names no game have none."""
    said = {"gameId": "g1", "playerId": "p2", "tickIndex": 1, "type": "placed"}
    others = [
        EventEnvelope.from_ws_event("newSideBet", said, EventSource.PUBLIC_WS, "o", 0, ts=START),
        EventEnvelope.from_button_event("BUY", "action", said, EventSource.UI, "o", 1, "g1", tick=1, ts=START),
        EventEnvelope.from_server_state(said, EventSource.PUBLIC_WS, "o", 2, "g1", "p1", ts=START),
        action(3, game_id=None, session_id="o"),
        trade(4, gameId=None, session_id="o"),
    ]
    mine = [action(0, tick=1), trade(0, tick=1), trade(1, tick=1, gameId="g0"), action(1, game_id="unseen")]
    query = store_with(tmp_path, episode(1, 2), others, mine)
    assert seen(query, "game_id", "session_id", "seq", "doc_type", "player_id", "username", "action_type") == [
        ("g0", "feed", 1, "ws_event", "p2", None, "sell"),
        ("g1", "feed", 0, "ws_event", "p2", None, "sell"),
        ("g1", "ui", 0, "player_action", "p1", "Ann", "buy"),
        ("unseen", "ui", 1, "player_action", "p1", "Ann", "buy"),
    ]
    assert query.query("SELECT game_id, seq FROM actions_with_ticks ORDER BY ALL").rows() == [
        ("g0", 1),
        ("g1", 0),
        ("g1", 0),
        ("unseen", 1),
    ]


def test_a_trade_that_two_sessions_recorded_has_two_rows(tmp_path: Path) -> None:
    """Events are told apart by session and number; what they say may be the same."""
    query = store_with(tmp_path, episode(1, 2), [trade(0, tick=1, session_id="a"), trade(0, tick=1, session_id="b")])
    assert seen(query, "session_id", "seen_tick") == [("a", 0), ("b", 0)]


def test_no_action_sees_another_game(tmp_path: Path) -> None:
    """Ticks of the same numbers and times in another game are not its own."""
    query = store_with(
        tmp_path,
        episode(1, 2, game_id="g1"),
        episode(7, 8, 9, 10, game_id="g2", session_id="ui"),
        [action(50, at(9)), action(51, tick=4), action(52, at(3))],
    )
    assert seen(query, "seen_tick", "seen_price") == [(1, 2.0), (1, 2.0), (1, 2.0)]


@pytest.mark.parametrize("kind", ["buy", "sell", "short_open", "short_close", "whatever comes next"])
def test_a_trade_says_its_type_behind_a_trace_header_or_without_one(tmp_path: Path, kind: str) -> None:
    """The type is that of the payload, as it stands there."""
    query = store_with(tmp_path, episode(1), [trade(0, type=kind), trade(1, type=kind, traced=True)])
    assert seen(query, "action_type") == [(kind,), (kind,)]


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ('{"gameId": "g1", "type": "buy"}', "buy"),  # without its envelope
        ('[{"__trace": true}, {"gameId": "g1", "type": "buy"}]', "buy"),
        ('{"event": "standard/newTrade", "data": [{"type": "sell"}, {"type": "buy"}, {"__trace": true}]}', "buy"),
        ('{"event": "standard/newTrade", "data": [{"__trace": true, "type": "buy"}]}', None),
        ('{"event": "standard/newTrade", "data": [1, null, "buy"]}', None),
        ('{"event": "standard/newTrade", "data": null}', None),
        ('{"event": "standard/newTrade", "data": {}}', None),
        ('{"type": 5}', None),
        ('{"type": {"a": "buy"}}', None),
        ('{"type": null}', None),
        ('{"type": ""}', None),
        ('{"type": "b\\u0000y"}', None),
        ('{"type": "\\ud800"}', None),
        ('{"type": "buy"', None),
        ("", None),
    ],
)
def test_a_type_that_cannot_be_read_is_null_and_the_trade_is_kept(tmp_path: Path, raw: str, wanted: str | None) -> None:
    """Whatever was stored, the row is there, with what it could see."""
    event = EventEnvelope(
        ts=at(9),
        source=EventSource.CDP,
        doc_type="ws_event",  # type: ignore[arg-type]  # made a DocType by the envelope
        session_id="bare",
        seq=0,
        direction="received",  # type: ignore[arg-type]  # likewise
        raw_json=raw,
        game_id="g1",
        event_name="standard/newTrade",
    )
    assert seen(store_with(tmp_path, episode(1, 2), [event]), "action_type", "seen_tick") == [(wanted, 1)]


# Against the oracle

_RANK = {"game_tick": 2, "ws_event": 3}


def exact_seen(event: EventEnvelope, ticks: Sequence[dict[str, Any]], events: Iterable[EventEnvelope]) -> int | None:
    """The tick that an action could know, by the words of the rule, one tick after the other."""
    known = []
    for row in ticks:
        if row["game_id"] != event.game_id:
            continue
        if event.tick is not None:
            sees = row["tick"] < event.tick
        elif row["ts"] is None:
            sees = False
        elif row["ts"] != event.ts:
            sees = row["ts"] < event.ts
        else:
            timed_by = min(
                (_RANK[other.doc_type], not other.rugged, other.ts, other.session_id, other.seq)
                for other in events
                if other.game_id == row["game_id"]
                and other.tick == row["tick"]
                and (other.doc_type == "game_tick" or other.event_name == "gameStateUpdate")
            )
            sees = timed_by[3] == event.session_id and timed_by[4] < event.seq
        if sees:
            known.append(row["tick"])
    return max(known, default=None)


def crowded(seed: int) -> list[EventEnvelope]:
    """Two games that three sessions recorded with coarse clocks, and actions among them; many things at one time."""
    chance = random.Random(seed)
    numbers = {session_id: iter(chance.sample(range(2_000), 2_000)) for session_id in "abc"}
    found: list[EventEnvelope] = []
    for game_id in ("g1", "g2"):
        rug_tick = chance.randint(15, 30)
        if chance.random() < 0.5:
            found.append(history([1.0 + n / 8 for n in range(rug_tick)], game_id, rugged=False))
        for session_id in "abc":
            for tick in range(rug_tick + 2):
                if chance.random() < 0.3:
                    continue
                seq, ts = next(numbers[session_id]), at(4 * (tick // 2) + 4 * chance.choice([0, 0, 0, -1, 1]))
                rugged = tick >= rug_tick and chance.random() < 0.8
                if chance.random() < 0.6:
                    found.append(tick_event(tick, 2.0, game_id, session_id, seq=seq, ts=ts, data={"rugged": rugged}))
                else:
                    said: dict[str, Any] = {
                        "gameId": game_id,
                        "rugged": rugged,
                        "session_id": session_id,
                        "seq": seq,
                        "ts": ts,
                    }
                    found.append(update(tick, 3.0, **said))
            for _ in range(25):
                seq, ts = next(numbers[session_id]), at(4 * chance.randint(-1, rug_tick // 2 + 2))
                own = chance.choice([None, None, chance.randint(0, rug_tick + 3)])
                if chance.random() < 0.5:
                    found.append(action(seq, ts, own, game_id, session_id))
                else:
                    found.append(trade(seq, ts, own, session_id=session_id, gameId=game_id))
    return found


def is_action(event: EventEnvelope) -> bool:
    """Whether the view has a row of it."""
    return event.doc_type == "player_action" or event.event_name == "standard/newTrade"


@pytest.mark.parametrize("seed", range(6))
def test_every_action_sees_what_the_rule_says(tmp_path: Path, seed: int) -> None:
    """Among ties of all kinds each row has the tick that a plain reading of the rule gives, with its price and time."""
    events = crowded(seed)
    query = store_with(tmp_path, events)
    ticks = query.features("ticks").rows(named=True)
    by_place = {(row["game_id"], row["tick"]): row for row in ticks}
    got = {(row["session_id"], row["seq"]): row for row in actions(query)}
    mine = [event for event in events if is_action(event)]
    assert len(got) == len(mine) == 150
    for event in mine:
        row = got[event.session_id, event.seq]
        wanted = exact_seen(event, ticks, events)
        assert row["seen_tick"] == wanted, row
        place = by_place.get((event.game_id, wanted), {"ts": None, "price": None})
        assert (row["seen_ts"], row["seen_price"]) == (place["ts"], place["price"])
        since = None if wanted is None or event.tick is None else event.tick - wanted
        assert (row["tick"], row["ticks_since_seen"]) == (event.tick, since)
    assert len({row["seen_tick"] for row in got.values()}) > 10
    said = catalogue()["actions_with_ticks"].columns
    assert all(row[name] is not None or said[name].null for row in got.values() for name in said)


@pytest.mark.skipif(not REAL_SAMPLES.is_file(), reason=NO_REAL_RECORDINGS)
def test_the_trades_of_the_real_feed_have_their_type_and_a_tick_before_their_own(tmp_path: Path) -> None:
    """Each recorded trade has a row that says what it was, and sees by the rule."""
    import_recordings([REAL_SAMPLES], tmp_path, timezone="UTC")
    query = EventStoreQuery(EventStorePaths(tmp_path))
    sql = "SELECT count(*) FROM ws_event WHERE event_name = 'standard/newTrade' AND game_id IS NOT NULL"
    got = query.features("actions_with_ticks")
    assert got.height == query.query(sql).item() > 0
    assert set(got["action_type"]) <= {"buy", "sell", "short_open", "short_close"}
    ticks = query.features("ticks").rows(named=True)
    for row in got.rows(named=True):
        assert row["tick"] is not None
        below = [t for t in ticks if t["game_id"] == row["game_id"] and t["tick"] < row["tick"]]
        assert row["seen_tick"] == max((t["tick"] for t in below), default=None)


# Nothing later, nothing beside


def test_no_row_knows_of_a_later_tick(tmp_path: Path) -> None:
    """A game cut before an action's own tick, or time, shows it the same as the whole game does."""
    events: list[EventEnvelope] = []
    for cut in range(31):
        game_id = f"cut {cut:02}"
        events += episode(*[1.0 + n / 8 for n in range(30)][:cut], game_id=game_id)
        for n in range(31):
            events.append(action(100 + n, at(n - 0.5), None, game_id, f"by time {cut}"))
            events.append(action(100 + n, at(n), None, game_id, f"session-{game_id}"))
            events.append(action(200 + n, at(n), n, game_id, f"by tick {cut}"))
    found = store_with(tmp_path, events).features("actions_with_ticks").with_columns(place=pl.col("seq") % 100)
    by_game = found.drop("session_id").partition_by("game_id", as_dict=True, include_key=False)
    for cut in range(31):
        # At the very time of tick n an action with a later number in the same session has seen it.
        untouched = (pl.col("place") < cut) | (pl.col("ts") < at(cut)) | (pl.col("seq") == 200 + cut)
        got, whole = (by_game[(name,)].filter(untouched) for name in (f"cut {cut:02}", "cut 30"))
        assert got.height > 3 * cut
        assert_same_bits(got.sort("seq", "ts", "seen_tick"), whole.sort("seq", "ts", "seen_tick"))


def from_plain_tables(events: pl.DataFrame, threads: int) -> pl.DataFrame:
    """What the views' SQL makes of a plain table of events, in a DuckDB of our own with so many threads."""
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("given", events.to_arrow())
        connection.execute("CREATE TABLE events AS FROM given")
        for kind in ("game_tick", "complete_game", "ws_event", "player_action"):
            connection.execute(f"CREATE VIEW {kind} AS FROM events WHERE doc_type = '{kind}'")
        for view in catalogue().building_order("actions_with_ticks"):
            connection.execute(f"CREATE VIEW {view.name} AS {view.sql}")
        found: pl.DataFrame = connection.sql("FROM actions_with_ticks ORDER BY session_id, seq").pl()
        return found


def test_neither_threads_nor_the_order_of_rows_nor_other_games_matter(tmp_path: Path) -> None:
    """Shuffled, in many commits, with one thread or eight, a game alone: the same rows."""
    events = crowded(11)
    query = store_with(tmp_path / "whole", events)
    wanted = query.features("actions_with_ticks")
    shuffled = random.Random(1).sample(events, len(events))
    for start in range(0, len(events), 60):
        paths = write(tmp_path / "commits", shuffled[start : start + 60])
    assert_same_bits(EventStoreQuery(paths).features("actions_with_ticks"), wanted)
    plain = query.query("SELECT * FROM events")
    first = from_plain_tables(plain, 1)
    for seed, threads in enumerate((1, 3, 8)):
        assert_same_bits(from_plain_tables(plain.sample(fraction=1, shuffle=True, seed=seed), threads), first)
    assert_same_bits(first.select("seen_tick"), wanted.sort("session_id", "seq").select("seen_tick"))
    for game_id in ("g1", "g2"):
        alone = store_with(tmp_path / game_id, [e for e in events if e.game_id == game_id])
        mine = wanted.filter(pl.col("game_id") == game_id)
        assert_same_bits(alone.features("actions_with_ticks"), mine)
        assert_same_bits(query.features("actions_with_ticks", games=[game_id]), mine)


# The view as a table


@pytest.mark.parametrize("stored", [False, True])
def test_the_columns_and_their_types_are_as_documented(tmp_path: Path, stored: bool) -> None:
    """With and without events the view has the same columns, in order, of the same types."""
    query = store_with(tmp_path, [*episode(1, 2), action(0), trade(0)] if stored else [])
    described = query.query("DESCRIBE actions_with_ticks").select("column_name", "column_type").rows()
    assert described == list(TYPES.items())
    asked = query.features("actions_with_ticks", games=["g1"])
    assert query.features("actions_with_ticks").schema == asked.schema
    assert asked.height == (2 if stored else 0)
