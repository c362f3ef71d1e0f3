"""What a user's SQL cannot do: reach outside the store, change anything, run on for ever, or leave a trace."""

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

import vectra_analytics
from tests.builders import episode, store_with
from vectra_analytics import EventStoreQuery, NotReadOnly, VectraError
from vectra_analytics.engine import cursor, locked_instance
from vectra_analytics.statements import check_functions, tokens

PACKAGE = Path(vectra_analytics.__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of two games, with two links that lead out of it, and with a secret beside the store."""
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "outside").mkdir()
    (folder / "outside" / "secret.csv").write_text("a,b\n1,2\n")
    store_with(folder / "store", episode(1, 2), episode(1, game_id="g2"))
    (folder / "store" / "link").symlink_to(folder / "outside")
    (folder / "store" / "link.csv").symlink_to(folder / "outside" / "secret.csv")
    return folder


@pytest.fixture
def query(folder: Path) -> EventStoreQuery:
    """A query on the store, which no test changes."""
    return EventStoreQuery(folder / "store")


REACHING = [
    *(
        f"SELECT * FROM {function}('{place}')"
        for function in ("read_csv", "read_csv_auto", "read_text", "read_blob", "read_json", "read_ndjson_objects")
        for place in (
            *("{outside}/secret.csv", "{store}/link/secret.csv", "{store}/link.csv", "{store}/../outside/secret.csv"),
            *("file://{outside}/secret.csv", "/proc/self/environ", "/dev/stdin", "https://127.0.0.1:9/x.csv"),
            *("s3://bucket/x", "~/.ssh/id_rsa", "secret.csv", "{store}/../outside/*.csv"),
        )
    ),
    "SELECT * FROM read_parquet('{outside}/x.parquet')",
    "SELECT * FROM parquet_scan('{outside}/x.parquet')",
    "SELECT * FROM parquet_metadata('{outside}/x.parquet')",
    "SELECT * FROM parquet_schema('{store}/link/x.parquet')",
    "SELECT * FROM read_duckdb('{outside}/x.duckdb')",
    "SELECT * FROM glob('{outside}/*')",
    "SELECT * FROM glob('{store}/link/*')",
    "SELECT * FROM sniff_csv('{outside}/secret.csv')",
    "SELECT * FROM read_text(chr(47) || 'etc/passwd')",
    "SELECT * FROM read_text(['{store}/manifests/schema_version.json', '{outside}/secret.csv'])",
    "SELECT * FROM '{outside}/secret.csv'",
    'SELECT * FROM "{outside}/secret.csv"',
    "SELECT * FROM '{store}/link.csv'",
    "SUMMARIZE '{outside}/secret.csv'",
    "DESCRIBE SELECT * FROM read_csv('{outside}/secret.csv')",
    "PIVOT '{outside}/secret.csv' ON a",
    "EXPLAIN ANALYZE SELECT * FROM read_csv('{outside}/secret.csv')",
    "WITH x AS (FROM read_csv('{outside}/secret.csv')) SELECT * FROM x",
    "SELECT (SELECT content FROM read_text('{outside}/secret.csv'))",
    "SELECT * FROM postgres_scan('host=127.0.0.1', 'a', 'b')",
    "SELECT * FROM sqlite_scan('{store}/manifests/catalog.sqlite', 'files')",
    "SELECT * FROM st_read('{store}/x')",
    "CALL load_aws_credentials()",
]
CHANGING = [
    "ATTACH '{store}/new.duckdb' AS a",
    "ATTACH ':memory:' AS a",
    "DETACH memory",
    "COPY ticks TO '{store}/new.csv'",
    "COPY (SELECT 1) TO '{outside}/new.csv'",
    "COPY x FROM '{outside}/secret.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{store}/new.csv'",
    "EXPLAIN /* ü€ü€ü€ü€ü€ü€ */ ANALYZE COPY (SELECT 'ü') TO '{store}/new.csv'",
    "EXPORT DATABASE '{store}/new'",
    "IMPORT DATABASE '{outside}'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '1TB'",
    "SET VARIABLE a = 1",
    "RESET threads",
    "PRAGMA enable_profiling",
    "PRAGMA database_list",
    "CREATE SECRET (TYPE s3)",
    "CREATE TABLE a AS SELECT 1",
    "CREATE OR REPLACE TEMP VIEW ticks AS SELECT 1",
    "CREATE MACRO a() AS 1",
    "DROP VIEW ticks",
    "ALTER VIEW ticks RENAME TO a",
    "COMMENT ON VIEW ticks IS 'x'",
    "TRUNCATE ticks",
    "MERGE INTO ticks USING ticks AS t ON true WHEN MATCHED THEN DELETE",
    "WITH d AS (DELETE FROM ticks RETURNING *) SELECT * FROM d",
    "WITH d AS (INSERT INTO ticks VALUES (1)) SELECT 1",
    "CALL pragma_version()",
    "PREPARE p AS SELECT 1",
    "EXECUTE chosen",
    "EXPLAIN EXECUTE chosen",
    "DEALLOCATE chosen",
    "VACUUM",
    "CHECKPOINT",
    "BEGIN",
    "USE memory",
    "SELECT 1; DROP VIEW ticks",
    "SELECT 1; /* one */ -- two\n DROP VIEW ticks",
    "SELECT '/*'; DROP VIEW ticks --*/'",
    "SELECT 1 /* ; */; COPY (SELECT 1) TO '{store}/new.csv'",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM \"query\" /* of a text */ ('SELECT 1')",
    "SELECT 'ü€', * FROM query('SELECT 1')",
    "SELECT * FROM\u00a0query('SELECT 1')",
    "SELECT * FROM system.main.query_table('ticks')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT write_log('x')",
    "SELECT * FROM enable_logging()",
    "SELECT * FROM checkpoint()",
    "SELECT * FROM pandas_scan(1)",
    "SELECT * FROM python_arrow_scan(1, 2, 3)",
    "SELECT getenv('HOME')",
    "SELECT current_setting('temp_directory')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM pg_settings",
]


def _all_files(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("sql", [*REACHING, *CHANGING])
def test_an_attack_is_refused_in_one_line_and_changes_nothing(
    query: EventStoreQuery, folder: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    """Each is NotReadOnly; on the disk, and for the next query, all is as it was."""
    monkeypatch.chdir(folder / "outside")  # names without a folder do not lead there either
    before = _all_files(folder)

    with pytest.raises(NotReadOnly) as refused:
        query.query(sql.format(store=folder / "store", outside=folder / "outside"))

    assert "\n" not in str(refused.value)
    assert _all_files(folder) == before
    assert query.query("SELECT count(*) FROM ticks").item() == 3


def test_files_of_the_store_may_be_read(query: EventStoreQuery, folder: Path) -> None:
    """What lies in the data directory is the user's to read."""
    (folder / "store" / "exports" / "mine.csv").write_text("a\n3\n")

    assert query.query(f"SELECT a FROM read_csv('{folder}/store/exports/mine.csv')").item() == 3


def test_duckdb_may_read_the_store_alone(query: EventStoreQuery, folder: Path) -> None:
    """Not even a folder for what does not fit into memory lies elsewhere: it could be read, too."""
    with cursor(folder / "store") as asked:
        folders = asked.sql("SELECT unnest(current_setting('allowed_directories'))").fetchall()

    assert folders == [(f"{folder}/store/",), (f"{folder}/store/.scratch/",)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS query, 2 AS checkpoint",
        "SELECT 'query(1)', 'getenv' AS a -- getenv()",
        "SELECT query FROM (SELECT 1 AS query)",
        "SELECT version()",
        "SELECT * FROM range(3)",
        "SHOW TABLES",
        "SHOW ALL TABLES",
        "DESCRIBE ticks",
        "SELECT * FROM duckdb_functions() LIMIT 1",
    ],
)
def test_what_only_looks_like_an_attack_is_answered(query: EventStoreQuery, sql: str) -> None:
    """Columns, texts and comments may say anything."""
    assert query.query(sql).height > 0


