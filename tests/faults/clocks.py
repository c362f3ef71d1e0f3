"""Clocks that jump: back by an hour, over the end of summer time, ahead and back again, under a running service."""

import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.faults import stores
from tests.faults.children import Memory, call
from tests.faults.results import Counts, fault
from tests.faults.stores import NEVER
from vectra_analytics import (
    EventBus,
    Events,
    EventStorePaths,
    EventStoreQuery,
    EventStoreService,
    ParquetWriter,
    compact,
    vacuum,
)

_LIBRARY = "/usr/$LIB/faketime/libfaketimeMT.so.1"  # the loader knows which $LIB is this processor's
_ROOT = Path(__file__).resolve().parents[2]
_SUMMER_TIME_ENDS = datetime(2025, 11, 2, 6, tzinfo=UTC)  # in New York
_N_EVENTS = 20
_JUMPS = (0, -3600, 7200, -86_400, 86_400 + 1800)  # seconds, one after the other


def _run(what: str, *arguments: object) -> str:
    """Run a function of this module in a process whose clock can be set."""
    code = f"from tests.faults import clocks; import sys; clocks.{what}(*sys.argv[1:])"
    environment = {
        **os.environ,
        "LD_PRELOAD": _LIBRARY,
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_TIMESTAMP_FILE": str(arguments[0]),
        "TZ": "America/New_York",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class _Clock:
    """The clock of a process that was begun by :func:`_run`."""

    def __init__(self, file: str) -> None:
        self._file = Path(file)
        self._offset = 0.0

    def set(self, time_wanted: datetime) -> None:
        """Let it go on from there."""
        self._offset += (time_wanted - datetime.now(UTC)).total_seconds()
        self.jump(0)

    def jump(self, seconds: float) -> None:
        """Ahead, or back."""
        self._offset += seconds
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text(f"{self._offset:+.3f}\n")
        unfinished.rename(self._file)


def _begun(clock_file: Path, what: str, *arguments: object) -> str:
    clock_file.write_text("+0\n")
    return _run(what, clock_file, *arguments)


@fault(
    "The clock jumps back and ahead around the end of summer time, under a service that records",
    "every event stored once, in the order in which it was published, under the UTC date of its time; "
    "commits go on by themselves; versions ascend",
    quick=1,
    full=5,
)
def _jumps(seed: int) -> Counts:
    with Memory() as folder:
        data_dir, clock_file = Path(folder, "store"), Path(folder, "clock")
        said = _begun(clock_file, "record", data_dir, seed)
        call(_check_order, data_dir, int(said))
        return {"events": int(said), "jumps": len(_JUMPS)}


def record(clock_file: str, data_dir: str, seed: str) -> None:
    """Publish, jump, publish; prints how many events were published."""
    clock, bus, n_published = _Clock(clock_file), EventBus(), 0
    clock.set(_SUMMER_TIME_ENDS - timedelta(seconds=2 + int(seed)))
    paths = EventStorePaths(data_dir)
    with EventStoreService(bus, paths, session_id="clock", buffer_size=7, flush_interval=0.2) as service:
        service.resume()
        for seconds in _JUMPS:
            clock.jump(seconds)
            for _ in range(_N_EVENTS):
                bus.publish(Events.BUTTON_PRESS, {"button_id": f"{n_published}", "button_category": "test"})
                n_published += 1
            _wait_for(paths, n_published)
    print(n_published)


def _wait_for(paths: EventStorePaths, n_events: int) -> None:
    deadline = time.monotonic() + 60
    while EventStoreQuery(paths).count_events("button_event") < n_events:
        assert time.monotonic() < deadline, "no commit by itself"
        threading.Event().wait(0.05)  # libfaketime cannot do time.sleep


def _check_order(data_dir: Path, n_published: int) -> None:
    query = EventStoreQuery(EventStorePaths(data_dir))
    rows = query.query("SELECT button_id, ts, date::VARCHAR, seq FROM button_event ORDER BY seq").rows()
    assert [row[0] for row in rows] == [str(number) for number in range(n_published)], "not in order, or not all"
    assert all(ts.astimezone(UTC).strftime("%Y-%m-%d") == date for _, ts, date, _ in rows), "under another date"
    times = [ts for _, ts, _, _ in rows]
    assert any(later < earlier for earlier, later in pairwise(times)), "the clock did not jump"
    stores.assert_sound(data_dir)
    versions: list[Any] = [version for (version,) in stores.asked(data_dir, "SELECT version FROM versions")]
    assert versions == sorted(set(versions))


@fault(
    "The clock is a day behind when maintenance runs that was begun with the right one",
    "no row changes; nothing is deleted before its grace period; once the clock is right again, vacuum deletes",
    quick=1,
    full=3,
)
def _maintenance(seed: int) -> Counts:
    with Memory() as folder:
        data_dir, clock_file = Path(folder, "store"), Path(folder, "clock")
        said = _begun(clock_file, "maintain", data_dir)
        return {"files deleted": int(said)}


def maintain(clock_file: str, data_dir: str) -> None:
    """Compact, and vacuum with the clock before, within and after the grace period; prints what was deleted."""
    clock, folder = _Clock(clock_file), Path(data_dir)
    stores.write_commits(folder, "s", 3)
    rows = stores.rows_of(stores.events("s", 3))
    assert compact(folder).n_partitions == 4
    for hours, n_deleted in ((-24, 0), (0, 0), (23, 0), (26, 12)):
        clock.set(datetime.now(UTC) + timedelta(hours=hours))
        with ParquetWriter(folder, buffer_size=10_000, flush_interval=NEVER) as writer:
            for one in stores.events("s", 3):
                writer.write(one)  # again: nothing new
        assert vacuum(folder).files_deleted == n_deleted, f"{hours} hours later"
        clock.set(datetime.now(UTC) - timedelta(hours=hours))
        stores.assert_same(stores.stored(folder), rows, f"{hours} hours later")
    stores.assert_same(stores.globbed(folder), rows, "by another tool")
    stores.assert_sound(folder)
    print(n_deleted)
