"""What is published is stored: all of it, once, in order, with what it says; what cannot be is counted."""

import json
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from polars.testing import assert_frame_equal

from tests.builders import NO_REAL_RECORDINGS, REAL_SAMPLES, rows
from vectra_analytics import EventBus, Events, EventStoreQuery, EventStoreService, import_recordings
from vectra_analytics import writer as writers
from vectra_analytics.commit import commit
from vectra_analytics.errors import CommitFailed

COLUMNS = (
    "doc_type, source, direction, event_name, action_type, game_id, player_id, username, tick, price, cash, "
    "position_qty, button_id, button_category"
)


def recording(bus: Any, store: Path, session_id: str | None = None, **sizes: Any) -> EventStoreService:
    """A service that records."""
    service = EventStoreService(bus, store, session_id, **sizes)
    service.start()
    service.resume()
    return service


def stored(store: Path, *published: tuple[Events, Any]) -> list[dict[str, Any]]:
    """The events that are stored of what was published, in their order."""
    bus = EventBus()
    with recording(bus, store, "s"):
        for event, data in published:
            bus.publish(event, data)
    assert bus.stats()["errors"] == 0
    sql = f"SELECT {COLUMNS}, ts, seq, raw_json FROM events ORDER BY seq"
    return EventStoreQuery(store).query(sql).to_dicts()


def said(event: dict[str, Any]) -> dict[str, Any]:
    """The columns that have a value, but for time, place and text."""
    return {name: value for name, value in event.items() if value is not None and name not in ("ts", "seq", "raw_json")}


def update(game_id: str = "g1", **more: Any) -> dict[str, Any]:
    """A feed event of a game's state."""
    return {"event": "gameStateUpdate", "data": {"gameId": game_id, "active": True, "rugged": False, **more}}


def test_it_starts_paused_and_can_be_toggled(tmp_path: Path) -> None:
    """Nothing is stored before it is resumed, also in `with`, nor while it is paused again."""
    bus = EventBus()
    service = EventStoreService(bus, tmp_path, "s")
    assert (service.is_recording, service.is_paused, service.event_count) == (False, True, 0)
    with service:
        bus.publish(Events.GAME_TICK, {"tick": 0, "price": 1, "gameId": "g1"})
        assert service.toggle_recording()
        bus.publish(Events.GAME_TICK, {"tick": 1, "price": 1, "gameId": "g1"})
        assert service.is_recording
        assert not service.toggle_recording()
        bus.publish(Events.GAME_TICK, {"tick": 2, "price": 1, "gameId": "g1"})
        assert service.stats()["while_paused"] == 2
    bus.publish(Events.GAME_TICK, {"tick": 3, "price": 1, "gameId": "g1"})
    assert service.event_count == 1
    assert rows(EventStoreQuery(tmp_path), "SELECT tick, seq FROM game_tick") == [(1, 1)]


def test_feed_events_are_read_however_they_are_wrapped(tmp_path: Path) -> None:
    """None, one or two wrappers; trace headers; no data: name, game, player, tick and price are there."""
    trade = {"gameId": "g1", "playerId": "alice", "username": "Al", "tickIndex": 7, "price": 2.5, "type": "buy"}
    plain = {"event": "standard/newTrade", "data": [{"__trace": True}, trade]}
    found = stored(
        tmp_path,
        (Events.WS_RAW_EVENT, plain),
        (Events.WS_RAW_EVENT, {"data": plain}),
        (Events.WS_RAW_EVENT, {"x": 1, "data": {"data": plain}}),
        (Events.WS_RAW_EVENT, {"event": "connect", "data": None}),
    )
    wanted = {
        **{"doc_type": "ws_event", "source": "public_ws", "direction": "received", "event_name": "standard/newTrade"},
        **{"game_id": "g1", "player_id": "alice", "username": "Al", "tick": 7, "price": 2.5},
    }
    assert [said(event) for event in found[:3]] == [wanted] * 3
    assert json.loads(found[0]["raw_json"]) == plain
    assert json.loads(found[3]["raw_json"]) == {"event": "connect", "data": {}}
    assert [event["seq"] for event in found] == [1, 2, 3, 4]


