"""Reports of notebooks: what passes, what fails, and that the pages need no network."""

import json
import re
import subprocess
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest
import yaml

from tests.builders import episode, write
from tests.test_cli import complaint, vectra
from vectra_analytics import VectraError
from vectra_analytics.reports import Report, make_report
from vectra_analytics.reports.__main__ import renew
from vectra_analytics.reports.comparison import differences, sanitize_rules
from vectra_analytics.reports.folder import whole_folder
from vectra_analytics.reports.outputs import WIDGET_TEXT

ROOT = Path(__file__).resolve().parents[1]
FIGURE = {"data": [{"type": "bar", "y": [3, 1, 2]}], "layout": {"title": {"text": "</script> kept as text"}}}
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "IntSlider(value=7)"}


def text(said: str, number: int = 1) -> dict[str, Any]:
    """A result that is a text."""
    return {
        "output_type": "execute_result",
        "execution_count": number,
        "metadata": {},
        "data": {"text/plain": said},
    }


def shown(data: dict[str, Any]) -> dict[str, Any]:
    """What display() stores."""
    return {"output_type": "display_data", "metadata": {}, "data": data}


def save(path: Path, *cells: str | tuple[str, dict[str, Any]]) -> None:
    """A notebook of code cells that were run, each with its output, if it has one, behind a heading."""
    made: list[dict[str, Any]] = [
        {"cell_type": "markdown", "id": "top", "metadata": {}, "source": f"# About *{path.stem}*"}
    ]
    for number, cell in enumerate(cells, start=1):
        source, outputs = (cell, []) if isinstance(cell, str) else (cell[0], [cell[1]])
        made.append(
            {
                "cell_type": "code",
                "id": f"c{number}",
                "metadata": {},
                "execution_count": number,
                "source": source,
                "outputs": outputs,
            }
        )
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made}))


