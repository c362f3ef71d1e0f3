"""The explorer finds games, shows the library's own numbers, and gives its rows and SQL to the next cell."""

import itertools
import json
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.builders import START, episode, store_with, tick_event, write
from vectra_analytics import EventEnvelope, EventSource, EventStoreQuery, plots
from vectra_analytics.widgets import EpisodeExplorer
from vectra_analytics.widgets import figures as figures_on_show
from vectra_analytics.widgets import game_choice as game_choices


@pytest.fixture
def query(tmp_path: Path) -> EventStoreQuery:
    """Four games: two complete ones, one without a rug, one joined late with a player."""
    played = EventEnvelope.from_player_action("buy", {"amount": 1}, EventSource.UI, "p", 1, "late", "alice", ts=START)
    return store_with(
        tmp_path / "store",
        episode(1, 2, 4, 3, 0.02, game_id="a-high", rug=True),
        episode(*[1 + tick % 7 / 10 for tick in range(40)], 0.01, game_id="b-long", rug=True),
        episode(1, 1.2, game_id="open"),
        [*episode(5, 6, 0.01, game_id="late", first_tick=9, rug=True), played],
    )


@pytest.fixture
def explorer(query: EventStoreQuery) -> EpisodeExplorer:
    """An explorer of it."""
    return EpisodeExplorer(query)


def shown(explorer: EpisodeExplorer) -> dict[str, list[float | None]]:
    """The values of the lines on show."""
    return {trace.name: [None if y != y else y for y in trace.y] for trace in explorer.figure.data}


def listed(explorer: EpisodeExplorer) -> list[str]:
    """The games in the list."""
    return [game_id for _, game_id in explorer.choice.games.options]


def test_it_begins_with_the_highest_complete_game(explorer: EpisodeExplorer, query: EventStoreQuery) -> None:
    """Its lines are the library's numbers, and below stands what was chosen."""
    features = query.get_tick_features("a-high")

    assert explorer.game_id == "a-high"
    for name in ("price", "max_price", "drawdown", "return_volatility_10"):
        assert shown(explorer)[name] == features[name].to_list()
    assert_frame_equal(explorer.rows(), features)
    assert EpisodeExplorer(query, "open").game_id == "open"
    assert repr(explorer) == "EpisodeExplorer: game a-high, ticks 0 to 4, rows of tick_features"


def test_the_next_cell_can_run_the_sql(explorer: EpisodeExplorer, query: EventStoreQuery) -> None:
    """Whatever view and ticks are chosen, the SQL gives the rows."""
    for view in ("tick_features", "ticks", "tick_labels", "games", "episode_features", "actions_with_ticks"):
        explorer.view = view
        rows = query.features(view, games=["a-high"])
        assert_frame_equal(query.query(explorer.sql), rows)
        assert_frame_equal(explorer.rows(), rows)
        assert explorer.sql in explorer._sql.value.replace("&#x27;", "'")
    explorer.view = "tick_features"
    explorer.ticks = (1, 2)
    assert explorer.rows()["tick"].to_list() == [1, 2]


def test_games_are_found_by_what_one_knows_of_them(explorer: EpisodeExplorer) -> None:
    """By a part of the id, a rug, a length, a player; in the order wanted; the list says how many there are."""
    choice = explorer.choice
    assert listed(explorer) == ["a-high", "b-long"]
    choice.sort.value = "longest"
    assert listed(explorer) == ["b-long", "a-high"]
    choice.sort.value = "deepest drawdown"
    assert listed(explorer) == ["b-long", "a-high"]
    choice.is_complete.value = False
    assert sorted(listed(explorer)) == ["a-high", "b-long", "late", "open"]
    choice.is_rugged.value = True
    assert sorted(listed(explorer)) == ["a-high", "b-long", "late"]
    choice.min_ticks.value = 5
    assert sorted(listed(explorer)) == ["a-high", "b-long"]
    choice.min_ticks.value = 0
    choice.player.value = "alice"
    assert listed(explorer) == ["late"]
    assert explorer.game_id == "late"
    choice.player.value = ""
    choice.search.value = "high"
    assert listed(explorer) == ["a-high"]
    assert "1 of 4 games" in choice.found.value
    choice.search.value = "no such game"
    assert explorer.game_id == ""
    assert explorer.rows().height == 0
    assert explorer.message.value == ""


def test_previous_and_next_go_through_the_list(explorer: EpisodeExplorer) -> None:
    """They stop at its ends, and the list shows where one is."""
    choice = explorer.choice
    assert choice.previous.disabled
    choice.next.click()
    assert (explorer.game_id, choice.games.value) == ("b-long", "b-long")
    assert choice.next.disabled
    choice.step(1)
    assert explorer.game_id == "b-long"
    choice.games.value = "a-high"
    assert explorer.game_id == "a-high"


