"""One DuckDB instance a store: locked, read-only for users, its relations laid over the live files of a version."""

import atexit
import contextlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from vectra_analytics.envelope import DocType
from vectra_analytics.errors import CorruptStore, NotReadOnly, UnknownView
from vectra_analytics.features import building_order, catalogue
from vectra_analytics.live_files import LiveFile
from vectra_analytics.schema import EVENT_COLUMNS, EVENT_SCHEMA

_SQL_TYPES = {"timestamp[us, tz=UTC]": "TIMESTAMPTZ", "int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN"}

_MOST_INSTANCES = 8  # each has threads and some megabytes of its own
_instances: dict[Path, duckdb.DuckDBPyConnection] = {}
_lock = threading.Lock()


def _forget_instances() -> None:
    """A forked child must not use its parent's threads and locks; it makes instances of its own."""
    global _lock
    _lock = threading.Lock()
    # Closing or freeing them here would wait for threads that the child does not have.
    _abandoned.append(dict(_instances))
    _instances.clear()


atexit.register(_instances.clear)  # DuckDB complains of what outlives the interpreter
_abandoned: list[dict[Path, duckdb.DuckDBPyConnection]] = []
os.register_at_fork(after_in_child=_forget_instances)


def cursor(data_dir: Path) -> duckdb.DuckDBPyConnection:
    """A fresh cursor on the store's instance; about 1 ms, the first one 20 to 70."""
    with _lock:
        instance = _instances.pop(data_dir, None) or _open(data_dir)
        _instances[data_dir] = instance  # the last one used is the last one in it
        while len(_instances) > _MOST_INSTANCES:
            del _instances[next(iter(_instances))]  # it ends with its last cursor
        return instance.cursor()


def _open(data_dir: Path) -> duckdb.DuckDBPyConnection:
    return locked_instance({f"{readable_dir(data_dir)}/"} | ({f"{data_dir}/"} if _IS_PLAIN(str(data_dir)) else set()))


def locked_instance(folders: Collection[str]) -> duckdb.DuckDBPyConnection:
    """A DuckDB that can read below these folders, reach nothing else and have no setting changed."""
    instance = duckdb.connect(":memory:")
    instance.execute("SET TimeZone = 'UTC'")
    instance.execute("SET autoinstall_known_extensions = false")
    instance.execute("SET autoload_known_extensions = false")
    instance.execute("SET python_enable_replacements = false")
    instance.execute("SET parquet_metadata_cache = true")
    instance.execute("SET enable_progress_bar = false")
    instance.execute("SET temp_directory = $folder", {"folder": str(Path(tempfile.gettempdir(), "vectra_duckdb"))})
    instance.execute("SET allowed_directories = $folders", {"folders": sorted(folders)})
    instance.execute("SET enable_external_access = false")
    instance.execute("SET lock_configuration = true")
    return instance


# DuckDB takes * ? [ ] in a name for a pattern and a folder `date=...` for a partition, wherever it stands.
_IS_PLAIN = re.compile(r"[\w/ .,:;@+~'\"()&#!$%^|<>-]+").fullmatch


@cache
def readable_dir(data_dir: Path) -> str:
    """The store's folder under a name that DuckDB takes as it is: its own, or a link to it."""
    name = str(data_dir)
    if _IS_PLAIN(name):
        return name
    folder = tempfile.mkdtemp(prefix="vectra-")
    atexit.register(_remove_link, Path(folder), os.getpid())
    link = Path(folder, "store")
    link.symlink_to(data_dir, target_is_directory=True)
    return str(link)


