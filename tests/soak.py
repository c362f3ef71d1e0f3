"""A feed of many games at 50 times its speed, whose server is killed and whose recorder is stopped, again and again.

``make soak`` runs it for ten minutes: ``python -m tests.soak --seconds 600 --kills 10 --stops 2``.
"""

import argparse
import json
import re
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.live import ended, recording, replaying, sent_by_connection, stored_by_connection
from vectra_analytics import EventStoreQuery

SAMPLES = sorted((Path(__file__).resolve().parents[1] / "data_samples").glob("game_*.jsonl"))
SPEED = 50
SESSION = "soak"


@dataclass
class Soak:
    """What happened, and what was found."""

    folder: Path
    n_received: int = 0
    n_refused: int = 0
    n_connected: int = 0
    memory: list[float] = field(default_factory=list)  # of the recorder that ran longest: MB, each second
    n_files: list[int] = field(default_factory=list)  # that it had open

    @property
    def store(self) -> Path:
        """Where it was recorded."""
        return self.folder / "store"


def games_once() -> list[Path]:
    """A recording of each game; the samples have some twice, whose ends were noted a few milliseconds apart."""
    by_game = {re.search(r'"game_id": ?"([^"]+)"', file.read_text())[1]: file for file in reversed(SAMPLES)}  # type: ignore[index]
    return sorted(by_game.values())


def run(folder: Path, seconds: float, n_kills: int, n_stops: int) -> Soak:
    """Play, kill, stop and record; what it gives still has to be checked."""
    soak, log, recordings = Soak(folder), folder / "log", games_once()
    stages = n_kills + 1
    stops = {round((n + 1) * stages / (n_stops + 1) - 0.5) for n in range(n_stops)}  # stages in whose middle it stops
    server, url = replaying(recordings[0::stages], folder / "sent0", "--speed", SPEED, "--repeat", 100, log=log)
    more = ("--session-id", SESSION, "--flush-interval", 1)
    recorder, watch = recording(url, soak.store, *more, log=log), _Watch()
    watch.begin(recorder.pid)
    for stage in range(stages):
        if stage:
            port = url.rpartition(":")[2]
            options = ("--speed", SPEED, "--repeat", 100, "--port", port)
            server, _ = replaying(recordings[stage::stages], folder / f"sent{stage}", *options, log=log)
        time.sleep(seconds / stages / 2)
        if stage in stops:
            _count(soak, ended(recorder))
            watch.end()
            recorder = recording(url, soak.store, *more, log=log)
            watch.begin(recorder.pid)
        time.sleep(seconds / stages / 2)
        if stage < stages - 1:
            server.kill()
            server.communicate()
    _count(soak, ended(recorder))
    watch.end()
    ended(server)
    soak.memory, soak.n_files = max(watch.runs, key=lambda run: len(run[0]))
    return soak


def _count(soak: Soak, said: str) -> None:
    stats = json.loads(said)
    soak.n_received += stats["n_received"]
    soak.n_connected += stats["n_connected"]
    soak.n_refused += sum(stats["refused"].values()) + stats["n_rejected"]


def check(soak: Soak) -> dict[str, Any]:
    """Hold what is stored against what was sent; gives the figures.

    Raises
    ------
    AssertionError
        An event that was received is not stored, is stored twice or is not the one that was sent; or ticks are not
        those that the stored events tell, or their holes are not counted.
    """
    stages = sorted(soak.folder.glob("sent*"), key=lambda file: int(file.name[4:]))
    sent = [events for stage in stages for events in sent_by_connection(stage).values()]
    stored = [events for events in stored_by_connection(soak.store) if events]
    assert soak.n_refused == 0
    assert sum(map(len, stored)) == soak.n_received
    assert len(stored) == len(sent)
    for kept, all_sent in zip(stored, sent, strict=True):
        assert kept == all_sent[: len(kept)]  # whoever was told more was killed before it could read it

    query = EventStoreQuery(soak.store)
    told = _told([json.loads(event)["data"] for events in stored for event in events])
    ticks: dict[str, dict[int, float]] = defaultdict(dict)
    for game_id, tick, price in query.features("ticks", columns=["game_id", "tick", "price"]).rows():
        ticks[game_id][tick] = price
    assert ticks == told
    n_missing = sum(max(game) - min(game) + 1 - len(game) for game in told.values())
    games = query.games()
    assert games["missing_ticks"].sum() == n_missing
    return {
        "events": soak.n_received,
        "connections": len(stored),
        "games": games.height,
        "complete": int(games["is_complete"].sum()),
        "ticks": sum(map(len, told.values())),
        "missing ticks": n_missing,
        "memory, MB": (_typical(soak.memory, 0), _typical(soak.memory, 2)),
        "open files": (_typical(soak.n_files, 0), _typical(soak.n_files, 2)),
    }


def _typical(values: Sequence[float], third: int) -> float:
    """The median of the first, second or last third."""
    size = max(1, len(values) // 3)
    return round(statistics.median(values[third * size : (third + 1) * size] or values), 1)


def _told(updates: list[Any]) -> dict[str, dict[int, float]]:
    """The ticks that updates tell of each game, up to its rug; `ticks` is not made of the `prices` of late clients."""
    told: dict[str, dict[int, float]] = defaultdict(dict)
    rugs: dict[str, int] = {}
    for update in updates:
        game_id = update["gameId"]
        for tick, price in update.get("partialPrices", {}).get("values", {}).items():
            told[game_id].setdefault(int(tick), price)
        if update.get("active") and "price" in update:
            told[game_id][update["tickCount"]] = update["price"]
            if update["rugged"]:
                rugs[game_id] = min(rugs.get(game_id, update["tickCount"]), update["tickCount"])
        for game in update.get("gameHistory", []):
            told[game["id"]] = dict(enumerate(game["prices"]))
            rugs[game["id"]] = len(game["prices"]) - 1
    cut = {g: {t: p for t, p in game.items() if t <= rugs.get(g, t)} for g, game in told.items()}
    return {game_id: game for game_id, game in cut.items() if game}


class _Watch:
    """Memory and open files of a process, each second."""

    def __init__(self) -> None:
        self.runs: list[tuple[list[float], list[int]]] = []
        self._done = threading.Event()
        self._thread = threading.Thread()

    def begin(self, pid: int) -> None:
        """Watch a process."""
        memory: list[float] = []
        n_files: list[int] = []
        self.runs.append((memory, n_files))
        self._done = done = threading.Event()

        def look() -> None:
            while not done.wait(1):
                try:
                    status = Path(f"/proc/{pid}/status").read_text()
                    n_files.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
                    memory.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
                except (OSError, IndexError):
                    return

        self._thread = threading.Thread(target=look)
        self._thread.start()

    def end(self) -> None:
        """Watch it no more."""
        self._done.set()
        self._thread.join()


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--stops", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vectra-soak-") as folder:
        figures = check(run(Path(folder), arguments.seconds, arguments.kills, arguments.stops))
    for name, figure in figures.items():
        print(f"{name}: {figure}")
    before, after = figures["memory, MB"]
    assert after <= 1.2 * before + 20, "memory grew"
    before, after = figures["open files"]
    assert after <= before + 3, "open files grew"


if __name__ == "__main__":
    main()
