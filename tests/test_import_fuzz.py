"""Whatever a file holds: each line is stored, known, no event, or refused with its text; and nothing else happens."""

import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzing import (
    EDITS,
    JSON_TEXT,
    NotJson,
    edited,
    read_json,
    read_time,
    spliced,
    stored_rows,
    tries,
)
from tests.test_feed_imports import FEED, captured, intercepted, sample
from tests.test_importers import compressed, imported, line, record, rejects, save
from tests.test_reference_store import BUTTON, LATEST, ROWS, put
from vectra_analytics import VectraError
from vectra_analytics.importers import ImportReport

SYSTEM = {"game_start", "game_end", "session_start", "session_end", "game_complete"}
NOT_EVENT, REFUSED, BROKEN = "not an event", "refused", "broken"

# What plain Python makes of a line: the columns that it gives, or why it gives none


def read_replay(text: bytes) -> dict[str, Any] | str:
    """A line of a replay recording."""
    try:
        said = read_json(text)
    except NotJson:
        return BROKEN
    if not isinstance(said, dict) or "timestamp" not in said or (at := read_time(said["timestamp"])) is None:
        return REFUSED
    kind = said.get("type")
    game_id = said.get("game_id")
    if kind == "tick":
        if not all(key in said for key in ("tick", "price", "game_id")) or not game_id:
            return REFUSED
        names = ("tick", "price", "active", "rugged", "phase", "cooldown_timer", "trade_count")
        found: dict[str, Any] = {name: said.get(name) for name in names}
        wholes = [found["tick"], *(found[n] for n in ("cooldown_timer", "trade_count") if found[n] is not None)]
        is_fine = (
            all(type(number) is int and -(2**63) <= number < 2**63 for number in wholes)
            and found["tick"] >= 0
            and type(found["price"]) in (int, float)
            and found["price"] >= 0
            and all(found[name] is None or type(found[name]) is bool for name in ("active", "rugged"))
            and (found["phase"] is None or type(found["phase"]) is str)
        )
        if not is_fine:
            return REFUSED
    elif kind in SYSTEM if isinstance(kind, str) else False:
        found = {"event_name": kind, "tick": None, "price": None}
    else:
        return REFUSED
    if not (game_id is None or (type(game_id) is str and "\0" not in game_id)):
        return REFUSED
    return {"ts": at, "game_id": game_id, "raw_json": text.decode(), **found}


def read_feed(text: bytes) -> dict[str, Any] | str:
    """A line of a raw capture."""
    try:
        said = read_json(text)
        if not isinstance(said, dict):
            return REFUSED
        exact = read_json(text, exact=True)
    except NotJson as error:
        return REFUSED if "digits" in str(error) else BROKEN
    name, direction = said.get("event"), said.get("direction")
    at = read_time(said["ts"] if "ts" in said else said.get("timestamp"))
    if "data" not in said or type(name) is not str or "\0" in name or at is None:
        return REFUSED
    if direction is not None and direction not in ("received", "sent"):
        return REFUSED
    raw = {"event": name, "data": exact["data"]}
    return {"ts": at, "event_name": name, "direction": direction or "received", "raw_json": raw}


READ: dict[str, Callable[[bytes], dict[str, Any] | str]] = {"replay": read_replay, "capture": read_feed}


# What an import promises of any content


def lines_of(content: bytes) -> list[bytes]:
    """The lines, without what stands around them."""
    found = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [one.strip() for one in (found if found[-1] else found[:-1])]


