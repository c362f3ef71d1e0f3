"""One notebook in a kernel of its own: how long it took, what it gave, and what was wrong."""

import copy
import os
import re
import time
from configparser import RawConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vectra_analytics.notebooks import STORE_VARIABLE, WIDGET
from vectra_analytics.paths import EventStorePaths

_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_PARTS = ("text", "ename", "evalue")  # of an output, besides its data


@dataclass(frozen=True, slots=True)
class Failure:
    """The first cell that was not as it should be."""

    cell: int  # from 1, texts counted too, as JupyterLab shows them
    source: str
    said: str  # in one line
    details: str  # a traceback, or what was stored and what came


@dataclass(frozen=True, slots=True)
class NotebookRun:
    """What came of a notebook."""

    path: Path
    seconds: float
    notebook: Any  # with its new outputs
    failure: Failure | None

    @property
    def name(self) -> str:
        """Of the notebook's file, without its suffix."""
        return self.path.stem

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        failure = self.failure
        return {
            "name": self.name,
            "seconds": round(self.seconds, 3),
            "passed": failure is None,
            **({} if failure is None else {"cell": failure.cell, "said": failure.said}),
        }


def run_notebook(path: Path, store: EventStorePaths | None, *, is_compared: bool, timeout: float) -> NotebookRun:
    """Run a notebook from its own folder, and compare its outputs with those stored."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    stored = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    notebook = copy.deepcopy(stored)
    environment = dict(os.environ)
    if store is not None:
        environment[STORE_VARIABLE] = environment["RUGS_DATA_DIR"] = str(store.data_dir)
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # it warns of how it is run, on our stderr
        resources={"metadata": {"path": str(path.parent)}},
    )
    begin = time.perf_counter()
    failure = None
    try:
        client.execute(env=environment)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        failure = _raised(notebook, error)
    seconds = time.perf_counter() - begin
    if failure is None and is_compared:
        failure = _changed(stored, notebook, _sanitizers(path.parent))
    return NotebookRun(path, seconds, notebook, failure)


def _raised(notebook: Any, error: Exception) -> Failure:
    for place, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                trace = _COLORS.sub("", "\n".join(output.traceback))
                return Failure(place, cell.source, f"{output.ename}: {output.evalue}".splitlines()[0], trace)
    # A kernel that died, or a cell that took too long, leaves no output: it was the first without a number.
    code = [(place, cell) for place, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"]
    place, cell = next(((p, c) for p, c in code if c.execution_count is None), code[-1])
    text = _COLORS.sub("", str(error)).strip()
    return Failure(place, cell.source, f"{type(error).__name__}: {text.splitlines()[0] if text else ''}", text)


def _changed(stored: Any, notebook: Any, sanitizers: list[tuple[re.Pattern[str], str]]) -> Failure | None:
    for place, (before, now) in enumerate(zip(stored.cells, notebook.cells, strict=True), 1):
        wanted, got = (_outputs(cell, sanitizers) for cell in (before, now))
        if wanted != got:
            details = f"stored:\n{_shown(wanted, got)}\n\nnow:\n{_shown(got, wanted)}"
            return Failure(place, now.source, "its output is not the one that is stored", details)
    return None


def _outputs(cell: Any, sanitizers: list[tuple[re.Pattern[str], str]]) -> list[Any]:
    """What a cell gave, without what differs from run to run and means nothing."""
    found: list[Any] = []
    for output in cell.get("outputs", ()):
        said = {key: value for key, value in output.get("data", {}).items() if key != WIDGET}
        said |= {key: output[key] for key in _PARTS if key in output}
        stream = output.get("name")
        if stream and found and found[-1].get("stream") == stream:
            found[-1]["text"] += said["text"]  # how a stream is cut into pieces is chance
        else:
            found.append({**said, **({"stream": stream} if stream else {})})
    return [_sanitized(output, sanitizers) for output in found]


def _sanitized(value: Any, sanitizers: list[tuple[re.Pattern[str], str]]) -> Any:
    """Texts with their replacements, wherever they stand; numbers are not touched."""
    if isinstance(value, str):
        for pattern, replacement in sanitizers:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, dict):
        return {key: _sanitized(each, sanitizers) for key, each in value.items()}
    return [_sanitized(each, sanitizers) for each in value] if isinstance(value, list) else value


def _sanitizers(folder: Path) -> list[tuple[re.Pattern[str], str]]:
    """What ``sanitize.cfg`` beside the notebooks replaces, as nbval reads it."""
    config = RawConfigParser()
    config.read(folder / "sanitize.cfg", encoding="utf-8")
    return [(re.compile(config[name]["regex"]), config[name]["replace"]) for name in config.sections()]


def _shown(outputs: list[Any], others: list[Any]) -> str:
    """The first output that is not in the other cell, as text."""
    for output in outputs:
        if output not in others:
            text = output.get("text/plain") or output.get("text") or str(output)
            return str(text)[:4000]
    return "nothing"
