"""``python -m vectra_analytics.reports FOLDER`` runs its notebooks, keeps their outputs and shows what changed."""

import sys
from pathlib import Path

import nbformat

from vectra_analytics.features import own_views
from vectra_analytics.notebooks import stamp_file
from vectra_analytics.reports.comparison import sanitize_rules
from vectra_analytics.reports.execution import run

TIMEOUT = 600  # seconds a cell


def renew(folder: Path) -> bool:
    """Run each notebook; one that fails stays as it is, and False is returned then."""
    views, rules = own_views(), sanitize_rules(folder / "sanitize.cfg")
    done = True
    for path in sorted(folder.glob("[!.]*.ipynb")):
        outcome = run(path, views, rules, TIMEOUT, None, {})
        print(f"{path}: {outcome.seconds:.1f} s, {'its outputs changed' if outcome.failures else 'as before'}")
        for failure in outcome.failures:
            print(f"{failure.line}\n{failure.details}\n")
        if all(failure.kind == "differs" for failure in outcome.failures):
            nbformat.write(outcome.notebook, path)  # type: ignore[no-untyped-call]
            stamp_file(path, views)
        else:
            done = False
            print(f"{path} is left as it was: a cell failed", file=sys.stderr)
    return done


if __name__ == "__main__":
    sys.exit(0 if renew(Path(sys.argv[1])) else 1)
