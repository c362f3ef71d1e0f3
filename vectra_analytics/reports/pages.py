"""The pages of a report, as text. They load nothing but files that lie beside them."""

import html
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib.resources import files
from urllib.parse import quote

from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from vectra_analytics.reports.facts import StoreFacts
from vectra_analytics.reports.outcomes import Failure, Outcome
from vectra_analytics.reports.outputs import for_page

STYLE, PLOTLY = "style.css", "plotly.min.js"
# Whatever a cell prints, a browser that obeys this asks no other host for anything.
_POLICY = (
    "default-src 'self' file: data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "connect-src 'self' data: blob:; form-action 'none'"
)


def style() -> str:
    """The style sheet, with the colours of code on light and on dark paper."""
    own = files(__package__).joinpath(STYLE).read_text(encoding="utf-8")
    light: str = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    dark: str = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{own}"


def notebook_page(outcome: Outcome, made_at: datetime) -> tuple[str, int]:
    """The page of a notebook, and how many figures it has."""
    prefix = re.sub(r"\W", "_", outcome.name)
    shown, n_figures = for_page(outcome.notebook, f"figure-{prefix}")
    # "basic" is the body alone: the other templates load MathJax, require.js and fonts from a network.
    exporter = HTMLExporter(template_name="basic", anchor_link_text=" ")  # type: ignore[no-untyped-call]
    body, _ = exporter.from_notebook_node(shown)
    views = ", ".join(f"{name} <code>{version}</code>" for name, version in outcome.views.items())
    top = (
        '<nav><a href="../index.html">&larr; All notebooks</a></nav>'
        f'<p class="about">{_badge(outcome.passed)} {_text(outcome.path.name)} &middot; {outcome.seconds:.1f} s '
        f"&middot; {_date(made_at)}{f' &middot; views: {views}' if views else ''}</p>"
        f"{''.join(_failure(failure) for failure in outcome.failures)}"
    )
    page = f'{top}<article class="notebook">{body}</article>'
    return _page(outcome.title, page, up="../", has_figures=n_figures > 0), n_figures


def index_page(
    outcomes: Sequence[Outcome],
    store: StoreFacts | None,
    catalogue: Sequence[dict[str, str]],
    libraries: dict[str, str],
    made_at: datetime,
    *,
    as_stored: bool,
) -> str:
    """The first page: what passed, on which data, by which definitions and libraries."""
    n_failed = sum(not outcome.passed for outcome in outcomes)
    verdict = f"{n_failed} of {len(outcomes)} failed" if n_failed else f"all {len(outcomes)} passed"
    how = (
        "run as they are: no cell may raise, and outputs have to be the stored ones"
        if as_stored
        else "run on another store or with other parameters than they are stored with: no cell may raise; "
        "outputs are not compared"
    )
    parts = [
        f"<h1>Notebooks: {verdict}</h1>",
        f'<p class="about">{_badge(not n_failed)} {_date(made_at)} &middot; {how}</p>',
        _outcomes(outcomes),
        *(_index_failures(outcome) for outcome in outcomes if not outcome.passed),
        _store(store),
        "<section><h2>Views</h2>",
        "<p>A view's version is a hash of its definition: numbers of the same version mean the same.</p>",
        _table(
            ("view", "version", "kind", "what it is"),
            (
                (_text(v["name"]), f"<code>{v['version']}</code>", _text(v["kind"]), _text(v["title"]))
                for v in catalogue
            ),
        ),
        "</section><section><h2>Libraries</h2>",
        _table(("library", "version"), ((_text(n), f"<code>{_text(v)}</code>") for n, v in libraries.items())),
        "</section>",
        '<p class="about">For scripts: <a href="report.json">report.json</a>, <a href="junit.xml">junit.xml</a></p>',
    ]
    return _page(f"Notebooks: {verdict}", "\n".join(parts))


def _page(title: str, body: str, up: str = "", *, has_figures: bool = False) -> str:
    script = f'<script src="{up}{PLOTLY}" charset="utf-8"></script>\n' if has_figures else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{_text(title)}</title>\n"
        '<link rel="icon" href="data:,">\n'
        f'<link rel="stylesheet" href="{up}{STYLE}">\n{script}</head>\n'
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _outcomes(outcomes: Sequence[Outcome]) -> str:
    return _table(
        ("result", "notebook", "seconds", "views that it asks for"),
        (
            (
                _badge(outcome.passed),
                f'<a href="{quote(outcome.page)}">{_text(outcome.title)}</a>'
                f'<br><span class="file">{_text(outcome.path.name)}</span>',
                f"{outcome.seconds:.1f}",
                "<br>".join(f"{_text(name)} <code>{version}</code>" for name, version in outcome.views.items()),
            )
            for outcome in outcomes
        ),
    )


def _index_failures(outcome: Outcome) -> str:
    link = f'<a href="{quote(outcome.page)}">{_text(outcome.path.name)}</a>'
    return f"<h2>{link}</h2>{''.join(_failure(failure) for failure in outcome.failures)}"


def _failure(failure: Failure) -> str:
    source = f"<pre>{_text(failure.source)}</pre>" if failure.source else ""
    details = f"<details><summary>details</summary><pre>{_text(failure.details)}</pre></details>"
    return (
        f'<div class="failure" role="alert"><p><strong>{_text(failure.line)}</strong></p>'
        f"{source}{details if failure.details else ''}</div>"
    )


def _store(store: StoreFacts | None) -> str:
    if store is None:
        return "<section><h2>Data</h2><p>No store was named, and there is no folder data_samples.</p></section>"
    info = store.info
    rows = [
        ("store", _text(store.name)),
        ("store version", f"{info['version']:,}"),
        ("events", f"{info['n_events']:,}"),
        *((f"of these {doc_type}", f"{count:,}") for doc_type, count in info["events_by_doc_type"].items()),
        ("first event, UTC", _text(str(info["first_event"])[:19].replace("T", " "))),
        ("last event, UTC", _text(str(info["last_event"])[:19].replace("T", " "))),
    ]
    quality = [(_text(name), f"{count:,}") for name, count in store.quality.items()]
    return (
        f'<section class="two"><div><h2>Data</h2>{_table((), rows)}</div>'
        f"<div><h2>How good they are</h2>{_table((), quality)}</div></section>"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    thead = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f'<div class="scroll"><table class="facts">{thead}<tbody>{body}</tbody></table></div>'


def _badge(passed: bool) -> str:
    return f'<span class="badge {"passed" if passed else "failed"}">{"passed" if passed else "failed"}</span>'


def _date(made_at: datetime) -> str:
    return f"{made_at:%Y-%m-%d %H:%M} UTC"


def _text(text: str) -> str:
    return html.escape(text)
