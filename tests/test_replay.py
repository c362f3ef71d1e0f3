"""`vectra replay`: a client of the served feed sees what was recorded, at its pace, however it comes and goes."""

import asyncio
import importlib.util
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.builders import NO_REAL_RECORDINGS, REAL_GAMES, REAL_SAMPLES
from tests.test_cli import complaint, vectra
from tests.test_feed_imports import BEYOND, FEED, TRACE, time_of, update
from tests.test_importers import ask, compressed, imported, line, save
from vectra_analytics.live.replay.script import Script
from vectra_analytics.live.replay.updates import ConnectSnapshot

pytest.importorskip("aiohttp", reason='needs aiohttp: pip install "vectra_analytics[record]"')
socketio = pytest.importorskip("socketio", reason='needs python-socketio: pip install "vectra_analytics[record]"')

from vectra_analytics.live.replay.server import serve  # noqa: E402  # what it needs was found

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "data_samples"
GAME = "20251101-9f8a38b2b8194b0a"
PRICES = [1, 1.25, 1.5, 1.125, 1.75, 1.625, 0.0125]  # exact in binary, so equality means equality

Event = tuple[str, tuple[Any, ...]]  # its name, and what the handler was called with


# Recordings to order


def countdown(timer: int) -> bytes:
    """The record of an update before a game."""
    phase = "PRESALE" if timer <= 10_000 else "UNKNOWN"
    return line(0, 1.0, game_id=GAME, active=False, cooldown_timer=timer, phase=phase)


def rug(tick: int, price: float, **changes: Any) -> bytes:
    """The record of an update of the rug."""
    return line(tick, price, game_id=GAME, rugged=True, **changes)


def a_game(*, ghost: bool = True) -> list[bytes]:
    """A game of six ticks and the rug, with two updates before it."""
    lines = [countdown(15_000), countdown(10_000)]
    lines += [line(tick, price, game_id=GAME) for tick, price in enumerate(PRICES[:-1])]
    return [*lines, rug(6, PRICES[-1]), *([rug(8, PRICES[-1])] if ghost else [])]


def long_game(n_ticks: int) -> list[bytes]:
    """A game that has not rugged."""
    return [line(tick, 1 + tick / 8, game_id=GAME) for tick in range(n_ticks)]


def captures(events: Iterable[tuple[str, Any]]) -> list[bytes]:
    """The lines of a raw capture."""
    return [
        json.dumps({"seq": seq, "ts": time_of(seq).isoformat(), "event": name, "data": data}).encode()
        for seq, (name, data) in enumerate(events, 1)
    ]


def said(events: Iterable[tuple[str, Any]]) -> list[Event]:
    """What a client's handler is called with: an event without data has no argument."""
    return [(name, () if data is None else (data,)) for name, data in events]


def told(*sources: Path, repetition: int = 0) -> list[tuple[str, Any]]:
    """The events of a script."""
    return [(event.name, event.data) for event in Script(sources).events(repetition)]


# A feed and its clients


class Client:
    """A Socket.IO client that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[Event] = []
        self.at: list[float] = []
        self.began = 0.0
        self.gone = asyncio.Event()
        self.sid = ""
        self._news = asyncio.Event()
        self._sio = socketio.AsyncClient(reconnection=False)
        self._sio.on("*", self._take)
        self._sio.on("disconnect", self._end)

    async def _take(self, name: str, *arguments: Any) -> None:
        self.got.append((name, arguments))
        self.at.append(time.monotonic())
        self._news.set()

    async def _end(self, reason: str) -> None:
        self.gone.set()

    async def connect(self, url: str, transports: Sequence[str] | None = None) -> None:
        """Connect; events come from now on."""
        self.began = time.monotonic()
        await self._sio.connect(url, transports=transports)
        self.sid = self._sio.get_sid()

    def slow_down(self, seconds: float) -> None:
        """Wait so long before each request over HTTP."""
        engine = self._sio.eio
        send = engine._send_request

        async def send_later(*arguments: Any, **options: Any) -> Any:
            await asyncio.sleep(seconds)
            return await send(*arguments, **options)

        engine._send_request = send_later

    async def until(self, n_events: int) -> None:
        """Wait for so many events."""
        while len(self.got) < n_events:
            self._news.clear()
            await self._news.wait()

    async def leave(self) -> None:
        """Disconnect."""
        await self._sio.disconnect()
        await self.gone.wait()


@asynccontextmanager
async def feed(*sources: Path, **options: Any) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """The URL of a server that plays the sources, and its task; it has ended in the end."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(Script(sources), url.set_result, **{"speed": 1e6} | options))
    either: set[asyncio.Future[Any]] = {task, url}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield (url.result() if url.done() else ""), task
    finally:
        async with asyncio.timeout(60):
            await task


