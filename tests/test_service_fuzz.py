"""Whatever is published: it is stored, or counted under a reason; what is published beside it is stored in any case."""

import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzing import NotJson, read_json, stored_rows, tries
from tests.live import NEEDS_SOCKETIO
from vectra_analytics import EventBus, Events, EventStoreQuery, EventStoreService
from vectra_analytics.live.record import Recorder


class Hostile:
    """An object that fails, in a way of its own, whatever is done with it."""

    def __init__(self, error: type[BaseException]) -> None:
        self.__dict__["error"] = error

    def __repr__(self) -> str:
        raise self.__dict__["error"]("two\nlines")

    def __eq__(self, other: object) -> bool:
        raise self.__dict__["error"]

    def __hash__(self) -> int:
        return 1

    def __getattr__(self, name: str) -> Any:
        raise self.__dict__["error"](name)


class HostileMapping(Mapping[str, Any]):
    """Keys and values that fail when they are asked for."""

    def __init__(self, error: type[BaseException], *keys: str) -> None:
        self.error, self.keys_said = error, keys

    def __getitem__(self, key: str) -> Any:
        raise self.error(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys_said)

    def __len__(self) -> int:
        raise self.error


class Text(str):
    """A text of a kind of its own."""


class Whole(int):
    """A number likewise."""


def cyclic_list() -> Any:
    """A list that holds itself."""
    found: list[Any] = [1]
    found.append(found)
    return found


def cyclic_record() -> Any:
    """An object of the feed that holds itself."""
    found: dict[str, Any] = {"event": "x"}
    found["data"] = {"gameHistory": [found], "inner": found}
    return found


def deep(n_levels: int) -> Any:
    """Lists in each other."""
    found: Any = []
    for _ in range(n_levels):
        found = [found]
    return found


ERRORS = [RuntimeError, KeyError, ZeroDivisionError, AttributeError, RecursionError, MemoryError, ValueError, OSError]
MADE = [
    *(lambda error=error: Hostile(error) for error in ERRORS),
    *(lambda error=error: HostileMapping(error, "event", "data", "tick") for error in ERRORS),
    *(cyclic_list, cyclic_record, lambda: deep(300), lambda: deep(2_000), lambda: deep(50_000), lambda: 10**5_000),
]
"""What cannot be shown, and is made when it is needed."""
ODD = st.one_of(
    st.integers(0, len(MADE) - 1).map(lambda n: cast("Any", MADE[n])()),
    st.sampled_from([2**64, -(2**63) - 1, math.nan, math.inf, -0.0, Decimal("sNaN"), Decimal("1e999999"), 1j]),
    st.sampled_from(["\ud800", "a\0b", "NaN", "1e400", "1_0", "x" * 5_000, Text("t"), Whole(3), object, len, ...]),
    st.sampled_from([datetime(2025, 1, 1), datetime.max.replace(tzinfo=timezone(timedelta(hours=-9))), datetime.min]),
    st.sampled_from([datetime(2025, 1, 1, tzinfo=timezone(timedelta(microseconds=5))), "2025-01-01T00:00:00+00:00"]),
    st.binary(max_size=3),
    st.sampled_from([b"event", bytearray(b"x"), {1, 2}, frozenset(), range(3), (1, 2), Events.GAME_TICK, UTC]),
)


@dataclass(frozen=True)
class Box:
    """Holds what was drawn, and can be shown in any case."""

    held: Any

    def __repr__(self) -> str:
        try:
            return repr(self.held)[:2_000]
        except Exception as error:
            return f"something that is not to be shown: {type(error).__name__}"


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
KEYS = st.sampled_from(
    [
        *("event", "data", "gameId", "game_id", "tick", "tickCount", "price", "multiplier", "playerId", "id", "ts"),
        *("username", "cash", "balance", "positionQty", "timestamp", "source", "direction", "raw", "active", "phase"),
        *("cooldownTimer", "tradeCount", "button_id", "button_category", "sequence_id", "sequence_position", "__trace"),
    ]
)
ANYTHING = st.recursive(
    PLAIN | ODD,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(KEYS | PLAIN.filter(lambda key: key == key), inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4).map(lambda fields: SimpleNamespace(**fields)),
    ),
    max_leaves=8,
)
RECORDS = st.fixed_dictionaries(
    {"event": st.sampled_from(["gameStateUpdate", "x", "playerUpdate"]), "data": ANYTHING},
    optional={name: ANYTHING for name in ("timestamp", "source", "direction", "raw", "game_id")},
)
PUBLISHED = st.tuples(
    st.sampled_from(list(Events)), ANYTHING | RECORDS | st.builds(lambda one: {"data": one}, RECORDS)
).map(Box)


def marker(n: int) -> dict[str, Any]:
    """A feed event that is fine."""
    return {"event": "marker", "data": {"n": n}}


