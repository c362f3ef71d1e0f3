"""import_recordings: every line accounted for, every record stored once, whatever the files look like."""

import contextlib
import errno
import glob
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vectra_analytics
from tests.builders import NO_REAL_RECORDINGS, REAL_GAMES
from vectra_analytics import EventStorePaths, EventStoreQuery, VectraError
from vectra_analytics.importers import ImportReport, import_recordings
from vectra_analytics.importers.lines import read_lines, whole_objects

NEW_YORK = "America/New_York"
RECORDINGS = "vectra_analytics.importers.recordings"
START = datetime(2025, 10, 30, 11, 45)
ALIKE = settings(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


# Recordings to order


def record(tick: int, price: Any = 1.5, /, **changes: Any) -> dict[str, Any]:
    """A tick record, 250 ms after the one before; ``changes`` replace values."""
    at = START + timedelta(milliseconds=250 * tick)
    return {
        "type": "tick",
        "timestamp": at.isoformat(timespec="microseconds"),
        "game_id": "g1",
        "tick": tick,
        "price": price,
        "phase": "ACTIVE_GAMEPLAY",
        "active": True,
        "rugged": False,
        "cooldown_timer": 0,
        "trade_count": 3,
    } | changes


def line(tick: int, price: Any = 1.5, /, **changes: Any) -> bytes:
    """The record as a recorder writes it."""
    return json.dumps(record(tick, price, **changes)).encode()


def without(tick: int, key: str) -> bytes:
    """The line of a record that lacks a key."""
    return json.dumps({name: value for name, value in record(tick).items() if name != key}).encode()


def with_text(tick: int, key: str, text: str) -> bytes:
    """The line of a record with this text, whatever it is, as the value of a key."""
    return json.dumps(record(tick, **{key: "@@"})).replace('"@@"', text).encode()


def game(n_ticks: int, game_id: str = "g1") -> list[bytes]:
    """The lines of a game from its game_start on."""
    started = {"type": "game_start", "timestamp": record(0)["timestamp"], "game_id": game_id}
    return [json.dumps(started).encode(), *(line(tick, 1 + tick / 8, game_id=game_id) for tick in range(n_ticks))]


def save(path: Path, lines: Iterable[bytes], end: bytes = b"\n") -> Path:
    """A file of these lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(one + end for one in lines))
    return path


def compressed(path: Path, suffix: str) -> Path:
    """The file's content compressed, beside it."""
    target = path.with_name(path.name + suffix)
    with pa.CompressedOutputStream(pa.OSFile(str(target), "wb"), {".gz": "gzip", ".zst": "zstd"}[suffix]) as sink:
        sink.write(path.read_bytes())
    return target


# What became of them


def imported(sources: Any, store: EventStorePaths | Path, timezone: str | None = NEW_YORK) -> ImportReport:
    """The report of an import, after a look at whether its numbers add up."""
    report = import_recordings(sources, store, timezone=timezone)
    classes = report.lines_stored + report.lines_duplicate + report.lines_not_events + len(report.rejected)
    assert report.lines_read == classes
    assert len({(file, number) for file, number, _ in report.rejected}) == len(report.rejected)
    assert all(reason and "\n" not in reason for _, _, reason in report.rejected)
    return report


def kinds(report: ImportReport) -> tuple[int, int, int, int]:
    """How many lines were (stored, duplicate, not events, rejected)."""
    return report.lines_stored, report.lines_duplicate, report.lines_not_events, len(report.rejected)


def rejected_lines(report: ImportReport) -> list[int]:
    """The numbers of the rejected lines."""
    return sorted(number for _, number, _ in report.rejected)


def ask(store: EventStorePaths | Path) -> EventStoreQuery:
    """A query on the store."""
    return EventStoreQuery(store if isinstance(store, EventStorePaths) else EventStorePaths(store))


def events(store: EventStorePaths | Path) -> list[dict[str, Any]]:
    """All that is stored, every column, in the order of identities."""
    return ask(store).query("SELECT * FROM events ORDER BY session_id, seq").to_dicts()


def prices(store: EventStorePaths | Path) -> list[float]:
    """The prices of the stored ticks in the order of their lines."""
    found = ask(store).query("SELECT price FROM game_tick ORDER BY session_id, seq")
    return list(found["price"])


def rejects(store: EventStorePaths | Path) -> list[dict[str, Any]]:
    """What is kept in manifests/rejects, in the order of files and lines."""
    folder = (store if isinstance(store, EventStorePaths) else EventStorePaths(store)).rejects_dir
    found = [json.loads(text) for file in folder.glob("*.jsonl") for text in file.read_bytes().splitlines()]
    return sorted(found, key=lambda reject: (reject["origin"], reject["position"]))


# Accounting: one line of each kind


@dataclass(frozen=True)
class Odd:
    """A line, and what is to become of it."""

    name: str
    text: bytes
    n_events: int = 0  # stored from it
    n_rescued: int = 0
    is_event: bool = True  # False: a blank or a comment
    said: str = ""  # in the reason

    @property
    def kind(self) -> str:
        """The class it belongs to."""
        if not self.is_event:
            return "not an event"
        return "stored" if self.n_events else "rejected"


WHOLE = line(7)
TORN = WHOLE[:-40]
ODD_LINES = [
    Odd("a whole record", WHOLE, 1),
    Odd("a record with keys that nobody knows", line(7, extra={"a": [1, {"b": None}]}), 1),
    Odd("spaces around a record", b" \t" + WHOLE + b" \r", 1),
    Odd("a price that is an int", line(7, 1), 1),
    Odd("a price of nothing", line(7, 0), 1),
    Odd("only the required keys", json.dumps({k: record(7)[k] for k in list(record(7))[:5]}).encode(), 1),
    Odd("nulls where nothing is known", line(7, phase=None, active=None, cooldown_timer=None), 1),
    Odd("a session_start", b'{"type": "session_start", "timestamp": "2025-10-30T11:45:00", "max_games": 2}', 1),
    # Blank lines and comments.
    Odd("an empty line", b"", is_event=False),
    Odd("a line of spaces", b" \t \r", is_event=False),
    Odd("a comment", b'## From here on it says "UNKNOWN"; look {at it} again.', is_event=False),
    Odd("a comment behind spaces", b"  ##", is_event=False),
    # Torn and joined lines.
    Odd("a torn line", TORN, said="torn"),
    Odd("only the end of a record", WHOLE[40:], said="torn"),
    Odd("a torn record and a whole one", TORN + line(8), 1, 1),
    Odd("two torn records and a whole one", TORN + TORN + line(8), 1, 1),
    Odd("a whole record and a torn one", line(8) + TORN, 1, 1),
    Odd('{"{"', b'{"' + WHOLE, 1, 1),
    Odd('{"{" twice', b'{"{"' + TORN[:-3] + b'{"' + line(8), 1, 1),
    Odd("two records", line(8) + line(9), 2, 2),
    Odd("three records with commas", b", ".join([line(8), line(9), line(10)]), 3, 3),
    Odd("a record, and an end without its beginning", WHOLE + line(8)[30:], 1, 1),
    Odd("a brace too many", WHOLE + b"}", 1, 1),
    Odd(
        "a record without its end, with a whole object in it", b'{"type": "tick", "x": {"y": 1}, "tick": 7', said="torn"
    ),
    Odd("braces", b"{{{{{}}}}}" * 20),
    # Bytes.
    Odd("NUL bytes", b"\0" * 50),
    Odd("a record and NUL bytes", WHOLE + b"\0" * 50, 1, 1),
    Odd("a text that is no UTF-8", WHOLE.replace(b"ACTIVE", b"\xff\xfe")),
    Odd("half a letter in a torn record before a whole one", TORN[:-30] + "é".encode()[:1] + line(8), 1, 1),
    Odd("random bytes", bytes(random.Random(7).randrange(14, 256) for _ in range(300))),
    Odd("UTF-8 beyond ASCII", json.dumps(record(7, phase="fällig 🚀"), ensure_ascii=False).encode(), 1),
    Odd("a lone surrogate", line(7, game_id="\ud800")),
    # JSON, but no record.
    Odd("an array", b"[1, 2]"),
    Odd("a record in an array", b"[" + WHOLE + b"]"),
    Odd("a text", b'"tick"'),
    Odd("a number", b"7"),
    Odd("true", b"true"),
    Odd("null", b"null"),
    Odd("an empty object", b"{}"),
    Odd("an unknown type", line(7, type="tock"), said="tock"),
    Odd("a type that is a list", line(7, type=["tick"])),
    Odd("a type that is an object", line(7, type={})),
    Odd("a type that is null", line(7, type=None)),
    *(Odd(f"no {key}", without(7, key), said=key) for key in ("type", "timestamp", "game_id", "tick", "price")),
    # Values of the wrong type or size.
    *(Odd(f"{key} is null", line(7, **{key: None})) for key in ("timestamp", "game_id", "tick", "price")),
    Odd("an empty game_id", line(7, game_id=""), said="game_id"),
    Odd("a game_id that is a number", line(7, game_id=20251030), said="game_id"),
    Odd("a price as text", line(7, "1.5"), said="price"),
    Odd("a price that is true", line(7, True), said="price"),
    Odd("a price below 0", line(7, -0.5), said="price"),
    Odd("a price that is a list", line(7, [1.5]), said="price"),
    Odd("a tick as text", with_text(7, "tick", '"7"'), said="tick"),
    Odd("tick 5.0", with_text(7, "tick", "5.0"), said="tick"),
    Odd("tick true", with_text(7, "tick", "true"), said="tick"),
    Odd("tick -1", with_text(7, "tick", "-1"), said="tick"),
    Odd("a tick beyond 64 bits", with_text(7, "tick", str(2**63)), said="tick"),
    Odd("a tick far beyond 64 bits", with_text(7, "tick", "9" * 40), said="tick"),
    Odd("a cooldown beyond 64 bits", with_text(7, "cooldown_timer", str(2**63)), said="cooldown_timer"),
    Odd("a trade count below 64 bits", with_text(7, "trade_count", str(-(2**63) - 1)), said="trade_count"),
    Odd("a trade count that is a float", line(7, trade_count=1.5), said="trade_count"),
    Odd("active is 1", line(7, active=1), said="active"),
    Odd("rugged is a text", line(7, rugged="no"), said="rugged"),
    Odd("a phase that is a number", line(7, phase=5), said="phase"),
    Odd("NaN", with_text(7, "price", "NaN")),
    Odd("Infinity", with_text(7, "price", "Infinity")),
    Odd("1e999", with_text(7, "price", "1e999")),
    Odd("-1e999", with_text(7, "price", "-1e999")),
    Odd("a timestamp that is a number", line(7, timestamp=1761825600), said="ts"),
    Odd("a timestamp that is no time", line(7, timestamp="yesterday"), said="yesterday"),
    Odd("a time that the clocks skipped", line(7, timestamp="2026-03-08T02:30:00"), said="does not exist"),
    Odd("a time behind the year 9999", line(7, timestamp="9999-12-31T23:30:00.000000"), said="range"),
    Odd("an aware time behind the year 9999", line(7, timestamp="9999-12-31T23:30:00-05:00"), said="range"),
    Odd("an aware time before the year 1", line(7, timestamp="0001-01-01T00:30:00+05:00"), said="range"),
    Odd("a year of five digits", line(7, timestamp="+12025-10-30T11:45:00")),
    # Numbers that a float cannot hold exactly are the nearest one, as everywhere in JSON.
    Odd("a price beyond 53 bits", with_text(7, "price", "9007199254740993"), 1),
    Odd("a price beyond 63 bits", with_text(7, "price", str(2**63)), 1),
    Odd("a price beyond 64 bits", with_text(7, "price", "1" + "0" * 30), 1),
    Odd("the smallest and the longest price", with_text(7, "price", "4.94065645841246544e-324"), 1),
    # Size.
    Odd("very deep JSON, closed", b'{"a":' * 3_000 + b"1" + b"}" * 3_000),
    Odd("very deep JSON, torn", b'{"a":' * 3_000),
    Odd("very deep arrays", with_text(7, "extra", "[" * 3_000 + "]" * 3_000)),
    Odd("a very long record", line(7, note="x" * 3_000_000), 1),
    Odd("a very long torn line", b'{"type": "tick", "x": "' + b"{y" * 15_000),
]
names = {odd.name for odd in ODD_LINES}
assert len(names) == len(ODD_LINES)


@pytest.mark.parametrize("odd", ODD_LINES, ids=lambda odd: odd.name)
def test_each_kind_of_line_is_in_its_class(odd: Odd, tmp_path: Path) -> None:
    """Between two whole records; a rejected one is named, kept with its text, and refused again without a count."""
    file = save(tmp_path / "game.jsonl", [line(1), odd.text, line(99)])
    store = tmp_path / "store"

    report = imported(file, store)

    is_stored, is_rejected = odd.kind == "stored", odd.kind == "rejected"
    assert kinds(report) == (2 + is_stored, 0, int(not odd.is_event), int(is_rejected))
    assert (report.lines_read, report.n_files) == (3, 1)
    assert (report.events_stored, report.records_rescued) == (2 + odd.n_events, odd.n_rescued)
    assert len(events(store)) == 2 + odd.n_events
    assert ask(store).info().n_rejected == int(is_rejected)
    kept = rejects(store)
    if is_rejected:
        ((name, number, reason),) = report.rejected
        assert (name, number) == (str(file), 2)
        assert odd.said in reason
        assert len(reason) < 200
        text = odd.text.strip().decode(errors="replace")
        assert kept == [{"origin": name, "position": number, "reason": reason, "raw": text}]
    else:
        assert kept == []

    again = imported(file, store)

    assert kinds(again) == (0, 2 + is_stored, int(not odd.is_event), int(is_rejected))
    assert (again.events_stored, again.records_rescued) == (0, 0)
    assert again.rejected == report.rejected
    assert rejects(store) == kept
    assert ask(store).info().n_rejected == int(is_rejected)


@settings(ALIKE, max_examples=25)
@given(st.lists(st.sampled_from([odd for odd in ODD_LINES if len(odd.text) < 10_000]), max_size=30), st.booleans())
def test_any_lines_together_are_what_they_are_alone(chosen: list[Odd], ends: bool) -> None:
    """Each line's class and number of events do not depend on the lines around it."""
    with tempfile.TemporaryDirectory() as folder:
        file = save(Path(folder, "game.jsonl"), [line(1), *(odd.text for odd in chosen)])
        if not ends:
            file.write_bytes(file.read_bytes().removesuffix(b"\n"))
            if chosen and not chosen[-1].text:
                chosen = chosen[:-1]  # behind the last line end there is no line

        report = imported(file, Path(folder, "store"))

        n = Counter(odd.kind for odd in chosen)
        assert kinds(report) == (1 + n["stored"], 0, n["not an event"], n["rejected"])
        assert rejected_lines(report) == [at for at, odd in enumerate(chosen, 2) if odd.kind == "rejected"]
        assert report.events_stored == 1 + sum(odd.n_events for odd in chosen)
        assert report.records_rescued == sum(odd.n_rescued for odd in chosen)
        assert ask(Path(folder, "store")).info().n_rejected == n["rejected"]
        again = imported(file, Path(folder, "store"))
        assert kinds(again) == (0, 1 + n["stored"], n["not an event"], n["rejected"])


@settings(ALIKE, max_examples=40)
@given(content=st.binary(max_size=400), is_behind=st.booleans(), suffix=st.sampled_from(["", ".gz", ".zst"]))
def test_any_bytes_are_accounted_for_or_refused_in_a_sentence(content: bytes, is_behind: bool, suffix: str) -> None:
    """Nothing but a VectraError comes of them, and no line is lost."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"game.jsonl{suffix}")
        file.write_bytes(line(1) + b"\n" + content if is_behind and not suffix else content)
        try:
            report = imported(file, Path(folder, "store"))
        except VectraError as refused:
            said = str(refused)
            assert not is_behind or suffix
            assert "\n" not in said
        else:
            assert report.lines_read == len(re.findall(rb"[^\n]*\n|[^\n]+", file.read_bytes()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("2025-10-30T11:45:00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(ALIKE, max_examples=60)
@given(
    changes=st.lists(st.dictionaries(st.sampled_from(sorted(record(1))), JSON, min_size=1, max_size=2), max_size=4),
    is_behind=st.booleans(),
)
def test_any_json_in_any_field_is_accounted_for(changes: list[dict[str, Any]], is_behind: bool) -> None:
    """Also in the first record, which is what a recording is known by."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [json.dumps(record(7) | changed).encode() for changed in changes]
        file = save(Path(folder, "game.jsonl"), [line(1), *lines] if is_behind else [*lines, line(99)])

        report = imported(file, Path(folder, "store"))

        assert report.lines_read == len(lines) + 1
        assert len(events(Path(folder, "store"))) == report.events_stored >= 1
        assert ask(Path(folder, "store")).info().n_rejected == len(report.rejected)


def test_a_first_line_that_is_no_record_is_one_line_among_others(tmp_path: Path) -> None:
    """What the recording is known by is its first record, wherever that stands."""
    odd_ones = [odd for odd in ODD_LINES if odd.kind != "stored" and len(odd.text) < 10_000]
    files = [save(tmp_path / f"{n:03}.jsonl", [odd.text, line(n)]) for n, odd in enumerate(odd_ones)]

    report = imported(files, tmp_path / "store")

    n = Counter(odd.kind for odd in odd_ones)
    assert kinds(report) == (len(files), 0, n["not an event"], n["rejected"])


# Accounting: whole files


@pytest.mark.parametrize(
    ("change", "n_rejected"),
    [
        pytest.param(lambda content: content.removesuffix(b"\n"), 0, id="no line end at the end"),
        pytest.param(lambda content: content.replace(b"\n", b"\r\n"), 0, id="CRLF"),
        pytest.param(lambda content: b"\xef\xbb\xbf" + content, 0, id="BOM"),
        pytest.param(lambda content: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"), 0, id="BOM and CRLF"),
        pytest.param(lambda content: content[:-50], 1, id="truncated tail"),
    ],
)
def test_what_a_file_looks_like_around_its_records_changes_none(
    change: Callable[[bytes], bytes], n_rejected: int, tmp_path: Path
) -> None:
    """The same events in a store of its own, and none in one that has the plain file."""
    plain = save(tmp_path / "plain.jsonl", game(5))
    imported(plain, tmp_path / "plain_store")
    changed = tmp_path / "changed.jsonl"
    changed.write_bytes(change(plain.read_bytes()))

    alone = imported(changed, tmp_path / "store")
    after = imported(changed, tmp_path / "plain_store")

    assert kinds(alone) == (6 - n_rejected, 0, 0, n_rejected)
    assert kinds(after) == (0, 6 - n_rejected, 0, n_rejected)
    assert rejected_lines(alone) == [6] * n_rejected
    assert events(tmp_path / "store") == events(tmp_path / "plain_store")[: 6 - n_rejected]


def test_a_record_becomes_an_event_with_all_that_it_says(tmp_path: Path) -> None:
    """A tick a game_tick, a game_start a system_event, the line itself in raw_json; what is not said is NULL."""
    text = (
        b'{"type":"tick", "tick": 5,"timestamp":"2025-11-02T20:45:00.250000","price":0.1,"game_id":"g","trade_count":9}'
    )
    store = tmp_path / "store"
    imported(save(tmp_path / "game.jsonl", [game(0)[0], b" " + text + b"\r"]), store)

    start, tick = events(store)

    said = {name: value for name, value in tick.items() if value is not None}
    assert said.pop("session_id") == start["session_id"]
    assert said.pop("ts") == datetime(2025, 11, 3, 1, 45, 0, 250_000, tzinfo=ZoneInfo("UTC"))
    assert str(said.pop("date")) == "2025-11-03"
    assert said.pop("seq") > start["seq"] >= 0
    assert said == {
        "doc_type": "game_tick",
        "source": "replay",
        "direction": "received",
        "game_id": "g",
        "tick": 5,
        "price": 0.1,
        "trade_count": 9,
        "raw_json": text.decode(),
    }
    assert (start["doc_type"], start["event_name"], start["game_id"]) == ("system_event", "game_start", "g1")
    assert (start["tick"], start["price"]) == (None, None)


@pytest.mark.parametrize("kind", ["game_start", "game_end", "session_start", "session_end", "game_complete"])
def test_records_around_the_ticks_become_system_events(kind: str, tmp_path: Path) -> None:
    """Named by their type, with or without a game."""
    text = json.dumps({"type": kind, "timestamp": "2025-10-30T11:45:00", "total_ticks": 3}).encode()

    imported(save(tmp_path / "game.jsonl", [text]), tmp_path / "store")

    (event,) = events(tmp_path / "store")
    assert (event["doc_type"], event["event_name"], event["game_id"]) == ("system_event", kind, None)
    assert event["raw_json"] == text.decode()


def test_presale_and_settlement_records_are_kept_as_events(tmp_path: Path) -> None:
    """They are no ticks of the game, but they were recorded."""
    waiting = line(0, 1, active=False, phase="PRESALE", cooldown_timer=9_000)

    imported(save(tmp_path / "game.jsonl", [waiting, line(1)]), tmp_path / "store")

    assert [event["phase"] for event in events(tmp_path / "store")] == ["PRESALE", "ACTIVE_GAMEPLAY"]
    assert ask(tmp_path / "store").query("SELECT tick FROM ticks")["tick"].to_list() == [1]


def test_the_report_has_the_names_that_scripts_read(tmp_path: Path) -> None:
    """As a dict, too."""
    report = imported(save(tmp_path / "game.jsonl", [line(1), TORN]), tmp_path / "store")

    said = report.to_dict()

    assert json.loads(json.dumps(said)) == {
        "n_files": 1,
        "lines_read": 2,
        "lines_stored": 1,
        "lines_duplicate": 0,
        "lines_not_events": 0,
        "rejected": [[str(tmp_path / "game.jsonl"), 2, report.rejected[0][2]]],
        "events_stored": 1,
        "records_rescued": 0,
        "amounts_unreadable": 0,
    }


def test_progress_goes_from_the_first_byte_to_the_last(tmp_path: Path) -> None:
    """Never back, and to the end."""
    files = [save(tmp_path / f"{n}.jsonl", game(50, f"g{n}")) for n in range(5)]
    seen: list[tuple[int, int]] = []

    import_recordings(files, tmp_path / "store", timezone=NEW_YORK, progress=lambda *at: seen.append(at))

    total = sum(file.stat().st_size for file in files)
    assert seen == sorted(seen)
    assert {of for _, of in seen} == {total}
    assert seen[-1] == (total, total)
    assert len(seen) >= 5


# Again, renamed, compressed, grown, edited


@pytest.mark.parametrize("copy", ["again", "renamed", "in a folder", ".gz", ".zst"])
def test_a_copy_adds_nothing(copy: str, tmp_path: Path) -> None:
    """All its lines are duplicates; the torn one is refused again and not counted twice."""
    file = save(tmp_path / "game.jsonl", [*game(5), TORN, TORN + line(50), b"## a comment"])
    store = tmp_path / "store"
    first = imported(file, store)
    before = events(store)
    again = file
    if copy in (".gz", ".zst"):
        again = compressed(file, copy)
    elif copy != "again":
        again = tmp_path / "folder" / "other name.jsonl"
        again.parent.mkdir()
        shutil.copy(file, again)

    second = imported(again.parent if copy == "in a folder" else again, store)

    assert kinds(first) == (7, 0, 1, 1)
    assert kinds(second) == (0, 7, 1, 1)
    assert second.events_stored == 0
    assert events(store) == before
    assert ask(store).version == 1
    assert ask(store).info().n_rejected == 1


def test_copies_in_one_call_are_stored_once(tmp_path: Path) -> None:
    """A file, its compressed copy and a renamed one, found in one folder."""
    file = save(tmp_path / "in" / "game.jsonl", [*game(5), TORN + line(50)])
    compressed(file, ".gz")
    shutil.copy(file, tmp_path / "in" / "copy.jsonl")

    report = imported(tmp_path / "in", tmp_path / "store")

    assert report.n_files == 3
    assert kinds(report) == (7, 14, 0, 0)
    assert len(events(tmp_path / "store")) == report.events_stored == 7


def test_a_file_that_grew_adds_its_new_lines(tmp_path: Path) -> None:
    """Also the line that was torn when it was the last one."""
    lines, store = [*game(6), line(50) + line(51)], tmp_path / "store"
    content = b"\n".join(lines) + b"\n"
    file = tmp_path / "game.jsonl"
    ends = [len(b"\n".join(lines[:n])) for n in (2, 4, 5)]
    for length in (ends[0] + 1, ends[1] - 30, ends[2], len(content)):
        file.write_bytes(content[:length])
        report = imported(file, store)

    assert kinds(report) == (3, 5, 0, 0)
    assert report.events_stored == 4
    shutil.copy(file, tmp_path / "whole.jsonl")
    imported(tmp_path / "whole.jsonl", tmp_path / "at_once")
    assert events(store) == events(tmp_path / "at_once")
    assert len(events(store)) == 9


def test_a_joined_line_that_became_whole_adds_its_second_record(tmp_path: Path) -> None:
    """A line is stored where one of its records is new."""
    store = tmp_path / "store"
    first = imported(save(tmp_path / "game.jsonl", [line(1), line(2) + TORN], end=b"\n"), store)
    second = imported(save(tmp_path / "game.jsonl", [line(1), line(2) + WHOLE], end=b"\n"), store)

    assert (kinds(first), first.events_stored) == ((2, 0, 0, 0), 2)
    assert (kinds(second), second.events_stored, second.records_rescued) == ((1, 1, 0, 0), 1, 1)
    assert [event["tick"] for event in events(store)] == [1, 2, 7]


@pytest.mark.parametrize(("suffix", "n_ticks"), [(".gz", 300), (".gz", 20_000), (".zst", 20_000)])
def test_a_compressed_file_that_breaks_off_gives_what_is_readable(suffix: str, n_ticks: int, tmp_path: Path) -> None:
    """Its whole lines are stored, the one that the break cut off is rejected; the whole file then adds the rest."""
    generator = random.Random(n_ticks)
    file = save(tmp_path / "game.jsonl", (line(tick, generator.random()) for tick in range(n_ticks)))
    whole = compressed(file, suffix)
    torn = tmp_path / f"torn.jsonl{suffix}"
    torn.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    store = tmp_path / "store"

    first = imported(torn, store)

    n_stored = first.lines_stored
    assert kinds(first) == (n_stored, 0, 0, 1)
    assert n_ticks // 3 < n_stored < n_ticks
    assert rejected_lines(first) == [n_stored + 1]
    assert kinds(imported(whole, store)) == (n_ticks - n_stored, n_stored, 0, 0)
    assert len(events(store)) == n_ticks


def test_a_compressed_file_that_lacks_its_last_bytes_gives_all_its_lines(tmp_path: Path) -> None:
    """Only the checksum is gone; that is one rejected line."""
    whole = compressed(save(tmp_path / "game.jsonl", game(20)), ".gz")
    whole.write_bytes(whole.read_bytes()[:-4])

    assert kinds(imported(whole, tmp_path / "store")) == (21, 0, 0, 1)


def test_compressed_parts_one_behind_the_other_are_one_file(tmp_path: Path) -> None:
    """As a recorder writes that opens its .gz anew each time."""
    parts = [compressed(save(tmp_path / f"{n}.jsonl", [line(n)]), ".gz").read_bytes() for n in range(3)]
    (tmp_path / "game.jsonl.gz").write_bytes(b"".join(parts))

    assert kinds(imported(tmp_path / "game.jsonl.gz", tmp_path / "store")) == (3, 0, 0, 0)


def test_an_edited_copy_is_refused_line_by_line(tmp_path: Path) -> None:
    """The stored row stays; the other price is named by file and line, kept, and counted once."""
    store, lines = tmp_path / "store", game(6)
    imported(save(tmp_path / "game.jsonl", lines), store)
    before = events(store)
    edited = save(tmp_path / "edited.jsonl", [*lines[:4], line(3, 9.75), *lines[5:]])

    for _ in range(2):
        report = imported(edited, store)
        assert kinds(report) == (0, 6, 0, 1)
        ((name, number, reason),) = report.rejected
        assert (name, number) == (str(edited), 5)
        assert "other content" in reason
        assert rejects(store) == [
            {"origin": name, "position": 5, "reason": reason, "raw": line(3, 9.75).decode()},
        ]
        assert ask(store).info().n_rejected == 1
        assert events(store) == before


def test_an_edited_copy_in_the_same_call_is_refused_too(tmp_path: Path) -> None:
    """What came first stays."""
    lines = game(6)
    files = [
        save(tmp_path / "a.jsonl", lines),
        save(tmp_path / "b.jsonl", [*lines[:4], line(3, 9.75), *lines[5:]]),
    ]

    report = imported(files, tmp_path / "store")

    assert kinds(report) == (7, 6, 0, 1)
    assert [(name, number) for name, number, _ in report.rejected] == [(str(files[1]), 5)]
    assert 9.75 not in prices(tmp_path / "store")


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "in one call"])
def test_refused_lines_of_several_copies_are_all_kept(at_once: bool, tmp_path: Path) -> None:
    """Files with the same first record share a session, but not what was refused of them."""
    store, lines = tmp_path / "store", game(6)
    files = [
        save(tmp_path / "a.jsonl", [*lines, TORN]),
        save(tmp_path / "b.jsonl", [*lines[:4], line(3, 9.75), *lines[5:], TORN]),
        save(tmp_path / "c.jsonl", [*lines[:5], line(4, 9.75), *lines[6:], TORN]),
    ]

    for sources in [files] if at_once else [[file] for file in files]:
        imported(sources, store)

    kept = {(Path(reject["origin"]).name, reject["position"]) for reject in rejects(store)}
    assert kept >= {("b.jsonl", 5), ("c.jsonl", 6)}
    assert 8 in {position for _, position in kept}
    assert ask(store).info().n_rejected == len(rejects(store)) >= 3


