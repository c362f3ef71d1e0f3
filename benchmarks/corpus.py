"""Data to measure on: games whose prices are a random walk, made fast; not the simulator's."""

import json
import random
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vectra_analytics import EventEnvelope, EventSource, EventStorePaths, ParquetWriter, compact
from vectra_analytics.catalog import Catalog
from vectra_analytics.commit import commit
from vectra_analytics.envelope import events_to_table

TICKS = 250
START = datetime(2025, 11, 3, tzinfo=UTC)


def prices(number: int) -> list[float]:
    """One game's prices, the last one a rug."""
    generator = random.Random(number)
    found, price = [], 1.0
    for _ in range(TICKS - 1):
        found.append(price)
        price *= 1 + generator.uniform(-0.03, 0.035)
    return [*found, 0.01]


def game_id(number: int) -> str:
    """As the site makes them: a UTC date and 16 hex digits."""
    return f"{_start(number):%Y%m%d}-{number:016x}"


def _start(number: int) -> datetime:
    return START + timedelta(seconds=86.4 * number)  # a thousand games a day


def events(number: int, session_id: str) -> Iterator[EventEnvelope]:
    """One game as a live recorder would hand it to the writer."""
    start, game = _start(number), game_id(number)
    late = random.Random(f"late {number}")  # without it times would compress to nothing
    for tick, price in enumerate(prices(number)):
        yield EventEnvelope.from_game_tick(
            tick,
            price,
            {"active": True, "rugged": tick == TICKS - 1, "tick": tick, "price": price},
            EventSource.PUBLIC_WS,
            session_id,
            number * TICKS + tick + 1,
            game,
            ts=start + timedelta(milliseconds=250 * tick, microseconds=late.randrange(40_000)),
        )


def recordings(folder: Path, n_games: int) -> Path:
    """A folder of replay recordings, a game a file."""
    into = folder / "recordings"
    into.mkdir()
    for number in range(n_games):
        lines = []
        for tick, price in enumerate(prices(number)):
            time = _start(number) + timedelta(milliseconds=250 * tick, microseconds=1)
            lines.append(
                json.dumps(
                    {
                        "type": "tick",
                        "timestamp": f"{time:%Y-%m-%dT%H:%M:%S.%f}",
                        "game_id": game_id(number),
                        "tick": tick,
                        "price": price,
                        "phase": "ACTIVE_GAMEPLAY",
                        "active": True,
                        "rugged": tick == TICKS - 1,
                        "cooldown_timer": 0,
                        "trade_count": tick * 3,
                    }
                )
            )
        (into / f"game_{number:06}.jsonl").write_text("\n".join(lines) + "\n")
    return into


class Corpus:
    """The same games in three forms, each made when it is first asked for.

    Parameters
    ----------
    folder
        Where they are made; removing it is the caller's.
    n_games
        Games of 250 ticks, a thousand a day.
    """

    def __init__(self, folder: Path, n_games: int) -> None:
        self.folder = folder
        self.n_games = n_games
        self.n_ticks = n_games * TICKS

    def sample(self, n_wanted: int) -> list[str]:
        """Random games, the same ones in every run."""
        return [game_id(number) for number in random.Random(1).sample(range(self.n_games), min(n_wanted, self.n_games))]

    @cached_property
    def as_recorded(self) -> EventStorePaths:
        """Ours, as a recorder leaves it: ten games a file."""
        return write_games(self.folder / "as-recorded", self.n_games)

    @cached_property
    def compacted(self) -> EventStorePaths:
        """Ours after compaction."""
        paths = EventStorePaths(self.folder / "compacted")
        shutil.copytree(self.as_recorded.data_dir, paths.data_dir)
        compact(paths)
        return paths

    def days(self, n_days: int, games_a_day: int) -> EventStorePaths:
        """A large store, made when it is first asked for; see :func:`write_days`."""
        folder = self.folder / f"{n_days}-days-of-{games_a_day}"
        return EventStorePaths(folder) if folder.exists() else write_days(folder, n_days, games_a_day)

    def forms(self) -> dict[str, EventStorePaths]:
        """Both of ours by name."""
        return {"compacted": self.compacted, "as recorded": self.as_recorded}

    @cached_property
    def reference(self) -> Path:
        """The same events as the store that this package replaces writes them: 100 a file, nearly all of it text."""
        into = self.folder / "reference" / "doc_type=game_tick"
        for file in live_files(self.as_recorded):
            table = pq.read_table(file, partitioning=None)
            day = into / file.parent.name
            day.mkdir(parents=True, exist_ok=True)
            strings = _as_text(table)
            for first in range(0, table.num_rows, 100):
                # Time, then eight random digits: as there, but from the rows' place and not from the clock.
                name = f"{file.stem[:6]}_{first:08}.parquet"
                pq.write_table(strings.slice(first, 100), day / name)
        return into


