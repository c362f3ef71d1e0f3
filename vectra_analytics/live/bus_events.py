"""What is published on a bus, as envelopes; who stores them decides on session and seq."""

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from vectra_analytics import payload
from vectra_analytics.envelope import Direction, EventEnvelope, EventSource
from vectra_analytics.errors import InvalidEvent
from vectra_analytics.exact_values import Number, money
from vectra_analytics.live.event_bus import Events
from vectra_analytics.live.raw_level import RawLevel

_ACTIONS = {
    Events.TRADE_BUY: "buy",
    Events.TRADE_SELL: "sell",
    Events.TRADE_SIDEBET: "sidebet",
    Events.TRADE_CONFIRMED: "trade_confirmed",
}
_CASH, _POSITION = ("cash", "balance"), ("positionQty", "position_qty")
_PLAYER = ("playerId", "player_id", "id")
_CATEGORY, _BUTTON = ("button_category", "buttonCategory"), ("button_id", "buttonId")
_TIMES = ("timestamp", "ts")


@dataclasses.dataclass(slots=True)
class Session:
    """Where the events go: the session, the next seq, and what was met on the way."""

    session_id: str
    raw: RawLevel
    seq: int = 1
    game_id: str | None = None  # the game that ran last
    amounts_unreadable: int = 0
    games_refused: list[InvalidEvent] = dataclasses.field(default_factory=list)  # of the last update


class Refused(InvalidEvent):
    """What was published is no event."""


def envelopes(event: Events, data: Any, to: Session) -> Iterator[EventEnvelope]:
    """The events in what was published; each takes the seq that is next when it is asked for.

    Raises
    ------
    InvalidEvent
        It cannot be stored; :class:`Refused` where it is no event at all.
    """
    if event is Events.WS_RAW_EVENT:
        return _feed(unwrapped(data), to)
    record = _mapping(data)
    if event is Events.GAME_TICK:
        return _game_tick(record, to)
    if event is Events.PLAYER_UPDATE:
        return _server_state(record, to)
    if event is Events.BUTTON_PRESS:
        return _button(record, to)
    return _action(event, record, to)


def unwrapped(data: Any) -> Mapping[str, Any]:
    """The record of the feed: an object with ``event``, which other buses wrap once or twice in ``data``."""
    if not isinstance(data, Mapping):
        raise Refused("a feed event that is no object")
    record: Any = data
    for _ in range(3):
        if not isinstance(record, Mapping):
            break
        if "event" in record:
            if not isinstance(record["event"], str) or not record["event"]:
                raise Refused("a feed event whose name is no text")
            return record
        record = record.get("data")
    raise Refused("a feed event without a name")


def _feed(record: Mapping[str, Any], to: Session) -> Iterator[EventEnvelope]:
    name, data = record["event"], {} if record.get("data") is None else record["data"]
    source = EventSource.CDP if payload.is_of_browser(record) else _source(record, EventSource.PUBLIC_WS)
    direction, ts = _direction(record), _time(record)
    game_id = payload.text_of(record.get("game_id"))
    kept = to.raw.kept(data) if name == "gameStateUpdate" else data
    event = EventEnvelope.from_ws_event(
        name, kept, source, to.session_id, to.seq, game_id, ts=ts, direction=direction or Direction.RECEIVED
    )
    if name == "gameStateUpdate":
        to.game_id = event.game_id or to.game_id
    yield event
    if name == "gameStateUpdate":
        to.raw.is_stored()
        for game in payload.game_history(payload.unwrap(data)):
            if payload.complete_game_id_of(game) is None:
                continue  # it stays in the update alone
            try:
                told = EventEnvelope.from_complete_game(
                    game, source, to.session_id, to.seq, ts=event.ts, direction=event.direction
                )
            except InvalidEvent as error:
                to.games_refused.append(error)
            else:
                yield told