@pytest.mark.parametrize(("beside", "kind"), [(line(1), "rejected"), (line(3), "stored")], ids=["stored", "new"])
def test_a_conflict_in_a_joined_line_is_never_silent(beside: bytes, kind: str, tmp_path: Path) -> None:
    """Whatever else stands in the line: the refused record is kept and counted."""
    store = tmp_path / "store"
    imported(save(tmp_path / "game.jsonl", [line(0), line(2) + (line(1) if kind == "rejected" else b"")]), store)

    report = imported(save(tmp_path / "edited.jsonl", [line(0), line(2, 9.75) + beside]), store)

    assert kinds(report) == ((0, 1, 0, 1) if kind == "rejected" else (1, 1, 0, 0))
    assert ask(store).info().n_rejected == 1
    assert any("9.75" in reject["raw"] and reject["position"] == 2 for reject in rejects(store))
    assert 9.75 not in prices(store)


# Order and batches


def mixed_files(folder: Path) -> list[Path]:
    """Two games, one of them also in a shorter file, and one recorded while the clocks were put back."""
    one = [*game(30), TORN, TORN + line(60), b"", line(61) + line(62), line(63, "1.5")]
    november = [
        line(n, timestamp=f"2025-11-02T{at}:00.000000", game_id="g3")
        for n, at in enumerate(["01:10", "01:59", "02:05"])
    ]
    back = [
        line(n, timestamp=f"2025-11-02T{at}:00.000000", game_id="g4")
        for n, at in enumerate(["00:55", "01:10", "01:50", "01:05", "01:40", "02:20"])
    ]
    return [
        save(folder / "one.jsonl", one),
        save(folder / "shorter.jsonl", one[:12]),
        save(folder / "two.jsonl", [b"\xef\xbb\xbf" + TORN, *game(40, "g2")], end=b"\r\n"),
        save(folder / "begins in the second hour.jsonl", [b"## comment", *november]),
        save(folder / "goes back.jsonl", [line(0, timestamp="2025-11-02T00:50:00", game_id="g4"), TORN, *back]),
    ]


