"""EventEnvelope: what a factory makes of its arguments, what it refuses, and that all it takes can be stored."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from tests.builders import START, tick_event, write
from vectra_analytics import (
    Direction,
    DocType,
    EventEnvelope,
    EventSource,
    EventStoreQuery,
    InvalidEvent,
    VectraError,
)
from vectra_analytics.schema import BATCH_SCHEMA, EVENT_SCHEMA

CDP = EventSource.CDP
Factory = Callable[..., EventEnvelope]

# Each factory with as little as it takes, `data` and the keyword-only arguments left open.
FACTORIES: dict[DocType, Factory] = {
    DocType.WS_EVENT: lambda data, **more: EventEnvelope.from_ws_event("gameStateUpdate", data, CDP, "s1", 7, **more),
    DocType.GAME_TICK: lambda data, **more: EventEnvelope.from_game_tick(3, 1.5, data, CDP, "s1", 7, "g1", **more),
    DocType.PLAYER_ACTION: lambda data, **more: EventEnvelope.from_player_action("buy", data, CDP, "s1", 7, **more),
    DocType.SERVER_STATE: lambda data, **more: EventEnvelope.from_server_state(data, CDP, "s1", 7, "g1", "p1", **more),
    DocType.SYSTEM_EVENT: lambda data, **more: EventEnvelope.from_system_event("connected", data, CDP, "s1", 7, **more),
    DocType.BUTTON_EVENT: lambda data, **more: EventEnvelope.from_button_event(
        "BUY", "action", data, CDP, "s1", 7, **more
    ),
    DocType.COMPLETE_GAME: lambda data, **more: EventEnvelope.from_complete_game(data, CDP, "s1", 7, **more),
}
SENT = {DocType.PLAYER_ACTION, DocType.BUTTON_EVENT}
every_factory = pytest.mark.parametrize("doc_type", FACTORIES, ids=str)

TOO_LONG = 10**5_000
"""Python refuses to write so long a number out as text, so a message has to do without."""


def state(**money: Any) -> EventEnvelope:
    """A server_state with this cash or position_qty."""
    return EventEnvelope.from_server_state({}, CDP, "s1", 1, "g1", "p1", ts=START, **money)


def with_field(field: str, value: Any) -> EventEnvelope:
    """A game_tick with this instead of what stood in one of its fields."""
    return replace(tick_event(3, 1.0), **{field: value})


def button(**changes: Any) -> EventEnvelope:
    """A button_event with these of its arguments."""
    return EventEnvelope.from_button_event("BUY", "action", {}, CDP, "s1", 1, ts=START, **changes)


# --- the names


def test_doc_types_sources_and_directions_are_texts() -> None:
    """The enumerations hold the names that stand in the files, and their members are those texts."""
    assert [str(kind) for kind in DocType] == [
        "ws_event",
        "game_tick",
        "player_action",
        "server_state",
        "system_event",
        "complete_game",
        "button_event",
        "bbc_round",
        "candleflip_round",
        "short_position",
    ]
    assert [str(source) for source in EventSource] == ["cdp", "public_ws", "replay", "ui"]
    assert [str(direction) for direction in Direction] == ["received", "sent"]
    assert isinstance(DocType.GAME_TICK, str)
    assert DocType("game_tick") is DocType.GAME_TICK


def test_an_envelope_has_the_columns_of_a_batch() -> None:
    """Every column of a batch is a field of the envelope and the other way round."""
    assert sorted(field.name for field in fields(EventEnvelope)) == sorted(BATCH_SCHEMA.names)


# --- factories: defaults


@every_factory
def test_a_factory_names_its_kind_and_the_usual_direction(doc_type: DocType) -> None:
    """The doc_type is the factory's; a player's own doings are sent, the rest is received."""
    event = FACTORIES[doc_type]({})

    assert event.doc_type is doc_type
    assert event.direction is (Direction.SENT if doc_type in SENT else Direction.RECEIVED)
    assert (event.source, event.session_id, event.seq) == (CDP, "s1", 7)


@every_factory
def test_a_factory_without_a_time_takes_now_in_utc(doc_type: DocType) -> None:
    """The default ts is the present moment, in UTC."""
    before = datetime.now(UTC)
    event = FACTORIES[doc_type]({})

    assert before <= event.ts <= datetime.now(UTC)
    assert event.ts.utcoffset() == timedelta(0)


@every_factory
def test_a_factory_takes_time_and_direction_by_name(doc_type: DocType) -> None:
    """A given ts and direction stand, also as a plain text."""
    event = FACTORIES[doc_type]({}, ts=START, direction=Direction.SENT)
    other = FACTORIES[doc_type]({}, ts=START, direction="received")

    assert (event.ts, event.direction) == (START, Direction.SENT)
    assert other.direction is Direction.RECEIVED


@every_factory
@pytest.mark.parametrize("ts", [0, "", False, START.replace(tzinfo=None)], ids=repr)
def test_a_factory_takes_nothing_for_a_time_but_a_time(doc_type: DocType, ts: Any) -> None:
    """Only None means now; anything else that is no time with a zone is refused."""
    with pytest.raises(InvalidEvent, match="ts is"):
        FACTORIES[doc_type]({}, ts=ts)


@every_factory
def test_a_factory_reads_the_state_of_the_game_from_its_data(doc_type: DocType) -> None:
    """active, rugged, phase, cooldown_timer and trade_count are the data's where it has them."""
    event = FACTORIES[doc_type](
        {"active": True, "rugged": False, "phase": "PRESALE", "cooldownTimer": 9_900, "tradeCount": 12}
    )
    snake = FACTORIES[doc_type]({"cooldown_timer": 9_900, "trade_count": 12})

    assert (event.active, event.rugged, event.phase) == (True, False, "PRESALE")
    assert (event.cooldown_timer, event.trade_count) == (9_900, 12)
    assert (snake.cooldown_timer, snake.trade_count) == (9_900, 12)
    assert (snake.active, snake.rugged, snake.phase) == (None, None, None)


