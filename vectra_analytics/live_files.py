"""What the catalog says of an event file, and of where in it a game's rows lie."""

from dataclasses import dataclass
from pathlib import Path

MISSING = "is missing"
"""The problem of a file that is not there."""


@dataclass(frozen=True, slots=True)
class LiveFile:
    """One event file of the store."""

    file_id: int
    path: Path
    doc_type: str
    date: str
    n_rows: int
    n_bytes: int
    ts_min: int
    ts_max: int
    sha256: str
    is_compacted: int  # 1 where it is sorted by game and tick

    @property
    def partition(self) -> tuple[str, str]:
        """Its doc_type and its UTC day."""
        return self.doc_type, self.date

    def is_in_place(self) -> bool:
        """Whether a file of its name and size is there."""
        try:
            return self.path.stat().st_size == self.n_bytes
        except OSError:
            return False

    def problem(self) -> str | None:
        """What is wrong with it, as far as a look from outside tells."""
        try:
            n_bytes = self.path.stat().st_size
            with self.path.open("rb") as content:
                content.seek(max(0, n_bytes - 4))
                ending = content.read()
        except (FileNotFoundError, NotADirectoryError):
            return MISSING
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        if n_bytes != self.n_bytes:
            return f"is damaged: it has {n_bytes} bytes and should have {self.n_bytes}"
        if ending != b"PAR1":
            return "is damaged: it does not end as a Parquet file"
        return None


@dataclass(frozen=True, slots=True)
class SupersededFile:
    """One event file that older versions read: from ``added`` to before ``removed``."""

    path: Path
    n_bytes: int
    added: int
    removed: int
    removed_at: int  # microseconds since 1970


@dataclass(frozen=True, slots=True)
class GameRows:
    """Where rows of one game lie: a slice of one file."""

    game_id: str
    file: LiveFile
    first_row: int  # from 0
    n_rows: int
