"""What notebooks share: the store that they are about, and their stamp.

A stamp is a notebook's own version, the versions of the views that it asks for, and the data that it shows.
A stored output is of the views that the stamp names.
"""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from vectra_analytics.errors import VectraError
from vectra_analytics.features import Views
from vectra_analytics.paths import EventStorePaths

FIRST_VERSION = "1.0"
WIDGET = "application/vnd.jupyter.widget-view+json"
STORE_VARIABLE = "VECTRA_NOTEBOOK_STORE"
SAMPLES_TIMEZONE = "America/New_York"  # of the recorders' clocks


def notebook_store() -> EventStorePaths:
    """The store that a notebook is about: a new one with the sample recordings, in a temporary folder.

    A report on another store names that one in ``$VECTRA_NOTEBOOK_STORE``; ``$RUGS_DATA_DIR`` counts for nothing here,
    so that a notebook that is run as it is shows what it was stored with.

    Raises
    ------
    VectraError
        Where no folder ``data_samples`` lies here or further up, or the store that is named is not there.
    """
    named = os.environ.get(STORE_VARIABLE)
    if named:
        paths = EventStorePaths(named)
        if not paths.catalog_file.exists():
            raise VectraError(f"${STORE_VARIABLE} is {named!r}, and there is no store; name the folder of one")
        return paths
    from vectra_analytics.importers import import_recordings  # here: most programs that stamp import nothing

    samples = sample_recordings(Path.cwd())
    paths = EventStorePaths(tempfile.mkdtemp(prefix="vectra-notebook-"))
    import_recordings(samples, paths, timezone=SAMPLES_TIMEZONE)
    return paths


def sample_recordings(here: Path) -> Path:
    """The folder ``data_samples`` in a folder or above it."""
    for folder in (here, *here.parents):
        if (folder / "data_samples").is_dir():
            return folder / "data_samples"
    raise VectraError(
        f"no folder data_samples is in {here} or above; start the notebook in a copy of the project, "
        f"or name a store in ${STORE_VARIABLE}"
    )


def views_asked(notebook: dict[str, Any], views: Views) -> dict[str, str]:
    """The versions of the views that code in a notebook names, in SQL or as a call such as ``games()``."""
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    words = {word.removeprefix("get_") for word in re.findall(r"\w+", code.lower())}
    return {name: views.version(name) for name in views if name in words}


def stamped(notebook: dict[str, Any], views: Views, data: str) -> dict[str, Any]:
    """The notebook with the stamp that it should have; the version, which people raise, stays.

    Outputs lose the ids of widgets, which lived only as long as the notebook ran.
    """
    for output in (output for cell in notebook["cells"] for output in cell.get("outputs", ())):
        output.get("data", {}).pop(WIDGET, None)
    before = notebook["metadata"].get("vectra", {})
    stamp = {
        "version": before.get("version", FIRST_VERSION),
        "views": views_asked(notebook, views),
        "data": before.get("data", data),
    }
    return {**notebook, "metadata": {**notebook["metadata"], "vectra": stamp}}


def stamp_file(path: Path, views: Views, data: str = "data_samples") -> None:
    """Renew the stamp in a notebook's file; all else in it stays."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        text = json.dumps(stamped(notebook, views, data), indent=1, ensure_ascii=False, sort_keys=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VectraError(f"cannot stamp {path}: it is no notebook that can be read: {error}") from error
    path.write_text(f"{text}\n", encoding="utf-8")