READS_ONLY = {
    *("collations", "database_list", "database_size", "extension_versions", "functions", "generate_series", "glob"),
    *("histogram", "histogram_values", "icu_calendar_names", "json_each", "json_tree", "metadata_info"),
    *("parquet_bloom_probe", "parquet_file_metadata", "parquet_full_metadata", "parquet_kv_metadata"),
    *("parquet_metadata", "parquet_scan", "parquet_schema", "pg_timezone_names", "platform", "range", "repeat"),
    *("read_blob", "read_csv", "read_csv_auto", "read_duckdb", "read_json", "read_json_auto", "read_json_objects"),
    *("read_json_objects_auto", "read_ndjson", "read_ndjson_auto", "read_ndjson_objects", "read_parquet", "read_text"),
    *("read_single_csv_file", "read_single_json_file", "read_single_parquet_file", "repeat_row", "show"),
    *("show_databases", "show_tables", "show_tables_expanded", "sniff_csv", "storage_info", "summary", "table_info"),
    *("test_all_types", "test_vector_types", "unnest", "user_agent", "version"),
}


def test_each_function_of_duckdb_that_gives_rows_is_known() -> None:
    """It only reads, or tells of DuckDB itself, or is refused; a new version's functions are looked at here first."""
    found = locked_instance(()).sql(
        "SELECT DISTINCT function_name FROM duckdb_functions() "
        "WHERE function_type IN ('table', 'pragma', 'table_macro')"
    )
    refused = set()
    for (name,) in found.fetchall():
        try:
            check_functions(f"SELECT * FROM {name}(1)")
        except NotReadOnly:
            refused.add(name)
    others = {name for (name,) in found.fetchall()} - refused - READS_ONLY

    assert {name for name in others if not name.startswith(("duckdb_", "pragma_"))} == set()
    assert not refused & READS_ONLY


