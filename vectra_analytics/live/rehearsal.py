"""A rehearsal of live recording: a replayed feed and a recorder of it, each a process of its own on this machine."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from vectra_analytics.errors import VectraError
from vectra_analytics.paths import EventStorePaths

_CONNECTED_WITHIN = 60  # seconds, on a busy machine


class Rehearsal:
    """Replays recordings and records them into a new store in a temporary folder.

    Parameters
    ----------
    recordings
        What :command:`vectra replay` plays: files or folders.
    speed
        How many times as fast as they were recorded.
    flush_interval
        Seconds until an event is durable.

    Attributes
    ----------
    paths
        The store that fills.

    Raises
    ------
    VectraError
        The recordings cannot be played; the message is the player's.
    """

    def __init__(
        self, recordings: Iterable[str | os.PathLike[str]], speed: float = 10, flush_interval: float = 0.5
    ) -> None:
        self.paths = EventStorePaths(tempfile.mkdtemp(prefix="vectra-rehearsal-"))
        self._log = self.paths.data_dir / "rehearsal.log"
        self._feed = self._vectra("replay", *(os.fspath(path) for path in recordings), "--speed", str(speed))
        assert self._feed.stdout is not None
        address = re.search(r"http://\S+", self._feed.stdout.readline())
        if address is None:
            self._feed.wait(_CONNECTED_WITHIN)
            raise VectraError(self._log.read_text().strip() or "the replayed feed did not start")
        self._recorder = self._vectra(
            *("--data-dir", str(self.paths.data_dir), "record", "--url", address[0]),
            *("--flush-interval", str(flush_interval)),
        )

    def _vectra(self, *arguments: str) -> "subprocess.Popen[str]":
        with self._log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "vectra_analytics", *arguments], stdout=subprocess.PIPE, stderr=log, text=True
            )

    def wait(self) -> None:
        """Until all is played and stored; both processes have ended then."""
        self._feed.wait()
        self.stop()

    def stop(self) -> None:
        """End both processes; what was received is stored."""
        for process in (self._recorder, self._feed):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            process.communicate()

    @property
    def log(self) -> Path:
        """What the two said."""
        return self._log
