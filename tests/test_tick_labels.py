"""tick_labels: what comes after each tick, exactly; and NULL where that was not seen, never a guess."""

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import NO_REAL_RECORDINGS, REAL_GAMES, episode, store_with
from tests.oracle import Expected, Tick
from tests.test_tick_features import (
    EPISODES,
    Prices,
    assert_same_bits,
    plain_features,
    plain_ticks,
    some_prices,
    ticks_of,
    walk,
    with_holes,
)
from vectra_analytics import EventStorePaths, EventStoreQuery, import_recordings
from vectra_analytics.features import catalogue

HORIZONS = (5, 10, 20, 40)
FLAGS = [f"rugs_within_{h}" for h in HORIZONS]
RETURNS = [f"forward_return_{h}" for h in HORIZONS]
RATIOS = [*RETURNS, "forward_max_40", "forward_drawdown_40"]
COLUMNS = ["game_id", "tick", "ticks_to_rug", *FLAGS, *RATIOS]

Labels = Mapping[str, Any]
"""A row: ratios as fractions."""


def exact_labels(ticks: Sequence[Tick]) -> Sequence[Labels]:
    """The labels of one game by the words of their definition, one tick after the other."""
    price_at = {tick: Fraction(price) for tick, price, _ in ticks}
    rug = next((tick for tick, _, rugged in ticks if rugged), None)

    def ratio(later: Fraction | None, now: Fraction) -> Fraction | None:
        return None if later is None or now == 0 else (later - now) / now

    found = []
    for tick, now in sorted(price_at.items()):
        row: dict[str, Any] = {"tick": tick, "ticks_to_rug": None if rug is None else rug - tick}
        for h in HORIZONS:
            if rug is not None:
                row[f"rugs_within_{h}"] = tick < rug <= tick + h
            else:
                row[f"rugs_within_{h}"] = False if any(other >= tick + h for other in price_at) else None
            end = tick + h if rug is None else min(tick + h, rug)
            row[f"forward_return_{h}"] = None if tick == rug else ratio(price_at.get(end), now)
        ahead = [price_at.get(tick + n) for n in range(1, 41) if rug is None or tick + n <= rug]
        seen = [price for price in ahead if price is not None]
        whole = bool(ahead) and len(seen) == len(ahead)
        row["forward_max_40"] = ratio(max(seen), now) if whole else None
        row["forward_drawdown_40"] = ratio(min(seen), now) if whole else None
        found.append(row)
    return found


def problems(ticks: Sequence[Tick], got: pl.DataFrame) -> list[str]:
    """Every value of ``got``, the labels of one game, that is not what it must be."""
    wanted = exact_labels(ticks)
    if got["tick"].to_list() != [row["tick"] for row in wanted]:
        return [f"the rows are those of {got['tick'].to_list()}"]
    found = []
    for row, labels in zip(got.rows(named=True), wanted, strict=True):
        for name in COLUMNS[2:]:
            if name in RATIOS:
                problem = Expected(labels[name]).problem_with(row[name])
            else:
                problem = None if row[name] is labels[name] or row[name] == labels[name] is not None else "wrong"
            if problem:
                found.append(f"tick {row['tick']} {name}: {problem} ({row[name]!r}, {labels[name]!r})")
    return found


def labels(query: EventStoreQuery, game_id: str = "g1") -> pl.DataFrame:
    """The labels of one game."""
    return query.features("tick_labels", games=[game_id])


def column(query: EventStoreQuery, name: str) -> list[Any]:
    """One column of the game g1."""
    return labels(query)[name].to_list()


# Numbers by hand