def write_games(folder: Path, n_games: int) -> EventStorePaths:
    """A store of ours with these games, ten in each commit, and so in each file."""
    paths = EventStorePaths(folder)
    with ParquetWriter(paths, buffer_size=100 * TICKS, flush_interval=3600) as writer:
        for number in range(n_games):
            for event in events(number, "recorder"):
                writer.write(event)
            if number % 10 == 9:
                writer.flush()
    return paths


def _as_text(table: pa.Table) -> pa.Table:
    """The twenty columns of the other store, in its order."""
    text = pa.string()
    no_text, no_number = pa.nulls(table.num_rows, text), pa.nulls(table.num_rows, pa.int64())
    kept = {name: table[name].cast(text) for name in ("source", "session_id", "direction", "raw_json", "game_id")}
    columns = {
        "ts": pa.array([ts.replace(tzinfo=None).isoformat() for ts in table["ts"].to_pylist()], text),
        "source": kept["source"],
        "doc_type": pa.array(["game_tick"] * table.num_rows, text),
        "session_id": kept["session_id"],
        "seq": table["seq"],
        "direction": kept["direction"],
        "raw_json": kept["raw_json"],
        "game_id": kept["game_id"],
        "player_id": no_text,
        "username": no_text,
        "event_name": no_text,
        "price": pa.array(list(map(str, table["price"].to_pylist())), text),
        "tick": table["tick"],
        "action_type": no_text,
        "cash": no_text,
        "position_qty": no_text,
        "button_id": no_text,
        "button_category": no_text,
        "sequence_id": no_text,
        "sequence_position": no_number,
    }
    return pa.table(columns)


def live_files(paths: EventStorePaths, doc_type: str = "game_tick") -> list[Path]:
    """The event files of a store's newest version."""
    with Catalog(paths) as catalog:
        return [file.path for file in catalog.live_files(catalog.version()) if file.doc_type == doc_type]


def write_days(folder: Path, n_days: int, games_a_day: int) -> EventStorePaths:
    """A large store, fast: the first day's games again and again, under other names, a commit a day.

    Only the times, sessions and names differ from day to day, so they alone are made anew, in columns.
    """
    paths = EventStorePaths(folder)
    first = events_to_table([event for number in range(games_a_day) for event in events(number, "day-0")])
    with Catalog(paths, create=True) as catalog:
        for day in range(n_days):
            names = [game_id(1000 * day + number) for number in range(games_a_day) for _ in range(TICKS)]
            changed = {
                "ts": pc.add(first["ts"], pa.scalar(timedelta(days=day), pa.duration("us"))),
                "session_id": pa.array([f"day-{day}"] * first.num_rows, pa.string()),
                "game_id": pa.array(names, pa.string()),
            }
            batch = first
            for name, column in changed.items():
                place = batch.schema.get_field_index(name)
                batch = batch.set_column(place, batch.schema.field(name), column)
            commit(catalog, batch)
    compact(paths)
    return paths