def test_source_direction_and_time_are_those_of_the_record(tmp_path: Path) -> None:
    """The browser's listener tells all three; a time without a zone is none, and now is taken."""
    at = "2025-12-07T00:57:10.500000+00:00"
    before = datetime.now(UTC)
    found = stored(
        tmp_path,
        (Events.WS_RAW_EVENT, {"event": "buyOrder", "data": {}, "timestamp": at, "direction": "sent", "raw": "42[]"}),
        (Events.WS_RAW_EVENT, {"event": "x", "data": {}, "source": "cdp"}),
        (Events.WS_RAW_EVENT, {"event": "x", "data": {}, "source": "replay", "timestamp": at[:-6]}),
        (Events.WS_RAW_EVENT, {"event": "x", "data": {}, "timestamp": datetime.fromisoformat(at)}),
        (Events.BUTTON_PRESS, {"button_id": "BUY", "ts": at}),
    )
    assert [(e["source"], e["direction"]) for e in found] == [
        *(("cdp", "sent"), ("cdp", "received"), ("replay", "received"), ("public_ws", "received"), ("ui", "sent"))
    ]
    moment = datetime.fromisoformat(at)
    assert [found[n]["ts"] for n in (0, 3, 4)] == [moment] * 3
    assert all(before <= found[n]["ts"] <= datetime.now(UTC) for n in (1, 2))


@dataclass
class Tick:
    """A tick as a replaying program has it."""

    tick: int
    price: Decimal
    game_id: str
    active: bool = True
    rugged: bool = False


def test_ticks_come_in_many_forms(tmp_path: Path) -> None:
    """Aliases, exact decimals, texts, and whole objects; what says nothing is NULL, and no tick of a game."""
    tick = Tick(4, Decimal("1.25"), "g1")
    found = stored(
        tmp_path,
        (Events.GAME_TICK, {"tick": 1, "price": 1.5, "gameId": "g1", "active": True, "rugged": False}),
        (Events.GAME_TICK, {"tickCount": 2, "multiplier": "1.75", "game_id": "g1"}),
        (Events.GAME_TICK, {"tick": 3, "price": Decimal("2.5"), "gameId": "g1"}),
        (Events.GAME_TICK, {"tick": tick}),
        (Events.GAME_TICK, tick),
        (Events.GAME_TICK, SimpleNamespace(tick=5, price=1.0, game_id="g1")),
        (Events.GAME_TICK, {"tick": 6, "gameId": "g1", "price": "much"}),
        (Events.GAME_TICK, {"tick": 7, "price": 1.0}),
    )
    assert [(e["game_id"], e["tick"], e["price"]) for e in found] == [
        *(("g1", 1, 1.5), ("g1", 2, 1.75), ("g1", 3, 2.5), ("g1", 4, 1.25), ("g1", 4, 1.25), ("g1", 5, 1.0)),
        *(("g1", 6, None), (None, 7, 1.0)),
    ]
    assert EventStoreQuery(tmp_path).features("ticks")["tick"].to_list() == [1, 2, 3, 4, 5]


def test_a_purse_keeps_its_money_to_the_last_digit(tmp_path: Path) -> None:
    """Also under the feed's own names; what is no number, or does not fit, is NULL, counted, and in raw_json."""
    bus = EventBus()
    with recording(bus, tmp_path, "s") as service:
        bus.publish(Events.PLAYER_UPDATE, {"id": "alice", "cash": 0.09503525, "positionQty": "1.5", "username": "Al"})
        bus.publish(
            Events.PLAYER_UPDATE, {"playerId": "bob", "balance": "1e-19", "position_qty": "none", "gameId": "g"}
        )
        assert service.stats()["amounts_unreadable"] == 2
        assert service.stats()["refused"] == {}
    found = rows(EventStoreQuery(tmp_path), f"SELECT {COLUMNS}, raw_json FROM server_state ORDER BY seq")
    assert [row[5:8] + row[10:12] for row in found] == [
        (None, "alice", "Al", Decimal("0.09503525"), Decimal("1.5")),
        ("g", "bob", None, None, None),
    ]
    assert json.loads(found[1][-1])["balance"] == "1e-19"