def test_a_small_game_has_the_labels_worked_out_by_hand(tmp_path: Path) -> None:
    """Seven ticks with a rug give what one reads off the curve."""
    query = store_with(tmp_path, episode(1, 2, 4, 2, 8, 1, 0.5, rug=True))
    by_hand = {
        "tick": [0, 1, 2, 3, 4, 5, 6],
        "ticks_to_rug": [6, 5, 4, 3, 2, 1, 0],
        "rugs_within_5": [False, True, True, True, True, True, False],
        "rugs_within_10": [True] * 6 + [False],
        "rugs_within_20": [True] * 6 + [False],
        "rugs_within_40": [True] * 6 + [False],
        # from tick 0 to tick 5; all the others are held to the rug
        "forward_return_5": [0.0, -0.75, -0.875, -0.75, -0.9375, -0.5, None],
        "forward_return_10": [-0.5, -0.75, -0.875, -0.75, -0.9375, -0.5, None],
        "forward_return_20": [-0.5, -0.75, -0.875, -0.75, -0.9375, -0.5, None],
        "forward_return_40": [-0.5, -0.75, -0.875, -0.75, -0.9375, -0.5, None],
        "forward_max_40": [7.0, 3.0, 1.0, 3.0, -0.875, -0.5, None],
        "forward_drawdown_40": [-0.5, -0.75, -0.875, -0.75, -0.9375, -0.5, None],
    }
    got = labels(query)
    assert got.columns == COLUMNS
    assert {name: got[name].to_list() for name in by_hand} == by_hand


def test_long_horizons_have_the_labels_worked_out_by_hand(tmp_path: Path) -> None:
    """In a game of 1, 2, 3 ... each horizon ends where it should, the next tick after the last one not counted."""
    got = labels(store_with(tmp_path, episode(*range(1, 102))))
    for h in HORIZONS:
        assert got[f"forward_return_{h}"].to_list() == [h / (1 + tick) for tick in range(101 - h)] + [None] * h
    assert got["forward_max_40"].to_list() == [40 / (1 + tick) for tick in range(61)] + [None] * 40
    assert got["forward_drawdown_40"].to_list() == [1 / (1 + tick) for tick in range(61)] + [None] * 40


@pytest.mark.parametrize("h", HORIZONS)
def test_a_side_bet_wins_on_the_last_tick_of_its_window(tmp_path: Path, h: int) -> None:
    """True where tick < rug tick <= tick + h: not a tick later, and not on the rug itself."""
    rug_tick = 60
    query = store_with(tmp_path, episode(*[1.0] * rug_tick, 0.01, rug=True))
    wanted = [tick >= rug_tick - h for tick in range(rug_tick)] + [False]
    assert column(query, f"rugs_within_{h}") == wanted


def test_after_the_rug_the_price_stays_what_it_was(tmp_path: Path) -> None:
    """Horizons that reach beyond the rug end at it, also where it is the very next tick."""
    query = store_with(tmp_path, episode(4, 2, 1, rug=True))
    for name in RETURNS:
        assert column(query, name) == [-0.75, -0.5, None]


# Censored: nothing settles it


def test_without_a_rug_the_time_to_it_is_unknown(tmp_path: Path) -> None:
    """A game that was not seen to its end has no ticks_to_rug at all."""
    assert column(store_with(tmp_path, episode(*[1.0] * 50)), "ticks_to_rug") == [None] * 50


@pytest.mark.parametrize("h", HORIZONS)
def test_without_a_rug_a_window_that_was_seen_to_its_end_holds_none(tmp_path: Path, h: int) -> None:
    """False where a tick from tick + h on was seen, NULL where the recording ends before."""
    query = store_with(tmp_path, episode(*[1.0] * 50))
    assert column(query, f"rugs_within_{h}") == [False] * (50 - h) + [None] * h


def test_a_later_tick_proves_that_no_rug_was_in_a_hole(tmp_path: Path) -> None:
    """A game still played after a hole did not rug in it, though the price at the window's end was not seen."""
    query = store_with(tmp_path, episode(1, 1, *[None] * 8, 1))
    assert column(query, "rugs_within_5") == [False, False, None]
    assert column(query, "rugs_within_10") == [False, None, None]
    assert column(query, "forward_return_5") == [None, None, None]
    assert column(query, "forward_return_10") == [0.0, None, None]


def test_a_rug_settles_what_lies_before_it_whatever_was_seen_between(tmp_path: Path) -> None:
    """With a rug seen each flag is true or false, and what is held to the rug is known across holes."""
    query = store_with(tmp_path, episode(1, *[None] * 7, 4, 0.5, rug=True))
    assert column(query, "ticks_to_rug") == [9, 1, 0]
    assert column(query, "rugs_within_5") == [False, True, False]
    assert column(query, "rugs_within_10") == [True, True, False]
    assert column(query, "forward_return_5") == [None, -0.875, None]
    assert column(query, "forward_return_10") == [-0.5, -0.875, None]