def test_a_long_list_shows_its_first_games(query: EventStoreQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are found by searching, or one after the other."""
    monkeypatch.setattr(game_choices, "MOST_LISTED", 1)
    explorer = EpisodeExplorer(query)

    assert listed(explorer) == ["a-high"]
    assert "1 of them listed" in explorer.choice.found.value
    explorer.choice.step(1)
    assert (explorer.game_id, explorer.choice.games.value) == ("b-long", None)


def test_a_change_is_drawn(explorer: EpisodeExplorer, query: EventStoreQuery) -> None:
    """Another game, window, kind of volatility or range of ticks: the lines are those numbers."""
    explorer.game_id = "b-long"
    features = query.get_tick_features("b-long")
    explorer.window = 5
    assert shown(explorer)["return_volatility_5"] == features["return_volatility_5"].to_list()
    explorer.volatility_of = "prices"
    assert shown(explorer)["volatility_5"] == features["volatility_5"].to_list()
    explorer._ticks.value = (10, 20)
    assert shown(explorer)["price"] == features["price"].to_list()[10:21]
    assert "rug" not in shown(explorer)
    explorer._log.value = False
    assert explorer.figure.layout.yaxis.type != "log"
    explorer.game_id = "a-high"
    assert explorer.ticks == (0, 4)
    assert shown(explorer)["price"] == [1, 2, 4, 3, 0.02]


def test_nothing_of_an_earlier_figure_stays(query: EventStoreQuery) -> None:
    """Whichever figure a widget shows after whichever other, it is as if it had been the first."""
    features = query.features().join(query.features("tick_labels"), on=["game_id", "tick"])
    rug, open_end = (features.filter(pl.col("game_id") == game_id) for game_id in ("b-long", "open"))
    figures = {
        "rug": plots.episode(rug),
        "linear": plots.episode(rug, log=False),
        "window": plots.episode(rug, volatility="volatility_5"),
        "open": plots.episode(open_end, log=False),
        "overlay": plots.overlay(features),
        "flag": plots.feature_by_label(features, "drawdown", "rugs_within_5"),
        "number": plots.feature_against_label(features, "drawdown", "ticks_to_rug"),
        "heat": plots.correlation(features, ["price", "drawdown"]),
    }
    for before, after in itertools.permutations(figures, 2):
        widget = figures_on_show.shown(figures[before])
        figures_on_show.show(widget, figures[after])

        said = json.loads(widget.to_json())
        for trace in said["data"]:
            trace.pop("uid", None)
        assert said == json.loads(figures[after].to_json()), (before, after)


def test_games_can_be_compared(explorer: EpisodeExplorer) -> None:
    """Pinned games stay beside the one on show until they are unpinned."""
    explorer._pin.click()
    explorer.game_id = "b-long"

    assert [trace.name for trace in explorer.comparison.data] == ["b-long", "a-high"]
    assert list(explorer.comparison.data[1].y) == [1, 2, 4, 3, 0.02]
    explorer._unpin.click()
    assert explorer._compared.children == ()
    explorer.pinned = [f"g{n}" for n in range(20)]
    explorer.pin()
    assert "20 games are pinned" in explorer.message.value


def test_the_rows_on_show_are_exported(explorer: EpisodeExplorer, tmp_path: Path) -> None:
    """All of a game, or the ticks on show: the file has them, and its provenance says which they are."""
    for name, ticks, view in (
        ("all.parquet", (0, 4), "tick_features"),
        ("some.csv", (1, 2), "tick_features_of_ticks_1_to_2"),
    ):
        explorer.ticks = ticks
        explorer._path.value = str(tmp_path / name)
        explorer._export.click()
        assert "rows of tick_features of game a-high are in" in explorer.message.value
        meta = json.loads((tmp_path / f"{name}.meta.json").read_text())
        assert (meta["view"], meta["n_rows"]) == (view, explorer.rows().height)
    assert pl.read_csv(tmp_path / "some.csv")["price"].to_list() == [2, 4]
    assert_frame_equal(
        pl.read_parquet(tmp_path / "all.parquet").select("tick", "price"),
        explorer._features.select("tick", "price"),
    )
    assert "tick_features_of_ticks_1_to_2" not in explorer._query.views


def test_what_goes_wrong_is_said_under_the_widget(explorer: EpisodeExplorer, tmp_path: Path) -> None:
    """In one line, escaped, until something succeeds; the widget goes on."""
    taken = tmp_path / "<b>.csv"
    taken.touch()
    for path, complaint in ((taken, "&lt;b&gt;.csv exists"), ("x.xlsx", "ends in .csv or .parquet")):
        explorer._path.value = str(path)
        explorer._export.click()
        assert 'role="alert"' in explorer.message.value
        assert complaint in explorer.message.value
    explorer.choice.step(1)
    assert explorer.message.value == ""
    assert explorer.game_id == "b-long"


def test_games_that_come_later_are_there_after_a_refresh(explorer: EpisodeExplorer, query: EventStoreQuery) -> None:
    """A recording goes on while one looks."""
    write(query.paths.data_dir, [tick_event(0, 1.0, "newer"), tick_event(1, 99.0, "newer", data={"rugged": True})])
    assert "newer" not in listed(explorer)
    explorer.refresh()
    assert listed(explorer)[0] == "newer"
    assert explorer.game_id == "a-high"


def test_every_control_is_labelled(explorer: EpisodeExplorer) -> None:
    """For the keyboard and for readers of screens: a description each."""
    seen = []

    def look(widget: object) -> None:
        for child in getattr(widget, "children", ()):
            look(child)
        if (
            hasattr(widget, "description")
            and "HTML" not in type(widget).__name__
            and type(widget).__name__ != "Message"
        ):
            seen.append(widget.description)

    look(explorer)
    assert len(seen) >= 15
    assert all(seen)
