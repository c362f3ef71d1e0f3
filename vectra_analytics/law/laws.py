"""Each law as a function: a view and the games that it is tried on in, a verdict out."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import duckdb
import polars as pl
import polars.selectors as cs

from vectra_analytics.errors import VectraError
from vectra_analytics.features import FeatureView, Views
from vectra_analytics.law.compare import Comparison, Difference, compare
from vectra_analytics.law.corpus import Game, all_events, cut, cut_of, ends_of, scaled, uncut_name
from vectra_analytics.law.report import Counterexample, Verdict
from vectra_analytics.prepared import columns_read, view_of
from vectra_analytics.second_execution import is_executed, rows_of
from vectra_analytics.view_reader import in_utc

_MOST_DOUBTS = 12  # cuts that are looked at again, each alone, before a view is acquitted of what copies showed
_SCALABLE = (1e-7, 1e13)  # prices whose squares and ratios neither overflow nor lose bits, times any of the powers


@dataclass(frozen=True)
class Case:
    """A view before the law."""

    views: Views
    view: FeatureView
    games: Sequence[Game]
    n_alone: int  # games, or sessions, that are also computed alone
    powers: Sequence[int]  # of two, by which prices are multiplied
    threads: Sequence[int]

    def rows(self, events: pl.DataFrame, threads: int | None = None) -> pl.DataFrame:
        """The view's rows over these events and no others."""
        kinds = frozenset(events["doc_type"].unique())
        read = events.select(columns_read(self.views, self.view.name))
        columns, order = list(self.view.columns), self.view.order
        try:
            return in_utc(view_of(self.views, self.view.name, read, kinds, columns, order, threads=threads))
        except duckdb.Error as error:
            raise VectraError(f"view {self.view.name}: DuckDB refuses its SQL: {_one_line(error)}") from error

    @cached_property
    def whole(self) -> pl.DataFrame:
        """The rows over all games."""
        return self.rows(all_events(self.games))

    def of(self, name: str) -> pl.DataFrame:
        """Of these the rows of one game, or session."""
        return self.whole.filter(pl.col(self.view.subject) == name)

    def apart(self) -> Mapping[str, pl.DataFrame]:
        """The events of each game by its name; for a summary of sessions those of each session."""
        if self.view.subject == "game_id":
            return {game.game_id: game.events for game in self.games}
        sessions = all_events(self.games).partition_by("session_id", as_dict=True)
        return {str(name): events for (name,), events in sessions.items()}

    def same(self, wanted: pl.DataFrame, got: pl.DataFrame, columns: Sequence[str] | None = None) -> Comparison:
        """Compare rows of the view by its grain."""
        keys = list(dict.fromkeys([self.view.subject, *self.view.grain]))
        return compare(wanted, got, keys, list(self.view.columns) if columns is None else columns)

    def counterexample(self, found: Difference, where: str, elsewhere: str) -> Counterexample:
        """What breaks a law, in words: got ``where``, wanted by what stands ``elsewhere``."""
        name, tick = str(found.row[self.view.subject]), found.row.get("tick")
        what = next((f" ({game.what})" for game in self.games if game.game_id == name), "")
        kind = self.view.subject.removesuffix("_id")
        place = f"{kind} {name}{what}" + ("" if tick is None else f", tick {tick}")
        said = f"{place}: {found.column or 'there'} is {found.got!r} {where}, {found.wanted!r} {elsewhere}"
        return Counterexample(self.game_id(name), tick, found.column, found.wanted, found.got, said)

    def game_id(self, name: str) -> str | None:
        """The game, if it is one that has this name."""
        return name if self.view.subject == "game_id" else None


Law = Callable[[Case], Verdict]


def header(case: Case) -> Verdict:
    """The columns are those listed, and say where a row stands; all else is an error, not a verdict."""
    view = case.view
    if view.subject not in view.columns:
        raise VectraError(
            f"view {view.name}: it has no column game_id, by which rows are found; add it, or make it a summary of "
            "sessions, with session_id in its grain"
        )
    if view.kind == "feature" and "tick" not in view.grain and "ts" not in view.columns:
        raise VectraError(
            f"view {view.name}: rows of a feature stand in time, so its grain holds tick, or it has a column ts; "
            "a view of one row a game is a summary"
        )
    try:
        nothing = all_events(case.games).clear().select(columns_read(case.views, view.name))
        there = view_of(case.views, view.name, nothing, frozenset(), ["*"], view.order).columns
    except duckdb.CatalogException as error:
        raise VectraError(
            f"view {view.name}: {_one_line(error)} It may name what its header's reads lists: {', '.join(view.reads)}"
        ) from error
    except duckdb.Error as error:
        raise VectraError(f"view {view.name}: DuckDB refuses its SQL: {_one_line(error)}") from error
    if there != list(view.columns):
        raise VectraError(
            f"view {view.name}: its header lists the columns {', '.join(view.columns)}, and its SQL gives "
            f"{', '.join(there)}; make them the same, in the same order"
        )
    return Verdict("header", True)


