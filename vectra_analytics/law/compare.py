"""Two answers that must be the same rows: where they differ, and by how much where it is only rounding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

_RELATIVE = 1e-9  # of the value itself, or
_OF_LARGEST = (
    1e-12  # of the column's largest in that game or session: sums over long frames are rounded in another order
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A value, or a row, that is not the same."""

    row: dict[str, Any]  # of the answer that has it
    column: str  # "" where a whole row is missing from one answer
    wanted: Any
    got: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found."""

    n_rows: int
    rounding: float  # the largest difference that is taken for rounding, beside the column's largest value
    wrong: pl.DataFrame  # the rows that differ
    keys: Sequence[str]
    columns: Sequence[str]

    def first(self) -> Difference | None:
        """The first difference in the order of the keys."""
        if self.wrong.is_empty():
            return None
        row = self.wrong.sort(list(self.keys), nulls_last=True).row(0, named=True)
        if row["_missing"]:
            there = {True: "a row", None: "no row"}
            return Difference(row, "", there[row["_is_wanted"]], there[row["_is_got"]])
        column = next(name for name in self.columns if row[f"_differs_{name}"])
        return Difference(row, column, row[column], row[f"{column}_got"])


def compare(
    wanted: pl.DataFrame, got: pl.DataFrame, keys: Sequence[str], columns: Sequence[str], *, is_exact: bool = False
) -> Comparison:
    """Compare these columns row by row; floats may differ by rounding, unless ``is_exact``, all others by nothing.

    Parameters
    ----------
    keys
        Columns of both that make a row unique; the first one says whose it is.
    """
    both = wanted.with_columns(_is_wanted=True).join(
        got.with_columns(_is_got=True), on=list(keys), how="full", suffix="_got", coalesce=True, nulls_equal=True
    )
    compared = [name for name in columns if name not in keys]
    floats = [name for name in compared if wanted.schema[name].is_float()]
    both = both.with_columns(
        _missing=pl.col("_is_wanted").is_null() | pl.col("_is_got").is_null(),
        **{f"_largest_{name}": _largest(name).over(keys[0]) for name in floats},
    ).with_columns(
        **{f"_differs_{name}": _differs(name, may_round=name in floats and not is_exact) for name in compared}
    )
    wrong = both.filter(pl.any_horizontal("_missing", *[f"_differs_{name}" for name in compared]))
    off = both.select(pl.max_horizontal(0.0, *[_off(name).max() for name in floats])).item() if both.height else 0.0
    return Comparison(both.height, float(off or 0.0), wrong, keys, compared)


def _largest(name: str) -> pl.Expr:
    value = pl.col(name).abs()
    return pl.when(value.is_finite()).then(value).max()


def _differs(name: str, *, may_round: bool) -> pl.Expr:
    wanted, got = pl.col(name), pl.col(f"{name}_got")
    if not may_round:
        return wanted.ne_missing(got)
    allowed = pl.max_horizontal(
        _RELATIVE * pl.max_horizontal(wanted.abs(), got.abs()), _OF_LARGEST * pl.col(f"_largest_{name}")
    )
    # NaN counts as equal to NaN here: whether there may be any is for another law to say.
    return wanted.ne_missing(got) & ~((wanted - got).abs() <= allowed).fill_null(False)


def _off(name: str) -> pl.Expr:
    largest, distance = pl.col(f"_largest_{name}"), (pl.col(name) - pl.col(f"{name}_got")).abs()
    return pl.when((largest > 0) & distance.is_finite()).then(distance / largest)
