"""EventStoreQuery: every call, on stores small enough to know the answers by heart."""

import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from tests.builders import START, episode, rows, store_with, tick_event, write
from vectra_analytics import (
    CorruptStore,
    Direction,
    DocType,
    EventEnvelope,
    EventSource,
    EventStorePaths,
    EventStoreQuery,
    NotReadOnly,
    ParquetWriter,
    UnknownView,
    VectraError,
    compact,
)
from vectra_analytics.features import catalogue
from vectra_analytics.schema import EVENT_COLUMNS


def _action(player: str, game: str, seq: int) -> EventEnvelope:
    return EventEnvelope.from_player_action("buy", {"amount": 1}, EventSource.UI, "ui", seq, game, player, ts=START)


@pytest.fixture
def query(tmp_path: Path) -> EventStoreQuery:
    """Three games of 10, 5 and 3 ticks; alice acts in the first and the last, bob in the second."""
    return store_with(
        tmp_path / "store",
        episode(*range(1, 11), game_id="g1"),
        episode(1, 2, 3, 2, 1, game_id="g2"),
        episode(1, 2, 3, game_id="g3"),
        [_action("alice", "g1", 1), _action("alice", "g1", 2), _action("bob", "g2", 3), _action("alice", "g3", 4)],
    )


def test_sql_answers_as_polars_and_as_arrow(query: EventStoreQuery) -> None:
    """One statement, two kinds of table, the same rows; parameters are named with a dollar."""
    sql = "SELECT game_id, count(*) AS n FROM game_tick WHERE game_id <> $not GROUP BY ALL ORDER BY ALL"

    assert query.query(sql, {"not": "g2"}).rows() == [("g1", 10), ("g3", 3)]
    table = query.query_arrow(sql, {"not": "g2"})
    assert isinstance(table, pa.Table)
    assert table.to_pydict() == {"game_id": ["g1", "g3"], "n": [10, 3]}


def test_every_relation_can_be_named(query: EventStoreQuery) -> None:
    """events, each doc_type, each view, and the {parquet_glob} of older notebooks."""
    for name in ("events", "ws_event", "server_state", *catalogue()):
        assert isinstance(query.query(f"SELECT * FROM {name}"), pl.DataFrame)
    assert rows(query, "SELECT count(*) FROM '{parquet_glob}'") == [(22,)]
    assert rows(query, "SELECT count(*) FROM EVENTS WHERE doc_type = 'game_tick' AND date = '2025-12-17'") == [(18,)]


