"""The second execution gives the bits of the SQL, and is left out where it would not."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import NO_REAL_RECORDINGS, REAL_GAMES, episode, store_with
from tests.test_tick_features import (
    EPISODES,
    assert_same_bits,
    eventful,
    plain_features,
    plain_ticks,
    ticks_of,
    walk,
    with_holes,
)
from vectra_analytics import (
    EventEnvelope,
    EventSource,
    EventStorePaths,
    EventStoreQuery,
    columnar,
    game_reader,
    import_recordings,
    prepared,
    second_execution,
)
from vectra_analytics.features import Views, catalogue

TICKS = list(catalogue()["ticks"].columns)
FEATURES = list(catalogue()["tick_features"].columns)
TYPES = {
    "ts": pl.Datetime("us", "UTC"),
    "session_id": pl.String(),
    "seq": pl.Int64(),
    "game_id": pl.String(),
    "tick": pl.Int64(),
    "price": pl.Float64(),
    "active": pl.Boolean(),
    "rugged": pl.Boolean(),
}

READ = list(TYPES)

Event = tuple[Any, ...]
"""In the order of TYPES."""


def events_of(rows: Iterable[Event]) -> pl.DataFrame:
    """Rows of game_tick."""
    return pl.DataFrame(list(rows), TYPES, orient="row")


def ticks_by_sql(events: pl.DataFrame) -> pl.DataFrame:
    """What the SQL of `ticks` makes of these events, in a DuckDB of our own."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("given_events", events.to_arrow())
        connection.execute("CREATE TABLE game_tick AS FROM given_events")
        none = "SELECT *, '' AS raw_json, '' AS event_name FROM game_tick WHERE false"
        connection.execute(f"CREATE VIEW complete_game AS {none}")
        connection.execute(f"CREATE VIEW ws_event AS {none}")
        views = catalogue()
        connection.execute(f"CREATE VIEW tick_sightings AS {views['tick_sightings'].sql}")
        found: pl.DataFrame = connection.sql(f"SELECT * FROM ({views['ticks'].sql}) ORDER BY game_id, tick").pl()
        return found.with_columns(pl.col("ts").dt.convert_time_zone("UTC"))


def features_by_sql(ticks: pl.DataFrame) -> pl.DataFrame:
    """What the SQL of `tick_features` makes of these ticks."""
    return plain_features(ticks).with_columns(pl.col("ts").dt.convert_time_zone("UTC"))


def of_ticks(ticks: pl.DataFrame, columns: Sequence[str] = FEATURES) -> pl.DataFrame:
    """The features of these ticks, computed the second way."""
    found = columnar.tick_features(ticks, columns)
    assert found is not None
    return found


def of_events(events: pl.DataFrame, columns: Sequence[str] = TICKS) -> pl.DataFrame:
    """The ticks of these events, found the second way."""
    found = columnar.ticks(events, columns)
    assert found is not None
    return found


def games_of(kind: str) -> dict[str, list[tuple[int, float, bool]]]:
    """Some games of a kind that is hard in its own way."""
    chance = random.Random(kind)
    wild = [0.0, 5e-324, 1e-310, 1e-300, 1e-16, 0.1, 1.0, 1.0, 1 + 2**-52, 123.456, 1e12, 1e150, 1e155, 1e300, 1.7e308]
    match kind:
        case "episodes":
            return {name: ticks_of(*episode) for name, episode in EPISODES.items()}
        case "one of 40,000 ticks":
            return {"long": ticks_of(with_holes(walk(40, 40_000), 40, 0.0005))}
        case "1 to 25 ticks":
            return {f"g{n}": ticks_of(walk(n, chance.randrange(1, 26))) for n in range(1_000)}
        case "eventful":
            return {f"g{n}": ticks_of(eventful(n, 300)) for n in range(30)}
        case "holes":
            shares = (0.02, 0.3, 0.7)
            return {
                f"g{n}": ticks_of(with_holes(walk(n, chance.randrange(1, 120)), n, chance.choice(shares)), n % 5)
                for n in range(200)
            }
        case "beyond all measure":
            return {
                f"g{n}": ticks_of(with_holes(chance.choices(wild, k=chance.randrange(1, 80)), n, (n % 3) / 10))
                for n in range(200)
            }
        case "hardly moving":
            return {
                f"g{n}": ticks_of([1 + chance.uniform(-1, 1) * 10.0 ** -chance.randrange(18) for _ in range(200)])
                for n in range(40)
            }
        case "far ticks":
            return {"far": [(2**63 - 40 + tick, 1.0 + tick % 3, False) for tick in range(40)], "near": [(0, 1.0, True)]}
    raise ValueError(kind)


