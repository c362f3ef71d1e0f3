"""What a forked child cannot have of its parent: Polars' threads. It is told so, instead of waiting for ever."""

import os
import threading

import polars as pl

from vectra_analytics.errors import VectraError

_SECONDS = 2.0  # for what takes a millisecond
_attempts: list[threading.Thread | None] = []  # the last one's; None in a forked child that has made none yet

os.register_at_fork(after_in_child=lambda: _attempts.append(None))


def check_polars() -> None:
    """Raise VectraError in a child that was forked after its parent had used Polars, where frames cannot be made."""
    if not _attempts:
        return
    attempt = _attempts[-1]
    if attempt is None:
        attempt = threading.Thread(target=lambda: pl.DataFrame({"a": [2, 1], "b": [1, 2]}).sort("a", "b"), daemon=True)
        attempt.start()
        attempt.join(_SECONDS)
        _attempts.append(attempt)
    if attempt.is_alive():
        raise VectraError(
            "this process was forked from one that had used Polars, whose threads a fork does not copy; start workers "
            "with multiprocessing's 'spawn' or 'forkserver', or ask query_arrow(), which needs no Polars"
        )
    _attempts.clear()
