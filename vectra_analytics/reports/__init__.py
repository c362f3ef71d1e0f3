"""Reports: notebooks, run and validated, as one site that needs no network.

Each notebook runs in a kernel of its own (execution), what it gives is held against what is stored (comparison), and
all becomes pages (pages), junit.xml (junit) and report.json in one folder, which appears whole or not at all (folder).
"""

import contextlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vectra_analytics.errors import VectraError
from vectra_analytics.features import Views, own_views
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.reports.facts import StoreFacts, libraries, sample_facts, store_facts, view_list
from vectra_analytics.reports.folder import MADE_BY, SUMMARY, check_folder, whole_folder
from vectra_analytics.reports.outcomes import Failure, Outcome

__all__ = ["Failure", "Outcome", "Report", "make_report"]

JUNIT, INDEX = "junit.xml", "index.html"
_NEEDED = ("nbclient", "nbconvert", "nbformat", "ipykernel", "plotly")


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was made."""

    out: Path
    outcomes: list[Outcome]
    store: StoreFacts | None  # None: neither a store nor data_samples
    as_stored: bool  # whether outputs were compared with the stored ones
    made_at: datetime
    views: Views

    @property
    def index(self) -> Path:
        """The page to open."""
        return self.out / INDEX

    @property
    def passed(self) -> bool:
        """Whether every notebook passed."""
        return all(outcome.passed for outcome in self.outcomes)

    def to_dict(self) -> dict[str, Any]:
        """All but the pages, for JSON."""
        return {
            "made_by": MADE_BY,
            "made_at": self.made_at.isoformat(timespec="seconds"),
            "passed": self.passed,
            "outputs_compared": self.as_stored,
            "notebooks": [outcome.to_dict() for outcome in self.outcomes],
            "store": self.store.to_dict() if self.store else None,
            "views": view_list(self.views),
            "libraries": libraries(),
        }


def make_report(
    notebooks: Path,
    out: Path,
    *,
    data_dir: EventStorePaths | Path | str | None = None,
    parameters: Mapping[str, object] | None = None,
    timeout: float = 600,
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> Report:
    """Run every notebook of a folder, validate them and write a site about it.

    Parameters
    ----------
    notebooks
        The folder; its ``.ipynb`` files run in order of their names, each in a fresh kernel in this folder.
        ``sanitize.cfg`` in it has what may differ between outputs, in nbval's form.
    out
        The folder of the report: a new one, an empty one or an earlier report, which is replaced when all is written.
    data_dir
        The store to run on; a cell that raises is then the only failure. By default notebooks run as they are, and
        their outputs have to be the stored ones as well.
    parameters
        Values for names that cells with the tag ``parameters`` assign; outputs are not compared then.
    timeout
        Seconds that a cell may take.
    tell
        Is called with each outcome, when there is one.

    Returns
    -------
    Report
        What became of each notebook.

    Raises
    ------
    VectraError
        There is nothing to run, nothing to run it with, no such store or parameter, or something else where the report
        should go.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise VectraError(f'reports need {", ".join(missing)}: pip install "vectra_analytics[lab]"')
    if not notebooks.is_dir():
        raise VectraError(f"there is no folder {notebooks}; name that of the notebooks with --notebooks")
    found = sorted(notebooks.glob("[!.]*.ipynb"))
    if not found:
        raise VectraError(f"there is no notebook (.ipynb) in {notebooks}; name another folder with --notebooks")
    check_folder(out)
    store = None if data_dir is None else EventStorePaths.of(data_dir)
    if store is not None and not store.catalog_file.exists():
        raise VectraError(f"there is no store at {store.data_dir}; make one with `vectra import`")
    # Only now: they load all of Jupyter.
    from vectra_analytics.reports import execution
    from vectra_analytics.reports import parameters as of_notebooks
    from vectra_analytics.reports.comparison import sanitize_rules

    given = parameters or {}
    of_notebooks.check(given, [execution.read(path) for path in found])  # what is wrong is said before minutes go by
    rules = sanitize_rules(notebooks / "sanitize.cfg")

    facts = store_facts(store) if store else sample_facts(notebooks)
    with contextlib.chdir(notebooks):  # vectra_views/ is looked for where the notebooks run
        views = own_views()
    outcomes = []
    for path in found:
        outcome = execution.run(path, views, rules, timeout, store, given)
        outcomes.append(outcome)
        tell(outcome)
    report = Report(out, outcomes, facts, store is None and not given, datetime.now(UTC), views)
    with whole_folder(out) as folder:
        _write(report, folder)
    return report


def _write(report: Report, folder: Path) -> None:
    from plotly.offline import get_plotlyjs

    from vectra_analytics.reports import pages
    from vectra_analytics.reports.junit import junit

    said = report.to_dict()
    (folder / "notebooks").mkdir()
    n_figures = 0
    for outcome in report.outcomes:
        text, n_on_page = pages.notebook_page(outcome, report.made_at)
        n_figures += n_on_page
        (folder / outcome.page).write_text(text, encoding="utf-8")
    index = pages.index_page(
        report.outcomes, report.store, said["views"], said["libraries"], report.made_at, as_stored=report.as_stored
    )
    (folder / INDEX).write_text(index, encoding="utf-8")
    (folder / pages.STYLE).write_text(pages.style(), encoding="utf-8")
    if n_figures:
        (folder / pages.PLOTLY).write_text(get_plotlyjs(), encoding="utf-8")
    (folder / JUNIT).write_bytes(junit(report.outcomes, report.made_at))
    (folder / SUMMARY).write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
