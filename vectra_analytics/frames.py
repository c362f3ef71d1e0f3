"""Frames of a user's own that SQL may name beside the relations of the store."""

from collections.abc import Collection, Mapping
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa

from vectra_analytics.errors import VectraError


def tables_of(frames: Mapping[str, Any], taken: Collection[str]) -> dict[str, pa.Table]:
    """The frames as Arrow tables.

    Parameters
    ----------
    frames
        Polars DataFrames or Arrow tables by the names that SQL gives them.
    taken
        Names that are relations already.

    Raises
    ------
    VectraError
        Where a name cannot be used, or a frame is none or has a column that SQL cannot take.
    """
    if not isinstance(frames, Mapping):
        raise VectraError(f"frames is a {type(frames).__name__}; give frames by their names: {{'mine': frame}}")
    found: dict[str, pa.Table] = {}
    for name, frame in frames.items():
        _check_name(name)
        if name.lower() in {other.lower() for other in (*taken, *found)}:
            raise VectraError(
                f"a frame cannot be named {name!r}: that is a relation already (in SQL capital letters are small "
                "ones); give it another name"
            )
        found[name] = _table(name, frame)
    return found


def _check_name(name: object) -> None:
    try:
        if isinstance(name, str) and name.isidentifier() and len(duckdb.extract_statements(f"FROM {name}")) == 1:
            return
    except duckdb.Error:
        pass  # a word of SQL itself
    raise VectraError(f"a frame cannot be named {name!a}: a name is letters, digits and _, and no word of SQL")


def _table(name: str, frame: object) -> pa.Table:
    if isinstance(frame, pa.Table):
        table = frame
    elif isinstance(frame, pl.DataFrame):
        columns = []
        for column in frame:
            try:
                columns.append(column.to_arrow())
            except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, TypeError) as error:
                raise VectraError(
                    f"the column {column.name!r} of the frame {name} is {column.dtype}, which SQL cannot take; "
                    "cast it, or leave it out"
                ) from error
        table = pa.Table.from_arrays(columns, frame.columns)
    else:
        what = f"{type(frame).__module__.partition('.')[0]} {type(frame).__name__}"
        raise VectraError(
            f"the frame {name} is a {what}; give a Polars DataFrame (collect() makes one of a LazyFrame, "
            "polars.from_pandas() of a pandas frame) or an Arrow table"
        )
    words = [column.lower() for column in table.column_names]
    twice = next((column for column in table.column_names if words.count(column.lower()) > 1), None)
    if twice is not None or not words:
        problem = "no columns" if twice is None else f"two columns that are {twice!r} in SQL"
        raise VectraError(f"the frame {name} has {problem}; give each column a name of its own")
    return table
