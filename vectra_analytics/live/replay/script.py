"""What is played: the events of recordings as the feed sent them, in order, with their times."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vectra_analytics.envelope import Direction, DocType
from vectra_analytics.errors import VectraError
from vectra_analytics.importers.gathering import Recording
from vectra_analytics.importers.lines import Source
from vectra_analytics.importers.recordings import read_rows, recordings_of_lines
from vectra_analytics.live.replay.updates import UPDATE, TickUpdates

_OF_THE_CONNECTION = frozenset({"connect", "connect_error", "disconnect"})  # Socket.IO's own: none can be sent
_LONGEST_PAUSE_S = 5.0  # of recorded time
_GAME_ID = re.compile(r"(?<![0-9A-Za-z])(\d{8}-[0-9a-f]{8})[0-9a-f]{8}(?![0-9A-Za-z])")


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """An event of the feed."""

    ts: int  # us since 1970, by the recording's clock
    name: str
    data: Any


class Script:
    """The recordings that files, folders and patterns mean, one after the other in the order of their first times.

    Raises
    ------
    VectraError
        A source cannot be played, or there is no event in any.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        recordings = recordings_of_lines(sources)
        firsts = {recording.path: _first_time(recording) for recording in recordings}
        self._recordings = sorted(recordings, key=lambda recording: firsts[recording.path])
        self.passed_over: list[tuple[Path, int, str]] = []  # file, line, reason
        self.n_events = sum(1 for _ in self._read(self.passed_over))
        if not self.n_events:
            named = recordings[0].path if len(recordings) == 1 else f"these {len(recordings)} recordings"
            raise VectraError(f"no event of the feed is in {named}; name recordings of games, or of the feed itself")

    @property
    def n_files(self) -> int:
        """How many recordings there are."""
        return len(self._recordings)

    def events(self, repetition: int = 0) -> Iterator[FeedEvent]:
        """All events once; in a repetition, from 1, every game has an id of its own.

        Notes
        -----
        An id such as ``20251101-9f8a38b2b8194b0a`` ends with the number of the repetition, in hex, in place of its
        last eight digits, wherever in an event it stands. Other ids stay as they are.
        """
        return self._read([], repetition)

    def at_pace(self, speed: float, repeat: int = 1) -> Iterator[tuple[float, FeedEvent]]:
        """All events as many times as asked for, each with the seconds behind the first one at which it is due.

        The times between events are divided by the speed. A pause of more than 5 s counts as 5 s, a step back as none.
        """
        due, before = 0.0, None
        for repetition in range(repeat):
            for event in self.events(repetition):
                if before is not None:
                    due += min(max(event.ts - before, 0) / 1e6, _LONGEST_PAUSE_S) / speed
                before = event.ts
                yield due, event

    def _read(self, passed_over: list[tuple[Path, int, str]], repetition: int = 0) -> Iterator[FeedEvent]:
        ticks = TickUpdates()
        ts = 0
        for recording in self._recordings:
            for line, row in _rows(recording, passed_over):
                ts = row["ts"]
                if row["doc_type"] != DocType.WS_EVENT:
                    game_id = row["game_id"] and _renamed(row["game_id"], repetition)
                    yield from (FeedEvent(ts, UPDATE, update) for update in ticks.of({**row, "game_id": game_id}))
                elif row["event_name"] in _OF_THE_CONNECTION:
                    passed_over.append((recording.path, line, f"{row['event_name']} is Socket.IO's own event"))
                elif row["direction"] == Direction.RECEIVED:
                    data = json.loads(_renamed(row["raw_json"], repetition))["data"]
                    yield FeedEvent(ts, row["event_name"], data)
        yield from (FeedEvent(ts, UPDATE, update) for update in ticks.end())


def _rows(recording: Recording, passed_over: list[tuple[Path, int, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    return read_rows(recording, lambda line, reason: passed_over.append((recording.path, line, reason)))


def _first_time(recording: Recording) -> int:
    return next((row["ts"] for _, row in _rows(recording, [])), 0)


def _renamed(text: str, repetition: int) -> str:
    return _GAME_ID.sub(rf"\g<1>{repetition:08x}", text) if repetition else text
