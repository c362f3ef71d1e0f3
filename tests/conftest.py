"""What every test may use."""

from pathlib import Path

import pytest

from vectra_analytics import EventStorePaths


@pytest.fixture(autouse=True)
def _no_real_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the store of the person who runs it."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("RUGS_DATA_DIR", raising=False)


@pytest.fixture
def paths(tmp_path: Path) -> EventStorePaths:
    """An empty store's paths."""
    return EventStorePaths(tmp_path / "store")
