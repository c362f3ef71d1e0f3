"""JupyterLab on a copy of the notebooks, and a page of a browser that shows one of them."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

ROOT = Path(__file__).resolve().parents[2]
STARTED_WITHIN = 90  # seconds, on two busy cores
RUN_WITHIN = 100
WIDTH, HEIGHT, HIGHEST = 1400, 1000, 8000  # of the window, in pixels


@dataclass(frozen=True)
class Lab:
    """A server that runs."""

    url: str
    token: str

    def address(self, notebook: str) -> str:
        """Of a notebook, in a fresh workspace."""
        return f"{self.url}/lab/tree/notebooks/{notebook}?reset&token={self.token}"

    def ask(self, path: str, method: str = "GET") -> Any:
        """An answer of the server's own interface."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}", headers={"Authorization": f"token {self.token}"}, method=method
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def end_kernels(self) -> None:
        """End all kernels; each holds its notebook's store in memory."""
        for session in self.ask("sessions"):
            self.ask(f"sessions/{session['id']}", "DELETE")


def copied(folder: Path) -> Path:
    """The notebooks without their outputs, and the samples beside them: what is seen later is of this run."""
    (folder / "notebooks").mkdir(parents=True)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)
        (folder / "notebooks" / path.name).write_text(json.dumps(notebook), encoding="utf-8")
    shutil.copytree(ROOT / "data_samples", folder / "data_samples")
    return folder


@contextmanager
def running(folder: Path, scratch: Path) -> Iterator[Lab]:
    """JupyterLab on a folder, with no setting of the person who runs this, and no answer from outside."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lab = Lab(f"http://127.0.0.1:{port}", secrets.token_hex(16))
    fresh = {
        name: str(scratch / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    settings = scratch / "jupyter_config_dir" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')  # its question hides figures
    kept = os.environ.get("PYTHONPATH")
    command = [
        *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"),
        *("--LabApp.news_url=", "--LabApp.extension_manager=readonly", "--LabApp.expose_app_in_browser=True"),
    ]
    environment = {
        **os.environ,
        **fresh,
        "JUPYTER_TOKEN": lab.token,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), kept])),  # the kernels run the package that is tested
    }
    environment.pop("VECTRA_NOTEBOOK_STORE", None)
    log = scratch / "jupyter.log"
    with log.open("wb") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as server:
        try:
            _wait_for(lab, server, log)
            yield lab
            lab.end_kernels()
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_for(lab: Lab, server: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < end and server.poll() is None:
        try:
            lab.ask("status")
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-2000:]}")


def run_all(page: Page, lab: Lab, notebook: str) -> list[dict[str, Any]]:
    """Open a notebook, run all its cells by the menu, and wait for the last one; gives the code cells."""
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    page.goto(lab.address(notebook))
    idle = ".jp-Notebook-ExecutionIndicator[data-status=idle]"
    page.wait_for_selector(idle, timeout=RUN_WITHIN * 1000)
    until(page, "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    until(
        page,
        """() => {
            const panel = window.jupyterapp.shell.currentWidget;
            const code = panel.content.model.toJSON().cells.filter(cell => cell.cell_type === "code");
            const failed = code.some(cell => cell.outputs.some(output => output.output_type === "error"));
            const idle = panel.sessionContext.session?.kernel?.status === "idle";
            return idle && (failed || code.every(cell => cell.execution_count || !cell.source.length));
        }""",
    )
    page.wait_for_selector(idle, timeout=RUN_WITHIN * 1000)
    cells: list[dict[str, Any]] = page.evaluate("window.jupyterapp.shell.currentWidget.content.model.toJSON().cells")
    return [cell for cell in cells if cell["cell_type"] == "code"]


def until(page: Page, script: str, given: object = None, seconds: float = RUN_WITHIN) -> Any:
    """What a script says of the page, as soon as that is true; it asks by the clock, for a page may draw no frames."""
    end = time.monotonic() + seconds
    while not (found := page.evaluate(script, given)):
        if time.monotonic() > end:
            raise TimeoutError(f"not true of the page within {seconds:.0f} s: {' '.join(script.split())[:300]}")
        page.wait_for_timeout(50)
    return found


def show_whole(page: Page) -> None:
    """Make the window as high as the notebook: JupyterLab draws only those cells that are in it."""
    height = HEIGHT
    for _ in range(6):  # what comes into the window is measured anew
        needed: int = page.evaluate(
            """() => {
                const cells = [...document.querySelectorAll(".jp-WindowedPanel-viewport")];
                return Math.ceil(Math.max(...cells.map(cell => cell.getBoundingClientRect().height))) + 250;
            }"""
        )
        needed = min(needed, HIGHEST)
        if needed <= height:
            break
        height = needed
        page.set_viewport_size({"width": WIDTH, "height": height})
        page.wait_for_timeout(1500)
    to_top(page)


def to_top(page: Page) -> None:
    """Scroll the notebook to its first cell, which Run All Cells left behind."""
    page.evaluate("document.querySelectorAll('.jp-WindowedPanel-outer').forEach(panel => { panel.scrollTop = 0; })")
    page.wait_for_timeout(1500)


def plot_in(page: Page, control: Locator) -> Locator:
    """The first figure of the cell that a control is in."""
    cell = page.locator(".jp-Cell").filter(has=control)
    figure = cell.locator(".js-plotly-plot").first
    figure.wait_for(timeout=RUN_WITHIN * 1000)
    return figure
