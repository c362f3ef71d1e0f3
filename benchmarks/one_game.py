"""Questions about one game: its features and its events, beside DuckDB asked by hand."""

import random
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl

from benchmarks import by_hand
from benchmarks.corpus import Corpus, live_files
from benchmarks.results import MILLISECONDS, Result, Way, check_same, compared, in_turns
from vectra_analytics import EventStoreQuery
from vectra_analytics.features import catalogue

N_SAMPLED = 50
_N_REFERENCE = 3  # each takes seconds

_FEATURES_MOST = {"compacted": 0.012, "as recorded": 0.020}  # seconds
_BIG_MOST = 0.015


def features(corpus: Corpus) -> list[Result]:
    """`get_tick_features()` in both forms, and in the store that this package replaces."""
    results: list[Result] = []
    games = corpus.sample(N_SAMPLED + 1)
    for form, paths in corpus.forms().items():
        what, at_most = f"features of a game, {form}", _FEATURES_MOST[form]
        query = EventStoreQuery(paths)
        files = live_files(paths)
        ours, listed, in_memory = in_turns(games, _ours(query), _listed_features(files), _in_memory(query))
        than = f"DuckDB windows over the list of all {len(files):,} files"
        results.append(compared(what, ours, listed, than, MILLISECONDS, at_most=at_most))
        results.append(compared(what, ours, in_memory, "the view's SQL over this game in memory", MILLISECONDS))
    query = EventStoreQuery(corpus.as_recorded)
    few = games[: _N_REFERENCE + 1]
    ours, reference = in_turns(few, _ours(query), _reference_features(corpus.reference, query))
    n_files = sum(1 for _ in corpus.reference.rglob("*.parquet"))
    than = f"windows over a pattern for the {n_files:,} files of the store this one replaces"
    results.append(
        compared("features of a game, as recorded", ours, reference, than, MILLISECONDS, ratio_at_most=1 / 50)
    )
    return results


def big_features(corpus: Corpus, n_days: int = 100, games_a_day: int = 1000) -> list[Result]:
    """The features of one game out of a hundred thousand, in a store that was made day by day."""
    query = EventStoreQuery(corpus.days(n_days, games_a_day))
    known = query.list_games()
    games = random.Random(1).sample(known, min(N_SAMPLED + 1, len(known)))
    ours, in_memory = in_turns(games, _ours(query), _in_memory(query))
    what, than = f"features of a game out of {len(known):,}", "the view's SQL over this game in memory"
    return [compared(what, ours, in_memory, than, MILLISECONDS, at_most=_BIG_MOST)]


def _ours(query: EventStoreQuery) -> Way:
    return lambda game: lambda: query.get_tick_features(game)


def _listed_features(files: list[Path]) -> Way:
    connection = by_hand.connection()
    sql = by_hand.with_duckdb(files, "WHERE game_id = $game")
    return lambda game: lambda: connection.sql(sql, params={"game": game}).pl()


def _in_memory(query: EventStoreQuery) -> Way:
    """What is left when finding, reading and choosing the ticks costs nothing; parsing the view still does."""
    connection = by_hand.connection()
    sql = f"{catalogue()['tick_features'].sql} ORDER BY game_id, tick"
    checked: list[str] = []

    def make_ready(game: str) -> Callable[[], pl.DataFrame]:
        ours = query.features("tick_features", games=[game])
        connection.register("these", ours.select(by_hand.TICK_COLUMNS).to_arrow())
        connection.execute("CREATE OR REPLACE TABLE ticks AS FROM these")
        if not checked:
            checked.append(game)
            check_same(ours, connection.sql(sql).pl(), "the view's SQL in memory")
            check_same(ours, _by_hand_in_memory(connection), "windows by hand")
        return lambda: connection.sql(sql).pl()

    return make_ready


def _by_hand_in_memory(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """The features of what the connection's table ``ticks`` holds."""
    found: pl.DataFrame = connection.sql(f"WITH played AS (FROM ticks), {by_hand.FEATURES}").pl()
    return found


def _reference_features(folder: Path, query: EventStoreQuery) -> Way:
    """A pattern that is looked up each time and a connection of its own each time, as that store does it."""
    checked: list[str] = []

    def ask(game: str) -> pl.DataFrame:
        with duckdb.connect() as connection:
            params = {"glob": f"{folder}/**/*.parquet", "game": game}
            found: pl.DataFrame = connection.sql(by_hand.REFERENCE_FEATURES, params=params).pl()
        return found

    def make_ready(game: str) -> Callable[[], pl.DataFrame]:
        if not checked:
            checked.append(game)
            # Windows that are not full have a deviation there and none here.
            check_same(query.get_tick_features(game), ask(game), "the store this one replaces", skip_nulls=True)
        return lambda: ask(game)

    return make_ready


def episode(corpus: Corpus) -> list[Result]:
    """`get_game_episode()` in both forms."""
    results: list[Result] = []
    for form, paths in corpus.forms().items():
        what = f"events of a game, {form}"
        files = live_files(paths)
        query, connection = EventStoreQuery(paths), by_hand.connection()
        sql = by_hand.reading(files, where="WHERE game_id = $game ORDER BY ts, session_id, seq")
        games = corpus.sample(N_SAMPLED + 1)
        theirs = connection.sql(sql, params={"game": games[0]}).pl()
        check_same(query.get_game_episode(games[0]), theirs, "a SELECT by hand")
        ours, listed = in_turns(games, _our_episode(query), _listed_episode(connection, sql))
        than = f"DuckDB SELECT over the list of all {len(files):,} files"
        results.append(compared(what, ours, listed, than, MILLISECONDS, at_most=0.008))
    return results


def _our_episode(query: EventStoreQuery) -> Way:
    return lambda game: lambda: query.get_game_episode(game)


def _listed_episode(connection: duckdb.DuckDBPyConnection, sql: str) -> Way:
    return lambda game: lambda: connection.sql(sql, params={"game": game}).pl()
