"""episode_features: a game in one row, exact, and the same to the last bit wherever it is computed."""

import math
import random
from collections.abc import Sequence
from fractions import Fraction
from math import sqrt
from pathlib import Path
from typing import Any

import mpmath
import polars as pl
import polars.selectors as cs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import NO_REAL_RECORDINGS, REAL_GAMES, START, episode, store_with
from tests.oracle import Expected, Tick
from tests.test_tick_features import (
    EPISODES,
    Prices,
    assert_same_bits,
    eventful,
    plain_features,
    plain_ticks,
    some_prices,
    ticks_of,
    walk,
    with_holes,
)
from vectra_analytics import EventStorePaths, EventStoreQuery, import_recordings
from vectra_analytics.features import catalogue

HELD = (5, 10, 20, 40, 80, 160)
RATIOS = ["return_volatility_before_rug", "log_return_volatility_before_rug", "max_drawdown_before_rug"]
LEVELS = ["peak_price", *(f"value_held_to_{h}" for h in HELD)]
TYPES = {
    "game_id": "VARCHAR",
    "started_at": "TIMESTAMP WITH TIME ZONE",
    "n_ticks": "BIGINT",
    "rug_tick": "BIGINT",
    "peak_price": "DOUBLE",
    "peak_tick": "BIGINT",
    "ticks_after_peak": "BIGINT",
    **dict.fromkeys(RATIOS, "DOUBLE"),
    "longest_rise": "BIGINT",
    "longest_fall": "BIGINT",
    "n_spikes_up_15": "BIGINT",
    "n_spikes_down_15": "BIGINT",
    **{f"value_held_to_{h}": "DOUBLE" for h in HELD},
}

BITS = 200
"""How exact the logarithms and roots of the oracle are."""


def deviation(values: Sequence[Any]) -> Expected:
    """The sample standard deviation of these exact values, with the scale of its tolerance."""
    if len(values) < 2:
        return Expected(None)
    with mpmath.workprec(BITS):
        exact = [mpmath.mpf(v.numerator) / v.denominator if isinstance(v, Fraction) else v for v in values]
        mean = mpmath.fsum(exact) / len(exact)
        squares = mpmath.fsum((value - mean) ** 2 for value in exact)
        return Expected(mpmath.sqrt(squares / (len(exact) - 1)), max(map(abs, exact)) / 100)


def longest(steps: Sequence[bool]) -> int:
    """The most True in a row."""
    best = now = 0
    for step in steps:
        now = now + 1 if step else 0
        best = max(best, now)
    return best


def exact_row(ticks: Sequence[Tick]) -> dict[str, Any]:
    """What the view must say of a game, by the words of its definition."""
    price_at = {tick: Fraction(price) for tick, price, _ in sorted(ticks)}
    rug = next((tick for tick, _, rugged in ticks if rugged), None)
    peak = max(price_at.values())
    peak_tick = min(tick for tick, price in price_at.items() if price == peak)
    before = {tick: price for tick, price in price_at.items() if tick != rug}
    moves = [(before.get(tick - 1), price) for tick, price in before.items()]
    returns = [(now - last) / last for last, now in moves if last]
    with mpmath.workprec(BITS):
        quotients = [now / last for last, now in moves if last and now]
        logs = [mpmath.log(mpmath.mpf(q.numerator) / q.denominator) for q in quotients]
    drawdowns, highest = [], Fraction(0)
    for price in before.values():
        highest = max(highest, price)
        if highest:
            drawdowns.append((price - highest) / highest)
    row: dict[str, Any] = {
        "n_ticks": len(ticks),
        "rug_tick": rug,
        "peak_price": Expected(peak, to_the_bit=True),
        "peak_tick": peak_tick,
        "ticks_after_peak": None if rug is None else rug - peak_tick,
        "return_volatility_before_rug": deviation(returns),
        "log_return_volatility_before_rug": deviation(logs),
        "max_drawdown_before_rug": Expected(min(drawdowns, default=None)),
        "longest_rise": longest([last is not None and now > last for last, now in moves]),
        "longest_fall": longest([last is not None and now < last for last, now in moves]),
        # The threshold is of the ratio that the row of the tick has, the nearest number to the exact one.
        "n_spikes_up_15": sum(float(change) >= 0.15 for change in returns),
        "n_spikes_down_15": sum(float(change) <= -0.15 for change in returns),
    }
    for h in HELD:
        row[f"value_held_to_{h}"] = Expected(price_at.get(h if rug is None else min(h, rug)), to_the_bit=True)
    return row