async def with_one_client(*sources: Path, transports: Sequence[str] | None = None, **options: Any) -> Client:
    """A client that was there from the beginning to the end."""
    client = Client()
    async with feed(*sources, **options) as (url, _):
        await client.connect(url, transports)
        await client.gone.wait()
        await client.leave()
    return client


def received(*sources: Path, **options: Any) -> list[Event]:
    """What a client gets from the beginning to the end."""
    return asyncio.run(with_one_client(*sources, **options)).got


# What is sent


@pytest.mark.skipif(not REAL_SAMPLES.exists(), reason=NO_REAL_RECORDINGS)
def test_a_client_gets_every_event_of_a_real_recording_as_it_was() -> None:
    """Two hundred samples, those with ten games in them too, in their order and nothing else."""
    samples = [json.loads(text) for text in REAL_SAMPLES.read_bytes().splitlines()]

    assert received(REAL_SAMPLES) == said((sample["event_type"], sample["data"]) for sample in samples)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_raw_events_are_sent_whatever_they_hold(tmp_path: Path, suffix: str) -> None:
    """A list with a trace header is one argument; numbers beyond 64 bits stay exact; no data is no argument."""
    path = save(tmp_path / "f.jsonl", captures(FEED))

    got = received(compressed(path, suffix) if suffix else path)

    assert got == said(FEED)
    assert ("newSideBet", ([TRACE],)) in got
    assert str(BEYOND) in json.dumps(got)
    assert ("ping", ()) in got


def test_what_the_client_itself_sent_and_the_connection_are_no_part_of_the_feed(tmp_path: Path) -> None:
    """Sent events are left out; Socket.IO's own events are passed over and counted."""
    sent = json.dumps({"ts": time_of(1).isoformat(), "event": "buyOrder", "data": {}, "direction": "sent"}).encode()
    path = save(tmp_path / "f.jsonl", [sent, *captures([("connect", None), ("a", 1), ("disconnect", None)]), b"{"])

    script = Script([path])

    assert [(event.name, event.data) for event in script.events()] == [("a", 1)]
    assert script.n_events == 1
    assert sorted(number for _, number, _ in script.passed_over) == [2, 4, 5]


def test_tick_records_become_the_updates_of_the_feed(tmp_path: Path) -> None:
    """Before a game an update says little; in it the last five prices; the second one of the rug has the whole game."""
    updates = [data for _, data in told(save(tmp_path / "game_1.jsonl", a_game()))]

    assert updates[0] == {"gameId": GAME, "cooldownTimer": 15_000, "allowPreRoundBuys": False}
    assert updates[1] == {"gameId": GAME, "cooldownTimer": 10_000, "allowPreRoundBuys": True}
    assert updates[2] == {
        "gameId": GAME,
        "cooldownTimer": 0,
        "allowPreRoundBuys": False,
        "active": True,
        "rugged": False,
        "tickCount": 0,
        "price": 1,
        "tradeCount": 3,
        "partialPrices": {"startTick": 0, "endTick": 0, "values": {"0": 1}},
    }
    assert updates[7]["partialPrices"] == {
        "startTick": 1,
        "endTick": 5,
        "values": {"1": 1.25, "2": 1.5, "3": 1.125, "4": 1.75, "5": 1.625},
    }
    assert "gameHistory" not in updates[8]
    assert (updates[8]["rugged"], updates[8]["tickCount"], updates[9]["tickCount"]) == (True, 6, 8)
    assert updates[9]["gameHistory"] == [
        {
            "id": GAME,
            "timestamp": 1761824701500,  # 2025-10-30 11:45:01.5, read as UTC
            "prices": PRICES,
            "peakMultiplier": 1.75,
            "rugged": True,
            "gameVersion": "v3",
            "provablyFair": {"serverSeed": None, "serverSeedHash": None},
        }
    ]
    assert len(updates) == 10


