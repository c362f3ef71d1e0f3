"""feed_health says how well a session recorded, to the number; its figures show these numbers, whatever there is."""

import json
import math
import random
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import plotly.graph_objects as go
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.builders import NO_REAL_RECORDINGS, REAL_SAMPLES, store_with, tick_event, write
from vectra_analytics import (
    EventEnvelope,
    EventSource,
    EventStorePaths,
    EventStoreQuery,
    LawBroken,
    VectraError,
    import_recordings,
    plots,
)
from vectra_analytics.plots import theme

NOON = datetime(2025, 12, 17, 12, 0, tzinfo=UTC)
FEED = EventSource.PUBLIC_WS
SAMPLES = Path(__file__).parents[1] / "data_samples"
MEASURES = ["tick_interval_p50_ms", "tick_interval_p95_ms", "tick_interval_max_ms", "n_missing_ticks"]
LATENCIES = ["latency_p50_ms", "latency_p95_ms", "latency_max_ms"]


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def named(name: str, seconds: float, seq: int, session_id: str = "s", **data: Any) -> EventEnvelope:
    """An event of the feed."""
    return EventEnvelope.from_ws_event(name, data, FEED, session_id, seq, ts=at(seconds))


def update(tick: int, seconds: float, game_id: str = "g1", session_id: str = "s", **said: Any) -> EventEnvelope:
    """A gameStateUpdate of a running game; seq is the millisecond unless given."""
    seq = int(said.pop("seq", round(seconds * 1000)))
    data = {"gameId": game_id, "tickCount": tick, "price": 1.5, "active": True, "rugged": False, **said}
    return named("gameStateUpdate", seconds, seq, session_id, **data)


def confirmed(seconds: float, latency: Any, session_id: str = "s", seq: int | None = None) -> EventEnvelope:
    """A trade that the server confirmed; what is said of its latency may be anything, and nothing where it is ()."""
    data = {} if latency == () else {"latency_ms": latency}
    seq = round(seconds * 1000) + 1 if seq is None else seq
    return EventEnvelope.from_player_action("trade_confirmed", data, EventSource.UI, session_id, seq, ts=at(seconds))