def problems(ticks: Sequence[Tick], got: dict[str, Any]) -> list[str]:
    """Every value of ``got``, the game's row, that is not what it must be."""
    found = []
    for name, wanted in exact_row(ticks).items():
        if isinstance(wanted, Expected):
            problem = wanted.problem_with(got[name])
        else:
            problem = None if got[name] == wanted else f"{got[name]!r} instead of {wanted!r}"
        if problem:
            found.append(f"{name}: {problem}")
    return found


def row_of(query: EventStoreQuery, game_id: str = "g1") -> dict[str, Any]:
    """The one row of a game."""
    return query.features("episode_features", games=[game_id]).row(0, named=True)


def row_of_prices(tmp_path: Path, *prices: float | None, rug: bool = False, first_tick: int = 0) -> dict[str, Any]:
    """The row of a game of these prices, alone in its store."""
    return row_of(store_with(tmp_path, episode(*prices, rug=rug, first_tick=first_tick)))


# Numbers by hand


def test_a_small_game_has_the_numbers_worked_out_by_hand(tmp_path: Path) -> None:
    """Seven ticks with a rug give what pencil and paper give, column by column."""
    got = row_of_prices(tmp_path, 1, 2, 4, 2, 3, 6, 0.6, rug=True)
    # returns before the rug 1 1 -.5 .5 1: mean .6, squares .16 + .16 + 1.21 + .01 + .16 = 1.7, over 4 = .425
    logs = [math.log(2), math.log(2), -math.log(2), math.log(1.5), math.log(2)]
    mean = sum(logs) / 5
    assert got == {
        "game_id": "g1",
        "started_at": START,
        "n_ticks": 7,
        "rug_tick": 6,
        "peak_price": 6.0,
        "peak_tick": 5,
        "ticks_after_peak": 1,
        "return_volatility_before_rug": pytest.approx(sqrt(0.425), rel=1e-14),
        "log_return_volatility_before_rug": pytest.approx(sqrt(sum((x - mean) ** 2 for x in logs) / 4), rel=1e-14),
        "max_drawdown_before_rug": -0.5,
        "longest_rise": 2,
        "longest_fall": 1,
        "n_spikes_up_15": 4,
        "n_spikes_down_15": 1,
        "value_held_to_5": 6.0,
        "value_held_to_10": 0.6,
        "value_held_to_20": 0.6,
        "value_held_to_40": 0.6,
        "value_held_to_80": 0.6,
        "value_held_to_160": 0.6,
    }


def test_the_rug_is_in_no_deviation_drawdown_run_or_spike(tmp_path: Path) -> None:
    """All that is said of the time before the rug is the same as without it."""
    prices = [1.0, 1.1, 1.0, 0.9, 0.8]
    rugged = row_of_prices(tmp_path / "rugged", *prices, 0.01, rug=True)
    going_on = row_of_prices(tmp_path / "going on", *prices)
    same = [*RATIOS, "longest_rise", "longest_fall", "n_spikes_up_15", "n_spikes_down_15", "peak_price", "peak_tick"]
    assert {name: rugged[name] for name in same} == {name: going_on[name] for name in same}
    assert (rugged["longest_fall"], rugged["n_spikes_down_15"]) == (3, 0)
    assert rugged["max_drawdown_before_rug"] == pytest.approx(-0.3 / 1.1, rel=1e-14)