def test_times_are_utc_whatever_the_machine_says(query: EventStoreQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ts is microseconds in UTC in every kind of answer."""
    monkeypatch.setenv("TZ", "America/New_York")

    assert query.query("SELECT ts FROM events").schema["ts"] == pl.Datetime("us", "UTC")
    assert query.query_arrow("SELECT ts FROM events").schema.field("ts").type == pa.timestamp("us", tz="UTC")
    assert query.scan("ticks").collect_schema()["ts"] == pl.Datetime("us", "UTC")
    assert query.get_game_episode("g1")["ts"].min() == START


READING = [
    "SELECT 1",
    "WITH a AS (SELECT 1) FROM a",
    "VALUES (1), (2)",
    "FROM ticks",
    "PIVOT (SELECT game_id, rugged FROM ticks) ON rugged USING count(*)",
    "DESCRIBE ticks",
    "SUMMARIZE games",
    "SHOW TABLES",
    "EXPLAIN SELECT * FROM ticks",
    "EXPLAIN ANALYZE SELECT * FROM ticks",
    "EXPLAIN (FORMAT json) SELECT 1",
    "-- a comment\nSELECT 1;",
    "SELECT 'copy ticks to; drop table'",
]


@pytest.mark.parametrize("sql", READING)
def test_statements_that_read_are_answered(query: EventStoreQuery, sql: str) -> None:
    """Whatever only reads may be asked."""
    assert query.query(sql).height > 0


WRITING = [
    "CREATE TABLE x AS SELECT 1",
    "INSERT INTO ticks SELECT 1",
    "UPDATE ticks SET price = 1",
    "DELETE FROM ticks",
    "DROP VIEW ticks",
    "COPY ticks TO 'out.csv'",
    "COPY (SELECT 1) TO '{store}/out.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{store}/out.csv'",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{store}/out.csv'",
    "explain /* x */ analyze\ncopy (select 1) to '{store}/out.csv'",
    "ATTACH '{store}/x.duckdb'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 1",
    "PRAGMA memory_limit='1GB'",
    "CHECKPOINT",
    "EXPORT DATABASE '{store}/x'",
    "USE memory",
    "BEGIN",
    "CALL pragma_version()",
    "PREPARE p AS SELECT 1",
    "SELECT 1; SELECT 2",
    "",
    "-- nothing",
    "WITH d AS (DELETE FROM ticks RETURNING *) SELECT * FROM d",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'other.parquet'",
    "SELECT * FROM read_text('../outside.txt')",
    "SELECT * FROM read_parquet('https://example.com/x.parquet')",
    "SELECT * FROM glob('/*')",
]


@pytest.mark.parametrize("sql", WRITING)
def test_what_does_more_than_read_is_refused(query: EventStoreQuery, sql: str) -> None:
    """Nothing is written, attached, copied, set, nor read from outside the store."""
    store = query.paths.data_dir
    before = sorted(store.rglob("*"))

    with pytest.raises(NotReadOnly):
        query.query(sql.replace("{store}", str(store)))

    assert [path for path in sorted(store.rglob("*")) if path not in before] == []
    assert rows(query, "SELECT count(*) FROM ticks") == [(18,)]


def test_python_variables_are_no_relations(query: EventStoreQuery) -> None:
    """SQL sees the store and nothing of the program around it."""
    secret = pl.DataFrame({"a": [1]})

    with pytest.raises(UnknownView, match="there are events"):
        query.query("SELECT * FROM secret")
    assert secret.height == 1


def test_wrong_sql_is_duckdbs_own_error(query: EventStoreQuery) -> None:
    """A syntax error shows the place, as users of DuckDB know it."""
    with pytest.raises(duckdb.ParserException, match="syntax error"):
        query.query("SELEC 1")


def test_an_episode_is_all_events_of_a_game_in_order(query: EventStoreQuery) -> None:
    """Ordered by (ts, session_id, seq), everybody's events, all columns."""
    found = query.get_game_episode("g1")

    assert found.columns == list(EVENT_COLUMNS)
    assert found.height == 12
    assert found.select("ts", "session_id", "seq").rows() == sorted(found.select("ts", "session_id", "seq").rows())
    assert query.get_game_episode("none").schema == found.schema


def test_episodes_come_in_the_order_they_were_played(tmp_path: Path) -> None:
    """By (started_at, game_id); a game without a start comes last."""
    late, early = episode(1, 2, game_id="a"), episode(1, 2, game_id="b")
    early = [tick_event(t, 1, "b", "early", ts=START.replace(hour=1)) for t in range(2)]
    unseen = [EventEnvelope.from_complete_game({"id": "0", "prices": [1, 2]}, EventSource.REPLAY, "c", 1, ts=START)]
    query = store_with(tmp_path, late, early, unseen)

    assert [frame["game_id"][0] for frame in query.iter_episodes()] == ["b", "a", "0"]
    assert query.games()["game_id"].to_list() == ["b", "a", "0"]


def test_a_query_that_has_iterated_orders_what_came_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The starts of games are kept for the next pass over the same files, and found anew once there are others."""
    query = store_with(tmp_path, episode(1, 2, game_id="b"), episode(1, 2, game_id="c"))

    def order() -> list[str]:
        return [frame["game_id"][0] for frame in query.iter_episodes()]

    assert order() == ["b", "c"]
    write(tmp_path, [tick_event(t, 1, "d", "early", ts=START.replace(hour=1)) for t in range(2)])
    write(tmp_path, [tick_event(0, 1, "c", "earlier", ts=START.replace(hour=0))])
    assert order() == ["c", "d", "b"]
    monkeypatch.setattr("vectra_analytics.query.starts_of_games", None)  # is not called again
    assert order() == ["c", "d", "b"]


def test_filters_of_iter_episodes_combine(query: EventStoreQuery) -> None:
    """player_id, min_ticks and limit together: the call that failed elsewhere."""
    assert [f.height for f in query.iter_episodes(player_id="alice", min_ticks=5)] == [12]
    assert [f.height for f in query.iter_episodes(min_ticks=5)] == [12, 6]
    assert [f.height for f in query.iter_episodes(limit=2)] == [12, 6]
    assert list(query.iter_episodes(player_id="nobody")) == []
    assert list(query.iter_episodes(limit=0)) == []


def test_episodes_can_be_rows_and_columns_of_a_view(query: EventStoreQuery) -> None:
    """view= and columns= choose what a frame holds, and in which order."""
    frames = list(query.iter_episodes(view="tick_features", columns=["price", "tick"]))

    assert [frame.columns for frame in frames] == [["price", "tick"]] * 3
    assert frames[1]["price"].to_list() == [1, 2, 3, 2, 1]


def test_iterating_equals_asking_one_by_one(query: EventStoreQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many games are read together, each frame is the game's own."""
    monkeypatch.setattr("vectra_analytics.game_reader.BLOCK_ROWS", 6)

    for frame in query.iter_episodes():
        assert_frame_equal(frame, query.get_game_episode(frame["game_id"][0]))


def test_shuffling_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    """A seed gives one order of all games; limit takes the first of it."""
    query = store_with(tmp_path, *[episode(1, 2, game_id=f"g{n:02}") for n in range(20)])

    def order(seed: int | None, limit: int | None = None) -> list[str]:
        return [frame["game_id"][0] for frame in query.iter_episodes(shuffle=seed, limit=limit)]

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == order(None)
    assert order(1, limit=5) == order(1)[:5]


def test_an_iteration_keeps_the_version_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Games stored meanwhile are not in it, nor are new events of old games."""
    monkeypatch.setattr("vectra_analytics.game_reader.BLOCK_ROWS", 1)
    query = store_with(tmp_path, episode(1, 2, game_id="g1"), episode(1, 2, game_id="g2"))
    running = query.iter_episodes()

    assert next(running).height == 2
    write(tmp_path, [*episode(1, 2, game_id="g3"), tick_event(2, 3, "g2", "other")])

    assert [frame.height for frame in running] == [2]
    assert [frame.height for frame in query.iter_episodes()] == [2, 3, 2]


def test_a_batch_has_the_games_that_there_are(query: EventStoreQuery) -> None:
    """Missing ids are absent from the answer, repeated ones are in it once."""
    assert {game: frame.height for game, frame in query.get_episodes_batch(["g3", "no", "g1", "g3"]).items()} == {
        "g3": 4,
        "g1": 12,
    }


def test_player_calls_count_what_they_say(query: EventStoreQuery) -> None:
    """Games are counted in get_player_games, events in get_player_actions."""
    assert query.get_player_games("alice").height == 16
    assert query.get_player_games("alice", limit=1).height == 12
    assert query.get_player_actions("alice")["game_id"].to_list() == ["g1", "g1", "g3"]
    assert query.get_player_actions("alice", limit=2).height == 2
    assert query.get_player_actions("nobody").columns == list(EVENT_COLUMNS)


def test_lists_are_sorted_and_whole(tmp_path: Path) -> None:
    """No silent limit: 150 games and 150 players are all listed."""
    games = [f"g{n:03}" for n in range(150)]
    query = store_with(tmp_path, [_action(f"p{n:03}", game, n) for n, game in enumerate(games)])

    assert query.list_games() == games
    assert query.list_games(limit=2) == games[:2]
    assert query.list_players() == [f"p{n:03}" for n in range(150)]
    assert query.list_players(limit=0) == []


def test_counts_are_by_doc_type_or_of_all(query: EventStoreQuery) -> None:
    """An absent doc_type counts 0."""
    assert (query.count_events(), query.count_events("game_tick"), query.count_events("ws_event")) == (22, 18, 0)


def test_features_are_ordered_and_can_be_narrowed(query: EventStoreQuery) -> None:
    """By game and tick; games and columns choose."""
    whole = query.features()

    assert whole.select("game_id", "tick").rows() == sorted(whole.select("game_id", "tick").rows())
    assert query.features(games=["g2"], columns=["tick", "max_price"]).rows() == [
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 3),
        (4, 3),
    ]
    assert query.features(games=[]).schema == whole.schema
    assert_frame_equal(query.get_tick_features("g2"), whole.filter(game_id="g2"))


def test_an_unknown_view_or_column_is_named_with_those_that_there_are(query: EventStoreQuery) -> None:
    """The error says what could have been meant."""
    with pytest.raises(UnknownView, match="tick_features"):
        query.features("tick_feature")
    with pytest.raises(VectraError, match=r"has no column 'volatility'; it has .*volatility_5"):
        query.features(columns=["volatility"])
    with pytest.raises(VectraError, match="no column"):
        query.iter_episodes(columns=["nope"])
    with pytest.raises(VectraError, match="limit is -1"):
        query.list_games(limit=-1)


def test_scanning_is_lazy_and_equal(query: EventStoreQuery) -> None:
    """A lazy frame gives the view's rows, also after the query is gone."""
    lazy = query.scan("tick_features")

    assert_frame_equal(lazy.collect(), query.features())
    assert lazy.filter(pl.col("tick") == 9).select("price").collect().rows() == [(10.0,)]


EMPTY_CALLS: list[Callable[[EventStoreQuery], Any]] = [
    lambda q: q.query("SELECT * FROM events"),
    lambda q: q.query_arrow("SELECT * FROM ticks"),
    lambda q: q.get_game_episode("g1"),
    lambda q: q.get_player_games("p"),
    lambda q: q.get_player_actions("p"),
    lambda q: q.games(),
    lambda q: q.get_tick_features("g1"),
    lambda q: q.features("ticks"),
    lambda q: q.scan("games").collect(),
]


@pytest.mark.parametrize("ask", EMPTY_CALLS)
def test_a_store_without_events_answers_with_the_right_columns(
    ask: Callable[[EventStoreQuery], Any], query: EventStoreQuery, tmp_path: Path
) -> None:
    """Nothing stored, nothing made: empty frames of the same schema, and no folder appears."""
    nowhere = EventStoreQuery(EventStorePaths(tmp_path / "nowhere"))
    answer, full = ask(nowhere), ask(query)

    assert answer.schema == full.schema
    assert len(answer) == 0
    assert not (tmp_path / "nowhere").exists()
    assert (nowhere.version, nowhere.list_games(), nowhere.list_players(), nowhere.count_events()) == (0, [], [], 0)
    assert list(nowhere.iter_episodes()) == []


def test_a_pinned_version_stays_as_it_was(tmp_path: Path) -> None:
    """What is stored later is not in it, in no call."""
    paths = write(tmp_path, episode(1, 2, game_id="g1"))
    pinned = EventStoreQuery(paths, version=1)
    write(tmp_path, episode(1, 2, 3, game_id="g2"))

    assert (pinned.version, EventStoreQuery(paths).version) == (1, 2)
    assert pinned.list_games() == ["g1"]
    assert pinned.count_events() == pinned.info().n_events == 2
    assert rows(pinned, "SELECT count(*) FROM ticks") == [(2,)]
    assert EventStoreQuery(paths, version=0).games().is_empty()
    with pytest.raises(VectraError, match="no version 3; it has 0 to 2"):
        EventStoreQuery(paths, version=3)


def test_many_threads_may_ask_at_once(query: EventStoreQuery) -> None:
    """Eight threads, each with the right answers."""
    found: list[Any] = []

    def ask() -> None:
        found.extend(
            (rows(query, "SELECT count(*) FROM ticks"), query.get_tick_features("g2").height) for _ in range(5)
        )

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [([(18,)], 5)] * 40


def test_a_text_is_no_list_of_games(query: EventStoreQuery, tmp_path: Path) -> None:
    """One id given for a list of them is not taken for a list of letters."""
    asks: list[Callable[[], object]] = [
        lambda: query.features("ticks", "g1"),
        lambda: query.get_episodes_batch("g1"),
        lambda: query.export(tmp_path / "x.csv", games="g1"),
    ]
    for ask in asks:
        with pytest.raises(VectraError, match="games is the text 'g1'; give a list of ids"):
            ask()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_ask(query: EventStoreQuery) -> None:
    """A child does not touch its parent's DuckDB; it makes one of its own."""
    assert query.count_events() == 22
    assert rows(query, "SELECT count(*) FROM ticks") == [(18,)]
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if rows(query, "SELECT count(*) FROM ticks") == [(18,)] else 1)
        except BaseException:
            os._exit(2)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_never_waits_for_threads_that_it_does_not_have(query: EventStoreQuery, tmp_path: Path) -> None:
    """Where the parent has used Polars, which no fork survives, the child is told so, and Arrow still answers."""
    assert query.get_game_episode("g1").sort("ts", "seq").height == 12
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        try:
            asks: list[Callable[[], object]] = [
                lambda: query.get_game_episode("g1"),
                query.games,
                query.features,
                lambda: query.scan("ticks"),
                lambda: query.export(tmp_path / "x.csv"),
                lambda: compact(query.paths),
            ]
            for ask in asks:
                with pytest.raises(VectraError, match=r"forked from one that had used Polars.*query_arrow"):
                    ask()
            os._exit(0 if query.query_arrow("SELECT * FROM ticks").num_rows == 18 else 1)
        except BaseException:
            os._exit(2)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_file_is_named_with_what_was_in_it(query: EventStoreQuery, damage: str) -> None:
    """Never a partial answer: the error says which file, how many rows of what."""
    file = next(query.paths.events_parquet_dir.glob("doc_type=game_tick/**/*.parquet"))
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-100])

    with pytest.raises(CorruptStore, match=f"{file.name}.*18 rows of game_tick"):
        query.query("SELECT price FROM ticks")
    with pytest.raises(CorruptStore, match=file.name):
        query.get_game_episode("g1")


