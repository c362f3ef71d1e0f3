"""What a notebook works on and what it says of itself.

:func:`notebook_store` gives it a store: made-up games as it is, the store of a report when `vectra report` runs it. Its
stamp is its own version, the versions of the views that it asks for, and the data that it shows.
``python -m vectra_analytics.notebooks FILE...`` renews the stamps; a stored output is of the views that they name.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from vectra_analytics.errors import VectraError
from vectra_analytics.features import Views, own_views
from vectra_analytics.importers import import_recordings
from vectra_analytics.paths import EventStorePaths

FIRST_VERSION = "1.0"
STORE_VARIABLE = "VECTRA_REPORT_STORE"
SAMPLES_TIMEZONE = "America/New_York"


def notebook_store() -> EventStorePaths:
    """The store that a notebook works on: call it in the first cell.

    Returns
    -------
    EventStorePaths
        The store that ``$VECTRA_REPORT_STORE`` names; `vectra report --data-dir` sets it. Else a temporary one, made
        anew of the recordings in ``data_samples``, so that a notebook run as it is shows the same on every machine:
        ``$RUGS_DATA_DIR`` is not looked at.

    Raises
    ------
    VectraError
        There is no store of that name, or no ``data_samples``.
    """
    named = os.environ.get(STORE_VARIABLE)
    if named:
        paths = EventStorePaths(Path(named))
        if not paths.catalog_file.exists():
            raise VectraError(f"there is no store at {paths.data_dir}, which ${STORE_VARIABLE} names")
        return paths
    paths = EventStorePaths(Path(tempfile.mkdtemp(prefix="vectra-")))
    import_recordings(sample_recordings(), paths, timezone=SAMPLES_TIMEZONE)
    return paths


def sample_recordings(folder: Path | None = None) -> Path:
    """The folder ``data_samples``: beside the folder of the notebooks, in it, or beside the package.

    ``folder`` is that of the notebooks; where it is not given, the current one, which is a running notebook's own.
    """
    here = (folder or Path.cwd()).resolve()
    for place in (here.parent, here, Path(__file__).resolve().parents[1]):
        if (place / "data_samples").is_dir():
            return place / "data_samples"
    raise VectraError(
        f"there is no folder data_samples beside {here} (an installed package has none); "
        f"name a store with `vectra report --data-dir` or ${STORE_VARIABLE}"
    )


def views_asked(notebook: dict[str, Any], views: Views) -> dict[str, str]:
    """The versions of the views that code in a notebook names, in SQL or as a call such as ``games()``."""
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    words = {word.removeprefix("get_") for word in re.findall(r"\w+", code.lower())}
    return {name: views.version(name) for name in views if name in words}


def stamped(notebook: dict[str, Any], views: Views, data: str) -> dict[str, Any]:
    """The notebook with the stamp that it should have; the version, which people raise, stays."""
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


if __name__ == "__main__":
    for name in sys.argv[1:]:
        stamp_file(Path(name), own_views())
