"""EventStoreService: what is published on a bus is stored; nothing is dropped, and nothing is lost without a count."""

import hashlib
import logging
import os
import threading
import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from vectra_analytics.catalog import Catalog
from vectra_analytics.envelope import DocType, EventEnvelope, EventSource
from vectra_analytics.errors import CommitFailed, InvalidEvent, VectraError
from vectra_analytics.live import bus_events
from vectra_analytics.live.event_bus import Callback, Events
from vectra_analytics.live.raw_level import RawLevel
from vectra_analytics.live.recording_status import RecordingStatus
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.writer import ParquetWriter

_LOG = logging.getLogger(__name__)
_GAMES_KNOWN = 10_000  # complete games whose content is remembered; the catalog knows all of them
_STATUS_SECONDS = 1.0
_RETRY_SECONDS = 0.1


class Bus(Protocol):
    """What a service needs of a bus."""

    def subscribe(self, event: Events, callback: Callback) -> object:
        """Call ``callback`` with ``{"name": ..., "data": ...}`` when ``event`` is published."""

    def unsubscribe(self, event: Events, callback: Callback) -> object:
        """Call it no more."""


class EventStoreService:
    """Store what is published on a bus.

    Parameters
    ----------
    event_bus
        An :class:`~vectra_analytics.EventBus`, or any object with its ``subscribe`` and ``unsubscribe``.
    paths
        The store; by default ``$RUGS_DATA_DIR``, else ``~/rugs_data``.
    session_id
        Names this recording; one that was used before goes on behind its highest stored seq. By default a new one.
    buffer_size, flush_interval
        As those of :class:`~vectra_analytics.ParquetWriter`.
    raw
        How much of a gameStateUpdate's JSON is kept: ``all`` of it, its ``changes``, or ``none`` but what ticks are
        made of; see :class:`~vectra_analytics.live.raw_level.RawLevel`.

    Notes
    -----
    A service starts paused, and stores from :meth:`resume` on. An event is counted as soon as the writer has taken it;
    it is durable after :meth:`flush`, or within ``flush_interval`` seconds by itself. Where the store cannot be written
    (a full disk) a publisher waits until it can, or until the service is paused or stopped; nothing is dropped before.
    """

    def __init__(
        self,
        event_bus: Bus,
        paths: EventStorePaths | str | os.PathLike[str] | None = None,
        session_id: str | None = None,
        buffer_size: int = 100,
        flush_interval: float = 5.0,
        *,
        raw: str = "all",
    ) -> None:
        self._bus = event_bus
        self._paths = EventStorePaths.of(paths)
        self._buffer_size, self._flush_interval = buffer_size, flush_interval
        if session_id is None:
            session_id = f"live-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        self._to = bus_events.Session(session_id, RawLevel(raw))
        self._state = threading.RLock()  # start, stop, pause
        self._order = threading.Lock()  # one event at a time: seq is the order in the store
        self._writer: ParquetWriter | None = None
        self._is_started = False
        self._is_paused = True
        self._stopping = threading.Event()
        self._callbacks: dict[Events, Callback] = {}
        self._reporter: threading.Thread | None = None
        self._event_count = 0
        self._while_paused = 0
        self._n_rejected = 0
        self._refused: Counter[str] = Counter()
        self._games: OrderedDict[str, bytes] = OrderedDict()  # complete games, with a hash of their content
        self._last_event_at: float | None = None

    @property
    def session_id(self) -> str:
        """The session of all events of this service."""
        return self._to.session_id

    @property
    def event_count(self) -> int:
        """Events that were taken, complete games among them."""
        return self._event_count

    @property
    def is_paused(self) -> bool:
        """Whether events pass by unstored."""
        return self._is_paused

    @property
    def is_recording(self) -> bool:
        """Whether events are stored: started and not paused."""
        return self._is_started and not self._is_paused

    @property
    def recorded_game_ids(self) -> set[str]:
        """The complete games that were taken, the last 10,000 of them."""
        with self._order:
            return set(self._games)

    def start(self) -> None:
        """Open the store and subscribe; paused until :meth:`resume`. Nothing happens where it is started.

        Raises
        ------
        VectraError
            Where the store cannot be made or opened.
        """
        with self._state:
            if self._is_started:
                return
            if self._writer is None:  # else a stop has failed, and its events still wait in it
                self._writer = ParquetWriter(self._paths, self._buffer_size, self._flush_interval)
                with Catalog(self._paths) as catalog:
                    self._to.seq = max(self._to.seq, (catalog.highest_seq(self.session_id) or 0) + 1)
            self._stopping.clear()
            self._is_started = True
            self._reporter = threading.Thread(target=self._report, name="vectra-recording-status", daemon=True)
            self._reporter.start()
            for event in Events:
                self._callbacks[event] = self._callback(event)
                self._bus.subscribe(event, self._callbacks[event])

    def stop(self) -> None:
        """Unsubscribe, and make all that was taken durable; it can be started again.

        Raises
        ------
        CommitFailed
            Where that is not possible now: the events wait in memory, and another ``stop`` tries again.
        """
        with self._state:
            if self._is_started:
                for event, callback in self._callbacks.items():
                    self._bus.unsubscribe(event, callback)
                self._callbacks = {}
                self._stopping.set()
                with self._order:  # who was called before is done
                    self._is_started = False
                    self._is_paused = True
                assert self._reporter is not None
                self._reporter.join()
            if self._writer is not None:
                try:
                    self._writer.close()
                except CommitFailed:
                    self._status().write(self.stats())
                    raise
                self._n_rejected += self._writer.n_rejected
                self._writer = None
                self._status().write(self.stats())

    def __enter__(self) -> "EventStoreService":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def flush(self) -> list[Path] | None:
        """Wait until all that was taken is durable; the files committed since the last call, None if none."""
        writer = self._writer
        return writer.flush() if writer is not None else None

    def pause(self) -> None:
        """Let events pass by; when this returns, no further one is taken."""
        with self._state:
            self._is_paused = True
            with self._order:
                pass

    def resume(self) -> None:
        """Store events from now on."""
        with self._state:
            self._is_paused = False

    def toggle_recording(self) -> bool:
        """Pause where it records, else resume; returns whether events are stored now, if it is started."""
        with self._state:
            if self._is_paused:
                self.resume()
            else:
                self.pause()
            return not self._is_paused

    def note(self, event_type: str, data: Any) -> None:
        """Store a system_event: a connection that was lost, say. Pauses count for it, too."""
        self._take(lambda to: iter([self._noted(event_type, data, to)]))

    def _noted(self, event_type: str, data: Any, to: bus_events.Session) -> EventEnvelope:
        return EventEnvelope.from_system_event(event_type, data, EventSource.PUBLIC_WS, to.session_id, to.seq)

    def stats(self) -> dict[str, Any]:
        """Counts since the service was made.

        Returns
        -------
        dict
            ``event_count``; ``refused``, events that could not be taken, by reason; ``while_paused``, those that passed
            by; ``buffer_count``, taken and not yet durable; ``n_rejected``, refused by a commit since their identity or
            their game is stored with other content; ``amounts_unreadable``, money that was stored as NULL;
            ``store_error``, why the store cannot be written now; and who and where.
        """
        writer = self._writer
        failure = writer.failure if writer is not None else None
        return {
            "session_id": self.session_id,
            "data_dir": str(self._paths.data_dir),
            "is_recording": self.is_recording,
            "is_paused": self._is_paused,
            "event_count": self._event_count,
            "game_count": len(self._games),
            "refused": dict(self._refused),
            "while_paused": self._while_paused,
            "buffer_count": writer.buffer_count if writer is not None else 0,
            "n_rejected": self._n_rejected + (writer.n_rejected if writer is not None else 0),
            "amounts_unreadable": self._to.amounts_unreadable,
            "store_error": str(failure) if failure is not None else None,
            "last_event_at": self._last_event_at,
        }

    def _callback(self, event: Events) -> Callback:
        def take(published: dict[str, Any]) -> None:
            data = published.get("data") if isinstance(published, dict) and "name" in published else published
            self._take(lambda to: bus_events.envelopes(event, data, to))

        return take

    def _take(self, made_by: Callable[[bus_events.Session], Any]) -> None:
        with self._order:
            if self._stopping.is_set() or not self._is_started:
                return
            if self._is_paused:
                self._while_paused += 1
                return
            try:
                for envelope in made_by(self._to):
                    if envelope.doc_type is not DocType.COMPLETE_GAME or self._is_new(envelope):
                        self._store(envelope)
            except InvalidEvent as error:
                self._refuse(_reason(error))
            except _GivenUp:
                self._refuse("the store could not be written until recording ended")
            except VectraError:
                raise
            except Exception as error:  # objects of programs may fail in any way when they are looked at
                self._refuse(f"an event that cannot be read: {type(error).__name__}")
            finally:
                for game in self._to.games_refused:
                    self._refuse(_reason(game))
                self._to.games_refused.clear()

    def _store(self, envelope: EventEnvelope) -> None:
        writer = self._writer
        assert writer is not None
        while True:
            try:
                writer.write(envelope)
            except CommitFailed as error:
                if self._is_paused or self._stopping.wait(_RETRY_SECONDS):
                    raise _GivenUp from error
            else:
                self._to.seq += 1
                self._event_count += 1
                self._last_event_at = time.time()
                if envelope.doc_type is DocType.COMPLETE_GAME:
                    self._remember(envelope)
                return

    def _is_new(self, game: EventEnvelope) -> bool:
        """Whether this game's story is not known; another story of a known game goes to the store, which rejects it."""
        return self._games.get(game.game_id or "") != _content(game)

    def _remember(self, game: EventEnvelope) -> None:
        self._games[game.game_id or ""] = _content(game)
        if len(self._games) > _GAMES_KNOWN:
            self._games.popitem(last=False)

    def _refuse(self, reason: str) -> None:
        if reason not in self._refused:
            _LOG.warning("an event was refused: %s; further ones are counted", reason)
        self._refused[reason] += 1

    def _status(self) -> RecordingStatus:
        return RecordingStatus(self._paths, self.session_id)

    def _report(self) -> None:
        status = self._status()
        status.clear_others()
        error = None
        while True:
            stats = self.stats()
            status.write(stats)
            if stats["store_error"] and not error:
                _LOG.error("%s", stats["store_error"])
            error = stats["store_error"]
            if self._stopping.wait(_STATUS_SECONDS):
                return


class _GivenUp(VectraError):
    """The store could not be written, and recording ended."""


def _reason(error: InvalidEvent) -> str:
    """The error without the values of one event, so that many can be counted together."""
    text = str(error)
    return text.partition(":")[0] if text.startswith("data cannot be kept") else text.rpartition(": ")[2]


def _content(game: EventEnvelope) -> bytes:
    return hashlib.blake2b(game.raw_json.encode(), digest_size=16).digest()
