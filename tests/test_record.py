"""The recorder stores what the feed sends it, all of it, once, and holds on to a feed that breaks off."""

import json
import signal
import socket
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.live import NEEDS_SOCKETIO, ended, recording, replaying, sent_by_connection, stored_by_connection
from tests.test_cli import complaint
from tests.test_cli import vectra as run
from vectra_analytics import EventStoreQuery, import_recordings

pytest.importorskip("socketio", reason=NEEDS_SOCKETIO)
pytest.importorskip("aiohttp", reason=NEEDS_SOCKETIO)

ROOT = Path(__file__).resolve().parents[1]
GAMES = sorted((ROOT / "data_samples").glob("game_*.jsonl"))[:3]
COLUMNS = ["game_id", "tick", "price", "rugged"]


@pytest.mark.parametrize("raw", ["all", "none"])
def test_what_the_feed_sends_is_stored(raw: str, tmp_path: Path) -> None:
    """Event for event, in order; its ticks are those of the recordings that were played; SIGTERM ends it."""
    log = tmp_path / "log"
    server, url = replaying(GAMES, tmp_path / "sent", "--speed", 150, log=log)
    recorder = recording(url, tmp_path / "store", "--raw", raw, log=log)
    server.communicate(timeout=120)
    assert server.returncode == 0, log.read_text()
    said = json.loads(ended(recorder))

    (sent,) = sent_by_connection(tmp_path / "sent").values()
    (stored,) = stored_by_connection(tmp_path / "store")
    assert said["refused"] == {}
    assert (said["n_received"], said["n_connected"]) == (len(sent), 1)
    if raw == "all":
        assert stored == sent
    else:
        assert [json.loads(text)["data"].get("tickCount") for text in stored] == [
            json.loads(text)["data"].get("tickCount") for text in sent
        ]
    import_recordings(GAMES, tmp_path / "files", timezone="America/New_York")
    live, imported = EventStoreQuery(tmp_path / "store"), EventStoreQuery(tmp_path / "files")
    assert_frame_equal(live.features("ticks", columns=COLUMNS), imported.features("ticks", columns=COLUMNS))
    assert live.count_events("complete_game") == said["game_count"] > 0


def test_it_waits_for_a_feed_and_ends_by_ctrl_c(tmp_path: Path) -> None:
    """No server yet: it says so, tries again, connects when there is one, and notes both ends of the connection."""
    log = tmp_path / "log"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    recorder = recording(f"http://user:secret@127.0.0.1:{port}/?token=secret", tmp_path / "store", log=log)
    deadline = time.monotonic() + 60
    while "cannot connect" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    server, _ = replaying(GAMES[:1], tmp_path / "sent", "--speed", 200, "--port", port, log=log)
    server.communicate(timeout=120)
    said = json.loads(ended(recorder, signal.SIGINT))

    assert said["n_received"] > 100
    assert f"127.0.0.1:{port}: connected" in log.read_text()
    assert "secret" not in log.read_text()
    notes = EventStoreQuery(tmp_path / "store").query("SELECT event_name, raw_json FROM system_event ORDER BY seq")
    assert notes["event_name"].to_list() == ["connected", "disconnected"]
    assert "secret" not in "".join(notes["raw_json"])


def test_a_feed_that_breaks_off_leaves_counted_holes(tmp_path: Path) -> None:
    """A killed server, another in its place: nothing twice, nothing invented; what no one told is a missing tick."""
    log = tmp_path / "log"
    server, url = replaying(GAMES, tmp_path / "sent1", "--speed", 40, log=log)
    port = url.rpartition(":")[2]
    recorder = recording(url, tmp_path / "store", "--flush-interval", 0.2, log=log)
    deadline = time.monotonic() + 60
    while EventStoreQuery(tmp_path / "store").features("ticks").height < 60 and time.monotonic() < deadline:
        time.sleep(0.1)
    server.kill()
    server.communicate()
    server, _ = replaying(GAMES[1:], tmp_path / "sent2", "--speed", 150, "--port", port, log=log)
    server.communicate(timeout=120)
    said = json.loads(ended(recorder))

    sent = [events for n in (1, 2) for events in sent_by_connection(tmp_path / f"sent{n}").values()]
    stored = stored_by_connection(tmp_path / "store")
    assert said["n_connected"] == len(stored) == len(sent) == 2
    assert said["n_received"] == sum(map(len, stored))
    for kept, all_sent in zip(stored, sent, strict=True):
        assert kept == all_sent[: len(kept)]
    assert stored[1] == sent[1]
    import_recordings(GAMES, tmp_path / "files", timezone="America/New_York")
    truth = EventStoreQuery(tmp_path / "files").features("ticks", columns=COLUMNS)
    live = EventStoreQuery(tmp_path / "store")
    ticks = live.features("ticks", columns=COLUMNS)
    assert_frame_equal(ticks.join(truth, on=["game_id", "tick"], how="semi").sort(COLUMNS[:2]), ticks)
    spans = ticks.group_by("game_id").agg(first=pl.col("tick").min(), last=pl.col("tick").max())
    between = truth.join(spans, on="game_id").filter(pl.col("tick").is_between("first", "last"))
    holes = between.join(ticks, on=["game_id", "tick"], how="anti")
    assert live.games()["missing_ticks"].sum() == holes.height


def test_what_cannot_be_recorded_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No address, none that is one, no store, no library."""
    monkeypatch.delenv("VECTRA_FEED_URL", raising=False)
    store = ("--data-dir", tmp_path / "store", "record")
    assert "--url or $VECTRA_FEED_URL" in complaint(run(*store))
    assert "is no address of a feed" in complaint(run(*store, "--url", "backend"))
    (tmp_path / "file").write_text("")
    assert "file" in complaint(run("--data-dir", tmp_path / "file" / "s", "record", "--url", "http://127.0.0.1:1"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert 'pip install "vectra_analytics[record]"' in complaint(run(*store, "--url", "http://127.0.0.1:1"))
