"""junit.xml, which continuous integration services read: a testcase a notebook."""

from collections.abc import Sequence
from datetime import datetime
from xml.etree import ElementTree

from vectra_analytics.reports.outcomes import Outcome, plain


def junit(outcomes: Sequence[Outcome], made_at: datetime) -> bytes:
    """The outcomes as JUnit XML."""
    n_failed = sum(not outcome.passed for outcome in outcomes)
    totals = {
        "name": "notebooks",
        "tests": str(len(outcomes)),
        "failures": str(n_failed),
        "errors": "0",
        "skipped": "0",
        "time": f"{sum(outcome.seconds for outcome in outcomes):.3f}",
    }
    suites = ElementTree.Element("testsuites", {**totals, "name": "vectra report"})
    suite = ElementTree.SubElement(
        suites, "testsuite", {**totals, "timestamp": made_at.replace(tzinfo=None).isoformat(timespec="seconds")}
    )
    for outcome in outcomes:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {"classname": "notebooks", "name": plain(outcome.path.name), "time": f"{outcome.seconds:.3f}"},
        )
        if outcome.failures:  # of a case some readers show the first only
            first = outcome.failures[0]
            element = ElementTree.SubElement(case, "failure", {"type": first.kind, "message": plain(first.line)})
            element.text = plain(
                "\n\n".join(
                    f"{failure.line}\n\n{failure.source}\n\n{failure.details}".strip() for failure in outcome.failures
                )
            )
    ElementTree.indent(suites)
    text: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return text + b"\n"
