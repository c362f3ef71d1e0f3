"""import_recordings on a Parquet store that the reference implementation wrote."""

import json
import shutil
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import episode, rows, write
from tests.test_feed_imports import HISTORY, TRACE, captured, finished, intercepted, text, update
from tests.test_importers import ALIKE, RECORDINGS, ask, events, imported, kinds, line, refusal, rejects, save
from vectra_analytics import EventEnvelope, EventSource
from vectra_analytics.cli.recordings import describe_import
from vectra_analytics.exact_values import to_json
from vectra_analytics.importers import reference_store

LATEST = [
    ("ts", pa.string()),
    ("source", pa.string()),
    ("doc_type", pa.string()),
    ("session_id", pa.string()),
    ("seq", pa.int64()),
    ("direction", pa.string()),
    ("raw_json", pa.string()),
    ("game_id", pa.string()),
    ("player_id", pa.string()),
    ("username", pa.string()),
    ("event_name", pa.string()),
    ("price", pa.string()),
    ("tick", pa.int64()),
    ("action_type", pa.string()),
    ("cash", pa.string()),
    ("position_qty", pa.string()),
    ("button_id", pa.string()),
    ("button_category", pa.string()),
    ("sequence_id", pa.string()),
    ("sequence_position", pa.int64()),
]
"""The columns of a file, in its order."""
EARLIER = LATEST[:16]
"""Before the end of 2025 there were no buttons."""
BEGAN = datetime(2025, 12, 21, 18, 36, 8, 250_000)
NAMES = [name for name, _ in LATEST]


# A store to order, as the reference writes it


def entry(doc_type: str, seq: int, raw: Any = None, /, **columns: Any) -> dict[str, Any]:
    """A row; ``raw`` is the payload, or its text."""
    at = BEGAN + timedelta(milliseconds=250 * seq)
    return {
        "ts": at.isoformat(),
        "source": "public_ws",
        "doc_type": doc_type,
        "session_id": "7c1f6d1e",
        "seq": seq,
        "direction": "received",
        "raw_json": raw if isinstance(raw, str) else json.dumps(raw),
    } | columns


def ws(seq: int, name: str, data: Any, /, **columns: Any) -> dict[str, Any]:
    """A ws_event as the service stores it: of the columns it knows the game and the name."""
    game_id = data.get("gameId") if isinstance(data, dict) else None
    known = {"event_name": name, "game_id": game_id}
    return entry("ws_event", seq, {"event": name, "data": data}, **known | columns)


def put(folder: Path, name: str, found: Iterable[dict[str, Any]], columns: Any = LATEST, **options: Any) -> Path:
    """One file of these rows."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(found), pa.schema(columns))
    pq.write_table(table, folder / f"{name}.parquet", **options)
    return folder / f"{name}.parquet"


def flush(root: Path, found: Iterable[dict[str, Any]], name: str, columns: Any = LATEST) -> Path:
    """What a flush of the reference's writer writes: a file for each doc_type and day."""
    parts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in found:
        parts.setdefault((one["doc_type"], one["ts"][:10]), []).append(one)
    for (doc_type, date), some in parts.items():
        put(root / "events_parquet" / f"doc_type={doc_type}" / f"date={date}", name, some, columns)
    return root


TRADE = [TRACE, {"id": "t1", "gameId": "g9", "playerId": "p1", "username": "Ann", "tickIndex": 7, "price": 1.5}]
ROWS = [
    ws(1, "gameStateUpdate", update(7, 1.5, gameHistory=HISTORY[:1])),
    entry("complete_game", 2, HISTORY[0], game_id="g1"),
    ws(3, "standard/newTrade", TRADE),
    entry("game_tick", 4, {"tick": 8, "multiplier": 1.6}, tick=8, price="1.6", game_id="unknown"),
    entry(
        "server_state",
        5,
        {"id": "p2", "cash": 0.09503525, "positionQty": 1},
        game_id="unknown",
        player_id="unknown",
        cash="0.09503525",
        position_qty="1",
    ),
    entry("player_action", 6, {"amount": 0.01, "tick": 9}, action_type="buy", source="ui", direction="sent"),
    entry("system_event", 7, {"type": "connected", "data": {"gameId": "g9"}}, event_name="connected"),
]
BUTTON = entry(
    "button_event",
    8,
    {"button_id": "BUY", "tick": 9},
    source="ui",
    direction="sent",
    button_id="BUY",
    button_category="action",
    tick=9,
    price="1.25",
    game_id="g9",
    sequence_id="s-1",
    sequence_position=2,
)


