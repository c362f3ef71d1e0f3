"""import_recordings on the feed as it came: raw websocket samples and raw captures."""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NO_REAL_RECORDINGS, REAL_SAMPLES, START, rows, write
from tests.test_importers import (
    ALIKE,
    NEW_YORK,
    RECORDINGS,
    ask,
    compressed,
    events,
    imported,
    kinds,
    line,
    refusal,
    rejected_lines,
    rejects,
    save,
    seconds,
)
from vectra_analytics import Direction, EventEnvelope, EventSource, VectraError
from vectra_analytics.importers.lines import position_seq, read_lines, whole_objects
from vectra_analytics.importers.torn import end_of_torn

LOCAL = datetime(2025, 12, 6, 19, 57, 10)
TRACE = {"__trace": True, "traceparent": "00-1-2-01"}
BEYOND = 2**70 + 1


# A feed to order


def update(tick: int, price: float, game_id: str = "g9", /, **changes: Any) -> dict[str, Any]:
    """The payload of a gameStateUpdate of a running game."""
    said = {"gameId": game_id, "active": True, "rugged": False, "tickCount": tick, "price": price}
    return said | {"cooldownTimer": 0, "tradeCount": 3} | changes


def finished(game_id: str, *prices: float, **changes: Any) -> dict[str, Any]:
    """A game of a gameHistory."""
    return {"id": game_id, "prices": list(prices), "rugged": True, "gameVersion": "v3", "globalSidebets": []} | changes


HISTORY = [finished("g1", 1, 1.25, 0.0123), finished("g2", 1, 0.02), finished("g3", 1.0, 1e-7, 1e16, 0.01)]
FEED: list[tuple[str, Any]] = [
    ("gameStateUpdate", update(7, 1.5, gameHistory=HISTORY[:2])),
    ("gameStateUpdate", update(6, 1.25)),
    ("standard/newTrade", [TRACE, {"id": "t1", "gameId": "g9", "playerId": "p1", "username": None, "tickIndex": 7}]),
    ("newSideBet", TRACE),
    ("newSideBet", [TRACE]),
    ("playerUpdate", {"id": "p2", "cash": 0.09503525, "username": "Zoë 🚀"}),
    ("newChatMessage", [TRACE, {"playerId": "p3", "username": "x", "message": 'a "b" {"c": [\n\0'}]),
    ("gameStateUpdate", update(8, 0.004, rugged=True, gameHistory=[*HISTORY, {"prices": [1]}, "no game", None])),
    ("gameStateUpdate", {"gameId": "g10", "cooldownTimer": 14900, "allowPreRoundBuys": False}),
    ("gameStateUpdate", update(1, 2.0, "g10", tickCount="3", price=-1, active=1, cooldownTimer=1.5, tradeCount=2**63)),
    ("gameStateUpdate", update(BEYOND, BEYOND, "g10", note=[BEYOND, -(2**63) - 1, 2**64, 1e300, 5e-324])),
    ("ping", None),
    ("ping", "text"),
    ("ping", 5),
    ("ping", []),
]


def time_of(number: int) -> datetime:
    """When the event of a line happened, local time."""
    return LOCAL + timedelta(milliseconds=number)


def sample(number: int, name: str, data: Any) -> dict[str, Any]:
    """A raw websocket sample."""
    return {"timestamp": time_of(number).isoformat(timespec="microseconds"), "event_type": name, "data": data}


def captured(number: int, name: str, data: Any, /, **more: Any) -> dict[str, Any]:
    """A line of a raw capture."""
    return {"seq": number, "ts": time_of(number).isoformat(), "event": name, "data": data} | more


def intercepted(number: int, name: str, data: Any, direction: str = "received") -> dict[str, Any]:
    """What the browser's listener publishes."""
    at = (START + timedelta(milliseconds=number)).isoformat()
    return {"event": name, "data": data, "timestamp": at, "direction": direction, "raw": f'42["{name}",{{}}]'}


def text(record: Any) -> bytes:
    """The record as a recorder writes it."""
    return json.dumps(record).encode()