@every_factory
def test_data_of_the_wrong_kind_leave_columns_empty(doc_type: DocType) -> None:
    """What is no boolean, whole number or text in the data is no state of the game, and no error."""
    event = FACTORIES[doc_type](
        {"active": "yes", "rugged": 1, "phase": 3, "cooldownTimer": 1.5, "tradeCount": True, "game_id": None}
    )

    assert (event.active, event.rugged, event.phase) == (None, None, None)
    assert (event.cooldown_timer, event.trade_count) == (None, None)


@pytest.mark.parametrize("data", [None, [], "text", 3, [1, 2], True], ids=repr)
@pytest.mark.parametrize("doc_type", [kind for kind in FACTORIES if kind is not DocType.COMPLETE_GAME], ids=str)
def test_data_need_not_be_an_object(doc_type: DocType, data: Any) -> None:
    """Whatever JSON can hold is kept, null included."""
    kept = json.loads(FACTORIES[doc_type](data).raw_json)

    assert data == (kept["data"] if doc_type in {DocType.WS_EVENT, DocType.SYSTEM_EVENT} else kept)


# --- factories: columns


def test_ws_event_columns() -> None:
    """A ws_event keeps name and payload, and the game and player given."""
    event = EventEnvelope.from_ws_event("newChatMessage", {"x": 1}, CDP, "s1", 1, "g1", "p1", "Alice")

    assert (event.event_name, event.game_id, event.player_id, event.username) == ("newChatMessage", "g1", "p1", "Alice")
    assert (event.tick, event.price) == (None, None)
    assert json.loads(event.raw_json) == {"event": "newChatMessage", "data": {"x": 1}}


def test_game_tick_columns() -> None:
    """A game_tick has game, tick and price."""
    event = EventEnvelope.from_game_tick(3, Decimal("1.5"), {"a": [1]}, CDP, "s1", 1, "g1")

    assert (event.game_id, event.tick, event.price) == ("g1", 3, 1.5)
    assert json.loads(event.raw_json) == {"a": [1]}