def test_the_peak_is_the_first_of_equals(tmp_path: Path) -> None:
    """Where the highest price was reached twice the first time counts; the rug may be the peak, too."""
    got = row_of_prices(tmp_path / "two", 1, 3, 2, 3, 0.01, rug=True)
    assert (got["peak_price"], got["peak_tick"], got["ticks_after_peak"]) == (3.0, 1, 3)
    got = row_of_prices(tmp_path / "rug", 0.001, 0.002, rug=True)
    assert (got["peak_price"], got["peak_tick"], got["ticks_after_peak"]) == (0.002, 1, 0)


def test_runs_end_where_the_price_stands_still_or_a_tick_is_missing(tmp_path: Path) -> None:
    """A run is of ticks in a row, each seen and each above, or below, the one before."""
    assert row_of_prices(tmp_path / "a", 1, 2, 3, 3, 4, 5, 6)["longest_rise"] == 3
    assert row_of_prices(tmp_path / "b", 1, 2, 3, None, 4, 5)["longest_rise"] == 2
    assert row_of_prices(tmp_path / "c", 6, 5, 4, 4, 3, None, 2, 1)["longest_fall"] == 2
    assert row_of_prices(tmp_path / "d", 1, 1, 1)["longest_rise"] == 0
    assert row_of_prices(tmp_path / "e", 3, 2, 1, 0.5, rug=True)["longest_fall"] == 2
    assert row_of_prices(tmp_path / "f", 1, 2, 3, 4, first_tick=7)["longest_rise"] == 3


def test_spikes_are_counted_from_15_per_cent_up(tmp_path: Path) -> None:
    """A move of exactly 15 per cent is one, a little less is none; across a hole there is no move."""
    got = row_of_prices(tmp_path / "a", 100, 115, 100, 85, 85, 97.74, 110, 94, None, 1000)
    assert (got["n_spikes_up_15"], got["n_spikes_down_15"]) == (1, 1)
    got = row_of_prices(tmp_path / "b", 100, 114.99, 97.75, 85)
    assert (got["n_spikes_up_15"], got["n_spikes_down_15"]) == (0, 0)


def test_deviations_are_of_seen_moves_alone(tmp_path: Path) -> None:
    """Across a hole, and from a price of 0, there is no return; with fewer than two there is no deviation."""
    got = row_of_prices(tmp_path / "hole", 1, 2, None, 2, 3)
    assert got["return_volatility_before_rug"] == pytest.approx(sqrt(0.125), rel=1e-14)  # of 1 and .5
    got = row_of_prices(tmp_path / "zero", 1, 2, 0, 5, 7.5)
    # 1, -1 and .5 are returns, of which -1 has no logarithm
    assert got["return_volatility_before_rug"] == pytest.approx(sqrt(13 / 12), rel=1e-14)
    assert got["log_return_volatility_before_rug"] == pytest.approx(math.log(2 / 1.5) / sqrt(2), rel=1e-14)
    got = row_of_prices(tmp_path / "two ticks", 1, 2, 0.01, rug=True)
    assert (got["return_volatility_before_rug"], got["log_return_volatility_before_rug"]) == (None, None)


@pytest.mark.parametrize("price", [1.0, 0.1, 1 / 3, 1e12])
def test_a_constant_price_has_no_volatility_at_all(tmp_path: Path, price: float) -> None:
    """Where the price never moves each deviation is 0 to the bit, and so is the drawdown."""
    got = row_of_prices(tmp_path, *[price] * 50)
    assert [got[name] for name in RATIOS] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("prices", [[0.01], [0.0]])
