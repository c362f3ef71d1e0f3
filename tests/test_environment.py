"""The lists of what is installed agree, and name no place on a network or a machine."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
STACK = {"duckdb", "pyarrow", "polars", "numpy", "jupyterlab", "ipywidgets", "plotly", "pytest", "nbval"}


def _bounds(requirements: list[str]) -> dict[str, str]:
    found = (re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", line.partition(";")[0].strip()) for line in requirements)
    return {match[1].lower(): match[2] for match in found if match}


def _pyproject() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return _bounds([*project["dependencies"], *(line for extra in extras.values() for line in extra)])


def test_conda_and_pip_install_the_same_stack() -> None:
    """environment.yml names the nine packages of the stack with pyproject's bounds, Python, pip and the package."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *plain, pip = environment["dependencies"]
    listed = _bounds([line for line in pip["pip"] if not line.startswith("-")])
    project = _pyproject()

    assert set(environment) == {"name", "dependencies"}  # no channels
    assert plain == ["python>=3.11", "pip"]
    assert listed == {name: project[name] for name in STACK}
    assert "--editable .[lab,test]" in pip["pip"]


def test_constraints_pin_everything_within_the_bounds() -> None:
    """Each package that pyproject names is held at one exact version."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = _bounds(lines)

    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[\w.]+", line) for line in lines)
    assert {name.replace("_", "-") for name in _pyproject()} <= {name.replace("_", "-") for name in pinned}


def test_no_file_names_a_registry_or_a_path_of_a_machine() -> None:
    """What is in the repository works anywhere, and says nothing of where it was made."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("needs git and a clone: the list of files is git's")
    forbidden = re.compile("pypi" + r"\.org|files\.pythonhosted|registry\.npm|deb\.debian|/work/" + "main|/ro" + "ot/")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in {".jsonl", ".csv", ".png"} and path.is_file():
            found = forbidden.search(path.read_text(encoding="utf-8"))
            assert found is None, f"{name}: {found and found[0]}"


def test_importing_loads_no_notebook_library(tmp_path: Path) -> None:
    """`import vectra_analytics` loads no plotly, ipywidgets, pandas or JupyterLab, nor do libraries for its sake."""
    for name in ("pandas", "plotly", "ipywidgets"):  # there to be found, whether they are installed or not
        (tmp_path / f"{name}.py").write_text("__version__ = '99.0'\n")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import vectra_analytics; print(*(sorted(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert not {"plotly", "ipywidgets", "pandas", "jupyterlab", "click"} & set(loaded)


def test_the_package_carries_its_views_and_says_that_it_is_typed() -> None:
    """Every .sql file and py.typed lie where the package lies, so that a build takes them along."""
    package = ROOT / "vectra_analytics"

    assert (package / "py.typed").exists()
    assert {file.stem for file in package.rglob("*.sql")} == {
        file.stem for file in (package / "features").glob("*.sql")
    }
