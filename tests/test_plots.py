"""Figures show the numbers of their frames, whole or reduced to what can be seen, with units and colours for all."""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest

from tests.builders import episode, store_with
from vectra_analytics import EventStoreQuery, VectraError, plots
from vectra_analytics.features import catalogue
from vectra_analytics.plots import theme


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> EventStoreQuery:
    """Three games: one with a rug, one that joins late, one without an end."""
    prices = [1 + (tick * 7 % 11) / 10 for tick in range(30)]
    games = (
        episode(*prices, 0.01, game_id="g1", rug=True),
        episode(2, 3, 4, game_id="g2", first_tick=5),
        episode(1, 1.5, game_id="g3"),
    )
    return store_with(tmp_path_factory.mktemp("plots"), *games)


def lines(figure: go.Figure) -> dict[str, tuple[list[float], list[float | None]]]:
    """What each line or set of marks of a figure shows."""
    return {trace.name: (list(trace.x), [None if y != y else y for y in trace.y]) for trace in figure.data}


def test_an_episode_shows_the_numbers_of_its_features(query: EventStoreQuery) -> None:
    """Price, running maximum, drawdown and volatility over the ticks; the rug where it was."""
    features = query.features(games=["g1"])
    found = lines(plots.episode(features, volatility="volatility_5"))

    for name in ("price", "max_price", "drawdown", "volatility_5"):
        assert found[name] == (features["tick"].to_list(), features[name].to_list())
    assert found["rug"] == ([30], [0.01])
    assert "rug" not in lines(plots.episode(query.features(games=["g3"])))


def test_trades_are_marked_at_what_they_saw(query: EventStoreQuery) -> None:
    """A mark at tick and price that were known; what saw no tick has no place."""
    trades = pl.DataFrame(
        {
            "action_type": ["buy", "sell", "buy", "sidebet"],
            "seen_tick": [3, 9, None, 4],
            "seen_price": [1.5, 2.0, None, 1.1],
            "player_id": ["a", None, "a", "b"],
        }
    )
    figure = plots.episode(query.features(games=["g1"]), trades)
    found = lines(figure)

    assert found["buy"] == ([3], [1.5])
    assert found["sell"] == ([9], [2.0])
    assert found["sidebet"] == ([4], [1.1])
    assert len({trace.marker.symbol for trace in figure.data if trace.mode == "markers"}) == 4


def test_a_long_game_keeps_its_extremes(tmp_path: Path) -> None:
    """Of 20,000 ticks at most 5,000 are drawn; the one-tick spike, the lowest price and the ends are among them."""
    prices = [1 + tick % 97 / 1000 for tick in range(20_000)]
    prices[7_777], prices[12_345] = 500.0, 0.001
    features = store_with(tmp_path, episode(*prices)).features()
    drawn = dict(zip(*lines(plots.episode(features))["price"], strict=True))

    assert len(drawn) <= theme.MOST_POINTS
    assert drawn[7_777] == 500
    assert drawn[12_345] == 0.001
    assert {0, 19_999} <= drawn.keys()
    assert all(drawn[tick] == prices[int(tick)] for tick in drawn)


def test_an_overlay_has_a_line_for_each_game(query: EventStoreQuery) -> None:
    """Each with its own ticks, told apart by colour and dash."""
    figure = plots.overlay(query.features("ticks"))
    found = lines(figure)

    assert list(found) == ["g1", "g2", "g3"]
    assert found["g2"] == ([5, 6, 7], [2, 3, 4])
    styles = [(line["color"], line["dash"]) for line in map(theme.line_style, range(20))]
    assert len(set(styles)) == 20


def test_distributions_count_every_game_once() -> None:
    """The histogram holds all games, and the other line says which share of them reaches a value."""
    games = pl.DataFrame({"peak_price": [1.0, 2.0, 2.0, 8.0, None], "rug_tick": [3, 10, 10, 40, None]})
    for figure, values in ((plots.peaks(games), [1, 2, 8]), (plots.rug_ticks(games), [3, 10, 40])):
        found = lines(figure)
        assert sum(count or 0 for count in found["games"][1]) == 4
        assert found["share that reaches it"] == (values, [1, 0.75, 0.25])
    assert lines(plots.peaks(games.head(1)))["games"][1] == [1, 0]
    assert lines(plots.peaks(games.clear())) == {}


