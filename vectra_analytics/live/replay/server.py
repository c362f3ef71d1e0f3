"""A Socket.IO server on this machine that plays a script to whoever is connected."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from typing import IO, Any

from vectra_analytics.errors import VectraError
from vectra_analytics.exact_values import to_json
from vectra_analytics.live.replay.script import FeedEvent, Script
from vectra_analytics.live.replay.updates import UPDATE, ConnectSnapshot

_HOST = "127.0.0.1"  # and no other: a recording may name players
# What may wait for a client. One that polls gets all of it at once, and python-engineio takes 16 packets of that.
_MOST_WAITING, _MOST_WAITING_POLLED = 1000, 10
_LOOK_AGAIN_S = 0.005
_GOODBYE_S = 5.0


async def serve(
    script: Script,
    ready: Callable[[str], object],
    *,
    port: int = 0,
    speed: float = 1.0,
    repeat: int = 1,
    waits_for_client: bool = True,
    sent: IO[str] | None = None,
) -> None:
    """Play a script once, or several times, and end when all is sent; cancelled, end at once.

    Parameters
    ----------
    ready
        Called with the URL as soon as clients can connect.
    port
        Of 127.0.0.1; 0 for any free one.
    speed, repeat
        As in :meth:`Script.at_pace`; :meth:`Script.events` says what becomes of the ids of games.
    waits_for_client
        Whether to begin when the first client has connected, or at once.
    sent
        Gets a JSON line, flushed, with sid, event and data for each event that a client was sent.

    Raises
    ------
    VectraError
        The port cannot be had.
    """
    from aiohttp import web  # only here: an extra that other commands do without

    server = _Server(sent)
    runner = web.AppRunner(server.app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, _HOST, port).start()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise VectraError(f"port {port} of {_HOST} cannot be had: {reason}; give another one, or 0") from error
        ready(f"http://{_HOST}:{runner.addresses[0][1]}")
        if waits_for_client:
            await server.has_had_client.wait()
        await _play(script, server, speed, repeat)
    finally:
        await server.say_goodbye()
        await runner.cleanup()


async def until_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Do the work; SIGINT or SIGTERM cancels it, which is no error."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _play(script: Script, server: "_Server", speed: float, repeat: int) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    for due, event in script.at_pace(speed, repeat):
        await asyncio.sleep(max(0.0, start + due - loop.time()))
        await server.tell(event)
    await server.has_sent_all()


class _Server:
    """Clients come and go; each gets the snapshot first and then every event."""

    def __init__(self, sent: IO[str] | None) -> None:
        import socketio
        from aiohttp import web

        self.app = web.Application()
        self.has_had_client = asyncio.Event()
        # A client has to be told that it is connected before its snapshot comes.
        self._sio = socketio.AsyncServer(async_mode="aiohttp", always_connect=True)
        self._sio.attach(self.app)
        self._sio.on("connect", self._welcome)
        self._sio.on("disconnect", self._forget)
        self._clients: dict[str, None] = {}  # in the order in which they came
        self._snapshot = ConnectSnapshot()
        self._sent = sent
        self._one_at_a_time = asyncio.Lock()

    async def _welcome(self, sid: str, environ: dict[str, Any]) -> None:
        async with self._one_at_a_time:
            self._clients[sid] = None
            update = self._snapshot.update()
            if update is not None:
                await self._emit(UPDATE, update, [sid])
        self.has_had_client.set()

    async def _forget(self, sid: str, reason: str) -> None:
        self._clients.pop(sid, None)

    async def tell(self, event: FeedEvent) -> None:
        """Send an event to all that are connected."""
        await self._until_few_wait(_MOST_WAITING, _MOST_WAITING_POLLED)
        async with self._one_at_a_time:
            self._snapshot.see(event.name, event.data)
            await self._emit(event.name, event.data, list(self._clients))

    async def _emit(self, name: str, data: Any, sids: list[str]) -> None:
        for sid in sids:
            if sid not in self._clients:
                continue  # it went meanwhile
            if self._sent is not None:
                self._sent.write(to_json({"sid": sid, "event": name, "data": data}) + "\n")
                self._sent.flush()
            await self._sio.emit(name, data, to=sid)  # a cancellation in here comes too late to stop it

    async def has_sent_all(self) -> None:
        """Wait until clients have taken what was sent."""
        await self._until_few_wait(0, 0)

    async def _until_few_wait(self, most: int, most_polled: int) -> None:
        while any(
            socket.queue.qsize() > (most if socket.upgraded else most_polled)
            for socket in self._sio.eio.sockets.values()
            if not socket.closed  # one that is gone without a word is closed when it misses a ping
        ):
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def say_goodbye(self) -> None:
        """Disconnect all clients, and wait until they have read that far."""
        for sid in list(self._clients):
            await self._sio.disconnect(sid)
        sockets = list(self._sio.eio.sockets.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                # A websocket is closed by the client then; one that polls has no connection to close.
                while any(not one.closed and (one.upgraded or one.queue.qsize()) for one in sockets):
                    await asyncio.sleep(_LOOK_AGAIN_S)
        for one in sockets:
            await one.close(wait=False)
        await self._sio.shutdown()
