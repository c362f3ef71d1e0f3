"""tick_features: every column exact, and the same numbers wherever, whenever and with whomever a game is stored."""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from pathlib import Path

import duckdb
import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import NO_REAL_RECORDINGS, REAL_GAMES, episode, store_with, write
from tests.oracle import COLUMNS, LEVELS, RATIOS, Oracle, Tick, problems
from vectra_analytics import EventEnvelope, EventStorePaths, EventStoreQuery, import_recordings
from vectra_analytics.features import catalogue

Prices = Sequence[float | None]
"""A price a tick; None where the tick was not seen."""


def ticks_of(prices: Prices, first_tick: int = 0, rug: bool = False) -> list[Tick]:
    """What ``ticks`` must hold of the episode that the builder makes of the same arguments."""
    last = len(prices) - 1
    return [
        (first_tick + index, float(price), rug and index == last)
        for index, price in enumerate(prices)
        if price is not None
    ]


def walk(seed: int, n: int, start: float = 1.0, spread: float = 0.07) -> list[float]:
    """A price that wanders, now and then flat, within what exactness is promised for."""
    chance = random.Random(seed)
    prices = [start]
    while len(prices) < n:
        step = 1.0 if chance.random() < 0.1 else math.exp(chance.gauss(0, spread))
        prices.append(min(max(prices[-1] * step, 1e-6), 1e12))
    return prices


def with_holes(prices: Iterable[float], seed: int, share: float) -> list[float | None]:
    """The prices without some of them."""
    chance = random.Random(seed)
    return [None if chance.random() < share else price for price in prices]


