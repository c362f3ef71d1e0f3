"""Exports that are folders: by date, by part of a split; what did not change is not computed again."""

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tests.builders import START, store_with, tick_event, write
from vectra_analytics import (
    EventEnvelope,
    EventSource,
    EventStorePaths,
    EventStoreQuery,
    VectraError,
    compact,
    game_reader,
)
from vectra_analytics.exports import formats
from vectra_analytics.exports.splits import PARTS, DateSplit, HashSplit
from vectra_analytics.exports.targets import workplace

MIDNIGHT = START.replace(hour=0) + timedelta(days=1)


def game(game_id: str, day: int, n_ticks: int = 4, *, first_tick: int = 0, hour: int = 12) -> list[EventEnvelope]:
    """A game of some day, from 0."""
    start = START.replace(hour=hour) + timedelta(days=day)
    return [
        tick_event(
            tick, 1 + tick / 7, game_id, f"s-{game_id}-{first_tick}", ts=start + timedelta(milliseconds=250 * tick)
        )
        for tick in range(first_tick, first_tick + n_ticks)
    ]


def days(n_days: int, n_games: int = 2) -> list[EventEnvelope]:
    """So many days with so many games each."""
    return [event for day in range(n_days) for number in range(n_games) for event in game(f"d{day:02}-{number}", day)]


def day_name(day: int) -> str:
    """The folder of a day."""
    return f"date={START.date() + timedelta(days=day)}"


def meta_of(path: Path) -> dict[str, Any]:
    """What lies beside an export."""
    meta: dict[str, Any] = json.loads(path.with_name(f"{path.name}.meta.json").read_text())
    return meta


