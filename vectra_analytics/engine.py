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
from typing import Any, cast

import duckdb
import polars as pl
import pyarrow as pa
from duckdb.polars_io import duckdb_source

from vectra_analytics.errors import NotReadOnly, UnknownView, VectraError
from vectra_analytics.features import Views, catalogue
from vectra_analytics.features.header import tokens, words_of
from vectra_analytics.live_files import LiveFile
from vectra_analytics.schema import EVENT_COLUMNS, EVENT_SCHEMA
from vectra_analytics.sound_files import first_bad

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


def locked_instance(folders: Collection[str], threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB that can read below these folders, reach nothing else and have no setting changed."""
    instance = duckdb.connect(":memory:", config={} if threads is None else {"threads": threads})
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


def select_from(views: Views, name: str, columns: str, events_sql: Callable[[str, str], str]) -> str:
    """One SELECT of a relation's rows, where ``events_sql(doc_type or "events", columns)`` gives those of events.

    It is bound once. As a view upon views, each of them would be bound again for each view that reads it,
    which for one game costs more than finding and computing its rows.
    """
    if name not in views:
        return events_sql(name, columns)
    chain = views.building_order(name)
    readers = " ".join(view.sql for view in chain)
    parts = [
        f"{read} AS NOT MATERIALIZED ({events_sql(read, '*')})"
        for read in dict.fromkeys(read for view in chain for read in view.reads)
        if read not in views
    ]
    for view in chain:
        n_readings = len(re.findall(rf"\b(?:FROM|JOIN)\s+{view.name}\b", readers, re.IGNORECASE))
        how = "MATERIALIZED" if n_readings > 1 else "NOT MATERIALIZED"
        parts.append(f"{view.name} AS {how} ({view.sql}\n)")  # the line end: the SQL may close with a comment
    return f"WITH {', '.join(parts)} SELECT {columns} FROM {name}"


class Relations:
    """The names that SQL may use, over some files of the store, on a cursor of their own.

    Parameters
    ----------
    files
        The live files; of a doc_type that has none the relation is empty, with the right columns.
    views
        By default those of the package.
    """

    def __init__(self, data_dir: Path, files: Sequence[LiveFile], views: Views | None = None) -> None:
        self.cursor = cursor(data_dir)
        self._views = catalogue() if views is None else views
        self._data_dir = data_dir
        self._files = files
        self._refused: dict[str, VectraError] = {}

    def __enter__(self) -> "Relations":
        return self

    def __exit__(self, *exc: object) -> None:
        self.cursor.close()

    def offer(self, sql: str, require: Callable[[str], None]) -> None:
        """Make the relations that ``sql`` may name; a word that only looks like one costs little.

        A view of which ``require`` raises an error is none, and the error is kept for a statement that does name it.
        """
        for name in named_in(sql, self._views):
            try:
                require(name)
            except VectraError as error:
                self._refused[name] = error
                continue
            self.cursor.execute(f"CREATE TEMP VIEW {name} AS {self.select(name)}")

    def select(self, name: str, columns: str = "*") -> str:
        """One SELECT that gives a relation's rows, with all that it reads before it."""
        return select_from(self._views, name, columns, self._events_sql)

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
            name = missing[1].lower()
            if name in self._refused:
                raise self._refused[name] from error
            if name in self._views.broken:
                raise VectraError(self._views.broken[name]) from error
            known = ", ".join(self._views.relations())
            raise UnknownView(f"no relation is named {missing[1]!r}; there are {known}") from error
        except duckdb.BinderException as error:
            if re.search(r"Can only (delete from|update) base table|is not an? table", str(error)):
                raise NotReadOnly(f"the statement would change something: {_first_line(error)}") from error
            raise
        except duckdb.Error as error:
            bad = first_bad(self._files) if type(error) in _ERRORS_OF_READING else None
            if bad is not None:
                raise bad from error
            raise

    def lazily(self, relation: duckdb.DuckDBPyRelation) -> pl.LazyFrame:
        """The relation as a lazy frame; what goes wrong when it is collected is explained, too."""
        schema = relation.limit(0).pl().schema
        return duckdb_source(cast(duckdb.DuckDBPyRelation, _LazyRelation(self, relation)), schema)


# What DuckDB makes of bytes that are not what they were; its base class is what a torn page header gives.
_ERRORS_OF_READING = {
    duckdb.Error,
    duckdb.IOException,
    duckdb.InternalException,
    duckdb.InvalidInputException,
    duckdb.SerializationException,
}


class _LazyRelation:
    """A relation as DuckDB's source for Polars uses it."""

    def __init__(self, relations: Relations, relation: duckdb.DuckDBPyRelation) -> None:
        self._relations = relations
        self._relation = relation

    def project(self, columns: str) -> "_LazyRelation":
        return _LazyRelation(self._relations, self._relation.project(columns))

    def limit(self, n_rows: int) -> "_LazyRelation":
        return _LazyRelation(self._relations, self._relation.limit(n_rows))

    def filter(self, condition: str) -> "_LazyRelation":
        return _LazyRelation(self._relations, self._relation.filter(condition))

    def to_arrow_reader(self, *batch_size: int) -> "_LazyReader":
        with self._relations.explained():
            return _LazyReader(self._relations, self._relation.to_arrow_reader(*batch_size))


class _LazyReader:
    """Batches of rows."""

    def __init__(self, relations: Relations, reader: pa.RecordBatchReader) -> None:
        self._relations = relations
        self._reader = reader

    def read_next_batch(self) -> pa.RecordBatch | None:
        try:
            with self._relations.explained():
                return self._reader.read_next_batch()
        except StopIteration:
            return None  # raised inside a generator it would be an error

    def close(self) -> None:
        self._reader.close()


@contextlib.contextmanager
def interrupts() -> Iterator[None]:
    """Let Ctrl-C and a notebook's stop button be what they are, though DuckDB makes errors of its own of them."""
    try:
        yield
    except (RuntimeError, duckdb.Error) as error:
        if "Query interrupted" in str(error) or "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from error
        raise


def named_in(sql: str, views: Views) -> list[str]:
    """The relations that a statement may read: those that it names, all where it lists them."""
    words = words_of(sql)
    listing = words & {"show", "information_schema", "duckdb_views", "duckdb_tables"}
    return [name for name in views.relations() if name in words or listing]


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


_PIVOTING = {"pivot", "unpivot", "pivot_wider", "pivot_longer", "select", "from", "with", "("}


def _opens_with(sql: str, words: set[str]) -> bool:
    found = tokens(sql)
    return bool(found) and found[0][1].lower() in words


def _explained_statement(sql: str) -> str:
    """What stands behind EXPLAIN, EXPLAIN ANALYZE and EXPLAIN (options)."""
    found = [(start, token.lower()) for start, token in tokens(sql)[1:]]
    if found and found[0][1] == "(":
        depth = 0
        for index, (_, token) in enumerate(found):
            depth += {"(": 1, ")": -1}.get(token, 0)
            if depth == 0:
                inside = found[1][1]
                if inside in {"select", "with", "from", "values", "pivot", "("}:
                    break  # a statement in parentheses, not options
                found = found[index + 1 :]
                break
    while found and found[0][1] in {"analyze", "analyse", "verbose"}:
        found = found[1:]
    return sql[found[0][0] :] if found else ""


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