def test_tokens_stand_where_they_say_they_do() -> None:
    """Places count characters, also behind those that UTF-8 gives several bytes."""
    sql = "SELECT 'ü€🂡', \"é\" /* ß */ FROM ü -- end"

    assert [token for _, token in tokens(sql)] == ["select", "'ü€🂡'", ",", '"é"', "from", "ü"]
    assert all(sql[place : place + len(token)].lower() == token.lower() for place, token in tokens(sql))


def test_a_statement_that_is_no_text_is_refused(query: EventStoreQuery) -> None:
    """Half a character cannot be asked."""
    with pytest.raises(VectraError, match="the statement is no text: surrogates not allowed at character 9"):
        query.query("SELECT '\ud800'")


def test_sql_sees_no_python_variable(query: EventStoreQuery) -> None:
    """Neither the caller's, nor those of the package on the way to DuckDB."""
    frame = table = pl.DataFrame({"a": [1]})
    for name in ("frame", "table", "answer", "files", "self", "sql", "READS_ONLY"):
        with pytest.raises((VectraError, duckdb.ParserException)):
            query.query(f"SELECT * FROM {name}")
    assert frame is table


def _view(body: str) -> str:
    return f"""-- /// feature-view
-- title = "An attack"
-- kind = "feature"
-- grain = ["game_id", "tick"]
-- reads = ["ticks"]
-- [columns]
-- game_id = {{ unit = "", doc = "The game." }}
-- tick = {{ unit = "tick", doc = "The tick." }}
-- found = {{ unit = "", doc = "What was found." }}
-- ///
SELECT game_id, tick, ({body}) AS found FROM ticks
"""