def display(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A cell that displays these data, and its output."""
    return f"from IPython.display import display\ndisplay({data!r}, raw=True)", shown(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of four notebooks: one that passes, one of another number, one that raises and one that takes too long."""
    folder = tmp_path_factory.mktemp("reports")
    (folder / "nbs").mkdir()
    good = display({"application/vnd.plotly.v1+json": FIGURE})
    where = "import os, tempfile\nos.path.basename(os.getcwd()), tempfile.mkdtemp()"
    save(folder / "nbs" / "good.ipynb", good, display(WIDGET), (where, text("('nbs', '/tmp/elsewhere')", 3)), good)
    save(folder / "nbs" / "other.ipynb", ("1 + 1", text("2")), ("10 / 4", text("2.4", 2)))
    save(folder / "nbs" / "raises.ipynb", "x = 0", ("x / 0  # <b>", text("1")), "never = 1")
    save(folder / "nbs" / "slow.ipynb", "import time; time.sleep(60)")
    (folder / "nbs" / "sanitize.cfg").write_text("[t]\nregex: '/tmp[^']*'\nreplace: TEMPORARY\n")
    return make_report(folder / "nbs", folder / "out", timeout=4)


def test_a_notebook_passes_when_it_gives_what_is_stored(report: Report) -> None:
    """It ran in its own folder; what the sanitize file names may differ, another number may not, no cell may raise."""
    good, other, raises, slow = report.outcomes
    assert good.passed, good.failures
    assert [(f.kind, f.cell, f.source) for f in other.failures] == [("differs", 2, "10 / 4")]
    assert "-2.4\n+2.5" in other.failures[0].details
    assert [f.line for f in raises.failures] == ["cell 2: ZeroDivisionError: division by zero"]
    assert [(f.kind, f.cell) for f in slow.failures] == [("stopped", 1)]
    assert not report.passed
    assert [outcome.title for outcome in report.outcomes][:2] == ["About good", "About other"]


class _Loads(HTMLParser):
    """What a page makes a browser fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note sources, and links that are no links to click."""
        for name, value in attrs:
            if value and (name in {"src", "srcset", "data", "poster"} or (name == "href" and tag == "link")):
                self.found.append(value)


def test_pages_load_nothing_but_what_lies_beside_them(report: Report) -> None:
    """Each file that they name is there, and the browser is told to ask no other place."""
    pages = sorted(report.out.rglob("*.html"))
    assert len(pages) == 5
    for page in pages:
        said = page.read_text(encoding="utf-8")
        for address in _Loads(said).found:
            assert address == "data:," or (page.parent / address).is_file(), address
        assert "default-src 'self'" in said
        assert "prefers-color-scheme: dark" in (report.out / "style.css").read_text(encoding="utf-8")
        if page != report.index:
            assert 'href="../index.html"' in said
            assert f'href="notebooks/{page.name}"' in report.index.read_text(encoding="utf-8")


def test_plotly_is_in_the_site_once(report: Report) -> None:
    """Two figures are drawn by one file; a page without figures does not load it."""
    good, raises = ((report.out / f"notebooks/{name}.html").read_text() for name in ("good", "raises"))
    assert [file.name for file in report.out.rglob("*") if file.is_file() and file.stat().st_size > 1e6] == [
        "plotly.min.js"
    ]
    assert (good.count("plotly.min.js"), raises.count("plotly.min.js")) == (1, 0)
    assert good.count("Plotly.newPlot(") == 2
    assert len(set(re.findall(r'id="(figure-[^"]+)"', good))) == 2
    assert "</script> kept" not in good


def test_a_widget_is_a_sentence_on_a_page(report: Report) -> None:
    """Neither its text for programmers nor its state is there."""
    good = (report.out / "notebooks/good.html").read_text()
    assert WIDGET_TEXT in good
    assert 'class="note"' in good
    assert "<pre>IntSlider" not in good


def test_failures_are_at_the_top_and_on_the_first_page(report: Report) -> None:
    """With cell and error; code is shown as text."""
    index, page = report.index.read_text(), (report.out / "notebooks/raises.html").read_text()
    for said in (index, page):
        assert "cell 2: ZeroDivisionError: division by zero" in said
        assert "x / 0  # &lt;b&gt;" in said
    assert page.index("cell 2: ZeroDivisionError") < page.index("About <em>raises</em>")
    assert "3 of 4 failed" in index


def test_junit_has_a_case_a_notebook(report: Report) -> None:
    """A failure has the cell's number, its source and the traceback, without codes of colours."""
    suite = ElementTree.parse(report.out / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "3", "0")
    cases = {str(case.get("name")): case.find("failure") for case in suite.findall("testcase")}
    assert cases["good.ipynb"] is None
    failure = cases["raises.ipynb"]
    assert failure is not None
    assert failure.get("message") == "cell 2: ZeroDivisionError: division by zero"
    assert failure.text is not None
    assert "x / 0  # <b>" in failure.text
    assert "Traceback (most recent call last)" in failure.text
    assert "\x1b" not in failure.text
    assert "[0m" not in failure.text


def test_a_report_for_scripts_lies_beside_the_pages(report: Report) -> None:
    """report.json says what passed, by which views and libraries."""
    said = json.loads((report.out / "report.json").read_text())
    assert said == report.to_dict()
    assert [notebook["passed"] for notebook in said["notebooks"]] == [True, False, False, False]
    assert "duckdb" in said["libraries"]
    assert "games" in {view["name"] for view in said["views"]}


def test_on_a_store_only_raising_counts(tmp_path: Path) -> None:
    """The notebook is told the store; the exit code is 0, though the output is another one than was stored."""
    write(tmp_path / "store", episode(1, 2, 0.01, game_id="g1", rug=True))
    (tmp_path / "nbs").mkdir()
    code = "import os\nprint('store:', os.path.basename(os.environ['VECTRA_NOTEBOOK_STORE']))\n1"
    save(tmp_path / "nbs" / "mine.ipynb", (code, text("2")))
    arguments = ("report", "--notebooks", tmp_path / "nbs", "--out", tmp_path / "out", "--data-dir", tmp_path / "store")
    done = vectra(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "passed  mine.ipynb" in done.stdout
    assert done.stdout.endswith(f"The report is {tmp_path / 'out' / 'index.html'}\n")
    assert "store: store" in (tmp_path / "out/notebooks/mine.html").read_text()
    assert json.loads((tmp_path / "out/report.json").read_text())["store"]["quality"]["complete"] == 1

    (tmp_path / "out" / "index.html").write_text("an earlier one")
    save(tmp_path / "nbs" / "mine.ipynb", "raise SystemError('mine')")
    failed = vectra(*arguments, "--json")
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["notebooks"][0]["failures"][0]["message"] == "SystemError: mine"
    assert "1 of 1 failed" in (tmp_path / "out" / "index.html").read_text()


def test_parameters_reach_the_notebooks_that_declare_them(tmp_path: Path) -> None:
    """Below their own values, as literals or else as text, and on the page; a name that none declares is refused."""
    (tmp_path / "nbs").mkdir()
    save(
        tmp_path / "nbs" / "mine.ipynb", "n = 1\nlabel: str = 'a'\nother = 3", ("print(n + 1, label, other)", text("2"))
    )
    save(tmp_path / "nbs" / "plain.ipynb", "n = 5")
    mine = json.loads((tmp_path / "nbs" / "mine.ipynb").read_text())
    mine["cells"][1]["metadata"]["tags"] = ["parameters"]
    (tmp_path / "nbs" / "mine.ipynb").write_text(json.dumps(mine))
    arguments = ("report", "--notebooks", tmp_path / "nbs", "--out", tmp_path / "out")

    done = vectra(*arguments, "-p", "n=41", "-p", "label=rugs_within_20")
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "out/notebooks/mine.html").read_text()
    assert "42 rugs_within_20 3" in page
    assert "given to the report" in page
    assert "given to the report" not in (tmp_path / "out/notebooks/plain.html").read_text()
    assert "no notebook has a parameter m; there are label, n, other" in complaint(vectra(*arguments, "-p", "m=1"))
    assert "write NAME=VALUE" in complaint(vectra(*arguments, "-p", "41"))


def test_outputs_are_renewed_and_the_change_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a notebook gives now is kept, stamped and passes; one that fails stays as it is, and is told of."""
    save(tmp_path / "changed.ipynb", ("10 / 4", text("2.4")), "x = 1")
    save(tmp_path / "raises.ipynb", "1 / 0")
    kept = (tmp_path / "raises.ipynb").read_bytes()

    assert not renew(tmp_path)
    said = capsys.readouterr()
    assert "-2.4\n+2.5" in said.out
    assert "ZeroDivisionError" in said.out
    assert said.err == f"{tmp_path / 'raises.ipynb'} is left as it was: a cell failed\n"
    assert (tmp_path / "raises.ipynb").read_bytes() == kept
    assert json.loads((tmp_path / "changed.ipynb").read_text())["metadata"]["vectra"]["version"] == "1.0"

    (tmp_path / "raises.ipynb").unlink()
    assert renew(tmp_path)
    assert "as before" in capsys.readouterr().out


def test_what_cannot_run_is_one_line_and_exit_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder, no notebook, no store, something else where the report should go, no Jupyter."""
    nbs = tmp_path / "nbs"
    arguments = ("report", "--notebooks", nbs, "--out", tmp_path / "out")
    assert "there is no folder" in complaint(vectra(*arguments))
    nbs.mkdir()
    assert "no notebook (.ipynb)" in complaint(vectra(*arguments))
    (nbs / "a.ipynb").write_text("{")
    assert "cannot read" in complaint(vectra(*arguments))
    save(nbs / "a.ipynb", "1")
    assert "there is no store" in complaint(vectra(*arguments, "--data-dir", tmp_path / "none"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert "something else than an earlier report" in complaint(vectra(*arguments))
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["thesis.txt"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert 'pip install "vectra_analytics[lab]"' in complaint(vectra(*arguments))


def test_an_old_report_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """A failure midway leaves it as it was and nothing beside it."""
    out = tmp_path / "out"
    with whole_folder(out) as folder:
        (folder / "report.json").write_text('{"made_by": "vectra report"}')
        assert not out.exists()
    with pytest.raises(FileNotFoundError), whole_folder(out) as folder:  # noqa: PT012 - half of it goes well
        (folder / "index.html").write_text("half")
        (folder / "none" / "page.html").write_text("")
    assert [file.name for file in tmp_path.rglob("*")] == ["out", "report.json"]
    with whole_folder(out) as folder:
        (folder / "index.html").write_text("new")
    assert [file.name for file in tmp_path.rglob("*")] == ["out", "index.html"]


def _notebook(*outputs: dict[str, Any], source: str = "1", count: int | None = 1) -> Any:
    cell: dict[str, Any] = {
        "cell_type": "code",
        "metadata": {},
        "execution_count": count,
        "source": source,
        "outputs": outputs,
    }
    return nbformat.from_dict({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [cell]})  # type: ignore[no-untyped-call]


def test_outputs_are_compared_as_strict_nbval_compares_them(tmp_path: Path) -> None:
    """Figures to the last digit; streams in one; not pictures, models of widgets or what the author leaves out."""
    figure = {"application/vnd.plotly.v1+json": FIGURE}
    changed = json.loads(json.dumps(figure).replace("[3, 1, 2]", "[3, 1.01, 2]"))
    part, more = ({"output_type": "stream", "name": "stdout", "text": said} for said in ("a", "b"))
    whole = {**part, "text": "ab"}
    for stored, new, source, count, differ in (
        ([shown(figure)], [shown(changed)], "1", 1, True),
        ([shown(figure)], [shown(figure)], "1", 1, False),
        ([part, more], [whole], "1", 1, False),
        ([text("1")], [], "1", 1, True),
        ([], [text("1")], "1", 1, True),
        ([shown({"image/png": "a"})], [shown({"image/png": "b"})], "1", 1, False),
        ([text("1")], [text("2")], "# NBVAL_IGNORE_OUTPUT\n2", 1, False),
        ([text("1")], [text("2")], "# NBVAL_IGNORE_OUTPUT: the time\n2", 1, True),
        ([], [text("2")], "2", None, False),
        ([text("2")], [text("2")], "2", None, True),
    ):
        before, after = _notebook(*stored, source=source, count=count), _notebook(*new, source=source)
        assert bool(list(differences(before, after, ()))) is differ, (stored, new, source)
    assert sanitize_rules(tmp_path / "none.cfg") == ()
    (tmp_path / "bad.cfg").write_text("[a]\nregex: (\nreplace: x\n")
    with pytest.raises(VectraError, match="cannot read the sanitize file"):
        sanitize_rules(tmp_path / "bad.cfg")


def test_the_workflow_for_a_group_of_researchers_is_one_that_works() -> None:
    """Its YAML is whole, its commands and their options exist, and results are kept when notebooks fail."""
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    workflow = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    steps = workflow["jobs"]["notebooks"]["steps"]
    shell = page.split("```sh\n")[1].split("```")[0]
    commands = "\n".join([*(step["run"] for step in steps if "run" in step), shell])
    subprocess.run(["bash", "-n"], input=commands, text=True, check=True)
    called = re.findall(r"vectra (\w+)((?: [^\n#]*)?)", commands)
    assert {name for name, _ in called} == {"import", "report"}
    for name, rest in called:
        known = vectra(name, "--help").stdout
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in known, f"vectra {name} {option}"
    kept = [step for step in steps if "upload-artifact" in step.get("uses", "")]
    assert [step["if"] for step in kept] == ["${{ !cancelled() }}"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"\[(\w+)\]\"", commands)) <= set(extras)
