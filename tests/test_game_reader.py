"""Rows of games are the same however they lie in files and however they are read."""

import random
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.builders import START, tick_event, write
from vectra_analytics import (
    CorruptStore,
    DocType,
    EventEnvelope,
    EventSource,
    EventStorePaths,
    EventStoreQuery,
    compact,
    game_reader,
)
from vectra_analytics.catalog import Catalog
from vectra_analytics.schema import EVENT_COLUMNS

MIDNIGHT = datetime(2025, 12, 18, tzinfo=UTC)
ORDER = ["ts", "session_id", "seq"]


def _commits(seed: int) -> list[list[EventEnvelope]]:
    """Twelve games over midnight in mixed-up commits, with events of several kinds and equal times."""
    generator = random.Random(seed)
    events: list[EventEnvelope] = []
    for number in range(12):
        start = MIDNIGHT + timedelta(seconds=generator.randrange(-600, 600))
        for tick in range(generator.randrange(1, 30)):
            ts = start + timedelta(milliseconds=250 * generator.randrange(30))
            events.append(tick_event(tick, tick + 1, f"g{number:02}", f"s{number}", ts=ts))
            if generator.random() < 0.2:
                said = {"gameId": f"g{number:02}", "tick": tick}
                events.append(EventEnvelope.from_ws_event("trade", said, EventSource.CDP, "ws", len(events), ts=ts))
    events += [EventEnvelope.from_system_event("end", {}, EventSource.CDP, "sys", n, ts=START) for n in range(3)]
    generator.shuffle(events)
    cuts = sorted(generator.sample(range(1, len(events)), 6))
    return [events[first:last] for first, last in zip([0, *cuts], [*cuts, len(events)], strict=True)]