def test_a_game_of_the_rug_alone_has_nothing_before_it(tmp_path: Path, prices: list[float]) -> None:
    """What is of the ticks before the rug is NULL or 0; what was held was held to the rug."""
    got = row_of_prices(tmp_path, *prices, rug=True)
    assert [got[name] for name in RATIOS] == [None, None, None]
    assert [got[f"value_held_to_{h}"] for h in HELD] == prices * 6
    assert (got["longest_rise"], got["longest_fall"], got["n_spikes_up_15"], got["n_spikes_down_15"]) == (0, 0, 0, 0)
    assert (got["n_ticks"], got["rug_tick"], got["peak_tick"], got["ticks_after_peak"]) == (1, 0, 0, 0)


def test_a_price_that_is_always_zero_has_no_drawdown(tmp_path: Path) -> None:
    """Nothing falls from 0."""
    got = row_of_prices(tmp_path, 0, 0, 0)
    assert [got[name] for name in RATIOS] == [None, None, None]


# Held to a tick, and censored


@pytest.mark.parametrize("h", HELD)
def test_what_is_held_to_a_tick_is_worth_the_price_there(tmp_path: Path, h: int) -> None:
    """The price at tick h; one tick short of it, without a rug, nobody knows."""
    prices = [1 + n / 8 for n in range(h + 1)]
    assert row_of_prices(tmp_path / "seen", *prices)[f"value_held_to_{h}"] == 1 + h / 8
    assert row_of_prices(tmp_path / "short", *prices[:-1])[f"value_held_to_{h}"] is None
    assert row_of_prices(tmp_path / "hole", *prices[:-1], None, 9.0)[f"value_held_to_{h}"] is None


@pytest.mark.parametrize("h", HELD)
def test_a_rug_on_the_way_or_at_the_end_is_what_is_left(tmp_path: Path, h: int) -> None:
    """The rug counts where it comes by tick h, at h itself, too, and whatever holes come before; not a tick later."""
    prices = [1.0] * h
    assert row_of_prices(tmp_path / "at", *prices, 0.015, rug=True)[f"value_held_to_{h}"] == 0.015
    assert row_of_prices(tmp_path / "before", *prices[:-1], 0.015, rug=True)[f"value_held_to_{h}"] == 0.015
    assert row_of_prices(tmp_path / "holes", *[None] * (h - 1), 0.5, rug=True)[f"value_held_to_{h}"] == 0.5
    assert row_of_prices(tmp_path / "after", *prices, 2.0, 0.015, rug=True)[f"value_held_to_{h}"] == 2.0


def test_a_rug_behind_a_hole_does_not_say_what_was_in_it(tmp_path: Path) -> None:
    """Tick 5 was not seen and the game rugged later: the price there is unknown."""
    got = row_of_prices(tmp_path, 1, 1, 1, 1, 1, None, 1, 0.01, rug=True)
    assert (got["value_held_to_5"], got["value_held_to_10"]) == (None, 0.01)


def test_a_late_start_leaves_the_earlier_values_unknown(tmp_path: Path) -> None:
    """Joined at tick 8, nothing is known of tick 5."""
    got = row_of_prices(tmp_path, *[3.0] * 20, first_tick=8)
    assert [got[f"value_held_to_{h}"] for h in HELD] == [None, 3.0, 3.0, None, None, None]
    assert got["started_at"] == START + (8 * 250) * (START.resolution * 1000)


def test_without_a_rug_there_is_no_tick_of_it(tmp_path: Path) -> None:
    """A game that was not seen to its end has no rug_tick, so nothing is after the peak."""
    got = row_of_prices(tmp_path, 1, 2, 1)
    assert (got["rug_tick"], got["ticks_after_peak"], got["n_ticks"], got["peak_tick"]) == (None, None, 3, 1)