def a_store(root: Path) -> Path:
    """Both generations, a flush that failed half way and was repeated, and what a crash left behind."""
    flush(root, ROWS, "20251221_183608_000000_aaaaaaaa", EARLIER)
    flush(root, ROWS[2:4], "20251221_183609_000000_bbbbbbbb")
    last = flush(root, [BUTTON, ROWS[0]], "20260102_100000_000000_cccccccc")
    stray = last / "events_parquet" / "doc_type=ws_event" / "date=2025-12-21" / ".20251221_1836.parquet.tmp"
    stray.write_bytes(b"PAR1 half")
    return root


def one(store: Path, columns: str = "*") -> tuple[Any, ...]:
    """The only event of a store."""
    ((*found,),) = rows(ask(store), f"SELECT {columns} FROM events")
    return tuple(found)


# Nothing is lost


def test_a_store_of_both_generations_is_imported_without_loss(tmp_path: Path) -> None:
    """Each event once, under its own identity, in the columns that the factories fill."""
    source = a_store(tmp_path / "rugs_data")

    report = imported(source, tmp_path / "store", None)

    assert kinds(report) == (8, 3, 0, 0)
    assert (report.n_files, report.events_stored, report.amounts_unreadable) == (10, 8, 0)
    at = {n: BEGAN.replace(tzinfo=UTC) + timedelta(milliseconds=250 * n) for n in range(9)}
    mine, public = ("7c1f6d1e",), EventSource.PUBLIC_WS
    expected = [
        EventEnvelope.from_ws_event(
            "gameStateUpdate", update(7, 1.5, gameHistory=HISTORY[:1]), public, *mine, 1, ts=at[1]
        ),
        EventEnvelope.from_complete_game(HISTORY[0], public, *mine, 2, ts=at[2]),
        EventEnvelope.from_ws_event("standard/newTrade", TRADE, public, *mine, 3, ts=at[3]),
        EventEnvelope.from_game_tick(8, "1.6", {"tick": 8, "multiplier": 1.6}, public, *mine, 4, "unknown", ts=at[4]),
        EventEnvelope.from_server_state(
            {"id": "p2", "cash": 0.09503525, "positionQty": 1},
            public,
            *mine,
            5,
            "unknown",
            "p2",
            None,
            "0.09503525",
            1,
            ts=at[5],
        ),
        EventEnvelope.from_player_action("buy", {"amount": 0.01, "tick": 9}, EventSource.UI, *mine, 6, ts=at[6]),
        EventEnvelope.from_system_event("connected", {"gameId": "g9"}, public, *mine, 7, ts=at[7]),
        EventEnvelope.from_button_event(
            "BUY",
            "action",
            {"button_id": "BUY", "tick": 9},
            EventSource.UI,
            *mine,
            8,
            "g9",
            tick=9,
            price=1.25,
            sequence_id="s-1",
            sequence_position=2,
            ts=at[8],
        ),
    ]
    found = events(tmp_path / "store")
    for stored, event, source_row in zip(
        found, events(write(tmp_path / "made", expected)), [*ROWS, BUTTON], strict=True
    ):
        assert stored["raw_json"] == source_row["raw_json"]
        assert json.loads(stored["raw_json"]) == json.loads(event["raw_json"])
        game_id = None if event["game_id"] == "unknown" else event["game_id"]
        assert stored == event | {"raw_json": stored["raw_json"], "game_id": game_id}


def test_a_second_import_adds_nothing(tmp_path: Path) -> None:
    """Also from a copy whose files have other names and stand side by side in one folder."""
    source = a_store(tmp_path / "rugs_data")
    imported(source, tmp_path / "store", None)
    before, version = events(tmp_path / "store"), ask(tmp_path / "store").version
    (tmp_path / "flat").mkdir()
    for number, file in enumerate(sorted(source.rglob("*.parquet"))):
        shutil.copy(file, tmp_path / "flat" / f"{number}.parquet")

    assert kinds(imported(source, tmp_path / "store", None)) == (0, 11, 0, 0)
    assert kinds(imported(tmp_path / "flat", tmp_path / "store", None)) == (0, 11, 0, 0)
    assert (events(tmp_path / "store"), ask(tmp_path / "store").version) == (before, version)


