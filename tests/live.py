"""A replayed feed and a recorder, as processes; what one sent, and what the other stored."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vectra_analytics import EventStoreQuery
from vectra_analytics.exact_values import to_json

NEEDS_SOCKETIO = "needs python-socketio and aiohttp: pip install 'vectra_analytics[record]'"


def vectra(*arguments: Any, log: Path, **environment: str) -> "subprocess.Popen[str]":
    """The command, running; what it says on stderr goes into the log."""
    with log.open("a") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "vectra_analytics", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )


def replaying(sources: Sequence[Path], sent: Path, *more: Any, log: Path) -> tuple["subprocess.Popen[str]", str]:
    """A server that plays recordings, and its address."""
    server = vectra("replay", *sources, "--sent", sent, *more, log=log)
    assert server.stdout is not None
    line = server.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, f"{line!r}\n{log.read_text()}"
    return server, found[0]


def recording(url: str, store: Path, *more: Any, log: Path) -> "subprocess.Popen[str]":
    """A recorder of that feed."""
    return vectra("--data-dir", store, "record", "--url", url, "--json", *more, log=log)


def ended(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM) -> str:
    """End a process by a signal; what it said at last."""
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said


def sent_by_connection(sent: Path) -> dict[str, list[str]]:
    """The events that a server sent to each client, as the recorder keeps them."""
    found: dict[str, list[str]] = {}
    for line in sent.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        found.setdefault(event["sid"], []).append(to_json({"event": event["event"], "data": event["data"]}))
    return found


def stored_by_connection(store: Path) -> list[list[str]]:
    """The events of the feed that one session stored, connection by connection."""
    sql = """
        SELECT event_name, doc_type, raw_json FROM events
        WHERE doc_type IN ('ws_event', 'system_event') ORDER BY seq
    """
    connections: list[list[str]] = []
    for name, doc_type, raw in EventStoreQuery(store).query(sql).rows():
        if doc_type == "ws_event":
            connections[-1].append(raw)
        elif name == "connected":
            connections.append([])
    return connections


def wait_for_events(store: Path, n: int, seconds: float = 60) -> None:
    """Wait until so many events are durable."""
    deadline = time.monotonic() + seconds
    while EventStoreQuery(store).count_events() < n:
        assert time.monotonic() < deadline, f"{EventStoreQuery(store).count_events()} of {n} events"
        time.sleep(0.1)
