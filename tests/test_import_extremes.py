"""Files that are too deep, too large, no files at all, or of names that are no text: none of them stops an import."""

import json
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vectra_analytics
from tests.fuzzing import stored_rows
from tests.test_feed_imports import captured, finished
from tests.test_importers import NEW_YORK, TORN, imported, kinds, line, record, refusal, rejects, save
from tests.test_reference_store import LATEST, entry, put, ws
from vectra_analytics.importers import recordings
from vectra_analytics.importers.lines import whole_objects

PLACE = Path(vectra_analytics.__file__).parents[1]
LEVELS = 100_000


def vectra(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """`vectra` in a process of its own, which is ended if it hangs."""
    command = [sys.executable, "-m", "vectra_analytics", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=30, cwd=PLACE, check=False)


def captured_text(number: int, data: Any) -> bytes:
    """A line of a raw capture."""
    return json.dumps(captured(number, "x", data)).encode()


# Deep


DEEP = {
    "objects, torn": b'{"a":' * LEVELS,
    "objects": b'{"a":' * LEVELS + b"1" + b"}" * LEVELS,
    "objects with more in them": b'{"b": 1, "a":' * LEVELS,
    "lists": b"[" * LEVELS + b"]" * LEVELS,
    "lists, torn": b"[" * LEVELS,
    "lists of objects": b'[{"a":' * LEVELS,
    "braces": b"{" * LEVELS,
    "a value": line(7, extra="@").replace(b'"@"', b"[" * LEVELS + b"]" * LEVELS),
    "a payload": captured_text(7, "@").replace(b'"@"', b'{"a":' * LEVELS + b"1" + b"}" * LEVELS),
    "a torn payload": captured_text(7, "@").replace(b'"@"}', b'{"a":[' * LEVELS),
}


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
def test_a_line_of_any_depth_is_refused_in_little_time(deep: bytes, tmp_path: Path) -> None:
    """As one line among others, which are stored, whatever kind of recording it stands in."""
    began = time.monotonic()
    for kind in ("replay", "capture"):
        first, last = (line(n) if kind == "replay" else captured_text(n, {}) for n in (1, 9))
        file = save(tmp_path / f"{kind}.jsonl", [first, deep, last])

        assert kinds(imported(file, tmp_path / kind)) == (2, 0, 0, 1)
        assert [reject["raw"] for reject in rejects(tmp_path / kind)] == [deep.decode()]
    assert time.monotonic() - began < 10


def test_records_between_levels_without_end_are_found() -> None:
    """Each once, and only the outermost whole object of those in each other."""
    deep = b'{"a":' * 2_000

    found = whole_objects(deep + b'{"b": {"c": 1}}, "d": {"e": 2}' + deep + b'[{"f": 3}' + deep)

    assert [text for _, text in found] == ['{"b": {"c": 1}}', '{"e": 2}', '{"f": 3}']


# Large


@pytest.mark.parametrize("what", ["text", "keys", "list", "number", "torn", "NULs"])
def test_a_large_line_is_one_line(what: str, tmp_path: Path) -> None:
    """Stored where it is a record, refused with its text where it is none."""
    large = {
        "text": line(7, note="x" * 5_000_000),
        "keys": line(7, **{f"k{n}": n for n in range(100_000)}),
        "list": line(7, note=[0] * 1_000_000),
        "number": line(7, note="@").replace(b'"@"', b"0." + b"7" * 1_000_000),
        "torn": line(7, note="x" * 5_000_000)[:-4],
        "NULs": b"\0" * 5_000_000,
    }[what]
    is_event = what not in ("torn", "NULs")

    report = imported(save(tmp_path / "game.jsonl", [line(1), large, line(9)]), tmp_path / "store")

    assert kinds(report) == (2 + is_event, 0, 0, int(not is_event))
    if is_event:
        assert stored_rows(tmp_path / "store")[1]["raw_json"].encode() == large
    else:
        assert rejects(tmp_path / "store")[0]["raw"].encode() == large


def test_a_torn_line_of_many_objects_takes_no_memory_for_them() -> None:
    """They are looked at one after the other."""
    torn = b"{}" * 40_000
    tracemalloc.start()
    n_found = sum(1 for _ in whole_objects(torn))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert n_found == 40_000
    assert most < 2_000_000


def test_a_line_of_too_many_events_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their places in it have no numbers any more; the lines around it are stored."""
    monkeypatch.setattr(recordings, "_MOST_ROWS", 4)
    history = [finished(f"g{n}", 1, 0.01) for n in range(4)]
    lines = [json.dumps(captured(n, "gameStateUpdate", {"gameHistory": history[:n]})).encode() for n in range(5)]
    file = save(tmp_path / "feed.jsonl", [*lines, lines[3][:-1] + lines[3], lines[2] + lines[1], captured_text(9, 1)])

    report = imported(file, tmp_path / "store")

    assert kinds(report) == (6, 0, 0, 2)
    assert {reason for _, _, reason in report.rejected} == {recordings._TOO_MANY}
    assert [number for _, number, _ in report.rejected] == [5, 7]
    assert report.events_stored == 6 + 3


# Numbers


@pytest.mark.parametrize("space", ["", " ", "\t", "\r", " \r "])
def test_a_long_number_keeps_its_digits_behind_any_space(space: str, tmp_path: Path) -> None:
    """JSON has four kinds of space, and one of them ends a line."""
    text = captured_text(1, "@").replace(b'"@"', space.encode() + b"[" + space.encode() + b"1180591620717411303425]")
    imported(save(tmp_path / "feed.jsonl", [text]), tmp_path / "store")

    ((raw,),) = [(row["raw_json"],) for row in stored_rows(tmp_path / "store")]
    assert json.loads(raw)["data"] == [2**70 + 1]


# No files, and links


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_where_it_is_named_and_passed_over_in_a_folder(tmp_path: Path) -> None:
    """Nobody waits for what may never come."""
    save(tmp_path / "in" / "game.jsonl", [line(1)])
    for name in ("pipe.jsonl", "pipe.parquet", "pipe.jsonl.gz"):
        os.mkfifo(tmp_path / "in" / name)
    store = ("--data-dir", tmp_path / "store", "--timezone", NEW_YORK)

    named = vectra("import", tmp_path / "in" / "pipe.jsonl", *store)
    found = vectra("import", tmp_path / "in", *store)
    device = vectra("import", "/dev/zero", *store)

    assert (named.returncode, device.returncode, found.returncode) == (2, 2, 0)
    for refused in (named, device):
        assert b"is a pipe or a device" in refused.stderr
        assert refused.stderr.count(b"\n") == 1
    assert b"1 file, 1 lines: 1 stored" in found.stdout


def test_links_that_lead_round_in_circles_are_followed_once(tmp_path: Path) -> None:
    """By a folder and by patterns; 2 to the power of 40 ways lead to the file."""
    save(tmp_path / "in" / "deep" / "game.jsonl", [line(1)])
    save(tmp_path / "in" / ".hidden" / "game.jsonl", [line(2)])
    for name in ("a", "b"):
        (tmp_path / "in" / name).symlink_to(".")
        (tmp_path / "in" / "deep" / name).symlink_to("..")
    patterns = ["**/*.jsonl", "**", "**/deep/**/*.jsonl", "deep/**/game.jsonl", "*/**/game.jsonl"]

    for number, pattern in enumerate([".", *patterns]):
        report = imported(tmp_path / "in" / pattern, tmp_path / f"store{number}")
        assert report.lines_stored == (2 if pattern == "." else 1)
    assert report.n_files == 3  # as a/, b/ and deep/ are what the star stands for


@pytest.mark.parametrize("target", ["itself.jsonl", "nowhere"])
def test_a_link_to_nothing_is_named(target: str, tmp_path: Path) -> None:
    """By itself, and in a folder with others."""
    save(tmp_path / "in" / "game.jsonl", [line(1)])
    (tmp_path / "in" / "itself.jsonl").symlink_to(target)

    for source in (tmp_path / "in" / "itself.jsonl", tmp_path / "in"):
        assert "itself.jsonl" in refusal(source, tmp_path / "store")


def test_a_folder_named_like_a_recording_is_a_folder(tmp_path: Path) -> None:
    """What is in it is imported."""
    save(tmp_path / "in.jsonl" / "x.jsonl", [line(1)])

    assert kinds(imported(tmp_path / "in.jsonl", tmp_path / "store")) == (1, 0, 0, 0)


# Names


@pytest.mark.parametrize("name", ["two\nlines\r.jsonl", "no \udcff text.jsonl"])
def test_a_file_of_any_name_is_told_of_in_one_line(name: str, tmp_path: Path) -> None:
    """In errors and in reports, also where the name is no text that a terminal could show."""
    file = save(tmp_path / name, [line(1), TORN])
    foreign = save(tmp_path / f"x{name}", [b"x"])
    refusal(foreign, tmp_path / "store")
    refusal(tmp_path / f"missing {name}", tmp_path / "store")
    arguments = ("import", file, "--data-dir", tmp_path / "store", "--timezone", NEW_YORK)

    told, as_json = vectra(*arguments), vectra(*arguments, "--json")
    refused = vectra("import", foreign, *arguments[2:])

    assert (told.returncode, as_json.returncode, refused.returncode) == (0, 0, 2)
    assert told.stdout.count(b"\n") == 5
    assert json.loads(as_json.stdout)["rejected"][0][1] == 2
    assert refused.stderr.count(b"\n") == 1
    table = put(tmp_path, "a", [ws(1, "x", {})])
    assert kinds(imported(table.rename(tmp_path / f"{name}.parquet"), tmp_path / "tables")) == (1, 0, 0, 0)


def test_a_conflict_names_ids_of_any_kind_in_one_short_line(tmp_path: Path) -> None:
    """Of games and of sessions; the text of the row has all of it."""
    ids = ["a\nb", "x" * 5_000, "\u202e"]
    games = [entry("complete_game", n, finished(i, 1, n)) for n, i in enumerate([*ids, *ids])]
    sessions = [ws(1, name, {}, session_id=i) for i in ids for name in ("x", "y")]

    report = imported(put(tmp_path, "a", [*games, *sessions]), tmp_path / "store", None)

    assert kinds(report) == (6, 0, 0, 6)
    assert all(reason.isprintable() and len(reason) < 200 for _, _, reason in report.rejected)


def test_a_column_whose_name_is_no_text_is_no_crash(tmp_path: Path) -> None:
    """The file is refused, as any other that is broken."""
    file = put(tmp_path, "a", [ws(1, "x", {})])
    file.write_bytes(file.read_bytes().replace(b"username", b"\xffsername"))

    assert "no Parquet file, or a broken one" in refusal(file, tmp_path / "store", None)


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.date32(), pa.duration("s")], ids=str)
def test_a_time_beyond_all_calendars_is_no_crash(kind: pa.DataType, tmp_path: Path) -> None:
    """In a column that should hold texts, as other programs may write it."""
    table = pa.Table.from_pylist([ws(1, "x", {})], pa.schema([one for one in LATEST if one[0] != "price"]))
    number = pa.array([2**30 if kind == pa.date32() else 2**62], pa.int32() if kind == pa.date32() else pa.int64())
    pq.write_table(table.append_column("price", number.view(kind)), tmp_path / "a.parquet")

    report = imported(tmp_path / "a.parquet", tmp_path / "store", None)

    assert kinds(report) == (0, 0, 0, 1)


def test_a_damaged_header_of_a_page_costs_no_memory(tmp_path: Path) -> None:
    """Of a small file; it is refused at once."""
    file = put(tmp_path / "in", "a", [ws(n, "x", record(n)) for n in range(20)])
    content = file.read_bytes()
    n_footer = int.from_bytes(content[-8:-4], "little") + 8
    file.write_bytes(content[:4] + content[5:-n_footer] + b"\0" + content[-n_footer:])
    began = time.monotonic()

    report = imported(file, tmp_path / "store", None)

    assert len(report.rejected) == 1
    assert time.monotonic() - began < 2