def test_the_order_of_files_makes_no_difference(tmp_path: Path) -> None:
    """In one call or one by one, in any order: the same events in all their columns."""
    files = mixed_files(tmp_path / "in")
    imported(files, tmp_path / "store")
    expected = events(tmp_path / "store")
    assert len(expected) == 31 + 1 + 2 + 41 + 3 + 7

    for number, order in enumerate(list(permutations(files))[::17]):
        store = tmp_path / f"store{number}"
        if number % 2:
            imported(order, store)
        else:
            for file in order:
                imported(file, store)
        assert events(store) == expected, [file.name for file in order]


@pytest.mark.parametrize(
    ("rows", "n_bytes", "chunk"),
    [(1, 1, 1), (1, 1 << 30, 64), (2, 1, 1 << 20), (3, 1 << 30, 333), (7, 500, 100), (1 << 30, 1 << 30, 3)],
)
def test_batches_make_no_difference(
    rows: int, n_bytes: int, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a file is cut into commits, and however few bytes are read at once."""
    files = mixed_files(tmp_path / "in")
    whole = imported(files, tmp_path / "whole")
    monkeypatch.setattr(f"{RECORDINGS}._BATCH_ROWS", rows)
    monkeypatch.setattr(f"{RECORDINGS}._BATCH_BYTES", n_bytes)
    monkeypatch.setattr(f"{RECORDINGS}._LOOK_BYTES", chunk)
    monkeypatch.setattr(f"{RECORDINGS}.read_lines", lambda path, size=chunk: read_lines(path, size))

    cut = imported(files, tmp_path / "cut")

    assert events(tmp_path / "cut") == events(tmp_path / "whole")
    assert cut.to_dict() | {"rejected": sorted(cut.rejected)} == whole.to_dict() | {"rejected": sorted(whole.rejected)}
    assert rejects(tmp_path / "cut") == rejects(tmp_path / "whole")
    assert ask(tmp_path / "cut").info().n_rejected == ask(tmp_path / "whole").info().n_rejected


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_lines_are_read_the_same_in_pieces_of_any_size(size: int, suffix: str, tmp_path: Path) -> None:
    """Also a byte order mark, an empty line and a last line without an end."""
    file = tmp_path / "game.jsonl"
    file.write_bytes(b"\xef\xbb\xbfone\ntwo\r\n\n\xef\xbb\xbfthree\nlast")

    found = [one for lines, _ in read_lines(compressed(file, suffix) if suffix else file, size) for one in lines]

    assert found == [b"one", b"two\r", b"", b"\xef\xbb\xbfthree", b"last"]


def seconds(work: Callable[[], object]) -> float:
    """How long the work takes at best, in seconds of this process."""
    took = []
    for _ in range(3):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


def test_a_long_line_is_read_in_time_that_grows_with_it(tmp_path: Path) -> None:
    """Eight times the line takes some eight times as long, not sixty-four times."""
    took = []
    for size in (1 << 18, 1 << 21):
        (tmp_path / "long").write_bytes(b"x" * size)
        assert [len(one) for lines, _ in read_lines(tmp_path / "long", 1 << 10) for one in lines] == [size]
        took.append(seconds(lambda: list(read_lines(tmp_path / "long", 1 << 10))))

    assert took[1] < 40 * took[0]  # a busy machine is no reason to fail


@pytest.mark.parametrize("text", [b"{", b'{"', b'{"a', b'"x": {y, '])
def test_whole_objects_are_looked_for_in_time_that_grows_with_the_line(text: bytes) -> None:
    """A long line of nothing but beginnings is no way to stop an import."""
    assert list(whole_objects(text * 1_000 + b'{"b": 1}')) == [({"b": 1}, '{"b": 1}')]

    few, many = (seconds(partial(whole_objects, text * n)) for n in (2_000, 32_000))
    assert many < 128 * max(few, 1e-3)  # sixteen times the text; looking again from each beginning would take 256 times


def test_objects_are_found_below_more_levels_than_python_can_go() -> None:
    """Levels that never end hide nothing that stands whole in them."""
    assert list(whole_objects(b'{"a":' * 2_000 + b'{"b": 1}')) == [({"b": 1}, '{"b": 1}')]


# Sources


@pytest.mark.parametrize("kind", ["file", "text", "folder", "pattern", "list", "mixed", "generator", "trailing slash"])
def test_a_source_is_a_file_a_folder_a_pattern_or_some_of_them(kind: str, tmp_path: Path) -> None:
    """Given as a path or as a text; folders are searched to the bottom, for recordings only."""
    folder = tmp_path / "in"
    files = [
        save(folder / "a.jsonl", game(2, "a")),
        save(folder / "deep" / "er" / "b.jsonl", game(2, "b")),
        save(folder / "deep" / "c.jsonl", game(2, "c")),
    ]
    (folder / "notes.txt").write_text("no recording")
    (folder / "deep" / "games.csv").write_text("game_id\n")
    (folder / "empty").mkdir()
    compressed(files[2], ".gz")
    files[2].unlink()
    sources: Any = {
        "file": files[0],
        "text": str(files[0]),
        "folder": folder,
        "trailing slash": f"{folder}/",
        "pattern": str(folder / "**" / "*.jsonl*"),
        "list": [files[0], str(files[1])],
        "mixed": [files[0], folder / "deep", str(folder / "*.jsonl"), folder],
        "generator": (file for file in files[:2]),
    }[kind]

    report = imported(sources, EventStorePaths(tmp_path / "store") if kind == "mixed" else tmp_path / "store")

    expected = {"file": "a", "text": "a", "list": "ab", "generator": "ab"}.get(kind, "abc")
    assert ask(tmp_path / "store").list_games() == list(expected)
    assert report.n_files == len(expected)
    assert kinds(report) == (3 * len(expected), 0, 0, 0)


def test_the_store_may_be_given_as_paths_a_path_or_a_text(tmp_path: Path) -> None:
    """And is made where it is missing."""
    file = save(tmp_path / "game.jsonl", game(2))
    folders = [tmp_path / "s0", tmp_path / "s1" / "deep", tmp_path / "s2"]

    import_recordings(str(file), EventStorePaths(folders[0]), timezone=NEW_YORK)
    import_recordings(str(file), folders[1], timezone=NEW_YORK)
    import_recordings(str(file), str(folders[2]), timezone=NEW_YORK)

    assert [len(events(folder)) for folder in folders] == [3, 3, 3]


def test_a_file_named_twice_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself, in a folder, by a pattern, relative or absolute."""
    file = save(tmp_path / "in" / "game.jsonl", game(2))
    monkeypatch.chdir(tmp_path)

    report = imported([file, "in/game.jsonl", "./in", "in/*.jsonl", file.parent], Path("store"))

    assert (report.n_files, kinds(report)) == (1, (3, 0, 0, 0))


@pytest.mark.parametrize(
    "name", ["[2025] game.jsonl", "a b'c\"d.jsonl", "100%20*?.jsonl", "üñ 🚀.jsonl", "~game.jsonl", "-x.jsonl"]
)
def test_any_name_will_do(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a file by itself, in the folder one is in, and for the folder around it."""
    save(tmp_path / name / name, game(2))
    monkeypatch.chdir(tmp_path / name)

    assert imported(tmp_path / name / name, tmp_path / "s1").n_files == 1
    assert imported(tmp_path / name, tmp_path / "s2").n_files == 1
    assert imported(f"{glob.escape(str(tmp_path / name))}/*.jsonl", tmp_path / "s3").n_files == 1
    assert imported(f"./{name}", tmp_path / "s4").n_files == 1
    report = imported(name, tmp_path / "s5")
    assert report.n_files == 1


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path / "in" / "game.jsonl", game(2))

    assert imported("~/in", tmp_path / "store").n_files == 1
    assert imported("~/in/*.jsonl", tmp_path / "store").n_files == 1


def test_a_store_inside_the_imported_folder_is_no_recording(tmp_path: Path) -> None:
    """What an import refused is kept in .jsonl files; the next import of the folder does not read them."""
    save(tmp_path / "game.jsonl", [*game(5), TORN])
    imported(tmp_path, tmp_path / "store")

    assert kinds(imported(tmp_path, tmp_path / "store")) == (0, 6, 0, 1)


# What cannot be


def refusal(sources: Any, store: EventStorePaths | Path, timezone: str | None = NEW_YORK) -> str:
    """The one line that an import ends with that cannot be."""
    with pytest.raises(VectraError) as caught:
        import_recordings(sources, store, timezone=timezone)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


def test_sources_that_are_not_there_are_named(tmp_path: Path) -> None:
    """A missing file, a pattern that nothing matches, an empty folder; nothing is stored, not even of the others."""
    good = save(tmp_path / "in" / "game.jsonl", game(2))
    (tmp_path / "empty").mkdir()
    for source, advice in [("missing.jsonl", "pattern"), ("none*.jsonl", "pattern"), ("empty", "*.jsonl")]:
        text = refusal([good, tmp_path / source], tmp_path / "store")
        assert str(tmp_path / source) in text
        assert advice in text
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("source", ["x" * 300, "~nobody-of-that-name/game.jsonl", "a\0b"], ids=["long", "tilde", "NUL"])
def test_a_name_that_cannot_be_is_no_crash(source: str, tmp_path: Path) -> None:
    """It is a file that is not there."""
    text = refusal(source, tmp_path / "store")
    assert source[:10] in text or repr(source) in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"\n\n  \n", "no recording", id="blank lines"),
        pytest.param(b"## nothing\n", "no recording", id="comments"),
        pytest.param(bytes(range(256)) * 50, "no recording", id="binary"),
        pytest.param(b"\0" * 5_000, "no recording", id="NUL bytes"),
        pytest.param(line(1).decode().encode("utf-16"), "no recording", id="UTF-16"),
        pytest.param(b'{"a": 1}\n[1]\n"x"\n', "no recording", id="other JSON"),
        pytest.param(b'{"type": ["tick"], "timestamp": "2025-10-30T11:45:00"}\n', "no recording", id="odd type"),
        pytest.param(TORN, "no recording", id="only a torn record"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_that_is_no_recording_is_named(content: bytes, said: str, suffix: str, tmp_path: Path) -> None:
    """Before anything is stored, with what is wrong with it."""
    good = save(tmp_path / "game.jsonl", game(2))
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(content)
    if suffix:
        bad = compressed(bad, suffix)

    text = refusal([good, bad], tmp_path / "store")

    assert str(bad) in text
    assert said in text
    assert not (tmp_path / "store").exists()


def test_no_source_at_all_is_said_to_be_none(tmp_path: Path) -> None:
    """An empty list is a mistake, not an import of nothing."""
    assert "no recordings were named" in refusal([], tmp_path / "store")


def test_a_file_among_others_that_is_no_recording_stops_none_of_them(tmp_path: Path) -> None:
    """In a folder each line of it is rejected, and an empty file has none; named itself, it is an error."""
    folder = tmp_path / "in"
    save(folder / "game.jsonl", game(2))
    foreign = save(folder / "other.jsonl", [b'{"a": 1}', b"no JSON"])
    (folder / "empty.jsonl").write_bytes(b"")

    report = imported(folder, tmp_path / "store")

    assert kinds(report) == (3, 0, 0, 2)
    assert {name for name, _, _ in report.rejected} == {str(foreign)}
    assert kinds(imported(folder, tmp_path / "store")) == (0, 3, 0, 2)
    assert ask(tmp_path / "store").info().n_rejected == 2
    assert "no recording" in refusal([folder, foreign], tmp_path / "store")
    foreign.rename(tmp_path / "other.jsonl")
    assert "no recording" in refusal(f"{tmp_path}/*.jsonl", tmp_path / "store")


@pytest.mark.parametrize("name", ["bad.jsonl.gz", "bad.jsonl.zst"])
def test_a_damaged_compressed_file_is_not_called_empty(name: str, tmp_path: Path) -> None:
    """It has bytes, but they are no compressed data."""
    (tmp_path / name).write_bytes(b"these are no compressed data" * 10)

    text = refusal(tmp_path / name, tmp_path / "store")

    assert str(tmp_path / name) in text
    assert "is empty" not in text


@contextlib.contextmanager
def rights_of_others() -> Iterator[None]:
    """Whoever runs the tests, inside this they may read only what all may read."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter: tmp_path belongs to one user."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


@pytest.mark.parametrize("what", ["file", "folder", "folder inside", "way"])
def test_what_may_not_be_read_is_named(what: str, open_folder: Path) -> None:
    """A file, a folder, one inside it, or one on the way to a file; nothing is stored."""
    file = save(open_folder / "in" / "deep" / "game.jsonl", game(2))
    closed, source = {
        "file": (file, file),
        "folder": (open_folder / "in", open_folder / "in"),
        "folder inside": (file.parent, open_folder / "in"),
        "way": (file.parent, file),
    }[what]
    mode = closed.stat().st_mode
    closed.chmod(0)
    try:
        with rights_of_others():
            text = refusal(source, open_folder / "store")
    finally:
        closed.chmod(mode)

    assert str(closed) in text
    assert "Permission denied" in text
    assert not (open_folder / "store").exists()


def test_a_store_that_may_not_be_written_is_named(open_folder: Path) -> None:
    """A new one in a closed folder, and one that is there already, which stays readable."""
    file = save(open_folder / "game.jsonl", game(2))
    (open_folder / "closed").mkdir(mode=0o755)
    imported(file, open_folder / "closed" / "store")
    os.chmod(open_folder / "closed", 0o555)
    grown = save(open_folder / "grown.jsonl", game(4))
    with rights_of_others():
        if os.access(open_folder / "closed", os.W_OK, effective_ids=True):
            pytest.skip("this file system asks nobody for rights")
        texts = [refusal(grown, open_folder / "closed" / name) for name in ("new", "store")]
    os.chmod(open_folder / "closed", 0o755)

    assert all(str(open_folder / "closed") in text for text in texts)
    assert len(events(open_folder / "closed" / "store")) == 3


@pytest.mark.parametrize("what", ["a file as the store", "a file on the way", "a folder as the catalog", "no catalog"])
def test_a_store_that_cannot_be_is_named(what: str, tmp_path: Path) -> None:
    """Another thing stands where the store, or its catalog, would be."""
    file = save(tmp_path / "game.jsonl", game(2))
    store = EventStorePaths(tmp_path / "store")
    if what == "a file as the store":
        store.data_dir.write_text("notes")
    elif what == "a file on the way":
        store.data_dir.write_text("notes")
        store = EventStorePaths(store.data_dir / "deeper")
    elif what == "a folder as the catalog":
        store.catalog_file.mkdir(parents=True)
    else:
        store.manifests_dir.mkdir(parents=True)
        store.catalog_file.write_bytes(b"this is no SQLite file" * 100)

    assert str(store.data_dir) in refusal(file, store)


@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_a_store_that_lost_a_file_is_named(damage: str, tmp_path: Path) -> None:
    """Where what is stored has to be looked at, and cannot be: which file, in one line."""
    file = save(tmp_path / "game.jsonl", [line(1)])
    imported(file, tmp_path / "store")
    (stored,) = (tmp_path / "store").rglob("*.parquet")
    if damage == "gone":
        stored.unlink()
    else:
        stored.write_bytes(b"x")

    assert str(stored) in refusal(file, tmp_path / "store")


# A full disk, a failing one, and Ctrl-C


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("needs the right to mount a small file system")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True)
    if made.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_is_an_error_in_one_line(small_disk: Path, tmp_path: Path) -> None:
    """What was stored before stays, what came in between is gone, and with room again the import completes."""
    store = small_disk / "store"
    imported(save(tmp_path / "small.jsonl", game(3)), store)
    generator = random.Random(1)
    big = [line(n, generator.random(), note=generator.randbytes(100).hex()) for n in range(30_000)]
    file = save(tmp_path / "big.jsonl", big)

    text = refusal(file, store)

    assert "No space left" in text
    assert str(store) in text
    assert len(events(store)) == 4
    assert [path.name for path in store.rglob("*") if path.suffix == ".part"] == []
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert kinds(imported(file, store)) == (30_000, 0, 0, 0)


def fill(disk: Path) -> None:
    """Leave no room at all."""
    descriptor = os.open(disk / "filler", os.O_CREAT | os.O_WRONLY)
    with contextlib.suppress(OSError):
        while os.write(descriptor, b"x" * 4096):
            pass
    os.close(descriptor)


def test_a_store_on_a_disk_without_any_room_says_so(small_disk: Path, tmp_path: Path) -> None:
    """Not one byte can be written: the import says what is the matter."""
    imported(save(tmp_path / "small.jsonl", game(3)), small_disk / "store")
    fill(small_disk)

    text = refusal(save(tmp_path / "more.jsonl", game(9)), small_disk / "store")

    assert str(small_disk / "store") in text
    (small_disk / "filler").unlink()
    assert len(events(small_disk / "store")) == 4


def test_a_store_on_a_disk_without_any_room_can_be_read(small_disk: Path, tmp_path: Path) -> None:
    """Asking writes nothing, so it needs no room."""
    imported(save(tmp_path / "small.jsonl", game(3)), small_disk / "store")
    fill(small_disk)

    assert len(events(small_disk / "store")) == 4


def failing_call(monkeypatch: pytest.MonkeyPatch, name: str, nth: int, failure: BaseException) -> None:
    """The nth call of an os function fails."""
    real, calls = getattr(os, name), iter(range(1, 1 << 30))

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == nth:
            raise failure
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize(
    "failure", [OSError(errno.EIO, os.strerror(errno.EIO)), KeyboardInterrupt()], ids=["I/O", "^C"]
)
@pytest.mark.parametrize("nth", [1, 2, 4, 7])
@pytest.mark.parametrize("name", ["fsync", "rename"])
def test_a_failure_at_any_step_leaves_a_valid_store(
    name: str, nth: int, failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All or nothing of a batch is there; an error is one line; a second run completes."""
    files = mixed_files(tmp_path / "in")
    imported(files, tmp_path / "undisturbed")
    monkeypatch.setattr(f"{RECORDINGS}._BATCH_BYTES", 1)
    store = tmp_path / "store"
    with monkeypatch.context() as patch:
        failing_call(patch, name, nth, failure)
        raised: BaseException | None = None
        try:
            import_recordings(files, store, timezone=NEW_YORK)
        except BaseException as whatever:
            raised = whatever
    if raised is not None:  # else there were not so many calls
        assert isinstance(raised, VectraError if isinstance(failure, OSError) else KeyboardInterrupt)
        assert "\n" not in str(raised)

    whole = {event["raw_json"] for event in events(tmp_path / "undisturbed")}
    if EventStorePaths(store).catalog_file.exists():
        assert {event["raw_json"] for event in events(store)} <= whole
        assert len(list(store.rglob("*.parquet"))) == ask(store).info().n_files  # no file that nobody reads
        assert list(store.rglob("*.part")) == []
    imported(files, store)

    assert events(store) == events(tmp_path / "undisturbed")
    assert rejects(store) == rejects(tmp_path / "undisturbed")
    assert ask(store).info().n_rejected == ask(tmp_path / "undisturbed").info().n_rejected


def test_an_interrupt_while_the_catalog_commits_leaves_a_valid_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is heard when SQLite comes back from its disk: by then the files of the commit are live."""

    class Interrupted(sqlite3.Connection):
        n_commits = 0

        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            cursor = super().execute(sql, *parameters)
            if sql == "COMMIT":
                Interrupted.n_commits += 1
                if Interrupted.n_commits == 2:  # the first one makes the tables
                    raise KeyboardInterrupt
            return cursor

    file = save(tmp_path / "game.jsonl", game(5))
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Interrupted))
        with pytest.raises(KeyboardInterrupt):
            import_recordings(file, tmp_path / "store", timezone=NEW_YORK)

    assert len(events(tmp_path / "store")) in (0, 6)
    imported(file, tmp_path / "store")
    assert len(events(tmp_path / "store")) == 6


