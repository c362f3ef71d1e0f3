"""Where a store, a partition and a file lie: names only, no I/O but in :meth:`EventStorePaths.ensure_directories`."""

import os
from pathlib import Path

from vectra_analytics.errors import VectraError


class EventStorePaths:
    """The folders of one store.

    Parameters
    ----------
    data_dir
        The store's root; by default ``$RUGS_DATA_DIR``, else ``~/rugs_data``. Any legal directory name will do.
    """

    def __init__(self, data_dir: str | os.PathLike[str] | None = None) -> None:
        if data_dir is None:
            data_dir = os.environ.get("RUGS_DATA_DIR") or "~/rugs_data"
        try:
            self._data_dir = Path(data_dir).expanduser().absolute()
            os.fsencode(self._data_dir).index(0)
        except RuntimeError as error:
            raise VectraError(f"cannot tell the folder {data_dir}: {error} Name it whole with --data-dir") from error
        except ValueError:  # no NUL in it
            return
        raise VectraError(f"the name {str(data_dir)!a} holds a NUL character; no folder can be named so")

    @classmethod
    def of(cls, store: "EventStorePaths | str | os.PathLike[str] | None") -> "EventStorePaths":
        """The paths of a store that is given as such or by its folder; None is the default one."""
        return store if isinstance(store, EventStorePaths) else cls(store)

    @property
    def data_dir(self) -> Path:
        """The store's root."""
        return self._data_dir

    @property
    def events_parquet_dir(self) -> Path:
        """The event files, in ``doc_type=.../date=.../``."""
        return self._data_dir / "events_parquet"

    @property
    def vectors_dir(self) -> Path:
        """For users' own indexes; this package only makes it."""
        return self._data_dir / "vectors"

    @property
    def exports_dir(self) -> Path:
        """Where exports go when no other place is named."""
        return self._data_dir / "exports"

    @property
    def manifests_dir(self) -> Path:
        """The catalog, the schema version and the rejected events."""
        return self._data_dir / "manifests"

    @property
    def quarantine_dir(self) -> Path:
        """Files that a repair took out, each with a record."""
        return self._data_dir / "quarantine"

    @property
    def catalog_file(self) -> Path:
        """The SQLite file that says which event files are live."""
        return self.manifests_dir / "catalog.sqlite"

    @property
    def rejects_dir(self) -> Path:
        """Events and lines that were refused, with the reason and the raw text."""
        return self.manifests_dir / "rejects"

    def parquet_partition_dir(self, doc_type: str, date_str: str) -> Path:
        """The folder of one kind of event on one UTC day (``YYYY-MM-DD``)."""
        return self.events_parquet_dir / f"doc_type={getattr(doc_type, 'value', doc_type)}" / f"date={date_str}"

    def ensure_directories(self) -> None:
        """Make the folders that are missing.

        Raises
        ------
        VectraError
            Where one cannot be made; the message names it.
        """
        for folder in (
            self.events_parquet_dir,
            self.vectors_dir,
            self.exports_dir,
            self.rejects_dir,
        ):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise VectraError(
                    f"cannot make the folder {folder}: {error.strerror or error}; "
                    "choose another store with --data-dir or $RUGS_DATA_DIR"
                ) from error

    def __repr__(self) -> str:
        return f"EventStorePaths({str(self._data_dir)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EventStorePaths) and other._data_dir == self._data_dir

    def __hash__(self) -> int:
        return hash(self._data_dir)
