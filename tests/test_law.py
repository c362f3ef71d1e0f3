"""The law: every view of the package keeps it to the last bit; what looks ahead or aside is caught, and nobody else."""

import textwrap
from pathlib import Path

import polars as pl
import pytest

from tests.builders import episode, store_with
from vectra_analytics import EventStorePaths, EventStoreQuery, LawBroken, check_view
from vectra_analytics.features import FeatureView, catalogue
from vectra_analytics.law import LAWS
from vectra_analytics.law.corpus import full_corpus
from vectra_analytics.law.laws import Case
from vectra_analytics.second_execution import EXECUTES


def view_text(sql: str, *, kind: str = "feature", reads: str = '"ticks"', unit: str = "number", grain: str = "") -> str:
    """The file of a view whose one column of its own is ``x``."""
    grain = grain or '"game_id", "tick"'
    return textwrap.dedent(
        f"""\
        -- /// feature-view
        -- title = "A trial"
        -- kind = "{kind}"
        -- grain = [{grain}]
        -- reads = [{reads}]
        -- source = "This test."
        -- [columns]
        -- game_id = {{ unit = "id", doc = "The game." }}
        -- tick = {{ unit = "ticks", doc = "The tick." }}
        -- x = {{ unit = "{unit}", doc = "On trial.", null = "undefined" }}
        -- ///
        """
    ) + textwrap.dedent(sql)