INTERRUPTED_IMPORT = """
    import sys
    from vectra_analytics.importers import import_recordings, recordings

    recordings._BATCH_ROWS = 60
    print("begins", flush=True)
    said = lambda *at: print(*at, flush=True)
    import_recordings(sys.argv[1], sys.argv[2], timezone="America/New_York", progress=said)
    print("ends", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent as a signal")
@pytest.mark.parametrize("n_steps", [20, 60])
def test_ctrl_c_leaves_a_valid_store_and_a_second_run_completes(n_steps: int, tmp_path: Path) -> None:
    """What was committed until then is there, each event once; then nothing is missing."""
    for number in range(80):
        save(tmp_path / "in" / f"{number:03}.jsonl", [*game(20, f"g{number}"), TORN])
    program = [sys.executable, "-c", textwrap.dedent(INTERRUPTED_IMPORT), str(tmp_path / "in"), str(tmp_path / "store")]
    place = Path(vectra_analytics.__file__).parents[1]  # the package under test, wherever the tests are run from
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=place) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        for _ in range(n_steps):
            assert running.stdout.readline()
        running.send_signal(signal.SIGINT)
        rest, trouble = running.stdout.read(), running.stderr.read()

    assert "ends" not in rest
    assert "KeyboardInterrupt" in trouble
    found = [event["raw_json"] + event["session_id"] for event in events(tmp_path / "store")]
    assert len(found) == len(set(found))
    assert 0 < len(found) < 80 * 21
    report = imported(tmp_path / "in", tmp_path / "store")
    assert kinds(report) == (80 * 21 - len(found), len(found), 0, 80)
    imported(tmp_path / "in", tmp_path / "undisturbed")
    assert events(tmp_path / "store") == events(tmp_path / "undisturbed")
    assert rejects(tmp_path / "store") == rejects(tmp_path / "undisturbed")
    assert ask(tmp_path / "store").info().n_rejected == 80


def test_two_imports_at_the_same_time_store_each_event_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same files into the same store: each line is new to one of them."""
    files = [save(tmp_path / "in" / f"{n}.jsonl", [*game(20, f"g{n}"), TORN]) for n in range(20)]
    monkeypatch.setattr(f"{RECORDINGS}._BATCH_ROWS", 30)
    imported(files[0], tmp_path / "store")
    gate = threading.Barrier(2)

    def run(sources: Sequence[Path]) -> ImportReport:
        gate.wait()
        return imported(sources, tmp_path / "store")

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(run, [files, files[::-1]]))

    assert sum(report.lines_stored for report in reports) == 19 * 21
    assert sum(report.lines_duplicate for report in reports) == 21 * 21
    assert len(events(tmp_path / "store")) == 20 * 21
    assert ask(tmp_path / "store").info().n_rejected == 20


