"""EventEnvelope: one recorded event, what we add around what the source sent."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import Any, Self

import pyarrow as pa

from vectra_analytics import payload
from vectra_analytics.errors import InvalidEvent
from vectra_analytics.exact_values import Number, money, price_of, shown, to_json
from vectra_analytics.schema import BATCH_SCHEMA


class DocType(StrEnum):
    """What kind of event it is, and so its partition."""

    WS_EVENT = "ws_event"
    GAME_TICK = "game_tick"
    PLAYER_ACTION = "player_action"
    SERVER_STATE = "server_state"
    SYSTEM_EVENT = "system_event"
    COMPLETE_GAME = "complete_game"
    BUTTON_EVENT = "button_event"
    BBC_ROUND = "bbc_round"
    CANDLEFLIP_ROUND = "candleflip_round"
    SHORT_POSITION = "short_position"


class EventSource(StrEnum):
    """Who told us."""

    CDP = "cdp"  # the browser's own traffic, listened to
    PUBLIC_WS = "public_ws"  # the public feed
    REPLAY = "replay"  # a recording
    UI = "ui"  # what the player did


class Direction(StrEnum):
    """Which way it went, seen from us."""

    RECEIVED = "received"
    SENT = "sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventEnvelope:
    """One event as recorded, before anything is derived from it; a value that cannot be stored is InvalidEvent.

    ``(session_id, seq)`` is its identity: the store keeps one row of each.
    """

    ts: datetime  # when it happened; any time zone, stored as UTC
    source: EventSource
    doc_type: DocType
    session_id: str
    seq: int  # unique in its session
    direction: Direction
    raw_json: str  # what the source sent, untouched
    game_id: str | None = None  # None between games
    player_id: str | None = None
    username: str | None = None
    event_name: str | None = None
    tick: int | None = None  # position in the game, from 0
    price: float | None = None  # multiplier, 1.0 at the first tick
    active: bool | None = None
    rugged: bool | None = None
    phase: str | None = None
    cooldown_timer: int | None = None  # ms to the next game
    trade_count: int | None = None
    action_type: str | None = None
    cash: Decimal | None = None  # SOL
    position_qty: Decimal | None = None  # token units
    button_id: str | None = None
    button_category: str | None = None
    sequence_id: str | None = None
    sequence_position: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.ts, datetime) or self.ts.tzinfo is None or self.ts.utcoffset() is None:
            raise self._invalid("ts", "a time without a zone; give it in UTC")
        if self.ts.year in (MINYEAR, MAXYEAR):
            try:
                self.ts.astimezone(UTC)
            except OverflowError:
                raise self._invalid("ts", "out of range in UTC") from None
        if type(self.source) is not EventSource:
            object.__setattr__(self, "source", self._member(EventSource, "source"))
        if type(self.doc_type) is not DocType:
            object.__setattr__(self, "doc_type", self._member(DocType, "doc_type"))
        if type(self.direction) is not Direction:
            object.__setattr__(self, "direction", self._member(Direction, "direction"))
        # Nearly every event is fine, so one look at all texts and one at all numbers; only what
        # does not pass is looked at field by field, to name it.
        texts = [text for text in _texts(self) if text is not None]
        if self.raw_json is None or set(map(type, texts)) != {str}:
            self._check_texts()
        together = "".join(texts)
        if not together.isascii() or "\0" in together:
            self._check_texts()
        if not self.session_id:
            raise self._invalid("session_id", "empty")
        numbers = [number for number in _wholes(self) if number is not None]
        if self.seq is None or set(map(type, numbers)) != {int} or min(numbers) < 0 or max(numbers) > payload.INT64_MAX:
            self._check_wholes()
        price = self.price
        if price is not None and not (type(price) is float and 0.0 <= price < math.inf):
            object.__setattr__(self, "price", price_of(price, self._invalid))
        if not (self.active is None or type(self.active) is bool):
            raise self._invalid("active", "not true, false or None")
        if not (self.rugged is None or type(self.rugged) is bool):
            raise self._invalid("rugged", "not true, false or None")
        if self.cash is not None:
            object.__setattr__(self, "cash", money(self.cash, "cash"))
        if self.position_qty is not None:
            object.__setattr__(self, "position_qty", money(self.position_qty, "position_qty"))

    def _invalid(self, name: str, why: str) -> InvalidEvent:
        value = getattr(self, name)
        text = value.isoformat() if isinstance(value, datetime) else shown(value)
        return InvalidEvent(
            f"{self.doc_type} event {shown(self.session_id)}/{shown(self.seq)}: {name} is {text}: {why}"
        )

    def _member(self, kind: type[StrEnum], name: str) -> StrEnum:
        try:
            return kind(getattr(self, name))
        except ValueError:
            raise self._invalid(name, f"not one of {', '.join(kind)}") from None

    def _check_texts(self) -> None:
        for name, text in zip(_TEXT, _texts(self), strict=True):
            if text is None and name in ("session_id", "raw_json"):
                raise self._invalid(name, "missing")
            if text is not None and not isinstance(text, str):
                raise self._invalid(name, "not a text")
            if text is not None and "\0" in text:
                raise self._invalid(name, "a text with a NUL character, which SQL cannot hold")
            try:
                (text or "").encode()
            except UnicodeEncodeError:
                raise self._invalid(name, "a lone surrogate, which UTF-8 cannot hold") from None

    def _check_wholes(self) -> None:
        for name, number in zip(_WHOLE, _wholes(self), strict=True):
            if number is None and name != "seq":
                continue
            if not isinstance(number, int) or isinstance(number, bool):
                raise self._invalid(name, "not a whole number")
            if not -payload.INT64_MAX - 1 <= number <= payload.INT64_MAX:
                raise self._invalid(name, "beyond 64 bits")
            if number < 0 and name in ("seq", "tick"):
                raise self._invalid(name, "below 0")

    @classmethod
    def from_ws_event(
        cls,
        event_name: str,
        data: Any,
        source: EventSource,
        session_id: str,
        seq: int,
        game_id: str | None = None,
        player_id: str | None = None,
        username: str | None = None,
        *,
        ts: datetime | None = None,
        direction: Direction | None = None,
    ) -> Self:
        """An event of the feed; game, player, tick and price are read from ``data`` where it has them."""
        inner = payload.unwrap(data)
        seen_player, seen_name = payload.player_of(event_name, inner)
        tick, price = payload.position_of(inner)
        return cls(
            ts=datetime.now(UTC) if ts is None else ts,
            source=source,
            doc_type=DocType.WS_EVENT,
            session_id=session_id,
            seq=seq,
            direction=direction or Direction.RECEIVED,
            raw_json=to_json({"event": event_name, "data": data}),
            game_id=game_id if game_id is not None else payload.game_id_of(inner),
            player_id=player_id if player_id is not None else seen_player,
            username=username if username is not None else seen_name,
            event_name=event_name,
            tick=tick,
            price=price,
            **payload.game_state(inner),
        )

    @classmethod
    def from_game_tick(
        cls,
        tick: int,
        price: Number,
        data: Any,
        source: EventSource,
        session_id: str,
        seq: int,
        game_id: str,
        *,
        ts: datetime | None = None,
        direction: Direction | None = None,
    ) -> Self:
        """One tick of a game's price."""
        return cls(
            ts=datetime.now(UTC) if ts is None else ts,
            source=source,
            doc_type=DocType.GAME_TICK,
            session_id=session_id,
            seq=seq,
            direction=direction or Direction.RECEIVED,
            raw_json=to_json(data),
            game_id=game_id,
            tick=tick,
            price=price,  # type: ignore[arg-type]  # made a float, or refused, by __post_init__
            **payload.game_state(data),
        )

    @classmethod
    def from_player_action(
        cls,
        action_type: str,
        data: Any,
        source: EventSource,
        session_id: str,
        seq: int,
        game_id: str | None = None,
        player_id: str | None = None,
        username: str | None = None,
        *,
        ts: datetime | None = None,
        direction: Direction | None = None,
    ) -> Self:
        """Something a player did: buy, sell, sidebet and the like."""
        tick, price = payload.position_of(data)
        return cls(
            ts=datetime.now(UTC) if ts is None else ts,
            source=source,
            doc_type=DocType.PLAYER_ACTION,
            session_id=session_id,
            seq=seq,
            direction=direction or Direction.SENT,
            raw_json=to_json(data),
            game_id=game_id,
            player_id=player_id,
            username=username,
            action_type=action_type,
            tick=tick,
            price=price,
            **payload.game_state(data),
        )

    @classmethod
    def from_server_state(
        cls,
        data: Any,
        source: EventSource,
        session_id: str,
        seq: int,
        game_id: str,
        player_id: str,
        username: str | None = None,
        cash: Number | None = None,
        position_qty: Number | None = None,
        *,
        ts: datetime | None = None,
        direction: Direction | None = None,
    ) -> Self:
        """What the server says of a player's purse; money beyond 20 + 18 digits is InvalidEvent, never rounded."""
        return cls(
            ts=datetime.now(UTC) if ts is None else ts,
            source=source,
            doc_type=DocType.SERVER_STATE,
            session_id=session_id,
            seq=seq,
            direction=direction or Direction.RECEIVED,
            raw_json=to_json(data),
            game_id=game_id,
            player_id=player_id,
            username=username,
            cash=cash,  # type: ignore[arg-type]  # made a Decimal, or refused, by __post_init__
            position_qty=position_qty,  # type: ignore[arg-type]  # likewise
            **payload.game_state(data),
        )

    @classmethod
    def from_system_event(
        cls,
        event_type: str,
        data: Any,
        source: EventSource,
        session_id: str,
        seq: int,
        *,
        ts: datetime | None = None,
        direction: Direction | None = None,
    ) -> Self:
        """Something about the recording itself: a connection, a start, an end."""
        return cls(
            ts=datetime.now(UTC) if ts is None else ts,
            source=source,
            doc_type=DocType.SYSTEM_EVENT,
            session_id=session_id,
            seq=seq,
            direction=direction or Direction.RECEIVED,
            raw_json=to_json({"type": event_type, "data": data}),
            game_id=payload.game_id_of(data),
            event_name=event_type,
            **payload.game_state(data),
        )

    @classmethod
    def from_button_event(
        cls,
        button_id: str,
        button_category: str,
        data: Any,
        source: EventSource,
        session_id: str,
        seq: int,
        game_id: str | None = None,
        player_id: str | None = None,
        username: str | None = None,
        tick: int | None = None,
        price: Number | None = None,
        sequence_id: str | None = None,
        sequence_position: int | None = None,
        *,
        ts: datetime | None = None,
        direction: Direction | None = None,
    ) -> Self:
        """A button the player pressed, with its place in a sequence of presses."""
        return cls(
            ts=datetime.now(UTC) if ts is None else ts,
            source=source,
            doc_type=DocType.BUTTON_EVENT,
            session_id=session_id,
            seq=seq,
            direction=direction or Direction.SENT,
            raw_json=to_json(data),
            game_id=game_id,
            player_id=player_id,
            username=username,
            tick=tick,
            price=price,  # type: ignore[arg-type]  # made a float, or refused, by __post_init__
            button_id=button_id,
            button_category=button_category,
            sequence_id=sequence_id,
            sequence_position=sequence_position,
            **payload.game_state(data),
        )

    @classmethod
    def from_complete_game(
        cls,
        game_data: Mapping[str, Any],
        source: EventSource,
        session_id: str,
        seq: int,
        *,
        ts: datetime | None = None,
        direction: Direction | None = None,
    ) -> Self:
        """A whole game out of the feed's gameHistory, where ``id`` is the game's id."""
        if not isinstance(game_data, Mapping):
            raise InvalidEvent(f"game_data is {shown(game_data)}: not an object")
        return cls(
            ts=datetime.now(UTC) if ts is None else ts,
            source=source,
            doc_type=DocType.COMPLETE_GAME,
            session_id=session_id,
            seq=seq,
            direction=direction or Direction.RECEIVED,
            raw_json=to_json(game_data),
            game_id=payload.complete_game_id_of(game_data),
            **payload.game_state(game_data),
        )


_TEXT = (
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
)
_WHOLE = ("seq", "tick", "cooldown_timer", "trade_count", "sequence_position")
_texts = attrgetter(*_TEXT)
_wholes = attrgetter(*_WHOLE)
_getters = [attrgetter(name) for name in BATCH_SCHEMA.names]


def events_to_table(events: Sequence[EventEnvelope]) -> pa.Table:
    """The events as one table of :data:`vectra_analytics.schema.BATCH_SCHEMA`, in their order."""
    arrays = []
    for field, get in zip(BATCH_SCHEMA, _getters, strict=True):
        values = list(map(get, events))
        if field.nullable and values.count(None) == len(values):
            arrays.append(pa.nulls(len(values), field.type))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=BATCH_SCHEMA)
