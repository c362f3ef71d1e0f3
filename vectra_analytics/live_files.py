"""What the catalog says of an event file, and of where in it a game's rows lie."""

from dataclasses import dataclass
from pathlib import Path


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

    def problem(self) -> str | None:
        """What is wrong with it, as far as a look from outside tells."""
        what = f"{self.path} ({self.n_rows} rows of {self.doc_type}, {self.date})"
        try:
            n_bytes = self.path.stat().st_size
            with self.path.open("rb") as content:
                content.seek(max(0, n_bytes - 4))
                ending = content.read()
        except FileNotFoundError:
            return (
                f"the live file {what} is missing; if this reading began before a compaction of more than 24 hours "
                "ago, begin it anew, else put the file back from a copy, or import its recordings into a new store"
            )
        except OSError as error:
            return f"the live file {what} cannot be read: {error.strerror}"
        if n_bytes != self.n_bytes or ending != b"PAR1":
            return f"the live file {what} is damaged: it has {n_bytes} bytes and should have {self.n_bytes}"
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