# Time


def test_naive_times_without_a_zone_are_an_error_before_anything_is_stored(tmp_path: Path) -> None:
    """It names the option; also where only one of many files has them."""
    aware = save(tmp_path / "aware.jsonl", [line(1, timestamp="2025-10-30T11:45:00+00:00")])
    naive = save(tmp_path / "naive.jsonl", [line(1)])

    text = refusal([aware, naive], tmp_path / "store", timezone=None)

    assert "--timezone" in text
    assert str(naive) in text
    assert not (tmp_path / "store").exists()


def test_naive_times_behind_a_first_record_with_an_odd_time_are_found_too(tmp_path: Path) -> None:
    """That the first record's time cannot be read tells nothing of the others."""
    file = save(tmp_path / "game.jsonl", [line(1, timestamp="yesterday"), line(2), line(3)])

    assert "--timezone" in refusal(file, tmp_path / "store", timezone=None)
    assert not (tmp_path / "store").exists()


def test_aware_times_need_no_zone(tmp_path: Path) -> None:
    """Each has its own."""
    times = ["2025-10-30T15:45:00Z", "2025-10-30T11:45:00.25-04:00", "2025-10-30T21:15:00.5+05:30"]
    lines = [line(n, timestamp=time) for n, time in enumerate(times)]

    assert kinds(imported(save(tmp_path / "game.jsonl", lines), tmp_path / "store", None)) == (3, 0, 0, 0)

    found = [event["ts"].isoformat() for event in events(tmp_path / "store")]
    assert found == [f"2025-10-30T15:45:00{part}+00:00" for part in ("", ".250000", ".500000")]


