"""Exports: the rows of a view in one file, with their provenance, whole or not at all."""

import csv
import gzip
import hashlib
import io
import json
import os
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from tests.builders import START, episode, store_with
from vectra_analytics import EventEnvelope, EventSource, EventStoreQuery, VectraError
from vectra_analytics.exports import formats
from vectra_analytics.exports.formats import write_rows
from vectra_analytics.features import catalogue
from vectra_analytics.whole_files import HashingFile


@pytest.fixture
def query(tmp_path: Path) -> EventStoreQuery:
    """Two games, one of them with a hole."""
    return store_with(
        tmp_path / "store", episode(1, 1.1, 0.1 + 0.2, 1e-7, game_id="g1"), episode(1, None, 3, game_id="g2")
    )


def test_parquet_gives_the_same_frame_back(query: EventStoreQuery, tmp_path: Path) -> None:
    """Values, types and order survive; page checksums are on."""
    done = query.export(tmp_path / "f.parquet")

    assert_frame_equal(pl.read_parquet(done.path), query.features())
    pq.read_table(done.path, page_checksum_verification=True)
    assert done.n_rows == query.features().height


def test_csv_numbers_read_back_as_they_are(query: EventStoreQuery, tmp_path: Path) -> None:
    """Each float to the last bit; NULL is an empty field; times are ISO 8601 in UTC."""
    path = query.export(tmp_path / "f.csv").path
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    frame = query.features()

    for name in ("price", "price_pct_change", "log_return", "drawdown"):
        assert [float(line[name]) if line[name] else None for line in lines] == frame[name].to_list()
    assert lines[0]["ts"] == "2025-12-17T12:00:00.000000Z"
    assert lines[0]["rugged"] == "false"
    assert lines[0]["volatility_20"] == ""


RUN = [
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\tx",
    "\rx",
    "\nx",
    " =1",
    "\n\t =1",
    "\xa0-1",
    "\ufeff=1",
    "\u3000@x",
    "\x00=1",
    "\uff1d1",
]
RUN += ["\uff0b1", "\uff0d1", "\uff20x", "= 1", "=", '=HYPERLINK("http://x","y")', " \uff1d1", "-\n1"]
LEFT = ["plain", 'a"b', "x,y", "a=1", " x", "1-1", "'=1", "#1", "_", "é=", "a\n=1"]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_text_that_a_spreadsheet_would_run_is_guarded(tmp_path: Path, suffix: str) -> None:
    """An apostrophe before a sign, also a full-width one or behind white space; numbers below 0 are left alone."""
    names = [name.replace("\x00", "\x01") for name in (*RUN, *LEFT)]  # no id holds a NUL
    query = store_with(
        tmp_path / "store", *[episode(2, 1, game_id=name, session_id=f"s{names.index(name)}") for name in names]
    )
    done = query.export(tmp_path / f"f{suffix}", columns=["game_id", "price_change"])
    content = done.path.read_bytes()
    text = (gzip.decompress(content) if suffix == ".csv.gz" else content).decode()
    lines = list(csv.reader(io.StringIO(text, newline="")))

    assert lines[0] == ["game_id", "price_change"]
    assert {line[0] for line in lines[1:]} == {f"'{name}" for name in names[: len(RUN)]} | set(LEFT)
    assert {line[1] for line in lines[1:]} == {"", "-1.0"}
    guard = json.loads(done.meta_path.read_text())["formula_guard"]
    assert guard["n_cells"] == 2 * len(RUN)
    assert "apostrophe" in guard["rule"]


def test_a_column_named_like_a_formula_is_guarded(tmp_path: Path) -> None:
    """No shipped view has one; a view of a user's own may."""
    rows = pa.RecordBatch.from_pydict({"=cmd": ["a"], "b": [-1]})
    write_rows(tmp_path / "f", ".csv", [rows], rows.schema, {})

    assert (tmp_path / "f").read_text() == "'=cmd,b\na,-1\n"
    for view in catalogue().values():
        assert all(name.isidentifier() for name in view.columns)


