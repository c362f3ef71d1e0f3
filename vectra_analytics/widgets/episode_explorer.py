"""Find an episode, look at it, compare it with others, and take its rows along."""

import html
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets
import polars as pl
import traitlets

from vectra_analytics import plots
from vectra_analytics.errors import VectraError
from vectra_analytics.query import EventStoreQuery
from vectra_analytics.statements import text_literal
from vectra_analytics.widgets.callbacks import Message, new_file
from vectra_analytics.widgets.figures import Fitting, show, shown
from vectra_analytics.widgets.game_choice import GameChoice
from vectra_analytics.widgets.rows import row

WINDOWS = (5, 10, 20)
_OF = {"returns": "return_volatility", "prices": "volatility"}
_MOST_PINNED = 20


class EpisodeExplorer(ipywidgets.VBox):
    """Pick an episode and see its ticks; :meth:`rows` gives them to the next cell.

    Parameters
    ----------
    query
        The store's.
    game_id
        The game to begin with; by default the highest one that is complete.

    Attributes
    ----------
    game_id
        The game on show.
    view
        The view whose rows are given along.
    ticks
        The first and the last tick on show.
    pinned
        Games that the one on show is compared with.
    sql
        The statement behind :meth:`rows`; it can be run by itself.
    """

    game_id = traitlets.Unicode(help="The game on show.")
    view = traitlets.Unicode("tick_features", help="The view whose rows are given along.")
    window = traitlets.Int(10, help="Ticks in the window of the volatility.")
    volatility_of = traitlets.Unicode("returns", help="What the volatility is of: returns, or prices.")
    ticks = traitlets.Tuple((0, 0), help="The first and the last tick on show.")
    pinned = traitlets.List(traitlets.Unicode(), help="Games that this one is compared with.")

    def __init__(self, query: EventStoreQuery, game_id: str | None = None) -> None:
        self._query = query
        self._features = self._trades = pl.DataFrame()
        self._is_reading = False
        self.choice = GameChoice(query)
        self._view = ipywidgets.Dropdown(description="Rows of", options=self._views(), value="tick_features")
        self._window = ipywidgets.Dropdown(description="Window", options=[(f"{n} ticks", n) for n in WINDOWS], value=10)
        self._of = ipywidgets.Dropdown(description="Volatility of", options=list(_OF), value="returns")
        self._ticks = ipywidgets.IntRangeSlider(description="Ticks", min=0, max=0, continuous_update=False)
        self._ticks.layout.width = "60%"
        self._log = ipywidgets.Checkbox(description="logarithmic price", value=True, indent=False)
        self._pin = ipywidgets.Button(description="Pin to compare", icon="thumb-tack")
        self._unpin = ipywidgets.Button(description="Unpin all", icon="times", disabled=True)
        self._path = ipywidgets.Text(description="Export to", placeholder="a name that ends in .csv or .parquet")
        self._export = ipywidgets.Button(description="Export rows", icon="download")
        self._sql = ipywidgets.HTML()
        self.message = Message()
        self.figure = shown(plots.episode(query.features(games=[])))
        self.comparison = shown(plots.overlay(query.features("ticks", games=[])))
        self._compared = ipywidgets.VBox([])  # a figure that is drawn while it is hidden has no width
        super().__init__(
            [
                self.choice,
                row(self._window, self._of, self._log),
                self._ticks,
                self.figure,
                Fitting(),
                row(self._pin, self._unpin),
                self._compared,
                row(self._view, self._path, self._export),
                self._sql,
                self.message,
            ]
        )
        traitlets.link((self, "view"), (self._view, "value"))
        traitlets.link((self, "window"), (self._window, "value"))
        traitlets.link((self, "volatility_of"), (self._of, "value"))
        traitlets.link((self.choice, "game_id"), (self, "game_id"))
        self.observe(lambda _: self._read(), "game_id")
        self._ticks.observe(self._narrow, "value")
        self.observe(lambda _: self._draw(), ["window", "volatility_of", "ticks"])
        self._log.observe(lambda _: self._draw(), "value")
        self.observe(lambda _: self._tell(), "view")
        self.observe(lambda _: self._draw_comparison(), "pinned")
        self._pin.on_click(lambda _: self.pin())
        self._unpin.on_click(lambda _: self.unpin())
        self._export.on_click(lambda _: self.export())
        if game_id is not None:
            self.game_id = game_id
        self._read()

    def __repr__(self) -> str:
        # What a page that shows no widgets says instead of one.
        return f"EpisodeExplorer: game {self.game_id}, ticks {self.ticks[0]} to {self.ticks[1]}, rows of {self.view}"

    @property
    def sql(self) -> str:
        """The statement behind :meth:`rows`; it can be run by itself."""
        known = self._query.views[self.view]
        where = f"game_id = {text_literal(self.game_id)}"
        if "tick" in known.columns:
            first, last = self.ticks
            where += f" AND tick BETWEEN {first} AND {last}"
        return f"SELECT * FROM {self.view} WHERE {where} ORDER BY {', '.join(known.order)}"

    def rows(self) -> pl.DataFrame:
        """The rows on show."""
        return self._query.query(self.sql)

    def pin(self) -> None:
        """Compare the games chosen from now on with this one."""
        with self.message.watching():
            if len(self.pinned) >= _MOST_PINNED:
                raise VectraError(f"{_MOST_PINNED} games are pinned; unpin them first: more lines cannot be told apart")
            if self.game_id and self.game_id not in self.pinned:
                self.pinned = [*self.pinned, self.game_id]

    def unpin(self) -> None:
        """Compare with none."""
        self.pinned = []

    def export(self) -> Path | None:
        """Write the rows on show to the path given: CSV or Parquet by its suffix; None where that failed."""
        with self.message.watching():
            path = new_file(self._path.value)
            query = copy(self._query)  # the view of some ticks is for this file alone
            done = query.export(path, view=self._shown_view(query), games=[self.game_id])
            self.message.say(f"{done.n_rows:,} rows of {self.view} of game {self.game_id} are in {path}")
            return path
        return None

    def _shown_view(self, query: EventStoreQuery) -> str:
        """The view to export: the one chosen or, where some ticks are shown, one of those, so that the file tells."""
        known = self._query.views[self.view]
        every = (self._ticks.min, self._ticks.max)
        if "tick" not in known.columns or self.ticks == every:
            return self.view
        first, last = self.ticks
        part = replace(
            known,
            name=f"{self.view}_of_ticks_{first}_to_{last}",
            title=f"{known.title}, ticks {first} to {last}",
            reads=(self.view,),
            sql=f"SELECT * FROM {self.view} WHERE tick BETWEEN {first} AND {last}",
            is_shipped=False,
        )
        return query.register_view(part).name

    def refresh(self) -> None:
        """Read the games anew; a recording may have added some."""
        with self.message.watching():
            self.choice.refresh()

    def _views(self) -> list[str]:
        return sorted(name for name, view in self._query.views.items() if "game_id" in view.columns)

    def _read(self) -> None:
        with self.message.watching():
            self._features = self._query.features(games=[self.game_id])
            self._trades = self._query.features("actions_with_ticks", games=[self.game_id])
            ticks = self._features["tick"]
            first, last = (int(ticks[0]), int(ticks[-1])) if len(ticks) else (0, 0)
            self._is_reading = True  # the ticks that follow from a game are nobody's choice: they are drawn once, below
            try:
                with self._ticks.hold_trait_notifications():
                    self._ticks.min, self._ticks.max = min(first, self._ticks.min), max(last, self._ticks.max)
                    self._ticks.min, self._ticks.max, self._ticks.value = first, last, (first, last)
                self.ticks = (first, last)
            finally:
                self._is_reading = False
            self._draw()
            self._draw_comparison()

    def _narrow(self, change: dict[str, Any]) -> None:
        if not self._is_reading:
            self.ticks = tuple(change["new"])

    def _draw(self) -> None:
        if self._is_reading:
            return
        with self.message.watching():
            first, last = self.ticks
            features = self._features.filter(pl.col("tick").is_between(first, last))
            volatility = f"{_OF[self.volatility_of]}_{self.window}"
            show(
                self.figure,
                plots.episode(
                    features,
                    self._trades.filter(pl.col("seen_tick").is_between(first, last)),
                    volatility=volatility,
                    log=self._log.value,
                ),
            )
            self._tell()

    def _draw_comparison(self) -> None:
        with self.message.watching():
            self._unpin.disabled = not self.pinned
            if not self.pinned:
                self._compared.children = []
                return
            games = list(dict.fromkeys([self.game_id, *self.pinned]))
            by_game = self._query.features("ticks", games=games).partition_by("game_id", as_dict=True)
            found = [by_game[game_id,] for game_id in games if (game_id,) in by_game]
            show(self.comparison, plots.overlay(pl.concat(found), log=self._log.value))
            self._compared.children = [self.comparison]

    def _tell(self) -> None:
        self._sql.value = f"<code>{html.escape(self.sql)}</code>"
