"""Whether a notebook's new outputs are the stored ones: by the rules of strict nbval, which is not needed for it.

Compared are a cell's streams and every kind of data of its results, figures among them. Left out are what nbval leaves
out: numbers of execution, names of models of widgets, tracebacks, pictures. Rules of ``sanitize.cfg`` replace what
differs without meaning anything, in texts only; a comment ``# NBVAL_IGNORE_OUTPUT``, alone on its line, or the tag
``nbval-ignore-output`` leaves a cell out, and so does never having been run, unless outputs are stored all the same.
"""

import configparser
import difflib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vectra_analytics.errors import VectraError
from vectra_analytics.notebooks import WIDGET
from vectra_analytics.reports.outcomes import Failure, plain

Rules = Sequence[tuple[re.Pattern[str], str]]

_LEFT_OUT = {WIDGET, "image/png", "image/jpeg"}
_IGNORE = re.compile(r"^\s*#+\s*(?:NBVAL_IGNORE_OUTPUT|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*$", re.MULTILINE)
_SHOWN_LINES = 40


def sanitize_rules(file: Path) -> Rules:
    """The rules of a sanitize file as nbval has them; none where there is no file."""
    if not file.exists():
        return ()
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
        return [(re.compile(parser[name]["regex"]), parser[name]["replace"]) for name in parser.sections()]
    except (configparser.Error, re.error, KeyError, UnicodeDecodeError) as error:
        raise VectraError(f"cannot read the sanitize file {file}: {error}") from error


def differences(stored: Any, new: Any, rules: Rules) -> Iterator[Failure]:
    """A failure for each code cell whose outputs are not the stored ones."""
    pairs = zip(_code_cells(stored), _code_cells(new), strict=True)
    for number, (before, after) in enumerate(pairs, start=1):
        if before.execution_count is None and before.outputs:
            yield Failure("differs", "it has stored outputs but was never run", cell=number, source=before.source)
        if before.execution_count is None or _is_ignored(before):
            continue
        wanted, got = _parts(before.outputs, rules), _parts(after.outputs, rules)
        for kind in sorted(wanted.keys() | got.keys()):
            if wanted.get(kind) != got.get(kind):
                yield Failure(
                    "differs",
                    f"its output ({kind}) is not the stored one",
                    _difference(wanted.get(kind, []), got.get(kind, [])),
                    number,
                    before.source,
                )
                break  # the kinds show the same in other words


def _code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _is_ignored(cell: Any) -> bool:
    return bool(_IGNORE.search(cell.source)) or "nbval-ignore-output" in cell.metadata.get("tags", [])


def _parts(outputs: Sequence[Any], rules: Rules) -> dict[str, list[Any]]:
    """What the outputs say by kind: a stream's text in one, however it was sent."""
    streams: dict[str, str] = {}
    parts: dict[str, list[Any]] = defaultdict(list)
    for output in outputs:
        if output.output_type == "stream":
            streams[output.name] = streams.get(output.name, "") + output.text
        elif output.output_type == "error":
            parts["error"].append(f"{output.ename}: {output.evalue}")
        else:
            for kind, value in output.get("data", {}).items():
                if kind not in _LEFT_OUT:
                    parts[kind].append(value)
    parts |= {name: [text] for name, text in streams.items()}
    return {kind: [_sanitized(value, rules) for value in values] for kind, values in parts.items()}


def _sanitized(value: Any, rules: Rules) -> Any:
    if isinstance(value, str):
        for pattern, replacement in rules:
            value = pattern.sub(replacement, value)
    return value


def _difference(wanted: Sequence[Any], got: Sequence[Any]) -> str:
    lines = list(difflib.unified_diff(_lines(wanted), _lines(got), "stored", "now", lineterm="", n=1))
    more = [f"... and {len(lines) - _SHOWN_LINES:,} more lines"] if len(lines) > _SHOWN_LINES else []
    return plain("\n".join([line[:300] for line in lines[:_SHOWN_LINES]] + more))


def _lines(values: Sequence[Any]) -> list[str]:
    texts = [value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True) for value in values]
    return [line for text in texts for line in text.splitlines()]
