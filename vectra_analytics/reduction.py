"""M4: the few rows of a long series that draw the same line, extremes and all.

After Jugel, Jerzak, Hackenbroich & Markl (2014), M4: a visualization-oriented time series data aggregation, VLDB 7(10).
"""

import re
from collections.abc import Mapping, Sequence

import polars as pl

from vectra_analytics.errors import VectraError
from vectra_analytics.interruption import interruptibly
from vectra_analytics.prepared import new_cursor
from vectra_analytics.statements import quote_identifier

_IS_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|\"NULL\"").fullmatch
_OR_TIMES = {False: "", True: ", or times (TIMESTAMP, DATE)"}


def is_along_time(types: Mapping[str, str], x: str, ys: Sequence[str], by: str | None) -> bool:
    """Whether x is a time; raise where an answer of these DuckDB types has no such columns, or not of such kinds."""
    for name in [x, *ys, *([] if by is None else [by])]:
        if name not in types:
            raise VectraError(f"the answer has no column {name!r}; it has {', '.join(types)}")
    is_time = types[x].startswith(("TIMESTAMP", "DATE"))
    for name in [*ys, *([] if is_time else [x])]:
        if not _IS_NUMBER(types[name]):
            raise VectraError(f"{name} is {types[name]}; what is drawn must be numbers{_OR_TIMES[name == x]}")
    return is_time


def m4_sql(answer: str, x: str, ys: Sequence[str], n_buckets: int, by: str | None, *, is_time: bool) -> str:
    """SQL for the rows of ``answer`` that are first, last, lowest or highest in their bucket of x.

    Parameters
    ----------
    answer
        A statement that reads.
    x
        Its column on the horizontal axis: a number, or a time if ``is_time``; cut into buckets of equal width.
    ys
        Its columns drawn over x. A row that is lowest or highest in one of them is kept.
    n_buckets
        How many buckets: pixels across, say. Rows of at most 2 + 2 len(ys) places on x are kept of each.
    by
        A column that tells series apart; each has its own buckets.
    """
    place = f"epoch_us({quote_identifier(x)})" if is_time else quote_identifier(x)
    series = "NULL" if by is None else quote_identifier(by)
    lines = [(quote_identifier(y), f"FILTER (WHERE NOT isnan({quote_identifier(y)}::DOUBLE))") for y in ys]
    extremes = "".join(f", arg_min(m4_x, {y}) {is_number}, arg_max(m4_x, {y}) {is_number}" for y, is_number in lines)
    bucket = f"floor((m4_x::DOUBLE - m4_low) * {n_buckets} / nullif(m4_high::DOUBLE - m4_low, 0))"
    return f"""
        WITH m4_answer AS MATERIALIZED ({answer}
        ),
        m4_placed AS (SELECT *, {place} AS m4_x, {series} AS m4_series FROM m4_answer WHERE {place} IS NOT NULL),
        m4_spans AS (
            SELECT m4_series AS m4_of, min(m4_x) AS m4_low, max(m4_x) AS m4_high FROM m4_placed GROUP BY m4_of
        ),
        m4_kept AS (
            SELECT DISTINCT m4_of, unnest([min(m4_x), max(m4_x){extremes}]) AS m4_at
            FROM m4_placed INNER JOIN m4_spans ON m4_series IS NOT DISTINCT FROM m4_of
            GROUP BY m4_of, least({bucket}, {n_buckets - 1})
        )
        SELECT m4_placed.* EXCLUDE (m4_x, m4_series)
        FROM m4_placed SEMI JOIN m4_kept ON m4_x = m4_at AND m4_series IS NOT DISTINCT FROM m4_of
        ORDER BY m4_series, m4_x
    """


def reduced(
    frame: pl.DataFrame, x: str, ys: Sequence[str], by: str | None = None, n_buckets: int = 1000
) -> pl.DataFrame:
    """The rows of a frame in memory that :func:`m4_sql` keeps, ordered by series and x."""
    cursor = new_cursor()
    try:
        cursor.register("frame", frame.to_arrow())
        sql = m4_sql("SELECT * FROM frame", x, ys, n_buckets, by, is_time=frame.schema[x].is_temporal())
        found: pl.DataFrame = interruptibly(cursor, lambda: cursor.sql(sql).pl())
        return found.cast(frame.schema)
    finally:
        cursor.unregister("frame")
        cursor.close()