def grain(case: Case) -> Verdict:
    """No two rows are the same in the columns of the grain."""
    keys = list(case.view.grain)
    counted = case.whole.group_by(keys).agg(pl.len().alias("_n"), pl.first(case.view.subject).alias("_name"))
    twice = counted.filter(pl.col("_n") > 1).sort(keys, nulls_last=True)
    if twice.is_empty():
        return Verdict("grain", True, case.whole.height)
    row = twice.row(0, named=True)
    said = f"{row['_n']} rows have " + ", ".join(f"{name} {row[name]!r}" for name in keys)
    example = Counterexample(case.game_id(str(row["_name"])), row.get("tick"), keys[-1], 1, row["_n"], said)
    return Verdict("grain", False, case.whole.height, counterexample=example)


def finite(case: Case) -> Verdict:
    """No float is NaN or infinite; what is undefined is NULL."""
    for name in case.whole.select(cs.float()).columns:
        bad = case.whole.filter(~pl.col(name).is_finite())
        if bad.height:
            row = bad.row(0, named=True)
            example = case.counterexample(Difference(row, name, None, row[name]), "here", "(NULL) where undefined")
            return Verdict("finite", False, case.whole.height, counterexample=example)
    return Verdict("finite", True, case.whole.height)


def execution(case: Case) -> Verdict:
    """The second execution of a view has the rows of the first, to the last bit; all games together, and each alone."""
    if not is_executed(case.views, case.view.name):
        return Verdict("execution", None, why_not="the view is computed by its SQL alone")
    columns = list(case.view.columns)

    def compared(events: pl.DataFrame, wanted: pl.DataFrame) -> tuple[Comparison, str, str]:
        kinds = frozenset(events["doc_type"].unique())
        got = in_utc(rows_of(case.views, case.view.name, events, kinds, columns, case.view.order))
        return compare(wanted, got, case.view.grain, columns, is_exact=True), "by numpy", "by the SQL"

    return _first_break(
        case,
        "execution",
        (
            compared(all_events(case.games), case.whole),
            *(compared(game.events, case.of(game.game_id)) for game in case.games),
        ),
    )


def order(case: Case) -> Verdict:
    """Events in another order, and other numbers of threads, give the same rows."""
    events = all_events(case.games)
    places = list(range(events.height))
    random.Random(1).shuffle(places)
    again = [
        (case.rows(events), "when asked again"),
        (case.rows(events.reverse()), "with the events in the opposite order"),
        (case.rows(events[places]), "with the events shuffled"),
        *((case.rows(events, threads=n), f"with {n} thread{'s' * (n > 1)}") for n in case.threads),
    ]
    return _first_break(case, "order", ((case.same(case.whole, got), where, "before") for got, where in again))


