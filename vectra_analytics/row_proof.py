"""The proof that maintenance keeps every row: a hash of rows that does not depend on their order or files."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vectra_analytics.engine import Relations
from vectra_analytics.live_files import LiveFile
from vectra_analytics.schema import EVENT_SCHEMA


class Fingerprint(NamedTuple):
    """Of some rows; equal for the same rows in another order, and for no others."""

    n_rows: int
    hash_sum: int | None  # None where there are no rows
    hash_xor: int | None


def fingerprint(data_dir: Path, files: Sequence[LiveFile], where: str = "true") -> Fingerprint:
    """The number of rows in these files, and the sum and the exclusive or of hashes of whole rows.

    Parameters
    ----------
    where
        SQL that says which rows count.
    """
    columns = ", ".join(EVENT_SCHEMA.names)
    with Relations(data_dir, files) as relations, relations.explained():
        sql = relations.select("events", f"count(*), sum(hash({columns})::HUGEINT), bit_xor(hash('again', {columns}))")
        (found,) = relations.relation(f"{sql} WHERE {where}").fetchall()
    return Fingerprint(*found)
