"""A report runs notebooks, says which of them no longer tell the truth, and needs no network to be read."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner

from tests.builders import episode, write
from vectra_analytics import EventStorePaths, VectraError, reports
from vectra_analytics.cli import _vectra
from vectra_analytics.notebooks import WIDGET
from vectra_analytics.reports import Report, report
from vectra_analytics.reports.run import _changed, _sanitizers

ABOUT_THE_STORE = """
import os
from vectra_analytics import EventStoreQuery
query = EventStoreQuery()
query.count_events(), os.environ["VECTRA_NOTEBOOK_STORE"] == os.environ["RUGS_DATA_DIR"]
"""
FIGURE = """
import plotly.graph_objects as go
from IPython.display import display
display(go.Figure(go.Scatter(y=[1, 2, 3])))
display(go.Figure(go.Scatter(y=[3, 2, 1])))
go.FigureWidget(go.Scatter(y=[7]))
"""
RAISES = "print('\\x1b[31mbefore\\x1b[0m')\nraise ValueError('no < way & out')"


def notebook(*sources: str, outputs: dict[int, list[dict[str, Any]]] | None = None) -> str:
    """A notebook of these code cells, some with stored outputs."""
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "source": source,
            "outputs": (outputs or {}).get(number, []),
            "metadata": {},
            "execution_count": None,
        }
        for number, source in enumerate(sources)
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def result(text: str) -> list[dict[str, Any]]:
    """A stored output."""
    return [{"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {"text/plain": text}}]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """A report on a store: one notebook passes, one raises in its second cell."""
    folder = tmp_path_factory.mktemp("reports")
    write(folder / "store", episode(1, 2, 0.01, rug=True))
    (folder / "mine").mkdir()
    (folder / "mine" / "a_good.ipynb").write_text(notebook(ABOUT_THE_STORE, FIGURE))
    (folder / "mine" / "b_bad.ipynb").write_text(notebook("1 + 1", RAISES, "3"))
    return report(folder / "mine", folder / "site", EventStorePaths(folder / "store")), folder / "site"


def test_each_notebook_runs_on_the_store_and_the_failing_cell_is_named(written: tuple[Report, Path]) -> None:
    """The kernel is told the store; a raise fails its notebook and no other."""
    good, bad = written[0].runs
    assert good.failure is None
    assert good.notebook.cells[0].outputs[0].data["text/plain"] == "(3, True)"
    assert bad.failure is not None
    assert (bad.failure.cell, bad.failure.source) == (2, RAISES)
    assert bad.failure.said == "ValueError: no < way & out"
    assert "Traceback" in bad.failure.details
    assert "\x1b" not in bad.failure.details
    assert not written[0].passed


def test_the_site_is_whole_and_asks_nothing_of_a_network(written: tuple[Report, Path]) -> None:
    """Pages load what lies beside them; plotly.js is there once; figures are live, widgets are said to be some."""
    _, site = written
    pages = {path.name: path.read_text() for path in site.glob("*.html")}
    assert pages.keys() == {"index.html", "a_good.html", "b_bad.html"}
    for text in pages.values():
        loaded = set(re.findall(r"<(?:script|link|img|iframe)[^>]*?(?:src|href)=\"([^\"]*)\"", text))
        assert loaded == {"plotly.min.js", "style.css", "data:,"}
        assert not re.search(r"import\s*\(?['\"]http|url\(['\"]?http", text)
    assert pages["a_good.html"].count("Plotly.newPlot(") == 2
    assert "A widget, for use in JupyterLab" in pages["a_good.html"]
    assert len(pages["a_good.html"]) < 60_000
    assert (site / "plotly.min.js").stat().st_size > 1e6
    assert "1 of 2 failed" in pages["index.html"]
    assert "cell 2: ValueError: no &lt; way &amp; out" in pages["index.html"]
    assert "FAILED in cell 2" in pages["b_bad.html"]
    assert "<td>events</td><td>3</td>" in pages["index.html"]


def test_ci_can_read_the_result(written: tuple[Report, Path]) -> None:
    """JUnit XML with a case for each notebook, the failing cell's source and traceback in it."""
    suite = ElementTree.parse(written[1] / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    good, bad = suite
    assert [case.get("name") for case in suite] == ["a_good", "b_bad"]
    assert len(good) == 0
    assert bad[0].get("message") == "cell 2: ValueError: no < way & out"
    assert "raise ValueError" in str(bad[0].text)


def test_outputs_must_be_those_stored_unless_a_store_is_named(tmp_path: Path) -> None:
    """As it is, a notebook whose number is not the stored one fails; the exit code and one line say so."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "n.ipynb").write_text(notebook("1 + 1", "2 + 2", outputs={0: result("2"), 1: result("5")}))
    arguments = ["report", "--notebooks", str(tmp_path / "mine"), "--out", str(tmp_path / "site")]
    done = CliRunner().invoke(_vectra, arguments, standalone_mode=False)

    assert done.return_value == 1
    assert "n.ipynb: FAILED in cell 2: its output is not the one that is stored" in done.output
    page = (tmp_path / "site" / "n.html").read_text()
    assert "stored:\n5\n\nnow:\n4" in page


def test_what_means_nothing_is_overlooked_and_nothing_else(tmp_path: Path) -> None:
    """Replacements of sanitize.cfg, pieces of a stream and ids of widgets; a digit of a figure counts."""
    import nbformat

    (tmp_path / "sanitize.cfg").write_text("[folder]\nregex: /tmp/[a-z0-9]+\nreplace: FOLDER\n")
    plot = {"application/vnd.plotly.v1+json": {"data": [{"y": [1.0, 2.0]}]}}
    stream = {"output_type": "stream", "name": "stdout"}
    stored = [{**stream, "text": "a\nb\n"}, {**result("/tmp/abc")[0]}, {**result("x")[0], "data": plot}]
    now = [{**stream, "text": "a\n"}, {**stream, "text": "b\n"}, {**result("/tmp/d0")[0]}, {**stored[2]}]
    now[2]["data"] = {**now[2]["data"], WIDGET: {"model_id": "1"}}
    changed = json.loads(json.dumps(now).replace("2.0", "2.02"))

    def of(outputs: list[dict[str, Any]]) -> Any:
        return nbformat.reads(notebook("x", outputs={0: outputs}), as_version=4)  # type: ignore[no-untyped-call]

    sanitizers = _sanitizers(tmp_path)
    assert _changed(of(stored), of(now), sanitizers) is None
    failure = _changed(of(stored), of(changed), sanitizers)
    assert failure is not None
    assert "2.02" in failure.details
    assert _changed(of(stored), of(now), []) is not None


def test_an_earlier_report_stays_when_the_new_one_cannot_be_written(
    written: tuple[Report, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full amid the pages leaves the old site, and nothing of the new one beside it."""
    done, site = written
    before = {path.name: path.read_bytes() for path in site.iterdir()}
    monkeypatch.setattr(reports, "run_notebook", lambda *_, **__: done.runs[0])

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as fault:
        fault.setattr(reports, "junit_xml", full)
        with pytest.raises(VectraError, match=r"cannot write the report .*: No space left on device"):
            report(site.parent / "mine", site, EventStorePaths(site.parent / "store"))
    assert {path.name: path.read_bytes() for path in site.iterdir()} == before
    assert [path.name for path in site.parent.iterdir() if path.name.startswith(".")] == []
    report(site.parent / "mine", site.parent / "again", EventStorePaths(site.parent / "store"))
    assert report(site.parent / "mine", site.parent / "again", EventStorePaths(site.parent / "store")).passed


def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No notebooks, no such store, a folder of somebody else, an extra that is not installed."""
    (tmp_path / "mine").mkdir()
    with pytest.raises(VectraError, match=r"no notebooks are in .*mine; name their folder"):
        report(tmp_path / "mine", tmp_path / "site")
    (tmp_path / "mine" / "n.ipynb").write_text(notebook("1"))
    with pytest.raises(VectraError, match="is there and is no report"):
        report(tmp_path / "mine", tmp_path / "mine")
    named = CliRunner().invoke(_vectra, ["--data-dir", str(tmp_path / "no"), "report"], standalone_mode=False)
    assert "there is no store at" in str(named.exception)
    monkeypatch.setattr(reports, "_NEEDED", ("nbclient_that_is_not_there",))
    with pytest.raises(VectraError, match=r"pip install 'vectra_analytics\[lab\]'"):
        report(tmp_path / "mine", tmp_path / "site")


def test_the_workflow_of_the_docs_is_whole(tmp_path: Path) -> None:
    """It is YAML with the steps in order, and what it runs is a command with those options."""
    text = (Path(__file__).resolve().parents[1] / "docs" / "ci.md").read_text(encoding="utf-8")
    (workflow,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    steps = yaml.safe_load(workflow)["jobs"]["notebooks"]["steps"]
    assert [step.get("uses", "").partition("@")[0] or step["run"].split()[0] for step in steps] == [
        "actions/checkout",
        "actions/setup-python",
        "pip",
        "vectra",
        "actions/upload-artifact",
    ]
    command = steps[3]["run"].split()[1:]
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "n.ipynb").write_text(notebook("1 + 1", outputs={0: result("2")}))
    with contextlib.chdir(tmp_path):
        done = CliRunner().invoke(_vectra, command, standalone_mode=False)
    assert done.return_value == 0, done.output
    assert (tmp_path / steps[4]["with"]["path"] / "junit.xml").exists()