@pytest.mark.parametrize(
    "body",
    [
        "SELECT content FROM read_text('{outside}/secret.csv')",
        "SELECT content FROM read_text('{store}/link.csv')",
        "SELECT count(*) FROM '{outside}/secret.csv'",
        "SELECT count(*) FROM glob('{outside}/*')",
        "SELECT * FROM query('SELECT 1')",
        "write_log('x')",
        "getenv('HOME')",
        "1) AS found FROM ticks; COPY (SELECT 1) TO '{outside}/new.csv'; SELECT (1",
    ],
)
def test_views_of_ones_own_are_held_to_the_same(
    query: EventStoreQuery, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    """Registered, or in a folder: a view reads what its header names and nothing else."""
    text = _view(body.format(store=folder / "store", outside=folder / "outside"))
    (tmp_path / "attack.sql").write_text(text)
    monkeypatch.setenv("VECTRA_VIEWS", str(tmp_path))
    before = _all_files(folder)

    with pytest.raises(VectraError) as refused:
        query.register_view(text, name="attack")
    assert "\n" not in str(refused.value)
    asked = EventStoreQuery(query.paths)
    with pytest.raises(VectraError) as refused:
        asked.query("SELECT * FROM attack")
    assert "\n" not in str(refused.value)
    with pytest.raises(VectraError) as refused:
        asked.features("attack")
    assert "\n" not in str(refused.value)
    assert _all_files(folder) == before


# Time and memory

SLOW = "SELECT count(*) AS n FROM range(100000) AS a, range(100000000) AS b WHERE a.range * b.range % 7 = 3"


@pytest.mark.parametrize("call", ["query", "query_arrow", "reduced"])
@pytest.mark.parametrize("in_thread", [False, True])
def test_a_query_ends_with_its_time(query: EventStoreQuery, call: str, in_thread: bool) -> None:
    """In one line that says what to do; in whichever thread it runs; the next query is answered."""
    said: list[BaseException] = []

    def ask() -> None:
        try:
            options = {"x": "n", "y": "n"} if call == "reduced" else {}
            getattr(query, call)(SLOW, timeout=0.2, **options)
        except BaseException as error:
            said.append(error)

    began = time.monotonic()
    if in_thread:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    else:
        ask()

    assert time.monotonic() - began < 15
    assert type(said[0]) is VectraError
    assert str(said[0]).startswith("the query was stopped after 0.2 s, its time limit; ask of fewer games")
    assert "\n" not in str(said[0])
    assert query.query("SELECT count(*) FROM ticks", timeout=60).item() == 3


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_time_limit_is_above_nothing(query: EventStoreQuery, timeout: float) -> None:
    """What is no time is an error, not a limit."""
    with pytest.raises(VectraError, match=r"timeout is .*; it must be above 0, or None for no limit"):
        query.query("SELECT 1", timeout=timeout)


def test_one_querys_end_is_not_anothers(query: EventStoreQuery) -> None:
    """A time limit interrupts the query that it is of, and none that runs beside it."""
    answers: list[int] = []
    beside = threading.Thread(
        target=lambda: answers.append(query.query("SELECT count(*) FROM range(300000000) WHERE range % 3 = 0").item())
    )
    beside.start()
    with pytest.raises(VectraError, match="its time limit"):
        query.query(SLOW, timeout=0.1)
    beside.join()

    assert answers == [100_000_000]


def _python(text: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", text],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _said(text: str, **environment: str) -> str:
    process = _python(text, **environment)
    out, trouble = process.communicate(timeout=120)
    assert process.returncode == 0, trouble
    return out


ASKING = """
import sys
from vectra_analytics import EventStoreQuery, VectraError
try:
    print(EventStoreQuery({store!r}).query({sql!r}).rows())
except VectraError as error:
    print("VectraError", error)
"""


def test_memory_has_a_limit(query: EventStoreQuery) -> None:
    """What needs more is one line that names the limit and how to raise it."""
    sql = "SELECT list(repeat('x', 100) || range) FROM range(3000000)"
    said = _said(ASKING.format(store=str(query.paths.data_dir), sql=sql), VECTRA_MEMORY_LIMIT="60MB")

    assert said.startswith("VectraError the query needs more memory than it may have (60MB); ask of fewer games")
    assert said.count("\n") == 1


def test_what_does_not_fit_into_memory_goes_into_the_store(query: EventStoreQuery) -> None:
    """For as long as the query runs; then the folder is gone."""
    watching = """
import pathlib, threading
seen, over = set(), threading.Event()
def watch():
    while not over.wait(0.005):
        seen.update(path.name for path in pathlib.Path({store!r}).iterdir())
watcher = threading.Thread(target=watch); watcher.start()
"""
    ending = "\nover.set(); watcher.join(); print('.scratch' in seen)\n"
    sql = (
        "SELECT count(*), min(r) FROM (SELECT row_number() OVER (ORDER BY hash(range)) AS r, range FROM range(5000000))"
    )
    text = (watching + ASKING + ending).format(store=str(query.paths.data_dir), sql=sql)

    assert _said(text, VECTRA_MEMORY_LIMIT="80MB") == "[(5000000, 1)]\nTrue\n"
    assert not (query.paths.data_dir / ".scratch").exists()


@pytest.mark.parametrize("limit", ["much", "4", "-1", "-4GB"])
def test_a_limit_that_is_none_is_named(query: EventStoreQuery, limit: str) -> None:
    """One line that names the variable."""
    said = _said(ASKING.format(store=str(query.paths.data_dir), sql="SELECT 1"), VECTRA_MEMORY_LIMIT=limit)

    assert said.startswith("VectraError ")
    assert "VECTRA_MEMORY_LIMIT" in said
    assert said.count("\n") == 1


STOPPED = {
    "query": "query.query(SLOW)",
    "query_arrow": "query.query_arrow(SLOW)",
    "reduced": "query.reduced(SLOW, x='n', y='n')",
    "tail": "[rows for rows in query.tail(timeout=100)]",
    "features": "slow(); query.features('ticks')",
    "games": "slow(); query.features('games')",
    "iter_episodes": "slow(); list(query.iter_episodes(view='ticks'))",
    "export": "slow(); query.export(folder / 'x.csv', view='ticks')",
    "export_of_sessions": "slow(); query.export(folder / 'x.csv', view='feed_health')",
}
STOPPING = """
import pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from vectra_analytics import EventStoreQuery, VectraError
from vectra_analytics import engine, game_reader, prepared, second_execution
SLOW, folder = {slow!r}, pathlib.Path({folder!r})
query = EventStoreQuery(folder / 'store')
for view in ('ticks', 'feed_health'):
    query.features(view)

def slow():
    # Each view takes as long as the slow statement does: whatever asks for it has to be stopped.
    prepared._close_all()
    second_execution._is_off[0] = True
    game_reader.BLOCK_ROWS = 1  # several blocks, so that helpers of helpers are at work
    prepared.select_from = slowly(prepared.select_from)
    engine.select_from = slowly(engine.select_from)

def slowly(select_from):
    def select(views, name, *rest):
        text = select_from(views, name, *rest)
        return text if name == 'tick_sightings' else 'SELECT * FROM (' + text + ') WHERE (' + SLOW + ') > 0'
    return select

print('ready', flush=True)
try:
    {call}
    print('done')
except KeyboardInterrupt:
    print('stopped')
    print(query.query('SELECT count(*) FROM game_tick', timeout=60).item() if not {is_slow} else 3)
"""


@pytest.mark.parametrize("call", STOPPED)
def test_the_stop_button_stops_every_call(query: EventStoreQuery, folder: Path, call: str) -> None:
    """SIGINT, which is what a notebook sends, is a KeyboardInterrupt within a second or so; nothing is left behind."""
    process = _python(
        STOPPING.format(slow=SLOW, folder=str(folder), call=STOPPED[call], is_slow="slow()" in STOPPED[call])
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.7)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, trouble = process.communicate(timeout=60)

    assert out == "stopped\n3\n", trouble
    assert time.monotonic() - began < 10
    assert sorted(folder.glob("*x.csv*")) == []


# The package itself

SOURCES = sorted(PACKAGE.rglob("*.py"))
NEVER_IMPORTED = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "yaml", "jsonpickle", "joblib"}
NEVER_CALLED = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "tempfile.mktemp",
}
NEVER_CALLED_OF_ANYTHING = {
    "system",
    "popen",
    "getoutput",
    "getstatusoutput",
    "deserialize",
    "read_pickle",
    "to_pickle",
}
NEVER_GIVEN = {"shell", "allow_pickle"}