@tries(40)
@given(st.lists(PUBLISHED, min_size=1, max_size=6), st.sampled_from(["all", "changes", "none"]))
def test_what_is_published_is_stored_or_counted(published: list[Box], raw: str) -> None:
    """Nothing is raised and nothing lost; seqs have no holes, reasons are short, and what stands between is stored."""
    bus = EventBus()
    with tempfile.TemporaryDirectory() as folder:
        with EventStoreService(bus, folder, "s", raw=raw) as service:
            service.resume()
            for n, (event, data) in enumerate(box.held for box in published):
                bus.publish(event, data)
                bus.publish(Events.WS_RAW_EVENT, marker(n))
            service.flush()
            stats = service.stats()
        rows = stored_rows(Path(folder))

    assert bus.stats()["errors"] == 0
    assert stats["store_error"] is None
    assert len(rows) == stats["event_count"] == 2 * len(published) - sum(stats["refused"].values())
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert all("\n" not in reason and len(reason) < 100 for reason in stats["refused"])
    markers = [json.loads(row["raw_json"])["data"]["n"] for row in rows if row["event_name"] == "marker"]
    assert markers == list(range(len(published)))
    for row in rows:
        read_json(row["raw_json"].encode(), exact=True)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | KEYS, inner, max_size=3),
    max_leaves=8,
)


@tries(15)
@given(st.lists(JSON, min_size=1, max_size=6))
def test_json_of_any_kind_comes_back_as_it_was(payloads: list[Any]) -> None:
    """To the last digit; null alone is taken for an empty object."""
    bus = EventBus()
    with tempfile.TemporaryDirectory() as folder:
        with EventStoreService(bus, folder, "s") as service:
            service.resume()
            for data in payloads:
                bus.publish(Events.WS_RAW_EVENT, {"event": "x", "data": data})
            assert service.stats()["refused"] == {}
        rows = stored_rows(Path(folder))

    found = [json.loads(row["raw_json"]) for row in rows]
    assert json.dumps(found) == json.dumps([{"event": "x", "data": {} if d is None else d} for d in payloads])


@tries(20)
@given(st.lists(st.dictionaries(KEYS | st.text(max_size=2), JSON, max_size=4), min_size=1, max_size=8))
def test_changes_laid_over_each_other_are_all_that_was_said(updates: list[dict[str, Any]]) -> None:
    """Also around an update that was refused, and where a value is equal but another."""
    bus = EventBus()
    state = {"gameId", "tickCount", "price", "active", "rugged", "cooldownTimer", "allowPreRoundBuys", "tradeCount"}
    with tempfile.TemporaryDirectory() as folder:
        with EventStoreService(bus, folder, "s", raw="changes") as service:
            service.resume()
            for data in updates:
                bus.publish(Events.WS_RAW_EVENT, {"event": "gameStateUpdate", "data": {**data, "bad": {"x": math.nan}}})
                bus.publish(Events.WS_RAW_EVENT, {"event": "gameStateUpdate", "data": data})
            assert service.stats()["refused"] == {"data cannot be kept as JSON": len(updates)}
        kept = [json.loads(row["raw_json"])["data"] for row in stored_rows(Path(folder))]

    rest: dict[str, Any] = {}
    for said, whole in zip(kept, updates, strict=True):
        gone = said.pop("__gone", [])
        assert said.pop("__kept") == "changes"
        now = {name: value for name, value in said.items() if name in state}
        rest = {name: value for name, value in {**rest, **said}.items() if name not in gone and name not in state}
        assert json.dumps({**rest, **now}, sort_keys=True) == json.dumps(whole, sort_keys=True)


@tries(12)
@given(
    st.lists(st.lists(ANYTHING, max_size=3).map(Box), min_size=1, max_size=6),
    st.sampled_from(["x", "connect", "disconnect"]),
)
def test_what_the_feed_sends_is_received_under_any_name(sent: list[Box], name: str) -> None:
    """Also under the names that a connection's own events have; none of them ends or begins one."""
    pytest.importorskip("socketio", reason=NEEDS_SOCKETIO)
    pytest.importorskip("aiohttp", reason=NEEDS_SOCKETIO)
    bus = EventBus()
    with tempfile.TemporaryDirectory() as folder:
        with EventStoreService(bus, folder, "s") as service:
            service.resume()
            recorder = Recorder("http://127.0.0.1:1", bus, service)
            taken = {"connect": recorder._connected, "disconnect": recorder._disconnected}
            recorder._connected()
            for arguments in (box.held for box in sent):
                if name in taken:
                    taken[name](*arguments)
                else:
                    recorder._received(name, *arguments)
            assert (recorder.n_received, recorder.n_connected, recorder.is_connected) == (len(sent), 1, True)
            recorder._disconnected("transport error")
            assert not recorder.is_connected
            stats = service.stats()
        names = EventStoreQuery(folder).query("SELECT event_name FROM events ORDER BY seq")["event_name"].to_list()

    assert bus.stats()["errors"] == 0
    n_stored = len(sent) - sum(stats["refused"].values())
    assert names == ["connected", *[name] * n_stored, "disconnected"]


def test_reading_json_strictly_is_strict() -> None:
    """What the other tests trust in."""
    for text in (b"NaN", b'"\\ud800"', b"1e400", b"[1", b'"\xff"'):
        with pytest.raises(NotJson):
            read_json(text)
    assert read_json(b'{"a": [1.5, 9007199254740993, null]}') == {"a": [1.5, 9007199254740993, None]}