def test_an_unknown_zone_stores_nothing(tmp_path: Path) -> None:
    """It is named, with an example of a known one."""
    text = refusal(save(tmp_path / "game.jsonl", game(2)), tmp_path / "store", timezone="America/New_Yrk")

    assert "New_Yrk" in text
    assert NEW_YORK in text
    assert not (tmp_path / "store").exists()


def test_the_day_of_an_event_is_its_day_in_utc(tmp_path: Path) -> None:
    """Evening in New York is the next day, before and after the change of the clocks."""
    local = ["2025-11-01T19:59:59.999999", "2025-11-01T20:00:00", "2025-11-02T18:59:59", "2025-11-02T19:00:00"]
    lines = [line(n, timestamp=time) for n, time in enumerate(local)]

    imported(save(tmp_path / "game.jsonl", lines), tmp_path / "store")

    found = ask(tmp_path / "store").query("SELECT date::VARCHAR AS date FROM events ORDER BY seq")["date"].to_list()
    assert found == ["2025-11-01", "2025-11-02", "2025-11-02", "2025-11-03"]


@pytest.mark.parametrize("rows", [1, 2, 3, 1 << 30])
@pytest.mark.parametrize(
    ("local", "utc"),
    [
        (
            ["00:50", "01:10", "01:50", "01:05", "01:50", "02:00"],
            ["04:50", "05:10", "05:50", "06:05", "06:50", "07:00"],
        ),
        (["01:10", "01:50", "02:10", "02:20"], ["06:10", "06:50", "07:10", "07:20"]),
        (["01:10", "01:20", "01:30"], ["05:10", "05:20", "05:30"]),
    ],
    ids=["steps back", "begins in the second hour", "only in it"],
)
def test_the_repeated_hour_is_settled_by_the_file_wherever_batches_end(
    rows: int, local: list[str], utc: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times never go back within a file: so it is known which of the two hours is meant."""
    monkeypatch.setattr(f"{RECORDINGS}._BATCH_ROWS", rows)
    monkeypatch.setattr(f"{RECORDINGS}.read_lines", lambda path, size=64: read_lines(path, size))
    later = save(tmp_path / "a later day.jsonl", [line(0, timestamp="2025-11-05T12:00:00", game_id="later")])
    lines = [TORN * 3, *(line(n, timestamp=f"2025-11-02T{at}:00") for n, at in enumerate(local))]

    imported([later, save(tmp_path / "game.jsonl", lines)], tmp_path / "store")

    found = ask(tmp_path / "store").query("SELECT ts FROM events WHERE game_id = 'g1' ORDER BY seq")["ts"]
    assert [f"{at:%H:%M}" for at in found] == utc


def test_a_file_in_the_repeated_hour_may_begin_with_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file before is forgotten, even if the first batch of this one has not one record."""
    monkeypatch.setattr(f"{RECORDINGS}._BATCH_BYTES", 1)
    monkeypatch.setattr(f"{RECORDINGS}.read_lines", lambda path, size=16: read_lines(path, size))
    later = save(tmp_path / "a.jsonl", [line(0, timestamp="2025-11-05T12:00:00", game_id="later")])
    file = save(tmp_path / "b.jsonl", [b"## nothing yet", b"", line(1, timestamp="2025-11-02T01:30:00")])

    imported([later, file], tmp_path / "store")

    found = ask(tmp_path / "store").query("SELECT ts FROM events WHERE game_id = 'g1'")["ts"].item()
    assert f"{found:%H:%M}" == "05:30"


# Real recordings


@dataclass(frozen=True)
class Expected:
    """What plain Python finds in a file."""

    n_lines: int
    raws: list[str]  # the text of each record
    n_not_events: int
    n_rejected: int
    n_rescued: int


_FLAT_RECORD = re.compile(r'\{"type": "(?:tick|game_start|game_end|session_\w+|game_complete)"[^{}]*\}')


def counted_plainly(path: Path) -> Expected:
    """Line by line with the standard library; a torn line's records, which are flat, by a regular expression."""
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    raws: list[str] = []
    n_not_events = n_rejected = n_rescued = 0
    for one in map(str.strip, lines):
        if not one or one.startswith("##"):
            n_not_events += 1
            continue
        try:
            json.loads(one)
            raws.append(one)
        except json.JSONDecodeError:
            found = _FLAT_RECORD.findall(one) and [match.group() for match in _FLAT_RECORD.finditer(one)]
            raws += found
            n_rescued += len(found)
            n_rejected += not found
    return Expected(len(lines), raws, n_not_events, n_rejected, n_rescued)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ImportReport, list[Expected]]:
    """All real games in one store, the report, and what there should be."""
    if not REAL_GAMES.is_dir():
        pytest.skip(NO_REAL_RECORDINGS)
    store = tmp_path_factory.mktemp("real") / "store"
    return store, imported(REAL_GAMES, store), [counted_plainly(path) for path in sorted(REAL_GAMES.iterdir())]