def made(
    records: Iterable[dict[str, Any]], kind: str, source: EventSource, zone: str = NEW_YORK
) -> list[EventEnvelope]:
    """What the factories make of the records of a file, one record a line."""
    found: list[EventEnvelope] = []
    session_id = ""
    for number, record in enumerate(records, 1):
        if not session_id:
            session_id = f"{kind}-{hashlib.sha256(text(record)).hexdigest()[:16]}"
        ts = datetime.fromisoformat(record.get("ts") or record["timestamp"])
        if ts.tzinfo is None:
            ts = ts.replace(tzinfo=ZoneInfo(zone))
        name, data, direction = record.get("event_type") or record["event"], record["data"], record.get("direction")
        found.append(
            EventEnvelope.from_ws_event(
                name,
                data,
                source,
                session_id,
                position_seq(number, 0),
                ts=ts,
                direction=Direction(direction or "received"),
            )
        )
        history = data.get("gameHistory") if isinstance(data, dict) and name == "gameStateUpdate" else None
        games = [game for game in history or () if isinstance(game, dict) and (game.get("id") or game.get("gameId"))]
        for position, game in enumerate(games, 1):
            seq = position_seq(number, position)
            found.append(
                EventEnvelope.from_complete_game(
                    game, source, session_id, seq, ts=ts, direction=Direction(direction or "received")
                )
            )
    return found


# The same as the factories


@pytest.mark.parametrize(
    ("kind", "make", "source"),
    [
        ("ws", sample, EventSource.PUBLIC_WS),
        ("capture", captured, EventSource.PUBLIC_WS),
        ("capture", intercepted, EventSource.CDP),
    ],
    ids=["samples", "captures", "intercepted"],
)
def test_rows_are_those_that_the_factories_make(kind: str, make: Any, source: EventSource, tmp_path: Path) -> None:
    """Every column, exactly: odd values leave theirs empty, numbers lose nothing, each game is stored once."""
    records = [make(number, *event) for number, event in enumerate(FEED, 1)]
    file = save(tmp_path / "feed.jsonl", map(text, records))

    report = imported(file, tmp_path / "store")

    assert kinds(report) == (len(FEED), 0, 0, 0)
    assert report.events_stored == len(FEED) + 3
    expected = events(write(tmp_path / "made", made(records, kind, source)))
    assert events(tmp_path / "store") == expected
    assert str(BEYOND) in json.dumps([json.loads(event["raw_json"]) for event in expected])


def test_what_the_columns_hold(tmp_path: Path) -> None:
    """By hand, so that a mistake that importer and factories share is found."""
    imported(save(tmp_path / "feed.jsonl", (text(sample(n, *e)) for n, e in enumerate(FEED, 1))), tmp_path / "store")

    found = ask(tmp_path / "store").query(
        "SELECT doc_type, event_name, game_id, player_id, username, tick, price, active, rugged, cooldown_timer "
        "FROM events WHERE seq >> 20 IN (1, 3, 6, 10) ORDER BY seq"
    )
    assert found.rows() == [
        ("ws_event", "gameStateUpdate", "g9", None, None, 7, 1.5, True, False, 0),
        ("complete_game", None, "g1", None, None, None, None, None, True, None),
        ("complete_game", None, "g2", None, None, None, None, None, True, None),
        ("ws_event", "standard/newTrade", "g9", "p1", None, 7, None, None, None, None),
        ("ws_event", "playerUpdate", None, "p2", "Zoë 🚀", None, None, None, None, None),
        ("ws_event", "gameStateUpdate", "g10", None, None, None, None, None, False, None),
    ]
    assert events(tmp_path / "store")[0]["ts"].isoformat() == "2025-12-07T00:57:10.001000+00:00"


def test_frames_keep_their_direction_and_source(tmp_path: Path) -> None:
    """Sent and received, by the listener in the browser or on the public feed, with and without a zone."""
    aware = (START + timedelta(seconds=1)).isoformat()
    records = [
        captured(1, "a", {}),
        captured(2, "b", {}, direction="sent", source="cdp_intercept", raw="42[]", ts=aware),
        captured(3, "c", {}, direction="received", source="cdp", ts=aware),
        captured(4, "d", {}, direction="sent"),
        captured(5, "e", {}, raw=None),
        captured(6, "f", {}, source="public_ws", direction=None),
        intercepted(7, "buyOrder", {"amount": 0.001}, "sent"),
    ]
    report = imported(save(tmp_path / "raw.jsonl", map(text, records)), tmp_path / "store")

    assert kinds(report) == (7, 0, 0, 0)
    found = rows(ask(tmp_path / "store"), "SELECT event_name, source, direction FROM events ORDER BY seq")
    assert found == [
        ("a", "public_ws", "received"),
        ("b", "cdp", "sent"),
        ("c", "cdp", "received"),
        ("d", "cdp", "sent"),
        ("e", "cdp", "received"),
        ("f", "public_ws", "received"),
        ("buyOrder", "cdp", "sent"),
    ]
    times = [event["ts"].isoformat() for event in events(tmp_path / "store")]
    assert times[0] == "2025-12-07T00:57:10.001000+00:00"
    assert times[1] == times[2] == "2025-12-17T12:00:01+00:00"
    assert times[6] == "2025-12-17T12:00:00.007000+00:00"