@pytest.mark.parametrize(
    "behind",
    [
        [],
        [json.dumps({"type": "game_end", "timestamp": "2025-10-30T11:46:00", "game_id": GAME}).encode()],
        [line(0, game_id="20251101-0000000000000000")],
    ],
    ids=["nothing", "its end", "the next game"],
)
def test_a_rug_that_was_recorded_once_is_repeated_with_the_game(tmp_path: Path, behind: list[bytes]) -> None:
    """Whatever comes behind it, the update with the whole game comes once, before that."""
    updates = [data for _, data in told(save(tmp_path / "game_1.jsonl", [*a_game(ghost=False), *behind]))]

    assert updates[9] == updates[8] | {"gameHistory": updates[9]["gameHistory"]}
    assert updates[9]["gameHistory"][0]["prices"] == PRICES
    assert len(updates) == 10 + (behind != [] and b'"tick"' in behind[0])


def test_a_game_with_a_hole_is_never_told_as_a_whole(tmp_path: Path) -> None:
    """One tick is missing: no gameHistory, and partial prices without it."""
    lines = a_game()
    updates = [data for _, data in told(save(tmp_path / "game_1.jsonl", [*lines[:4], *lines[5:]]))]

    assert not any("gameHistory" in update for update in updates)
    assert list(updates[4]["partialPrices"]["values"]) == ["0", "1", "3"]


def ticks(store: Path) -> list[tuple[Any, ...]]:
    """The canonical ticks, without what only the recording itself knows: times and sources."""
    return ask(store).query("SELECT game_id, tick, price, rugged FROM ticks ORDER BY ALL").rows()


def assert_same_ticks(tmp_path: Path, sources: Sequence[Path], events: Iterable[tuple[str, Any]]) -> None:
    """What a recorder of the feed would store gives the ticks of the recordings."""
    imported(sources, tmp_path / "recorded")
    imported(save(tmp_path / "f.jsonl", captures(events)), tmp_path / "replayed")
    games = ask(tmp_path / "recorded").games().filter("is_complete")["game_id"].to_list()

    assert ticks(tmp_path / "replayed") == ticks(tmp_path / "recorded")
    assert ask(tmp_path / "replayed").query("SELECT DISTINCT game_id FROM complete_game ORDER BY 1")[
        "game_id"
    ].to_list() == sorted(games)


def test_the_feed_of_a_recording_gives_its_ticks(tmp_path: Path) -> None:
    """Received by a client, kept as a raw capture and imported: a plain game, one with a late rug, a reconnect."""
    sources = [
        next(SAMPLES.glob(f"game_{name}*")) for name in ("20251101_120851", "20251102_014556", "20251103_093737")
    ]

    got = received(*sources)

    assert_same_ticks(tmp_path, sources, [(name, data) for name, (data,) in got])


def test_the_feed_of_every_sample_gives_its_ticks(tmp_path: Path) -> None:
    """Torn lines, ghosts, holes, steps back, games in two files, two games in one."""
    assert_same_ticks(tmp_path, [SAMPLES], told(SAMPLES))


@pytest.mark.skipif(not REAL_GAMES.exists(), reason=NO_REAL_RECORDINGS)
def test_the_feed_of_real_recordings_gives_their_ticks(tmp_path: Path) -> None:
    """Whatever went wrong in them; every sixth, to be quick."""
    sources = sorted(REAL_GAMES.glob("*.jsonl"))[::6]

    assert_same_ticks(tmp_path, sources, told(*sources))


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_tick_that_is_told_twice_has_the_same_price_as_in_an_import(tmp_path: Path, is_whole: bool) -> None:
    """The first one counts, but at the rug the rugged one; a rug that comes again earlier is the rug."""
    lines = a_game()[: None if is_whole else -2]
    lines[5:5] = [line(2, 9.0, game_id=GAME), line(1, 7.0, game_id=GAME)]
    if is_whole:
        lines[-2:] = [line(6, 5.0, game_id=GAME), rug(7, 0.015), rug(6, 0.0125)]
    path = save(tmp_path / "game_1.jsonl", lines)

    assert_same_ticks(tmp_path, [path], told(path))


