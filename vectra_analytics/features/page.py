"""What a view's header says, for people: at the command line, and as the catalogue in docs/views.md."""

import textwrap
from collections.abc import Iterator

from vectra_analytics.features import THIS_TICK, Column, FeatureView, Views

BEGIN, END = "<!-- catalogue: written by `make docs` -->", "<!-- end of catalogue -->"


def described(view: FeatureView, version: str, width: int = 100) -> str:
    """A view and each of its columns, as plain text."""
    lines = [f"{view.name} ({view.kind}, version {version}): {view.title}"]
    rows = f"One row for each {', '.join(view.grain)}; reads {', '.join(view.reads)}."
    lines += textwrap.wrap(rows, width) + textwrap.wrap(view.source, width)
    for name, column in view.columns.items():
        about = [column.unit, *([] if column.window == THIS_TICK else [column.window])]
        about += [f"from tick {column.warm_up}"] if column.warm_up else []
        meaning = f"{column.doc} {_null(column)}".strip()
        lines += ["", f"  {name} ({'; '.join(about)})"]
        lines += textwrap.wrap(meaning, width, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


def _null(column: Column) -> str:
    return f"NULL where {column.null}." if column.null else ""


def catalogue_text(views: Views) -> str:
    """All views in Markdown: first a table of them, then one of each one's columns."""
    return "\n".join(_lines(views)) + "\n"


def _lines(views: Views) -> Iterator[str]:
    yield from ("| view | kind | one row for each | |", "|---|---|---|---|")
    for view in views.values():
        yield f"| [`{view.name}`](#{view.name}) | {view.kind} | {', '.join(view.grain)} | {view.title} |"
    for view in views.values():
        yield from ("", f"### {view.name}", "")
        yield f"{view.title}: {view.kind}, version `{views.version(view.name)}`, reads {_code(view.reads)}."
        yield from ("", *textwrap.wrap(view.source, 120), "")
        yield from ("| column | unit | meaning | window | from tick | NULL where |", "|---|---|---|---|---|---|")
        for name, column in view.columns.items():
            cells = (f"`{name}`", column.unit, column.doc, column.window, str(column.warm_up), column.null or "never")
            yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