def test_csv_gz_is_the_csv_and_reproducible(query: EventStoreQuery, tmp_path: Path) -> None:
    """Neither the hour nor the name of the file is in its bytes."""
    plain = query.export(tmp_path / "f.csv").path.read_bytes()
    first, second = (query.export(tmp_path / f"{name}.csv.gz") for name in "ab")

    assert gzip.decompress(first.path.read_bytes()) == plain
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.path.read_bytes()[3:8] == bytes(5)  # no flags, so no name; no time
    assert first.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_csv_gives_the_same_frame_back(query: EventStoreQuery, tmp_path: Path, suffix: str) -> None:
    """To the last bit, where its types are told."""
    wanted = query.features()

    assert_frame_equal(
        pl.read_csv(query.export(tmp_path / f"f{suffix}").path, schema=dict(wanted.schema)), wanted, check_exact=True
    )


def test_the_provenance_says_where_the_rows_come_from(query: EventStoreQuery, tmp_path: Path) -> None:
    """Store version, view and its version, filters, units and meanings, libraries, SHA-256; in the footer, too."""
    done = query.export(tmp_path / "f.parquet", games=["g2"], columns=["tick", "drawdown"])
    meta = json.loads(done.meta_path.read_text())

    assert done.meta_path.name == "f.parquet.meta.json"
    assert meta["sha256"] == done.sha256 == hashlib.sha256(done.path.read_bytes()).hexdigest()
    assert meta["store_version"] == query.version
    assert (meta["view"], meta["view_version"]) == ("tick_features", catalogue().version("tick_features"))
    assert meta["filters"] == {"games": ["g2"], "columns": ["tick", "drawdown"]}
    assert meta["n_rows"] == 2
    assert meta["columns"]["drawdown"]["unit"] == "ratio"
    assert set(meta["libraries"]) == {"vectra_analytics", "duckdb", "polars", "pyarrow"}
    footer = json.loads(pq.ParquetFile(done.path).metadata.metadata[b"vectra"])
    assert footer == {key: value for key, value in meta.items() if key != "sha256"}


def test_the_same_export_is_the_same_file(query: EventStoreQuery, tmp_path: Path) -> None:
    """Nothing of the hour or the place of making is in it."""
    for suffix in ("csv", "parquet"):
        first, second = (query.export(tmp_path / f"{name}.{suffix}") for name in "ab")
        assert first.sha256 == second.sha256


def test_the_runs_of_a_text_are_looked_at_not_each_row(tmp_path: Path) -> None:
    """A formula is guarded wherever it stands, behind NULLs and among other texts."""
    names = [None, "=a", "=a", "b", None, "b", "=c"]
    rows = pa.RecordBatch.from_pydict({"name": names, "other": ["x"] * 7})
    done = write_rows(tmp_path / "f", ".csv", [rows], rows.schema, {})

    assert (tmp_path / "f").read_text().split() == ["name,other", ",x", "'=a,x", "'=a,x", "b,x", ",x", "b,x", "'=c,x"]
    assert done.meta["formula_guard"]["n_cells"] == 3


def test_numbers_have_no_dictionary_and_texts_do(query: EventStoreQuery, tmp_path: Path) -> None:
    """A dictionary of prices only grows."""
    group = pq.ParquetFile(query.export(tmp_path / "f.parquet").path).metadata.row_group(0)
    encodings = {group.column(n).path_in_schema: group.column(n).encodings for n in range(group.num_columns)}

    assert "RLE_DICTIONARY" in encodings["game_id"]
    assert "DELTA_BINARY_PACKED" in encodings["tick"]
    assert set(encodings["price"]) == set(encodings["zscore_10"]) == {"PLAIN", "RLE"}


