"""Notebooks say which views their outputs are of."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from vectra_analytics import EventStoreQuery, VectraError
from vectra_analytics.features import catalogue
from vectra_analytics.notebooks import notebook_store, stamp_file, stamped, views_asked

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.name))
def test_a_notebook_is_stamped_with_the_views_as_they_are_now(path: Path) -> None:
    """`make notebooks` would write the same stamp, so the stored outputs are of these views."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook == stamped(notebook, catalogue(), "data_samples")
    stamp = notebook["metadata"]["vectra"]
    assert set(stamp) == {"version", "views", "data"}
    assert stamp["views"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.name))
def test_the_changelog_tells_of_a_notebooks_version(path: Path) -> None:
    """The version that it has now stands in the section of notebooks, behind its name."""
    version = json.loads(path.read_text(encoding="utf-8"))["metadata"]["vectra"]["version"]
    section = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("### Notebooks")[1].split("\n#")[0]
    assert f"- `{path.stem}` {version}: " in section


def notebook_of(*sources: str) -> dict[str, object]:
    """A notebook of these code cells, behind a text that names a view."""
    code = [{"cell_type": "code", "source": [source], "outputs": [], "metadata": {}} for source in sources]
    text = {"cell_type": "markdown", "source": ["tick_labels"], "metadata": {}}
    return {"cells": [text, *code], "metadata": {"language_info": {"name": "python"}}, "nbformat": 4}


def test_views_are_found_in_calls_and_in_sql() -> None:
    """By their names as whole words in code, get_tick_features among them; not in texts, nor as parts of words."""
    version = catalogue().version
    notebook = notebook_of("query.games()", "query.get_tick_features('g')", "query.query('FROM ticks_of_mine')")
    assert views_asked(notebook, catalogue()) == {
        "games": version("games"),
        "tick_features": version("tick_features"),
    }


def test_a_stamp_keeps_the_version_that_people_gave(tmp_path: Path) -> None:
    """Views are brought up to date; version, data and everything else stay, and a second stamp changes nothing."""
    file = tmp_path / "mine.ipynb"
    notebook = notebook_of("query.games()")
    notebook["metadata"] = {"vectra": {"version": "2.3", "views": {"games": "old"}, "data": "mine"}, "other": 1}
    file.write_text(json.dumps(notebook))
    stamp_file(file, catalogue())
    once = file.read_bytes()
    said = json.loads(once)
    assert said["metadata"] == {
        "vectra": {"version": "2.3", "views": {"games": catalogue().version("games")}, "data": "mine"},
        "other": 1,
    }
    assert said["cells"] == notebook["cells"]
    stamp_file(file, catalogue())
    assert file.read_bytes() == once


@pytest.mark.parametrize("text", ["", "[]", "{}", "\ufffd"])
def test_what_is_no_notebook_stays_as_it_is(tmp_path: Path, text: str) -> None:
    """The error names the file, which is not touched."""
    file = tmp_path / "none.ipynb"
    file.write_text(text)
    with pytest.raises(VectraError, match=r"cannot stamp .*none\.ipynb"):
        stamp_file(file, catalogue())
    assert file.read_text() == text


def test_a_notebook_is_about_the_samples_or_the_store_that_a_report_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found from where the notebook lies, whatever $RUGS_DATA_DIR says; a store that is named must be there."""
    (tmp_path / "data_samples").mkdir()
    (tmp_path / "notebooks").mkdir()
    some = sorted((ROOT / "data_samples").glob("game_*.jsonl"))[0]
    (tmp_path / "data_samples" / some.name).write_bytes(some.read_bytes())
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("RUGS_DATA_DIR", str(tmp_path / "elsewhere"))

    found = notebook_store()
    assert EventStoreQuery(found).count_events() > 0
    assert not (tmp_path / "elsewhere").exists()
    monkeypatch.setenv("VECTRA_NOTEBOOK_STORE", str(found.data_dir))
    assert notebook_store().data_dir == found.data_dir
    monkeypatch.setenv("VECTRA_NOTEBOOK_STORE", str(tmp_path / "nowhere"))
    with pytest.raises(VectraError, match="and there is no store"):
        notebook_store()
    monkeypatch.delenv("VECTRA_NOTEBOOK_STORE")
    monkeypatch.chdir("/")
    with pytest.raises(VectraError, match="no folder data_samples is in / or above"):
        notebook_store()


def _red_cells(folder: Path, package: Path) -> Counter[str]:
    """How many cells of each notebook strict nbval finds changed, when it runs with this package."""
    options = ["-q", "-p", "no:cacheprovider", "--nbval", "--nbval-sanitize-with", str(ROOT / "notebooks/sanitize.cfg")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(folder), str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return Counter(re.findall(r"^FAILED \S*?(\w+)\.ipynb", done.stdout, re.MULTILINE))


def test_a_notebook_that_no_longer_tells_the_truth_turns_red(tmp_path: Path) -> None:
    """A stored number that is changed, a cell that raises, a view's window off by one: each fails, and nothing else."""
    folder, package = tmp_path / "notebooks", tmp_path / "vectra_analytics"
    folder.mkdir()
    (tmp_path / "data_samples").symlink_to(ROOT / "data_samples")
    stored = (ROOT / "notebooks" / "00_first_steps.ipynb").read_text(encoding="utf-8")
    raising = json.loads(stored)
    raising["cells"] = [cell for cell in raising["cells"] if cell["cell_type"] == "code"][:1]
    raising["cells"][0]["source"] = ["raise ValueError"]
    assert "61.353" in stored
    (folder / "changed.ipynb").write_text(stored.replace("61.353", "61.354"), encoding="utf-8")
    (folder / "raising.ipynb").write_text(json.dumps(raising), encoding="utf-8")
    assert _red_cells(folder, ROOT) == {"changed": 1, "raising": 1}

    for file in ("changed.ipynb", "raising.ipynb"):
        (folder / file).unlink()
    (folder / "as_it_is.ipynb").write_text(stored, encoding="utf-8")
    shutil.copytree(ROOT / "vectra_analytics", package)
    view = package / "features" / "tick_features.sql"
    off_by_one = view.read_text().replace("ROWS BETWEEN 4 PRECEDING", "ROWS BETWEEN 3 PRECEDING")
    assert off_by_one != view.read_text()
    view.write_text(off_by_one)
    assert _red_cells(folder, tmp_path) == {"as_it_is": 1}