def test_info_tells_in_words_in_html_and_in_json(query: EventStoreQuery, tmp_path: Path) -> None:
    """Counts, sizes and dates; HTML is escaped and has no colour of its own."""
    info = query.info()

    assert (info.n_events, info.n_games, info.version) == (22, 3, 1)
    assert info.events_by_doc_type == {"game_tick": 18, "player_action": 4}
    assert info.first_event == START
    assert "events           22" in str(info)
    assert info.to_dict()["first_event"] == START.isoformat()
    odd = EventStoreQuery(write(tmp_path / "<script>alert(1)</script>", episode(1, 2)))
    for html in (odd.info()._repr_html_(), odd._repr_html_()):
        assert "<script>" not in html
        assert "&lt;script&gt;" in html
        assert "color: inherit" in html


def test_problems_are_none_while_reads_are_strict(query: EventStoreQuery) -> None:
    """Strict reads leave nothing out."""
    assert query.problems().is_empty()


def test_a_store_that_is_written_is_read_at_its_newest_version(tmp_path: Path) -> None:
    """Each call sees what was flushed before it, without being made anew."""
    query = EventStoreQuery(EventStorePaths(tmp_path))
    with ParquetWriter(query.paths) as writer:
        for tick in range(3):
            writer.write(tick_event(tick, 1))
            writer.flush()
            assert query.count_events() == tick + 1
            assert rows(query, "SELECT max(tick) FROM ticks") == [(tick,)]


