"""Timestamps as recorded, most of them naive local times, to UTC."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from vectra_analytics.errors import VectraError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // datetime.resolution
_LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // datetime.resolution
_HOUR = 3_600_000_000  # microseconds
_PLAIN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(\.\d+)?$"
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
        self._is_in_second = False  # it began in the second of two equal hours and has not left it
        if timezone is not None:
            try:
                if not timezone:
                    raise pl.exceptions.ComputeError("a zone has a name")
                pl.Series([datetime(2025, 1, 1)]).dt.replace_time_zone(timezone)
                ZoneInfo(timezone)
            except (pl.exceptions.PolarsError, ZoneInfoNotFoundError) as error:
                raise VectraError(
                    f"unknown time zone {timezone!r}; give an IANA name such as America/New_York or UTC"
                ) from error

    def read(self, texts: Sequence[str], files: Sequence[int], late: Sequence[int] = ()) -> list[int | str]:
        """Microseconds since 1970 (UTC) for each text, in order; where that cannot be, the reason.

        Parameters
        ----------
        texts
            Timestamps, those of a file in their order.
        files
            Where in ``texts`` a new file begins; texts before the first go on with the file of the last call.
        late
            Which of these files begin in the second of two equal hours, as :meth:`begins_in_second_hour` tells.
        """
        early, latest = self._readings(texts)
        settled: list[int | str] = []
        for start, end in pairwise([0, *(at for at in files if at), len(texts)]):
            if start in files:
                self._last, self._is_in_second = None, start in late
            settled += self._settle(early[start:end], latest[start:end])
        return settled

    def is_ambiguous(self, text: str) -> bool:
        """Whether a text names a local time that came twice."""
        reading = _read_time(text)
        if self.timezone is None or not isinstance(reading, datetime):
            return False
        zone = ZoneInfo(self.timezone)
        return reading.replace(tzinfo=zone).utcoffset() != reading.replace(tzinfo=zone, fold=1).utcoffset()

    def begins_in_second_hour(self, texts: Iterable[str]) -> bool:
        """Whether a file with these times, which begin in a doubled hour, begins in the second of the two."""
        seen = list(_up_to_first_unwanted(self.is_ambiguous, texts))
        return _goes_on_behind(*self._readings(seen))

    def _readings(self, texts: Sequence[str]) -> tuple[Sequence[int | str | None], Sequence[int | str | None]]:
        """Each text as the earlier and as the later time that it may mean."""
        times = pl.Series(texts, dtype=pl.String)
        is_plain = times.str.contains(_PLAIN)
        local = times.str.to_datetime(_FORMAT, time_unit="us", strict=False).set(~is_plain, None)
        early: list[int | str | None]
        late: list[int | str | None]
        if self.timezone is None:
            early, late = [NAIVE] * len(texts), [NAIVE] * len(texts)
        else:
            early = list(_in_utc(local, self.timezone, "earliest"))
            late = list(_in_utc(local, self.timezone, "latest"))
        odd = local.is_null().arg_true().to_list()  # not as plain as that: Python reads them, Polars finds their zone
        naive: list[tuple[int, datetime]] = []
        for row in odd:
            reading = _read_time(texts[row])
            if isinstance(reading, datetime):
                naive.append((row, reading))
            else:
                early[row] = late[row] = reading
        if naive and self.timezone is not None:
            times_of_odd = pl.Series([time for _, time in naive], dtype=pl.Datetime("us"))
            firsts = _in_utc(times_of_odd, self.timezone, "earliest")
            seconds = _in_utc(times_of_odd, self.timezone, "latest")
            for (row, _), first, second in zip(naive, firsts, seconds, strict=True):
                early[row], late[row] = first, second
        return early, late

    def _settle(self, early: Sequence[int | str | None], late: Sequence[int | str | None]) -> list[int | str]:
        """Choose between the two readings of each time of a file by what stands around it."""
        if early == late and set(map(type, early)) == {int} and _EARLIEST <= min(early) <= max(early) <= _LATEST:  # type: ignore[type-var, operator]  # all are int
            self._last = max(early if self._last is None else [*early, self._last])  # type: ignore[type-var, assignment]  # likewise
            self._is_in_second = False
            return list(early)  # type: ignore[arg-type]  # likewise
        if self._last is None:
            self._is_in_second |= _goes_on_behind(early, late)
        settled: list[int | str] = []
        for first, second in zip(early, late, strict=True):
            if first is None or second is None:
                settled.append(f"timestamp does not exist in {self.timezone}: clocks were put forward over it")
                continue
            if isinstance(first, str) or isinstance(second, str):
                settled.append(first)
                continue
            if not _EARLIEST <= first <= second <= _LATEST:
                settled.append("timestamp is out of the range of the years 1 to 9999")
                continue
            if first == second:
                self._is_in_second = False
            is_second = self._is_in_second or (self._last is not None and first < self._last)
            time = second if is_second else first
            self._last = time if self._last is None else max(self._last, time)
            settled.append(time)
        return settled


def _up_to_first_unwanted(is_wanted: Callable[[str], bool], texts: Iterable[str]) -> Iterator[str]:
    """The texts up to and including the first that is not wanted."""
    for text in texts:
        yield text
        if not is_wanted(text):
            return


def _read_time(text: str) -> datetime | int | str:
    """A naive time; or that of an aware one in microseconds since 1970; or the reason why it is none."""
    try:
        if len(text) < len("2025-10-29T18:36"):
            raise ValueError
        time = datetime.fromisoformat(text)
    except ValueError:
        return f"timestamp {text[:40]!r} is no ISO 8601 time"
    return time if time.tzinfo is None else (time - _EPOCH) // datetime.resolution


def is_time(text: str) -> bool:
    """Whether the text is a time, of whatever zone or none."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_naive(text: str) -> bool:
    """Whether the text is a time that names no zone."""
    return is_time(text) and datetime.fromisoformat(text).tzinfo is None


NAIVE = "timestamp names no time zone; give it with --timezone (timezone= in Python)"


def _goes_on_behind(early: Sequence[int | str | None], late: Sequence[int | str | None]) -> bool:
    """Whether times begin in the doubled hour, never step back there, and go on behind it without an hour's pause."""
    before: tuple[int, int] | None = None
    for first, second in zip(early, late, strict=True):
        if not isinstance(first, int) or not isinstance(second, int):
            continue
        if first == second:
            return before is not None and first - before[1] < _HOUR
        if before is not None and first < before[0]:
            return False
        before = first, second
    return False


def _in_utc(local: pl.Series, timezone: str, ambiguous: str) -> list[int | None]:
    zoned = local.dt.replace_time_zone(timezone, ambiguous=ambiguous, non_existent="null")  # type: ignore[arg-type]
    return zoned.dt.timestamp("us").to_list()