def test_batches_make_no_difference(query: EventStoreQuery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the rows stream, the file holds them in order, once."""
    whole = query.export(tmp_path / "whole.csv").path.read_bytes()
    blocks = query.export(tmp_path / "whole.parquet").path.read_bytes()
    with monkeypatch.context() as small:
        small.setattr("vectra_analytics.exports.rebatched.__defaults__", (2,))
        assert query.export(tmp_path / "pieces.csv").path.read_bytes() == whole
    monkeypatch.setattr("vectra_analytics.game_reader.BLOCK_ROWS", 2)
    assert query.export(tmp_path / "blocks.csv").path.read_bytes() == whole
    assert query.export(tmp_path / "blocks.parquet").path.read_bytes() == blocks


def test_an_existing_target_is_left_alone_unless_told(query: EventStoreQuery, tmp_path: Path) -> None:
    """Overwriting takes a word; then rows and provenance are both new."""
    target = tmp_path / "f.csv"
    target.write_text("mine")

    with pytest.raises(VectraError, match="exists; choose another name, or overwrite"):
        query.export(target)
    assert target.read_text() == "mine"
    query.export(target, overwrite=True)
    second = query.export(target, games=["g1"], overwrite=True)
    assert json.loads(second.meta_path.read_text())["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()


def test_a_failed_export_leaves_nothing_new(
    query: EventStoreQuery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the middle: the old file and its provenance stay, no half of a new one is left."""
    target = query.export(tmp_path / "f.parquet", games=["g1"]).path
    before = {path: path.read_bytes() for path in tmp_path.glob("f.*")}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(VectraError, match="No space left on device"):
        query.export(target, overwrite=True)

    assert {path: path.read_bytes() for path in tmp_path.glob("*f.*")} == before


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".csv.gz"])
@pytest.mark.parametrize("n_written", [0, 3])
def test_a_disk_that_fills_up_behind_the_writer_is_told(
    query: EventStoreQuery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, n_written: int
) -> None:
    """The thread that writes keeps no error to itself, and what was there stays."""
    target = query.export(tmp_path / f"f{suffix}", games=["g1"]).path
    before = {path: path.read_bytes() for path in tmp_path.glob("f.*")}
    written: list[int] = []

    def write(self: HashingFile, content: bytes) -> int:
        if len(written) == n_written:
            raise OSError(28, "No space left on device")
        written.append(len(content))
        return len(content)

    monkeypatch.setattr(HashingFile, "write", write)
    monkeypatch.setattr(formats._Behind, "_PIECE", 16)
    with pytest.raises(VectraError, match="No space left on device"):
        query.export(target, overwrite=True)

    assert {path: path.read_bytes() for path in tmp_path.glob("*f.*")} == before


def test_a_link_is_not_followed(query: EventStoreQuery, tmp_path: Path) -> None:
    """Neither it nor what it leads to is overwritten."""
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "f.csv").symlink_to("mine")

    with pytest.raises(VectraError, match="it is a symbolic link"):
        query.export(tmp_path / "f.csv", overwrite=True)
    assert (tmp_path / "f.csv").is_symlink()
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("columns", "complaint"), [([], "no columns are wanted"), (["tick", "tick"], "'tick' is wanted twice")]
)
def test_columns_that_make_no_file_are_refused(
    query: EventStoreQuery, tmp_path: Path, columns: list[str], complaint: str
) -> None:
    """None at all, or one twice."""
    with pytest.raises(VectraError, match=complaint):
        query.export(tmp_path / "f.csv", columns=columns)


@pytest.mark.parametrize("name", ["f.xlsx", "f.parquet.gz", "nowhere/f.csv", "folder.csv", ".."])
def test_a_target_that_cannot_be_is_refused_before_any_work(query: EventStoreQuery, tmp_path: Path, name: str) -> None:
    """The error names the target and what it would have to be."""
    (tmp_path / "folder.csv").mkdir()

    with pytest.raises(VectraError, match=name):
        query.export(tmp_path / name, overwrite=True)


def test_a_summary_is_exported_in_its_own_order(tmp_path: Path) -> None:
    """Games come by their start, as the games() call gives them."""
    late = episode(1, 2, game_id="a")
    early = [
        EventEnvelope.from_game_tick(0, 1, {}, EventSource.REPLAY, "e", 1, "b", ts=START.replace(hour=1)),
    ]
    query = store_with(tmp_path / "store", late, early)

    assert_frame_equal(pl.read_parquet(query.export(tmp_path / "g.parquet", view="games").path), query.games())