def test_a_return_needs_its_last_tick_alone(tmp_path: Path) -> None:
    """A hole on the way does not matter, one at the end does."""
    prices: list[float | None] = [float(n + 1) for n in range(12)]
    prices[3] = prices[7] = None
    query = store_with(tmp_path, episode(*prices))
    assert column(query, "tick") == [0, 1, 2, 4, 5, 6, 8, 9, 10, 11]
    assert column(query, "forward_return_5") == [5.0, 2.5, None, 1.0, 5 / 6, 5 / 7, None, None, None, None]


@pytest.mark.parametrize("hole", [1, 2, 39, 40])
def test_extremes_need_every_tick_of_their_window(tmp_path: Path, hole: int) -> None:
    """One tick of the forty not seen: the highest and the lowest price may have been there."""
    prices: list[float | None] = [1.0 + n % 7 for n in range(100)]
    prices[50 + hole] = None
    got = labels(store_with(tmp_path, episode(*prices))).filter(pl.col("tick") <= 59)
    sees_all = [tick + 40 < 50 + hole or tick >= 50 + hole for tick in got["tick"]]
    assert got["forward_max_40"].is_not_null().to_list() == sees_all
    assert got["forward_drawdown_40"].is_not_null().to_list() == sees_all


def test_a_hole_before_the_rug_leaves_the_extremes_unknown(tmp_path: Path) -> None:
    """The rug says what is left in the end, not how high the price was before."""
    query = store_with(tmp_path, episode(1, 2, None, 2, 0.5, rug=True))
    assert column(query, "forward_max_40") == [None, None, -0.75, None]
    assert column(query, "forward_drawdown_40") == [None, None, -0.75, None]


def test_extremes_are_unknown_where_the_recording_ends_too_early(tmp_path: Path) -> None:
    """Without a rug all forty ticks must have been seen; with one, those up to it."""
    prices = [1.0] * 40
    assert column(store_with(tmp_path / "a", episode(*prices)), "forward_max_40") == [None] * 40
    assert column(store_with(tmp_path / "b", episode(*prices, 1.0)), "forward_max_40") == [0.0] + [None] * 40
    assert column(store_with(tmp_path / "c", episode(*prices, 1.0, rug=True)), "forward_max_40") == [0.0] * 40 + [None]


def test_a_late_start_changes_nothing_after_it(tmp_path: Path) -> None:
    """Labels look ahead, so a game joined late has the same ones from there on."""
    prices = walk(1, 90)
    whole = labels(store_with(tmp_path / "whole", episode(*prices, rug=True)))
    late = labels(store_with(tmp_path / "late", episode(*prices[33:], first_tick=33, rug=True)))
    assert_same_bits(late, whole.filter(pl.col("tick") >= 33))


# What has no finite value


def test_a_price_of_zero_has_no_returns(tmp_path: Path) -> None:
    """Nothing is a multiple of 0; a fall to 0 is -1."""
    query = store_with(tmp_path, episode(1, 0, 2, 0, rug=True))
    for name in (*RETURNS, "forward_drawdown_40"):
        assert column(query, name) == [-1.0, None, -1.0, None]
    assert column(query, "forward_max_40") == [1.0, None, -1.0, None]
    assert column(query, "ticks_to_rug") == [3, 2, 1, 0]


def test_a_quotient_beyond_all_numbers_is_null(tmp_path: Path) -> None:
    """What overflows is NULL, never infinity; what does not stays."""
    query = store_with(tmp_path, episode(1e-200, 1e200, 1e-200, rug=True))
    assert column(query, "forward_max_40") == [None, -1.0, None]
    assert column(query, "forward_drawdown_40") == [0.0, -1.0, None]
    assert column(query, "forward_return_5") == [0.0, -1.0, None]
    query = store_with(tmp_path / "up", episode(1e-200, 1e200, rug=True))
    assert [column(query, name) for name in RATIOS] == [[None, None]] * 6
    huge = store_with(tmp_path / "huge", episode(1.0, 1.7e308, rug=True))
    assert column(huge, "forward_max_40") == [1.7e308, None]


