"""The short form of `make soak`: a killed server, a stopped recorder, and every event stored once."""

from pathlib import Path

import pytest

from tests import soak
from tests.live import NEEDS_SOCKETIO

pytest.importorskip("socketio", reason=NEEDS_SOCKETIO)
pytest.importorskip("aiohttp", reason=NEEDS_SOCKETIO)


def test_every_event_received_is_stored_once(tmp_path: Path) -> None:
    """Two servers killed, the recorder stopped once: no event lost, doubled or changed, and each hole is counted."""
    figures = soak.check(soak.run(tmp_path, seconds=20, n_kills=2, n_stops=1))

    assert figures["events"] > 500
    assert figures["connections"] >= 3
    assert figures["complete"] > 0
