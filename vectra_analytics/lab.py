"""JupyterLab on notebooks, with a store that ``EventStoreQuery()`` in a new notebook finds."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from vectra_analytics.errors import VectraError
from vectra_analytics.importers import import_recordings
from vectra_analytics.notebooks import SAMPLES_TIMEZONE
from vectra_analytics.paths import EventStorePaths

_SAMPLES, _SAMPLE_STORE = Path("data_samples"), Path("demo/store")


def sample_store() -> EventStorePaths:
    """The store that ``vectra demo`` makes; made of the samples where it is not there."""
    paths = EventStorePaths(_SAMPLE_STORE)
    if not paths.catalog_file.exists():
        if not _SAMPLES.is_dir():
            raise VectraError(f"no folder {_SAMPLES} is here to make a store of; name a store with --data-dir")
        import_recordings(_SAMPLES, paths, timezone=SAMPLES_TIMEZONE)
    return paths


def required(notebooks: Path) -> None:
    """Raise where JupyterLab or the folder is missing: before a store is made for it."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise VectraError('JupyterLab is not installed here: pip install "vectra_analytics[lab]"')
    if not notebooks.is_dir():
        raise VectraError(f"there is no folder {notebooks}; name one with --notebooks")


def run(notebooks: Path, paths: EventStorePaths, arguments: Sequence[str]) -> int:
    """Open JupyterLab and wait for its end."""
    command = [sys.executable, "-m", "jupyterlab", *arguments, str(notebooks)]
    return subprocess.run(command, env={**os.environ, "RUGS_DATA_DIR": str(paths.data_dir)}, check=False).returncode