LEAKS = {
    "the next price": "SELECT game_id, tick, lead(price) OVER (PARTITION BY game_id ORDER BY tick) AS x FROM ticks",
    "a price far ahead": """
        SELECT game_id, tick, lead(price, 60) OVER (PARTITION BY game_id ORDER BY tick) AS x FROM ticks
    """,
    "a centred window": """
        SELECT game_id, tick, avg(price) OVER (
            PARTITION BY game_id ORDER BY tick ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING
        ) AS x FROM ticks
    """,
    "the mean of the whole game": """
        SELECT game_id, tick, price - avg(price) OVER (PARTITION BY game_id) AS x FROM ticks
    """,
    "a frame that merges ties": """
        SELECT game_id, tick, count(*) OVER (PARTITION BY game_id ORDER BY ts) AS x FROM ticks
    """,
    "a frame that merges the ties of another order": """
        SELECT game_id, tick, max(price) OVER (PARTITION BY game_id ORDER BY tick // 4) AS x FROM ticks
    """,
    "a range of time around": """
        SELECT game_id, tick, max(price) OVER (
            PARTITION BY game_id ORDER BY tick RANGE BETWEEN 5 PRECEDING AND 1 FOLLOWING
        ) AS x FROM ticks
    """,
    "a hole filled from the future": """
        WITH changes AS (
            SELECT game_id, tick,
                CASE WHEN lag(tick) OVER game = tick - 1 THEN price - lag(price) OVER game END AS change
            FROM ticks WINDOW game AS (PARTITION BY game_id ORDER BY tick)
        )
        SELECT game_id, tick, coalesce(change, first_value(change IGNORE NULLS) OVER (
            PARTITION BY game_id ORDER BY tick ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        )) AS x FROM changes
    """,
    "a rank among all ticks of the game": """
        SELECT game_id, tick, percent_rank() OVER (PARTITION BY game_id ORDER BY price) AS x FROM ticks
    """,
    "rows that are there only if the game goes on": """
        SELECT a.game_id, a.tick, a.price AS x
        FROM ticks AS a INNER JOIN ticks AS b ON a.game_id = b.game_id AND b.tick = a.tick + 1
    """,
    "the length of the game so far to be": """
        SELECT game_id, tick, count(*) OVER (PARTITION BY game_id) AS x FROM ticks
    """,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EventStorePaths:
    """A store with a few games."""
    folder = tmp_path_factory.mktemp("store")
    return store_with(folder, episode(1, 2, 4, 2, 3, 6, 0.01, rug=True), episode(1, 1.5, 1.2, game_id="g2")).paths


@pytest.fixture
def query(store: EventStorePaths) -> EventStoreQuery:
    """A query that knows the views of the package alone."""
    return EventStoreQuery(store)


def assert_refused(query: EventStoreQuery, text: str, law: str = "prefix") -> None:
    """The view breaks this law when it is to be registered, and the message has the counterexample."""
    with pytest.raises(LawBroken, match=f"view trial breaks the law of {law} .*BROKEN: .*(x is|there is|rows have)"):
        query.register_view(text, name="trial")
    assert "trial" not in query.views


def assert_found(query: EventStoreQuery, text: str, law: str) -> None:
    """The whole examination finds this law broken and no other, with a counterexample that is one."""
    report = check_view(FeatureView.parse(text, "trial"), query)
    (broken,) = report.broken
    assert broken.law == law
    example = broken.counterexample
    assert example is not None
    assert example.wanted != example.got
    assert example.game_id is not None
    assert example.game_id in example.said
    assert not report.holds


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_look_ahead_is_refused_as_a_feature(query: EventStoreQuery, leak: str) -> None:
    """A view that knows of a later tick is refused, told where, and told that it may be a label, which it may."""
    assert_refused(query, view_text(LEAKS[leak]))
    assert_found(query, view_text(LEAKS[leak]), "prefix")
    with pytest.raises(LawBroken, match='registered as a label: kind = "label"'):
        query.register_view(view_text(LEAKS[leak]), name="trial")

    as_label = EventStoreQuery(query.paths)
    assert as_label.register_view(view_text(LEAKS[leak], kind="label"), name="trial").kind == "label"
    assert as_label.features("trial").columns == ["game_id", "tick", "x"]


@pytest.mark.parametrize("column", ["peak_price", "rug_tick", "is_complete", "n_ticks", "n_actions", "n_conflicts"])
def test_a_join_to_whole_games_is_refused_as_a_feature(query: EventStoreQuery, column: str) -> None:
    """What is only known of a game at its end is no feature of its ticks."""
    sql = f"SELECT game_id, tick, g.{column} AS x FROM ticks INNER JOIN games AS g USING (game_id)"
    assert_refused(query, view_text(sql, reads='"ticks", "games"'))


@pytest.mark.parametrize(
    ("relation", "value"),
    [
        ("complete_game", "max(TRY_CAST(raw_json ->> '$.prices[#-1]' AS DOUBLE))"),
        ("player_action", "count(*)"),
        ("ws_event", "max(price)"),
        ("events", "count(*) FILTER (WHERE doc_type = 'server_state')"),
        ("game_tick", "max(tick)"),
    ],
)
def test_a_join_to_all_events_of_a_game_is_refused_as_a_feature(
    query: EventStoreQuery, relation: str, value: str
) -> None:
    """Events that came later are the future, whatever kind they are of."""
    sql = f"""
        SELECT game_id, tick, e.x FROM ticks
        INNER JOIN (SELECT game_id, {value} AS x FROM {relation} GROUP BY game_id) AS e USING (game_id)
    """
    assert_refused(query, view_text(sql, reads=f'"ticks", "{relation}"'))


INNOCENTS = {
    "the price before": "SELECT game_id, tick, lag(price) OVER (PARTITION BY game_id ORDER BY tick) AS x FROM ticks",
    "a long mean, which is rounded by where its rows stand": """
        SELECT game_id, tick, avg(price) OVER (PARTITION BY game_id ORDER BY tick ROWS 49 PRECEDING) AS x FROM ticks
    """,
    "a long deviation": """
        SELECT game_id, tick, stddev_samp(price) OVER (
            PARTITION BY game_id ORDER BY tick ROWS BETWEEN 19 PRECEDING AND CURRENT ROW
        ) AS x FROM ticks
    """,
    "a mean of all that was seen": """
        SELECT game_id, tick, avg(price) OVER (
            PARTITION BY game_id ORDER BY tick ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS x FROM ticks
    """,
    "a hole filled from the past": """
        SELECT game_id, tick, last_value(ts IGNORE NULLS) OVER (
            PARTITION BY game_id ORDER BY tick ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS x FROM ticks
    """,
    "something of the name of the game": """
        SELECT game_id, tick, CAST(hash(game_id) % 1000 AS DOUBLE) AS x FROM ticks
    """,
    "the date in the name of the game": "SELECT game_id, tick, game_id[:8] AS x FROM ticks",
    "every fifth tick": "SELECT game_id, tick, price AS x FROM ticks WHERE tick % 5 = 0",
    "a threshold": "SELECT game_id, tick, price > 2 AS x FROM ticks",
    "a closing comment": "SELECT game_id, tick, price AS x FROM ticks -- that is all",
    "an order and a semicolon": "SELECT game_id, tick, price AS x FROM ticks ORDER BY game_id, tick;",
}

# Long games would bring these into question, if bits or the names of copies were all that counted.
ACCUSED_BY_BITS = [name for name in INNOCENTS if name.startswith(("a long", "a mean", "something of the name"))]


@pytest.mark.parametrize("innocent", INNOCENTS)
def test_an_innocent_view_is_not_accused(query: EventStoreQuery, innocent: str) -> None:
    """What looks only back is taken, and then asked for like any other view."""
    text = view_text(INNOCENTS[innocent])
    if innocent in ACCUSED_BY_BITS:
        report = check_view(FeatureView.parse(text, "trial"), query)
        assert report.holds, report
    fresh = EventStoreQuery(query.paths)
    fresh.register_view(text, name="trial")
    assert fresh.features("trial", games=["g1"]).equals(
        fresh.query("SELECT * FROM trial WHERE game_id = 'g1' ORDER BY tick")
    )


def test_a_join_to_what_is_known_from_the_start_is_innocent(query: EventStoreQuery) -> None:
    """Not every column of `games` is the future: when it began is known at once."""
    sql = "SELECT game_id, tick, g.started_at AS x FROM ticks INNER JOIN games AS g USING (game_id)"
    assert check_view(FeatureView.parse(view_text(sql, reads='"ticks", "games"'), "trial"), query).holds


def test_a_view_of_all_games_together_breaks_isolation(query: EventStoreQuery) -> None:
    """A game's rows must not depend on the other games, whatever kind of view it is."""
    sql = "SELECT game_id, tick, price - (SELECT avg(price) FROM ticks) AS x FROM ticks"
    for kind in ("feature", "label"):
        assert_refused(query, view_text(sql, kind=kind), "isolation")
    assert_found(query, view_text(sql), "isolation")
    from_another = "SELECT game_id, tick, lag(price) OVER (ORDER BY game_id, tick) AS x FROM ticks"
    assert_refused(query, view_text(from_another), "isolation")


def test_a_view_that_is_another_each_time_breaks_the_law(query: EventStoreQuery) -> None:
    """Chance gives numbers that nobody can compute again, and so do ties without an order."""
    assert_refused(query, view_text("SELECT game_id, tick, random() AS x FROM ticks"), "order")
    ties = "SELECT game_id, tick, row_number() OVER (PARTITION BY game_id ORDER BY price // 10) AS x FROM ticks"
    assert_refused(query, view_text(ties), "(order|isolation)")


@pytest.mark.parametrize(
    "value", ["ln(price)", "price / (price - price)", "CASE WHEN price >= 0.1 THEN 1 / (price - 0.1) END"]
)
def test_a_value_that_is_no_number_breaks_finiteness(query: EventStoreQuery, value: str) -> None:
    """Undefined is NULL, never NaN or infinity."""
    assert_refused(query, view_text(f"SELECT game_id, tick, {value} AS x FROM ticks"), "finite")


def test_two_rows_of_one_grain_break_the_law_of_grain(query: EventStoreQuery) -> None:
    """A join that doubles rows is told by them."""
    sql = "SELECT game_id, tick, t.price AS x FROM ticks AS t INNER JOIN tick_sightings USING (game_id, tick)"
    assert_refused(query, view_text(sql, reads='"ticks", "tick_sightings"'), "grain")


@pytest.mark.parametrize(
    ("unit", "value"), [("ratio", "price - 1"), ("price", "price * price"), ("price", "price + 1")]
)
def test_a_unit_that_is_none_breaks_scaling(query: EventStoreQuery, unit: str, value: str) -> None:
    """A level grows with the prices, a ratio does not; under another unit the same numbers are nobody's business."""
    sql = f"SELECT game_id, tick, {value} AS x FROM ticks"
    assert_refused(query, view_text(sql, unit=unit), "scaling")
    EventStoreQuery(query.paths).register_view(view_text(sql, unit="squares"), name="trial")


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_view_of_the_package_keeps_the_law_to_the_last_bit(query: EventStoreQuery, name: str) -> None:
    """Cut off, alone, shuffled, by any number of threads and at any scale: the same rows, without even rounding."""
    report = check_view(name, query)
    assert report.holds, report
    assert report.rounding == 0, report
    examined = {verdict.law for verdict in report.verdicts if verdict.holds}
    assert {"header", "grain", "finite", "order", "isolation"} <= examined
    assert ("execution" in examined) == (name in EXECUTES)
    assert ("prefix" in examined) == (catalogue()[name].kind == "feature")
    assert [verdict.law for verdict in report.verdicts] == list(LAWS)


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_a_header_says_when_a_column_is_null_and_from_which_tick_it_has_a_value(name: str) -> None:
    """In the games of the law: what is said never to be NULL is not, what may be is somewhere, and warm-ups are so."""
    view = catalogue()[name]
    games = [game for game in full_corpus() if game.events.height < 5_000]
    rows = Case(catalogue(), view, games, 1, (), ()).whole
    for column, about in view.columns.items():
        n_null = rows[column].null_count()
        assert (n_null > 0) == bool(about.null or about.warm_up), f"{column}: {n_null} NULLs"
    if "tick" in view.grain and view.kind == "feature":
        smooth = rows.filter(pl.col("game_id") == next(game.game_id for game in games if "smooth" in game.what))
        for column, about in view.columns.items():
            assert smooth[column].is_not_null().arg_max() == about.warm_up, column


def test_a_report_can_be_read_by_people_and_programs(query: EventStoreQuery) -> None:
    """It says view, law, verdict and the first counterexample, as text, as HTML that escapes, and as plain values."""
    text = view_text(LEAKS["the next price"])
    report = check_view(FeatureView.parse(text, "trial"), query)
    assert str(report).startswith("trial (feature, version ")
    assert "BREAKS the law" in str(report)
    assert "prefix     BROKEN: game 20251217-" in str(report)
    assert "&#x27;" in report._repr_html_() or "BROKEN" in report._repr_html_()
    said = report.to_dict()
    (broken,) = [law for law in said["laws"] if law["holds"] is False]
    assert set(broken["counterexample"]) == {"game_id", "tick", "column", "wanted", "got", "said"}
    assert broken["counterexample"]["column"] == "x"
    assert said["holds"] is False


def test_a_view_is_tried_on_the_stores_own_games_too(tmp_path: Path) -> None:
    """What only these games bring out is found by the whole examination."""
    query = store_with(tmp_path, episode(*[1.0 + 0.01 * tick for tick in range(30)], game_id="mine"))
    sql = """
        SELECT game_id, tick,
            CASE WHEN game_id = 'mine' THEN lead(price) OVER (PARTITION BY game_id ORDER BY tick) END AS x FROM ticks
    """
    view = FeatureView.parse(view_text(sql), "trial")
    query.register_view(view_text(sql), name="trial")
    report = check_view("trial", query)
    (broken,) = report.broken
    assert broken.counterexample is not None
    assert broken.counterexample.game_id == "mine"
    assert report.version == query.views.version("trial")
    assert view.kind == report.kind