def test_naive_times_need_a_zone_and_aware_ones_do_not(tmp_path: Path) -> None:
    """The error names the option, as for other recordings."""
    for number, record in enumerate([sample(1, *FEED[1]), captured(1, *FEED[1])]):
        naive = save(tmp_path / f"{number}.jsonl", [text(record)])
        assert "--timezone" in refusal(naive, tmp_path / "store", None)
    aware = save(tmp_path / "aware.jsonl", [text(intercepted(1, *FEED[1]))])

    assert kinds(imported(aware, tmp_path / "store", None)) == (1, 0, 0, 0)


# Stored once


@pytest.mark.parametrize("make", [sample, captured, intercepted])
def test_copies_add_nothing_and_a_grown_file_its_new_lines(make: Any, tmp_path: Path) -> None:
    """Renamed, compressed, imported again; games told again in a new line are not stored again."""
    lines = [text(make(number, *event)) for number, event in enumerate(FEED, 1)]
    file = save(tmp_path / "feed.jsonl", lines[:-4])
    assert kinds(imported(file, tmp_path / "store")) == (len(lines) - 4, 0, 0, 0)
    version = ask(tmp_path / "store").version

    renamed = save(tmp_path / "in" / "other name.jsonl", lines[:-4])
    for copy in (file, compressed(file, ".gz"), compressed(file, ".zst"), renamed):
        report = imported(copy, tmp_path / "store")
        assert kinds(report) == (0, len(lines) - 4, 0, 0)
        assert report.events_stored == 0
    assert ask(tmp_path / "store").version == version
    told_again = text(make(90, "gameStateUpdate", update(9, 1.5, gameHistory=HISTORY)))
    grown = imported(save(tmp_path / "grown.jsonl", [*lines, told_again]), tmp_path / "store")

    assert kinds(grown) == (5, len(lines) - 4, 0, 0)
    assert grown.events_stored == 5


def test_a_complete_game_is_one_whoever_tells_it_and_in_whatever_order(tmp_path: Path) -> None:
    """Keys in another order are the same game; other prices are a conflict, which is kept and never silent."""
    turned = dict(reversed(HISTORY[0].items()))
    told = [
        text(sample(1, "gameStateUpdate", update(1, 1.5, gameHistory=[HISTORY[0]]))),
        text(sample(2, "gameStateUpdate", update(2, 1.5, gameHistory=[turned]))),
        text(sample(3, "gameStateUpdate", update(3, 1.5, gameHistory=[finished("g1", 1, 9.0)]))),
    ]
    report = imported(save(tmp_path / "a.jsonl", told), tmp_path / "store")

    assert kinds(report) == (3, 0, 0, 0)
    assert report.events_stored == 4
    (kept,) = rejects(tmp_path / "store")
    assert (kept["position"], json.loads(kept["raw"])) == (3, finished("g1", 1, 9.0))
    assert "g1" in kept["reason"]
    by_id = text(
        captured(1, "gameStateUpdate", update(4, 1.5, gameHistory=[HISTORY[1] | {"id": None, "gameId": "g2"}]))
    )
    imported(save(tmp_path / "b.jsonl", [by_id]), tmp_path / "store")
    assert rows(ask(tmp_path / "store"), "SELECT game_id FROM complete_game ORDER BY 1") == [("g1",), ("g2",)]


# Every line in its class

