"""Columns of several views beside each other: their SQL, their frame, and one view of them for a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from vectra_analytics.features import FeatureView, Views
from vectra_analytics.query import EventStoreQuery

_KEYS = ("game_id", "tick")
_FIRST = "tick_features"


@dataclass(frozen=True)
class ChosenColumns:
    """Some columns of views with a row a tick, each under its name.

    Parameters
    ----------
    of
        The columns wanted, by the view that has them.
    games_sql
        A condition upon ``game_id``.
    """

    of: Mapping[str, Sequence[str]]
    games_sql: str

    @property
    def sql(self) -> str:
        """One SELECT that gives them, ordered by game and tick."""
        return f"{self._select()} WHERE {self.games_sql} ORDER BY game_id, tick"

    def _select(self) -> str:
        columns = [f"{view}.{name}" for view, names in self.of.items() for name in names]
        joins = [f"LEFT JOIN {view} USING (game_id, tick)" for view in self.of if view != _FIRST]
        return f"SELECT {', '.join([*_KEYS, *columns])} FROM {' '.join([_FIRST, *joins])}"

    def frame(self, of_view: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """The same rows out of each view's frame in memory."""
        found = of_view[_FIRST].select(*_KEYS, *self.of.get(_FIRST, ()))
        for view, names in self.of.items():
            if view != _FIRST:
                found = found.join(of_view[view].select(*_KEYS, *names), on=_KEYS, how="left", maintain_order="left")
        return found

    def view(self, views: Views, name: str) -> FeatureView:
        """A view that is the join of them, so that the provenance of a file is that of all its columns."""
        about = {column: views[view].columns[column] for view, names in self.of.items() for column in names}
        kinds = {views[view].kind for view in self.of}
        return FeatureView(
            name=name,
            title=f"Columns of {', '.join(self.of)}",
            kind="label" if "label" in kinds else "feature",
            grain=_KEYS,
            order=_KEYS,
            reads=tuple(dict.fromkeys([_FIRST, *self.of])),
            source="Chosen in the feature workbench.",
            columns={**{key: views[_FIRST].columns[key] for key in _KEYS}, **about},
            sql=self._select(),
        )


def numbers_of(query: EventStoreQuery, view: str) -> list[str]:
    """The columns of a view that are numbers or flags, but for those that say where a row stands."""
    schema = query.features(view, games=[]).schema
    return [name for name, kind in schema.items() if (kind.is_numeric() or kind == pl.Boolean) and name not in _KEYS]
