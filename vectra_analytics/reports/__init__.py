"""Notebooks are run and validated, and a site that needs no network says what came of it.

It needs the extra ``lab``; nothing else in the package does but figures and widgets.
"""

import json
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vectra_analytics.errors import VectraError
from vectra_analytics.notebooks import notebook_store
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.reports.junit import junit_xml
from vectra_analytics.reports.run import NotebookRun, run_notebook
from vectra_analytics.reports.site import write_site

_MARK = "report.json"  # by which a folder is known to be an earlier report
_NEEDED = ("nbclient", "nbconvert", "nbformat", "plotly")

__all__ = ["NotebookRun", "Report", "report"]


@dataclass(frozen=True, slots=True)
class Report:
    """What came of the notebooks."""

    path: Path  # of the folder
    runs: tuple[NotebookRun, ...]

    @property
    def passed(self) -> bool:
        """Whether every notebook passed."""
        return all(run.failure is None for run in self.runs)

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return {"path": str(self.path), "passed": self.passed, "notebooks": [run.to_dict() for run in self.runs]}


def report(
    notebooks: Path = Path("notebooks"),
    out: Path = Path("report"),
    store: EventStorePaths | None = None,
    *,
    is_compared: bool | None = None,
    timeout: float = 600,
    progress: Callable[[int, int], object] | None = None,
) -> Report:
    """Run notebooks, validate them and write a site of them, with a JUnit file for CI.

    Parameters
    ----------
    notebooks
        A folder, whose notebooks are run in the order of their names.
    out
        The folder of the site. It appears whole, or what was there stays.
    store
        What the notebooks are about; by default the samples, or what a notebook itself sees to.
    is_compared
        Whether outputs must be those stored; by default where no store is named.
    timeout
        Seconds for each cell.
    progress
        Called with (notebooks done, in all) after each one.

    Raises
    ------
    VectraError
        Where there is nothing to run or the extra ``lab`` is missing, or ``out`` is not a report's to replace.
    """
    _check_installed()
    files = sorted(file for file in notebooks.glob("*.ipynb")) if notebooks.is_dir() else []
    if not files:
        raise VectraError(f"no notebooks are in {notebooks}; name their folder with --notebooks")
    out = out.absolute()
    if out.exists() and not (out / _MARK).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise VectraError(f"{out} is there and is no report; name another folder with --out, or delete it")
    compares = store is None if is_compared is None else is_compared
    about = _store_of(files[0].parent) if store is None else store
    runs = []
    for file in files:
        runs.append(run_notebook(file, about, is_compared=compares, timeout=timeout))
        if progress is not None:
            progress(len(runs), len(files))
    found = Report(out, tuple(runs))
    new = out.with_name(f".{out.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        new.mkdir(parents=True)
        write_site(new, found.runs, about)
        (new / "junit.xml").write_bytes(junit_xml(found.runs))
        (new / _MARK).write_text(json.dumps(found.to_dict(), indent=1) + "\n", encoding="utf-8")
        _exchange(new, out)
    except OSError as error:
        raise VectraError(f"cannot write the report {out}: {error.strerror}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return found


def _exchange(new: Path, out: Path) -> None:
    """Put a folder in the place of another, which stays if that fails."""
    old = new.with_suffix(".old")
    if out.exists():
        os.rename(out, old)
    try:
        os.rename(new, out)
    except BaseException:
        if old.exists():
            os.rename(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _check_installed() -> None:
    from importlib.util import find_spec

    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise VectraError(f"{missing[0]} is not installed; a report needs it: pip install 'vectra_analytics[lab]'")


def _store_of(folder: Path) -> EventStorePaths | None:
    """The samples' store, made once for all notebooks; None where there are no samples."""
    here = Path.cwd()
    try:
        os.chdir(folder)
        return notebook_store()
    except VectraError:
        return None
    finally:
        os.chdir(here)