Real = tuple[Path, ImportReport, list[Expected]]


def test_real_recordings_are_accounted_for_as_plain_python_counts_them(real: Real) -> None:
    """Lines, records, rescued ones, comments and refusals."""
    _, report, expected = real

    assert report.n_files == len(expected) > 100
    assert report.lines_read == sum(file.n_lines for file in expected)
    assert report.events_stored == sum(len(file.raws) for file in expected) > 30_000
    assert report.records_rescued == sum(file.n_rescued for file in expected) > 0
    assert report.lines_not_events == sum(file.n_not_events for file in expected)
    assert len(report.rejected) == sum(file.n_rejected for file in expected)
    assert report.lines_duplicate == 0


def test_each_real_record_is_in_the_store_once(real: Real) -> None:
    """By its text; and each line's events are in the order of the file."""
    store, _, expected = real
    stored = ask(store).query("SELECT session_id, raw_json FROM events ORDER BY session_id, seq")

    by_session: dict[str, list[str]] = {}
    for session_id, raw in stored.iter_rows():
        by_session.setdefault(session_id, []).append(raw)
    assert sorted(by_session.values()) == sorted(file.raws for file in expected)


def test_the_columns_of_real_events_are_what_their_json_says(real: Real) -> None:
    """To the last bit of each price and the microsecond of each time."""
    store, _, _ = real
    zone = ZoneInfo(NEW_YORK)
    for event in events(store):
        said = json.loads(event["raw_json"])
        is_tick = said["type"] == "tick"
        at = datetime.fromisoformat(said["timestamp"])
        local = event["ts"].astimezone(zone)
        assert local.replace(tzinfo=None, fold=0) == at
        assert event["doc_type"] == ("game_tick" if is_tick else "system_event")
        assert event["event_name"] == (None if is_tick else said["type"])
        assert event["game_id"] == said["game_id"]
        assert (event["source"], event["direction"]) == ("replay", "received")
        names = ("tick", "active", "rugged", "phase", "cooldown_timer", "trade_count")
        assert [event[name] for name in names] == [said.get(name) if is_tick else None for name in names]
        if is_tick:
            assert struct.pack("<d", event["price"]) == struct.pack("<d", float(said["price"]))
        else:
            assert event["price"] is None


