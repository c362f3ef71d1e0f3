"""Which games an iteration gives, and in which order."""

import random
from collections.abc import Iterable, Mapping, Sequence

from vectra_analytics.engine import Relations
from vectra_analytics.live_files import GameRows

# The time of a game's first tick as `ticks` has it, in microseconds: of the sightings of its lowest tick, the best one
# with a time of its own.
_START = """
    min(ROW(
        tick,
        NOT has_own_time,
        source_rank,
        NOT rugged,
        CASE WHEN has_own_time THEN epoch_us(ts) END
    ))[5]
"""

_MIXED_ROWS = 250_000  # of days that a shuffle mixes: what an iteration can hold in memory


def starts_of_games(relations: Relations) -> dict[str, int | None]:
    """When each game started, in microseconds since 1970; None, or no entry, where that is not known.

    To find it costs as much as reading some columns of all files.
    """
    sql = relations.select("tick_sightings", f"game_id, {_START}") + " GROUP BY game_id"
    return dict(relations.asked(lambda: relations.relation(sql).fetchall()))


def games_in_order(
    relations: Relations,
    rows: Sequence[GameRows],
    started_at: Mapping[str, int | None],
    player_id: str | None,
    min_ticks: int | None,
    limit: int | None,
    shuffle: int | None,
) -> list[str]:
    """The games of these rows by (started_at, game_id), games without a start last; or shuffled.

    Parameters
    ----------
    started_at
        What :func:`starts_of_games` found.
    player_id
        Only games in an event of which this player is named.
    min_ticks
        Only games with at least so many rows in ``ticks``.
    limit
        The first so many.
    shuffle
        A seed for another order.
    """
    chosen = sorted({some.game_id for some in rows})
    if player_id is not None:
        of_player = relations.select("events", "DISTINCT game_id") + " WHERE player_id = $player"
        found = relations.asked(lambda: relations.relation(of_player, {"player": player_id}).fetchall())
        theirs = {game_id for (game_id,) in found}
        chosen = [game_id for game_id in chosen if game_id in theirs]
    if min_ticks is not None and min_ticks > 0:
        counting = relations.select("ticks", "game_id, count(*)") + " GROUP BY game_id"
        n_ticks = dict(relations.asked(lambda: relations.relation(counting).fetchall()))
        chosen = [game_id for game_id in chosen if n_ticks.get(game_id, 0) >= min_ticks]
    chosen.sort(key=lambda game_id: ((start := started_at.get(game_id)) is None, start or 0))  # stable: then by id
    if shuffle is not None:
        chosen = _shuffled(chosen, rows, random.Random(shuffle), is_sample=limit is not None)
    return chosen[:limit]


def _shuffled(games: list[str], rows: Iterable[GameRows], generator: random.Random, *, is_sample: bool) -> list[str]:
    """All orders of the games equally likely where they are few, or only some are taken; else days shuffled first.

    Then games are mixed within some days at a time, so that no file is read twice.
    """
    date_of: dict[str, str] = {}
    rows_of: dict[str, int] = {}
    for some in rows:
        date_of[some.game_id] = min(some.file.date, date_of.get(some.game_id, some.file.date))
        rows_of[some.game_id] = rows_of.get(some.game_id, 0) + some.n_rows
    if is_sample or sum(rows_of[game_id] for game_id in games) <= _MIXED_ROWS:
        generator.shuffle(games)
        return games
    of_date: dict[str, list[str]] = {}
    for game_id in games:
        of_date.setdefault(date_of[game_id], []).append(game_id)
    dates = sorted(of_date)
    generator.shuffle(dates)
    found: list[str] = []
    mixed: list[str] = []
    n_rows = 0
    for date in dates:
        mixed += of_date[date]
        n_rows += sum(rows_of[game_id] for game_id in of_date[date])
        if n_rows >= _MIXED_ROWS or date == dates[-1]:
            generator.shuffle(mixed)
            found += mixed
            mixed, n_rows = [], 0
    return found
