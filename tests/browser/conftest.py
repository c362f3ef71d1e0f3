"""One JupyterLab and one browser for all tests of this folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.browser.lab import ROOT, Lab, copied, running
from vectra_analytics import EventStorePaths, EventStoreQuery, import_recordings
from vectra_analytics.demo import SAMPLES_TIMEZONE

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


@pytest.fixture(scope="session")
def _browser_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    profile = tmp_path_factory.mktemp("profile")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(profile, executable_path=CHROMIUM, args=list(QUIET))
        yield context.pages[0]
        context.close()


@pytest.fixture
def page(_browser_page: Page, lab: Lab) -> Iterator[Page]:
    """The browser's page; no test leaves a kernel behind, nor asks another machine for anything."""
    outside: list[str] = []

    def watch(request: object) -> None:
        url = str(getattr(request, "url", ""))
        if not url.startswith((lab.url, "data:", "blob:", "about:", lab.url.replace("http", "ws", 1))):
            outside.append(url)

    _browser_page.on("request", watch)
    yield _browser_page
    _browser_page.remove_listener("request", watch)
    _browser_page.goto("about:blank")
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