def test_the_difference_of_two_times_is_a_duration(query: EventStoreQuery) -> None:
    """What SQL says of spans of time comes as Polars has it."""
    found = query.query("SELECT game_id, ended_at - started_at AS lasted, NULL::INTERVAL AS none FROM games ORDER BY 1")

    assert found["lasted"].to_list()[0] == timedelta(seconds=2.25)
    assert found["none"].dtype == pl.Duration("us")


def test_a_store_may_be_named_by_its_folder(query: EventStoreQuery) -> None:
    """Where a store is wanted its folder's name will do."""
    folder = query.paths.data_dir
    assert EventStoreQuery(folder).count_events() == EventStoreQuery(str(folder)).count_events() == 22
    with ParquetWriter(str(folder)) as writer:
        assert writer.buffer_count == 0


@pytest.mark.parametrize(
    ("columns", "message"), [(["tick", "tick"], "'tick' is wanted twice"), ([], "no columns are wanted")]
)
def test_columns_are_wanted_once_and_some(query: EventStoreQuery, columns: list[str], message: str) -> None:
    """No frame without columns, and none with a column under another name."""
    for ask in (query.features, lambda columns: query.iter_episodes(columns=columns)):
        with pytest.raises(VectraError, match=message):
            ask(columns=columns)
    assert query.features(columns=(name for name in ("tick", "price"))).columns == ["tick", "price"]  # type: ignore[arg-type]
    with pytest.raises(VectraError, match="the name of a view"):
        query.iter_episodes("tick_features")


def test_an_update_that_names_a_tick_twice_harms_no_other(tmp_path: Path) -> None:
    """Of such an update its own price counts; a tick as large as can be is no obstacle either."""
    raw = '{"event":"gameStateUpdate","data":{"partialPrices":{"values":{"1":1.0,"1":2.0}}}}'
    odd = EventEnvelope(
        ts=START,
        source=EventSource.PUBLIC_WS,
        doc_type=DocType.WS_EVENT,
        session_id="w",
        seq=1,
        direction=Direction.RECEIVED,
        raw_json=raw,
        game_id="odd",
        event_name="gameStateUpdate",
        tick=3,
        price=1.5,
    )
    far = EventEnvelope.from_game_tick(2**63 - 1, 1.0, {}, EventSource.REPLAY, "s3", 1, "far", ts=START)
    query = EventStoreQuery(write(tmp_path, [odd, *episode(1, 2), far]))

    assert query.features("ticks", columns=["game_id", "tick"]).rows() == [
        ("far", 2**63 - 1),
        ("g1", 0),
        ("g1", 1),
        ("odd", 3),
    ]
    assert query.games().height == 3
    assert query.features().height == 4
