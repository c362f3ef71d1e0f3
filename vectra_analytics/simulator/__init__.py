"""Games without the site: the published price process, and recordings of it made to order.

Read the rooms in this order: seedrandom, process, feed, defects, recordings, samples, folder. All of it is standard
library, and the same arguments give the same bytes on every machine.

>>> from datetime import datetime, timezone
>>> start = datetime(2025, 11, 2, 18, 30, tzinfo=timezone.utc)
>>> game = play(*invent_ids(1, start))
>>> lines = recording_lines(game, start, defects=[Defect.BLANK_LINE])
>>> lines[0][:88]
'{"type": "game_start", "timestamp": "2025-11-02T13:30:00.000000", "game_id": "20251102-2'
>>> sum(not line.strip() for line in lines)
1
"""

from vectra_analytics.simulator.defects import Defect
from vectra_analytics.simulator.process import (
    RUG_PROBABILITY,
    SimulatedGame,
    Version,
    first_deviation,
    invent_ids,
    play,
    process_prices,
    server_seed_hash,
)
from vectra_analytics.simulator.recordings import (
    Recording,
    Status,
    record,
    record_session,
    recording_lines,
    write_recording,
)
from vectra_analytics.simulator.seedrandom import SeedRandom

__all__ = [
    "RUG_PROBABILITY",
    "Defect",
    "Recording",
    "SeedRandom",
    "SimulatedGame",
    "Status",
    "Version",
    "first_deviation",
    "invent_ids",
    "play",
    "process_prices",
    "record",
    "record_session",
    "recording_lines",
    "server_seed_hash",
    "write_recording",
]
