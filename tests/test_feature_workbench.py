"""The workbench shows the library's own numbers, holds the law to expressions, and exports with provenance."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.builders import episode, store_with
from vectra_analytics import EventStorePaths, EventStoreQuery
from vectra_analytics.widgets import FeatureWorkbench

MEAN = "avg(price) OVER (PARTITION BY game_id ORDER BY tick ROWS 3 PRECEDING)"
AHEAD = "lead(price) OVER (PARTITION BY game_id ORDER BY tick)"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EventStorePaths:
    """Three complete games and one without a rug."""
    prices = [[1 + (tick * step % 13) / 10 for tick in range(60)] for step in (3, 5, 7)]
    games = [episode(*some, 0.01, game_id=f"g{number}", rug=True) for number, some in enumerate(prices)]
    return store_with(tmp_path_factory.mktemp("bench"), *games, episode(1, 2, game_id="open")).paths


@pytest.fixture
def query(store: EventStorePaths) -> EventStoreQuery:
    """A query on them."""
    return EventStoreQuery(store)


@pytest.fixture
def workbench(query: EventStoreQuery) -> FeatureWorkbench:
    """A workbench over the complete ones."""
    return FeatureWorkbench(query)


def written(workbench: FeatureWorkbench, name: str, expression: str, kind: str = "feature") -> None:
    """Fill in the fields of a column of one's own."""
    own = workbench.own
    own.name.value, own.expression.value, own.kind.value = name, expression, kind
    own.unit.value, own.meaning.value = "price", 'a "mean" of prices'


def test_rows_are_what_the_sql_gives(workbench: FeatureWorkbench, query: EventStoreQuery) -> None:
    """The choice as a frame, and as SQL for any cell: the same rows, complete games only, the label last."""
    for columns, label in ((["price", "zscore_10"], "ticks_to_rug"), (["momentum_5"], "rugs_within_5")):
        workbench.columns, workbench.label = columns, label
        rows = workbench.rows()
        assert rows.columns == ["game_id", "tick", *columns, label]
        assert rows["game_id"].unique().sort().to_list() == ["g0", "g1", "g2"]
        assert_frame_equal(query.query(workbench.sql), rows)
    workbench._most.value = 2
    assert workbench.rows()["game_id"].unique().sort().to_list() == ["g0", "g1"]
    assert_frame_equal(query.query(workbench.sql), workbench.rows())
    only = FeatureWorkbench(query, games=["open"])
    assert only.rows()["game_id"].unique().to_list() == ["open"]
    assert_frame_equal(query.query(only.sql), only.rows())


def test_figures_show_the_rows(workbench: FeatureWorkbench, query: EventStoreQuery) -> None:
    """Each way of showing draws numbers that can be computed from the rows, and follows the choice."""
    workbench.columns = ["price", "drawdown"]
    workbench.feature, workbench.label = "drawdown", "rugs_within_20"
    rows = workbench.rows().drop_nulls()

    workbench.show = "correlation"
    ranks = rows.select(pl.col("price", "drawdown", "rugs_within_20").cast(pl.Float64).rank())
    wanted = np.corrcoef(ranks.to_numpy().T)
    assert np.allclose(np.array(workbench.figure.data[0].z, dtype=float), wanted, atol=1e-4)

    workbench.show = "label by feature"
    assert list(workbench.figure.data[0].customdata) == [n for n in workbench.figure.data[0].customdata if n > 0]
    assert sum(workbench.figure.data[0].customdata) == rows.height

    workbench.show = "feature by label"
    assert [trace.name for trace in workbench.figure.data] == ["rugs_within_20 is false", "rugs_within_20 is true"]

    workbench.show = "feature over an episode"
    workbench._game.value = "g1"
    workbench._feature.value = "price"
    assert (workbench.game_id, workbench.feature) == ("g1", "price")
    price = query.get_tick_features("g1")["price"].to_list()
    assert list(workbench.figure.data[3].y) == price
    assert workbench.message.value == ""


def test_a_feature_on_show_is_a_chosen_one(workbench: FeatureWorkbench) -> None:
    """Asked for by name it joins the columns; taken out of them, another one is shown."""
    workbench.feature = "momentum_3"
    assert workbench.columns[-1] == "momentum_3"
    assert workbench._feature.value == "momentum_3"
    assert "momentum_3" in workbench.figure.layout.title.text
    workbench.columns = ["price"]
    assert workbench.feature == "price"


def test_columns_are_found_by_their_window(workbench: FeatureWorkbench) -> None:
    """A window lists its columns and those that have none; what is chosen stays in the list."""
    workbench.columns = ["volatility_20"]
    workbench._window.value = "5"
    offered = workbench._columns.options

    assert {"volatility_5", "momentum_5", "price", "max_drawdown", "volatility_20"} <= set(offered)
    assert {"volatility_10", "momentum_3", "return_volatility_20"}.isdisjoint(offered)
    assert workbench.columns == ["volatility_20"]
    workbench._columns.value = ("price", "momentum_5")
    assert workbench.columns == ["price", "momentum_5"]
    assert workbench._feature.options == ("price", "momentum_5")
    assert workbench.feature == "price"