@pytest.mark.parametrize("rug", [True, False])
def test_ticks_at_the_end_of_all_numbers_have_labels(rug: bool) -> None:
    """Adding a horizon to a tick of 64 bits would overflow; no query fails for one such row."""
    last = 2**63 - 1
    ticks = [(tick, 1.0, rug and tick == last) for tick in (0, 1, last - 41, last - 40, last - 1, last)]
    assert problems(ticks, plain_features(plain_ticks({"g1": ticks}), view="tick_labels")) == []


# Against the oracle

MORE_EPISODES: dict[str, tuple[Prices, int, bool]] = {
    "rug at 0": ([0.01], 0, True),
    "holes of all lengths": (
        [price for n in range(1, 60, 4) for price in (*walk(n, n), *[None] * n)] + [1.0],
        0,
        False,
    ),
    "holes of all lengths, then a rug": (
        [price for n in range(60, 1, -4) for price in (*walk(n, n), *[None] * (60 - n))] + [0.01],
        0,
        True,
    ),
    "hole just before the rug": ([*walk(1, 50), None, 0.02], 0, True),
    "long hole just before the rug": ([*walk(2, 50), *[None] * 45, 0.02], 0, True),
    "random walk, rugged": (walk(31, 400), 0, True),
    "random walk, not seen to its end": (walk(32, 400), 0, False),
}
MORE_EPISODES |= {f"rug at {n}": ([*walk(n, n), 0.01], 0, True) for n in (4, 5, 6, 10, 11, 20, 21, 39, 40, 41, 42, 81)}
ALL_EPISODES = EPISODES | MORE_EPISODES


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> EventStoreQuery:
    """One store with all episodes."""
    return store_with(
        tmp_path_factory.mktemp("labels"),
        *(episode(*p, game_id=name, first_tick=first, rug=rug) for name, (p, first, rug) in ALL_EPISODES.items()),
    )


@pytest.mark.parametrize("name", ALL_EPISODES)
def test_every_label_is_exact(episodes: EventStoreQuery, name: str) -> None:
    """Each label is within its tolerance of the exact one, and NULL where that is."""
    assert problems(ticks_of(*ALL_EPISODES[name]), labels(episodes, name)) == []


@settings(max_examples=10, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(some_prices, st.integers(0, 30), st.booleans()), min_size=1, max_size=4), st.data())
def test_whatever_the_game_is_every_label_is_exact(games: list[tuple[Prices, int, bool]], data: st.DataObject) -> None:
    """Games that nobody thought of, with a rug at any place, are exact as well."""
    played = {}
    for n, (prices, first_tick, rug) in enumerate(games):
        longer = [*prices, *walk(n, data.draw(st.integers(1, 60)))]
        played[f"g{n}"] = ticks_of(longer, first_tick, rug)
    by_game = plain_features(plain_ticks(played), view="tick_labels").partition_by("game_id", as_dict=True)
    for game_id, ticks in played.items():
        assert problems(ticks, by_game[(game_id,)]) == []


@pytest.mark.skipif(not REAL_GAMES.is_dir(), reason=NO_REAL_RECORDINGS)
def test_the_labels_of_real_games_are_exact(tmp_path: Path) -> None:
    """A handful of recorded games, with ghosts, holes and a late start, give exact labels."""
    import_recordings(sorted(REAL_GAMES.glob("*.jsonl"))[::36], tmp_path, timezone="America/New_York")
    query = EventStoreQuery(EventStorePaths(tmp_path))
    games = query.games()["game_id"].to_list()
    assert len(games) >= 5
    for game_id in games:
        ticks = query.query(
            "SELECT tick, price, rugged FROM ticks WHERE game_id = $game ORDER BY tick", {"game": game_id}
        )
        assert problems(ticks.rows(), labels(query, game_id)) == []


# What was not seen makes a label unknown, never another one


def assert_never_another(less: pl.DataFrame, more: pl.DataFrame) -> None:
    """Each label of ``less`` is NULL or that of ``more``."""
    more = less.select("game_id", "tick").join(more, on=["game_id", "tick"], how="left", maintain_order="left")
    for name in COLUMNS[2:]:
        assert (less[name].is_null() | (less[name] == more[name])).all(), name


