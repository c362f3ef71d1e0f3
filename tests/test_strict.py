"""A query that is strict answers from all live files or not at all; one that is not says what it left out."""

import hashlib
import json
import warnings
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from tests.builders import START, episode, tick_event, write
from vectra_analytics import (
    CorruptStore,
    EventEnvelope,
    EventSource,
    EventStorePaths,
    EventStoreQuery,
    PartialStore,
)
from vectra_analytics.catalog import Catalog

N_TICKS = 2_000

READS: dict[str, Callable[[EventStoreQuery], object]] = {
    "query": lambda query: query.query("SELECT * FROM events ORDER BY session_id, seq"),
    "query_arrow": lambda query: pl.DataFrame(query.query_arrow("SELECT * FROM events ORDER BY session_id, seq")),
    "reduced": lambda query: query.reduced("SELECT * FROM ticks", by="game_id"),
    "scan": lambda query: query.scan("ticks").collect(),
    "scan of some": lambda query: query.scan("events").filter(pl.col("price") > 2).select("game_id", "price").collect(),
    "get_game_episode": lambda query: query.get_game_episode("bad"),
    "get_episodes_batch": lambda query: query.get_episodes_batch(["good", "bad"]),
    "iter_episodes": lambda query: list(query.iter_episodes()),
    "iter_episodes of ticks": lambda query: list(query.iter_episodes(view="ticks", min_ticks=1)),
    "get_player_games": lambda query: query.get_player_games("alice"),
    "games": lambda query: query.games(),
    "features": lambda query: query.features(),
    "features of games": lambda query: query.features("games", games=["bad", "good"]),
    "get_tick_features": lambda query: query.get_tick_features("bad"),
    "list_players": lambda query: query.list_players(),
    "count by SQL": lambda query: query.query("SELECT count(DISTINCT raw_json) FROM events"),
}
FROM_THE_CATALOG: dict[str, Callable[[EventStoreQuery], object]] = {
    "list_games": lambda query: query.list_games(),
    "count_events": lambda query: query.count_events(),
    "count_events of a kind": lambda query: query.count_events("game_tick"),
}


def _good() -> list[EventEnvelope]:
    alice = EventEnvelope.from_player_action("buy", {}, EventSource.UI, "ui", 1, "good", "alice", ts=START)
    return [*episode(*(1 + tick / 7 for tick in range(300)), game_id="good"), alice]


def _bad() -> list[EventEnvelope]:
    tomorrow = START + timedelta(days=1)
    ticks = [
        tick_event(tick, 1 + tick / 7, "bad", "s", seq=tick, ts=tomorrow + timedelta(milliseconds=250 * tick))
        for tick in range(N_TICKS)
    ]
    alice = EventEnvelope.from_player_action("buy", {}, EventSource.UI, "ui", 2, "bad", "alice", ts=START)
    return [*ticks, alice]


@pytest.fixture
def bad_file(paths: EventStorePaths) -> Path:
    """A file that is to be spoilt: the ticks of the game "bad". Others hold the game "good" and an action in "bad"."""
    write(paths.data_dir, _good())
    write(paths.data_dir, _bad())
    (found,) = paths.events_parquet_dir.glob("doc_type=game_tick/date=2025-12-18/*.parquet")
    return found


def _remove(file: Path) -> None:
    file.unlink()


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def _make_noise(file: Path) -> None:
    """Noise over all pages, so that whatever is read fails; the footer is as it was."""
    content = bytearray(file.read_bytes())
    n_body = int(pq.read_metadata(file).metadata[b"vectra.body_bytes"])
    content[4:n_body] = bytes(byte ^ 0xA5 for byte in content[4:n_body])
    file.write_bytes(content)


def _flip_a_bit(file: Path) -> None:
    """One bit of a price, which no reader of Parquet notices."""
    content = bytearray(file.read_bytes())
    column = pq.read_metadata(file).row_group(0).column(9)
    content[column.data_page_offset + column.total_compressed_size - 9] ^= 1
    file.write_bytes(content)


