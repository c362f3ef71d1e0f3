"""What every view must obey, tried out on games made to bring the opposite to light."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import polars as pl

from vectra_analytics.errors import LawBroken
from vectra_analytics.features import FeatureView, Views
from vectra_analytics.law import laws
from vectra_analytics.law.corpus import Game, full_corpus, short_corpus
from vectra_analytics.law.laws import Case
from vectra_analytics.law.report import LAWS, Counterexample, LawReport, Verdict

__all__ = ["LAWS", "Counterexample", "LawReport", "Verdict", "check_view", "require"]

_N_STORED = 8  # games of the user's own store
_CUTS_STORED = 40  # of each of them


class _Query(Protocol):
    """What an EventStoreQuery gives an examination."""

    @property
    def views(self) -> Views: ...

    def list_games(self) -> list[str]: ...

    def get_episodes_batch(self, game_ids: Iterable[str]) -> Mapping[str, pl.DataFrame]: ...


def check_view(view: str | FeatureView, query: _Query) -> LawReport:
    """Try a view on games that bring out what it must not do, and on some of the store's own.

    Parameters
    ----------
    view
        The name of one that the query knows; or one that it does not know yet, see :meth:`FeatureView.parse`.
    query
        An :class:`EventStoreQuery`, whose views it may read, and on whose games it is tried besides.

    Returns
    -------
    LawReport
        Law by law, a verdict: it holds, or the first counterexample with game, tick, column and both values.

    Raises
    ------
    VectraError
        Where the view cannot be computed at all: its header and its SQL disagree, or DuckDB refuses it.

    Notes
    -----
    A *feature* must be the same at tick t when the game is cut off at t (prefix); a *label* may look ahead, a
    *summary* is of whole games. All kinds: a game's rows do not depend on the other games (isolation), nor on the order
    of events or the number of threads (order); each row has a grain of its own; no value is NaN or infinite; columns
    with the unit price grow with the prices, and those with the unit ratio stay (scaling).

    Floats may differ by rounding, since DuckDB adds up frames of more than 16 rows in an order that depends on the rows
    around; :attr:`LawReport.rounding` says how much, and is 0 for every view of the package.
    """
    views = query.views if isinstance(view, str) else query.views.adding(view)
    name = view if isinstance(view, str) else view.name
    found = _short_form(views, views.named(name))
    if not found.holds:
        return found  # a counterexample in a short game is the easiest to understand
    games = (*full_corpus(), *_stored_games(query))
    return _examined(Case(views, views.named(name), games, len(games), (-40, -1, 3, 30), (1, 4)))


def require(views: Views, name: str) -> None:
    """Raise LawBroken where a user's own view fails a short form of the law; once tried, it is known for good."""
    view = views.named(name)
    version = f"{view.kind} {views.version(name)} {view.grain} {list(view.columns.items())}"
    if view.is_shipped or version in _lawful:
        return
    report = _short_form(views, view)
    if not report.holds:
        raise LawBroken(_refusal(report))
    with _lock:
        _lawful.add(version)


_lock = threading.Lock()
_lawful: set[str] = set()


def _short_form(views: Views, view: FeatureView) -> LawReport:
    return _examined(Case(views, view, short_corpus(), 8, (1, -7), ()))


def _refusal(report: LawReport) -> str:
    verdict = report.broken[0]
    advice = (
        'a view that looks ahead may be registered as a label: kind = "label"'
        if verdict.law == "prefix"
        else "mend the view; `vectra features --check FILE.sql` examines it in full"
    )
    return f"view {report.view} breaks the law of {verdict.law} ({LAWS[verdict.law]}): {verdict.said}; {advice}"


def _examined(case: Case) -> LawReport:
    found: list[Verdict] = [laws.header(case)]
    for law in (laws.grain, laws.finite, laws.execution, laws.order, laws.isolation, laws.prefix, laws.scaling):
        name = law.__name__
        broken = [verdict.law for verdict in found if verdict.holds is False and verdict.law != "finite"]
        if broken:
            found.append(Verdict(name, None, why_not=f"the law of {broken[0]} is broken"))
        elif name == "prefix" and case.view.kind != "feature":
            found.append(Verdict(name, None, why_not=f"a {case.view.kind} need not obey it"))
        else:
            found.append(law(case))
    return LawReport(case.view.name, case.views.version(case.view.name), case.view.kind, tuple(found))


def _stored_games(query: _Query) -> Sequence[Game]:
    ids = query.list_games()
    chosen = ids[:: max(1, len(ids) // _N_STORED)][:_N_STORED]
    found = []
    for game_id, events in query.get_episodes_batch(chosen).items():
        ticks = events["tick"].drop_nulls().unique().sort().to_list()[:-1]
        cuts = tuple(ticks[:: max(1, len(ticks) // _CUTS_STORED)])
        found.append(Game(game_id, "of this store", events, cuts))
    return found