def _calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)
            yield f".{ast.unparse(node.func).rpartition('.')[2]}"
            yield from (f"{keyword.arg}=" for keyword in node.keywords)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_runs_what_it_reads(source: Path) -> None:
    """Neither pickle nor eval nor a shell: data is data."""
    tree = ast.parse(source.read_text())
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert not imported & NEVER_IMPORTED
    called = set(_calls(tree))
    assert not called & NEVER_CALLED
    assert not called & {f".{name}" for name in NEVER_CALLED_OF_ANYTHING}
    assert not called & {f"{name}=" for name in NEVER_GIVEN}


ALONE = """
import pathlib, socket, sys
def refuse(*arguments, **options):
    raise AssertionError("the network was asked for")
def guard(event, arguments):
    if event.startswith("socket.") and event not in ("socket.gethostname",):
        print("contacted:", event, arguments, flush=True)
        raise AssertionError(event)
sys.addaudithook(guard)
import vectra_analytics
from vectra_analytics import EventStoreQuery, compact, import_recordings
folder = pathlib.Path({folder!r})
import_recordings([pathlib.Path({samples!r})], folder / "store", timezone="America/New_York")
compact(folder / "store")
query = EventStoreQuery(folder / "store")
assert query.query("SELECT count(*) FROM tick_features").item() > 100
assert query.features("games").height == 1
assert query.info()._repr_html_()
query.export(folder / "x.csv")
query.export(folder / "x.parquet", view="games")
print("alone")
"""


def test_nothing_is_contacted(tmp_path: Path) -> None:
    """Import, query and export open no socket, whoever would."""
    samples = PACKAGE.parent / "data_samples" / "game_20251101_120500.jsonl"

    assert _said(ALONE.format(folder=str(tmp_path), samples=str(samples))) == "alone\n"