KINDS = (
    "episodes",
    "one of 40,000 ticks",
    "1 to 25 ticks",
    "eventful",
    "holes",
    "beyond all measure",
    "hardly moving",
    "far ticks",
)


@pytest.mark.parametrize("kind", KINDS)
def test_features_have_the_bits_of_the_sql(kind: str) -> None:
    """Each column of many games at once, whatever happens in them."""
    ticks = plain_ticks({game: ticks for game, ticks in games_of(kind).items() if ticks}).sort("game_id", "tick")
    assert_same_bits(of_ticks(ticks), features_by_sql(ticks))


def test_some_columns_are_those_of_all() -> None:
    """Each column alone, and some in another order, are what they are among all."""
    ticks = plain_ticks(games_of("eventful")).sort("game_id", "tick")
    whole = of_ticks(ticks)
    for name in FEATURES:
        assert_same_bits(of_ticks(ticks, [name]), whole.select(name))
    assert_same_bits(of_ticks(ticks, ["zscore_10", "tick"]), whole.select("zscore_10", "tick"))


def test_no_rows_have_the_columns_and_types_of_the_sql() -> None:
    """Of nothing comes nothing, of the same types."""
    none = events_of([])
    assert_same_bits(of_events(none), ticks_by_sql(none))
    assert of_events(none).schema == ticks_by_sql(none).schema
    ticks = of_events(none).drop("source")
    assert of_ticks(ticks).schema == features_by_sql(ticks).schema


@pytest.mark.parametrize("price", [-0.0, 0.0])
def test_negative_zero_is_left_to_the_sql(price: float) -> None:
    """Which of 0 and -0 is the larger, the SQL does not say."""
    found = columnar.tick_features(plain_ticks({"g": [(0, 1.0, False), (1, price, False)]}), FEATURES)
    assert (found is None) == (str(price) == "-0.0")


# Which sightings are ticks

a_price = st.sampled_from([0.0, 5e-324, 0.1, 1.0, 1.0, 1.5, 1 + 2**-52, 600.0, 1e12, 1e155, 1e300, 1.7e308])
an_event = st.tuples(
    st.integers(0, 3),  # ts: many are equal
    st.sampled_from(["", "s", "sé", "z"]),
    st.integers(0, 5),
    st.sampled_from(["", "a", "a game with a long name 1", "a game with a long name 2", None]),
    st.one_of(st.none(), st.integers(-1, 12)),
    st.one_of(st.none(), a_price, st.sampled_from([-1.0, float("nan"), float("inf")])),
    st.sampled_from([True, True, None, False]),
    st.sampled_from([False, False, False, None, True]),
)


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(st.lists(an_event, max_size=70))
def test_ticks_and_features_of_whatever_events_have_the_bits_of_the_sql(rows: list[Event]) -> None:
    """Unsorted, with duplicates, ghosts, holes, equal times, unplayed rows, and what says nothing of its flags."""
    assert_the_bits_of_the_sql(events_of(rows))


@pytest.mark.parametrize("seed", range(25))
def test_crowded_games_have_the_bits_of_the_sql(seed: int) -> None:
    """The same, of many events on few ticks, so that nearly every choice among sightings is made."""
    chance = random.Random(seed)
    flags = chance.choice([(False,), (False, None, True), (False,) * 12 + (True,)])
    rows = [
        (
            chance.randrange(4),
            chance.choice("st"),
            seq,
            f"game {chance.randrange(6)}",
            chance.randrange(30),
            chance.choice([1.0, 1.5, 0.0, chance.random(), 10.0 ** chance.uniform(-300, 300)]),
            chance.choice([True, True, None, False]),
            chance.choice(flags),
        )
        for seq in range(chance.choice([20, 200, 600]))
    ]
    assert_the_bits_of_the_sql(events_of(chance.sample(rows, len(rows)) if seed % 2 else sorted(rows, key=str)))


def assert_the_bits_of_the_sql(events: pl.DataFrame) -> None:
    """Both views of these events."""
    ticks = of_events(events)
    assert_same_bits(ticks, ticks_by_sql(events))
    assert_same_bits(of_ticks(ticks.drop("source")), features_by_sql(ticks))