ODD: list[tuple[str, bytes, str]] = [
    ("a replay record", line(3), "event"),
    ("a number", b"5", "no record"),
    ("no data", text({"seq": 1, "ts": LOCAL.isoformat(), "event": "x"}), "data"),
    ("no time", text({"seq": 1, "event": "x", "data": {}}), "ts"),
    ("a time that is a number", text(captured(1, "x", {}, ts=1765069041639)), "ts"),
    ("a time that is none", text(captured(1, "gameStateUpdate", update(1, 1, gameHistory=HISTORY), ts="now")), "now"),
    ("an event that is a number", text(captured(1, "x", {}, event=5)), "int"),
    ("an event with a NUL", text(captured(1, "a\0", {})), "NUL"),
    ("a direction that is none", text(captured(1, "x", {}, direction="up")), "up"),
    ("a lone surrogate", text(captured(1, "x", {"a": "\ud800"})), "torn"),
    ("a number of 5,000 digits", b'{"ts": "2025-12-06T19:57:10", "event": "x", "data": ' + b"9" * 5_000 + b"}", ""),
    ("very deep", b'{"ts": "2025-12-06T19:57:10", "event": "x", "data": ' + b"[" * 1_020 + b"]" * 1_020 + b"}", ""),
    ("a torn line", text(captured(1, *FEED[0]))[:-1], "torn"),
]


@pytest.mark.parametrize(("said", "reason"), [odd[1:] for odd in ODD], ids=[odd[0] for odd in ODD])
def test_what_is_no_event_is_rejected_with_its_reason_and_text(said: bytes, reason: str, tmp_path: Path) -> None:
    """Between two good lines; it is kept once, also when it is read again."""
    file = save(
        tmp_path / "raw.jsonl", [text(captured(1, *FEED[1])), said, b"## a note", b"", text(captured(9, "x", 1))]
    )

    for again in range(2):
        report = imported(file, tmp_path / "store")

        assert kinds(report) == (0 if again else 2, 2 if again else 0, 2, 1)
        assert rejected_lines(report) == [2]
        assert reason in report.rejected[0][2]
        (kept,) = rejects(tmp_path / "store")
        assert kept["raw"] == said.decode(errors="replace")
    assert len(events(tmp_path / "store")) == 2


def test_a_sample_among_captures_is_rejected_and_the_other_way_round(tmp_path: Path) -> None:
    """A file holds one kind of recording: that of its first record."""
    two = [text(captured(1, "x", {})), text(sample(2, "x", {}))]

    first = imported(save(tmp_path / "a.jsonl", two), tmp_path / "store")
    second = imported(save(tmp_path / "b.jsonl", two[::-1]), tmp_path / "store")

    assert kinds(first) == kinds(second) == (1, 0, 0, 1)
    assert [session[0].split("-")[0] for session in rows(ask(tmp_path / "store"), "SELECT session_id FROM events")] == [
        "capture",
        "ws",
    ]


