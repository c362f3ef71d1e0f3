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
from typing import Any, TypeVar, cast

import duckdb
import polars as pl
import pyarrow as pa
from duckdb.polars_io import duckdb_source

from vectra_analytics.errors import NotReadOnly, UnknownView, VectraError
from vectra_analytics.features import Views, catalogue
from vectra_analytics.frames import tables_of
from vectra_analytics.interruption import interruptibly
from vectra_analytics.live_files import LiveFile
from vectra_analytics.schema import EVENT_COLUMNS, EVENT_SCHEMA
from vectra_analytics.sound_files import first_bad
from vectra_analytics.statements import text_literal, words_of

T = TypeVar("T")

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
    readable = readable_dir(data_dir)
    folders = {f"{readable}/"} | ({f"{data_dir}/"} if _IS_PLAIN(str(data_dir)) else set())
    return locked_instance(folders, scratch=f"{readable}/{_SCRATCH}" if os.access(data_dir, os.W_OK) else "")


_SCRATCH = ".scratch"  # in the store: what does not fit into memory; there only while it is needed


def locked_instance(
    folders: Collection[str], threads: int | None = None, *, scratch: str = ""
) -> duckdb.DuckDBPyConnection:
    """A DuckDB that can read below these folders, reach nothing else and have no setting changed.

    Parameters
    ----------
    threads
        How many it may use; by default one a core.
    scratch
        A folder for what does not fit into memory, which it may read too; by default there is none.
    """
    instance = duckdb.connect(":memory:", config={} if threads is None else {"threads": threads})
    limit = os.environ.get(_LIMIT_NAME) or _LIMIT
    if not _IS_LIMIT(limit):
        raise VectraError(f"${_LIMIT_NAME} is {limit!r}; give a size such as 4GB, or a share such as 60%")
    with within_memory():
        instance.execute("SET memory_limit = $limit", {"limit": limit})
    instance.execute("SET TimeZone = 'UTC'")
    instance.execute("SET autoinstall_known_extensions = false")
    instance.execute("SET autoload_known_extensions = false")
    instance.execute("SET python_enable_replacements = false")
    instance.execute("SET parquet_metadata_cache = true")
    instance.execute("SET enable_progress_bar = false")
    instance.execute("SET allow_persistent_secrets = false")
    instance.execute("SET temp_directory = $folder", {"folder": scratch})
    instance.execute("SET allowed_directories = $folders", {"folders": sorted(folders)})
    instance.execute("SET enable_external_access = false")
    instance.execute("SET lock_configuration = true")
    return instance


_LIMIT_NAME = "VECTRA_MEMORY_LIMIT"
_LIMIT = "60%"  # of the machine's memory, or of what its container may have
_IS_LIMIT = re.compile(r"\d+(\.\d+)? *(%|[KMGT]i?B)", re.IGNORECASE).fullmatch


@contextlib.contextmanager
def within_memory() -> Iterator[None]:
    """Say what to do where DuckDB has no memory left."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise VectraError(
            f"the query needs more memory than it may have ({os.environ.get(_LIMIT_NAME) or _LIMIT}); ask of fewer "
            f"games, days or columns, aggregate in SQL, or set ${_LIMIT_NAME} (4GB, 80%) before Python starts"
        ) from error


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
        self._frames: list[str] = []

    def __enter__(self) -> "Relations":
        return self

    def __exit__(self, *exc: object) -> None:
        for name in self._frames:
            self.cursor.unregister(name)
        self.cursor.close()

    def add_frames(self, frames: Mapping[str, pl.DataFrame | pa.Table]) -> None:
        """Let SQL name rows in memory, on this cursor alone; a name of the store's own is refused."""
        for name, table in tables_of(frames, self._views.relations()).items():
            self.cursor.register(name, table)
            self._frames.append(name)

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

    def asked(self, work: Callable[[], T], timeout: float | None = None) -> T:
        """What ``work`` gives, which asks this cursor and can be stopped; errors are explained."""
        with self.explained():
            return interruptibly(self.cursor, work, timeout)

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn DuckDB's errors about files, names and memory into ours."""
        try:
            with within_memory():
                yield
        except duckdb.PermissionException as error:
            for folder in {folder for file in self._files for folder in list(file.path.parents)[:2]}:
                if folder.is_symlink():
                    raise VectraError(
                        f"cannot read {folder}: it is a link to another folder, and queries read nothing outside the "
                        "store; put the folder itself there, or move the whole store and link that"
                    ) from error
            raise NotReadOnly(f"the statement reaches outside the store: {_first_line(error)}") from error
        except duckdb.CatalogException as error:
            missing = re.search(r"Table with name (.+?) does not exist", str(error))
            if "is not an table" in str(error):
                raise NotReadOnly(f"the statement would change something: {_first_line(error)}") from error
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
            known = ", ".join([*self._views.relations(), *self._frames])
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


def named_in(sql: str, views: Views) -> list[str]:
    """The relations that a statement may read: those that it names, all where it lists them."""
    words = words_of(sql)
    listing = words & {"show", "information_schema", "duckdb_views", "duckdb_tables"}
    return [name for name in views.relations() if name in words or listing]


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