def test_player_action_columns() -> None:
    """A player_action has who did what in which game."""
    event = EventEnvelope.from_player_action("sell", {"amount": "1"}, EventSource.UI, "s1", 1, "g1", "p1", "Alice")

    assert (event.action_type, event.game_id, event.player_id, event.username) == ("sell", "g1", "p1", "Alice")
    assert json.loads(event.raw_json) == {"amount": "1"}


def test_server_state_columns() -> None:
    """A server_state has the purse as exact decimals."""
    event = EventEnvelope.from_server_state({}, CDP, "s1", 1, "g1", "p1", "Alice", cash="3.967072345", position_qty=2)

    assert (event.game_id, event.player_id, event.username) == ("g1", "p1", "Alice")
    assert (event.cash, event.position_qty) == (Decimal("3.967072345"), Decimal(2))
    assert (state().cash, state().position_qty) == (None, None)


def test_system_event_columns() -> None:
    """A system_event has its type as event_name."""
    event = EventEnvelope.from_system_event("game_start", {"game_id": "g1"}, CDP, "s1", 1)

    assert (event.event_name, event.game_id) == ("game_start", "g1")


def test_button_event_columns() -> None:
    """A button_event has button, game position and its place in a sequence."""
    event = EventEnvelope.from_button_event(
        "INC_01", "bet_adjust", {}, EventSource.UI, "s1", 1, "g1", "p1", "Alice", 42, "1.25", "seq-1", 2
    )

    assert (event.button_id, event.button_category) == ("INC_01", "bet_adjust")
    assert (event.game_id, event.player_id, event.username) == ("g1", "p1", "Alice")
    assert (event.tick, event.price, event.sequence_id, event.sequence_position) == (42, 1.25, "seq-1", 2)
    assert (button().tick, button().price, button().sequence_id, button().sequence_position) == (None,) * 4


def test_complete_game_columns() -> None:
    """A complete_game is named by `id`, or by gameId where there is none, and keeps every nested field."""
    game = {"id": "g9", "prices": [1, 1.01, 0.02], "provablyFair": {"serverSeed": "ab"}, "globalSidebets": []}
    event = EventEnvelope.from_complete_game(game, CDP, "s1", 1)

    assert event.game_id == "g9"
    assert json.loads(event.raw_json) == game
    assert EventEnvelope.from_complete_game({"gameId": "g8"}, CDP, "s1", 1).game_id == "g8"
    assert EventEnvelope.from_complete_game({}, CDP, "s1", 1).game_id is None


@pytest.mark.parametrize("game_data", [None, [], "g1"], ids=repr)
def test_a_complete_game_that_is_no_object_is_refused(game_data: Any) -> None:
    """What is no object is an InvalidEvent, not an AttributeError."""
    with pytest.raises(InvalidEvent):
        EventEnvelope.from_complete_game(game_data, CDP, "s1", 1)


@pytest.mark.parametrize("price", [1.5, Decimal("1.5"), "1.5", " 1.5 "], ids=repr)
def test_a_price_may_be_decimal_float_or_text(price: Any) -> None:
    """However it is given, `.price` is the float."""
    event = tick_event(0, price)

    assert type(event.price) is float
    assert event.price == 1.5
    assert button(price=price).price == 1.5


def test_a_whole_price_is_a_float() -> None:
    """The feed's first price is the integer 1."""
    assert type(tick_event(0, 1).price) is float
    assert tick_event(0, 0).price == 0.0


# --- factories: what the data name


@pytest.mark.parametrize("name", ["tickCount", "tick", "tickIndex"])
@pytest.mark.parametrize("doc_type", [DocType.WS_EVENT, DocType.PLAYER_ACTION], ids=str)
def test_a_tick_is_found_under_each_of_its_names(doc_type: DocType, name: str) -> None:
    """tickCount, tick and tickIndex are the tick, 0 included."""
    assert FACTORIES[doc_type]({name: 12}).tick == 12
    assert FACTORIES[doc_type]({name: 0}).tick == 0


