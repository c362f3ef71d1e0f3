"""What came of notebooks as the XML that CI systems read."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from vectra_analytics.reports.run import NotebookRun

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(runs: Sequence[NotebookRun]) -> bytes:
    """One test case a notebook; a failure has the cell, its source and what was wrong."""
    n_failures = sum(run.failure is not None for run in runs)
    total = f"{sum(run.seconds for run in runs):.3f}"
    suite = ElementTree.Element(
        "testsuite", name="notebooks", tests=str(len(runs)), failures=str(n_failures), errors="0", time=total
    )
    for run in runs:
        case = ElementTree.SubElement(
            suite, "testcase", classname="notebooks", name=run.name, time=f"{run.seconds:.3f}", file=run.path.name
        )
        if run.failure is not None:
            message = _NOT_XML.sub("?", f"cell {run.failure.cell}: {run.failure.said}")
            failure = ElementTree.SubElement(case, "failure", message=message)
            failure.text = _NOT_XML.sub("?", f"{run.failure.source}\n\n{run.failure.details}")
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    text: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return text + b"\n"