@pytest.mark.parametrize(
    "named", [".", "events_parquet", "events_parquet/doc_type=ws_event", "file", "pattern", "magic"]
)
def test_a_source_is_any_part_of_the_store(named: str, tmp_path: Path) -> None:
    """The data directory, a folder in it, a file, a pattern; a file is known by its first bytes, too."""
    source = flush(tmp_path / "rugs_data", [ROWS[0]], "a")
    (file,) = source.rglob("*.parquet")
    shutil.copy(file, tmp_path / "dump")
    place = {"file": file, "pattern": source / "**" / "*.parquet", "magic": tmp_path / "dump"}.get(
        named, source / named
    )

    assert kinds(imported(place, tmp_path / "store", None)) == (1, 0, 0, 0)


def test_a_file_without_its_column_has_its_doc_type_in_the_path(tmp_path: Path) -> None:
    """Where neither says it, the row is refused."""
    lean = [(name, kind) for name, kind in LATEST if name != "doc_type"]
    bare = {name: value for name, value in ROWS[0].items() if name != "doc_type"}
    put(tmp_path / "in" / "doc_type=ws_event", "a", [bare], lean)
    lost = put(tmp_path / "in", "b", [bare | {"seq": 2}], lean)

    report = imported(tmp_path / "in", tmp_path / "store", None)

    assert kinds(report) == (1, 0, 0, 1)
    assert report.rejected[0][:2] == (str(lost), 1)
    assert "doc_type" in report.rejected[0][2]


def test_thousands_of_repeated_complete_games_are_stored_once(tmp_path: Path) -> None:
    """A restart of the service stored each game of the history again, as another event and often with other spaces."""
    again = [
        entry(
            "complete_game",
            n,
            json.dumps(dict(sorted(HISTORY[n % 3].items(), reverse=n % 2 == 0))),
            session_id=f"s{n % 40}",
        )
        for n in range(2_000)
    ]
    source = flush(tmp_path / "rugs_data", again, "a")

    report = imported(source, tmp_path / "store", None)

    assert kinds(report) == (3, 1_997, 0, 0)
    assert kinds(imported(source, tmp_path / "store", None)) == (0, 2_000, 0, 0)
    assert rows(ask(tmp_path / "store"), "SELECT game_id FROM complete_game ORDER BY 1") == [("g1",), ("g2",), ("g3",)]