def test_kinds_of_files_beside_each_other_are_each_read_as_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one folder, in one call, in batches of any size."""
    for number in range(3):
        save(tmp_path / "in" / f"{number}a.jsonl", [text(sample(number, "x", {})), text(sample(50, *FEED[0]))])
        save(tmp_path / "in" / f"{number}b.jsonl", [line(number), line(90)])
        save(tmp_path / "in" / f"{number}c.jsonl", [text(captured(number, "x", {})), text(captured(50, *FEED[0]))])
    whole = imported(tmp_path / "in", tmp_path / "whole")
    monkeypatch.setattr(f"{RECORDINGS}._BATCH_ROWS", 1)
    monkeypatch.setattr(f"{RECORDINGS}.read_lines", lambda path, size=64: read_lines(path, size))

    cut = imported(tmp_path / "in", tmp_path / "cut")

    assert kinds(whole) == (18, 0, 0, 0)
    assert cut == whole
    assert events(tmp_path / "cut") == events(tmp_path / "whole")
    assert len(events(tmp_path / "whole")) == 18 + 2


# Torn and joined lines

INNER = captured(2, "x", {"a": [{"b": 1}]})
"""A payload that looks like a record."""
OUTER = captured(1, "wrapped", {"list": [{"a": 1}, INNER], "event": INNER})


def found_in(line: bytes) -> list[int]:
    """The seqs of the records that are rescued of a line."""
    with tempfile.TemporaryDirectory() as folder:
        file = save(Path(folder, "raw.jsonl"), [text(captured(99, "first", {})), line])
        report = imported(file, Path(folder, "store"))
        assert report.records_rescued == report.events_stored - 1
        assert len(report.rejected) == (report.events_stored == 1)
        order = "SELECT seq & 1048575, event_name FROM events WHERE event_name <> 'first' ORDER BY seq"
        found = rows(ask(Path(folder, "store")), order)
        assert [position for position, _ in found] == list(range(len(found)))
        return [int(name) for _, name in found]


def test_an_object_inside_a_torn_record_is_no_record() -> None:
    """Wherever the record was cut off, and whether its end is missing or its beginning."""
    whole = text(OUTER)
    for cut in range(1, len(whole)):
        torn = whole_objects(whole[:cut], CAPTURED_KEYS)
        assert not [record for record, _ in torn if "ts" in record], whole[:cut]
    for cut in range(1, len(whole)):
        if not whole[cut:].lstrip().startswith(b"{"):  # that would look like the beginning of a line
            torn = whole_objects(whole[cut:], CAPTURED_KEYS)
            assert not [record for record, _ in torn if "ts" in record], whole[cut:]


CAPTURED_KEYS = frozenset({"seq", "ts", "timestamp", "event", "event_type", "direction", "source"})


def test_a_whole_record_behind_a_torn_one_is_rescued() -> None:
    """Wherever that was cut off; but where its payload has to go on with a value, what comes may be that value."""
    whole, plain = text(OUTER), text(captured(7, "7", {"b": {}}))
    payload_starts = whole.index(b'"data"')
    lost = []
    for cut in range(1, len(whole)):
        found = [record["seq"] for record, _ in whole_objects(whole[:cut] + plain, CAPTURED_KEYS) if "event" in record]
        if found != [7]:
            assert found == []
            lost.append(cut)
    assert lost
    assert all(cut > payload_starts and whole[:cut].rstrip()[-1:] in b":,[" for cut in lost)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"%(7)s%(8)s", [7, 8]),
        (b"%(7)s, %(8)s,%(9)s", [7, 8, 9]),
        (b"%(torn)s%(7)s", [7]),
        (b"%(7)s%(torn)s%(8)s%(torn)s", [7, 8]),
        (b'{"{"%(7)s', [7]),
        (b'{"seq": 1, "ts": "2025-1%(7)s', [7]),
        (b'{"seq": 1, "ts":%(7)s', [7]),
        (b'{"seq":%(7)s%(8)s', [7, 8]),
        (b'{"seq": 1,%(7)s', [7]),
        (b"%(7)s}", [7]),
        (b"\0\0%(7)s\0", [7]),
        (b'tail": {"a": %(7)s}]}', []),
        (b'%(8)stail": [%(7)s, %(7)s]}%(9)s', [8, 9]),
        (b"[%(7)s, %(8)s", []),
        (b"[[[[", []),
        (b'{"a": "\\', []),
    ],
)
def test_whole_records_of_a_broken_line(line: bytes, found: list[int]) -> None:
    """Joined ones, ones behind and before torn ones, and ends without their beginning."""
    parts = {str(n).encode(): text(captured(n, str(n), {"a": {"b": []}})) for n in (7, 8, 9)}
    parts[b"torn"] = text(OUTER)[:-3]
    filled = line
    for name, part in parts.items():
        filled = filled.replace(b"%%(%s)s" % name, part)

    assert found_in(filled) == found


def test_a_rescued_record_gives_its_games_too(tmp_path: Path) -> None:
    """Each at a position of its own in the line; the line made whole later adds nothing twice."""
    told = text(captured(2, *FEED[0]))
    broken = save(
        tmp_path / "raw.jsonl", [text(captured(1, "x", 1)), told + text(captured(3, "y", 1)), told[:-9] + told]
    )
    report = imported(broken, tmp_path / "store")

    assert kinds(report) == (3, 0, 0, 0)
    assert (report.events_stored, report.records_rescued) == (6, 5)
    found = rows(ask(tmp_path / "store"), "SELECT seq >> 20, seq & 1048575, doc_type FROM events ORDER BY seq")
    assert found == [
        (1, 0, "ws_event"),
        (2, 0, "ws_event"),
        (2, 1, "complete_game"),
        (2, 2, "complete_game"),
        (2, 3, "ws_event"),
        (3, 0, "ws_event"),
    ]
    assert imported(broken, tmp_path / "store").events_stored == 0


@pytest.mark.parametrize("part", [b'{"a":', b'{"y', b"[{", b'{"x":"{y', b'{"a":1,"b":"\\"{\\"{', b'{"a":{},', b"{}:"])
def test_a_torn_line_of_any_form_is_read_in_time_that_grows_with_it(part: bytes) -> None:
    """Four times the line takes some four times as long."""
    took = [seconds(lambda n=n: list(whole_objects(part * n, CAPTURED_KEYS))) for n in (2_000, 8_000)]  # type: ignore[misc]

    assert took[1] < 10 * took[0] + 0.05


@ALIKE
@given(st.text(alphabet='{}[]:,"\\ 0ae\n', max_size=40))
def test_the_end_of_a_torn_object_is_always_ahead(tail: str) -> None:
    """Reading a broken line comes to its end."""
    assert 1 <= end_of_torn("{" + tail, 0, frozenset()) <= len(tail) + 1


LINES = st.one_of(
    st.sampled_from([text(captured(1, *event)) for event in FEED] + [text(sample(1, *event)) for event in FEED]),
    st.sampled_from([odd[1] for odd in ODD]),
    st.sampled_from([b"", b"  ", b"## note"]),
    st.builds(lambda n, m: text(captured(1, *FEED[n]))[: -m - 1], st.integers(0, 14), st.integers(0, 60)),
    st.builds(lambda n, m: text(captured(1, *FEED[n])) * m, st.integers(0, 14), st.integers(2, 3)),
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")),
)


@ALIKE
@given(st.lists(LINES, max_size=12), st.sampled_from([captured, sample, intercepted]))
def test_every_line_is_in_exactly_one_class(lines: list[bytes], make: Any) -> None:
    """The classes sum up, the store holds what the report says, and a second import adds nothing."""
    with tempfile.TemporaryDirectory() as folder:
        file = save(Path(folder, "raw.jsonl"), [text(make(1, "first", {})), *lines])

        first = imported(file, Path(folder, "store"))

        assert first.lines_read == len(lines) + 1
        stored = events(Path(folder, "store"))
        assert len(stored) == first.events_stored
        again = imported(file, Path(folder, "store"))
        assert kinds(again) == (
            0,
            first.lines_stored + first.lines_duplicate,
            first.lines_not_events,
            len(first.rejected),
        )
        assert sorted(again.rejected) == sorted(first.rejected)
        assert events(Path(folder, "store")) == stored


def test_a_file_of_no_known_kind_names_all_that_there_are(tmp_path: Path) -> None:
    """So that the keys of a recording can be compared with them."""
    with pytest.raises(VectraError, match="type and timestamp, or timestamp, event_type and data, or ts or timestamp"):
        imported(save(tmp_path / "x.jsonl", [b'{"a": 1}']), tmp_path / "store")


# The ticks that the updates tell


def partial(**prices: Any) -> dict[str, Any]:
    """The partialPrices of an update; ``t3=1.5`` is the price of tick 3."""
    return {"partialPrices": {"values": {tick[1:]: price for tick, price in prices.items()}}}


TOLD: dict[str, tuple[list[Any], list[tuple[int, float, bool, str]], int]] = {
    "behind a trace header, joined late, out of order": (
        [[TRACE, update(9, 1.5, **partial(t7=1.3, t8=1.4, t9=1.5))], update(8, 1.4)],
        [(7, 1.3, False, "ws_event"), (8, 1.4, False, "ws_event"), (9, 1.5, False, "ws_event")],
        0,
    ),
    "values that are no prices": (
        [update(1, 1, **partial(t0=1, t2=None, t3={"a": 1}, t4=[1], t5=-1, t6="x", t7="2.5", x=1))],
        [(0, 1.0, False, "ws_event"), (1, 1.0, False, "ws_event"), (7, 2.5, False, "ws_event")],
        0,
    ),
    "ghosts, which the second update of the rug names": (
        [
            update(2, 1.2),
            update(3, 0.01, rugged=True, **partial(t2=1.2, t3=0.01)),
            update(5, 0.01, rugged=True, **partial(t3=0.01, t4=0.01, t5=0.01)),
        ],
        [(2, 1.2, False, "ws_event"), (3, 0.01, True, "ws_event")],
        0,
    ),
    "a complete game, which is believed": (
        [
            update(1, 1.15, **partial(t0=1)),
            update(5, 0.01, rugged=True, gameHistory=[finished("g9", 1, 1.1, 1.2, 0.01)], **partial(t3=0.01, t4=0.01)),
        ],
        [
            (0, 1.0, False, "complete_game"),
            (1, 1.1, False, "complete_game"),
            (2, 1.2, False, "complete_game"),
            (3, 0.01, True, "complete_game"),
        ],
        1,
    ),
    "a countdown": (
        [update(0, 1, active=False), {"gameId": "g9", "cooldownTimer": 100}, update(0, 1), update(1, 1.5)],
        [(0, 1.0, False, "ws_event"), (1, 1.5, False, "ws_event")],
        0,
    ),
}


@pytest.mark.parametrize(("told", "ticks", "n_conflicts"), TOLD.values(), ids=TOLD)
@pytest.mark.parametrize("make", [sample, captured, intercepted])
def test_ticks_are_what_the_updates_tell(
    told: list[Any], ticks: list[Any], n_conflicts: int, make: Any, tmp_path: Path
) -> None:
    """Prices of lists and of updates together, the best source first, disagreements counted."""
    lines = [text(make(number, "gameStateUpdate", data)) for number, data in enumerate(told)]
    imported(save(tmp_path / "feed.jsonl", lines), tmp_path / "store")

    assert rows(ask(tmp_path / "store"), "SELECT tick, price, rugged, source FROM ticks ORDER BY tick") == ticks
    assert rows(ask(tmp_path / "store"), "SELECT game_id, n_conflicts FROM games") == [("g9", n_conflicts)]


# The real feed


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the real samples."""
    if not REAL_SAMPLES.is_file():
        pytest.skip(NO_REAL_RECORDINGS)
    store = tmp_path_factory.mktemp("feed") / "store"
    assert kinds(imported(REAL_SAMPLES, store)) == (200, 0, 0, 0)
    return store