def test_prices_beyond_all_measure_give_null_and_never_infinity(tmp_path: Path) -> None:
    """A return that overflows is none and no spike; a deviation that does is NULL; the rest of the row stays."""
    got = row_of_prices(tmp_path / "returns", 1e-200, 1e200, 1, 2, 1)
    assert got["return_volatility_before_rug"] == pytest.approx(sqrt(13 / 12), rel=1e-14)  # of -1, 1 and -.5
    assert (got["n_spikes_up_15"], got["n_spikes_down_15"]) == (1, 2)
    got = row_of_prices(tmp_path / "squares", 1.0, 1e200, 1.0, 1e250)
    assert got["return_volatility_before_rug"] is None
    logs = [200 * math.log(10), -200 * math.log(10), 250 * math.log(10)]
    mean = sum(logs) / 3
    assert got["log_return_volatility_before_rug"] == pytest.approx(sqrt(sum((x - mean) ** 2 for x in logs) / 2))
    assert (got["peak_price"], got["max_drawdown_before_rug"]) == (1e250, -1.0)


# Against the oracle

MORE_EPISODES: dict[str, tuple[Prices, int, bool]] = {
    "random walk, rugged": (walk(41, 900), 0, True),
    "random walk, not seen to its end": (walk(42, 900), 0, False),
    "wide walk with holes": (with_holes(walk(43, 700, spread=0.3), 43, 0.05), 0, True),
    "eventful": (eventful(44, 600), 0, False),
    "a spike to 1e12 in a long walk": ([*walk(45, 300), 1e12, *walk(46, 300)], 0, True),
    "tiny moves": ([1 + random.Random(47).uniform(-1e-9, 1e-9) for _ in range(400)], 0, False),
}
MORE_EPISODES |= {f"rug at {n}": ([*walk(n, n), 0.01], 0, True) for n in (1, 5, 6, 11, 40, 41, 79, 80, 81, 160, 161)}
ALL_EPISODES = EPISODES | MORE_EPISODES


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> EventStoreQuery:
    """One store with all episodes."""
    return store_with(
        tmp_path_factory.mktemp("games"),
        *(episode(*p, game_id=name, first_tick=first, rug=rug) for name, (p, first, rug) in ALL_EPISODES.items()),
    )


def test_every_value_is_exact(episodes: EventStoreQuery) -> None:
    """Each value of each game is within its tolerance of the exact one, and NULL where that is."""
    got = {row["game_id"]: row for row in episodes.features("episode_features").rows(named=True)}
    assert set(got) == set(ALL_EPISODES)
    wrong = {name: problems(ticks_of(*ALL_EPISODES[name]), got[name]) for name in ALL_EPISODES}
    assert {name: found for name, found in wrong.items() if found} == {}


@settings(max_examples=10, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(some_prices, st.integers(0, 30), st.booleans()), min_size=1, max_size=5))
def test_whatever_the_game_is_every_value_is_exact(games: list[tuple[Prices, int, bool]]) -> None:
    """Games that nobody thought of are exact as well."""
    played = {f"g{n}": ticks for n, game in enumerate(games) if (ticks := ticks_of(*game))}
    for row in plain_features(plain_ticks(played), view="episode_features").rows(named=True):
        assert problems(played[row["game_id"]], row) == []


@pytest.mark.skipif(not REAL_GAMES.is_dir(), reason=NO_REAL_RECORDINGS)
def test_the_rows_of_real_games_are_exact_and_agree_with_the_other_views(tmp_path: Path) -> None:
    """A handful of recorded games are exact; what `games` and `tick_features` also say, they say alike."""
    import_recordings(sorted(REAL_GAMES.glob("*.jsonl"))[::36], tmp_path, timezone="America/New_York")
    query = EventStoreQuery(EventStorePaths(tmp_path))
    got = query.features("episode_features")
    assert got.height >= 5
    shared = ["game_id", "started_at", "n_ticks", "rug_tick", "peak_price", "peak_tick"]
    assert_same_bits(got.select(shared), query.games().select(shared))
    for row in got.rows(named=True):
        features = query.get_tick_features(row["game_id"])
        assert problems(features.select("tick", "price", "rugged").rows(), row) == []
        before = features.filter(~pl.col("rugged"))
        assert row["max_drawdown_before_rug"] == before["drawdown"].min()
        assert row["n_spikes_up_15"] == (before["price_pct_change"] >= 0.15).sum()


