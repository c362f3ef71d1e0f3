"""LocalClock: naive local times become the instants that were meant, or a reason why they cannot."""

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectra_analytics import VectraError
from vectra_analytics.importers.local_time import LocalClock, is_naive

NEW_YORK = "America/New_York"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AWARE = "2025-11-01T00:00:00+00:00"
"""Read one by one, in Python; a list of naive times alone is read as a whole, in Polars."""


def read(texts: Sequence[str], timezone: str | None = NEW_YORK, files: Sequence[int] = (0,)) -> list[int | str]:
    """What a new clock says of these texts."""
    return LocalClock(timezone).read(texts, files)


def us(text: str) -> int:
    """An aware time as microseconds since 1970."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def utc(times: Sequence[int | str]) -> list[str]:
    """Instants as hour and minute in UTC; reasons as they are."""
    return [f"{EPOCH + timedelta(microseconds=at):%d %H:%M}" if isinstance(at, int) else at for at in times]


def november(*times: str) -> list[str]:
    """Local times of 2 November 2025, when New York has the hour from 01:00 to 02:00 twice."""
    return [f"2025-11-02T{at}:00.000000" for at in times]


def rendered(instants: Sequence[datetime], zone: str = NEW_YORK) -> list[str]:
    """As a recorder writes them: local, microseconds, no zone."""
    return [
        at.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0).isoformat(timespec="microseconds") for at in instants
    ]


def micros(instants: Sequence[datetime]) -> list[int]:
    """The instants as the clock gives them."""
    return [(at - EPOCH) // timedelta(microseconds=1) for at in instants]


# One time


def test_naive_times_are_read_with_the_offset_of_their_day() -> None:
    """New York is four hours behind UTC on 1 November 2025 and five hours on 3 November."""
    assert [us("2025-11-01T12:00:00-04:00"), us("2025-11-03T12:00:00-05:00")] == read(
        ["2025-11-01T12:00:00.000000", "2025-11-03T12:00:00.000000"]
    )


@pytest.mark.parametrize("timezone", [None, NEW_YORK, "UTC"])
@pytest.mark.parametrize(
    "text", ["2025-11-02T05:30:00Z", "2025-11-02T01:30:00.250000-04:00", "2025-11-02T11:00:00.25+05:30"]
)
def test_a_time_with_a_zone_needs_no_other(text: str, timezone: str | None) -> None:
    """What the text says of its offset holds, whatever zone is given for the others."""
    assert [us(text)] == read([text], timezone)


def test_a_naive_time_without_a_zone_has_a_reason_that_names_the_option() -> None:
    """Alone and beside an aware time."""
    for texts in (november("12:00"), [AWARE, *november("12:00")]):
        reason = read(texts, None)[-1]
        assert isinstance(reason, str)
        assert "--timezone" in reason


@pytest.mark.parametrize("zone", ["America/New_Yrk", "", " ", "local", "../UTC", "Mars/Olympus_Mons", "New York"])
def test_an_unknown_zone_is_an_error_that_gives_an_example(zone: str) -> None:
    """Also an empty text, which names no zone: it must not silently mean UTC."""
    with pytest.raises(VectraError, match="America/New_York") as caught:
        LocalClock(zone)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fraction", "microseconds"),
    [("", 0), (".5", 500_000), (".25", 250_000), (".000001", 1), (".123456789", 123_456), (".9999999", 999_999)],
)
@pytest.mark.parametrize("company", [[], [AWARE]], ids=["alone", "with an aware one"])
def test_fractions_may_be_short_or_finer_than_a_microsecond(
    fraction: str, microseconds: int, company: list[str]
) -> None:
    """What is finer is cut, never rounded up into the next second."""
    assert us("2025-11-01T12:00:00-04:00") + microseconds == read([*company, f"2025-11-01T12:00:00{fraction}"])[-1]


@pytest.mark.parametrize(
    "text",
    [
        "2025-10-30T11:45:00.1234567",
        "2025-10-30 11:45:00",
        "2025-10-30T11:45",
        "2025-10-30T11:45:00,5",
        "2025-10-30T11:45:60",
        "2025-1-2T3:4:5",
        "2025-10-30T1:45:00.000000",
        " 2025-10-30T11:45:00",
        "2025-10-30T11:45:00 ",
        "+2025-10-30T11:45:00",
        "12025-10-30T11:45:00",
        "+12025-10-30T11:45:00",
        "0000-01-01T00:00:00",
        "-0001-01-01T00:00:00",
        "2025-02-30T00:00:00",
        "2025-10-30T24:00:00",
        "1969-12-31T23:59:59.999999",
        "",
        "yesterday",
    ],
)
def test_what_a_text_means_does_not_depend_on_the_texts_around_it(text: str) -> None:
    """Alone, beside an aware time and beside nonsense it is the same instant, or a reason each time."""
    alone, with_aware, with_nonsense = read([text])[0], read([text, AWARE])[0], read([text, "?"])[0]

    assert [alone] * 2 == [with_aware, with_nonsense]


@pytest.mark.parametrize("text", ["", "yesterday", "2025-10-30", "2025-13-30T11:45:00", "12", "2025-W44", "é" * 500])
def test_what_is_no_time_has_a_reason_that_shows_it_in_short(text: str) -> None:
    """A day without a time of day is no time of an event."""
    (reason,) = read([text])
    assert isinstance(reason, str)
    assert repr(text[:40]) in reason
    assert len(reason) < 120


@pytest.mark.parametrize(
    ("text", "naive"), [("2025-11-02T05:30:00", True), ("2025-11-02T05:30:00Z", False), ("yesterday", False)]
)
def test_naive_is_a_time_without_a_zone(text: str, naive: bool) -> None:
    """What is no time is not naive either."""
    assert naive == is_naive(text)


# The hour that comes twice


def test_a_step_back_inside_the_file_is_the_change_of_the_clocks() -> None:
    """The doubled hour is the first one until a time goes back, then the second."""
    times = read(november("00:50", "01:10", "01:59", "01:00", "01:10", "01:59", "02:00"))

    assert utc(times) == ["02 04:50", "02 05:10", "02 05:59", "02 06:00", "02 06:10", "02 06:59", "02 07:00"]


def test_equal_times_are_no_step_back() -> None:
    """Several records of one instant stay together, in either hour."""
    times = read(november("01:30", "01:30", "01:20", "01:20", "01:30"))

    assert utc(times) == ["02 05:30", "02 05:30", "02 06:20", "02 06:20", "02 06:30"]


def test_a_file_that_begins_in_the_second_hour_and_goes_on_is_all_in_it() -> None:
    """It never steps back and reaches 02:00 without a long pause."""
    assert utc(read(november("01:30", "01:59", "02:00"))) == ["02 06:30", "02 06:59", "02 07:00"]


def test_a_pause_of_an_hour_or_more_leaves_the_first_hour() -> None:
    """From the second 01:10 to 02:45 nothing would have come for an hour and a half: that tells nothing."""
    assert utc(read(november("01:10", "02:45"))) == ["02 05:10", "02 07:45"]


def test_a_file_wholly_in_the_doubled_hour_is_in_the_first() -> None:
    """Nothing in it says otherwise."""
    assert utc(read(november("01:10", "01:50"))) == ["02 05:10", "02 05:50"]


def test_each_file_has_its_own_past() -> None:
    """A file that comes after one of a later day is not thought to be in the second hour for that."""
    texts = ["2025-11-03T12:00:00.000000", *november("01:30"), *november("00:30", "01:30", "01:00")]

    assert utc(read(texts, files=(0, 1, 2))) == ["03 17:00", "02 05:30", "02 04:30", "02 05:30", "02 06:00"]


def test_a_file_goes_on_in_the_next_call() -> None:
    """What the clock knows of it is kept until a new file begins."""
    clock = LocalClock(NEW_YORK)

    assert utc(clock.read(november("01:50"), [0])) == ["02 05:50"]
    assert utc(clock.read(november("01:10"), [])) == ["02 06:10"]
    assert utc(clock.read(november("01:20", "01:20"), [1])) == ["02 06:20", "02 05:20"]
    assert utc(clock.read(november("01:30"), [])) == ["02 05:30"]


@pytest.mark.parametrize("times", [("00:50", "01:10", "01:05", "02:00"), ("03:00", "00:30", "01:30")])
def test_where_the_calls_part_a_file_makes_no_difference(times: tuple[str, ...]) -> None:
    """A file in one call, cut in two anywhere, or a time at once, gives the same instants."""
    texts = november(*times)
    whole = utc(read(texts))

    for cut in range(1, len(texts)):
        clock = LocalClock(NEW_YORK)
        assert whole == utc(clock.read(texts[:cut], [0]) + clock.read(texts[cut:], []))
    clock = LocalClock(NEW_YORK)
    assert whole == utc([clock.read([text], [] if index else [0])[0] for index, text in enumerate(texts)])


def test_aware_times_in_between_tell_which_hour_it_is() -> None:
    """A time behind the first hour, whoever wrote it, makes the next doubled time the second."""
    assert utc(read(["2025-11-02T06:10:00Z", *november("01:20")])) == ["02 06:10", "02 06:20"]


def test_a_text_that_is_no_time_changes_nothing_for_its_neighbours() -> None:
    """The step back is seen across it."""
    first, reason, second = read([*november("01:50"), "?", *november("01:10")])

    assert utc([first, second]) == ["02 05:50", "02 06:10"]
    assert isinstance(reason, str)


# The hour that does not come


def test_a_time_that_the_clocks_skipped_has_a_reason() -> None:
    """In New York, 8 March 2026 has no time between 02:00 and 03:00; the times around are an instant apart."""
    before, skipped, after = read(
        ["2026-03-08T01:59:59.999999", "2026-03-08T02:30:00.000000", "2026-03-08T03:00:00.000000"]
    )

    assert us("2026-03-08T06:59:59.999999Z") == before
    assert us("2026-03-08T07:00:00Z") == after
    assert isinstance(skipped, str)
    assert NEW_YORK in skipped
    assert skipped == read(["2026-03-08T02:30:00", AWARE])[0]


# Against zoneinfo


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    start=st.datetimes(datetime(2007, 3, 12), datetime(2037, 1, 1)),
    steps=st.lists(st.integers(250_000, 20_000_000), max_size=50),
    zone=st.sampled_from([NEW_YORK, "Europe/Berlin", "Asia/Kolkata", "UTC"]),
)
def test_a_recording_begun_at_any_time_comes_back_exactly(start: datetime, steps: list[int], zone: str) -> None:
    """Instants of 250 ms to 20 s apart, written as naive local times, are read as what they were."""
    at = start.replace(tzinfo=UTC)
    instants = [at]
    for step in steps:
        instants.append(instants[-1] + timedelta(microseconds=step))
    if instants[0].astimezone(ZoneInfo(zone)).fold:
        return  # see the tests of the doubled hour

    assert micros(instants) == read(rendered(instants, zone), zone)


CHANGES_IN_NEW_YORK = [
    datetime(2024, 11, 3, 6, tzinfo=UTC),
    datetime(2025, 11, 2, 6, tzinfo=UTC),
    datetime(2026, 3, 8, 7, tzinfo=UTC),
]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    change=st.sampled_from(CHANGES_IN_NEW_YORK),
    begin_s=st.integers(-90 * 60, 70 * 60),
    seed=st.integers(0, 1000),
    n_cuts=st.integers(0, 4),
)
def test_a_recording_across_a_change_of_the_clocks_comes_back_exactly(
    change: datetime, begin_s: int, seed: int, n_cuts: int
) -> None:
    """Wherever it begins, before, in or behind the doubled hour, and however it is cut into calls."""
    generator = random.Random(seed)
    instants = [change + timedelta(seconds=begin_s)]
    while instants[-1] < change + timedelta(minutes=75):
        instants.append(instants[-1] + timedelta(microseconds=generator.randint(250_000, 20_000_000)))
    texts = rendered(instants)
    cuts = sorted(generator.sample(range(1, len(texts)), min(n_cuts, len(texts) - 1)))
    if begin_s >= 0:
        cuts = []  # it begins in the second hour, which only what comes behind that can tell

    clock = LocalClock(NEW_YORK)
    found: list[int | str] = []
    for begin, end in pairwise([0, *cuts, len(texts)]):
        found += clock.read(texts[begin:end], [0] if begin == 0 else [])

    assert micros(instants) == found


# Time


def test_times_written_in_another_way_are_not_slow() -> None:
    """A recorder that writes a space where others write a T does so in every line."""
    start = datetime(2025, 10, 30, 12, tzinfo=UTC)
    instants = [start + timedelta(seconds=n) for n in range(5_000)]

    began = time.process_time()
    times = read([text.replace("T", " ") for text in rendered(instants)])
    took = time.process_time() - began

    assert times == micros(instants)
    assert took < 1.0


def test_one_odd_time_does_not_make_the_others_slow() -> None:
    """A refused record costs its own time, not that of the whole batch."""
    start = datetime(2025, 10, 30, 12, tzinfo=UTC)
    texts = rendered([start + timedelta(seconds=n) for n in range(5_000)])
    texts[100] = ""

    began = time.process_time()
    times = read(texts)
    took = time.process_time() - began

    assert sum(isinstance(at, int) for at in times) == 4_999
    assert took < 1.0  # some hundredths of a second where only the odd one is looked at by itself