@pytest.mark.parametrize("order", ["as written", "sorted", "backwards", "shuffled", "games apart"])
def test_the_order_of_the_events_does_not_matter(order: str) -> None:
    """Nearly sorted, or not at all: the same ticks."""
    chance = random.Random(1)
    rows = [
        (tick, f"s{again}", tick, f"game {game:02}", tick, price + again, True, rugged)
        for game in range(20)
        for tick, price, rugged in ticks_of(with_holes(walk(game, 80), game, 0.05), rug=game % 2 == 0)
        for again in range(2 if tick % 9 == game % 9 else 1)
    ]
    events = events_of(rows)
    wanted = ticks_by_sql(events)
    if order == "sorted":
        events = events.sort("game_id", "tick", "ts", "seq")
    elif order == "backwards":
        events = events.reverse()
    elif order == "shuffled":
        events = events_of(chance.sample(rows, len(rows)))
    elif order == "games apart":
        events = events.sort("tick", maintain_order=True)
    assert_same_bits(of_events(events), wanted)
    assert_same_bits(of_events(events, ["source", "price"]), wanted.select("price", "source"))


@pytest.mark.skipif(not REAL_GAMES.is_dir(), reason=NO_REAL_RECORDINGS)
def test_real_recordings_have_the_bits_of_the_sql(tmp_path_factory: pytest.TempPathFactory) -> None:
    """All ticks and features of recorded games."""
    folder = tmp_path_factory.mktemp("real")
    import_recordings(sorted(REAL_GAMES.glob("*.jsonl"))[::4], folder, timezone="America/New_York")
    query = EventStoreQuery(EventStorePaths(folder))
    events = query.query(f"SELECT {', '.join(READ)} FROM game_tick")
    ticks = of_events(events)
    assert ticks.height > 1_000
    assert_same_bits(ticks, ticks_by_sql(events))
    assert_same_bits(of_ticks(ticks.drop("source")), features_by_sql(ticks))
    assert_same_bits(query.features("ticks"), ticks)
    with second_execution.left_out():
        by_sql = query.features()
    assert_same_bits(query.features(), by_sql)


# When it is left out

TICK = frozenset({"game_tick"})
ORDER = ("game_id", "tick")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The views whose SQL is run from now on, as in a process that has not used the second execution yet."""
    found: list[str] = []

    def view_of(views: Views, view: str, *rest: Any, **named: Any) -> pl.DataFrame:
        found.append(view)
        return real(views, view, *rest, **named)

    real = prepared.view_of
    monkeypatch.setattr(prepared, "view_of", view_of)
    monkeypatch.setattr(second_execution, "_agrees", {})
    return found


def rows_of(events: pl.DataFrame, view: str = "tick_features", kinds: frozenset[str] = TICK) -> pl.DataFrame:
    """All columns of a view, by whichever execution."""
    found = second_execution.rows_of(catalogue(), view, events, kinds, list(catalogue()[view].columns), ORDER)
    return found.with_columns(pl.col("ts").dt.convert_time_zone("UTC"))


EVENTS = events_of((tick, "s", tick, "g", tick, 1.0 + tick % 3 / 7, True, False) for tick in range(30))


def test_the_first_use_compares_a_sample_with_the_sql(asked: list[str]) -> None:
    """Where all bits agree it is used, and the SQL is asked no second time."""
    for _ in range(2):
        assert_same_bits(rows_of(EVENTS), features_by_sql(ticks_by_sql(EVENTS)))
        assert_same_bits(rows_of(EVENTS, "ticks"), ticks_by_sql(EVENTS))
    assert asked == ["tick_features"]


def _contracted(self: columnar._Sums) -> columnar.Floats:
    """The last bit of some windows is another one, as from a processor that joins two operations."""
    found = _right(self)
    found[::7] = np.nextafter(found[::7], 2.0)
    return found


_right = columnar._Sums.deviation_20


def test_a_kernel_with_another_bit_is_left_out_for_the_process(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison finds it, and all is computed by the SQL, also when the kernel would agree again."""
    with monkeypatch.context() as broken:
        broken.setattr(columnar._Sums, "deviation_20", _contracted)
        assert_same_bits(rows_of(EVENTS), features_by_sql(ticks_by_sql(EVENTS)))
    assert_same_bits(rows_of(EVENTS, "ticks"), ticks_by_sql(EVENTS))
    assert asked == ["tick_features", "tick_features", "ticks"]