@pytest.mark.parametrize("name", ["price", "multiplier"])
@pytest.mark.parametrize("doc_type", [DocType.WS_EVENT, DocType.PLAYER_ACTION], ids=str)
def test_a_price_is_found_under_each_of_its_names(doc_type: DocType, name: str) -> None:
    """Price and multiplier are the price, a whole number included."""
    assert FACTORIES[doc_type]({name: 1.25}).price == 1.25
    assert FACTORIES[doc_type]({name: 1}).price == 1.0


@pytest.mark.parametrize("name", ["gameId", "game_id"])
@pytest.mark.parametrize("doc_type", [DocType.WS_EVENT, DocType.SYSTEM_EVENT, DocType.COMPLETE_GAME], ids=str)
def test_a_game_is_found_under_each_of_its_names(doc_type: DocType, name: str) -> None:
    """GameId and game_id are the game."""
    assert FACTORIES[doc_type]({name: "g1"}).game_id == "g1"


def test_the_arguments_win_over_the_data() -> None:
    """What the caller says of game and player stands, whatever the data say."""
    data = {"gameId": "other", "playerId": "other", "username": "other"}
    event = EventEnvelope.from_ws_event("x", data, CDP, "s1", 1, "g1", "p1", "Alice")

    assert (event.game_id, event.player_id, event.username) == ("g1", "p1", "Alice")


def test_the_player_of_a_feed_event_is_read() -> None:
    """PlayerId and username come from the data; `id` is the player only where the feed means it so."""
    trade = EventEnvelope.from_ws_event(
        "standard/newTrade", {"id": "trade-1", "playerId": "p1", "username": "Alice"}, CDP, "s1", 1
    )
    update = EventEnvelope.from_ws_event("playerUpdate", {"id": "p1", "username": None}, CDP, "s1", 1)
    chat = EventEnvelope.from_ws_event("newChatMessage", {"id": "message-1"}, CDP, "s1", 1)

    assert (trade.player_id, trade.username) == ("p1", "Alice")
    assert (update.player_id, update.username) == ("p1", None)
    assert chat.player_id is None


@pytest.mark.parametrize(
    "data",
    [
        {"tickCount": -1, "price": -0.5},
        {"tickCount": 1.5, "price": "dear"},
        {"tickCount": 2**63, "price": True},
        {"tickCount": "7", "price": 10**400},
        {"tickCount": None, "price": None},
    ],
    ids=repr,
)
def test_unusable_positions_in_the_data_are_left_out(data: dict[str, Any]) -> None:
    """A source that talks nonsense about tick or price is kept as it is, with those columns empty."""
    event = EventEnvelope.from_ws_event("gameStateUpdate", data, CDP, "s1", 1)

    assert (event.tick, event.price) == (None, None)
    assert json.loads(event.raw_json)["data"] == data


TRACE = {"__trace": True, "traceparent": "00-ab-cd-01"}


def test_a_trace_header_is_looked_behind() -> None:
    """A payload behind a trace header is read like any other, and kept with the header."""
    trade = {"gameId": "g1", "playerId": "p1", "username": "Alice", "tickIndex": 5, "price": 1.2, "active": True}
    event = EventEnvelope.from_ws_event("standard/newTrade", [TRACE, trade], CDP, "s1", 1)

    assert (event.game_id, event.player_id, event.username) == ("g1", "p1", "Alice")
    assert (event.tick, event.price, event.active) == (5, 1.2, True)
    assert json.loads(event.raw_json)["data"] == [TRACE, trade]


@pytest.mark.parametrize("data", [[TRACE], TRACE, [TRACE, None], [TRACE, [1]]], ids=["list", "bare", "null", "list in"])
def test_a_trace_header_alone_names_nothing(data: Any) -> None:
    """Where only the header arrived, it is kept and names no game."""
    event = EventEnvelope.from_ws_event("newSideBet", data, CDP, "s1", 1)

    assert (event.game_id, event.player_id, event.tick, event.price) == (None, None, None, None)
    assert json.loads(event.raw_json)["data"] == data


# --- raw_json