def test_an_expression_becomes_a_column_and_a_file(
    workbench: FeatureWorkbench, query: EventStoreQuery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps the law, stands beside the others with the right numbers, and is there for every later query."""
    monkeypatch.setenv("VECTRA_VIEWS", str(tmp_path / "views"))
    written(workbench, "mean_4", MEAN)
    workbench.own.save.click()

    assert "keeps the law" in workbench.own.verdict.value
    assert "mean_4" in workbench.columns
    assert workbench.feature == "mean_4"
    prices = workbench._frames["tick_features"].filter(pl.col("game_id") == "g0")["price"].to_list()
    wanted = [sum(prices[max(0, t - 3) : t + 1]) / len(prices[max(0, t - 3) : t + 1]) for t in range(len(prices))]
    assert workbench.rows().filter(pl.col("game_id") == "g0")["mean_4"].to_list() == pytest.approx(wanted)
    assert_frame_equal(query.query(workbench.sql), workbench.rows())
    workbench.show = "feature over an episode"
    assert list(workbench.figure.data[3].y) == pytest.approx(wanted)

    fresh = EventStoreQuery(query.paths)
    assert fresh.views["mean_4"].columns["mean_4"].doc == 'a "mean" of prices'
    assert "mean_4" in FeatureWorkbench(fresh)._columns.options
    before = (tmp_path / "views" / "mean_4.sql").read_bytes()
    written(workbench, "mean_4", "price * 2")
    workbench.own.save.click()
    assert "exists; tick" in workbench.message.value
    assert (tmp_path / "views" / "mean_4.sql").read_bytes() == before
    workbench.own.replaces.value = True
    workbench.own.save.click()
    assert b"price * 2 AS mean_4" in (tmp_path / "views" / "mean_4.sql").read_bytes()


def test_a_look_ahead_is_refused_with_its_counterexample(workbench: FeatureWorkbench, query: EventStoreQuery) -> None:
    """It is no column, it is no file, and the verdict says where it knew of the future."""
    before = list(workbench.columns)
    written(workbench, "next_price", AHEAD)
    workbench.own.save.click()

    assert "BREAKS the law" in workbench.own.verdict.value
    assert "when the game is cut off" in workbench.own.verdict.value
    assert "As a label it may look ahead" in workbench.message.value
    assert 'role="alert"' in workbench.message.value
    assert workbench.columns == before
    assert "next_price" not in query.views


@pytest.mark.parametrize(
    ("name", "expression", "complaint"),
    [
        ("x", "", "there is no expression"),
        ("x", "no_such_column + 1", "no_such_column"),
        ("X y", "price", "a view cannot be named"),
        ("ticks", "price", "that is a relation already"),
        ("x", "price; DROP TABLE a", "its SQL cannot be read"),
    ],
)
def test_what_cannot_be_tried_is_said(workbench: FeatureWorkbench, name: str, expression: str, complaint: str) -> None:
    """In one line under the widget, which goes on: the next choice clears it."""
    written(workbench, name, expression)
    workbench.own.attempt.click()
    assert complaint in workbench.message.value
    assert workbench.message.value.count("\n") == 0
    assert workbench.own.verdict.value == ""
    workbench.label = "ticks_to_rug"
    assert workbench.message.value == ""


def test_the_chosen_features_are_exported(workbench: FeatureWorkbench, tmp_path: Path) -> None:
    """The rows of the choice, with units, meanings and versions of all views in the chain beside them."""
    workbench.columns, workbench.label = ["price", "drawdown"], "rugs_within_5"
    for name, has_label in (("with.parquet", True), ("without.csv", False)):
        workbench._path.value, workbench._with_label.value = str(tmp_path / name), has_label
        workbench._export.click()
        assert "183 rows of game_id, tick, price, drawdown" in workbench.message.value
        meta = json.loads((tmp_path / f"{name}.meta.json").read_text())
        assert meta["n_rows"] == 183
        assert ("tick_labels" in meta["views"]) == has_label
        assert meta["columns"]["drawdown"]["unit"] == "ratio"
    assert_frame_equal(
        pl.read_parquet(tmp_path / "with.parquet"), workbench.rows(), categorical_as_str=True, check_dtypes=False
    )
    workbench._export.click()
    assert "exists" in workbench.message.value
    assert "chosen_features" not in workbench._query.views


def test_no_features_is_said_and_not_drawn(workbench: FeatureWorkbench) -> None:
    """An empty choice tells what to do."""
    workbench.columns = []
    assert "no features are chosen" in workbench.message.value
    workbench.columns = ["price"]
    assert workbench.message.value == ""