def test_another_version_of_the_sql_is_executed_by_duckdb(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What numpy does was written after one text; another one is done as it says."""
    changed = replace(
        catalogue()["ticks"], sql=catalogue()["ticks"].sql.replace("price,\n", "price + 1 AS price,\n", 1)
    )
    monkeypatch.setattr("tests.test_columnar.catalogue", lambda: Views({**catalogue_before, "ticks": changed}))
    assert rows_of(EVENTS, "ticks")["price"].to_list() == [1 + price for price in EVENTS["price"]]
    assert rows_of(EVENTS)["price"].to_list() == [1 + price for price in EVENTS["price"]]
    assert asked == ["ticks", "tick_features"]


catalogue_before = catalogue()


def test_what_it_leaves_to_the_sql_is_done_by_it(asked: list[str]) -> None:
    """Another order, a price of -0, and what is switched off."""
    negative = EVENTS.with_columns(price=pl.when(pl.col("tick") == 3).then(-0.0).otherwise("price"))
    for _ in range(2):
        assert_same_bits(rows_of(negative).drop("max_price"), features_by_sql(ticks_by_sql(negative)).drop("max_price"))
    assert asked == ["tick_features"] * 3
    backwards = second_execution.rows_of(catalogue(), "ticks", EVENTS, TICK, ["tick"], ("game_id DESC", "tick DESC"))
    assert backwards["tick"].to_list() == list(range(29, -1, -1))
    with second_execution.left_out():
        assert_same_bits(rows_of(EVENTS), features_by_sql(ticks_by_sql(EVENTS)))
    assert asked == ["tick_features"] * 3 + ["ticks", "tick_features"]


def test_what_other_kinds_say_of_a_tick_is_found_by_the_sql(asked: list[str], tmp_path: Path) -> None:
    """Lists of prices are read by DuckDB; what is computed of the ticks is computed the second way."""
    with_list = EventEnvelope.from_complete_game(
        {"gameId": "g1", "prices": [1.0, 1.5, 2.0, 0.1]}, EventSource.PUBLIC_WS, "list", 1
    )
    query = store_with(tmp_path, episode(1, 1.25, 2), [with_list], episode(3, 4, game_id="g2"))
    assert query.features("ticks")["price"].to_list() == [1.0, 1.5, 2.0, 0.1, 3.0, 4.0]
    assert query.features()["price_change"].to_list() == [None, 0.5, 0.5, -1.9, None, 1.0]
    assert asked == ["tick_features", "ticks", "ticks"]


def test_blocks_on_several_threads_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many games are computed together, the rows are those of all at once, in order, by either execution."""
    games = [episode(*eventful(n, 60 + n), game_id=f"game {n:02}", rug=n % 3 == 0) for n in range(40)]
    query = store_with(tmp_path, *games)
    for view in ("tick_features", "ticks"):
        wanted = query.features(view)
        assert wanted["game_id"].n_unique() == 40
        with monkeypatch.context() as small:
            small.setattr(game_reader, "BLOCK_ROWS", 150)
            assert_same_bits(query.features(view), wanted)
            with second_execution.left_out():
                assert_same_bits(query.features(view), wanted)
            iterated = query.iter_episodes(view=view)
            assert next(iterated).height
            del iterated  # what waits is given up
            assert_same_bits(pl.concat(query.iter_episodes(view=view)).sort("game_id", "tick"), wanted)


def test_an_error_in_a_block_is_raised_where_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread keeps it to itself."""
    query = store_with(tmp_path, *(episode(1, 2, game_id=f"g{n}") for n in range(5)))
    query.features()
    monkeypatch.setattr(game_reader, "BLOCK_ROWS", 2)
    monkeypatch.setattr(columnar, "ticks", lambda events, columns: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        query.features()


def _each(sample: pl.DataFrame) -> dict[str, int]:
    """How often the sample holds what makes a difference."""
    ticks = ticks_by_sql(sample.select(READ))
    played = sample.filter(pl.col("active").fill_null(True) | pl.col("rugged").fill_null(False))
    features = features_by_sql(ticks)
    return {
        "seen again": played.height - played.select("game_id", "tick").n_unique(),
        "ghosts": played.select("game_id", "tick").n_unique() - ticks.height,
        "not played": sample.height - played.height,
        "holes": int(features["price_change"].null_count()) - ticks["game_id"].n_unique(),
        "nothing said": sample["active"].null_count() + sample["rugged"].null_count(),
        "beyond measure": ticks.filter(~pl.col("price").is_between(1e-150, 1e150)).height,
        "zero": ticks.filter(pl.col("price") == 0).height,
        "constant": features.filter(pl.col("volatility_20") == 0).height,
        "long windows": features["return_volatility_20"].count(),
        "small moves": features.filter(pl.col("log_return").abs().is_between(1e-17, 1e-12)).height,
        "ties": played.height - played.select("game_id", "tick", "ts").n_unique(),
    }


def test_the_sample_holds_all_that_makes_a_difference() -> None:
    """Holes, ghosts, ties, zeros, constants, long windows, numbers out of all measure, flags that say nothing."""
    assert {name for name, times in _each(second_execution.sample()).items() if not times} == set()


@pytest.mark.parametrize("view", second_execution.EXECUTES)
def test_the_version_of_the_sql_that_is_executed_is_the_one_there_is(view: str) -> None:
    """Whoever changes the SQL changes the second execution, and then the version that it names."""
    assert second_execution.EXECUTES[view] == catalogue().version(view)
