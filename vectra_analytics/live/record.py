"""``vectra record``: the public feed, as it comes, into a store; it is made to run for weeks by itself."""

import asyncio
import contextlib
import importlib.util
import random
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from vectra_analytics.errors import VectraError
from vectra_analytics.live.event_bus import EventBus, Events
from vectra_analytics.live.service import EventStoreService
from vectra_analytics.maintenance.compaction import AutoCompaction

URL_VARIABLE = "VECTRA_FEED_URL"
_NEEDED = {"socketio": "python-socketio", "aiohttp": "aiohttp"}
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds before another attempt to connect
_STEADY_SECONDS = 20.0  # a connection that held so long begins anew with short pauses
_ENDS = ("", "client disconnect", "server disconnect", "transport error")  # of a connection, as the library names them
_LARGEST_MESSAGE = 1 << 26  # bytes; the largest updates seen have 0.4 MB


class Recorder:
    """A client of the feed that publishes all that it is sent, connects again for ever, and notes when it did.

    Parameters
    ----------
    url
        The feed's, as a browser has it; with its query.
    bus
        Where events are published, as ``Events.WS_RAW_EVENT``.
    service
        Notes ``connected`` and ``disconnected`` as system_events.
    tell
        Is told in a line what happens to the connection.
    """

    def __init__(
        self, url: str, bus: EventBus, service: EventStoreService, tell: Callable[[str], None] = lambda line: None
    ) -> None:
        missing = [package for name, package in _NEEDED.items() if importlib.util.find_spec(name) is None]
        if missing:
            raise VectraError(f'recording needs {", ".join(missing)}: pip install "vectra_analytics[record]"')
        if urlsplit(url).scheme not in ("http", "https", "ws", "wss") or not urlsplit(url).netloc:
            raise VectraError(f"{url!r} is no address of a feed; give one that begins with https:// or http://")
        self._url, self._bus, self._service, self._tell = url, bus, service, tell
        self._host = urlsplit(url).netloc.rpartition("@")[2]  # a query, or a user, may be a secret
        self._stopping = asyncio.Event()
        self.n_received = 0
        self.n_connected = 0
        self.is_connected = False
        self.last_received = 0.0  # monotonic seconds

    def stop(self) -> None:
        """Let :meth:`run` end."""
        self._stopping.set()

    async def run(self) -> None:
        """Record until :meth:`stop`, SIGTERM or Ctrl-C."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):  # no main thread, or Windows
                loop.add_signal_handler(number, self.stop)
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            why = await self._connection()
            if self._stopping.is_set():
                break
            pause = _FIRST_PAUSE if time.monotonic() - began > _STEADY_SECONDS else pause
            wait = pause * random.uniform(0.5, 1)  # not all recorders at once, when a server comes back
            self._tell(f"{self._host}: {why}; connecting again in {wait:.0f} s")
            pause = min(2 * pause, _LONGEST_PAUSE)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)

    async def _connection(self) -> str:
        """One connection, from its start to its end; why it ended."""
        import socketio
        from socketio.exceptions import ConnectionError as NotConnected

        # A client for each connection: nothing of a broken one stays, no task and no file.
        client = socketio.AsyncClient(
            reconnection=False, handle_sigint=False, websocket_extra_options={"max_msg_size": _LARGEST_MESSAGE}
        )
        client.on("*", self._received)
        client.on("connect", self._connected)
        client.on("disconnect", self._disconnected)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            try:
                await client.connect(self._url, transports=["websocket"], wait_timeout=10)
            except (NotConnected, OSError, TimeoutError) as error:
                return f"cannot connect: {error}"
            ending = asyncio.ensure_future(client.wait())
            await asyncio.wait([ending, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                await client.disconnect()
                await asyncio.wait([ending], timeout=2)
                ending.cancel()
            return "the connection was lost"
        finally:
            stopping.cancel()
            self._disconnected("")

    def _connected(self, *sent: Any) -> None:
        if sent or self.is_connected:  # an event of the feed that is named as the library's own
            self._received("connect", *sent)
            return
        self.n_connected += 1
        self.is_connected = True
        self._service.note("connected", {"host": self._host, "n_connected": self.n_connected})
        self._tell(f"{self._host}: connected")

    def _disconnected(self, *sent: Any) -> None:
        reason = sent[0] if len(sent) == 1 and isinstance(sent[0], str) else None
        if reason not in _ENDS:
            self._received("disconnect", *sent)  # likewise
        elif self.is_connected:
            self.is_connected = False
            self._service.note("disconnected", {"host": self._host, "reason": reason})

    def _received(self, name: str, *arguments: Any) -> None:
        self.n_received += 1
        self.last_received = time.monotonic()
        # What has a trace header is sent as two arguments, and kept as the list that other recorders make of them.
        data = arguments[0] if len(arguments) == 1 else list(arguments) or None
        at = datetime.now(UTC)
        self._bus.publish(Events.WS_RAW_EVENT, {"event": name, "data": data, "source": "public_ws", "timestamp": at})


async def _say_each_second(recorder: Recorder, service: EventStoreService, say: Callable[[str], None]) -> None:
    before, then = recorder.n_received, time.monotonic()
    while True:
        await asyncio.sleep(1)
        now = time.monotonic()
        say(status_line(recorder, service, (recorder.n_received - before) / (now - then)))
        before, then = recorder.n_received, now


def status_line(recorder: Recorder, service: EventStoreService, rate: float) -> str:
    """How the recording stands, in a line."""
    stats = service.stats()
    if stats["store_error"]:
        return str(stats["store_error"])
    silent = (
        f"last event {time.monotonic() - recorder.last_received:.0f} s ago" if recorder.last_received else "waiting"
    )
    return (
        f"{'connected' if recorder.is_connected else 'not connected'}  {rate:.1f} events/s  "
        f"{stats['event_count']:,} events, {stats['game_count']:,} whole games  {silent}  "
        f"{stats['buffer_count']:,} not yet durable  {sum(stats['refused'].values()):,} refused"
    )


def record(
    recorder: Recorder,
    service: EventStoreService,
    say: Callable[[str], None] | None = None,
    *,
    compaction: AutoCompaction | None = None,
) -> dict[str, Any]:
    """Record until SIGTERM or Ctrl-C; returns the counts of service and connection.

    Parameters
    ----------
    service
        The recorder's; it is started and resumed here, and stopped when all is stored.
    say
        Is given :func:`status_line` each second.
    compaction
        Runs meanwhile; one that is at work when recording ends is waited for, when all is stored.
    """

    async def run() -> None:
        saying = None if say is None else asyncio.ensure_future(_say_each_second(recorder, service, say))
        try:
            await recorder.run()
        finally:
            if saying is not None:
                saying.cancel()

    with compaction or contextlib.nullcontext(), service:
        service.resume()
        asyncio.run(run())
    return {**service.stats(), "n_received": recorder.n_received, "n_connected": recorder.n_connected}