def test_rows_are_the_same_in_batches_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups, batches and commits cut a file anywhere."""
    found = [ws(n, "gameStateUpdate", update(n, 1 + n / 8, gameHistory=HISTORY)) for n in range(50)]
    found += [*found[10:20], ws(60, "x", {}, seq=None), ws(61, "y", {}, ts="then")]
    file = put(tmp_path / "in", "a", found, row_group_size=7)
    whole = imported(file, tmp_path / "whole", None)
    monkeypatch.setattr(f"{RECORDINGS}._BATCH_BYTES", 1)
    monkeypatch.setattr(reference_store, "_ROWS_AT_ONCE", 3)

    cut = imported(file, tmp_path / "cut", None)

    assert kinds(whole) == (50, 10, 0, 2)
    assert cut == whole
    assert events(tmp_path / "cut") == events(tmp_path / "whole")
    assert rejects(tmp_path / "cut") == rejects(tmp_path / "whole")


def test_a_folder_may_hold_recordings_of_every_kind(tmp_path: Path) -> None:
    """Each file is read as what it is; a game told by two of them is stored once."""
    a_store(tmp_path / "in")
    save(
        tmp_path / "in" / "raw_captures" / "x_raw.jsonl",
        [text(captured(1, "gameStateUpdate", update(1, 1.5, gameHistory=HISTORY)))],
    )
    save(tmp_path / "in" / "events_parquet" / "game.jsonl", [line(1), line(2)])

    report = imported(tmp_path / "in", tmp_path / "store")

    assert kinds(report) == (8 + 1 + 2, 3, 0, 0)
    assert report.events_stored == 8 + 3 + 2
    assert ask(tmp_path / "store").count_events("complete_game") == 3


# What stands in the columns


@pytest.mark.parametrize(
    ("ts", "utc"),
    [
        ("2025-12-21T18:36:08", "2025-12-21T18:36:08+00:00"),
        ("2025-12-21T18:36:08.5", "2025-12-21T18:36:08.500000+00:00"),
        ("2025-12-21T18:36:08.250001", "2025-12-21T18:36:08.250001+00:00"),
        ("2025-12-21 18:36:08.25", "2025-12-21T18:36:08.250000+00:00"),
        ("2025-12-21T18:36:08.250001+00:00", "2025-12-21T18:36:08.250001+00:00"),
        ("2025-12-21T18:36:08Z", "2025-12-21T18:36:08+00:00"),
        ("2025-12-21T23:30:00-05:00", "2025-12-22T04:30:00+00:00"),
        ("2025-11-02T01:30:00", "2025-11-02T01:30:00+00:00"),
    ],
)
def test_times_are_utc_unless_they_name_a_zone(ts: str, utc: str, tmp_path: Path) -> None:
    """Whatever zone the import names for recordings; the day of an event is its day in UTC."""
    imported(put(tmp_path / "date=1999-01-01", "a", [ws(1, "x", {}, ts=ts)]), tmp_path / "store", "America/New_York")

    assert [at.isoformat() for at in one(tmp_path / "store", "ts")] == [utc]
    assert one(tmp_path / "store", "date::VARCHAR") == (utc[:10],)


FILLED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "a payload behind a trace header",
        ws(1, "standard/newTrade", TRADE),
        {"game_id": "g9", "player_id": "p1", "tick": 7, "price": 1.5},
    ),
    ("only a trace header", ws(1, "newSideBet", [TRACE]), {"game_id": None, "player_id": None, "tick": None}),
    (
        "the whole dict of the listener",
        entry("ws_event", 1, intercepted(1, "gameStateUpdate", update(7, 1.5))),
        {"event_name": "gameStateUpdate", "game_id": "g9", "tick": 7, "active": True, "trade_count": 3},
    ),
    (
        "a bare payload",
        entry("ws_event", 1, update(7, 1.5), event_name="gameStateUpdate"),
        {"event_name": "gameStateUpdate", "game_id": "g9", "price": 1.5},
    ),
    (
        "what the row says, against its payload",
        ws(1, "gameStateUpdate", update(7, 1.5), tick=3, price="2.5", player_id="p7", username="Bo"),
        {"tick": 3, "price": 2.5, "player_id": "p7", "username": "Bo"},
    ),
    ("a price of nothing, which the reference loses", ws(1, "gameStateUpdate", update(7, 0.0)), {"price": 0.0}),
    ("a player by the id", ws(1, "playerUpdate", {"id": "p2", "cash": 1}), {"player_id": "p2", "game_id": None}),
    ("a trade's id, which is no player", ws(1, "newTrade", {"id": "t2"}), {"player_id": None}),
    (
        "a placeholder where the payload knows",
        entry("server_state", 1, {"id": "p2", "gameId": "g4"}, game_id="unknown", player_id="unknown"),
        {"game_id": "g4", "player_id": "p2"},
    ),
    (
        "a placeholder where it does not",
        entry("server_state", 1, {"cash": 1}, game_id="unknown", player_id="unknown"),
        {"game_id": None, "player_id": None},
    ),
    ("empty texts", ws(1, "x", {}, game_id="", username=""), {"game_id": None, "username": None}),
    ("a game with gameId alone", entry("complete_game", 1, {"gameId": "g5", "prices": [1]}), {"game_id": "g5"}),
    ("a tick below 0", entry("game_tick", 1, {}, tick=-1, price="1"), {"tick": None, "price": 1.0}),
    ("a price that is none", entry("game_tick", 1, {}, tick=1, price="1,5"), {"tick": 1, "price": None}),
    ("a price with an underscore", entry("game_tick", 1, {}, tick=1, price="1_5"), {"price": None}),
    ("a price below 0", entry("game_tick", 1, {"price": 2}, tick=1, price="-1"), {"price": 2.0}),
    (
        "NaN",
        entry("game_tick", 1, '{"price": NaN, "active": true}', tick=1, price="nan"),
        {"price": None, "active": True},
    ),
    ("raw_json that is none", ws(1, "x", {}, raw_json='{"torn'), {"event_name": "x", "raw_json": '{"torn'}),
    ("no raw_json", ws(1, "x", {}, raw_json=None), {"event_name": "x", "raw_json": "null"}),
]


@pytest.mark.parametrize(("row", "expected"), [case[1:] for case in FILLED], ids=[case[0] for case in FILLED])
def test_columns_are_the_rows_own_or_read_from_its_payload(
    row: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    """The row's own where it has one; the payload's where the reference left it out or wrote a placeholder."""
    report = imported(put(tmp_path, "a", [row]), tmp_path / "store", None)

    assert kinds(report) == (1, 0, 0, 0)
    (stored,) = events(tmp_path / "store")
    assert {name: stored[name] for name in expected} == expected
    assert stored["raw_json"] == (row["raw_json"] or "null")


@pytest.mark.parametrize(
    ("amount", "stored"),
    [
        ("0.095035250000000001", Decimal("0.095035250000000001")),
        ("-12345678901234567890.123456789012345678", Decimal("-12345678901234567890.123456789012345678")),
        ("1E-9", Decimal("0.000000001")),
        (None, None),
        ("1e-19", None),
        ("123456789012345678901", None),
        ("0.1 SOL", None),
        ("1_5", None),
        ("", None),
        ("NaN", None),
        ("-Infinity", None),
    ],
)
def test_money_is_exact_or_counted(amount: str | None, stored: Decimal | None, tmp_path: Path) -> None:
    """Never rounded: where it cannot be stored it is NULL, and the text is kept where the payload has it."""
    row = entry("server_state", 1, {"cash": amount}, cash=amount, position_qty=amount)
    report = imported(put(tmp_path, "a", [row]), tmp_path / "store", None)

    assert one(tmp_path / "store", "cash, position_qty") == (stored, stored)
    n_lost = 2 if amount is not None and stored is None else 0
    assert report.amounts_unreadable == n_lost
    assert (f"{n_lost} amounts of money" in describe_import(report)) == bool(n_lost)
    assert "amounts" not in describe_import(imported(tmp_path / "a.parquet", tmp_path / "store", None))
    assert one(tmp_path / "store", "raw_json") == (json.dumps({"cash": amount}),)


# Refused

NO_EVENTS: list[tuple[str, dict[str, Any], str]] = [
    *((f"ts {ts!r}", {"ts": ts}, "ts" if ts is None else "timestamp") for ts in (None, "", "then", "2025-12-21")),
    *((f"session_id {s!r}", {"session_id": s}, "session_id") for s in (None, "", "a\0")),
    *((f"seq {seq!r}", {"seq": seq}, "seq") for seq in (None, -1)),
    *((f"{name} {value!r}", {name: value}, name) for name in ("source", "direction") for value in (None, "", "up")),
    ("an unknown doc_type", {"doc_type": "tick"}, "doc_type"),
    ("raw_json with a NUL", {"raw_json": '{"a": "\0"}'}, "raw_json"),
]


@pytest.mark.parametrize(("changes", "reason"), [case[1:] for case in NO_EVENTS], ids=[case[0] for case in NO_EVENTS])
def test_a_row_that_is_no_event_is_rejected_and_kept_whole(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    """With its file and its number from 1; it is counted once, however often it is read."""
    bad = ROWS[0] | {"seq": 2} | changes
    file = put(tmp_path, "a", [ROWS[0], bad, ROWS[2]])

    for again in range(2):
        report = imported(file, tmp_path / "store", None)

        assert kinds(report) == (0 if again else 2, 2 if again else 0, 0, 1)
        ((name, number, why),) = report.rejected
        assert (name, number) == (str(file), 2)
        assert reason in why
        (kept,) = rejects(tmp_path / "store")
        assert {name: value for name, value in json.loads(kept["raw"]).items() if value is not None} == {
            name: value for name, value in bad.items() if value is not None
        }
        assert ask(tmp_path / "store").info().n_rejected == 1


def test_texts_that_are_no_utf_8_refuse_their_row_alone(tmp_path: Path) -> None:
    """The others of the file are stored."""
    table = pa.Table.from_pylist([ROWS[0], ROWS[0] | {"seq": 2}], pa.schema(LATEST))
    broken = pa.array([None, b"\xff\xfe"], pa.binary()).view(pa.string())
    table = table.set_column(NAMES.index("username"), "username", broken)
    pq.write_table(table, tmp_path / "a.parquet")

    report = imported(tmp_path / "a.parquet", tmp_path / "store", None)

    assert kinds(report) == (1, 0, 0, 1)
    assert "username is no UTF-8" in report.rejected[0][2]


def test_an_identity_with_other_content_is_a_conflict(tmp_path: Path) -> None:
    """What is stored stays; the other is kept with its reason."""
    put(tmp_path / "in", "a", [ROWS[0]])
    other = put(tmp_path / "in", "b", [ws(1, "another", {})])

    report = imported(tmp_path / "in", tmp_path / "store", None)

    assert kinds(report) == (1, 0, 0, 1)
    assert report.rejected[0][:2] == (str(other), 1)
    assert "other content" in report.rejected[0][2]


# Files that are none


def broken_files(folder: Path) -> dict[str, Path]:
    """Files that a crash, a disk or another program left."""
    good = put(folder, "good", [ws(n, "x", {"n": n}) for n in range(3)])
    found = {"torn": folder / "torn.parquet", "empty": folder / "empty.parquet", "text": folder / "text.parquet"}
    found["torn"].write_bytes(good.read_bytes()[:-100])
    found["empty"].write_bytes(b"")
    found["text"].write_bytes(b"not Parquet at all")
    found["other"] = folder / "other.parquet"
    pq.write_table(pa.table({"game_id": ["g1"], "price": [1.0]}), found["other"])
    return found


def test_a_broken_file_that_is_named_is_an_error_and_one_of_many_is_rejected(tmp_path: Path) -> None:
    """Each with its reason; the other files are imported."""
    broken = broken_files(tmp_path / "in")
    for file in broken.values():
        assert str(file) in refusal([tmp_path / "in", file], tmp_path / "store", None)
    assert not (tmp_path / "store").exists()

    for again in range(2):
        report = imported(tmp_path / "in", tmp_path / "store", None)

        assert kinds(report) == (0 if again else 3, 3 if again else 0, 0, 4)
        assert {name for name, number, _ in report.rejected if number == 1} == set(map(str, broken.values()))
        assert ask(tmp_path / "store").info().n_rejected == 4
    (tmp_path / "in" / "good.parquet").unlink()
    assert str(broken["empty"]) in refusal(tmp_path / "in", tmp_path / "other", None)


def test_a_file_without_rows_is_nothing_and_no_mistake(tmp_path: Path) -> None:
    """As an empty recording among others."""
    report = imported(put(tmp_path, "a", []), tmp_path / "store", None)

    assert (report.n_files, report.lines_read) == (1, 0)


def test_a_file_broken_in_the_middle_gives_what_is_readable(tmp_path: Path) -> None:
    """The rest is one rejected line, behind the last row that could be read."""
    found = [ws(n, "x", {"text": f"{n * 7919 % 1000:x}" * 50}) for n in range(600)]
    file = put(tmp_path / "in", "a", found, row_group_size=256, use_dictionary=False)
    start = pq.ParquetFile(file).metadata.row_group(1).column(NAMES.index("raw_json")).data_page_offset
    content = bytearray(file.read_bytes())
    content[start : start + 400] = b"\xff" * 400
    file.write_bytes(content)

    report = imported(tmp_path / "in", tmp_path / "store", None)

    assert kinds(report) == (256, 0, 0, 1)
    ((name, number, reason),) = report.rejected
    assert (name, number) == (str(file), 257)
    assert "breaks off" in reason
    assert kinds(imported(tmp_path / "in", tmp_path / "store", None)) == (0, 256, 0, 1)


@pytest.mark.parametrize(
    "named", [".", "events_parquet", "events_parquet/doc_type=game_tick", "exports", "file", "pattern"]
)
def test_a_store_of_this_package_is_never_taken_for_one(named: str, tmp_path: Path) -> None:
    """One line says what it is."""
    write(tmp_path / "mine", episode(1.0, 2.0, 0.01))
    ask(tmp_path / "mine").export(tmp_path / "mine" / "exports" / "x.parquet")
    (file,) = (tmp_path / "mine").rglob("events_parquet/**/*.parquet")
    pattern = tmp_path / "mine" / "events_parquet" / "**" / "*.parquet"
    place = {"file": file, "pattern": pattern}.get(named, tmp_path / "mine" / named)

    said = refusal(place, tmp_path / "store", None)

    assert "store" in said
    assert "--data-dir" in said
    assert not (tmp_path / "store").exists()


def test_a_store_of_this_package_beside_recordings_is_passed_over(tmp_path: Path) -> None:
    """The store imported into may lie in the folder that is imported; recordings may lie in the store's."""
    flush(tmp_path / "in", ROWS, "a")
    imported(tmp_path / "in", tmp_path / "in" / "store", None)
    ask(tmp_path / "in" / "store").export(tmp_path / "in" / "store" / "exports" / "x.parquet")
    flush(tmp_path / "in" / "store" / "older", [ROWS[0] | {"seq": 77}], "a")

    assert kinds(imported(tmp_path / "in", tmp_path / "in" / "store", None)) == (1, 7, 0, 0)


