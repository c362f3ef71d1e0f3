"""Timestamps as recorded, most of them naive local times, to UTC."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import polars as pl

from vectra_analytics.errors import VectraError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMAT = "%Y-%m-%dT%H:%M:%S%.f"


class LocalClock:
    """Reads the timestamps of one file after another; within a file, times never go back.

    Parameters
    ----------
    timezone
        The zone of times that name none, such as ``America/New_York``; None where there are no such times.

    Notes
    -----
    In autumn an hour of local time comes twice. A time in it is taken for the first one, unless the file has
    been later than that already, or begins in that hour and goes on without an hour's pause to times behind it.
    """

    def __init__(self, timezone: str | None) -> None:
        self.timezone = timezone
        self._last: int | None = None  # the latest time of the current file, microseconds
        if timezone is not None:
            try:
                pl.Series([datetime(2025, 1, 1)]).dt.replace_time_zone(timezone)
            except pl.exceptions.PolarsError as error:
                raise VectraError(
                    f"unknown time zone {timezone!r}; give an IANA name such as America/New_York or UTC"
                ) from error

    def read(self, texts: Sequence[str], files: Sequence[int]) -> list[int | str]:
        """Microseconds since 1970 (UTC) for each text, in order; where that cannot be, the reason.

        Parameters
        ----------
        texts
            Timestamps, those of a file in their order.
        files
            Where in ``texts`` a new file begins; texts before the first go on with the file of the last call.
        """
        local = pl.Series(texts, dtype=pl.String).str.to_datetime(_FORMAT, time_unit="us", strict=False)
        early: Sequence[int | str | None]
        late: Sequence[int | str | None]
        if local.null_count():
            early, late = zip(*map(self._candidates, texts), strict=True)
        elif self.timezone is None:
            return [NAIVE] * len(texts)
        else:
            early = _in_utc(local, self.timezone, "earliest")
            late = _in_utc(local, self.timezone, "latest")
        settled: list[int | str] = []
        for start, end in pairwise([0, *(at for at in files if at), len(texts)]):
            if start in files:
                self._last = None
            settled += self._settle(early[start:end], late[start:end])
        return settled

    def _candidates(self, text: str) -> tuple[int | str | None, int | str | None]:
        try:
            if len(text) < len("2025-10-29T18:36"):
                raise ValueError
            time = datetime.fromisoformat(text)
        except ValueError:
            reason = f"timestamp {text[:40]!r} is no ISO 8601 time"
            return reason, reason
        if time.tzinfo is not None:
            try:
                instant = (time - _EPOCH) // (datetime.resolution)
            except OverflowError:
                return f"timestamp {text[:40]!r} is out of range", f"timestamp {text[:40]!r} is out of range"
            return instant, instant
        if self.timezone is None:
            return NAIVE, NAIVE
        local = pl.Series([time], dtype=pl.Datetime("us"))
        return _in_utc(local, self.timezone, "earliest")[0], _in_utc(local, self.timezone, "latest")[0]

    def _settle(self, early: Sequence[int | str | None], late: Sequence[int | str | None]) -> list[int | str]:
        """Choose between the two readings of each time of a file by what stands around it."""
        if early == late and all(type(time) is int for time in early):
            self._last = max(early, default=self._last)  # type: ignore[type-var, assignment]  # all are int
            return list(early)  # type: ignore[arg-type]  # likewise
        begins_in_second = self._last is None and _goes_on_behind(early, late)
        settled: list[int | str] = []
        for first, second in zip(early, late, strict=True):
            if first is None or second is None:
                settled.append(f"timestamp does not exist in {self.timezone}: clocks were put forward over it")
                continue
            if isinstance(first, str) or isinstance(second, str):
                settled.append(first)
                continue
            if first == second:
                begins_in_second = False
            time = second if begins_in_second or (self._last is not None and first < self._last) else first
            self._last = time if self._last is None else max(self._last, time)
            settled.append(time)
        return settled


def is_naive(text: str) -> bool:
    """Whether the text is a time that names no zone."""
    try:
        return datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False


NAIVE = "timestamp names no time zone; give it with --timezone (timezone= in Python)"


def _goes_on_behind(early: Sequence[int | str | None], late: Sequence[int | str | None]) -> bool:
    """Whether the times begin in the doubled hour, never step back there, and go on to behind it."""
    before: int | None = None
    for first, second in zip(early, late, strict=True):
        if not isinstance(first, int) or not isinstance(second, int):
            continue
        if first == second:
            return before is not None
        if before is not None and first < before:
            return False
        before = first
    return False


def _in_utc(local: pl.Series, timezone: str, ambiguous: str) -> list[int | None]:
    zoned = local.dt.replace_time_zone(timezone, ambiguous=ambiguous, non_existent="null")  # type: ignore[arg-type]
    return zoned.dt.timestamp("us").to_list()