def test_actions_belong_to_the_game_that_runs(tmp_path: Path) -> None:
    """Trades name no game: it is the one seen last. A confirmation has what it says, and keeps its latency."""
    confirmed = {"gameId": "g1", "playerId": "alice", "username": "Al", "latency_ms": 41.5, "action_id": "a"}
    found = stored(
        tmp_path,
        (Events.TRADE_BUY, {"price": Decimal("1"), "amount": Decimal("0.1"), "tick": 0, "phase": "PRESALE"}),
        (Events.WS_RAW_EVENT, update("g1", tickCount=3, price=1.5)),
        (Events.TRADE_SELL, {"exit_price": 2, "percentage": 100, "tick": 9}),
        (Events.TRADE_SIDEBET, {"amount": 1, "gameId": "g7"}),
        (Events.TRADE_CONFIRMED, confirmed),
        (Events.TRADE_CONFIRMED, {"latency_ms": 3}),
    )
    actions = [event for event in found if event["doc_type"] == "player_action"]
    assert [(e["action_type"], e["game_id"], e["tick"], e["direction"]) for e in actions] == [
        ("buy", None, 0, "sent"),
        ("sell", "g1", 9, "sent"),
        ("sidebet", "g7", None, "sent"),
        ("trade_confirmed", "g1", None, "received"),
        ("trade_confirmed", None, None, "received"),
    ]
    assert (actions[3]["player_id"], actions[3]["username"]) == ("alice", "Al")
    assert json.loads(actions[3]["raw_json"]) == confirmed


def test_buttons_keep_their_place_in_a_sequence(tmp_path: Path) -> None:
    """With what was to be seen when they were pressed."""
    pressed = {
        **{"button_id": "X", "button_category": "bet_adjust", "game_id": "g1", "tick": 5, "price": 1.25},
        **{"sequence_id": "q", "sequence_position": 2, "balance": "1.5"},
    }
    stored(tmp_path, (Events.BUTTON_PRESS, pressed))
    sql = f"SELECT {COLUMNS}, sequence_id, sequence_position FROM button_event"
    ((*row, sequence_id, position),) = rows(EventStoreQuery(tmp_path), sql)
    assert (row[1], row[5], row[8:10], row[-2:]) == ("ui", "g1", [5, 1.25], ["X", "bet_adjust"])
    assert (sequence_id, position) == ("q", 2)


@pytest.mark.skipif(not REAL_SAMPLES.exists(), reason=NO_REAL_RECORDINGS)
def test_the_real_feed_gives_the_rows_of_an_import(tmp_path: Path) -> None:
    """Over the bus and from the file: every column of every event equal, but for session and seq."""
    bus = EventBus()
    with recording(bus, tmp_path / "bus", "s") as service, REAL_SAMPLES.open() as lines:
        for line in lines:
            record = json.loads(line)
            at = datetime.fromisoformat(record["timestamp"]).replace(tzinfo=ZoneInfo("America/New_York"))
            published = {"event": record["event_type"], "data": record["data"], "timestamp": at.isoformat()}
            bus.publish(Events.WS_RAW_EVENT, published)
        assert len(service.recorded_game_ids) == 11
    import_recordings(REAL_SAMPLES, tmp_path / "file", timezone="America/New_York")
    both = [
        EventStoreQuery(tmp_path / name).query("SELECT * EXCLUDE (session_id, seq) FROM events ORDER BY ts, raw_json")
        for name in ("bus", "file")
    ]
    assert both[0].height == 211
    assert_frame_equal(*both)


def test_a_complete_game_is_stored_once_for_ever(tmp_path: Path) -> None:
    """However often it is told, also to later services; another story of it is rejected and counted."""
    game = {"id": "g1", "prices": [1, 1.5, 0.01], "rugged": True}
    nameless = {"prices": [1], "rugged": True}
    told = update("g9", gameHistory=[game, {**game, "id": "g2"}, nameless])
    for n in range(2):
        bus = EventBus()
        with recording(bus, tmp_path, f"s{n}") as service:
            assert service.recorded_game_ids == set()
            bus.publish(Events.WS_RAW_EVENT, told)
            bus.publish(Events.WS_RAW_EVENT, told)
            assert service.recorded_game_ids == {"g1", "g2"}
    assert rows(EventStoreQuery(tmp_path), "SELECT game_id FROM complete_game ORDER BY game_id") == [("g1",), ("g2",)]
    bus = EventBus()
    with recording(bus, tmp_path, "s3") as service:
        bus.publish(Events.WS_RAW_EVENT, update("g9", gameHistory=[{**game, "prices": [1, 2]}]))
        service.flush()
        assert service.stats()["n_rejected"] == 1
    assert EventStoreQuery(tmp_path).count_events("complete_game") == 2