# The same numbers wherever


def test_neither_other_games_nor_threads_nor_the_order_of_rows_matter() -> None:
    """A game alone, among others, shuffled, with one thread or eight: the same row to the last bit."""
    chance = random.Random(8)
    games = {f"g{n:03}": ticks_of(eventful(n, chance.choice([60, 300, 2_100])), 0, n % 2 == 0) for n in range(40)} | {
        f"h{n:03}": ticks_of(walk(n, chance.choice([1, 2, 17, 33, 2_047, 2_049]))) for n in range(40)
    }
    ticks = plain_ticks(games)
    wanted = plain_features(ticks, 1, "episode_features")
    assert wanted.height == 80
    assert_same_bits(plain_features(ticks, 8, "episode_features"), wanted)
    for seed in range(3):
        shuffled = ticks.sample(fraction=1, shuffle=True, seed=seed)
        assert_same_bits(plain_features(shuffled, (1, 3, 8)[seed], "episode_features"), wanted)
    for game_id in ("g000", "g007", "g031", "g039", "h001", "h023", "h038"):
        alone = plain_features(plain_ticks({game_id: games[game_id]}).reverse(), view="episode_features")
        assert_same_bits(alone, wanted.filter(pl.col("game_id") == game_id))


def test_the_order_of_storing_does_not_matter(tmp_path: Path, episodes: EventStoreQuery) -> None:
    """The same games stored in another order, and asked for one by one, have the same rows to the last bit."""
    events = [
        event
        for name, (p, first, rug) in ALL_EPISODES.items()
        for event in episode(*p, game_id=name, first_tick=first, rug=rug)
    ]
    random.Random(3).shuffle(events)
    whole = episodes.features("episode_features")
    assert_same_bits(store_with(tmp_path, events).features("episode_features"), whole)
    for name in ("wild", "eventful", "random walk, rugged", "one tick"):
        assert_same_bits(episodes.features("episode_features", games=[name]), whole.filter(pl.col("game_id") == name))


def test_the_unit_of_the_price_does_not_matter() -> None:
    """Prices times a power of two give prices times it and the same ratios and counts, to the last bit."""
    prices = eventful(9, 250)
    games = {k: ticks_of([None if p is None else p * 2.0**k for p in prices], 0, True) for k in (-40, -1, 0, 3, 30)}
    got = plain_features(plain_ticks({f"{k}": ticks for k, ticks in games.items()}), view="episode_features")
    by_game = got.partition_by("game_id", as_dict=True, include_key=False)
    for k in games:
        assert_same_bits(by_game[(f"{k}",)], by_game[("0",)].with_columns(pl.col(LEVELS) * 2.0**k))


# The view as a table


def test_each_game_has_one_row_finite_or_null(episodes: EventStoreQuery) -> None:
    """The games are those of `games` in their order, none twice; no NaN, no infinity."""
    got = episodes.features("episode_features")
    assert got["game_id"].to_list() == episodes.games()["game_id"].to_list()
    floats = got.select(cs.float())
    assert set(floats.columns) == {*RATIOS, *LEVELS}
    assert floats.select((cs.all().is_null() | cs.all().is_finite()).all()).row(0) == (True,) * floats.width
    said = catalogue()["episode_features"].columns
    missing = {name for name in got.columns if got[name].null_count()}
    assert missing | {"started_at"} == {name for name in got.columns if said[name].null}


@pytest.mark.parametrize("stored", [False, True])
def test_the_columns_and_their_types_are_as_documented(tmp_path: Path, stored: bool) -> None:
    """With and without events the view has the same columns, in order, of the same types."""
    query = store_with(tmp_path, episode(1, 2, 3) if stored else [])
    described = query.query("DESCRIBE episode_features").select("column_name", "column_type").rows()
    assert described == list(TYPES.items())
    assert query.features("episode_features").schema == query.features("episode_features", games=["g1"]).schema