def accounted(file: Path, store: Path, timezone: str | None = "UTC") -> tuple[ImportReport, list[dict[str, Any]]]:
    """The report and the stored rows, after a look at all that holds of any file, and at a second import."""
    report = imported(file, store, timezone)
    found, kept = stored_rows(store), rejects(store)
    assert len(found) == report.events_stored
    assert len({(row["session_id"], row["seq"]) for row in found}) == len(found)
    assert {(reject["position"], reject["reason"]) for reject in kept} >= {
        (number, reason) for _, number, reason in report.rejected
    }
    assert all("\n" not in reject["reason"] and len(reject["reason"]) < 300 for reject in kept)

    again = imported(file, store, timezone)

    assert (again.lines_read, again.lines_stored, again.events_stored) == (report.lines_read, 0, 0)
    assert again.lines_not_events == report.lines_not_events
    assert set(again.rejected) >= set(
        report.rejected
    )  # a joined line of which one record was stored is one of them now
    assert (stored_rows(store), rejects(store)) == (found, kept)
    return report, found


def accounted_or_refused(
    file: Path, store: Path, timezone: str | None = "UTC"
) -> tuple[ImportReport, list[dict[str, Any]]] | None:
    """The same; None where the file is none that can be imported, which takes one line to say."""
    try:
        return accounted(file, store, timezone)
    except VectraError as error:
        said = str(error)
    assert said
    assert "\n" not in said
    assert not store.exists()
    return None


def held(content: bytes, kind: str) -> None:
    """Import a file with this content, and hold the store against what plain Python reads."""
    expected = {number: READ[kind](one) for number, one in enumerate(lines_of(content), 1)}
    for number, one in enumerate(lines_of(content), 1):
        if not one or one.startswith(b"##"):
            expected[number] = NOT_EVENT
    with tempfile.TemporaryDirectory() as folder:
        file, store = Path(folder, "in.jsonl"), Path(folder, "store")
        file.write_bytes(content)
        answer = accounted_or_refused(file, store)
        if answer is None:
            assert not any(isinstance(said, dict) for said in expected.values())
            return
        report, found = answer
        assert report.lines_read == len(expected)
        by_line: dict[int, list[dict[str, Any]]] = {}
        for row in found:
            by_line.setdefault(row["seq"] >> 20, []).append(row)
        refused = {number for _, number, _ in report.rejected}
        texts = {reject["position"]: reject["raw"] for reject in rejects(store)}
        for (number, said), one in zip(expected.items(), lines_of(content), strict=True):
            rows = by_line.get(number, [])
            if isinstance(said, dict):
                _is_stored(rows[0] if rows else {}, said)
                assert len([row for row in rows if row["doc_type"] != "complete_game"]) == 1
            elif said == BROKEN:
                assert bool(rows) != (number in refused)
                assert all(row["doc_type"] == "complete_game" or _stands_in(row["raw_json"], one) for row in rows)
            else:
                assert rows == []
                assert (number in refused) == (said == REFUSED)
            if number in refused:
                kept = texts[number], one.decode(errors="replace")
                assert kept[0] in kept[1] if said == BROKEN else kept[0] == kept[1]


def _is_stored(row: dict[str, Any], said: dict[str, Any]) -> None:
    wanted = {name: said[name] for name in said.keys() - {"raw_json", "price"}}
    assert {name: row.get(name) for name in wanted} == wanted
    assert all(type(row[name]) is type(value) for name, value in wanted.items())
    if isinstance(said["raw_json"], str):
        assert row["raw_json"] == said["raw_json"]
        assert row["price"] == (None if said["price"] is None else float(said["price"]))
    else:
        assert json.dumps(json.loads(row["raw_json"]), sort_keys=True) == json.dumps(said["raw_json"], sort_keys=True)


def _stands_in(raw: str, one: bytes) -> bool:
    said = read_json(raw.encode(), exact=True)
    return raw.encode() in one if "event" not in said or "data" not in said else True


# Lines of all sorts

REPLAY = [record(7), {"type": "game_start", "timestamp": "2025-10-30T11:45:00", "game_id": "g1"}]
CAPTURE = [captured(1, *FEED[0]), intercepted(2, *FEED[2], "sent"), captured(3, "x", {"a": [1.5]})]