def stamps(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """What tells whether a file was written again."""
    return {
        file.relative_to(folder).as_posix(): (file.stat().st_ino, file.stat().st_mtime_ns, file.read_bytes())
        for file in folder.rglob("*.*")
        if file.is_file()
    }


def all_rows(folder: Path) -> pl.DataFrame:
    """The rows of a folder by game and tick, without the columns that its names give."""
    return pl.read_parquet(folder, hive_partitioning=True).drop("date", "split", strict=False).sort("game_id", "tick")


def test_a_folder_has_the_rows_of_the_view_by_date(tmp_path: Path) -> None:
    """The same to the last bit; the date is a column to Polars and to DuckDB."""
    query = store_with(tmp_path / "store", days(3))
    done = query.export(tmp_path / "f")

    assert_frame_equal(all_rows(done.path), query.features())
    assert sorted(folder.name for folder in done.path.iterdir()) == [day_name(day) for day in range(3)]
    assert (done.n_rows, done.n_files, done.n_computed) == (24, 3, 3)
    pattern = f"{done.path}/**/*.parquet"
    sql = (
        f"SELECT date, count(*) AS n FROM read_parquet('{pattern}', hive_partitioning = true) GROUP BY ALL ORDER BY ALL"
    )
    with duckdb.connect() as connection:
        counts = connection.sql(sql).pl().rows()
    assert counts == [(START.date() + timedelta(days=day), 8) for day in range(3)]
    assert pl.scan_parquet(done.path).filter(pl.col("date") == date(2025, 12, 18)).collect().height == 8


def test_a_game_is_whole_in_the_file_of_its_first_day(tmp_path: Path) -> None:
    """Though it crosses midnight and lies in several files of the store."""
    night = [tick_event(tick, 2, "night", "n", ts=MIDNIGHT + timedelta(seconds=tick - 2)) for tick in range(5)]
    query = store_with(tmp_path / "store", night, game("next", 1))
    path = query.export(tmp_path / "f").path

    assert query.query("SELECT count(DISTINCT date) AS n FROM events WHERE game_id = 'night'").item() == 2
    files = {file.parent.name: pl.read_parquet(file)["game_id"].to_list() for file in path.rglob("*.parquet")}
    assert files == {day_name(0): ["night"] * 5, day_name(1): ["next"] * 4}


def test_only_days_whose_files_changed_are_computed(tmp_path: Path) -> None:
    """Other days keep their file, its time and its bytes; a game that grows on the next day is of its first day."""
    query = store_with(tmp_path / "store", days(4))
    path = query.export(tmp_path / "f").path
    before = stamps(path)
    assert query.export(path, overwrite=True).n_computed == 0
    assert stamps(path) == before

    write(tmp_path / "store", [*game("d01-1", 2, 3, first_tick=4, hour=1), *game("new", 4)])
    done = query.export(path, overwrite=True)

    changed = {name.split("/")[0] for name, stamp in stamps(path).items() if before.get(name) != stamp}
    assert changed == {day_name(1), day_name(4)}
    assert (done.n_files, done.n_computed) == (5, 2)
    assert_frame_equal(all_rows(path), query.features())
    assert [file["store_version"] for file in meta_of(path)["files"]] == [1, 2, 1, 1, 2]


def test_a_day_without_games_is_removed(tmp_path: Path) -> None:
    """An import of what was before midnight takes the only game of a day to the day before."""
    query = store_with(tmp_path / "store", game("a", 0), game("b", 2))
    path = query.export(tmp_path / "f").path
    write(tmp_path / "store", [tick_event(0, 1, "b", "earlier", ts=MIDNIGHT + timedelta(hours=1))])
    done = query.export(path, overwrite=True)

    assert sorted(folder.name for folder in path.iterdir()) == [day_name(0), day_name(1)]
    assert done.n_computed == 1
    assert_frame_equal(all_rows(path), query.features())


def test_files_that_took_the_place_of_others_are_a_change(tmp_path: Path) -> None:
    """As when a day of the store is compacted: that day alone is computed again, to the same rows."""
    query = store_with(tmp_path / "store", days(3))
    path = query.export(tmp_path / "f").path
    before, rows = stamps(path), all_rows(path)
    with contextlib.closing(sqlite3.connect(query.paths.catalog_file)) as catalog, catalog:
        catalog.execute("UPDATE files SET sha256 = 'another' WHERE date = '2025-12-18'")

    assert query.export(path, overwrite=True).n_computed == 1
    assert {name for name, stamp in stamps(path).items() if stamp != before[name]} == {
        f"{day_name(1)}/tick_features.parquet"
    }
    assert_frame_equal(all_rows(path), rows)


def test_compaction_changes_no_row_of_an_export(tmp_path: Path) -> None:
    """The compacted days are computed again, once, and say the same."""
    query = store_with(tmp_path / "store", days(3))
    write(tmp_path / "store", game("d01-0", 1, 2, first_tick=4))
    path = query.export(tmp_path / "f").path
    rows = all_rows(path)
    compact(query.paths)

    assert query.export(path, overwrite=True).n_computed > 0
    assert_frame_equal(all_rows(path), rows)
    assert query.export(path, overwrite=True).n_computed == 0


def test_events_that_the_view_does_not_read_change_nothing(tmp_path: Path) -> None:
    """What a player did is no part of the tick features, but of the games."""
    query = store_with(tmp_path / "store", days(2))
    ticks, games = (query.export(tmp_path / view, view=view).path for view in ("tick_features", "games"))
    action = EventEnvelope.from_player_action("buy", {}, EventSource.UI, "ui", 1, "d00-0", "alice", ts=START)
    write(tmp_path / "store", [action])

    assert query.export(ticks, overwrite=True).n_computed == 0
    assert query.export(games, view="games", overwrite=True).n_computed == 1
    assert meta_of(ticks)["store_version"] == 2


@pytest.mark.parametrize("how", [{"columns": ["tick", "price"]}, {"games": ["d00-0", "d01-0"]}, {"view": "ticks"}])
def test_another_question_is_another_export(tmp_path: Path, how: dict[str, Any]) -> None:
    """All days are computed where columns, games or the view are not those of the export that is there."""
    query = store_with(tmp_path / "store", days(2))
    path = query.export(tmp_path / "f").path
    done = query.export(path, overwrite=True, **how)

    assert done.n_computed == done.n_files == 2
    got = pl.read_parquet(path).drop("date")
    assert_frame_equal(got, query.features(**how))


@pytest.mark.parametrize("split", [None, "hash"])
def test_an_update_never_drops_a_split(tmp_path: Path, split: str | None) -> None:
    """Who forgets how games were split is told, and the folder with its cuts stays as it is."""
    query = store_with(tmp_path / "store", days(5))
    path = query.export(tmp_path / "f", split="date").path
    before = meta_of(path)

    with pytest.raises(VectraError, match="its games are split by date, which would be lost"):
        query.export(path, split=split, overwrite=True)

    assert meta_of(path) == before


def test_an_export_is_never_put_among_the_stores_own_files(tmp_path: Path) -> None:
    """No export lands where readers of the store would take it for events, or where its catalog lies."""
    query = store_with(tmp_path / "store", days(1))
    event_file = next(query.paths.events_parquet_dir.rglob("*.parquet"))
    content = event_file.read_bytes()
    for target in (event_file, event_file.with_name("x.parquet"), query.paths.manifests_dir / "x.csv"):
        with pytest.raises(VectraError, match="is the store's own; choose another folder"):
            query.export(target, overwrite=True)

    assert event_file.read_bytes() == content


def test_a_summary_is_in_its_own_order_on_each_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Games of a day come by their start, also when each is read on its own."""
    monkeypatch.setattr(game_reader, "BLOCK_ROWS", 1)
    query = store_with(tmp_path / "store", game("b", 0, hour=1), game("a", 0, hour=2), game("c", 1))
    done = query.export(tmp_path / "g", view="games")

    assert_frame_equal(pl.read_parquet(done.path).drop("date"), query.games())
    assert pl.read_parquet(done.path)["game_id"].to_list() == ["b", "a", "c"]


def test_a_file_of_the_folder_that_was_harmed_is_written_again(tmp_path: Path) -> None:
    """Deleted or changed by hand: an update makes the folder whole."""
    query = store_with(tmp_path / "store", days(3))
    path = query.export(tmp_path / "f").path
    first, second, _ = sorted(path.rglob("*.parquet"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1] + b"x")

    assert query.export(path, overwrite=True).n_computed == 2
    assert_frame_equal(all_rows(path), query.features())


def test_the_provenance_of_a_folder_names_each_file(tmp_path: Path) -> None:
    """SHA-256, rows and games of each; the whole one is over theirs; each footer says the same but the SHA-256."""
    query = store_with(tmp_path / "store", days(2))
    done = query.export(tmp_path / "f", split="hash", columns=["game_id", "price"])
    meta = meta_of(done.path)

    for file in meta["files"]:
        assert file["sha256"] == hashlib.sha256((done.path / file["path"]).read_bytes()).hexdigest()
        assert file["n_rows"] == pq.ParquetFile(done.path / file["path"]).metadata.num_rows
        footer = json.loads(pq.ParquetFile(done.path / file["path"]).metadata.metadata[b"vectra"])
        assert (footer["path"], footer["n_rows"]) == (file["path"], file["n_rows"])
        for key in ("store_version", "view", "view_version", "filters", "columns", "order", "libraries"):
            assert footer[key] == meta[key]
    assert meta["filters"] == {"games": None, "columns": ["game_id", "price"], "split": "hash"}
    lines = "".join(f"{file['sha256']}  {file['path']}\n" for file in meta["files"])
    assert meta["sha256"] == done.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert (meta["n_rows"], meta["n_games"], meta["n_files"]) == (16, 4, done.n_files)


def test_while_a_folder_is_made_no_name_looks_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tools' **/*.parquet takes hidden folders, too."""
    seen = []
    finish = formats._ParquetSink.finish

    def look(sink: Any, meta: Any) -> Any:
        seen.append([path for path in tmp_path.rglob("*.parquet") if "store" not in path.parts])
        return finish(sink, meta)

    monkeypatch.setattr(formats._ParquetSink, "finish", look)
    store_with(tmp_path / "store", days(3)).export(tmp_path / "f")

    assert seen == [[], [], []]


def test_an_export_without_games_has_its_columns(tmp_path: Path) -> None:
    """An empty store: the folder can be read, and has no rows."""
    query = EventStoreQuery(EventStorePaths(tmp_path / "store"))
    done = query.export(tmp_path / "f")
    parts = query.export(tmp_path / "s", split="date")

    assert_frame_equal(all_rows(done.path), query.features())
    assert (done.n_rows, parts.n_files) == (0, 3)
    assert meta_of(parts.path)["split"]["cuts"] is None
    write(tmp_path / "store", days(2))
    assert query.export(done.path, overwrite=True).n_rows == 16
    assert sorted(folder.name for folder in done.path.iterdir()) == [day_name(0), day_name(1)]


# What is there already


def _foreign_folder(target: Path, query: EventStoreQuery) -> None:
    target.mkdir()
    (target / "mine.parquet").write_bytes(b"mine")


def _foreign_file_in_ours(target: Path, query: EventStoreQuery) -> None:
    query.export(target)
    (target / "notes.txt").write_text("mine")


def _link_in_ours(target: Path, query: EventStoreQuery) -> None:
    query.export(target)
    (target / "link").symlink_to(target.parent)


def _export_without_meta(target: Path, query: EventStoreQuery) -> None:
    query.export(target).meta_path.unlink()


def _file(target: Path, query: EventStoreQuery) -> None:
    target.write_text("mine")


def _link(target: Path, query: EventStoreQuery) -> None:
    elsewhere = target.with_name("elsewhere")
    elsewhere.mkdir()
    target.symlink_to(elsewhere)


def _folder_as_meta(target: Path, query: EventStoreQuery) -> None:
    target.with_name("f.meta.json").mkdir()


NOT_OURS = [
    (_foreign_folder, "holds mine.parquet, and no export: .* move that elsewhere"),
    (_foreign_file_in_ours, "holds notes.txt, which no export wrote"),
    (_link_in_ours, "holds link, which no export wrote"),
    (_export_without_meta, "there is no f.meta.json of one beside it"),
    (_file, "it is a file, and this export is a folder; delete it"),
    (_link, "it is a symbolic link"),
    (_folder_as_meta, "that is a folder"),
]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(("make", "complaint"), NOT_OURS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_not_an_export_of_ours_stays(
    make: Callable[[Path, EventStoreQuery], None], complaint: str, overwrite: bool, tmp_path: Path
) -> None:
    """Told to overwrite or not, the export says in one line what is there and what to do."""
    query = store_with(tmp_path / "store", days(2))
    target = tmp_path / "f"
    make(target, query)
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}

    with pytest.raises(VectraError, match=complaint) as error:
        query.export(target, overwrite=overwrite)

    assert "\n" not in str(error.value)
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_a_folder_of_ours_is_updated_when_told(tmp_path: Path) -> None:
    """Without the word it stays; an empty folder is nobody's, but is there."""
    query = store_with(tmp_path / "store", days(1))
    (tmp_path / "empty").mkdir()
    path = query.export(tmp_path / "f").path

    for target in (path, tmp_path / "empty"):
        with pytest.raises(VectraError, match=r"exists; choose another name, or .* --overwrite"):
            query.export(target)
        assert query.export(target, overwrite=True).n_rows == 8
    with pytest.raises(VectraError, match="it is a folder, and this export is a file"):
        query.export(query.export(tmp_path / "s.csv", split="hash").path, overwrite=True)


def test_a_folder_that_was_deleted_is_no_obstacle(tmp_path: Path) -> None:
    """The meta file that it left vouches for nothing and is replaced."""
    query = store_with(tmp_path / "store", days(1))
    path = query.export(tmp_path / "f.parquet").path
    path.unlink()

    assert query.export(path).n_rows == 8


def test_two_exports_to_one_place_are_one_too_many(tmp_path: Path) -> None:
    """The second one says so; the first one goes on."""
    query = store_with(tmp_path / "store", days(1))
    with workplace(tmp_path / "f"), pytest.raises(VectraError, match="another export to it is under way"):
        query.export(tmp_path / "f")

    assert query.export(tmp_path / "f").n_rows == 8


@pytest.mark.parametrize("is_there", [False, True])
def test_what_comes_while_an_export_is_made_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Somebody's file in the target is found before the old folder would go."""
    query = store_with(tmp_path / "store", days(1))
    if is_there:
        query.export(tmp_path / "f")
    finish = formats._ParquetSink.finish

    def somebody_comes(sink: Any, meta: Any) -> Any:
        (tmp_path / "f").mkdir(exist_ok=True)
        (tmp_path / "f" / "notes.txt").write_text("mine")
        return finish(sink, meta)

    monkeypatch.setattr(formats._ParquetSink, "finish", somebody_comes)
    with pytest.raises(VectraError, match=r"holds notes\.txt"):
        query.export(tmp_path / "f", columns=["tick"], overwrite=True)

    assert (tmp_path / "f" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "f.meta.json").exists() == is_there
    assert not list(tmp_path.glob(".f*"))


# Splits


@pytest.fixture
def ten_days(tmp_path: Path) -> EventStoreQuery:
    """Ten days of three games each."""
    return store_with(tmp_path / "store", days(10, 3))


@pytest.mark.parametrize("split", ["date", "hash"])
@pytest.mark.parametrize("name", ["s", "s.parquet", "s.csv", "s.csv.gz"])
def test_a_split_has_each_row_once_and_whole_games(
    ten_days: EventStoreQuery, tmp_path: Path, split: str, name: str
) -> None:
    """In every format the parts together are the view, to the last bit; no game is in two of them."""
    done = ten_days.export(tmp_path / name, split=split)
    wanted = ten_days.features()
    assert sorted(folder.name for folder in done.path.iterdir()) == sorted(f"split={part}" for part in PARTS)
    parts = {}
    for part in PARTS:
        files = [file for file in (done.path / f"split={part}").rglob("*.*") if file.is_file()]
        if name != "s":
            assert [file.name for file in files] == [f"tick_features{name[1:]}"]
        if "csv" in name:
            parts[part] = pl.concat([pl.read_csv(file, schema=dict(wanted.schema)) for file in files])
        else:
            parts[part] = pl.concat([pl.read_parquet(file, hive_partitioning=False) for file in files])

    assert_frame_equal(pl.concat(parts.values()).sort("game_id", "tick"), wanted)
    assert sum(rows["game_id"].n_unique() for rows in parts.values()) == wanted["game_id"].n_unique()
    assert meta_of(done.path)["split"]["parts"] == {
        part: {"n_games": rows["game_id"].n_unique(), "n_rows": rows.height} for part, rows in parts.items()
    }


def test_by_date_the_earliest_days_are_train(ten_days: EventStoreQuery, tmp_path: Path) -> None:
    """Ten days: eight, one and one; the cuts are in the meta file, and stay when the store grows."""
    path = ten_days.export(tmp_path / "s", split="date").path
    cuts = {"validation_from": "2025-12-25", "test_from": "2025-12-26"}
    assert meta_of(path)["split"]["cuts"] == cuts
    before = stamps(path)

    write(tmp_path / "store", [event for day in range(10, 40) for event in game(f"d{day}", day)])
    done = ten_days.export(path, split="date", overwrite=True)

    assert meta_of(path)["split"]["cuts"] == cuts
    assert stamps(path).items() >= before.items()
    assert done.n_computed == 30
    n_games = {part: about["n_games"] for part, about in meta_of(path)["split"]["parts"].items()}
    assert n_games == {"train": 24, "validation": 3, "test": 33}
    fresh = meta_of(ten_days.export(tmp_path / "fresh", split="date").path)
    assert fresh["split"]["cuts"]["test_from"] > cuts["test_from"]


def test_games_without_rows_do_not_move_the_cuts(tmp_path: Path) -> None:
    """A game of which only the presale was seen is in no part."""
    presale = [
        tick_event(0, 1, f"p{number}", f"p{number}", data={"active": False}, ts=START + timedelta(days=20))
        for number in range(50)
    ]
    query = store_with(tmp_path / "store", days(10, 1), presale)
    meta = meta_of(query.export(tmp_path / "s", split="date").path)

    assert meta["split"]["cuts"] == {"validation_from": "2025-12-25", "test_from": "2025-12-26"}
    assert meta["n_games"] == 10


@pytest.mark.parametrize("split", ["date", "hash"])
def test_a_part_without_games_can_be_read(tmp_path: Path, split: str) -> None:
    """Its folder is there, with the columns and no rows; the meta file says so."""
    query = store_with(tmp_path / "store", days(1, 1))
    path = query.export(tmp_path / "s", split=split).path
    n_rows = {part: pl.scan_parquet(path / f"split={part}").collect() for part in PARTS}

    assert sorted(rows.height for rows in n_rows.values()) == [0, 0, 4]
    assert len({tuple(rows.schema.items()) for rows in n_rows.values()}) == 1
    assert sorted(about["n_rows"] for about in meta_of(path)["split"]["parts"].values()) == [0, 0, 4]


def test_an_unknown_split_is_refused_before_any_work(tmp_path: Path) -> None:
    """The error lists those that there are."""
    with pytest.raises(VectraError, match="no split is named 'week'; there are date and hash"):
        EventStoreQuery(EventStorePaths(tmp_path)).export(tmp_path / "f", split="week")


@given(st.lists(st.text(min_size=1), unique=True, min_size=2))
def test_by_hash_a_part_depends_on_the_name_alone(names: list[str]) -> None:
    """So no growth of the store can move a game, or have it in two parts."""
    assert [HashSplit().part(name, "2025-01-01") for name in names] == [
        HashSplit().part(name, "2026-02-02") for name in names
    ]
    for name in names:
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
        assert HashSplit().part(name, "") == ("train" if place < 0.8 else "validation" if place < 0.9 else "test")


def test_by_hash_no_game_moves_when_the_store_grows_tenfold(tmp_path: Path) -> None:
    """Parts before are in the parts after, and these are some 80, 10 and 10 per cent."""
    names = [f"20251217-{number:016x}" for number in range(300)]
    query = store_with(tmp_path / "store", *[game(name, 0, 1) for name in names[:30]])

    def parts() -> Iterator[set[str]]:
        path = query.export(tmp_path / "s", view="games", split="hash", overwrite=True).path
        return (set(pl.read_parquet(path / f"split={part}")["game_id"]) for part in PARTS)

    before = list(parts())
    write(tmp_path / "store", [event for name in names[30:] for event in game(name, 3, 1)])
    after = list(parts())

    assert all(old <= new for old, new in zip(before, after, strict=True))
    assert set().union(*after) == set(names)
    assert sum(map(len, after)) == 300
    assert [abs(len(part) - size) < 20 for part, size in zip(after, (240, 30, 30), strict=True)] == [True] * 3


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_cuts_come_nearest_to_80_10_10(n_games: list[int]) -> None:
    """Of all cuts between whole days that leave no part empty without need."""
    dates = [str(date(2025, 12, 28) + timedelta(days=day)) for day in range(len(n_games))]
    split = DateSplit.of(dict(zip(dates, n_games, strict=True)))
    if not any(n_games):
        assert split.cuts is None
        return

    def sizes(part: Callable[[int], str]) -> list[int]:
        return [sum(n for day, n in enumerate(n_games) if part(day) == name) for name in PARTS]

    def badness(some: list[int]) -> tuple[int, int]:
        return some.count(0), sum(
            abs(10 * n - tenths * sum(n_games)) for n, tenths in zip(some, (8, 1, 1), strict=True)
        )

    places = range(len(n_games) + 1)
    every = [
        sizes(lambda day, a=a, b=b: PARTS[(day >= a) + (day >= b)])  # type: ignore[misc]
        for a in places
        for b in places[a:]
    ]
    assert badness(sizes(lambda day: split.part("", dates[day]))) == min(badness(some) for some in every if some[0])
    assert all(PARTS.index(a) <= PARTS.index(b) for a, b in pairwise(split.part("", day) for day in dates))


def test_without_links_a_kept_file_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that knows none: the same bytes and time."""
    query = store_with(tmp_path / "store", days(2))
    path = query.export(tmp_path / "f").path
    before = stamps(path)
    write(tmp_path / "store", game("new", 2))

    def no_links(*names: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert query.export(path, overwrite=True).n_computed == 1
    after = stamps(path)
    assert all(after[name][1:] == stamp[1:] for name, stamp in before.items())
