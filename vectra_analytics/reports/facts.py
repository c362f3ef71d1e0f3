"""What a report says of the data and the software that its notebooks ran on."""

import platform
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vectra_analytics.errors import VectraError
from vectra_analytics.features import Views
from vectra_analytics.importers import import_recordings
from vectra_analytics.notebooks import SAMPLES_TIMEZONE, sample_recordings
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.query import EventStoreQuery

_LIBRARIES = (
    "vectra_analytics",
    "duckdb",
    "polars",
    "pyarrow",
    "numpy",
    "plotly",
    "ipywidgets",
    "jupyterlab",
    "nbclient",
    "nbconvert",
)


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """A store and how good its games are."""

    name: str
    info: dict[str, Any]  # StoreInfo's
    quality: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return {**self.info, "data_dir": self.name, "quality": self.quality}


def store_facts(paths: EventStorePaths, name: str | None = None) -> StoreFacts:
    """The facts of a store, by the view ``games`` and the counts of its catalog."""
    query = EventStoreQuery(paths)
    info, games = query.info(), query.games()
    quality = {
        "games": games.height,
        "complete": int(games["is_complete"].sum()),
        "joined late": int(games["joined_late"].sum()),
        "without a rug": games["rug_tick"].null_count(),
        "games with missing ticks": int((games["missing_ticks"] > 0).sum()),
        "ticks": int(games["n_ticks"].sum()),
        "missing ticks": int(games["missing_ticks"].sum()),
        "ticks with conflicting prices": int(games["n_conflicts"].sum()),
        "rejected lines and events": info.n_rejected,
    }
    return StoreFacts(name or info.data_dir, info.to_dict(), quality)


def sample_facts(notebooks: Path) -> StoreFacts | None:
    """The facts of a store of the sample recordings, as notebooks make themselves; None where there are none."""
    try:
        samples = sample_recordings(notebooks.resolve())
    except VectraError:
        return None  # notebooks that need them say so themselves
    with tempfile.TemporaryDirectory(prefix="vectra-report-") as folder:
        paths = EventStorePaths(folder)
        import_recordings(samples, paths, timezone=SAMPLES_TIMEZONE)
        return store_facts(paths, name="data_samples")


def libraries() -> dict[str, str]:
    """The versions of Python and of what a notebook is made with."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def view_list(views: Views) -> list[dict[str, str]]:
    """The catalogue, a row a view."""
    return [
        {"name": view.name, "version": views.version(view.name), "kind": view.kind, "title": view.title}
        for view in views.values()
    ]