def bits(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with each float as the whole number of the same 64 bits, so that equal means equal to the last bit."""
    table = frame.to_arrow()
    for index, field in enumerate(table.schema):
        if field.type == pa.float64():
            whole = pa.chunked_array([chunk.view(pa.int64()) for chunk in table.column(index).chunks], pa.int64())
            table = table.set_column(index, field.name, whole)
    converted = pl.from_arrow(table)
    assert isinstance(converted, pl.DataFrame)
    return converted


def assert_same_bits(got: pl.DataFrame, wanted: pl.DataFrame) -> None:
    """The same rows in the same order, to the last bit; says where they differ."""
    assert got.columns == wanted.columns
    assert got.height == wanted.height
    got, wanted = bits(got), bits(wanted)
    different = [name for name in got.columns if not got[name].equals(wanted[name], null_equal=True)]
    assert not different


def column(query: EventStoreQuery, name: str, game_id: str = "g1") -> list[float | None]:
    """One column of a game."""
    return query.get_tick_features(game_id)[name].to_list()


def plain_features(ticks: pl.DataFrame, threads: int | None = None, view: str = "tick_features") -> pl.DataFrame:
    """What a view's SQL makes of a plain table of ticks, in a DuckDB of our own with so many threads."""
    with duckdb.connect(config={} if threads is None else {"threads": threads}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("given_ticks", ticks.to_arrow())
        connection.execute("CREATE TABLE ticks AS FROM given_ticks")
        sql = f"SELECT * FROM ({catalogue()[view].sql}) ORDER BY {', '.join(catalogue()[view].grain)}"
        found: pl.DataFrame = connection.sql(sql).pl()
        return found


def plain_ticks(games: Mapping[str, Sequence[Tick]]) -> pl.DataFrame:
    """These games as a table of ticks."""
    rows = [(game_id, tick, price, rugged) for game_id, ticks in games.items() for tick, price, rugged in ticks]
    frame = pl.DataFrame(
        rows, schema={"game_id": pl.String, "tick": pl.Int64, "price": pl.Float64, "rugged": pl.Boolean}, orient="row"
    )
    return frame.with_columns(ts=pl.lit(None, pl.Datetime("us", "UTC")))


# Numbers by hand


def test_a_small_episode_has_the_numbers_computed_by_hand(tmp_path: Path) -> None:
    """Seven ticks with a rug give what pencil and paper give, column by column."""
    query = store_with(tmp_path, episode(1, 2, 4, 2, 3, 6, 0.6, rug=True))
    none = None
    by_hand: dict[str, list[float | None]] = {
        "tick": [0, 1, 2, 3, 4, 5, 6],
        "price": [1, 2, 4, 2, 3, 6, 0.6],
        "price_change": [none, 1, 2, -2, 1, 3, -5.4],
        "price_pct_change": [none, 1, 1, -0.5, 0.5, 1, -0.9],
        "log_return": [none, math.log(2), math.log(2), -math.log(2), math.log(1.5), math.log(2), -math.log(10)],
        # 1 2 4 2 3: mean 2.4, squares 1.96 + .16 + 2.56 + .16 + .36 = 5.2, over 4 = 1.3; and so on
        "volatility_5": [none, none, none, none, sqrt(1.3), sqrt(2.8), sqrt(4.172)],
        "volatility_10": [none] * 7,
        "volatility_20": [none] * 7,
        # 1 1 -.5 .5 1: mean .6, squares .16 + .16 + 1.21 + .01 + .16 = 1.7, over 4 = .425
        "return_volatility_5": [none, none, none, none, none, sqrt(0.425), sqrt(0.767)],
        "return_volatility_10": [none] * 7,
        "return_volatility_20": [none] * 7,
        "max_price": [1, 2, 4, 4, 4, 6, 6],
        "drawdown": [0, 0, 0, -0.5, -0.25, 0, -0.9],
        "max_drawdown": [0, 0, 0, -0.5, -0.5, -0.5, -0.9],
        "ticks_since_peak": [0, 0, 0, 1, 2, 0, 1],
        "momentum_3": [none, none, none, 1, 0.5, 0.5, -0.7],
        "momentum_5": [none, none, none, none, none, 5, -0.7],
        "momentum_10": [none] * 7,
        "zscore_10": [none] * 7,
    }
    got = query.get_tick_features("g1")
    for name, wanted in by_hand.items():
        for index, (value, exact) in enumerate(zip(got[name].to_list(), wanted, strict=True)):
            assert value == (None if exact is None else pytest.approx(exact, rel=1e-13, abs=1e-15)), (name, index)
    assert got["rugged"].to_list() == [False] * 6 + [True]
    assert got["game_id"].unique().to_list() == ["g1"]


def test_long_windows_have_the_numbers_computed_by_hand(tmp_path: Path) -> None:
    """The windows of 10 and 20 of 1, 2, 3 ... and of 1, 2, 1, 2 ... are those of the formulas."""
    query = store_with(tmp_path, episode(*range(1, 23), game_id="rising"), episode(*[1, 2] * 12, game_id="up and down"))
    rising = query.get_tick_features("rising")
    up_and_down = query.get_tick_features("up and down")

    def at(frame: pl.DataFrame, name: str, tick: int) -> float:
        return float(frame[name][tick])

    # n whole numbers in a row: n (n + 1) / 12
    assert at(rising, "volatility_10", 9) == pytest.approx(sqrt(110 / 12), rel=1e-14)
    assert at(rising, "volatility_20", 19) == pytest.approx(sqrt(35), rel=1e-14)
    assert at(rising, "volatility_20", 21) == pytest.approx(sqrt(35), rel=1e-14)
    assert at(rising, "zscore_10", 9) == pytest.approx(4.5 / sqrt(110 / 12), rel=1e-14)
    assert at(rising, "momentum_10", 10) == 10.0
    assert at(rising, "momentum_10", 11) == 5.0
    # half of them 1 and half 2: a quarter each, times n / (n - 1); returns of +1 and -1/2: 9/16 each
    assert at(up_and_down, "volatility_20", 19) == pytest.approx(sqrt(5 / 19), rel=1e-14)
    assert at(up_and_down, "return_volatility_10", 10) == pytest.approx(sqrt(0.625), rel=1e-14)
    assert at(up_and_down, "return_volatility_20", 20) == pytest.approx(sqrt(20 * 9 / 16 / 19), rel=1e-14)


FIRST_TICK = {
    "price": 0,
    "price_change": 1,
    "price_pct_change": 1,
    "log_return": 1,
    "volatility_5": 4,
    "volatility_10": 9,
    "volatility_20": 19,
    "return_volatility_5": 5,
    "return_volatility_10": 10,
    "return_volatility_20": 20,
    "max_price": 0,
    "drawdown": 0,
    "max_drawdown": 0,
    "ticks_since_peak": 0,
    "momentum_3": 3,
    "momentum_5": 5,
    "momentum_10": 10,
    "zscore_10": 9,
}
"""Where each column begins in a game without holes."""


def test_each_column_begins_where_its_window_is_whole(tmp_path: Path) -> None:
    """In games of 1 to 23 ticks a column is NULL before its first whole window, and nowhere else."""
    lengths = range(1, 24)
    query = store_with(tmp_path, *(episode(*walk(n, n, spread=0.1), game_id=f"g{n}") for n in lengths))
    by_game = query.features().partition_by("game_id", as_dict=True)
    assert set(FIRST_TICK) == set(COLUMNS)
    for n in lengths:
        game = by_game[(f"g{n}",)]
        for name, first in FIRST_TICK.items():
            assert game[name].is_null().to_list() == [tick < first for tick in range(n)], (n, name)


def test_holes_are_counted_as_ticks(tmp_path: Path) -> None:
    """After a tick that was not seen each window waits until it is whole again; maxima go on over what was seen."""
    query = store_with(tmp_path, episode(4, 5, None, 2, 3, 4, 5, 6, 3))
    assert column(query, "tick") == [0, 1, 3, 4, 5, 6, 7, 8]
    assert column(query, "price_change") == [None, 1, None, 1, 1, 1, 1, -3]
    assert column(query, "price_pct_change") == [None, 0.25, None, 0.5, 1 / 3, 0.25, 0.2, -0.5]
    assert [value is None for value in column(query, "log_return")] == [True, False, True] + [False] * 5
    assert [value is None for value in column(query, "volatility_5")] == [True] * 6 + [False] * 2
    assert [value is None for value in column(query, "return_volatility_5")] == [True] * 7 + [False]
    assert column(query, "max_price") == [4, 5, 5, 5, 5, 5, 6, 6]
    assert column(query, "drawdown") == [0, 0, -0.6, -0.4, -0.2, 0, 0, -0.5]
    assert column(query, "max_drawdown") == [0, 0, -0.6, -0.6, -0.6, -0.6, -0.6, -0.6]
    assert column(query, "ticks_since_peak") == [0, 0, 2, 3, 4, 5, 0, 1]


def test_a_change_needs_its_two_ends_alone(tmp_path: Path) -> None:
    """momentum_n is NULL where the tick n ago was not seen; a hole between the two does not matter."""
    query = store_with(tmp_path, episode(4, 5, None, 2, 3, 4))
    assert column(query, "momentum_3") == [None, None, -0.5, -0.4, None]
    assert column(query, "momentum_5") == [None, None, None, None, 0.0]


def test_the_peak_is_the_first_of_equals(tmp_path: Path) -> None:
    """Ticks since the peak are counted from the first tick at the running maximum."""
    query = store_with(tmp_path, episode(1, 3, 2, 3, 3, 4, 4))
    assert column(query, "ticks_since_peak") == [0, 0, 1, 2, 3, 0, 1]


def test_what_would_divide_by_zero_is_null(tmp_path: Path) -> None:
    """A previous price of 0, a maximum of 0 and the logarithm of 0 give NULL, and so do windows of such changes."""
    query = store_with(tmp_path, episode(0, 0, 2, 1, 0, 0, 3))
    assert column(query, "price_change") == [None, 0, 2, -1, -1, 0, 3]
    assert column(query, "price_pct_change") == [None, None, None, -0.5, -1, None, None]
    assert column(query, "log_return") == [None, None, None, pytest.approx(-math.log(2)), None, None, None]
    assert column(query, "drawdown") == [None, None, 0, -0.5, -1, -1, 0]
    assert column(query, "max_drawdown") == [None, None, 0, -0.5, -1, -1, -1]
    assert column(query, "ticks_since_peak") == [0, 1, 0, 1, 2, 3, 0]
    assert column(query, "momentum_3") == [None, None, None, None, None, -1, 2]
    assert column(query, "return_volatility_5") == [None] * 7
    assert column(query, "volatility_5")[4:] == [
        pytest.approx(sqrt(0.8)),
        pytest.approx(sqrt(0.8)),
        pytest.approx(sqrt(1.7)),
    ]


@pytest.mark.parametrize("price", [1.0, 0.1, 1 / 3, 1e-6, 123456.789, 1e12])
def test_a_constant_price_has_no_volatility_at_all(tmp_path: Path, price: float) -> None:
    """Over a constant window volatility is 0 to the bit, and there is no z-score."""
    got = store_with(tmp_path, episode(*[price] * 50)).features()
    for name, first in FIRST_TICK.items():
        if "volatility" in name:
            assert got[name].to_list() == [None] * first + [0.0] * (50 - first)
    assert got["zscore_10"].null_count() == 50


def test_a_constant_stretch_after_a_wild_one_has_no_volatility_either(tmp_path: Path) -> None:
    """No trace of earlier prices is left in a window that is constant."""
    prices = [*walk(3, 200, spread=0.5), 1e12, 1e-6, *[0.1] * 45, *walk(4, 30)]
    got = store_with(tmp_path, episode(*prices)).features()
    for n in (5, 10, 20):
        flat = got.filter(pl.col("tick").is_between(202 + n - 1, 246))
        assert flat[f"volatility_{n}"].to_list() == [0.0] * flat.height
        flat = got.filter(pl.col("tick").is_between(202 + n, 246))
        assert flat[f"return_volatility_{n}"].to_list() == [0.0] * flat.height


# Every column against the oracle

EPISODES: dict[str, tuple[Prices, int, bool]] = {
    "constant": ([1.0] * 30, 0, False),
    "constant 0.1": ([0.1] * 60, 0, False),
    "one tick": ([1.0], 0, False),
    "one tick, a rug": ([0.02], 0, True),
    "two ticks": ([1.0, 0.015], 0, True),
    "pumped 600 times, then rugged": ([1.03**tick for tick in range(218)] + [0.0123], 0, True),
    "pumped at once": ([1.0] * 15 + [600.0] * 8 + walk(1, 30, 600.0) + [0.001], 0, True),
    "noise of 1e-3 at 1e8": ([1e8 + random.Random(5).uniform(-1e-3, 1e-3) for _ in range(80)], 0, False),
    "steps of 1e-3 at 1e8": ([1e8, 1e8 + 1e-3] * 30, 0, False),
    "noise of 1e-9 at 1": ([1 + random.Random(6).uniform(-1e-9, 1e-9) for _ in range(80)], 0, False),
    "last bits": ([1 + 2**-52 * random.Random(7).randrange(9) for _ in range(80)], 0, False),
    "holes": (with_holes(walk(8, 150), 8, 0.08), 0, True),
    "many holes": (with_holes(walk(9, 150), 9, 0.5), 0, False),
    "holes at all edges": (
        [price for n in (1, 4, 5, 6, 9, 10, 11, 19, 20, 21, 22) for price in (*walk(n, n), None)],
        0,
        False,
    ),
    "joined late": (walk(10, 60), 37, True),
    "joined late, with holes": (with_holes(walk(11, 80), 11, 0.1), 300, True),
    "a 0 in the middle": ([*walk(12, 30), 0.0, *walk(13, 30)], 0, False),
    "a 0 at the start": ([0.0, *walk(14, 40)], 0, False),
    "several 0": ([0.0, 0.0, *walk(15, 12), 0.0, 0.0, *walk(16, 12), 0.0, 1.0, 0.0, *walk(17, 25)], 0, False),
    "0 throughout": ([0.0] * 25, 0, True),
    "a spike to 1e12": ([*walk(18, 40), 1e12, *walk(19, 60)], 0, False),
    "spikes to 1e12 and 1e-6": ([*walk(20, 23), 1e12, 1e-6, *walk(21, 25), 1e-6, 1e12, *walk(22, 25)], 0, False),
    "from 1e-6 to 1e12 and back": ([10.0**n for n in (*range(-6, 13), *range(11, -7, -1))] * 2, 0, False),
    "moves about a half": ([2.0 * (1 + (-1) ** n * (0.5 + n * 1e-16)) for n in range(60)], 0, False),
    "wild": (walk(23, 200, spread=2.0), 0, True),
}
EPISODES |= {f"{n} ticks": (walk(n, n), 0, False) for n in (3, 4, 5, 6, 9, 10, 11, 19, 20, 21, 22)}


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> EventStoreQuery:
    """One store with all of EPISODES."""
    return store_with(
        tmp_path_factory.mktemp("episodes"),
        *(episode(*prices, game_id=name, first_tick=first, rug=rug) for name, (prices, first, rug) in EPISODES.items()),
    )


@pytest.mark.parametrize("name", EPISODES)
def test_every_value_is_exact(episodes: EventStoreQuery, name: str) -> None:
    """Each value of each column is within its tolerance of the exact one, and NULL where that is."""
    prices, first_tick, rug = EPISODES[name]
    assert problems(ticks_of(prices, first_tick, rug), episodes.get_tick_features(name)) == []


def test_forty_thousand_ticks_are_exact(tmp_path: Path) -> None:
    """Nothing adds up over a long game: a sample in full, all rows in the cheap columns and in what is NULL."""
    chance = random.Random(40)
    prices = with_holes(walk(40, 40_000), 40, 0.0005)
    prices[5_000] = 1e12  # the peak of all the rest
    sample = {*range(40), *range(39_940, len(ticks_of(prices))), *(chance.randrange(39_900) for _ in range(250))}
    got = store_with(tmp_path, episode(*prices)).features()
    assert problems(ticks_of(prices), got, costly=sample) == []


def test_prices_beyond_all_measure_give_null_and_never_a_wrong_number(tmp_path: Path) -> None:
    """Where squares and quotients overflow the value is NULL: never NaN, infinity or a number that is not it."""
    huge = [1e150, 1e155, 3e200, 1e250, 1e308, 1.7e308, 1.2e308, 1.5e308]
    chance = random.Random(308)
    games: dict[str, list[float]] = {
        "all": [chance.choice(huge) for _ in range(60)],
        "steady": [1e200 * (1 + tick % 3) for tick in range(40)],
        "constant": [1.7e308] * 30,
        "now and then": [chance.choice([*walk(308, 9), *huge]) for _ in range(80)],
        "up and down": [1.0, 1e200] * 20,
    }
    query = store_with(tmp_path, *(episode(*prices, game_id=name) for name, prices in games.items()))
    for name, prices in games.items():
        got = query.get_tick_features(name)
        assert got.select((cs.float().is_null() | cs.float().is_finite()).all()).row(0) == (True,) * 17
        oracle = Oracle(ticks_of(prices))
        for one in COLUMNS:
            may_overflow = one not in ("price", "price_change", "max_price", "drawdown", "max_drawdown")
            for index, value in enumerate(got[one].to_list()):
                if value is None and may_overflow:
                    continue
                assert oracle.expected(index, one).problem_with(value) is None, (name, index, one)


a_price = st.one_of(
    st.sampled_from([1.0, 0.1, 2.0, 0.02, 0.0, 600.0, 1.0000000000000002, 100000000.001, 1e-6, 1e12]),
    st.floats(1e-6, 1e12),
    st.floats(0.5, 2.0),
)
some_prices = st.one_of(
    st.lists(a_price, min_size=1, max_size=45),
    st.lists(st.one_of(a_price, st.none()), min_size=1, max_size=45).filter(
        lambda prices: any(p is not None for p in prices)
    ),
    st.lists(st.sampled_from([1.0, 1.5, 0.1]), min_size=20, max_size=45),
)


@settings(max_examples=10, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(some_prices, st.integers(0, 30)), min_size=1, max_size=3))
def test_whatever_the_prices_are_every_value_is_exact(
    tmp_path_factory: pytest.TempPathFactory, games: list[tuple[Prices, int]]
) -> None:
    """Episodes that nobody thought of are exact as well."""
    query = store_with(
        tmp_path_factory.mktemp("any"),
        *(episode(*prices, game_id=f"g{n}", first_tick=first) for n, (prices, first) in enumerate(games)),
    )
    for n, (prices, first_tick) in enumerate(games):
        assert problems(ticks_of(prices, first_tick), query.get_tick_features(f"g{n}")) == []


@pytest.mark.skipif(not REAL_GAMES.is_dir(), reason=NO_REAL_RECORDINGS)
def test_real_games_are_exact(tmp_path: Path) -> None:
    """A handful of recorded games, with ghosts, holes and a late start, give exact values."""
    files = sorted(REAL_GAMES.glob("*.jsonl"))[::36]
    import_recordings(files, tmp_path, timezone="America/New_York")
    query = EventStoreQuery(EventStorePaths(tmp_path))
    games = query.games()["game_id"].to_list()
    assert len(games) >= 5
    for game_id in games:
        ticks = query.query("SELECT tick, price, rugged FROM ticks WHERE game_id = $game", {"game": game_id}).rows()
        assert problems(ticks, query.get_tick_features(game_id), costly=range(0, len(ticks), 3)) == []


# The law: no look ahead, no look aside


def eventful(seed: int, n: int) -> list[float | None]:
    """A game with all that moves a window: holes, zeros, spikes, flat stretches."""
    prices = with_holes(walk(seed, n, spread=0.2), seed, 0.02)
    for place, price in ((n // 5, 0.0), (n // 3, 1e12), (n // 2, 1e-6)):
        prices[place] = price
    prices[n // 4 : n // 4 + 22] = [0.1] * 22
    return prices


def test_no_row_knows_of_a_later_one(tmp_path: Path) -> None:
    """A game of 300 ticks cut at any of them has the same rows up to there, to the last bit."""
    prices = eventful(1, 300)
    cuts = [prices[:n] for n in range(1, 301)]
    query = store_with(
        tmp_path, *(episode(*cut, game_id=f"cut {len(cut):03}", session_id=f"s{len(cut)}") for cut in cuts)
    )
    by_game = query.features().partition_by("game_id", as_dict=True, include_key=False)
    whole = by_game[("cut 300",)]
    assert len(by_game) == 300
    for n in range(1, 301):
        assert_same_bits(by_game[(f"cut {n:03}",)], whole.filter(pl.col("tick") < n))


@pytest.mark.parametrize("n", [1, 2, 5, 10, 11, 17, 20, 21, 33, 150, 299])
def test_no_row_knows_of_a_later_one_where_that_is_not_stored(tmp_path: Path, n: int) -> None:
    """The same, with the cut game alone in its store."""
    prices = eventful(2, 300)
    whole = store_with(tmp_path / "whole", episode(*prices)).features()
    cut = store_with(tmp_path / "cut", episode(*prices[:n])).features()
    assert_same_bits(cut, whole.filter(pl.col("tick") < n))


def test_no_row_of_a_long_game_knows_of_a_later_one() -> None:
    """The same for a game longer than DuckDB's blocks, cut around their edges and those of the windows."""
    ticks = ticks_of(eventful(3, 4_200))
    edges = [5, 10, 16, 20, 32, 64, 256, 1_024, 2_048, 4_096]
    cuts = sorted({cut for edge in edges for cut in (edge - 1, edge, edge + 1, edge + 10)})
    games = {f"cut {n:04}": [tick for tick in ticks if tick[0] < n] for n in cuts}
    by_game = plain_features(plain_ticks(games | {"whole": ticks})).partition_by(
        "game_id", as_dict=True, include_key=False
    )
    for n in cuts:
        assert_same_bits(by_game[(f"cut {n:04}",)], by_game[("whole",)].filter(pl.col("tick") < n))


def test_no_game_knows_of_another(tmp_path: Path) -> None:
    """A game alone and among 300 others has the same rows to the last bit, whichever way they are asked for."""
    mine = {n: episode(*eventful(n, n) if n > 100 else walk(n, n), game_id=f"mine {n}") for n in (1, 12, 17, 120, 777)}
    chance = random.Random(9)
    others = [
        episode(*walk(seed, chance.choice([1, 2, 9, 15, 16, 17, 31, 60, 150]), spread=1.0), game_id=f"{name}{seed}")
        for seed in range(150)
        for name in ("a", "z")  # before it and behind it
    ]
    among = store_with(tmp_path / "among", *others[:170], *mine.values(), *others[170:])
    whole = among.features().partition_by("game_id", as_dict=True)
    assert len(whole) == 305
    for n, events in mine.items():
        game_id = f"mine {n}"
        alone = store_with(tmp_path / game_id, events).features()
        assert alone.height == len(events)
        assert_same_bits(whole[(game_id,)], alone)
        assert_same_bits(among.features(games=[game_id]), alone)
        assert_same_bits(among.get_tick_features(game_id), alone)
        some = among.features(games=["z3", game_id, "a7", "z149"])
        assert some["game_id"].unique(maintain_order=True).to_list() == ["a7", game_id, "z149", "z3"]
        assert_same_bits(some.filter(pl.col("game_id") == game_id), alone)


def test_the_order_of_storing_does_not_matter(tmp_path: Path) -> None:
    """One commit or forty, sorted, reversed or shuffled: the same rows to the last bit."""
    chance = random.Random(7)
    events = [
        event
        for seed in range(8)
        for event in episode(*eventful(seed, 100 + 37 * seed), game_id=f"g{seed}", rug=seed % 2 == 0)
    ]
    shuffled = chance.sample(events, len(events))
    by_tick = sorted(events, key=lambda event: (-(event.tick or 0), event.session_id))
    wanted = store_with(tmp_path / "sorted", events).features()

    def in_commits(name: str, order: Sequence[EventEnvelope], n: int) -> pl.DataFrame:
        for start in range(0, len(order), n):
            paths = write(tmp_path / name, order[start : start + n])
        return EventStoreQuery(paths).features()

    assert wanted.height == len(events)
    assert_same_bits(in_commits("shuffled", shuffled, len(events)), wanted)
    assert_same_bits(in_commits("backwards", by_tick, len(events)), wanted)
    assert_same_bits(in_commits("in forty", shuffled, len(events) // 40), wanted)


def test_the_number_of_threads_does_not_matter() -> None:
    """One thread or eight, the table sorted or shuffled: the same rows to the last bit."""
    chance = random.Random(8)
    ticks = plain_ticks({f"g{seed}": ticks_of(eventful(seed, chance.choice([60, 300, 2_500]))) for seed in range(70)})
    shuffled = ticks.sample(fraction=1, shuffle=True, seed=8)
    wanted = plain_features(ticks, threads=1)
    assert_same_bits(plain_features(shuffled, threads=1), wanted)
    assert_same_bits(plain_features(ticks, threads=3), wanted)
    assert_same_bits(plain_features(shuffled, threads=8), wanted)


def test_the_unit_of_the_price_does_not_matter(tmp_path: Path) -> None:
    """Prices times a power of two give levels times it and the same ratios, to the last bit."""
    powers = (-40, -7, -1, 0, 1, 3, 30)
    games = {seed: eventful(seed, 200) for seed in range(3)}
    query = store_with(
        tmp_path,
        *(
            episode(*(None if price is None else price * 2.0**k for price in prices), game_id=f"g{seed} {k}")
            for seed, prices in games.items()
            for k in powers
        ),
    )
    by_game = query.features().partition_by("game_id", as_dict=True, include_key=False)
    for seed in games:
        unscaled = by_game[(f"g{seed} 0",)]
        assert set(unscaled.columns) - {*LEVELS, *RATIOS} == {"tick", "ts", "rugged", "ticks_since_peak"}
        for k in powers:
            assert_same_bits(by_game[(f"g{seed} {k}",)], unscaled.with_columns(pl.col(LEVELS) * 2.0**k))


# The view as a table


def test_each_tick_has_one_row_and_no_value_is_nan_or_infinite(episodes: EventStoreQuery) -> None:
    """The grain is unique, the rows are those of ticks in order, and floats are finite or NULL."""
    got = episodes.features()
    assert got.height == sum(price is not None for prices, _, _ in EPISODES.values() for price in prices)
    assert got.select("game_id", "tick").is_duplicated().sum() == 0
    assert got.select("game_id", "tick").rows() == sorted(got.select("game_id", "tick").rows())
    floats = got.select(cs.float())
    assert floats.columns == [name for name in got.columns if name in (*LEVELS, *RATIOS)]
    assert floats.select((cs.all().is_null() | cs.all().is_finite()).all()).row(0) == (True,) * floats.width


TYPES = {"game_id": "VARCHAR", "tick": "BIGINT", "ts": "TIMESTAMP WITH TIME ZONE", "rugged": "BOOLEAN"}


@pytest.mark.parametrize("stored", [False, True])
def test_the_columns_and_their_types_are_those_of_the_contract(tmp_path: Path, stored: bool) -> None:
    """With and without events the view has the same columns, in order, of the same types."""
    query = store_with(tmp_path, episode(1, 2, 3) if stored else [])
    described = query.query("DESCRIBE tick_features")
    names = ["game_id", "tick", "ts", "price", "rugged", "price_change", "price_pct_change", "log_return"]
    names += [f"volatility_{n}" for n in (5, 10, 20)] + [f"return_volatility_{n}" for n in (5, 10, 20)]
    names += ["max_price", "drawdown", "max_drawdown", "ticks_since_peak"]
    names += ["momentum_3", "momentum_5", "momentum_10", "zscore_10"]
    wanted = {name: TYPES.get(name, "DOUBLE") for name in names} | {"ticks_since_peak": "BIGINT"}
    assert list(zip(described["column_name"], described["column_type"], strict=True)) == list(wanted.items())
    assert query.features().schema == query.get_tick_features("g1").schema
    assert dict(query.features().schema) == {
        name: {
            "VARCHAR": pl.String(),
            "BIGINT": pl.Int64(),
            "BOOLEAN": pl.Boolean(),
            "DOUBLE": pl.Float64(),
            "TIMESTAMP WITH TIME ZONE": pl.Datetime("us", "UTC"),
        }[kind]
        for name, kind in wanted.items()
    }


@pytest.mark.parametrize("view", sorted(catalogue()))
@pytest.mark.parametrize("stored", [False, True])
def test_a_header_lists_the_columns_that_its_view_has(tmp_path: Path, view: str, stored: bool) -> None:
    """What a view's header says of its columns is what DuckDB says, in the same order."""
    query = store_with(tmp_path, episode(1, 2, 3) if stored else [])
    assert query.query(f"DESCRIBE {view}")["column_name"].to_list() == list(catalogue()[view].columns)
    assert query.features(view).columns == list(catalogue()[view].columns)
    assert set(catalogue()[view].grain) <= set(catalogue()[view].columns)


def test_only_the_columns_asked_for_come_in_the_order_asked(episodes: EventStoreQuery) -> None:
    """Some columns of some games are those of the whole view."""
    whole = episodes.features().filter(pl.col("game_id").is_in(["holes", "wild"]))
    some = episodes.features(games=["wild", "holes"], columns=["zscore_10", "tick"])
    assert_same_bits(some, whole.select("zscore_10", "tick"))