def isolation(case: Case) -> Verdict:
    """A game alone, or a session, has the rows that it has among others."""
    apart = list(case.apart().items())
    among = f"among other {case.view.subject.removesuffix('_id')}s"
    step = max(1, len(apart) // case.n_alone)
    alone = (case.same(case.rows(events), case.of(name)) for name, events in apart[::step])
    return _first_break(case, "isolation", ((found, among, "alone") for found in alone))


def prefix(case: Case) -> Verdict:
    """What stands at a tick is the same when nothing later is known."""
    games = [game for game in case.games if game.cuts]
    copies = case.rows(pl.concat([cut(game, game.cuts) for game in games]))
    named = [name for name in ("game_id", "session_id") if name in copies.columns]
    got = copies.with_columns(cut=cut_of(pl.col("game_id"))).with_columns(uncut_name(pl.col(named)))
    wanted = pl.concat([_at_cuts(case, game) for game in games])
    keys = list(dict.fromkeys(["game_id", "cut", *case.view.grain]))
    found = compare(wanted, _until_cut(case, got, games), keys, list(case.view.columns))
    # Copies have other names. Whoever computes something of a name is not to be accused for that.
    doubts = found.wrong.select("game_id", "cut").unique().sort("game_id", "cut").rows()
    for game_id, tick in doubts[:: max(1, len(doubts) // _MOST_DOUBTS)]:
        game = next(game for game in games if game.game_id == game_id)
        events = cut(game, [tick]).with_columns(uncut_name(pl.col("game_id", "session_id")))
        alone = case.rows(events).with_columns(cut=pl.lit(tick, pl.Int64))
        again = compare(
            wanted.filter((pl.col("game_id") == game_id) & (pl.col("cut") == tick)),
            _until_cut(case, alone, [game]),
            keys,
            list(case.view.columns),
        ).first()
        if again is not None:
            example = case.counterexample(again, f"when the game is cut off after tick {tick}", "in the whole game")
            return Verdict("prefix", False, found.n_rows, counterexample=example)
    return Verdict("prefix", True, found.n_rows, 0.0 if doubts else found.rounding)


def _at_cuts(case: Case, game: Game) -> pl.DataFrame:
    """The rows of the whole game that must be there after each cut."""
    cuts = pl.DataFrame({"cut": list(game.cuts)}, schema={"cut": pl.Int64})
    rows = case.of(game.game_id)
    if "tick" in case.view.grain:
        return rows.join_where(cuts, pl.col("tick") <= pl.col("cut")).select(*rows.columns, "cut")
    return _until_cut(case, rows.join(cuts, how="cross"), [game])


def _until_cut(case: Case, rows: pl.DataFrame, games: Iterable[Game]) -> pl.DataFrame:
    """Of rows that say a ``cut`` those that stand before it, by their tick, else by their time."""
    if "tick" in case.view.grain:
        return rows.filter(pl.col("tick") <= pl.col("cut"))
    ends = pl.concat([_ends(game) for game in games])
    is_before = pl.col("_end").is_null() | (pl.col("ts") < pl.col("_end"))
    if "tick" in rows.columns:
        is_before = pl.when(pl.col("tick").is_null()).then(is_before).otherwise(pl.col("tick") <= pl.col("cut"))
    return rows.join(ends, on=["game_id", "cut"], how="left").filter(is_before).drop("_end")


def _ends(game: Game) -> pl.DataFrame:
    """When the first event came that each cut removes."""
    cuts = pl.Series("cut", list(game.cuts), pl.Int64)
    return pl.DataFrame([cuts, ends_of(game.events, cuts).alias("_end")]).with_columns(game_id=pl.lit(game.game_id))


def scaling(case: Case) -> Verdict:
    """Levels grow with the prices, ratios do not."""
    columns = case.view.columns
    levels = [name for name, column in columns.items() if column.unit == "price" and case.whole[name].dtype.is_float()]
    ratios = [name for name, column in columns.items() if column.unit == "ratio" and case.whole[name].dtype.is_float()]
    if not levels and not ratios:
        return Verdict("scaling", None, why_not="no column has the unit price or ratio")
    games = [game for game in case.games if game.is_plain and _is_scalable(game)]
    wanted = case.rows(all_events(games))

    def compared(power: int) -> tuple[Comparison, str, str]:
        got = case.rows(pl.concat([scaled(game, 2.0**power) for game in games]))
        found = case.same(wanted.with_columns(pl.col(levels) * 2.0**power), got, [*levels, *ratios])
        return found, f"when prices are multiplied by 2^{power}", "by the law of scaling (else give it another unit)"

    return _first_break(case, "scaling", map(compared, case.powers))


def _is_scalable(game: Game) -> bool:
    prices = game.events["price"]
    return bool(((prices == 0) | prices.is_between(*_SCALABLE)).all())


def _first_break(case: Case, law: str, comparisons: Iterable[tuple[Comparison, str, str]]) -> Verdict:
    """The verdict over several comparisons, each with where its answers were got and wanted."""
    n_rows, rounding = 0, 0.0
    for found, where, elsewhere in comparisons:
        n_rows += found.n_rows
        difference = found.first()
        if difference is not None:
            return Verdict(law, False, n_rows, counterexample=case.counterexample(difference, where, elsewhere))
        rounding = max(rounding, found.rounding)
    return Verdict(law, True, n_rows, rounding)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).partition("LINE ")[0].split())[:300]
