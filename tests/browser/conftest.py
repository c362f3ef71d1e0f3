"""One JupyterLab and one browser for all tests of this folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, sync_playwright

from tests.browser.lab import ROOT, Lab, copied, running
from vectra_analytics import EventStorePaths, EventStoreQuery, import_recordings
from vectra_analytics.notebooks import SAMPLES_TIMEZONE

CHROMIUM = Path("/usr/bin/chromium")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on a copy of the notebooks."""
    scratch = tmp_path_factory.mktemp("lab")
    with running(copied(scratch / "project"), scratch) as server:
        yield server


@pytest.fixture
def page(lab: Lab, tmp_path: Path) -> Iterator[Page]:
    """A page of a browser of its own; no test leaves a kernel behind, nor asks another machine for anything."""
    outside: list[str] = []

    def watch(request: Request) -> None:
        if not request.url.startswith((lab.url, "data:", "blob:", "about:")):
            outside.append(request.url)

    with sync_playwright() as playwright:
        profile = tmp_path / "profile"
        context = playwright.chromium.launch_persistent_context(profile, executable_path=CHROMIUM, args=list(QUIET))
        context.on("request", watch)
        yield context.pages[0]
        context.close()
    lab.end_kernels()
    assert not outside, f"the page asked other machines: {outside[:3]}"


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """Where screenshots go: $VECTRA_BROWSER_ARTEFACTS, else browser_artefacts/ in the project."""
    folder = Path(os.environ.get("VECTRA_BROWSER_ARTEFACTS") or ROOT / "browser_artefacts")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> EventStoreQuery:
    """The samples in this process: what the page shows must be what the library says."""
    paths = EventStorePaths(tmp_path_factory.mktemp("samples"))
    import_recordings(ROOT / "data_samples", paths, timezone=SAMPLES_TIMEZONE)
    return EventStoreQuery(paths)
