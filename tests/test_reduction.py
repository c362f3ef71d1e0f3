"""M4: few rows, the same line."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import episode, store_with
from vectra_analytics import EventStoreQuery, NotReadOnly, VectraError


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> EventStoreQuery:
    """A game of 4,000 ticks that wavers, with one spike and a rug, and a short one."""
    prices = [1 + (tick * 7919 % 101) / 1000 for tick in range(4000)]
    prices[1234] = 824.0
    prices[2222] = 0.25
    return store_with(
        tmp_path_factory.mktemp("store"),
        episode(*prices, 0.01, game_id="long", rug=True),
        episode(1, 2, 3, game_id="short"),
    )


LONG = "SELECT * FROM ticks WHERE game_id = 'long'"


def test_ends_and_extremes_of_each_bucket_are_kept(query: EventStoreQuery) -> None:
    """Of each bucket of ticks the rows are there that are first, last, lowest and highest, and no others."""
    whole = query.query(f"{LONG} ORDER BY tick")

    reduced = query.reduced(LONG, n_buckets=100)

    expected: set[int] = set()
    for bucket in range(100):
        part = whole.filter((pl.col("tick") * 100 // 4000).clip(0, 99) == bucket)
        expected |= {part["tick"].min(), part["tick"].max()}  # type: ignore[arg-type]
        highest = part.filter(pl.col("price") == part["price"].max())["tick"].to_list()
        lowest = part.filter(pl.col("price") == part["price"].min())["tick"].to_list()
        found = set(reduced["tick"].to_list())
        assert found & set(highest)
        assert found & set(lowest)
    assert expected <= set(reduced["tick"].to_list())
    assert 200 <= reduced.height <= 400
    assert reduced["tick"].is_sorted()
    assert {824.0, 0.25, 0.01} <= set(reduced["price"].to_list())
    assert reduced.join(whole, on=whole.columns, how="anti", nulls_equal=True).is_empty()


def test_few_rows_come_whole(query: EventStoreQuery) -> None:
    """No row of a short series is dropped."""
    assert query.reduced("SELECT * FROM ticks WHERE game_id = 'short'")["price"].to_list() == [1, 2, 3]


def test_series_are_reduced_each_by_itself(query: EventStoreQuery) -> None:
    """With ``by`` a short game keeps all its rows beside a long one."""
    reduced = query.reduced("SELECT game_id, tick, price FROM ticks", by="game_id", n_buckets=50)

    assert reduced.filter(game_id="short")["price"].to_list() == [1, 2, 3]
    assert 100 <= reduced.filter(game_id="long").height <= 200
    assert reduced.filter(game_id="long").equals(query.reduced(LONG.replace("*", "game_id, tick, price"), n_buckets=50))


def test_each_drawn_column_keeps_its_extremes(query: EventStoreQuery) -> None:
    """A row that is extreme in any of several columns is kept."""
    sql = "SELECT tick, price, drawdown FROM tick_features WHERE game_id = 'long'"

    reduced = query.reduced(sql, y=["price", "drawdown"], n_buckets=20)

    whole = query.query(sql)
    assert reduced["drawdown"].min() == whole["drawdown"].min()
    assert reduced["price"].max() == whole["price"].max()


def test_times_are_a_horizontal_axis_too(query: EventStoreQuery) -> None:
    """Buckets over ts give what buckets over evenly spaced ticks give; parameters are passed on."""
    sql = "SELECT tick, ts, price FROM ticks WHERE game_id = $game; -- a comment"

    reduced = query.reduced(sql, {"game": "long"}, x="ts", n_buckets=64)

    assert reduced["ts"].dtype == pl.Datetime("us", "UTC")
    assert reduced.equals(query.reduced(sql, {"game": "long"}, n_buckets=64))


def test_gaps_and_missing_places(tmp_path: Path) -> None:
    """Rows without a place on the axis are not drawn; a column that is all NULL is no obstacle."""
    query = store_with(tmp_path, episode(1, None, 3))
    sql = "SELECT unnest([NULL, 1, 2]) AS tick, NULL::DOUBLE AS price"

    assert query.reduced(sql)["tick"].to_list() == [1, 2]
    assert query.reduced("SELECT * FROM ticks WHERE false").height == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"y": "nothing"}, "the answer has no column 'nothing'; it has game_id, tick"),
        ({"by": "who"}, "the answer has no column 'who'"),
        ({"n_buckets": 0}, "n_buckets is 0; it must be 1 or more"),
    ],
)
def test_what_cannot_be_reduced_is_an_error(query: EventStoreQuery, options: dict[str, object], message: str) -> None:
    """A wrong name or number is told in one line."""
    with pytest.raises(VectraError, match=message):
        query.reduced(LONG, **options)  # type: ignore[arg-type]


def test_only_reading_statements_are_reduced(query: EventStoreQuery) -> None:
    """What would write is refused as everywhere."""
    with pytest.raises(NotReadOnly):
        query.reduced("COPY ticks TO 'x.csv'")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 20), min_size=1, max_size=60), st.integers(1, 30))
def test_a_reduction_never_loses_an_extreme(query: EventStoreQuery, prices: list[int], n_buckets: int) -> None:
    """Whatever the series, first, last, lowest and highest row are in it, and every row is one of the series."""
    sql = "SELECT unnest($prices) AS price, unnest(range(len($prices))) AS tick"

    reduced = query.reduced(sql, {"prices": prices}, n_buckets=n_buckets)

    found = dict(reduced.select("tick", "price").iter_rows())
    assert all(prices[tick] == price for tick, price in found.items())
    assert {0, len(prices) - 1} <= found.keys()
    assert {min(prices), max(prices)} <= set(found.values())
    assert len(found) <= 4 * n_buckets


def test_no_number_hides_a_peak(query: EventStoreQuery) -> None:
    """NaN, which SQL takes for the greatest number, does not stand in the place of the highest price."""
    sql = (
        "SELECT i AS tick, CASE i WHEN 51 THEN 'NaN'::DOUBLE WHEN 50 THEN 100 ELSE 1 END AS price FROM range(100) t(i)"
    )

    assert 100 in query.reduced(sql, n_buckets=2)["price"].to_list()


def test_columns_may_have_any_name(query: EventStoreQuery) -> None:
    """High and low are names that candles have; what the reduction needs for itself does not show."""
    sql = "SELECT tick, price, price AS low, price AS high, 1 AS at_x, 2 AS of_series, 3 AS x FROM ticks"

    reduced = query.reduced(sql, y=["low", "high"], n_buckets=10)

    assert reduced.columns == ["tick", "price", "low", "high", "at_x", "of_series", "x"]


def test_only_numbers_are_drawn(query: EventStoreQuery) -> None:
    """A text on an axis is told in one line."""
    with pytest.raises(VectraError, match=r"game_id is VARCHAR; what is drawn must be numbers, or times"):
        query.reduced("SELECT * FROM ticks", x="game_id")
    with pytest.raises(VectraError, match=r"source is VARCHAR; what is drawn must be numbers$"):
        query.reduced("SELECT * FROM ticks", y="source")