def test_the_real_events_are_all_there(real: Path) -> None:
    """By name, as the file has them."""
    named = Counter(json.loads(one)["event_type"] for one in REAL_SAMPLES.read_text().splitlines())

    found = dict(rows(ask(real), "SELECT event_name, count(*) FROM ws_event GROUP BY ALL"))

    assert found == named
    assert sorted(found.values()) == [1, 2, 3, 18, 176]


def test_the_ticks_of_the_real_complete_games_are_their_prices(real: Path) -> None:
    """Bit for bit, also of the game that the updates saw end; its rug is the last of its prices."""
    told = {
        game["id"]: game["prices"]
        for one in REAL_SAMPLES.read_text().splitlines()
        for record in [json.loads(one)]
        if record["event_type"] == "gameStateUpdate"
        for game in record["data"].get("gameHistory") or ()
    }
    query = ask(real)

    ticks = query.query("SELECT game_id, list(price ORDER BY tick) AS prices FROM ticks GROUP BY game_id")
    games = query.games()

    assert len(told) == 11
    found = {game_id: prices for game_id, prices in ticks.iter_rows()}
    assert {game_id: found[game_id] for game_id in told} == {
        game_id: list(map(float, p)) for game_id, p in told.items()
    }
    rugs = dict(games.select("game_id", "rug_tick").iter_rows())
    assert {game_id: rugs[game_id] for game_id in told} == {game_id: len(p) - 1 for game_id, p in told.items()}
    assert games["n_conflicts"].sum() == 0
    assert games["is_complete"].all()