def test_several_recordings_are_played_in_the_order_of_their_first_times(tmp_path: Path) -> None:
    """Whatever their names and kinds."""
    first = save(tmp_path / "z.jsonl", [line(1, game_id="early")])
    second = save(tmp_path / "a.jsonl", captures([("later", 1)]))

    assert (
        [name for name, _ in told(tmp_path)]
        == [name for name, _ in told(second, first)]
        == [
            "gameStateUpdate",
            "later",
        ]
    )


def test_each_repetition_has_games_of_its_own(tmp_path: Path) -> None:
    """The id is new wherever it stands, the same in all places; other ids and texts stay."""
    bet = {"id": "t1", "gameId": GAME, "note": f"see {GAME}, not x{GAME} or 0x{GAME}0"}
    raw = save(tmp_path / "f.jsonl", captures([("standard/newTrade", [TRACE, bet]), ("n", update(1, 2.0, "g9"))]))
    game = save(tmp_path / "game_1.jsonl", a_game())

    got = received(game, raw, repeat=3)

    n = len(got) // 3
    assert n == 12
    for repetition, new in enumerate([GAME, "20251101-9f8a38b200000001", "20251101-9f8a38b200000002"]):
        part = got[repetition * n : (repetition + 1) * n]
        assert {data["gameId"] for _, (data,) in part[:10]} == {new}
        assert part[9][1][0]["gameHistory"][0]["id"] == new
        assert part[10][1][0][1] == {"id": "t1", "gameId": new, "note": f"see {new}, not x{GAME} or 0x{GAME}0"}
        assert part[11][1][0] == update(1, 2.0, "g9")


# When it is sent


def paused(path: Path, *seconds: float) -> Path:
    """A raw capture of events at these seconds of its clock, in this order."""
    start = datetime(2025, 11, 2, 1, 59)
    records = [
        {"ts": (start + timedelta(seconds=at)).isoformat(), "event": "e", "data": number}
        for number, at in enumerate(seconds)
    ]
    return save(path, [json.dumps(record).encode() for record in records])


def test_events_are_due_at_their_recorded_distances_by_the_speed(tmp_path: Path) -> None:
    """An hour's pause is five seconds; a step back is no time, and what follows it keeps its distances."""
    script = Script([paused(tmp_path / "f.jsonl", 0, 0.5, 3600, 1, 3, 3)])

    assert [due for due, _ in script.at_pace(1)] == [0, 0.5, 5.5, 5.5, 7.5, 7.5]
    assert [due for due, _ in script.at_pace(2, 2)] == [0, 0.25, 2.75, 2.75, 3.75, 3.75, *(3.75, 4, 6.5, 6.5, 7.5, 7.5)]


def test_a_client_gets_events_when_they_are_due(tmp_path: Path) -> None:
    """Not before, and not long after, on a machine that may be busy."""
    path, due = paused(tmp_path / "f.jsonl", 0, 1, 3), [0, 0.5, 1.5]

    client = asyncio.run(with_one_client(path, speed=2))

    came = [at - client.began for at in client.at]
    assert all(earliest <= at <= earliest + 3 for earliest, at in zip(due, came, strict=True))


def test_without_waiting_events_pass_unheard(tmp_path: Path) -> None:
    """--no-wait-for-client plays to nobody, and ends."""
    path = save(tmp_path / "f.jsonl", captures(FEED))
    sent = tmp_path / "sent.jsonl"

    done = vectra("replay", path, "--no-wait-for-client", "--speed", 1e6, "--sent", sent)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"replaying {len(FEED)} events of {path} at http://127.0.0.1:" in done.stdout
    assert done.stdout.endswith("(speed 1e+06x)\n")
    assert sent.read_bytes() == b""


