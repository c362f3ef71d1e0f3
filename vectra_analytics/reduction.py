"""M4: the few rows of a long series that draw the same line, extremes and all.

After Jugel, Jerzak, Hackenbroich & Markl (2014), M4: a visualization-oriented time series data aggregation, VLDB 7(10).
"""

from collections.abc import Sequence

from vectra_analytics.engine import quote_identifier


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
        How many buckets: pixels across, say. At most 2 + 2 len(ys) rows are kept of each.
    by
        A column that tells series apart; each has its own buckets.
    """
    place = f"epoch_us({quote_identifier(x)})" if is_time else quote_identifier(x)
    series = "NULL" if by is None else quote_identifier(by)
    extremes = "".join(f", arg_min(m4_x, {quote_identifier(y)}), arg_max(m4_x, {quote_identifier(y)})" for y in ys)
    return f"""
        WITH answer AS MATERIALIZED ({answer}
        ),
        placed AS (SELECT *, {place} AS m4_x, {series} AS m4_series FROM answer WHERE {place} IS NOT NULL),
        spans AS (SELECT m4_series AS of_series, min(m4_x) AS low, max(m4_x) AS high FROM placed GROUP BY of_series),
        kept AS (
            SELECT DISTINCT of_series, unnest([min(m4_x), max(m4_x){extremes}]) AS at_x
            FROM placed INNER JOIN spans ON m4_series IS NOT DISTINCT FROM of_series
            GROUP BY
                of_series,
                least(floor((m4_x - low)::DOUBLE * {n_buckets} / nullif(high - low, 0)), {n_buckets - 1})
        )
        SELECT placed.* EXCLUDE (m4_x, m4_series)
        FROM placed SEMI JOIN kept ON m4_x = at_x AND m4_series IS NOT DISTINCT FROM of_series
        ORDER BY m4_series, m4_x
    """
