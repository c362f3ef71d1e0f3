"""The choice of one game among all: filtered, searched and sorted."""

from collections.abc import Sequence
from typing import Any

import ipywidgets
import polars as pl
import traitlets

from vectra_analytics.query import EventStoreQuery
from vectra_analytics.widgets.rows import row

MOST_LISTED = 500
"""Games in the list at once; a search reaches all."""

SORTS = {
    "start": ("started_at", False),
    "newest first": ("started_at", True),
    "highest peak": ("peak_price", True),
    "longest": ("n_ticks", True),
    "deepest drawdown": ("max_drawdown_before_rug", False),
}


class GameChoice(ipywidgets.VBox):
    """Find a game: type a part of its id, filter, sort, or go to the next one.

    Parameters
    ----------
    query
        The store's; its games are read once, and again by :meth:`refresh`.
    """

    game_id = traitlets.Unicode(help="The game that is chosen; empty where there is none.")

    def __init__(self, query: EventStoreQuery) -> None:
        self._query = query
        self._games = pl.DataFrame()
        self._listed: list[str] = []
        self._is_listing = False
        self.search = ipywidgets.Text(description="Search", placeholder="part of an id", continuous_update=True)
        self.sort = ipywidgets.Dropdown(description="Sort by", options=list(SORTS), value="highest peak")
        self.is_complete = ipywidgets.Checkbox(description="complete games only", value=True, indent=False)
        self.is_rugged = ipywidgets.Checkbox(description="with a rug only", value=False, indent=False)
        self.min_ticks = ipywidgets.BoundedIntText(description="Min. ticks", value=0, min=0, max=1_000_000)
        self.player = ipywidgets.Combobox(description="Player", placeholder="anyone", ensure_option=False)
        self.games = ipywidgets.Select(description="Games", rows=8, options=[])
        self.games.layout.width = "auto"
        self.previous = ipywidgets.Button(description="Previous", icon="arrow-left", tooltip="The game before")
        self.next = ipywidgets.Button(description="Next", icon="arrow-right", tooltip="The game behind")
        self.found = ipywidgets.HTML()
        super().__init__(
            [
                row(self.search, self.sort, self.min_ticks, self.player),
                row(self.is_complete, self.is_rugged, self.found),
                self.games,
                row(self.previous, self.next),
            ]
        )
        self.refresh()
        for control in (self.search, self.sort, self.is_complete, self.is_rugged, self.min_ticks, self.player):
            control.observe(lambda _: self._list(), "value")
        self.games.observe(self._choose, "value")
        self.observe(self._show_chosen, "game_id")
        self.previous.on_click(lambda _: self.step(-1))
        self.next.on_click(lambda _: self.step(1))
        self._show_chosen(None)

    def refresh(self) -> None:
        """Read the games anew; a recording may have added some."""
        self._games = self._query.games()
        self.player.options = self._query.list_players()
        self._list()

    def step(self, n: int) -> None:
        """Choose the game that stands n places further down the list; at its ends it stays."""
        if self._listed:
            place = self._listed.index(self.game_id) + n if self.game_id in self._listed else 0
            self.game_id = self._listed[min(max(place, 0), len(self._listed) - 1)]

    def _list(self) -> None:
        found = self._matching()
        self._listed = found["game_id"].to_list()
        listed = found.head(MOST_LISTED)
        self.found.value = f"{found.height:,} of {self._games.height:,} games" + (
            f", {MOST_LISTED} of them listed: search to see others" if found.height > MOST_LISTED else ""
        )
        game_id = self.game_id if self.game_id in self._listed else next(iter(self._listed), "")
        self._is_listing = True  # a list that changes chooses its first line: that is nobody's choice
        try:
            self.games.options = [(_line(game), game["game_id"]) for game in listed.iter_rows(named=True)]
        finally:
            self._is_listing = False
        if self.game_id == game_id:
            self._show_chosen(None)
        self.game_id = game_id

    def _matching(self) -> pl.DataFrame:
        games = self._games
        if self.is_complete.value:
            games = games.filter("is_complete")
        if self.is_rugged.value:
            games = games.filter(pl.col("rug_tick").is_not_null())
        games = games.filter(pl.col("n_ticks") >= self.min_ticks.value)
        text = self.search.value.strip()
        if text:
            games = games.filter(pl.col("game_id").str.contains(text, literal=True))
        if self.player.value.strip():
            sql = "SELECT DISTINCT game_id FROM events WHERE player_id = $player AND game_id IS NOT NULL"
            theirs = self._query.query(sql, {"player": self.player.value.strip()})
            games = games.join(theirs, on="game_id", how="semi")
        column, descending = SORTS[self.sort.value]
        if column not in games.columns:
            fallen = self._query.features("episode_features", columns=["game_id", column])
            games = games.join(fallen, on="game_id", how="left")
        return games.sort(column, "game_id", descending=[descending, False], nulls_last=True)

    def _choose(self, change: dict[str, Any]) -> None:
        if change["new"] and not self._is_listing:
            self.game_id = change["new"]

    def _show_chosen(self, _: object) -> None:
        values: Sequence[str] = [value for _, value in self.games.options]
        self.games.value = self.game_id if self.game_id in values else None
        place = self._listed.index(self.game_id) if self.game_id in self._listed else None
        self.previous.disabled = place in (None, 0)
        self.next.disabled = place in (None, len(self._listed) - 1)


def _line(game: dict[str, Any]) -> str:
    rug = "no rug seen" if game["rug_tick"] is None else f"rug at tick {game['rug_tick']}"
    return f"{game['game_id']}   peak {game['peak_price']:.2f}   {game['n_ticks']} ticks   {rug}"