def test_a_client_that_polls_loses_nothing(tmp_path: Path) -> None:
    """It gets all that waits in one answer, and python-engineio takes 16 packets of one: never do more wait."""
    events = [("e", number) for number in range(100)]
    path = save(tmp_path / "f.jsonl", captures(events))

    async def poll_slowly() -> Client:
        client = Client()
        client.slow_down(0.05)
        async with feed(path) as (url, _):
            await client.connect(url, ["polling"])
            await client.gone.wait()
            await client.leave()
            client.began = time.monotonic()
        return client

    client = asyncio.run(poll_slowly())

    assert client.got == said(events)
    assert time.monotonic() - client.began < 4  # nobody waits for it to close a connection that it has not


# Who gets it


def test_a_client_that_comes_later_first_gets_the_game_so_far(tmp_path: Path) -> None:
    """A snapshot with all prices up to its tick, then what comes: nothing twice, nothing left out."""
    path = save(tmp_path / "game_1.jsonl", long_game(300))

    async def two() -> tuple[Client, Client]:
        early, late = Client(), Client()
        async with feed(path, speed=50) as (url, _):
            await early.connect(url)
            await early.until(20)
            await late.connect(url)
            for client in (early, late):
                await client.gone.wait()
                await client.leave()
        return early, late

    early, late = asyncio.run(two())

    (name, (snapshot,)), *others = late.got
    tick = snapshot["tickCount"]
    assert len(early.got) == 300
    assert 19 <= tick < 299
    assert name == "gameStateUpdate"
    assert snapshot["prices"] == [1 + at / 8 for at in range(tick + 1)]
    assert "partialPrices" not in snapshot
    assert snapshot["price"] == snapshot["prices"][-1]
    assert others == early.got[tick + 1 :]


def test_what_was_sent_is_kept_for_each_connection(tmp_path: Path) -> None:
    """A client leaves and comes again; the feed goes on meanwhile, and --sent has what each connection got."""
    path, sent = save(tmp_path / "game_1.jsonl", long_game(400)), tmp_path / "sent.jsonl"

    async def twice() -> tuple[Client, Client]:
        before, after = Client(), Client()
        with sent.open("a") as sink:
            async with feed(path, speed=50, sent=sink) as (url, _):
                await before.connect(url)
                await before.until(30)
                await before.leave()
                await asyncio.sleep(0.1)
                await after.connect(url)
                await after.gone.wait()
                await after.leave()
        return before, after

    before, after = asyncio.run(twice())

    written = [json.loads(text) for text in sent.read_bytes().splitlines()]
    assert all(list(one) == ["sid", "event", "data"] for one in written)
    for client in (before, after):
        own = [(one["event"], (one["data"],)) for one in written if one["sid"] == client.sid]
        assert client.got == own[: len(client.got)]
        assert len(own) - len(client.got) <= (5 if client is before else 0)  # on their way as it left
    assert {one["sid"] for one in written} == {before.sid, after.sid}
    first_after, last_before = after.got[0][1][0]["tickCount"], before.got[-1][1][0]["tickCount"]
    assert first_after > last_before + 5
    assert after.got[-1][1][0]["tickCount"] == 399


def test_a_snapshot_tells_what_was_seen_of_the_feed() -> None:
    """Prices come from lists, partial prices and updates; where one is unknown, and between games, there are none."""
    seen = ConnectSnapshot()
    assert seen.update() is None

    seen.see("newChatMessage", {"gameId": "g1"})
    assert seen.update() is None

    joined_late = update(7, 1.5, "g1")
    seen.see("gameStateUpdate", joined_late)
    assert seen.update() == joined_late

    seen.see("gameStateUpdate", [TRACE, update(3, 1.75, "g1", prices=[1, 1.25, 1.5, 1.75])])
    seen.see("gameStateUpdate", update(6, 2.5, "g1", partialPrices={"values": {"4": 2, "5": 2.25, "x": 1}}))
    assert seen.update() == update(6, 2.5, "g1", prices=[1, 1.25, 1.5, 1.75, 2, 2.25, 2.5])

    rugged = update(8, 0.01, "g1", rugged=True)
    seen.see("gameStateUpdate", rugged)
    assert seen.update() == rugged

    between = {"gameId": "g2", "cooldownTimer": 14900, "allowPreRoundBuys": False}
    seen.see("gameStateUpdate", between)
    assert seen.update() == between


