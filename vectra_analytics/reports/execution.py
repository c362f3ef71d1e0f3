"""Running a notebook: a fresh kernel, from the notebook's own folder, on the store that it is given."""

import copy
import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from vectra_analytics.errors import VectraError
from vectra_analytics.features import Views
from vectra_analytics.notebooks import STORE_VARIABLE, views_asked
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.reports import parameters
from vectra_analytics.reports.comparison import Rules, differences
from vectra_analytics.reports.outcomes import Failure, Outcome, plain, title_of

# What goes wrong is in the report; nbclient would say it on stderr a second time.
_SILENT = logging.getLogger(__name__)
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


def read(path: Path) -> Any:
    """The notebook in a file."""
    try:
        notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except Exception as error:  # what is no notebook fails in many ways
        raise VectraError(f"cannot read {path} as a notebook: {error}") from error
    return notebook


def run(
    path: Path,
    views: Views,
    rules: Rules,
    timeout: float,
    store: EventStorePaths | None,
    given: Mapping[str, object],
) -> Outcome:
    """Run a notebook; as it was stored (with no ``store`` or parameters) its outputs have to be the stored ones."""
    stored = read(path)
    notebook = copy.deepcopy(stored)
    for cell in notebook.cells:
        if cell.cell_type == "code":  # cells behind one that raises show nothing rather than what they once gave
            cell.outputs, cell.execution_count = [], None
    parameters.give(given, notebook)
    began = time.perf_counter()
    failures = _execute(notebook, path, store, timeout)
    seconds = time.perf_counter() - began
    if not failures and store is None and not given:
        failures = list(differences(stored, notebook, rules))
    return Outcome(path, title_of(notebook, path.stem), notebook, seconds, views_asked(stored, views), failures)


def _execute(notebook: Any, path: Path, store: EventStorePaths | None, timeout: float) -> list[Failure]:
    """Run the cells in place, up to the first that fails."""
    last = -1

    def started(cell: Any, cell_index: int) -> None:
        nonlocal last
        last = cell_index

    with tempfile.TemporaryDirectory(prefix="vectra-report-") as scratch:
        client = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name=_kernel_name(notebook),
            resources={"metadata": {"path": str(path.resolve().parent)}},
            record_timing=False,
            store_widget_state=False,  # megabytes that a page does not show
            on_cell_start=started,
        )
        client.log = _SILENT
        try:
            # What a kernel itself says, of its transport say, is nobody's output; what cells print comes another way.
            client.execute(env=_environment(scratch, store), stderr=subprocess.DEVNULL)
        except CellExecutionError as error:
            return [_failure(notebook, last, "raised", f"{error.ename}: {error.evalue}", error.traceback)]
        except CellTimeoutError:
            return [_failure(notebook, last, "stopped", f"it took more than {timeout:g} s (--timeout)")]
        except DeadKernelError:
            return [_failure(notebook, last, "stopped", "the kernel died; often it had too little memory")]
        except (RuntimeError, OSError) as error:
            return [Failure("stopped", f"the kernel could not run: {plain(' '.join(str(error).split()))}")]
    return []


def _kernel_name(notebook: Any) -> str:
    """The notebook's own kernel where it is installed, else Python's: names of environments differ by machine."""
    name = notebook.metadata.get("kernelspec", {}).get("name", "python3")
    return str(name) if name in KernelSpecManager().find_kernel_specs() else "python3"


def _environment(scratch: str, store: EventStorePaths | None) -> dict[str, str]:
    # A profile of the person who runs it must not change outputs; figures come as data, which the pages draw.
    environment = {**os.environ, "IPYTHONDIR": scratch, "PLOTLY_RENDERER": "plotly_mimetype"}
    environment.pop(STORE_VARIABLE, None)
    if store is not None:
        # The second is for notebooks that ask for the default store.
        environment |= {STORE_VARIABLE: str(store.data_dir), "RUGS_DATA_DIR": str(store.data_dir)}
    return environment


def _failure(notebook: Any, index: int, kind: str, message: str, details: str = "") -> Failure:
    if not 0 <= index < len(notebook.cells):
        return Failure(kind, message, plain(details))
    number = sum(cell.cell_type == "code" for cell in notebook.cells[: index + 1])
    return Failure(kind, plain(" ".join(message.split())), plain(details), number, notebook.cells[index].source)