def changed(records: list[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """A record with odd values, and with keys that it has already."""
    keys = sorted({key for one in records for key in one} | {"extra"})
    return st.builds(
        spliced,
        st.sampled_from(records),
        st.dictionaries(st.sampled_from(keys), JSON_TEXT, max_size=2),
        st.lists(st.tuples(st.sampled_from(keys), JSON_TEXT), max_size=1),
    )


def lines(records: list[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """Whole lines, odd ones, torn and joined ones, and what is none."""
    whole = st.sampled_from([json.dumps(one).encode() for one in records])
    return st.one_of(
        changed(records),
        changed(records),
        whole,
        st.builds(lambda one, n: one[:n], whole, st.integers(1, 300)),
        st.builds(lambda one, n, other: one[:n] + other, whole, st.integers(1, 400), changed(records)),
        st.sampled_from([b"", b" \t", b"## note", b"\0" * 9, b"[]", b"null", b'"x"', b"7", b"\xff", b"\x0b{}\x0c"]),
        st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b"")),
    )


@tries(30)
@given(st.lists(lines(REPLAY), max_size=10), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_each_line_of_a_game_is_what_plain_python_reads(some: list[bytes], end: bytes, has_bom: bool) -> None:
    """Between whole records: the columns of what is one, and a refusal with its text of what is none."""
    content = end.join([line(1), *some, line(99)])
    held(b"\xef\xbb\xbf" * has_bom + content, "replay")


@tries(25)
@given(st.lists(lines(CAPTURE), max_size=8), st.sampled_from([b"\n", b"\r\n"]))
def test_each_line_of_the_feed_is_what_plain_python_reads(some: list[bytes], end: bytes) -> None:
    """Its payload to the last digit; nothing of it is rounded, and nothing stored that says another thing."""
    first, last = (json.dumps(captured(n, "x", {"n": n})).encode() for n in (1, 99))
    held(end.join([first, *some, last]) + end, "capture")


@tries(25)
@given(EDITS, st.sampled_from(["replay", "capture"]))
def test_a_damaged_file_gives_all_that_is_whole_in_it(edits: list[Any], kind: str) -> None:
    """Bits turned, pieces cut, put in, doubled or in another order: every whole line is stored once."""
    records = [record(n) for n in range(6)] if kind == "replay" else [captured(n, *FEED[n]) for n in range(6)]
    held(edited(b"".join(json.dumps(one).encode() + b"\n" for one in records), edits), kind)


@tries(15)
@given(EDITS, st.sampled_from([".gz", ".zst"]), st.booleans())
def test_damaged_compressed_files_are_accounted_for(edits: list[Any], suffix: str, is_of_two: bool) -> None:
    """Or refused in a line; what is stored is JSON."""
    with tempfile.TemporaryDirectory() as folder:
        plain = save(Path(folder, "in.jsonl"), [json.dumps(sample(n, *FEED[n % 15])).encode() for n in range(1, 30)])
        file = compressed(plain, suffix)
        content = edited(file.read_bytes(), edits)
        file.write_bytes(content + file.read_bytes() * is_of_two)
        _, found = accounted_or_refused(file, Path(folder, "store")) or (None, [])
        assert all(isinstance(read_json(row["raw_json"].encode(), exact=True), dict) for row in found)


@tries(25)
@given(st.binary(max_size=300), st.sampled_from([".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet", ""]), st.booleans())
def test_any_bytes_by_any_name_are_accounted_for(content: bytes, suffix: str, is_marked: bool) -> None:
    """Or refused in a line, also behind the first bytes of a Parquet or gzip file."""
    marks = {".parquet": b"PAR1", "": b"PAR1", ".jsonl.gz": gzip.compress(line(1) + b"\n")}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"in{suffix}")
        file.write_bytes(marks.get(suffix, line(1) + b"\n") * is_marked + content)
        accounted_or_refused(file, Path(folder, "store"))


# Parquet


@tries(30)
@given(EDITS.filter(bool), st.sampled_from(["none", "snappy", "zstd"]))
def test_a_damaged_parquet_file_is_accounted_for(edits: list[Any], compression: str) -> None:
    """Or refused in a line, whichever byte was hit: of a page, of the footer, of a column's name."""
    with tempfile.TemporaryDirectory() as folder:
        file = put(Path(folder, "in"), "a", [*ROWS, BUTTON] * 3, compression=compression, write_page_checksum=True)
        content = file.read_bytes()
        n_footer = int.from_bytes(content[-8:-4], "little") + 8
        is_footer = edits[0][1] % 2 == 0
        file.write_bytes(
            content[:-n_footer] + edited(content[-n_footer:], edits)
            if is_footer
            else edited(content[:-n_footer], edits) + content[-n_footer:]
        )
        accounted_or_refused(file, Path(folder, "store"), None)


TYPES = [
    *(pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary(4), pa.null()),
    *(pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.decimal128(38, 18)),
    *(
        pa.timestamp("us"),
        pa.timestamp("ns", "UTC"),
        pa.date32(),
        pa.date64(),
        pa.time64("us"),
        pa.duration("us"),
        pa.duration("s"),
    ),
    *(pa.list_(pa.string()), pa.struct([("a", pa.string())]), pa.map_(pa.string(), pa.int64())),
    *(pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.binary()), pa.decimal256(70, 2)),
]


def of_type(kind: pa.DataType, seed: int, n_rows: int) -> pa.Array:
    """Values of this type, their bits made of a number."""
    numbers = pa.array([None if n % 5 == 4 else (seed * (n + 1) ** 3) % (1 << 62) - seed for n in range(n_rows)])
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return numbers.cast(kind, safe=False)
    if pa.types.is_temporal(kind):
        bits = pa.int32() if kind in (pa.date32(),) else pa.int64()
        return numbers.cast(bits, safe=False).view(kind)
    if pa.types.is_list(kind) or pa.types.is_struct(kind) or pa.types.is_map(kind):
        made = {"list": ["a", "\0"], "struct": {"a": "x"}, "map": [("k", seed)]}
        return pa.array([None if n % 5 == 4 else made[str(kind).partition("<")[0]] for n in range(n_rows)], kind)
    if pa.types.is_decimal(kind):
        return pa.array([None, *map(int, range(n_rows - 1))], pa.int64()).cast(kind)
    if pa.types.is_dictionary(kind):
        return pa.array(["x", None, *"abcdefgh"][:n_rows]).cast(kind.value_type).dictionary_encode().cast(kind)
    if pa.types.is_null(kind):
        return pa.nulls(n_rows)
    raw = [None if n % 5 == 4 else bytes([n, seed % 256, 0xED, 0xA0]) for n in range(n_rows)]
    return (
        pa.array(raw, pa.binary(4) if kind == pa.binary(4) else pa.binary()).cast(kind)
        if _is_binary(kind)
        else (pa.array([value and value.hex() for value in raw], kind))
    )


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


@tries(20)
@given(
    st.dictionaries(st.sampled_from([name for name, _ in LATEST]), st.sampled_from(TYPES), min_size=1, max_size=3),
    st.sampled_from([0, 1, 2, 12_345, 2**40 + 1, 2**61]),
)
def test_columns_of_any_type_are_accounted_for(types: dict[str, pa.DataType], seed: int) -> None:
    """Each row is an event, or is refused with all that it says; or the file is none of a store, in a line."""
    table = pa.Table.from_pylist([*ROWS, BUTTON], pa.schema(LATEST))
    for name, kind in types.items():
        at = table.schema.names.index(name)
        table = table.set_column(at, name, of_type(kind, seed, table.num_rows))
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(table, Path(folder, "a.parquet"), store_schema=seed % 2 == 0)
        accounted_or_refused(Path(folder, "a.parquet"), Path(folder, "store"), None)
