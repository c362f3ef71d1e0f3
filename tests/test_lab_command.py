"""`vectra lab` opens JupyterLab on notebooks that find a store."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from tests.test_cli import complaint, vectra
from vectra_analytics import EventStorePaths, EventStoreQuery, lab

ROOT = Path(__file__).resolve().parents[1]


def test_the_store_of_the_samples_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where demo/store is not there, it is made of data_samples; where it is, nothing is imported."""
    (tmp_path / "data_samples").symlink_to(ROOT / "data_samples")
    monkeypatch.chdir(tmp_path)

    made = lab.sample_store()
    (tmp_path / "data_samples").unlink()

    assert EventStoreQuery(made).games().height > 0
    assert lab.sample_store().data_dir == made.data_dir == tmp_path / "demo" / "store"


def test_jupyterlab_is_told_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folder and arguments go to JupyterLab, the store in $RUGS_DATA_DIR, and its exit code comes back."""
    seen: list[tuple[list[str], str]] = []

    def run(command: list[str], env: dict[str, str], check: bool) -> subprocess.CompletedProcess[str]:
        seen.append((command, env["RUGS_DATA_DIR"]))
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", run)

    assert lab.run(tmp_path, EventStorePaths(tmp_path / "store"), ["--no-browser"]) == 3
    assert seen == [([*seen[0][0][:3], "--no-browser", str(tmp_path)], str(tmp_path / "store"))]
    assert seen[0][0][1:3] == ["-m", "jupyterlab"]


def test_what_is_missing_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the folder, or without the extra, nothing is made and the line says what to do."""
    gone = tmp_path / "gone"
    assert f"there is no folder {gone}; name one with --notebooks" in complaint(vectra("lab", "--notebooks", gone))

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    said = complaint(vectra("lab", "--notebooks", tmp_path))
    assert 'pip install "vectra_analytics[lab]"' in said
    assert not os.listdir(tmp_path)