@pytest.fixture(scope="module", params=["as recorded", "compacted", "compacted in part"])
def paths(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> EventStorePaths:
    """A store in each state that it may be in."""
    paths = EventStorePaths(tmp_path_factory.mktemp("store"))
    commits = _commits(7)
    for number, events in enumerate(commits):
        write(paths.data_dir, events)
        if request.param == "compacted in part" and number == 3:
            compact(paths, now=START + timedelta(days=3))
    if request.param == "compacted":
        compact(paths, now=START + timedelta(days=3))
    return paths


@pytest.fixture
def query(paths: EventStorePaths) -> EventStoreQuery:
    """A query on it."""
    return EventStoreQuery(paths)


def _expected(query: EventStoreQuery, game_id: str) -> pl.DataFrame:
    """The game's events by plain SQL."""
    return query.query("SELECT * FROM events WHERE game_id = $game", {"game": game_id}).sort(ORDER)


def _all_expected(query: EventStoreQuery) -> dict[str, pl.DataFrame]:
    """Every game's events by plain SQL."""
    events = query.query("SELECT * FROM events WHERE game_id IS NOT NULL").sort(ORDER)
    return {frame["game_id"][0]: frame for frame in events.partition_by("game_id")}


WAYS: dict[str, dict[str, float]] = {
    "as it is": {},
    "a game at a time": {"BLOCK_ROWS": 1},
    "by bytes": {"_BLOCK_BYTES": 100},
    "slice by slice": {"_SMALL_FILE_ROWS": 0, "_WHOLE_FILE_CELLS": 0},
    "whole files, few games at a time": {"_WORTHWHILE_SHARE": 0, "BLOCK_ROWS": 40},
    "some whole, some sliced": {"_SMALL_FILE_ROWS": 0, "_WORTHWHILE_SHARE": 0.3, "BLOCK_ROWS": 60},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("columns", [None, ["tick", "game_id"], ["date", "raw_json", "doc_type"]])
def test_every_way_of_reading_gives_the_same_episodes(
    query: EventStoreQuery, way: str, columns: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many or few at a time, whole files or slices: each frame is what plain SQL gives for the game."""
    for name, value in WAYS[way].items():
        monkeypatch.setattr(game_reader, name, value)
    games = query.list_games()
    assert len(games) == 12

    expected = _all_expected(query)

    frames = list(query.iter_episodes(columns=columns, shuffle=3))

    order = [frame["game_id"][0] for frame in query.iter_episodes(shuffle=3)]
    assert sorted(order) == games
    for game_id, frame in zip(order, frames, strict=True):
        assert_frame_equal(frame, expected[game_id].select(columns or EVENT_COLUMNS))
    batch = query.get_episodes_batch([*games, "nobody"])
    assert list(batch) == games
    assert all(batch[game_id].equals(expected[game_id]) for game_id in games)


def test_a_game_alone_is_what_plain_sql_gives(query: EventStoreQuery) -> None:
    """One game's events, found by the index, are those that a search of all files finds."""
    for game_id, events in _all_expected(query).items():
        assert_frame_equal(query.get_game_episode(game_id), events)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_reading_gives_the_same_views(
    query: EventStoreQuery, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view over games read from memory is the view that SQL gives over the files."""
    expected = {
        view: query.query(f"SELECT * FROM {view} ORDER BY game_id, tick") for view in ("ticks", "tick_features")
    }
    for name, value in WAYS[way].items():
        monkeypatch.setattr(game_reader, name, value)
    for view, frame in expected.items():
        assert_frame_equal(query.features(view), frame, check_exact=True)
        games = {rows["game_id"][0]: rows for rows in query.iter_episodes(view=view)}
        assert_frame_equal(pl.concat(games[game_id] for game_id in sorted(games)), frame, check_exact=True)
        some = frame["game_id"].unique().sort().to_list()[::3]
        assert_frame_equal(
            query.features(view, games=some), frame.filter(pl.col("game_id").is_in(some)), check_exact=True
        )
    everything = query.query("SELECT * FROM games ORDER BY started_at NULLS LAST, game_id")
    assert_frame_equal(query.features("games", games=query.list_games()), everything)


@pytest.mark.parametrize("kind", ["game_tick", "ws_event"])
def test_one_kind_of_event_can_be_iterated(query: EventStoreQuery, kind: str) -> None:
    """With a doc_type as view the episodes have its events alone; games without one are left out."""
    frames = list(query.iter_episodes(view=kind))

    assert {name for frame in frames for name in frame["doc_type"]} == {kind}
    assert sum(frame.height for frame in frames) == query.count_events(kind)
    assert_frame_equal(query.features(kind, games=["g01"]), _expected(query, "g01").filter(doc_type=kind))


def test_an_iteration_that_is_left_early_leaves_no_thread(
    query: EventStoreQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes two of many games and goes on with something else has nothing running behind them."""
    monkeypatch.setattr(game_reader, "BLOCK_ROWS", 1)
    before = threading.active_count()

    episodes = query.iter_episodes()
    next(episodes)
    next(episodes)
    episodes.close()  # type: ignore[attr-defined]  # a generator

    assert threading.active_count() == before


@pytest.mark.parametrize("damage", ["missing", "cut off", "other content"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    """A game whose file is gone, cut off or not the catalog's is an error that names the file; other games are read."""
    for number in range(3):
        write(tmp_path, [tick_event(tick, 1 + tick, f"g{number}", f"s{number}") for tick in range(5)])
    query = EventStoreQuery(EventStorePaths(tmp_path))
    with Catalog(query.paths) as catalog:
        (rows,) = catalog.game_rows(catalog.version(), ["g1"])
        (others,) = catalog.game_rows(catalog.version(), ["g2"])
    broken = rows.file.path
    if damage == "missing":
        broken.unlink()
    elif damage == "cut off":
        broken.write_bytes(broken.read_bytes()[:-300])
    else:
        broken.write_bytes(b"PAR1" + bytes(rows.file.n_bytes - 8) + b"PAR1")

    for ask in (
        lambda: query.get_game_episode("g1"),
        lambda: query.get_tick_features("g1"),
        lambda: list(query.iter_episodes()),
        lambda: query.features(),
        query.games,
    ):
        with pytest.raises(CorruptStore, match=broken.name) as error:
            ask()
        assert "\n" not in str(error.value)
    assert query.get_game_episode("g2").height == others.n_rows == 5
    assert query.get_tick_features("g0").height == 5


def test_every_doc_type_can_be_asked_for_where_none_is_stored(tmp_path: Path) -> None:
    """Frames of an empty store have their columns, whichever relation they are of."""
    query = EventStoreQuery(EventStorePaths(tmp_path))
    for kind in ["events", *DocType]:
        assert query.features(kind, games=["g"]).columns == list(EVENT_COLUMNS)
    assert query.features("ticks", games=["g"]).columns == ["game_id", "tick", "ts", "price", "rugged", "source"]
    assert list(query.iter_episodes(view="ticks")) == []