def test_the_real_rows_are_those_that_the_factories_make(real: Path, tmp_path: Path) -> None:
    """Over the whole file, every column."""
    lines = REAL_SAMPLES.read_text().splitlines()
    expected = made([json.loads(one) for one in lines], "ws", EventSource.PUBLIC_WS)
    session_id = f"ws-{hashlib.sha256(lines[0].encode()).hexdigest()[:16]}"
    named = [EventEnvelope(**{n: getattr(e, n) for n in e.__slots__} | {"session_id": session_id}) for e in expected]

    assert events(real) == events(write(tmp_path / "made", named))


def test_the_real_file_imported_again_adds_nothing(real: Path, tmp_path: Path) -> None:
    """Also as a compressed copy under another name; one cut short has its lines already."""
    version = ask(real).version
    copy = tmp_path / "x.jsonl"
    copy.write_bytes(REAL_SAMPLES.read_bytes())
    short = save(tmp_path / "short.jsonl", REAL_SAMPLES.read_bytes().splitlines()[:50])

    assert kinds(imported([REAL_SAMPLES, compressed(copy, ".gz")], real)) == (0, 400, 0, 0)
    assert kinds(imported(short, real)) == (0, 50, 0, 0)
    assert ask(real).version == version
    grown = tmp_path / "grown"
    imported(short, grown)
    assert kinds(imported(REAL_SAMPLES, grown)) == (150, 50, 0, 0)
    assert events(grown) == events(real)
