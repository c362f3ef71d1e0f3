"""The main job, once, on sample recordings: from files to features to a file for training."""

from collections.abc import Callable, Iterator
from pathlib import Path

from vectra_analytics.importers import ImportReport, import_recordings
from vectra_analytics.notebooks import SAMPLES_TIMEZONE
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.query import EventStoreQuery


def run(samples: Path, out: Path, describe: Callable[[ImportReport], str]) -> Iterator[str]:
    """Import, compute, export; yields what to tell the person who watches."""
    store, exports = out / "store", out / "exports"
    yield f"1. Importing the recordings in {samples}"
    report = import_recordings(samples, EventStorePaths(store), timezone=SAMPLES_TIMEZONE)
    yield describe(report)

    query = EventStoreQuery(EventStorePaths(store))
    games = query.games()
    n_complete = int(games["is_complete"].sum())
    yield ""
    yield f"2. {games.height} games, {n_complete} of them complete; {games['n_ticks'].sum():,} ticks"
    highest = games.row(games["peak_price"].arg_max() or 0, named=True)
    yield (
        f"   the highest peak: x{highest['peak_price']:.2f} at tick {highest['peak_tick']} of {highest['game_id']}, "
        f"which rugged at tick {highest['rug_tick']}"
    )

    exports.mkdir(parents=True, exist_ok=True)
    yield ""
    yield "3. Features of every tick of every game (volatility, drawdown, running maximum, ...), exported:"
    for name in ("features.parquet", "features.csv"):
        done = query.export(exports / name, overwrite=True)
        yield f"   {done.path}  ({done.n_rows:,} rows)"
    yield "   beside each lies <name>.meta.json: units, meanings, versions, hash"

    yield ""
    yield "What to type next:"
    command = f"{_vectra()} --data-dir {store}"
    yield f"   {command} games"
    yield f"   {command} features {highest['game_id']}"
    yield f'   {command} sql "SELECT count(*) FROM games WHERE peak_price > 2"'
    yield f"   {_vectra()} import PATH --timezone America/New_York      your own recordings, into ~/rugs_data"


def _vectra() -> str:
    """How to call the command line from here."""
    local = Path(".venv/bin/vectra")
    return str(local) if local.exists() else "vectra"
