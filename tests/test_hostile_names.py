"""Names and ids that are HTML: shown letter by letter, in widgets, figures, reports and frames, and never run."""

import html.parser
import json
from pathlib import Path

import polars as pl
import pytest

from tests.builders import START, episode, store_with
from vectra_analytics import EventEnvelope, EventSource, EventStoreQuery, plots
from vectra_analytics.plots.theme import plain

EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>$x$"
HARMLESS = "&lt;img src=x onerror=alert(1)&gt;&lt;/script&gt;&lt;script&gt;alert(2)&lt;/script&gt;&#36;x&#36;"


@pytest.fixture
def query(tmp_path: Path) -> EventStoreQuery:
    """A game, a player, an action and an event that are all named so."""
    return store_with(
        tmp_path / f"a{EVIL.replace('/', '')}",
        episode(1, 2, 3, 0.01, game_id=EVIL, session_id=EVIL, rug=True),
        episode(1, 2, game_id="g2"),
        [EventEnvelope.from_player_action(EVIL, {}, EventSource.UI, "ui", 1, EVIL, EVIL, EVIL, ts=START)],
        [EventEnvelope.from_ws_event(EVIL, {}, EventSource.CDP, "ws", 1, EVIL, EVIL, EVIL, ts=START)],
    )


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


def _tags(text: str) -> set[str]:
    parser = _Tags()
    parser.feed(text)
    parser.close()
    return set(parser.found)


def test_tables_and_lines_are_escaped(query: EventStoreQuery) -> None:
    """What a notebook shows of a store, and of a frame."""
    assert _tags(query.info()._repr_html_()) <= {"table", "caption", "tbody", "tr", "th", "td"}
    assert "<img" not in query.info()._repr_html_()
    assert not _tags(query.games()._repr_html_()) & {"img", "script"}


def test_figures_show_names_as_they_are(query: EventStoreQuery) -> None:
    """Titles, legends and hover texts hold no tag and no formula, whatever the data are."""
    features = query.features()
    trades = query.features("actions_with_ticks").filter(pl.col("game_id") == EVIL)
    figures = [
        plots.episode(features.filter(pl.col("game_id") == EVIL), trades),
        plots.overlay(features),
        plots.feed_health(query.features("feed_health")),
        plots.correlation(features.rename({"price": EVIL}), [EVIL, "drawdown"]),
        plots.feature_against_label(features.rename({"price": EVIL, "drawdown": f"2{EVIL}"}), EVIL, f"2{EVIL}"),
        plots.feature_by_label(features.rename({"price": EVIL, "drawdown": f"2{EVIL}"}), EVIL, f"2{EVIL}"),
    ]

    for figure in figures:
        texts = json.dumps(figure.to_plotly_json(), default=str)
        assert "<img" not in texts
        assert "script>" not in texts.replace("script&gt;", "")
        assert "$x" not in texts
        assert HARMLESS in texts
    assert figures[0].layout.title.text == f"Game {HARMLESS}"


def test_ordinary_names_stay_as_they_are() -> None:
    """Ids of real games and names of real players are not changed."""
    assert plain("20251103-9f8d44097cba4b") == "20251103-9f8d44097cba4b"
    assert plain('it\'s "me" ✓') == 'it\'s "me" ✓'


def test_a_report_of_such_a_figure_is_one_script(query: EventStoreQuery) -> None:
    """No text of a figure ends the script that draws it."""
    from vectra_analytics.reports.outputs import _figure

    page = _figure({"data": [{"type": "scatter", "y": [1], "name": EVIL, "text": [EVIL]}], "layout": {}}, "f1")

    assert "<img" not in page
    assert page.count("</script>") == page.count("<script")


def test_widgets_escape_names(query: EventStoreQuery, tmp_path: Path) -> None:
    """The SQL, the state and the messages under a widget."""
    from vectra_analytics.widgets import EpisodeExplorer, LiveEpisode

    explorer = EpisodeExplorer(query)
    explorer.game_id = EVIL
    live = LiveEpisode(query)
    live.refresh()

    import ipywidgets

    def texts(widget: ipywidgets.Widget) -> list[str]:
        own = [widget.value] if isinstance(widget, ipywidgets.HTML) else []
        return own + [text for child in getattr(widget, "children", ()) for text in texts(child)]

    found = [*texts(explorer), *texts(live)]
    assert any("&lt;img" in text for text in found)
    assert all(not _tags(text) & {"img", "script"} for text in found)