DAMAGES = [_remove, _cut, _make_noise]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_strict_query_names_what_is_bad(
    bad_file: Path, paths: EventStorePaths, damage: Callable[[Path], None]
) -> None:
    """Every call that reads it is CorruptStore with the file, its rows, its games, and what to do."""
    damage(bad_file)
    query = EventStoreQuery(paths)

    for name, read in READS.items():
        if name == "list_players" and damage is _make_noise:
            continue  # the footer says that no row of the file names a player, so nothing else of it is read
        with pytest.raises(CorruptStore) as error:
            pytest.fail(f"{name} gave {read(query)}")
        text = str(error.value)
        assert str(bad_file) in text, name
        assert "2000 rows of game_tick, 2025-12-18; game bad" in text, name
        assert ("vectra repair --forget" if damage is _remove else "run vectra repair") in text, name
        assert "\n" not in text, name
    assert query.get_game_episode("good").height == 301
    assert query.info().n_events == 2_302


@pytest.mark.parametrize("damage", [_remove, _cut])
def test_a_strict_query_does_not_count_what_is_gone(
    bad_file: Path, paths: EventStorePaths, damage: Callable[[Path], None]
) -> None:
    """What the catalog could answer by itself is an error too, as long as a file is not in its place."""
    damage(bad_file)

    for read in FROM_THE_CATALOG.values():
        with pytest.raises(CorruptStore, match=bad_file.name):
            read(EventStoreQuery(paths))


