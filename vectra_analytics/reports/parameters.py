"""Parameters of notebooks: names that a cell with the tag ``parameters`` gives values, as in papermill.

A value given from outside is assigned below those of the cell, in the same cell: numbers of cells stay, and the page
shows what the notebook ran with.
"""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from vectra_analytics.errors import VectraError

TAG = "parameters"


def parsed(texts: Sequence[str]) -> dict[str, object]:
    """Values by name, of texts like ``label=rugs_within_20``; a literal of Python is taken as one, else it is text."""
    parameters: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise VectraError(f"cannot read the parameter {text!r}; write NAME=VALUE")
        try:
            parameters[name] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            parameters[name] = value
    return parameters


def check(parameters: Mapping[str, object], notebooks: Sequence[Any]) -> None:
    """Raise where a parameter is of none of the notebooks: a slip of the pen would change nothing, silently."""
    known = sorted({name for notebook in notebooks for name in declared(notebook)})
    for name in parameters:
        if name not in known:
            raise VectraError(
                f"no notebook has a parameter {name}; there "
                + (f"are {', '.join(known)}" if known else f"is none: a cell with the tag {TAG!r} declares them")
            )


def declared(notebook: Any) -> list[str]:
    """The names that its cells of parameters assign."""
    names = []
    for cell in _cells(notebook):
        try:
            lines = ast.parse(cell.source).body
        except SyntaxError:  # a magic command, say; running it will tell
            continue
        for line in lines:
            targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
            names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names


def give(parameters: Mapping[str, object], notebook: Any) -> None:
    """Assign those that the notebook declares, in place."""
    for cell in _cells(notebook)[-1:]:
        values = {name: value for name, value in parameters.items() if name in declared(notebook)}
        if values:
            lines = [f"{name} = {value!r}" for name, value in values.items()]
            cell.source = "\n".join([cell.source, "# given to the report:", *lines])


def _cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and TAG in cell.metadata.get("tags", [])]
