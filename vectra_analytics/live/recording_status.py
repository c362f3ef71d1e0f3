"""What a service that records says of itself: a file of its session in the store's manifests, for whoever watches."""

import contextlib
import hashlib
import os
import re
import time
from typing import Any

import orjson

from vectra_analytics.paths import EventStorePaths
from vectra_analytics.whole_files import write_whole


class RecordingStatus:
    """The file ``manifests/recording/<session>.json``; replaced as a whole, so that none reads half of it."""

    def __init__(self, paths: EventStorePaths, session_id: str) -> None:
        self._folder = paths.manifests_dir / "recording"
        name = re.sub(r"[^A-Za-z0-9._-]", "_", session_id)[:80]
        if name != session_id:  # two sessions never share a file
            name += "-" + hashlib.sha256(session_id.encode()).hexdigest()[:8]
        self.file = self._folder / f"{name}.json"

    def write(self, stats: dict[str, Any]) -> None:
        """Say how it stands; that this fails (a full disk) must not stop the recording."""
        said = {**stats, "pid": os.getpid(), "updated_at": time.time()}
        with contextlib.suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            write_whole(self.file, orjson.dumps(said, option=orjson.OPT_INDENT_2) + b"\n")

    def clear_others(self) -> None:
        """Remove the files of sessions that have ended, however they did."""
        with contextlib.suppress(OSError):
            for file in self._folder.glob("*.json"):
                if file != self.file and _has_ended(file.read_bytes()):
                    file.unlink(missing_ok=True)


def _has_ended(said: bytes) -> bool:
    try:
        status = orjson.loads(said)
        os.kill(int(status["pid"]), 0)
    except ProcessLookupError:
        return True
    except (ValueError, KeyError, TypeError, OSError, OverflowError):
        return False
    return False
