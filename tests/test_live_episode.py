"""The live widget shows the game that runs as soon as its ticks are durable, and lets go when it is closed."""

import threading
import time
from pathlib import Path

from tests.builders import episode, write
from vectra_analytics import EventBus, Events, EventStoreQuery, EventStoreService
from vectra_analytics.widgets import LiveEpisode


def prices(live: LiveEpisode) -> list[float]:
    """The prices that are drawn."""
    return [float(y) for y in next(trace for trace in live.figure.data if trace.name == "price").y]


def update(game_id: str, tick: int, price: float, *, rugged: bool = False) -> dict[str, object]:
    """What the feed says of a game."""
    state = {"gameId": game_id, "tickCount": tick, "price": price, "active": True, "rugged": rugged}
    return {"event": "gameStateUpdate", "data": state}


def test_it_shows_the_game_that_runs(tmp_path: Path) -> None:
    """From an empty store on: tick by tick, then the next game; a look without news draws nothing."""
    query, bus = EventStoreQuery(tmp_path), EventBus()
    live = LiveEpisode(query)
    assert "no game yet" in live._state.value
    with EventStoreService(bus, tmp_path, "s") as service:
        service.resume()
        for tick, price in enumerate((1.0, 1.5, 1.25)):
            bus.publish(Events.WS_RAW_EVENT, update("g1", tick, price))
            service.flush()
            assert live.refresh()
            assert prices(live) == [1.0, 1.5, 1.25][: tick + 1]
        assert (live.game_id, live.rows()["price"].to_list()) == ("g1", [1.0, 1.5, 1.25])
        assert "g1: tick 2, price 1.2500" in live._state.value
        assert not live.refresh()

        bus.publish(Events.WS_RAW_EVENT, {"event": "standard/newTrade", "data": {"gameId": "g0"}})
        bus.publish(Events.WS_RAW_EVENT, update("g1", 3, 0.01, rugged=True))
        service.flush()
        live.refresh()
        assert "g1: tick 3, price 0.0100, rugged" in live._state.value
        bus.publish(Events.WS_RAW_EVENT, {"event": "gameStateUpdate", "data": {"gameId": "<b>g2", "cooldownTimer": 9}})
        service.flush()
        live.refresh()
        assert live.game_id == "<b>g2"
        assert "&lt;b&gt;g2: not started" in live._state.value
        assert prices(live) == []
    assert repr(live) == "LiveEpisode: game <b>g2, 0 ticks"


def test_it_begins_with_the_newest_game(tmp_path: Path) -> None:
    """A store that was recorded before shows its last commit's game; window and axis can be changed."""
    write(tmp_path, episode(*[1 + n / 10 for n in range(12)], game_id="g1"))
    live = LiveEpisode(EventStoreQuery(tmp_path))
    assert live.game_id == "g1"
    live._window.value = 5
    assert any(trace.name == "return_volatility_5" for trace in live.figure.data)
    live._log.value = False
    assert live.figure.layout.yaxis.type != "log"


def threads() -> int:
    """Threads of live widgets."""
    return sum(thread.name == "vectra-live" for thread in threading.enumerate())


def wait_for_threads() -> None:
    """Wait a while for them to end."""
    deadline = time.monotonic() + 20
    while threads() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_it_follows_by_itself_until_it_is_closed(tmp_path: Path) -> None:
    """Another thread's events are drawn within a second; the button stops it; nobody's widget stops by itself."""
    query = EventStoreQuery(tmp_path)
    live = LiveEpisode(query, poll=0.05)
    live.start()
    live.start()
    assert threads() == 1
    write(tmp_path, episode(1, 2, 3, game_id="g1"))
    deadline = time.monotonic() + 20
    while live.game_id != "g1" and time.monotonic() < deadline:
        time.sleep(0.01)
    live._follow.value = False
    wait_for_threads()
    assert threads() == 0
    assert prices(live) == [1, 2, 3]

    live._follow.value = True
    live.close()
    assert not live.is_following
    wait_for_threads()
    assert threads() == 0


def test_trouble_is_said_under_it(tmp_path: Path) -> None:
    """A store whose file is gone: one line, and the next look tries again."""
    write(tmp_path, episode(1, 2, game_id="g1"))
    query = EventStoreQuery(tmp_path)
    live = LiveEpisode(query)
    write(tmp_path, episode(1, 2, 3, game_id="g2"))
    hidden = [path.rename(path.with_suffix(".hidden")) for path in tmp_path.glob("events_parquet/*/*/*.parquet")]
    live.refresh()
    assert "is missing" in live.message.value
    for path in hidden:
        path.rename(path.with_suffix(".parquet"))
    live.refresh()
    assert live.message.value == ""
    assert live.game_id == "g2"
