"""The documents say what is so."""

import ast
import doctest
import importlib
import inspect
import itertools
import pkgutil
import random
import re
from pathlib import Path

import click
import pytest

import vectra_analytics
from tests.builders import episode, store_with
from vectra_analytics import check_view
from vectra_analytics.cli.common import vectra
from vectra_analytics.features import catalogue
from vectra_analytics.features.page import BEGIN, END, catalogue_text, described
from vectra_analytics.schema import EVENT_SCHEMA, SCHEMA_VERSION

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("data_samples/*.md")])
MODULES = sorted(found.name for found in pkgutil.walk_packages(vectra_analytics.__path__, "vectra_analytics."))


@pytest.mark.parametrize(("page", "n_blocks"), [("README.md", 3), ("docs/recording.md", 2)])
def test_the_examples_in_the_pages_give_what_they_show(
    page: str, n_blocks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever types a page's examples sees what it prints."""
    (tmp_path / "data_samples").symlink_to(ROOT / "data_samples")
    monkeypatch.chdir(tmp_path)

    blocks = re.findall(r"```pycon\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)

    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest("".join(blocks), {}, page, None, None))

    assert len(blocks) == n_blocks
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_the_examples_in_docstrings_give_what_they_show(name: str, tmp_path: Path) -> None:
    """An example in a docstring is a promise like any other."""
    module = importlib.import_module(name)
    found = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    if not found:
        return
    store = store_with(tmp_path, episode(1.0, 4.0, 3.0, 5.0), episode(1, 2, game_id="g2"), episode(1, game_id="g3"))
    runner = doctest.DocTestRunner()
    for test in found:
        test.globs |= {"sample_store": store.paths, "query": store}
        runner.run(test)

    assert runner.summarize(verbose=False).failed == 0


def test_every_public_name_has_a_docstring() -> None:
    """help() of anything public says something."""
    for name in (name for name in MODULES if not name.endswith("__main__")):
        module = importlib.import_module(name)
        assert module.__doc__, name
        for public in getattr(module, "__all__", []):
            value = getattr(module, public)
            if inspect.isclass(value) or inspect.isroutine(value):
                assert value.__doc__, f"{name}.{public}"


def test_every_command_has_help_and_a_place_in_the_documents() -> None:
    """A command that nobody can find does not exist."""
    group = vectra
    assert isinstance(group, click.Group)
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name, command in group.commands.items():
        assert command.help, name
        assert all(option.help for option in command.params if isinstance(option, click.Option)), name
        assert re.search(rf"vectra (\S+ )?{name}\b|`{name}`|make {name}\b", pages), f"no page names {name}"


def test_links_between_documents_lead_somewhere() -> None:
    """Each relative link names a file that exists."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_opens_with_the_two_commands() -> None:
    """The first two fenced blocks are what a newcomer types."""
    blocks = re.findall(r"```\w*\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)

    assert [block.strip() for block in blocks[:2]] == ["make demo", "make test"]


def test_the_format_page_lists_the_columns_of_the_schema() -> None:
    """Whoever writes a reader from the page writes the right one."""
    page = (ROOT / "docs" / "data-format.md").read_text(encoding="utf-8")
    table = page[page.index("| column |") : page.index("`raw_json` is")]
    listed = [name for cell in re.findall(r"^\| ([a-z_, ]+) \|", table, re.MULTILINE) for name in cell.split(", ")]

    assert listed[1:] == EVENT_SCHEMA.names
    assert f"Schema version {SCHEMA_VERSION}." in page


def test_every_decision_is_listed_and_says_what_would_change_it() -> None:
    """A decision without its reasons is only a habit."""
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    for page in folder.glob("*.md"):
        if page.name != "README.md":
            text = page.read_text(encoding="utf-8")
            assert page.name in index
            assert all(f"**{part}" in text for part in ("Context.", "Choice.", "What would change our mind."))


def test_views_have_units_and_meanings_for_every_column() -> None:
    """No header leaves a column unexplained."""
    for view in catalogue().values():
        assert view.columns
        for name, column in view.columns.items():
            assert column.unit, f"{view.name}.{name}"
            assert column.doc.endswith("."), f"{view.name}.{name}"


def test_the_page_of_views_has_the_catalogue_as_the_headers_are_now() -> None:
    """`make docs` would change nothing."""
    page = (ROOT / "docs" / "views.md").read_text(encoding="utf-8")
    assert page[page.index(BEGIN) + len(BEGIN) : page.index(END)] == "\n" + catalogue_text(catalogue())
    for view in catalogue().values():
        said = described(view, catalogue().version(view.name))
        assert all(f"  {name} (" in said for name in view.columns)
        assert max(map(len, said.splitlines()[1:])) <= 100


def test_the_worked_example_of_a_view_is_lawful_and_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's file, put where it says, is an index of relative strength that pencil and paper give, too."""
    page = (ROOT / "docs" / "views.md").read_text(encoding="utf-8")
    (tmp_path / "vectra_views").mkdir()
    (tmp_path / "vectra_views" / "rsi_14.sql").write_text(page.split("```sql\n")[1].split("```")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VECTRA_VIEWS", raising=False)
    chance = random.Random(14)
    prices: list[float | None] = [1 + chance.randrange(64) / 8 for _ in range(60)]
    prices[40] = None
    query = store_with(tmp_path / "store", episode(*prices), episode(*[2.0] * 20, game_id="flat"))

    wanted: list[float | None] = []
    for tick, price in enumerate(prices):
        window = prices[max(0, tick - 14) : tick + 1]
        if price is not None:
            known = [each for each in window if each is not None]
            moves = [after - before for before, after in itertools.pairwise(known)]
            gains = sum(move for move in moves if move > 0)
            is_whole = len(window) == len(known) == 15
            wanted.append(100 * gains / sum(map(abs, moves)) if is_whole else None)

    got = query.features("rsi_14", games=["g1"])["rsi_14"].to_list()
    assert got == [None if value is None else pytest.approx(value, rel=1e-12) for value in wanted]
    assert [value is None for value in got].index(False) == query.views["rsi_14"].columns["rsi_14"].warm_up == 14
    assert query.features("rsi_14", games=["flat"])["rsi_14"].null_count() == 20
    report = check_view("rsi_14", query)
    assert report.holds, report
    assert report.rounding == 0


def test_every_test_opens_with_a_sentence() -> None:
    """A test's docstring says what is true."""
    for file in (ROOT / "tests").glob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{file.name}: {node.name}"