def found(query: EventStoreQuery, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the view, in its order."""
    return query.features("feed_health").select(columns).rows()


# By hand


def test_events_are_counted_by_session_minute_and_name(tmp_path: Path) -> None:
    """The name is event_name, else action_type, else doc_type; the minute is that of UTC, its start included."""
    system = EventEnvelope.from_system_event
    buy = EventEnvelope.from_player_action("buy", {}, EventSource.UI, "a", 4, "g2", ts=at(61))
    history = EventEnvelope.from_complete_game({"id": "g0", "prices": [1, 0.01]}, FEED, "a", 5, ts=at(61))
    query = store_with(
        tmp_path,
        [
            named("chat", -0.000001, 1, "a"),
            named("chat", 0, 2, "a", gameId="g1"),
            named("chat", 59.999999, 3, "a", gameId="g1"),
            named("chat", 60, 6, "a", gameId="g1"),
            named("chat", 60, 7, "a", gameId="g2"),
            buy,
            history,
            system("connected", {}, FEED, "b", 1, ts=at(1)),
            system("disconnected", {}, FEED, "b", 2, ts=at(2)),
            system("connected", {}, FEED, "b", 3, ts=at(3)),
            tick_event(0, 1.0, session_id="b", seq=4, ts=at(3)),
        ],
    )
    assert found(query, "session_id", "minute", "event_name", "n_events", "n_games") == [
        ("a", at(-60), "chat", 1, 0),
        ("a", at(0), "chat", 2, 1),
        ("a", at(60), "buy", 1, 1),
        ("a", at(60), "chat", 2, 2),
        ("a", at(60), "complete_game", 1, 1),
        ("b", at(0), "connected", 2, 0),
        ("b", at(0), "disconnected", 1, 0),
        ("b", at(0), "game_tick", 1, 1),
    ]


def test_a_silence_ends_in_the_minute_that_it_is_told_of(tmp_path: Path) -> None:
    """The longest since the event before of that name in the session, wherever that was; NULL before the first."""
    query = store_with(
        tmp_path,
        [named("chat", second, number) for number, second in enumerate((1, 3.5, 4, 200, 201))],
        [named("trade", 190, 90), named("chat", 50, 0, "other"), named("chat", 199, 1, "other")],
    )
    assert found(query, "session_id", "minute", "event_name", "longest_silence_ms") == [
        ("other", at(0), "chat", None),
        ("other", at(180), "chat", 149_000.0),
        ("s", at(0), "chat", 2_500.0),
        ("s", at(180), "chat", 196_000.0),
        ("s", at(180), "trade", None),
    ]


def test_a_tick_interval_is_from_one_played_tick_to_the_next_of_a_game(tmp_path: Path) -> None:
    """Median, 95th percentile and longest; over no hole, no other game or session, and neither to nor after the rug."""
    waiting: dict[str, Any] = {"active": False, "tickCount": 0}
    query = store_with(
        tmp_path,
        [
            update(0, 1, **waiting),
            update(0, 2),
            update(1, 2.2),
            update(2, 2.5),
            update(4, 3.5),  # a hole
            update(5, 3.8),
            update(5, 3.9),
            update(6, 4.3),
            update(7, 4.4, game_id="g2"),
            update(7, 5.3),  # by the second sighting of tick 6 in this game: a second
            update(8, 5.4, session_id="t"),
            update(9, 5.5, rugged=True),
            update(10, 5.6, rugged=True),
            update(11, 5.7),  # the row before was no played one
            update(8, 60.3, game_id="g2"),
        ],
        [tick_event(tick, 1.0, session_id="s", seq=tick, ts=at(2 + tick)) for tick in (0, 1, 2)],
    )
    # Of 200, 300, 300, 400 and 1000: 4 x 0.95 = 3.8 steps up, four fifths of the way from 400 to 1000.
    p95 = pytest.approx(880, rel=1e-15)
    assert found(query, "session_id", "minute", "event_name", *MEASURES) == [
        ("s", at(0), "gameStateUpdate", 300.0, p95, 1000.0, 4),
        ("s", at(0), "game_tick", 1000.0, 1000.0, 1000.0, 0),
        ("s", at(60), "gameStateUpdate", 55_900.0, 55_900.0, 55_900.0, 0),
        ("t", at(0), "gameStateUpdate", None, None, None, 0),
    ]


def test_a_missing_tick_is_one_that_its_session_never_saw(tmp_path: Path) -> None:
    """It is told where the game went on; one that came late is not missing, and what another session saw is."""
    query = store_with(
        tmp_path,
        [
            update(129, 1),
            update(128, 2),
            update(131, 3),
            update(130, 4),
            update(140, 61),
            update(150, 121),
            update(145, 181),
        ],
        [update(tick, tick - 129, session_id="t") for tick in range(130, 140)],
        [named("chat", 61, 1)],
    )
    assert found(query, "session_id", "minute", "event_name", "n_missing_ticks") == [
        ("s", at(0), "gameStateUpdate", 0),
        ("s", at(60), "chat", None),
        ("s", at(60), "gameStateUpdate", 8),
        ("s", at(120), "gameStateUpdate", 4),
        ("s", at(180), "gameStateUpdate", 4),
        ("t", at(0), "gameStateUpdate", 0),
    ]


def test_only_updates_of_the_feed_and_recorded_ticks_carry_ticks(tmp_path: Path) -> None:
    """Trades name a tick, too, which says nothing of how the feed ran; what is not said of a tick counts as played."""
    trades = [named("standard/newTrade", tick, tick, gameId="g1", tickIndex=tick, price=1.0) for tick in range(3)]
    silent = [tick_event(tick, 1.0, session_id="r", seq=tick, data={"active": None}) for tick in (0, 1)]
    query = store_with(tmp_path, trades, silent)
    assert found(query, "event_name", *MEASURES) == [
        ("game_tick", 250.0, 250.0, 250.0, 0),
        ("standard/newTrade", None, None, None, None),
    ]


def test_holes_beyond_all_numbers_are_no_error(tmp_path: Path) -> None:
    """Two games that skip nearly 2^63 ticks each in one minute: as many as a column can say."""
    events = [update(tick, 10 * game + tick % 2, f"g{game}") for game in (1, 2) for tick in (0, 2**63 - 1)]
    assert found(store_with(tmp_path, events), "n_missing_ticks") == [(2**63 - 1,)]


def test_the_latency_of_trades_is_what_their_confirmations_say(tmp_path: Path) -> None:
    """Finite numbers from 0 up; other names say none, whatever their payload holds."""
    said = [10, 20.5, 0, 40, -1, "12", True, None, [5], {"a": 1}, ()]
    events = [confirmed(number, latency) for number, latency in enumerate(said)]
    events += [confirmed(60, "12"), named("standard/newTrade", 1, 500, latency_ms=7)]
    events.append(EventEnvelope.from_player_action("buy", {"latency_ms": 7}, EventSource.UI, "s", 501, ts=at(1)))
    query = store_with(tmp_path, events)

    # Of 0, 10, 20.5 and 40: 1.5 steps up, and 3 x 0.95 = 2.85.
    p50, p95 = 15.25, pytest.approx(20.5 + 0.85 * 19.5, rel=1e-15)
    assert found(query, "minute", "event_name", "n_events", *LATENCIES) == [
        (at(0), "buy", 1, None, None, None),
        (at(0), "standard/newTrade", 1, None, None, None),
        (at(0), "trade_confirmed", 11, p50, p95, 40.0),
        (at(60), "trade_confirmed", 1, None, None, None),
    ]


@pytest.mark.parametrize("raw", ['{"latency_ms": NaN}', '{"latency_ms": Infinity}', '{"latency_ms": 1e999}', "{", ""])
def test_no_latency_is_infinite_or_no_number(tmp_path: Path, raw: str) -> None:
    """What DuckDB would read as such, and what is no JSON, tells no latency."""
    usual = confirmed(0, 5)
    event = EventEnvelope(
        ts=usual.ts,
        source=usual.source,
        doc_type=usual.doc_type,
        session_id="s",
        seq=1,
        direction=usual.direction,
        action_type="trade_confirmed",
        raw_json=raw,
    )
    assert found(store_with(tmp_path, [event]), "n_events", *LATENCIES) == [(1, None, None, None)]


# Against an independent computation


class Seen(NamedTuple):
    """What of an event matters here."""

    session_id: str
    us: int
    seq: int
    name: str
    has_ticks: bool
    game_id: str | None
    tick: int | None
    is_played: bool
    latency: Any


def quantile(values: Iterable[float], share: float) -> float:
    """Interpolated between the two values that stand nearest."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def spread(values: list[float]) -> list[float | None]:
    """Median, 95th percentile and highest; nothing of nothing."""
    return [quantile(values, 0.5), quantile(values, 0.95), max(values)] if values else [None] * 3


def health(events: Iterable[Seen]) -> list[tuple[Any, ...]]:
    """The rows of the view, event by event."""
    rows: dict[tuple[str, int, str], dict[str, Any]] = {}
    last_of: dict[tuple[str, str], int] = {}
    last_tick: dict[tuple[str, str | None, str], tuple[int, int]] = {}
    first_seen: dict[tuple[str, str | None, str], dict[int, int]] = defaultdict(dict)
    for event in sorted(events, key=lambda event: (event.us, event.session_id, event.seq)):
        minute = event.us // 60_000_000
        new: dict[str, Any] = {"n": 0, "games": set(), "silence": [], "intervals": [], "latency": [], "ticks": False}
        row = rows.setdefault((event.session_id, minute, event.name), {**new, "missing": 0})
        row["n"] += 1
        row["games"] |= {event.game_id} - {None}
        row["ticks"] |= event.has_ticks
        series = event.session_id, event.name
        if series in last_of:
            row["silence"].append((event.us - last_of[series]) / 1000)
        last_of[series] = event.us
        if isinstance(event.latency, (int, float)) and not isinstance(event.latency, bool) and event.latency >= 0:
            row["latency"].append(float(event.latency))
        if event.has_ticks and event.is_played and event.tick is not None and event.game_id is not None:
            run = event.session_id, event.game_id, event.name
            if run in last_tick and event.tick - last_tick[run][0] == 1:
                row["intervals"].append((event.us - last_tick[run][1]) / 1000)
            last_tick[run] = event.tick, event.us
            first_seen[run].setdefault(event.tick, minute)
    for (session_id, _, name), ticks in first_seen.items():
        for before, after in pairwise(sorted(ticks)):
            rows[session_id, ticks[after], name]["missing"] += after - before - 1
    return [
        (
            session_id,
            datetime.fromtimestamp(minute * 60, UTC),
            name,
            row["n"],
            len(row["games"]),
            max(row["silence"], default=None),
            *spread(row["intervals"]),
            row["missing"] if row["ticks"] else None,
            *spread(row["latency"]),
        )
        for (session_id, minute, name), row in sorted(rows.items())
    ]


def assert_health(query: EventStoreQuery, events: Iterable[Seen]) -> None:
    """The view has these rows: counts and times as they are, what is interpolated to the last few bits."""
    got = query.features("feed_health")
    wanted = pl.DataFrame(health(events), got.schema, orient="row")
    assert_frame_equal(got, wanted, check_exact=False, rel_tol=1e-12, abs_tol=0)


def stored(query: EventStoreQuery) -> list[Seen]:
    """The events of a store."""
    return [
        Seen(
            event["session_id"],
            int(event["us"]),
            event["seq"],
            event["event_name"] or event["action_type"] or event["doc_type"],
            event["doc_type"] == "game_tick" or event["event_name"] == "gameStateUpdate",
            event["game_id"],
            event["tick"],
            event["active"] is not False and not event["rugged"],
            json.loads(event["raw_json"]).get("latency_ms") if event["action_type"] == "trade_confirmed" else None,
        )
        for event in query.query("SELECT *, epoch_us(ts) AS us FROM events").iter_rows(named=True)
    ]


@pytest.mark.skipif(not REAL_SAMPLES.is_file(), reason=NO_REAL_RECORDINGS)
def test_real_samples_have_the_health_that_their_lines_tell(tmp_path: Path) -> None:
    """Read from the lines themselves, without the importer: names, times, ticks, and the games of each gameHistory."""
    import_recordings([REAL_SAMPLES], tmp_path, timezone="America/New_York")
    query = EventStoreQuery(EventStorePaths(tmp_path))
    (session_id,) = query.query("SELECT DISTINCT session_id FROM events").to_series()
    events: list[Seen] = []
    told = set()
    for number, line in enumerate(REAL_SAMPLES.read_text(encoding="utf-8").splitlines()):
        said = json.loads(line)
        ts = datetime.fromisoformat(said["timestamp"]).replace(tzinfo=ZoneInfo("America/New_York"))
        us = (ts - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        data = said["data"][-1] if isinstance(said["data"], list) else said["data"]
        is_update = said["event_type"] == "gameStateUpdate"
        is_played = bool(data.get("active")) and not data.get("rugged")
        place = session_id, us, 1000 * number
        game_id, tick = data.get("gameId"), data.get("tickCount")
        events.append(Seen(*place, said["event_type"], is_update, game_id, tick, is_played, None))
        for game in data.get("gameHistory") or []:
            if game["id"] not in told:
                told.add(game["id"])
                events.append(Seen(*place, "complete_game", False, game["id"], None, False, None))

    assert len(events) == 211
    assert_health(query, events)


def test_the_samples_have_the_health_that_their_events_tell(tmp_path: Path) -> None:
    """58 recordings with holes, ghosts, joined lines and games in several files, a session each."""
    import_recordings([SAMPLES], tmp_path, timezone="America/New_York")
    query = EventStoreQuery(EventStorePaths(tmp_path))
    assert_health(query, stored(query))
    totals = query.query("SELECT sum(n_events), sum(n_missing_ticks) > 0, max(tick_interval_p50_ms) FROM feed_health")
    assert totals.row(0)[:2] == (query.count_events(), True)


def wild(chance: random.Random) -> list[EventEnvelope]:
    """Events with ties, holes, late ticks, rugs and silences, of three sessions and four games."""
    events: list[EventEnvelope] = []
    for session_id in "abc":
        second, ticks = 0.0, dict.fromkeys(range(4), 0)
        for seq in range(400):
            second += chance.choice((0, 0, 0.25, 0.25, 0.251, 1, 70)) if chance.random() < 0.5 else 0.25
            game = chance.randrange(4)
            ticks[game] = max(0, ticks[game] + chance.choice((1, 1, 1, 1, 2, 5, 0, -1)))
            active = chance.choice((True, True, True, None, False))
            said: dict[str, Any] = {"active": active, "rugged": chance.random() < 0.05}
            kind = chance.random()
            if kind < 0.6:
                event = update(ticks[game], second, f"g{game}", session_id, seq=seq, **said)
            elif kind < 0.8:
                event = tick_event(ticks[game], 1.0, f"g{game}", session_id, seq=seq, ts=at(second), data=said)
            elif kind < 0.9:
                event = named(chance.choice(("chat", "connected")), second, seq, session_id)
            else:
                latency = chance.choice((chance.uniform(0, 900), 3, -1, "x", None))
                event = confirmed(second, latency, session_id, seq)
            events.append(event)
    return events


@pytest.mark.parametrize("seed", range(3))
def test_the_order_in_which_events_were_stored_changes_nothing(tmp_path: Path, seed: int) -> None:
    """Forth, back, shuffled and in several commits: the same rows, which are those of the other computation."""
    chance = random.Random(seed)
    events = wild(chance)
    query = store_with(tmp_path / "forth", events)
    assert_health(query, stored(query))
    wanted = query.features("feed_health")
    assert wanted.null_count().row(0, named=True)["latency_p50_ms"] < wanted.height
    shuffled = chance.sample(events, len(events))
    for part in (shuffled[::3], shuffled[1::3], shuffled[2::3]):
        paths = write(tmp_path / "parts", part)
    for other in (store_with(tmp_path / "back", events[::-1]), EventStoreQuery(paths)):
        assert_frame_equal(other.features("feed_health"), wanted, check_exact=True)


# A summary of sessions


def test_an_empty_store_has_no_rows_and_all_columns(tmp_path: Path) -> None:
    """Of the types that a full one has."""
    types = {"session_id": pl.String(), "minute": pl.Datetime("us", "UTC"), "event_name": pl.String()}
    types |= {"n_events": pl.Int64(), "n_games": pl.Int64(), "longest_silence_ms": pl.Float64()}
    types |= {name: pl.Float64() for name in (*MEASURES, *LATENCIES)} | {"n_missing_ticks": pl.Int64()}
    for name, events in (("empty", []), ("full", [update(0, 1), confirmed(1, 2)])):
        query = store_with(tmp_path / name, events)
        assert dict(query.features("feed_health").schema) == types
        assert query.query("SELECT * FROM feed_health").height == len(events)


def test_no_game_has_rows_of_its_own(tmp_path: Path) -> None:
    """Games, episodes, folders and splits are refused with the reason; one file has all rows as they are."""
    query = store_with(tmp_path / "store", [update(0, 1), update(1, 2), confirmed(1, 2)])
    target = tmp_path / "health.csv"
    for ask in (
        lambda: query.features("feed_health", games=["g1"]),
        lambda: query.iter_episodes(view="feed_health"),
        lambda: query.export(target, "feed_health", games=[]),
        lambda: query.export(target, "feed_health", split="hash"),
        lambda: query.export(tmp_path / "folder", "feed_health"),
    ):
        with pytest.raises(VectraError, match="feed_health has rows of sessions, not of games"):
            ask()
    assert not target.exists()

    wanted = query.features("feed_health")
    done = query.export(target, "feed_health")
    assert done.n_rows == wanted.height == 2
    assert_frame_equal(pl.read_csv(target, schema=dict(wanted.schema)), wanted, check_exact=True)
    some = query.export(tmp_path / "some.parquet", "feed_health", columns=["n_events", "minute"])
    assert_frame_equal(pl.read_parquet(some.path), wanted.select("n_events", "minute"))
    pinned = EventStoreQuery(query.paths, version=query.version)
    write(query.paths.data_dir, [update(2, 3)])
    assert pinned.export(target, "feed_health", overwrite=True).sha256 == done.sha256


def session_view(value: str) -> str:
    """A summary of sessions with one column of its own."""
    return textwrap.dedent(
        f"""\
        -- /// feature-view
        -- kind = "summary"
        -- grain = ["session_id"]
        -- reads = ["events"]
        -- [columns]
        -- session_id = {{ unit = "id", doc = "The session." }}
        -- x = {{ unit = "number", doc = "On trial." }}
        -- ///
        SELECT session_id, {value} AS x FROM events AS e GROUP BY session_id
        """
    )


def test_a_session_has_the_same_rows_alone_and_among_others(tmp_path: Path) -> None:
    """A user's own summary of sessions is tried before this law; so are its grain and the rest."""
    query = store_with(tmp_path, [update(0, 1), update(1, 2, session_id="t")])
    query.register_view(session_view("count(DISTINCT game_id)"), name="mine")
    assert query.features("mine").rows() == [("s", 1), ("t", 1)]

    among = "count(*) - (SELECT count(*) FROM events)"
    with pytest.raises(LawBroken, match=r"law of isolation .*session .*among other sessions.*alone"):
        query.register_view(session_view(among), name="trial")
    with pytest.raises(LawBroken, match=r"law of finite .*session .*x is inf"):
        query.register_view(session_view("count(*) / 0.0"), name="trial")
    for other in (
        session_view("1").replace('"summary"', '"feature"'),
        session_view("1").replace('["session_id"]', '["x"]'),
    ):
        with pytest.raises(VectraError, match=r"no column game_id.*or make it a summary of sessions"):
            query.register_view(other, name="trial")


# Figures

Line = tuple[list[datetime], list[float | None]]


def lines(figure: go.Figure) -> dict[str, Line]:
    """What each line or set of marks shows."""
    return {
        trace.name: (
            [moment.astype("datetime64[us]").item().replace(tzinfo=UTC) for moment in trace.x],
            [None if y is None or y != y else float(y) for y in trace.y],
        )
        for trace in figure.data
        if trace.name
    }


def axes(figure: go.Figure) -> list[str]:
    """The titles of all axes, top to bottom, the shared horizontal one first."""
    assert len(list(figure.select_xaxes())) == 1
    return [axis.title.text for axis in [*figure.select_xaxes(), *figure.select_yaxes()]]


@pytest.fixture
def recording(tmp_path: Path) -> pl.DataFrame:
    """Two sessions: the first loses its connection for two minutes and three ticks, the second comes an hour later."""
    system = EventEnvelope.from_system_event
    first = [update(tick, second) for tick, second in ((0, 1), (1, 1.25), (2, 61), (3, 61.5), (7, 241), (8, 241.2))]
    second = [update(tick, 3600 + tick / 4, "g2", "t") for tick in range(3)]
    said = [named("chat", 241.5, 5), named("chat", 3601, 5, "t"), confirmed(61, 80), confirmed(61.2, 120)]
    lost = [system("disconnected", {}, FEED, "s", 6, ts=at(62)), system("connected", {}, FEED, "s", 7, ts=at(240))]
    return store_with(tmp_path, first, second, said, lost).features("feed_health")


def test_the_figure_shows_the_numbers_of_its_rows(recording: pl.DataFrame) -> None:
    """A line for each name, 0 where nothing came; intervals and latencies where there are some; marks for losses."""
    figure = plots.feed_health(recording)
    shown = lines(figure)
    minutes = [at(60 * minute) for minute in (0, 1, 2, 3, 4)]

    end = at(3600)
    updates = [2.0, 2.0, 0.0, 0.0, 2.0, None, 3.0]
    assert shown["gameStateUpdate"] == ([*minutes, minutes[-1], end], updates)
    assert shown["chat"] == ([minutes[0], *minutes[3:], minutes[-1], end], [0.0, 0.0, 1.0, None, 1.0])
    assert shown["disconnections"] == ([at(60)], [1.0])
    assert shown["missing ticks"] == ([at(240)], [3.0])
    of_updates = recording.filter(pl.col("event_name") == "gameStateUpdate")
    for name, column in (("median", "tick_interval_p50_ms"), ("95th percentile", "tick_interval_p95_ms")):
        values = of_updates[column].to_list()
        assert shown[f"tick interval, {name}"] == (
            [minutes[0], minutes[1], minutes[1], minutes[4], minutes[4], end],
            [*values[:2], None, values[2], None, values[3]],
        )
    assert shown["latency, median"] == ([at(60)], [100.0])
    assert shown["latency, 95th percentile"] == ([at(60)], [118.0])
    assert axes(figure) == [
        "time (UTC)",
        "events<br>(per minute)",
        "tick interval<br>(ms)",
        "losses<br>(count)",
        "latency<br>(ms)",
    ]
    assert figure.layout.title.text == "Feed health of 2 sessions, 2025-12-17 12:00 to 2025-12-17 13:00 UTC"
    assert {trace.xaxis for trace in figure.data} == {None}  # all on the one that is shared
    json.loads(figure.to_json())


def test_rare_names_are_one_line_together(tmp_path: Path) -> None:
    """Four names have a line each, as has a fifth that is alone; more are summed as others."""
    events = [
        named(name, number, 10 * place + number) for place, name in enumerate("abcdef") for number in range(9 - place)
    ]
    frame = store_with(tmp_path, events).features("feed_health")

    assert {name: y for name, (_, y) in lines(plots.feed_health(frame)).items()} == {
        "a": [9.0],
        "b": [8.0],
        "c": [7.0],
        "d": [6.0],
        "others": [9.0],
    }
    five = frame.filter(pl.col("event_name") != "f")
    assert list(lines(plots.feed_health(five))) == list("abcde")
    colors = [trace.line.color for trace in plots.feed_health(frame).data if trace.name]
    assert len(set(colors)) == 5


def test_a_figure_of_nothing_and_one_of_a_minute_can_be_drawn(tmp_path: Path) -> None:
    """Each panel has its axis, though it may have no line; no latency, no panel for it."""
    frame = store_with(tmp_path, [named("chat", 1, 1)]).features("feed_health")
    nothing, minute = plots.feed_health(frame.clear()), plots.feed_health(frame)
    for figure in (nothing, minute):
        assert axes(figure) == ["time (UTC)", "events<br>(per minute)", "tick interval<br>(ms)", "losses<br>(count)"]
        assert {trace.yaxis for trace in figure.data} == {"y", "y2", "y3"}
        json.loads(figure.to_json())
    assert nothing.layout.title.text == "Feed health: no events"
    assert lines(nothing) == {}
    assert lines(minute) == {"chat": ([at(0)], [1.0])}
    assert minute.layout.xaxis.range == (at(-60).replace(tzinfo=None), at(60).replace(tzinfo=None))


def test_a_month_is_drawn_by_what_can_be_seen_of_it() -> None:
    """Of 40,000 minutes some thousand points; the one busy minute, the slow one and the gap are among them."""
    n_minutes = 40_000
    there = [minute for minute in range(n_minutes) if not 20_000 <= minute < 20_010]
    columns: Mapping[str, Any] = {
        "session_id": "s",
        "minute": [at(60 * minute) for minute in there],
        "event_name": "gameStateUpdate",
        "n_events": [900 if minute == 7_777 else 240 + minute % 7 for minute in there],
        "tick_interval_p50_ms": [250.0 + minute % 5 for minute in there],
        "tick_interval_p95_ms": [9_000.0 if minute == 12_345 else 300.0 for minute in there],
        "n_missing_ticks": [1 + minute % 3 for minute in there],
        "latency_p50_ms": None,
        "latency_p95_ms": None,
    }
    frame = pl.DataFrame(columns).with_columns(pl.col("latency_p50_ms", "latency_p95_ms").cast(pl.Float64))
    shown = lines(plots.feed_health(frame))

    assert {len(x) < theme.MOST_POINTS for x, _ in shown.values()} == {True}
    counts = dict(zip(*shown["gameStateUpdate"], strict=True))
    assert counts[at(60 * 7_777)] == 900
    assert 0 in (counts.get(at(60 * minute)) for minute in range(20_000, 20_010))
    x, y = shown["tick interval, 95th percentile"]
    assert dict(zip(x, y, strict=True))[at(60 * 12_345)] == 9_000
    assert x[y.index(None)] == at(60 * 19_999)
    assert y.count(None) == 1


def test_intervals_are_all_in_the_histogram() -> None:
    """Those below a millisecond in its lowest bin; NULL and what is no number in none."""
    values = [0.0, 0.25, 1.0, 240.0, 250.0, 260.0, 500.0, 501.0, 20_500.0, None, math.nan, math.inf]
    figure = plots.tick_intervals(pl.DataFrame({"interval_ms": values}))
    (trace,) = figure.data

    assert sum(trace.y) == 9
    assert trace.y[0] == 3
    assert (trace.x[0], trace.x[-1]) == (1, 20_500)
    assert figure.layout.title.text == "9 tick intervals, 22.22% of them above 500 ms"
    assert figure.layout.xaxis.title.text == "interval (ms)"
    assert figure.layout.yaxis.title.text == "ticks<br>(count)"
    assert sum(plots.tick_intervals(pl.DataFrame({"interval_ms": [250, 250]})).data[0].y) == 2
    for nothing in ([], [None]):
        empty = plots.tick_intervals(pl.DataFrame({"interval_ms": nothing}))
        assert (len(empty.data), empty.layout.title.text) == (0, "Tick intervals: none")


def test_the_documented_sql_gives_the_intervals_of_a_store(tmp_path: Path) -> None:
    """Over no hole and not to the rug; where one session saw all, they are those of feed_health."""
    said = plots.tick_intervals.__doc__ or ""
    sql = said[said.index("SELECT") : said.index("They are")]
    ticks = [update(tick, second) for tick, second in ((0, 1), (1, 1.25), (2, 1.75), (4, 2.5), (5, 2.7))]
    query = store_with(tmp_path, [*ticks, update(6, 3, rugged=True)])
    found = query.query(sql)

    assert found.sort("tick").rows() == [("g1", 1, 250.0), ("g1", 2, 500.0), ("g1", 5, 200.0)]
    (health,) = query.features("feed_health").rows(named=True)
    assert found["interval_ms"].median() == health["tick_interval_p50_ms"]
    assert found["interval_ms"].max() == health["tick_interval_max_ms"]


def test_a_frame_of_another_view_is_refused(recording: pl.DataFrame) -> None:
    """The columns that are missing are named."""
    with pytest.raises(VectraError, match="no column minute, n_missing_ticks; it has"):
        plots.feed_health(recording.drop("minute", "n_missing_ticks"))
    with pytest.raises(VectraError, match="no column interval_ms; it has"):
        plots.tick_intervals(recording)