def test_what_is_no_event_is_counted_by_reason(tmp_path: Path) -> None:
    """It burns no seq and harms no other; the log names each reason once."""
    bus = EventBus()
    with recording(bus, tmp_path, "s") as service:
        for data in (None, 7, {}, {"event": 5}, {"event": ""}, {"data": {"data": {"data": {"event": "deep"}}}}):
            bus.publish(Events.WS_RAW_EVENT, data)
        for _ in range(3):
            bus.publish(Events.WS_RAW_EVENT, {"event": "x", "data": {"value": float("nan")}})
        bus.publish(Events.GAME_TICK, 12)
        bus.publish(Events.WS_RAW_EVENT, {"event": "a\0b", "data": {}})
        bus.publish(Events.WS_RAW_EVENT, {"event": "fine", "data": {}})
        assert service.stats()["refused"] == {
            "a feed event that is no object": 2,
            "a feed event without a name": 2,
            "a feed event whose name is no text": 2,
            "data cannot be kept as JSON": 3,
            "an event that is no object": 1,
            "a text with a NUL character, which SQL cannot hold": 1,
        }
    assert bus.stats()["errors"] == 0
    assert rows(EventStoreQuery(tmp_path), "SELECT event_name, seq FROM events") == [("fine", 1)]


def test_threads_share_one_order(tmp_path: Path) -> None:
    """Eight publishers, toggled all the while: every seq once, no hole, and all that was counted is stored."""
    bus = EventBus()
    with recording(bus, tmp_path, "s", buffer_size=50) as service:

        def publish(k: int) -> None:
            for n in range(200):
                bus.publish(Events.GAME_TICK, {"tick": n, "price": 1.0, "gameId": f"g{k}"})

        threads = [threading.Thread(target=publish, args=(k,)) for k in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(50):
            service.toggle_recording()
        for thread in threads:
            thread.join()
        stats = service.stats()
    seqs = [seq for (seq,) in rows(EventStoreQuery(tmp_path), "SELECT seq FROM events ORDER BY seq")]
    assert seqs == list(range(1, stats["event_count"] + 1))
    assert stats["event_count"] + stats["while_paused"] == 1600


def test_it_goes_on_after_a_stop_and_in_another_process(tmp_path: Path) -> None:
    """Stopped within a second, all is durable; start again, or a new service of that session, goes on behind."""
    bus = EventBus()
    service = recording(bus, tmp_path, "s", flush_interval=3600)
    bus.publish(Events.GAME_TICK, {"tick": 0, "price": 1, "gameId": "g1"})
    began = time.monotonic()
    service.stop()
    service.stop()
    assert time.monotonic() - began < 1
    assert EventStoreQuery(tmp_path).count_events() == 1
    assert service.flush() is None

    service.start()
    service.start()
    assert service.is_paused
    service.resume()
    bus.publish(Events.GAME_TICK, {"tick": 1, "price": 1, "gameId": "g1"})
    assert len(service.flush() or []) == 1
    service.stop()
    with recording(bus, tmp_path, "s"):
        bus.publish(Events.GAME_TICK, {"tick": 2, "price": 1, "gameId": "g1"})
    found = rows(EventStoreQuery(tmp_path), "SELECT tick, seq FROM game_tick ORDER BY seq")
    assert found == [(0, 1), (1, 2), (2, 3)]
    assert bus.stats()["subscriber_count"] == 0


class Minimal:
    """A bus of somebody else, with two methods and no more."""

    def __init__(self) -> None:
        self.callbacks: list[tuple[Any, Any]] = []

    def subscribe(self, event: Any, callback: Any) -> None:
        """Remember it."""
        self.callbacks.append((event, callback))

    def unsubscribe(self, event: Any, callback: Any) -> None:
        """Forget it."""
        self.callbacks.remove((event, callback))


def test_any_bus_will_do(tmp_path: Path) -> None:
    """One that calls late, from its own thread, after unsubscribing: nothing is stored then, and nothing breaks."""
    bus = Minimal()
    service = recording(bus, tmp_path, "s")
    ((_, callback),) = [one for one in bus.callbacks if one[0] is Events.GAME_TICK]
    callback({"name": "game.tick", "data": {"tick": 0, "price": 1, "gameId": "g1"}})
    service.stop()
    assert bus.callbacks == []
    callback({"name": "game.tick", "data": {"tick": 1, "price": 1, "gameId": "g1"}})
    assert EventStoreQuery(tmp_path).count_events() == service.event_count == 1


def publish_slowly(bus: EventBus, n_ticks: int) -> None:
    """A tick each millisecond."""
    for n in range(n_ticks):
        bus.publish(Events.GAME_TICK, {"tick": n, "price": 1, "gameId": "g1"})
        time.sleep(0.001)


def test_a_full_disk_holds_the_publisher_and_drops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits until there is room; the status says why; then all is stored, once."""
    bus, is_full = EventBus(), threading.Event()

    def full(*arguments: Any, **more: Any) -> Any:
        if is_full.is_set():
            raise OSError(28, "No space left on device")
        return commit(*arguments, **more)

    monkeypatch.setattr(writers, "commit", full)
    service = recording(bus, tmp_path, "s", buffer_size=10, flush_interval=0.05)
    is_full.set()
    publishing = threading.Thread(target=publish_slowly, args=(bus, 300))
    publishing.start()
    deadline = time.monotonic() + 20
    while service.stats()["store_error"] is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "No space left" in service.stats()["store_error"]
    assert publishing.is_alive()
    is_full.clear()
    publishing.join(20)
    service.stop()
    assert service.stats()["refused"] == {}
    assert EventStoreQuery(tmp_path).features("ticks")["tick"].to_list() == list(range(300))


def test_a_store_that_stays_broken_is_said_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop comes back at once with the error; who waited is let go and counted; a later stop stores the rest."""
    bus = EventBus()

    def broken(*arguments: Any, **more: Any) -> Any:
        raise OSError(5, "Input/output error")

    service = recording(bus, tmp_path, "s", buffer_size=2, flush_interval=0.05)
    with monkeypatch.context() as patched:
        patched.setattr(writers, "commit", broken)

        publishing = threading.Thread(target=publish_slowly, args=(bus, 1000))
        publishing.start()
        deadline = time.monotonic() + 20
        while service.stats()["store_error"] is None and time.monotonic() < deadline:
            time.sleep(0.01)
        began = time.monotonic()
        with pytest.raises(CommitFailed, match="Input/output error"):
            service.stop()
        assert time.monotonic() - began < 1
        publishing.join(20)
        taken = service.event_count
        assert 0 < taken < 1000
        assert service.stats()["refused"] == {"the store could not be written until recording ended": 1}
    service.stop()
    assert EventStoreQuery(tmp_path).features("ticks")["tick"].to_list() == list(range(taken))


def test_its_status_lies_in_the_store(tmp_path: Path) -> None:
    """A file of its own, whole at any time; those of sessions that ended are cleared away."""
    folder = tmp_path / "manifests" / "recording"
    bus = EventBus()
    first = recording(bus, tmp_path, "one/../two")
    with recording(bus, tmp_path, "s"):
        bus.publish(Events.GAME_TICK, {"tick": 0, "price": 1, "gameId": "g1"})
        deadline = time.monotonic() + 20
        while len(list(folder.glob("[!.]*.json"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    first.stop()
    said = {status["session_id"]: status for status in map(_read, folder.glob("[!.]*.json"))}
    assert said.keys() == {"one/../two", "s"}
    assert said["s"]["event_count"] == 1
    assert said["s"]["is_recording"] is False
    (gone,) = folder.glob("one*")
    gone.write_text(json.dumps({"pid": 2**22 + 1}))
    recording(bus, tmp_path, "t").stop()
    assert not gone.exists()


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text()))


def test_a_note_is_a_system_event(tmp_path: Path) -> None:
    """What happens to the recording itself is stored beside what it records."""
    bus = EventBus()
    with recording(bus, tmp_path, "s") as service:
        service.note("disconnected", {"after_s": 3})
    assert rows(EventStoreQuery(tmp_path), "SELECT event_name, raw_json FROM system_event") == [
        ("disconnected", '{"type":"disconnected","data":{"after_s":3}}')
    ]