def test_the_store_imported_into_is_another_folder(tmp_path: Path) -> None:
    """A store of the reference is left as it is."""
    source = a_store(tmp_path / "rugs_data")
    before = sorted(source.rglob("*"))

    assert "a new store" in refusal(source, source, None)
    assert sorted(source.rglob("*")) == before


# Whatever stands in the cells

CELLS = st.one_of(
    st.none(),
    st.sampled_from(["", "unknown", "g1", "1.5", "-1", "x\0", "ws_event", "2025-12-21T10:00:00"]),
    st.text(max_size=4),
)
WHOLE = st.none() | st.integers(-2, 3) | st.sampled_from([2**63 - 1, -(2**63)])
RAW = st.sampled_from(
    [row["raw_json"] for row in [*ROWS, BUTTON]] + ["", "[", "null", "NaN", "[[]]", '{"event": 5, "data": 1}']
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={name: WHOLE if kind == pa.int64() else CELLS for name, kind in LATEST if name != "raw_json"}
    | {"raw_json": RAW | CELLS},
)


@ALIKE
@given(st.lists(st.tuples(st.sampled_from([*ROWS, BUTTON]), CHANGES), max_size=8))
def test_every_row_is_in_exactly_one_class(cases: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """The classes sum up to the rows, the store holds what the report says, a second import adds nothing."""
    with tempfile.TemporaryDirectory() as folder:
        file = put(Path(folder), "a", [ROWS[1], *(row | changes for row, changes in cases)])
        store = Path(folder, "store")

        first = imported(file, store, None)

        assert first.lines_read == len(cases) + 1
        assert len(events(store)) == first.events_stored == first.lines_stored
        assert ask(store).info().n_rejected == len(first.rejected)
        again = imported(file, store, None)
        assert kinds(again) == (0, first.lines_stored + first.lines_duplicate, 0, len(first.rejected))


def test_the_price_of_a_row_is_the_float_that_its_text_names(tmp_path: Path) -> None:
    """To the last bit, and the same as in a recording of the game."""
    prices = [1.0, 1.2749526227232495, 0.1 + 0.2, 1e-7, 8.5e2]
    found = [
        entry("game_tick", n, {}, tick=n, price=str(Decimal(str(price))), game_id="g1")
        for n, price in enumerate(prices)
    ]

    imported(put(tmp_path, "a", found), tmp_path / "store", None)

    assert rows(ask(tmp_path / "store"), "SELECT price FROM ticks ORDER BY tick") == [(price,) for price in prices]
    assert json.loads(to_json(prices)) == prices


def test_a_conflicting_complete_game_is_kept_with_its_reason(tmp_path: Path) -> None:
    """Other prices under the id of a stored game are never silent."""
    told = [entry("complete_game", 1, HISTORY[0]), entry("complete_game", 2, finished("g1", 1, 9))]

    report = imported(put(tmp_path, "a", told), tmp_path / "store", None)

    assert kinds(report) == (1, 0, 0, 1)
    assert "complete game g1" in report.rejected[0][2]


@pytest.mark.parametrize("shape", ["enveloped", "bare", "list"])
def test_partial_prices_are_found_in_every_shape_of_an_update(shape: str, tmp_path: Path) -> None:
    """Whether raw_json has the payload in an envelope or bare, the prices that it names by tick are ticks."""
    update = {
        "gameId": "g9",
        "active": True,
        "rugged": False,
        "tickCount": 9,
        "price": 1.5,
        "partialPrices": {"values": {"8": 1.4, "9": 1.5}},
    }
    raw = {"enveloped": {"event": "gameStateUpdate", "data": update}, "bare": update}.get(
        shape, {"event": "gameStateUpdate", "data": [{"__trace": True}, update]}
    )
    put(tmp_path / "in", "a", [entry("ws_event", 1, raw, event_name="gameStateUpdate")])
    imported(tmp_path / "in", tmp_path / "store", None)

    ticks = ask(tmp_path / "store").features("ticks", columns=["tick", "price"])

    assert ticks.rows() == [(8, 1.4), (9, 1.5)]