@pytest.mark.parametrize("error", [RuntimeError, KeyError, ZeroDivisionError, MemoryError, RecursionError])
def test_an_object_that_cannot_be_shown_is_an_invalid_event(error: type[Exception]) -> None:
    """Whatever its text fails with; the message is a line."""

    class Failing:
        def __repr__(self) -> str:
            raise error("two\nlines")

    for data in (Failing(), {"a": [Failing()]}):
        with pytest.raises(InvalidEvent, match="data cannot be kept as JSON") as refused:
            EventEnvelope.from_ws_event("x", data, EventSource.CDP, "s", 1)
        assert "\n" not in str(refused.value)
    with pytest.raises(InvalidEvent, match="game_data is"):
        EventEnvelope.from_complete_game(cast("Any", Failing()), EventSource.CDP, "s", 1)


def test_raw_json_keeps_values_and_signs() -> None:
    """Numbers keep their kind and their digits, text its signs, and what JSON lacks becomes a text."""
    data = {
        "one": 1,
        "float": 0.1097,
        "digits": 1.0000000000000002,
        "big": 2**70,
        "text": "ünï😀\u0000\u2028",
        "none": None,
    }
    raw = tick_event(0, 1, data=data).raw_json
    kept = json.loads(raw)

    assert {name: kept[name] for name in data} == data
    assert type(kept["one"]) is int
    assert list(kept)[-len(data) :] == list(data), "keys stay in their order"
    assert "ünï😀" in raw
    assert json.loads(tick_event(0, 1, data={"d": Decimal("1.10"), "t": START}).raw_json)["d"] == "1.10"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")], ids=str)
def test_data_that_json_cannot_hold_are_refused(value: float) -> None:
    """NaN and infinity within the data are InvalidEvent, however deep."""
    with pytest.raises(InvalidEvent, match="data"):
        tick_event(0, 1, data={"a": [{"b": value}]})


def test_data_that_hold_themselves_are_refused() -> None:
    """A circle is an InvalidEvent."""
    circle: dict[str, Any] = {}
    circle["again"] = circle

    with pytest.raises(InvalidEvent, match="data"):
        tick_event(0, 1, data=circle)


