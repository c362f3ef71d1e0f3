"""A column of one's own: an expression over a game's ticks becomes a view, tried before it is taken in."""

import json
from collections.abc import Callable
from pathlib import Path

import ipywidgets

from vectra_analytics.errors import VectraError
from vectra_analytics.features import FeatureView, own_folder
from vectra_analytics.law import LawReport, check_view
from vectra_analytics.query import EventStoreQuery
from vectra_analytics.statements import words_of
from vectra_analytics.whole_files import write_whole
from vectra_analytics.widgets.callbacks import Message
from vectra_analytics.widgets.rows import row

_EXAMPLE = "avg(price) OVER (PARTITION BY game_id ORDER BY tick ROWS 9 PRECEDING)"


def view_text(expression: str, name: str, unit: str, meaning: str, kind: str, reads: str) -> str:
    """The file of a view whose one column besides game and tick is this expression; it has the view's name."""
    said = {key: json.dumps(value, ensure_ascii=False) for key, value in (("unit", unit), ("doc", meaning))}
    return f"""\
-- /// feature-view
-- title = {json.dumps(meaning, ensure_ascii=False)}
-- kind = "{kind}"
-- grain = ["game_id", "tick"]
-- reads = ["{reads}"]
-- source = "Own expression."
-- [columns]
-- game_id = {{ unit = "id", doc = "The game." }}
-- tick = {{ unit = "ticks", doc = "The tick." }}
-- {json.dumps(name)} = {{ unit = {said["unit"]}, doc = {said["doc"]} }}
-- ///
SELECT
    game_id,
    tick,
    {expression} AS {name}
FROM {reads}
"""


class OwnColumn(ipywidgets.VBox):
    """Write a window-function expression, try it, and keep it as a view's file.

    Parameters
    ----------
    query
        Takes the view in when it keeps the law.
    taken
        Called with the view's name then.
    message
        Where it says what was done, or what was wrong.
    """

    def __init__(self, query: EventStoreQuery, taken: Callable[[str], object], message: Message) -> None:
        self._query, self._taken, self._message = query, taken, message
        self.name = ipywidgets.Text(description="Name", placeholder="my_feature")
        self.unit = ipywidgets.Combobox(
            description="Unit", value="price", options=["price", "ratio", "ticks", "count", "flag"], ensure_option=False
        )
        self.meaning = ipywidgets.Text(description="Meaning", placeholder="what it is, in a sentence")
        self.kind = ipywidgets.Dropdown(description="Kind", options=["feature", "label"], value="feature")
        self.expression = ipywidgets.Textarea(description="Expression", placeholder=_EXAMPLE, rows=3)
        self.expression.layout.width = "auto"
        self.attempt = ipywidgets.Button(description="Try", icon="gavel", tooltip="Compute it and hold the law to it")
        self.save = ipywidgets.Button(description="Save as a view file", icon="save")
        self.replaces = ipywidgets.Checkbox(description="replace the file", value=False, indent=False)
        self.verdict = ipywidgets.HTML()
        super().__init__(
            [
                row(self.name, self.unit, self.meaning, self.kind),
                self.expression,
                row(self.attempt, self.save, self.replaces),
                self.verdict,
            ]
        )
        self.attempt.on_click(lambda _: self.check())
        self.save.on_click(lambda _: self.keep())

    @property
    def text(self) -> str:
        """The view's file, as the fields say it."""
        expression = self.expression.value.strip().rstrip(";")
        if not expression:
            raise VectraError(f"there is no expression; write one such as {_EXAMPLE}")
        features = self._query.views["tick_features"].columns.keys() - self._query.views["ticks"].columns.keys()
        reads = "tick_features" if words_of(expression) & features else "ticks"
        meaning = self.meaning.value.strip() or expression.replace("\n", " ")
        name = self.name.value.strip()
        return view_text(expression, name, self.unit.value.strip() or "number", meaning, self.kind.value, reads)

    def check(self) -> LawReport | None:
        """Hold the law to the expression, and take its view in if it keeps it; None where it is none."""
        with self._message.watching():
            self.verdict.value = "<p>being examined: some seconds</p>"
            try:
                view = FeatureView.parse(self.text, self.name.value.strip())
                report = check_view(view, self._query)
            except BaseException:
                self.verdict.value = ""
                raise
            self.verdict.value = report._repr_html_()
            if not report.holds:
                hint = " As a label it may look ahead." if report.broken[0].law == "prefix" else ""
                raise VectraError(f"{view.name} is refused: it breaks the law of {report.broken[0].law}.{hint}")
            self._query.register_view(view)
            self._message.say(f"{view.name} keeps the law and is a column now")
            self._taken(view.name)
            return report
        return None

    def keep(self) -> Path | None:
        """Write the view's file into the folder of the user's views, if it keeps the law; None where it was not."""
        if self.check() is None:
            return None
        with self._message.watching():
            path = own_folder() / f"{self.name.value.strip()}.sql"
            if path.exists() and not self.replaces.value:
                raise VectraError(f"{path} exists; tick 'replace the file', or give another name")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, self.text.encode())
            self._message.say(f"{path} defines {self.name.value.strip()} from now on, in every notebook beside it")
            return path
        return None
