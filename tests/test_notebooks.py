"""Notebooks say which views their outputs are of."""

import json
from pathlib import Path

import pytest

from tests.builders import episode, write
from vectra_analytics import EventStoreQuery, VectraError
from vectra_analytics.features import catalogue
from vectra_analytics.notebooks import (
    STORE_VARIABLE,
    notebook_store,
    sample_recordings,
    stamp_file,
    stamped,
    views_asked,
)

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.name))
def test_a_notebook_is_stamped_with_the_views_as_they_are_now(path: Path) -> None:
    """`make notebooks` would write the same stamp, so the stored outputs are of these views."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook == stamped(notebook, catalogue(), "data_samples")
    stamp = notebook["metadata"]["vectra"]
    assert set(stamp) == {"version", "views", "data"}
    assert stamp["views"]


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


def test_a_notebook_works_on_samples_unless_a_report_names_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is it has a store of its own of the recordings beside it; $RUGS_DATA_DIR changes nothing."""
    store = tmp_path / "store"
    write(store, episode(1, 2, 0.01, game_id="mine", rug=True))
    samples = tmp_path / "data_samples"
    samples.mkdir()
    one = sorted(sample_recordings().glob("game_20251031_*.jsonl"))[0]
    (samples / one.name).write_bytes(one.read_bytes())
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("RUGS_DATA_DIR", str(store))

    first, second = notebook_store(), notebook_store()
    assert first.data_dir != second.data_dir
    assert EventStoreQuery(first).list_games() == ["20251031-e3e079749f844097"]
    monkeypatch.setenv(STORE_VARIABLE, str(store))
    assert EventStoreQuery(notebook_store()).list_games() == ["mine"]
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(VectraError, match=r"no store at .*none, which \$VECTRA_REPORT_STORE names"):
        notebook_store()