def test_data_nested_too_deep_are_refused() -> None:
    """A depth that Python cannot follow is an InvalidEvent, not a RecursionError."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(InvalidEvent, match="data"):
        tick_event(0, 1, data={"deep": deep})


def test_data_with_a_number_too_long_to_write_are_refused() -> None:
    """A number of thousands of digits in the data is an InvalidEvent."""
    with pytest.raises(InvalidEvent, match="data"):
        tick_event(0, 1, data={"n": TOO_LONG})


# --- what is refused

NAN, INFINITE = float("nan"), float("inf")
SURROGATE = "half \ud800 pair"


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("ts", datetime(2025, 12, 17, 12), "2025-12-17T12:00:00"),
        ("ts", "2025-12-17", "2025-12-17"),
        ("ts", 0, "0"),
        ("ts", "", "''"),
        ("source", "nobody", "nobody"),
        ("doc_type", "game_tock", "game_tock"),
        ("direction", "sideways", "sideways"),
        ("session_id", "", "''"),
        ("session_id", None, "None"),
        ("session_id", 5, "5"),
        ("raw_json", None, "None"),
        ("raw_json", b"{}", "b'{}'"),
        ("seq", -1, "-1"),
        ("seq", 2**63, "9223372036854775808"),
        ("seq", 1.0, "1.0"),
        ("seq", True, "True"),
        ("seq", None, "None"),
        ("seq", "1", "'1'"),
        ("tick", -1, "-1"),
        ("tick", 2**63, "9223372036854775808"),
        ("tick", 1.5, "1.5"),
        ("tick", False, "False"),
        ("price", NAN, "nan"),
        ("price", INFINITE, "inf"),
        ("price", -INFINITE, "-inf"),
        ("price", -0.01, "-0.01"),
        ("price", "-1", "'-1'"),
        ("price", Decimal("NaN"), "NaN"),
        ("price", Decimal("sNaN"), "sNaN"),
        ("price", Decimal("-1e-30"), "1E-30"),
        ("price", "1e999", "1e999"),
        ("price", "dear", "dear"),
        ("price", "", "''"),
        ("price", True, "True"),
        ("price", 10**400, "1000"),
        ("price", [1], "[1]"),
        ("active", 1, "1"),
        ("rugged", "no", "'no'"),
        ("cooldown_timer", 2**63, "9223372036854775808"),
        ("cooldown_timer", 0.5, "0.5"),
        ("trade_count", -(2**63) - 1, "-9223372036854775809"),
        ("sequence_position", 2**64, "18446744073709551616"),
        ("cash", NAN, "nan"),
        ("cash", "much", "much"),
        ("position_qty", INFINITE, "inf"),
    ],
)
def test_a_value_that_cannot_be_stored_is_refused(field: str, value: Any, shown: str) -> None:
    """InvalidEvent, which is a ValueError too, names the field and the value in one line."""
    with pytest.raises(InvalidEvent) as refusal:
        with_field(field, value)

    message = str(refusal.value)
    assert isinstance(refusal.value, ValueError)
    assert isinstance(refusal.value, VectraError)
    assert f"{field} is" in message
    assert shown in message
    assert "\n" not in message


@pytest.mark.parametrize("field", ["seq", "tick", "price", "cooldown_timer", "trade_count", "cash", "position_qty"])
def test_a_number_too_long_to_write_is_refused(field: str) -> None:
    """A number of thousands of digits is an InvalidEvent that names the field."""
    with pytest.raises(InvalidEvent, match=field):
        with_field(field, TOO_LONG)


@pytest.mark.parametrize(
    "field",
    [
        "session_id",
        "raw_json",
        "game_id",
        "player_id",
        "username",
        "event_name",
        "phase",
        "action_type",
        "button_id",
        "button_category",
        "sequence_id",
    ],
)
def test_half_a_surrogate_pair_is_refused_in_every_text(field: str) -> None:
    """UTF-8 cannot hold it, so no text column can; the message itself can be printed."""
    with pytest.raises(InvalidEvent, match=f"{field} is") as refusal:
        with_field(field, SURROGATE)

    assert str(refusal.value).isascii()
    assert with_field(field, "whole 😀 pair").session_id


@pytest.mark.parametrize("data", [{"a": SURROGATE}, {SURROGATE: 1}, [{"a": [SURROGATE]}], SURROGATE], ids=ascii)
@pytest.mark.parametrize("doc_type", [kind for kind in FACTORIES if kind is not DocType.COMPLETE_GAME], ids=str)
def test_half_a_surrogate_pair_is_refused_in_data(doc_type: DocType, data: Any) -> None:
    """Within the data it is refused as well, as key and as value."""
    with pytest.raises(InvalidEvent):
        FACTORIES[doc_type](data)


def test_each_factory_refuses_what_the_envelope_refuses() -> None:
    """The checks hold whichever way an event is made."""
    for make in FACTORIES.values():
        with pytest.raises(InvalidEvent, match="direction"):
            make({}, direction="up")
    made: tuple[Callable[[int, str], EventEnvelope], ...] = (
        lambda seq, session: EventEnvelope.from_ws_event("x", {}, CDP, session, seq),
        lambda seq, session: EventEnvelope.from_game_tick(1, 1, {}, CDP, session, seq, "g1"),
        lambda seq, session: EventEnvelope.from_player_action("buy", {}, CDP, session, seq),
        lambda seq, session: EventEnvelope.from_server_state({}, CDP, session, seq, "g1", "p1"),
        lambda seq, session: EventEnvelope.from_system_event("x", {}, CDP, session, seq),
        lambda seq, session: EventEnvelope.from_button_event("BUY", "action", {}, CDP, session, seq),
        lambda seq, session: EventEnvelope.from_complete_game({"id": "g1"}, CDP, session, seq),
    )
    for make_with in made:
        with pytest.raises(InvalidEvent, match="seq"):
            make_with(-1, "s1")
        with pytest.raises(InvalidEvent, match="session_id"):
            make_with(1, "")


@pytest.mark.parametrize("field", ["tick", "price"])
def test_a_game_tick_has_tick_and_price(field: str) -> None:
    """The largest whole number and the largest float are as welcome as 0."""
    for value in (0, 2**63 - 1 if field == "tick" else 1.7976931348623157e308):
        assert getattr(with_field(field, value), field) == value


def test_a_long_value_is_shown_short() -> None:
    """A message stays readable when the value is a page long."""
    with pytest.raises(InvalidEvent) as refusal:
        with_field("price", "x" * 100_000)

    assert len(str(refusal.value)) < 300


# --- money


@pytest.mark.parametrize("field", ["cash", "position_qty"])
@pytest.mark.parametrize(
    ("given_as", "kept"),
    [
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (0.09503525, "0.09503525"),
        (3, "3"),
        (-2.5, "-2.5"),
        ("3.967072345", "3.967072345"),
        (" 1e3 ", "1000"),
        (Decimal("1.230"), "1.23"),
        (Decimal("0E-30"), "0"),
        (Decimal("1E+19"), "10000000000000000000"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
        ("-99999999999999999999.999999999999999999", "-99999999999999999999.999999999999999999"),
        ("0.000000000000000001", "0.000000000000000001"),
        ("1." + "0" * 60, "1"),
        (10**19, "10000000000000000000"),
    ],
    ids=str,
)
def test_money_is_kept_exactly(field: str, given_as: Any, kept: str) -> None:
    """Decimal, float, int and text become the decimal that they say; a float its shortest decimal."""
    value = getattr(state(**{field: given_as}), field)

    assert isinstance(value, Decimal)
    assert value == Decimal(kept)


@pytest.mark.parametrize("field", ["cash", "position_qty"])
@pytest.mark.parametrize(
    "given_as",
    [
        "100000000000000000000",
        10**20,
        1e20,
        "0.0000000000000000001",
        1e-19,
        "1.0000000000000000001",
        "99999999999999999999.9999999999999999999",
        Decimal("1E+400"),
        "1e2000000",
        "1e-2000000",
        Decimal("1E-5000000"),
        "1." + "0" * 450 + "1",
        Decimal("1" + "0" * 5 + "." + "0" * 500 + "1"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-Infinity"),
        "",
        "1,5",
        "\ud800",
        True,
        [],
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_money_that_does_not_fit_is_refused(field: str, given_as: Any) -> None:
    """Beyond 20 digits before the point or 18 behind it is InvalidEvent, never a rounding; so is no number."""
    with pytest.raises(InvalidEvent, match=field):
        state(**{field: given_as})


# --- a value


def test_an_envelope_cannot_be_changed() -> None:
    """An event stays as it was made."""
    event = tick_event(3, 1.0)

    with pytest.raises(FrozenInstanceError):
        event.price = 2.0  # type: ignore[misc]
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        event.mood = "good"  # type: ignore[attr-defined]
    assert event.price == 1.0


def test_equal_events_are_equal() -> None:
    """Two envelopes of the same values are equal, have one hash, and survive a trip between processes."""
    assert tick_event(3, 1.0) == tick_event(3, "1")
    assert len({tick_event(3, 1.0), tick_event(3, 1.0), tick_event(3, 2.0)}) == 2
    assert pickle.loads(pickle.dumps(tick_event(3, 1.0))) == tick_event(3, 1.0)


# --- whatever is taken can be stored

zones = st.one_of(
    st.just(UTC), st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
)
texts = st.text(max_size=12)
labels = st.none() | texts
wholes = st.none() | st.integers(0, 2**63 - 1)
signed = st.none() | st.integers(-(2**63), 2**63 - 1)
amounts = st.none() | st.decimals(
    min_value=Decimal("-99999999999999999999"), max_value=Decimal("99999999999999999999"), places=18
)
data_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def valid_events(draw: st.DrawFn) -> EventEnvelope:
    """Any event that the envelope takes, in any time zone."""
    values: dict[str, Any] = {
        "ts": draw(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=zones)),
        "source": draw(st.sampled_from(EventSource)),
        "doc_type": draw(st.sampled_from([kind for kind in DocType if kind is not DocType.COMPLETE_GAME])),
        "session_id": draw(st.text(min_size=1, max_size=12)),
        "seq": draw(st.integers(0, 2**63 - 1)),
        "direction": draw(st.sampled_from(Direction)),
        "raw_json": draw(data_values.map(lambda value: json.dumps(value, ensure_ascii=False)) | texts),
        "tick": draw(wholes),
        "price": draw(st.none() | st.floats(0, allow_nan=False, allow_infinity=False)),
        "active": draw(st.none() | st.booleans()),
        "rugged": draw(st.none() | st.booleans()),
        "cooldown_timer": draw(signed),
        "trade_count": draw(signed),
        "cash": draw(amounts),
        "position_qty": draw(amounts),
        "sequence_position": draw(signed),
    }
    for name in ("game_id", "player_id", "username", "event_name", "phase"):
        values[name] = draw(labels)
    for name in ("action_type", "button_id", "button_category", "sequence_id"):
        values[name] = draw(labels)
    try:
        return EventEnvelope(**values)
    except InvalidEvent:
        # Of all these values only the sign NUL may be refused: no SQL can name an id that holds it.
        if not any(isinstance(value, str) and "\0" in value for value in values.values()):
            raise
        reject()


def expected_rows(events: list[EventEnvelope]) -> list[tuple[Any, ...]]:
    """The events as the rows of `events`, in the order of their identities."""
    return [
        (
            *(getattr(event, name) if name != "ts" else event.ts.astimezone(UTC) for name in EVENT_SCHEMA.names),
            str(event.doc_type),
            event.ts.astimezone(UTC).date(),
        )
        for event in sorted(events, key=lambda event: (event.session_id.encode(), event.seq))
    ]


def stored_rows(data_dir: Path) -> pl.DataFrame:
    """All rows of a store in the order of their identities."""
    columns = ", ".join((*EVENT_SCHEMA.names, "doc_type", "date"))
    query = EventStoreQuery(write(data_dir, []))
    return query.query(f"SELECT {columns} FROM events ORDER BY session_id, seq")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(valid_events(), min_size=1, max_size=8, unique_by=lambda event: (event.session_id, event.seq)))
def test_what_is_written_is_read_back(tmp_path: Path, events: list[EventEnvelope]) -> None:
    """Any valid events, written to a store and read back, are equal column by column, raw_json to the letter."""
    data_dir = tmp_path / "store"
    shutil.rmtree(data_dir, ignore_errors=True)
    write(data_dir, events)

    assert stored_rows(data_dir).rows() == expected_rows(events)


def zone(hours: int) -> tzinfo:
    """So many hours east of Greenwich."""
    return timezone(timedelta(hours=hours))


@pytest.mark.parametrize(
    "ts",
    [
        datetime.min.replace(tzinfo=UTC),
        datetime.min.replace(tzinfo=zone(5)),
        datetime(999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2025, 12, 17, 23, 59, 59, 999_999, tzinfo=zone(-5)),
        datetime.max.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=zone(-5)),
    ],
    ids=lambda ts: str(ts.isoformat()),
)
def test_a_time_at_the_edge_is_refused_or_stored(tmp_path: Path, ts: datetime) -> None:
    """No time that the envelope takes is one that the store cannot hold, for then nothing after it could be stored."""
    try:
        event = tick_event(0, 1.0, ts=ts)
    except InvalidEvent:
        return
    paths = write(tmp_path / "store", [event])
    query = EventStoreQuery(paths)

    assert query.query("SELECT ts, date FROM events").rows() == [(ts.astimezone(UTC), ts.astimezone(UTC).date())]
    assert query.info().first_event == ts.astimezone(UTC)
    (folder,) = paths.events_parquet_dir.glob("*/*")
    assert folder.name == f"date={ts.astimezone(UTC).date().isoformat()}"


def test_a_game_whose_name_holds_a_nul_is_refused_or_found(tmp_path: Path) -> None:
    """An id that is taken can be asked for."""
    try:
        event = tick_event(0, 1.0, "g\0 1")
    except InvalidEvent:
        return
    query = EventStoreQuery(write(tmp_path / "store", [event]))

    assert query.list_games() == ["g\0 1"]
    assert query.get_game_episode("g\0 1").height == 1