def test_a_label_is_summed_up_in_bins_of_the_feature() -> None:
    """Equally many rows in each bin, equal values together; a flag by its share, a number by its quartiles."""
    frame = pl.DataFrame({"f": [1.0, 2, 3, 4, 5, 6, 7, None], "y": [0.0, 2, 4, 6, 8, 10, None, 5]})
    found = lines(plots.feature_against_label(frame, "f", "y", n_bins=2))
    assert found["median"] == ([2, 5], [2, 8])
    assert found["lower quartile"] == ([2, 5], [1, 7])
    assert found["upper quartile"] == ([2, 5], [3, 9])

    flags = pl.DataFrame({"f": [1.0, 1, 1, 2], "y": [True, False, False, True]})
    assert lines(plots.feature_against_label(flags, "f", "y", n_bins=4))["share true"] == ([1, 2], [1 / 3, 1])


def test_a_feature_is_distributed_by_the_classes_of_a_label() -> None:
    """For each class the shares of its rows in the bins; all rows within the axis add up to one."""
    frame = pl.DataFrame({"f": [float(n % 50) for n in range(1000)], "y": [n % 3 == 0 for n in range(1000)]})
    figure = plots.feature_by_label(frame, "f", "y", n_bins=10)
    found = lines(figure)

    for name, value in (("y is true", True), ("y is false", False)):
        some = frame.filter(pl.col("y") == value)["f"].to_numpy()
        counts, _ = np.histogram(some, found[name][0])
        assert found[name][1] == pytest.approx([*(counts / len(some)), 0])
    thirds = lines(plots.feature_by_label(frame.with_columns(y=pl.col("f") * 2), "f", "y"))
    assert len(thirds) == 3
    assert lines(plots.feature_by_label(frame.clear(), "f", "y")) == {}


def test_correlation_is_that_of_ranks() -> None:
    """1 and -1 for whatever rises or falls together; nothing for a constant; rows with a NULL do not count."""
    frame = pl.DataFrame({"a": [1.0, 2, 3, 4, 9], "b": [1.0, 8, 27, 64, None], "c": [4.0, 3, 2, 1, 7], "d": [5.0] * 5})
    (heat,) = plots.correlation(frame, ["a", "b", "c", "d"]).data

    assert [list(row) for row in heat.z] == [[1, 1, -1, None], [1, 1, -1, None], [-1, -1, 1, None], [None] * 4]
    mixed = pl.DataFrame({"a": [1.0, 2, 3, 4], "b": [2.0, 1, 4, 3]})
    assert plots.correlation(mixed, ["a", "b"]).data[0].z[0][1] == 0.6


def test_a_frame_that_does_not_fit_is_refused(query: EventStoreQuery) -> None:
    """A missing column is named, with those that there are; so are several games where one is drawn."""
    with pytest.raises(VectraError, match=r"the frame has no column max_price, drawdown, .*; it has"):
        plots.episode(query.features("ticks", games=["g1"]))
    with pytest.raises(VectraError, match=r"3 games; filter one, or use overlay\(\)"):
        plots.episode(query.features())
    with pytest.raises(VectraError, match="two columns"):
        plots.correlation(query.features(), ["price"])


def test_every_axis_has_a_title_with_a_unit(query: EventStoreQuery) -> None:
    """So do those of all columns that a view of the package has."""
    features = query.features().join(query.features("tick_labels"), on=["game_id", "tick"])
    figures = (
        plots.episode(query.features(games=["g1"])),
        plots.overlay(query.features("ticks")),
        plots.peaks(query.games()),
        plots.rug_ticks(query.games()),
        plots.feature_against_label(features, "drawdown", "ticks_to_rug"),
        plots.feature_by_label(features, "drawdown", "rugs_within_5"),
    )
    for figure in figures:
        axes = [axis for axis in [*figure.select_xaxes(), *figure.select_yaxes()] if not axis.matches]
        titles = [axis.title.text for axis in axes if axis.title.text]
        assert titles
        assert all("(" in title for title in titles), titles
    for view in catalogue().values():
        assert all("(" in theme.titled(name) for name in view.columns)


def _luminance(color: str) -> float:
    """Relative luminance after WCAG 2.2."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("paper", ["#ffffff", "#111111"])
def test_colors_stand_out_on_light_and_on_dark(paper: str) -> None:
    """Lines at 3 to 1, as WCAG 2.2 asks of graphics, and text at 4 to 1."""

    def contrast(color: str) -> float:
        low, high = sorted((_luminance(color), _luminance(paper)))
        return (high + 0.05) / (low + 0.05)

    assert all(contrast(color) >= 3 for color in theme.LINES)
    assert contrast(theme.GREY) >= 4