@pytest.mark.parametrize("rug", [True, False])
def test_a_label_of_a_game_cut_short_is_that_of_the_whole_game_or_unknown(rug: bool) -> None:
    """A recording that breaks off at any tick says less of the ticks before, and nothing else."""
    ticks = ticks_of(with_holes(walk(5, 130), 5, 0.02), 0, rug)
    cuts = {f"{n:03}": ticks[:n] for n in range(1, len(ticks) + 1)}
    got = plain_features(plain_ticks(cuts), view="tick_labels")
    whole = got.filter(pl.col("game_id") == f"{len(ticks):03}").drop("game_id")
    on_each = got.select("game_id").unique().join(whole, how="cross")
    assert got.height == len(ticks) * (len(ticks) + 1) // 2
    assert_never_another(got, on_each)


def test_a_label_of_a_game_with_holes_is_that_of_the_whole_game_or_unknown() -> None:
    """Ticks that were not seen, the rug among them, say less of the others, and nothing else."""
    chance = random.Random(6)
    whole = {f"g{n:02}": ticks_of([*walk(n, 20 + 3 * n), 0.01], 0, True) for n in range(40)}
    seen = {game_id: [tick for tick in ticks if chance.random() > 0.06] for game_id, ticks in whole.items()}
    more = plain_features(plain_ticks(whole), view="tick_labels")
    less = plain_features(plain_ticks(seen), view="tick_labels")
    assert less.height < more.height
    assert_never_another(less, more)


# The same numbers wherever


def test_neither_other_games_nor_threads_nor_the_order_of_rows_matter() -> None:
    """A game alone, among others, shuffled, with one thread or eight: the same labels to the last bit."""
    chance = random.Random(8)
    games = {
        f"g{n:02}": ticks_of(with_holes(walk(n, chance.choice([1, 39, 41, 300, 2_500])), n, 0.01), 0, n % 2 == 0)
        for n in range(50)
    }
    ticks = plain_ticks(games)
    wanted = plain_features(ticks, threads=1, view="tick_labels")
    assert wanted.height == ticks.height
    assert_same_bits(plain_features(ticks.sample(fraction=1, shuffle=True, seed=1), 8, "tick_labels"), wanted)
    for game_id in ("g00", "g03", "g07", "g49"):
        alone = plain_features(plain_ticks({game_id: games[game_id]}), view="tick_labels")
        assert_same_bits(alone, wanted.filter(pl.col("game_id") == game_id))


def test_the_unit_of_the_price_does_not_matter() -> None:
    """Prices times a power of two have the same labels to the last bit."""
    prices = with_holes(walk(9, 200), 9, 0.02)
    games = {k: ticks_of([None if p is None else p * 2.0**k for p in prices], 0, True) for k in (-40, -1, 0, 3, 30)}
    got = plain_features(plain_ticks({f"{k}": ticks for k, ticks in games.items()}), view="tick_labels")
    by_game = got.partition_by("game_id", as_dict=True, include_key=False)
    for k in games:
        assert_same_bits(by_game[(f"{k}",)], by_game[("0",)])


# The view as a table


def test_each_tick_has_one_row_of_labels_finite_or_null(episodes: EventStoreQuery) -> None:
    """The rows are those of ticks in order, none twice, none for a tick that was not seen; no NaN, no infinity."""
    got = episodes.features("tick_labels")
    assert got.select("game_id", "tick").rows() == episodes.features("ticks").select("game_id", "tick").rows()
    assert got.select((cs.float().is_null() | cs.float().is_finite()).all()).row(0) == (True,) * len(RATIOS)
    said = catalogue()["tick_labels"].columns
    assert [name for name in COLUMNS if got[name].null_count()] == [name for name in COLUMNS if said[name].null]


@pytest.mark.parametrize("stored", [False, True])
def test_the_columns_and_their_types_are_those_of_the_contract(tmp_path: Path, stored: bool) -> None:
    """With and without events the view has the same columns, in order, of the same types."""
    query = store_with(tmp_path, episode(1, 2, 3) if stored else [])
    described = query.query("DESCRIBE tick_labels").select("column_name", "column_type").rows()
    whole = {"game_id": "VARCHAR", "tick": "BIGINT", "ticks_to_rug": "BIGINT"}
    wanted = whole | dict.fromkeys(FLAGS, "BOOLEAN") | dict.fromkeys(RATIOS, "DOUBLE")
    assert described == list(wanted.items())
    assert query.features("tick_labels").schema == labels(query).schema
