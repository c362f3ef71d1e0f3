"""Choose features and a label, see what they have to do with each other, add one's own, and export them."""

import html
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import ipywidgets
import plotly.graph_objects as go
import polars as pl
import traitlets

from vectra_analytics import plots
from vectra_analytics.errors import VectraError
from vectra_analytics.query import EventStoreQuery
from vectra_analytics.statements import text_literal
from vectra_analytics.widgets.callbacks import Message, new_file
from vectra_analytics.widgets.chosen_columns import ChosenColumns, numbers_of
from vectra_analytics.widgets.figures import Fitting, show, shown
from vectra_analytics.widgets.own_column import OwnColumn
from vectra_analytics.widgets.rows import row

_FEATURES, _LABELS = "tick_features", "tick_labels"
_WINDOWS = ("all", "5", "10", "20")
SHOWS = ("label by feature", "feature by label", "correlation", "feature over an episode")


class FeatureWorkbench(ipywidgets.VBox):
    """Features beside a label; :meth:`rows` gives them to the next cell.

    Parameters
    ----------
    query
        The store's; columns of one's own are registered with it.
    games
        The only games; by default complete ones, as many as are asked for.

    Attributes
    ----------
    columns
        The features that are chosen: columns of ``tick_features`` and of the user's own views.
    label
        The column of ``tick_labels`` beside them.
    feature
        The one of the columns that is on show; another becomes one of them.
    game_id
        The game of the episode on show.
    sql
        The statement behind :meth:`rows`; it can be run by itself.
    """

    columns = traitlets.List(traitlets.Unicode(), help="The features that are chosen.")
    label = traitlets.Unicode("rugs_within_20", help="The label beside them.")
    feature = traitlets.Unicode("return_volatility_10", help="The feature on show.")
    game_id = traitlets.Unicode(help="The game of the episode on show.")
    show = traitlets.Unicode(SHOWS[0], help="What is drawn.")

    def __init__(self, query: EventStoreQuery, games: Sequence[str] | None = None) -> None:
        self._query = query
        self._only = None if games is None else list(games)
        self._view_of = dict.fromkeys(numbers_of(query, _FEATURES), _FEATURES)
        for name, view in query.views.items():
            if view.kind == "feature" and not view.is_shipped and view.grain == ("game_id", "tick"):
                self._view_of |= {column: name for column in numbers_of(query, name) if column not in self._view_of}
        self._frames: dict[str, pl.DataFrame] = {}
        self._is_offering = False
        self._columns = ipywidgets.SelectMultiple(description="Features", rows=9)
        self._columns.layout.width = "auto"
        self._window = ipywidgets.Dropdown(description="Window", options=_WINDOWS, value="all")
        self._label = ipywidgets.Dropdown(description="Label", options=numbers_of(query, _LABELS))
        self._feature = ipywidgets.Dropdown(description="Feature")
        self._show = ipywidgets.Dropdown(description="Show", options=SHOWS)
        self._game = ipywidgets.Dropdown(description="Game")
        self._most = ipywidgets.BoundedIntText(description="Most games", value=200, min=1, max=1_000_000)
        self._most.disabled = self._only is not None
        self._path = ipywidgets.Text(description="Export to", placeholder="a name that ends in .csv or .parquet")
        self._with_label = ipywidgets.Checkbox(description="with the label", value=True, indent=False)
        self._export = ipywidgets.Button(description="Export features", icon="download")
        self._sql = ipywidgets.HTML()
        self.message = Message()
        self.own = OwnColumn(query, self._take, self.message)
        self.figure = shown(go.Figure())
        own = ipywidgets.Accordion([self.own], titles=["A column of your own"])
        super().__init__(
            [
                row(self._window, self._label, self._most),
                self._columns,
                row(self._show, self._feature, self._game),
                self.figure,
                Fitting(),
                own,
                row(self._path, self._with_label, self._export),
                self._sql,
                self.message,
            ]
        )
        self.columns = ["drawdown", "return_volatility_10", "momentum_10", "zscore_10"]
        for trait, control in (("label", self._label), ("show", self._show)):
            traitlets.link((self, trait), (control, "value"))
        self._columns.observe(self._choose, "value")
        self._feature.observe(self._look_at, "value")
        self._game.observe(self._look_at, "value")
        self._window.observe(lambda _: self._offer(), "value")
        self._most.observe(lambda _: self._read(), "value")
        self.observe(lambda _: self._offer(), "columns")
        self.observe(self._bring_in, "feature")
        self.observe(lambda _: self._mark(), ["feature", "game_id"])
        self.observe(lambda _: self._draw(), ["columns", "label", "feature", "game_id", "show"])
        self._export.on_click(lambda _: self.export())
        self._offer()
        self._read()

    def __repr__(self) -> str:
        # What a page that shows no widgets says instead of one.
        return f"FeatureWorkbench: {', '.join(self.columns)} beside {self.label}"

    @property
    def sql(self) -> str:
        """The statement behind :meth:`rows`; it can be run by itself."""
        return self._chosen().sql

    def rows(self) -> pl.DataFrame:
        """The chosen features and the label, a row a tick."""
        return self._chosen().frame(self._frames)

    def export(self) -> Path | None:
        """Write the chosen features to the path given: CSV or Parquet by its suffix; None where that failed."""
        with self.message.watching():
            path = new_file(self._path.value)
            chosen = self._chosen(has_label=self._with_label.value)
            if not any(chosen.of.values()):
                raise VectraError("no features are chosen; choose some")
            query = copy(self._query)  # the view of these columns is for this file alone
            view = query.register_view(chosen.view(query.views, "chosen_features"))
            done = query.export(path, view=view.name, games=self._games())
            self.message.say(f"{done.n_rows:,} rows of {', '.join(view.columns)} are in {path}")
            return path
        return None

    def _chosen(self, *, has_label: bool = True) -> ChosenColumns:
        of: dict[str, list[str]] = {_FEATURES: []}
        for name in self.columns:
            of.setdefault(self._view_of[name], []).append(name)
        if has_label:
            of[_LABELS] = [self.label]
        if self._only is None:
            games = f"SELECT game_id FROM games WHERE is_complete ORDER BY game_id LIMIT {self._most.value}"
        else:
            games = ", ".join(map(text_literal, self._only)) or "NULL"
        return ChosenColumns(of, f"game_id IN ({games})")

    def _games(self) -> list[str]:
        if self._only is not None:
            return self._only
        games = self._query.games().filter("is_complete")["game_id"].sort()
        return games.head(self._most.value).to_list()

    def _read(self) -> None:
        """Read the views of these games; what is chosen of them is then drawn without asking the store."""
        with self.message.watching():
            games = self._games()
            views = dict.fromkeys([_LABELS, *self._view_of.values()])
            self._frames = {view: self._query.features(view, games=games) for view in views}
            found = self._frames[_FEATURES]["game_id"].unique().sort().to_list()
            self._game.options = found
            self.game_id = self.game_id if self.game_id in found else next(iter(found), "")
            self._draw()

    def _take(self, view: str) -> None:
        """Offer the column of a view that was just registered, choose it and look at it."""
        (name,) = [column for column in self._query.views[view].columns if column not in ("game_id", "tick")]
        self._view_of[name] = view
        self._frames[view] = self._query.features(view, games=self._games())
        self._window.value = "all"
        self.columns = [*dict.fromkeys([*self.columns, name])]
        self.feature = name
        self._offer()
        self._draw()

    def _offer(self) -> None:
        """List the columns that there are, those that are chosen being marked."""
        window = self._window.value
        offered = [
            name
            for name in self._view_of
            if window == "all" or name in self.columns or name.rpartition("_")[2] == window or not name[-1].isdigit()
        ]
        self._is_offering = True  # lists that change choose for themselves: that is nobody's choice
        try:
            self._columns.options = offered
            self._columns.value = tuple(name for name in self.columns if name in offered)
            self._feature.options = self.columns
            self.feature = self.feature if self.feature in self.columns else next(iter(self.columns), "")
            self._mark()
        finally:
            self._is_offering = False

    def _choose(self, change: dict[str, Any]) -> None:
        if not self._is_offering:
            self.columns = list(change["new"])

    def _bring_in(self, change: dict[str, Any]) -> None:
        """Choose the feature that is to be shown, where it is not."""
        if change["new"] in self._view_of and change["new"] not in self.columns:
            self.columns = [*self.columns, change["new"]]

    def _mark(self) -> None:
        """Let the controls say what is on show, however it was chosen."""
        for control, chosen in ((self._feature, self.feature), (self._game, self.game_id)):
            control.value = chosen if chosen in control.options else None

    def _look_at(self, _: object) -> None:
        if not self._is_offering:
            self.feature = self._feature.value or self.feature
            self.game_id = self._game.value or self.game_id

    def _draw(self) -> None:
        with self.message.watching():
            self._sql.value = f"<code>{html.escape(self.sql)}</code>"
            if not self.columns:
                raise VectraError("no features are chosen; choose some in the list")
            show(self.figure, self._drawn())

    def _drawn(self) -> go.Figure:
        if self.show == "correlation":
            return plots.correlation(self.rows(), [*self.columns, self.label])
        if self.show == "feature over an episode":
            features = self._frames[_FEATURES].filter(pl.col("game_id") == self.game_id)
            view = self._view_of[self.feature]
            if view != _FEATURES:
                features = features.join(self._frames[view], on=["game_id", "tick"], how="left", maintain_order="left")
            return plots.episode(features, volatility=self.feature)
        if self.show == "feature by label":
            return plots.feature_by_label(self.rows(), self.feature, self.label)
        return plots.feature_against_label(self.rows(), self.feature, self.label)