def test_real_recordings_imported_again_add_nothing(real: Real) -> None:
    """All lines that were stored are duplicates now, and the store has no new version."""
    store, first, _ = real
    version, n_rejected = ask(store).version, ask(store).info().n_rejected

    second = imported(REAL_GAMES, store)

    assert kinds(second) == (0, first.lines_stored, first.lines_not_events, len(first.rejected))
    assert sorted(second.rejected) == sorted(first.rejected)
    assert (ask(store).version, ask(store).info().n_rejected) == (version, n_rejected)
    assert n_rejected == len(first.rejected)


def test_real_recordings_one_by_one_in_tiny_batches_are_the_same(
    real: Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first and the damaged ones, from the last to the first, in batches of a few hundred rows."""
    store, report, _ = real
    damaged = {name for name, _, _ in report.rejected}
    files = sorted({*sorted(REAL_GAMES.iterdir())[:8], *map(Path, damaged)}, reverse=True)[:20]
    monkeypatch.setattr(f"{RECORDINGS}._BATCH_ROWS", 400)
    monkeypatch.setattr(f"{RECORDINGS}.read_lines", lambda path, size=20_000: read_lines(path, size))

    for file in files:
        imported(file, tmp_path / "store")

    found = events(tmp_path / "store")
    sessions = {event["session_id"] for event in found}
    assert found == [event for event in events(store) if event["session_id"] in sessions]
    assert len(sessions) == len(files)


def test_rescued_text_is_what_orjson_reads(real: Real) -> None:
    """Nothing is stored whose raw_json another program could not read."""
    store, _, _ = real
    for (raw,) in ask(store).query("SELECT raw_json FROM events USING SAMPLE 2000 ROWS").iter_rows():
        assert isinstance(orjson.loads(raw), dict)