def test_a_strict_export_of_a_bad_file_is_an_error(bad_file: Path, paths: EventStorePaths, tmp_path: Path) -> None:
    """Nothing is exported in part."""
    _make_noise(bad_file)

    for name in ("f.csv", "f.parquet", "folder"):
        with pytest.raises(CorruptStore, match=bad_file.name):
            EventStoreQuery(paths).export(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["store"]


def test_a_lazy_frame_is_explained_when_it_is_collected(bad_file: Path, paths: EventStorePaths) -> None:
    """A file that goes bad between scan and collect is CorruptStore as well."""
    lazy = EventStoreQuery(paths).scan("ticks")
    _make_noise(bad_file)

    with pytest.raises(CorruptStore, match=bad_file.name):
        lazy.collect()


@pytest.mark.parametrize("damage", [*DAMAGES, _flip_a_bit])
def test_a_query_that_is_not_strict_answers_as_if_the_file_had_never_been(
    bad_file: Path, paths: EventStorePaths, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Every call gives, to the last bit, what a store without these events gives."""
    other = write(tmp_path / "other", _good())
    write(other.data_dir, _bad()[-1:])
    damage(bad_file)

    query = EventStoreQuery(paths, strict=False)
    with pytest.warns(PartialStore):
        found = {name: read(query) for name, read in (READS | FROM_THE_CATALOG).items()}

    expected = EventStoreQuery(other)
    for name, read in (READS | FROM_THE_CATALOG).items():
        _assert_same(found[name], read(expected))
    assert query.info().n_events == 302
    assert query.info().n_games == 2


def _assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, pl.DataFrame):
        assert_frame_equal(found, expected, check_exact=True)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        _assert_same(list(found.values()), list(expected.values()))
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _assert_same(one, other)
    else:
        assert found == expected


def test_a_query_that_is_not_strict_warns_once(bad_file: Path, paths: EventStorePaths) -> None:
    """One warning a query object, at the caller's line; none where nothing is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EventStoreQuery(paths, strict=False).games()
    _cut(bad_file)

    def ask(query: EventStoreQuery) -> None:
        query.games()
        query.get_game_episode("bad")
        query.scan("ticks").collect()

    for _ in range(2):
        with pytest.warns(PartialStore, match=f"1 live file is left out, with 2,000 rows: .*{bad_file.name}") as caught:
            ask(EventStoreQuery(paths, strict=False))
        assert [Path(warning.filename).name for warning in caught] == ["test_strict.py"]
    assert issubclass(PartialStore, UserWarning)


def test_problems_list_what_is_left_out(bad_file: Path, paths: EventStorePaths) -> None:
    """File, kind, day, rows, games and what is wrong; strict queries leave nothing out."""
    _flip_a_bit(bad_file)
    expected = {
        "file": str(bad_file),
        "doc_type": "game_tick",
        "date": date(2025, 12, 18),
        "n_rows": N_TICKS,
        "games": ["bad"],
        "problem": "is damaged: its content is not what was written (SHA-256)",
    }

    found = EventStoreQuery(paths, strict=False).problems()

    assert found.to_dicts() == [expected]
    none = EventStoreQuery(paths).problems()
    assert none.is_empty()
    assert none.schema == found.schema
    assert EventStoreQuery(paths, version=1, strict=False).problems().schema == found.schema
    assert EventStoreQuery(paths, version=1, strict=False).problems().is_empty()


@pytest.mark.parametrize("name", ["f.csv", "f.parquet", "folder"])
def test_an_export_says_what_it_left_out(bad_file: Path, paths: EventStorePaths, tmp_path: Path, name: str) -> None:
    """The meta of an export by a query that is not strict names each file, its rows and its games."""
    sound = EventStoreQuery(paths).export(tmp_path / f"sound {name}")
    whole = EventStoreQuery(paths, strict=False).export(tmp_path / f"whole {name}")
    _cut(bad_file)
    with pytest.warns(PartialStore):
        partial = EventStoreQuery(paths, strict=False).export(tmp_path / name)

    assert "left_out" not in json.loads(sound.meta_path.read_bytes())
    assert json.loads(whole.meta_path.read_bytes())["left_out"] == []
    meta = json.loads(partial.meta_path.read_bytes())
    assert meta["strict"] is False
    assert [(entry["file"], entry["n_rows"], entry["games"]) for entry in meta["left_out"]] == [
        (str(bad_file), N_TICKS, ["bad"])
    ]
    assert (partial.n_rows, whole.n_rows, sound.n_rows) == (300, 2_300, 2_300)


def test_a_file_that_is_mended_is_read_again(bad_file: Path, paths: EventStorePaths) -> None:
    """What is known of a file holds for the bytes that were looked at: each change of it is seen by the next call."""
    content = bad_file.read_bytes()
    query = EventStoreQuery(paths, strict=False)
    assert query.games().height == 2
    _flip_a_bit(bad_file)
    with pytest.warns(PartialStore):
        assert query.games().height == 1
    bad_file.write_bytes(content)
    assert query.games().height == 2
    _flip_a_bit(bad_file)
    assert query.games().height == 1


def test_a_file_is_hashed_once(bad_file: Path, paths: EventStorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later calls, of other query objects too, only look whether it has changed."""
    EventStoreQuery(paths, strict=False).games()

    def again(*_: object) -> None:
        raise AssertionError("hashed again")

    monkeypatch.setattr(hashlib, "file_digest", again)

    assert EventStoreQuery(paths, strict=False).games().height == 2
    assert bad_file.exists()


def test_a_pinned_version_is_as_strict(bad_file: Path, paths: EventStorePaths) -> None:
    """A version without the bad file is whole; one with it is not."""
    _cut(bad_file)

    assert EventStoreQuery(paths, version=1).count_events() == 301
    with pytest.raises(CorruptStore, match=bad_file.name):
        EventStoreQuery(paths, version=2).count_events()
    with Catalog(paths) as catalog:
        assert catalog.version() == 2


def test_an_error_of_the_statement_is_no_damage(paths: EventStorePaths) -> None:
    """What DuckDB says of a user's own mistake stays what it is, where all files are sound."""
    write(paths.data_dir, _good())

    with pytest.raises(Exception, match="no such thing") as error:
        EventStoreQuery(paths).query("SELECT error('no such thing') FROM events")
    assert not isinstance(error.value, CorruptStore)