# The command


@contextmanager
def command(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a shell would run it, and the line that says that clients can connect."""
    code = "from vectra_analytics.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "replay", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "is_connected"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals, is_connected: bool) -> None:
    """Exit 0, no word, the client disconnected, and every line of --sent whole."""
    path, sent = save(tmp_path / "game_1.jsonl", long_game(2000)), tmp_path / "sent.jsonl"

    async def connect_and_signal(process: subprocess.Popen[str], url: str) -> None:
        client = Client()
        if is_connected:
            await client.connect(url)
            await client.until(5)
        process.send_signal(number)
        if is_connected:
            await client.gone.wait()
            await client.leave()
            assert client.got == [
                (one["event"], (one["data"],)) for one in map(json.loads, sent.read_bytes().splitlines())
            ]

    with command(path, "--speed", 10, "--json", "--sent", sent) as (process, ready):
        about = json.loads(ready)
        asyncio.run(connect_and_signal(process, about["url"]))
        assert process.wait(timeout=30) == 0
        assert process.communicate() == ("", "")

    assert about == {"url": about["url"], "n_events": 2000, "n_files": 1, "speed": 10, "repeat": 1}


def test_it_says_where_it_serves_and_what_it_left_out(tmp_path: Path) -> None:
    """One line as soon as clients can connect; lines of no event are counted on stderr; then it ends by itself."""
    path = save(tmp_path / "game_1.jsonl", [b"{torn", *a_game()])

    async def connect(url: str) -> Client:
        client = Client()
        await client.connect(url)
        await client.gone.wait()
        await client.leave()
        return client

    with command(path, "--speed", 500) as (process, ready):
        url = ready.removeprefix(f"replaying 10 events of {path} at ").removesuffix(" (speed 500x)\n")
        assert url.startswith("http://127.0.0.1:")
        client = asyncio.run(connect(url))
        assert process.wait(timeout=30) == 0
        out, err = process.communicate()

    assert len(client.got) == 10
    assert out == ""
    assert err == f"vectra: passed over 1 line of no event, such as {path}:1: no whole record is in it\n"


def test_what_cannot_be_played_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is missing, empty, foreign or without events; a port that is taken; a library that is missing."""
    game = save(tmp_path / "game_1.jsonl", a_game())
    empty, foreign = save(tmp_path / "e.jsonl", []), save(tmp_path / "x.jsonl", [b'{"a": 1}'])
    started = json.dumps({"type": "game_start", "timestamp": "2025-10-30T11:45:00", "game_id": GAME}).encode()

    assert "no such file or folder" in complaint(vectra("replay", tmp_path / "gone.jsonl"))
    assert "is empty" in complaint(vectra("replay", empty))
    assert "is no recording" in complaint(vectra("replay", foreign))
    assert "no event of the feed is in" in complaint(vectra("replay", save(tmp_path / "s.jsonl", [started])))
    assert "cannot write" in complaint(vectra("replay", game, "--sent", tmp_path / "no" / "sent.jsonl"))
    assert "--speed" in complaint(vectra("replay", game, "--speed", 0))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1 cannot be had" in complaint(vectra("replay", game, "--port", port))

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert 'pip install "vectra_analytics[record]"' in complaint(vectra("replay", game))


def test_a_parquet_file_is_no_feed(tmp_path: Path) -> None:
    """What the reference stored is imported, not replayed; the line says what can be."""
    import polars as pl

    path = tmp_path / "t.parquet"
    pl.DataFrame({"ts": ["2025-12-17T12:00:00"], "doc_type": ["ws_event"]}).write_parquet(path)

    assert "parquet" in complaint(vectra("replay", path)).lower()