def _remove_link(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a forked child, whose parent still reads through it
        shutil.rmtree(folder, ignore_errors=True)


def select_from(name: str, columns: str, events_sql: Callable[[str, str], str]) -> str:
    """One SELECT of a relation's rows, where ``events_sql(doc_type or "events", columns)`` gives those of events.

    It is bound once. As a view upon views, each of them would be bound again for each view that reads it,
    which for one game costs more than finding and computing its rows.
    """
    if name not in catalogue():
        return events_sql(name, columns)
    views = building_order(name)
    readers = " ".join(view.sql for view in views)
    parts = [
        f"{read} AS NOT MATERIALIZED ({events_sql(read, '*')})"
        for read in dict.fromkeys(read for view in views for read in view.reads)
        if read not in catalogue()
    ]
    for view in views:
        n_readings = len(re.findall(rf"\b(?:FROM|JOIN) {view.name}\b", readers))
        parts.append(f"{view.name} AS {'MATERIALIZED' if n_readings > 1 else 'NOT MATERIALIZED'} ({view.sql})")
    return f"WITH {', '.join(parts)} SELECT {columns} FROM {name}"


class Relations:
    """The names that SQL may use, over some files of the store, on a cursor of their own.

    Parameters
    ----------
    files
        The live files; of a doc_type that has none the relation is empty, with the right columns.
    """

    def __init__(self, data_dir: Path, files: Sequence[LiveFile]) -> None:
        self.cursor = cursor(data_dir)
        self._data_dir = data_dir
        self._files = files

    def __enter__(self) -> "Relations":
        return self

    def __exit__(self, *exc: object) -> None:
        self.cursor.close()

    def offer(self, sql: str) -> None:
        """Make the relations that ``sql`` may name; a word that only looks like one costs little."""
        words = {word.lower() for word in re.findall(r"\w+", sql)}
        listing = words & {"show", "information_schema", "duckdb_views", "duckdb_tables"}
        for name in names():
            if name in words or listing:
                self.cursor.execute(f"CREATE TEMP VIEW {name} AS {self.select(name)}")

    def select(self, name: str, columns: str = "*") -> str:
        """One SELECT that gives a relation's rows, with all that it reads before it."""
        return select_from(name, columns, self._events_sql)

    def _events_sql(self, name: str, columns: str) -> str:
        files = [file for file in self._files if name in ("events", file.doc_type)]
        if not files:
            return f"SELECT {columns} FROM ({_NO_EVENTS})"
        if columns == "*":  # a file of a later schema may have more
            columns = ", ".join(EVENT_COLUMNS)
        root, prefix = readable_dir(self._data_dir), len(str(self._data_dir))
        paths = ", ".join(text_literal(root + str(file.path)[prefix:]) for file in files)
        return (
            f"SELECT {columns} FROM read_parquet([{paths}], hive_partitioning = true, "
            "hive_types = {'doc_type': VARCHAR, 'date': DATE})"
        )

    def relation(self, sql: str, params: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyRelation:
        """The answer to a statement of ours, or of a user's after :func:`check_read_only`."""
        with self.explained():
            answer = self.cursor.sql(sql, params=dict(params) if params else None)
        if answer is None:
            raise NotReadOnly("the statement gives no rows; only statements that read do")
        return answer

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn DuckDB's errors about files and names into ours."""
        try:
            with interrupts():
                yield
        except duckdb.PermissionException as error:
            raise NotReadOnly(f"the statement reaches outside the store: {_first_line(error)}") from error
        except duckdb.CatalogException as error:
            missing = re.search(r"Table with name (.+?) does not exist", str(error))
            if missing is None:
                raise
            if re.search(r"[/\\]|\.\w+$", missing[1]):
                raise NotReadOnly(
                    f"the statement reaches outside the store: it names the file {missing[1]!r}"
                ) from error
            raise UnknownView(f"no relation is named {missing[1]!r}; there are {', '.join(names())}") from error
        except duckdb.BinderException as error:
            if re.search(r"Can only (delete from|update) base table|is not an? table", str(error)):
                raise NotReadOnly(f"the statement would change something: {_first_line(error)}") from error
            raise
        except (duckdb.IOException, duckdb.InvalidInputException, duckdb.SerializationException) as error:
            for file in self._files:
                problem = file.problem()
                if problem is None and file.path.name in str(error):
                    problem = f"the live file {file.path} is damaged: {_first_line(error)}"
                if problem:
                    raise CorruptStore(problem) from error
            raise


@contextlib.contextmanager
def interrupts() -> Iterator[None]:
    """Let Ctrl-C and a notebook's stop button be what they are, though DuckDB makes errors of its own of them."""
    try:
        yield
    except (RuntimeError, duckdb.Error) as error:
        if "Query interrupted" in str(error) or "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from error
        raise


def names() -> list[str]:
    """Every relation that SQL may name."""
    return ["events", *DocType, *catalogue()]


def check_read_only(sql: str) -> str:
    """The statement, if it is one that only reads; ``{parquet_glob}`` in quotes means ``events``.

    Raises
    ------
    NotReadOnly
        For anything else: several statements, or one that would write, attach, copy, install or set.
    duckdb.ParserException
        Where it is no SQL.
    """
    sql = re.sub(r"'\{parquet_glob\}'|\"\{parquet_glob\}\"|\{parquet_glob\}", "events", sql)
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1:
        raise NotReadOnly(f"wanted one statement that reads, found {len(statements)}")
    statement = statements[0]
    kind = statement.type
    if kind == duckdb.StatementType.EXPLAIN:
        # EXPLAIN ANALYZE carries out what it explains.
        check_read_only(_explained_statement(statement.query))
    elif kind != duckdb.StatementType.SELECT and not (
        kind == duckdb.StatementType.MULTI and _opens_with(sql, _PIVOTING)
    ):
        raise NotReadOnly(
            f"a {kind.name} statement is not allowed here: only those that read are "
            "(SELECT, WITH, VALUES, FROM, PIVOT, DESCRIBE, SUMMARIZE, SHOW, EXPLAIN)"
        )
    return sql


def statement_text(sql: str) -> str:
    """The one statement in a text without what closes it, so that it can stand in another one."""
    ends = [start for start, token in _tokens(sql) if token == ";"]
    return sql[: ends[0]] if ends else sql


_PIVOTING = {"pivot", "unpivot", "pivot_wider", "pivot_longer", "select", "from", "with", "("}


def _tokens(sql: str) -> list[tuple[int, str]]:
    """The words and signs of a statement with their places, comments left out."""
    starts = [(start, kind) for start, kind in duckdb.tokenize(sql)]
    ends = [start for start, _ in starts[1:]] + [len(sql)]
    return [
        (start, sql[start:end].strip().lower())
        for (start, kind), end in zip(starts, ends, strict=True)
        if kind != duckdb.token_type.comment
    ]


def _opens_with(sql: str, words: set[str]) -> bool:
    tokens = _tokens(sql)
    return bool(tokens) and tokens[0][1] in words


def _explained_statement(sql: str) -> str:
    """What stands behind EXPLAIN, EXPLAIN ANALYZE and EXPLAIN (options)."""
    tokens = _tokens(sql)[1:]
    if tokens and tokens[0][1] == "(":
        depth = 0
        for index, (_, token) in enumerate(tokens):
            depth += {"(": 1, ")": -1}.get(token, 0)
            if depth == 0:
                inside = tokens[1][1]
                if inside in {"select", "with", "from", "values", "pivot", "("}:
                    break  # a statement in parentheses, not options
                tokens = tokens[index + 1 :]
                break
    while tokens and tokens[0][1] in {"analyze", "analyse", "verbose"}:
        tokens = tokens[1:]
    return sql[tokens[0][0] :] if tokens else ""


def text_literal(text: str) -> str:
    """The text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def quote_identifier(name: str) -> str:
    """The name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


_NO_EVENTS = (
    "SELECT "
    + ", ".join(
        f"NULL::{_SQL_TYPES.get(str(field.type), 'DECIMAL(38, 18)' if 'decimal' in str(field.type) else 'VARCHAR')} "
        f"AS {field.name}"
        for field in EVENT_SCHEMA
    )
    + ", NULL::VARCHAR AS doc_type, NULL::DATE AS date WHERE false"
)
