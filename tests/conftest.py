"""What every test may use."""

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.effort import more
from vectra_analytics import EventStorePaths

# Each of several workers gets a core: else the threads that DuckDB and Polars have in one take a third of the time
# of another. What must not depend on threads asks for numbers of them; `pytest` without -n has all cores.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if _WORKER and hasattr(os, "sched_setaffinity"):
    _CORES = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_CORES[int(_WORKER.removeprefix("gw")) % len(_CORES)]})


_HOMES = itertools.count()

settings.register_profile("plain", max_examples=more(30))
settings.load_profile("plain")


@pytest.fixture(autouse=True)
def _no_real_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the store of the person who runs it."""
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(_HOMES))  # mktemp looks at all there are, each time
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("RUGS_DATA_DIR", raising=False)


@pytest.fixture
def paths(tmp_path: Path) -> EventStorePaths:
    """An empty store's paths."""
    return EventStorePaths(tmp_path / "store")