def _game_tick(record: dict[str, Any], to: Session) -> Iterator[EventEnvelope]:
    inner = record.get("tick")
    if inner is not None and not isinstance(inner, int | float | str | Decimal):
        record = {**record, **_mapping(inner)}  # an object for a tick, as replayers publish
    record = _plain(record)
    tick, price = payload.position_of(record)
    yield EventEnvelope.from_game_tick(
        tick,  # type: ignore[arg-type]  # None, as the next two, where it says nothing: kept, but no tick of a game
        price,  # type: ignore[arg-type]
        record,
        _source(record, EventSource.PUBLIC_WS),
        to.session_id,
        to.seq,
        payload.game_id_of(record),  # type: ignore[arg-type]
        ts=_time(record),
        direction=_direction(record),
    )
    to.game_id = payload.game_id_of(record) or to.game_id


def _server_state(record: dict[str, Any], to: Session) -> Iterator[EventEnvelope]:
    yield EventEnvelope.from_server_state(
        record,
        _source(record, EventSource.PUBLIC_WS),
        to.session_id,
        to.seq,
        payload.game_id_of(record),  # type: ignore[arg-type]  # a purse need not name a game
        payload.text_of(payload.first(record, _PLAYER)),  # type: ignore[arg-type]
        payload.text_of(record.get("username")),
        cash=_amount(record, _CASH, to),
        position_qty=_amount(record, _POSITION, to),
        ts=_time(record),
        direction=_direction(record),
    )


def _action(event: Events, record: dict[str, Any], to: Session) -> Iterator[EventEnvelope]:
    record = _plain(record)
    # Who trades names no game; it is the one that runs. A confirmation may come when the next one does already.
    running = None if event is Events.TRADE_CONFIRMED else to.game_id
    usual = Direction.RECEIVED if event is Events.TRADE_CONFIRMED else Direction.SENT
    yield EventEnvelope.from_player_action(
        _ACTIONS[event],
        record,
        _source(record, EventSource.UI),
        to.session_id,
        to.seq,
        payload.game_id_of(record) or running,
        *payload.player_of(event, record),
        ts=_time(record),
        direction=_direction(record) or usual,
    )


def _button(record: dict[str, Any], to: Session) -> Iterator[EventEnvelope]:
    record = _plain(record)
    tick, price = payload.position_of(record)
    yield EventEnvelope.from_button_event(
        payload.text_of(payload.first(record, _BUTTON)),  # type: ignore[arg-type]  # a button may be nameless
        payload.text_of(payload.first(record, _CATEGORY)),  # type: ignore[arg-type]
        record,
        _source(record, EventSource.UI),
        to.session_id,
        to.seq,
        payload.game_id_of(record),
        *payload.player_of(Events.BUTTON_PRESS, record),
        tick=tick,
        price=price,
        sequence_id=payload.text_of(record.get("sequence_id")),
        sequence_position=payload.whole(record.get("sequence_position")),
        ts=_time(record),
        direction=_direction(record),
    )


def _mapping(data: Any) -> dict[str, Any]:
    """An object's fields; programs publish dictionaries, dataclasses and plain objects."""
    if isinstance(data, Mapping):
        return dict(data)
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        return {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    if hasattr(data, "__dict__") and not isinstance(data, type):
        return dict(vars(data))
    raise Refused("an event that is no object")


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """The record with its price as a number, where a program has an exact one or a text."""
    for name in ("price", "multiplier"):
        value = record.get(name)
        if isinstance(value, Decimal | str):
            with contextlib.suppress(ValueError):  # what is no number stays in raw_json as it is
                number = float(value)
                record = {**record, name: number} if math.isfinite(number) else record
    return record


def _amount(record: Mapping[str, Any], names: tuple[str, ...], to: Session) -> Number | None:
    """Money that can be stored exactly; None for what cannot, which is counted, and raw_json has what was sent."""
    value = payload.first(record, names)
    if value is None:
        return None
    try:
        return money(value, names[0])
    except InvalidEvent:
        to.amounts_unreadable += 1
        return None


def _source(record: Mapping[str, Any], usual: EventSource) -> EventSource:
    try:
        return EventSource(record["source"])
    except (KeyError, ValueError, TypeError):
        return usual


def _direction(record: Mapping[str, Any]) -> Direction | None:
    try:
        return Direction(record["direction"])
    except (KeyError, ValueError, TypeError):
        return None


def _time(record: Mapping[str, Any]) -> datetime:
    """When it happened, where the record says so with a zone; else now: a clock without one may be any."""
    value = payload.first(record, _TIMES)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    return datetime.now(UTC)
