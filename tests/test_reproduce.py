"""An export is made again from its meta file alone: the same, or it is said what is not."""

import dataclasses
import importlib.metadata
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from tests.builders import START, episode, store_with, tick_event, write
from tests.test_cli import complaint, said, vectra
from tests.test_own_views import DOUBLED, view_text
from vectra_analytics import EventStoreQuery, ReproduceReport, VectraError, compact, prune, reproduce, snapshot, vacuum
from vectra_analytics.exports.checksums import ColumnChecksums
from vectra_analytics.features import Views, catalogue

TOMORROW = datetime.now(UTC) + timedelta(hours=25)
LATER = START + timedelta(days=4)


@pytest.fixture
def query(tmp_path: Path) -> EventStoreQuery:
    """Twelve games on three days."""
    return store_with(
        tmp_path / "store",
        *[
            [
                tick_event(
                    tick,
                    1 + (tick * number) % 7 / 8,
                    f"g{number:02}",
                    f"s{number}",
                    ts=START + number * timedelta(hours=6),
                )
                for tick in range(30)
            ]
            for number in range(12)
        ],
    )


def more_events(query: EventStoreQuery) -> None:
    """Another game, and more of one that is there."""
    write(query.paths.data_dir, episode(1, 5, 6, game_id="g99"))
    write(query.paths.data_dir, [tick_event(30, 9.0, "g01", "s1", ts=START + timedelta(hours=6))])


EXPORTS: dict[str, tuple[str, dict[str, Any]]] = {
    "csv": ("f.csv", {}),
    "csv.gz": ("f.csv.gz", {"view": "games"}),
    "parquet": ("f.parquet", {"games": ["g03", "g01"], "columns": ["game_id", "tick", "drawdown"]}),
    "labels": ("f.parquet", {"view": "tick_labels"}),
    "folder": ("f", {}),
    "by hash": ("f", {"split": "hash", "view": "ticks"}),
    "by date": ("f.parquet", {"split": "date"}),
}


@pytest.mark.parametrize("kind", EXPORTS)
def test_an_export_is_made_again_byte_by_byte(query: EventStoreQuery, tmp_path: Path, kind: str) -> None:
    """From the version that it was made of, though there are newer events and the files were compacted since."""
    name, options = EXPORTS[kind]
    done = query.export(tmp_path / name, **options)
    snapshot(query.paths, "paper")
    more_events(query)
    compact(query.paths, now=LATER)
    vacuum(query.paths, now=TOMORROW)
    assert query.export(tmp_path / f"now-{name}", **options).sha256 != done.sha256

    report = reproduce(done.meta_path, query.paths)

    assert report == ReproduceReport(done.meta_path, "same file", [], 1, {}, done.n_rows, done.sha256)
    assert report.exit_code == 0
    again = tmp_path / f"again-{name}"
    assert reproduce(done.meta_path, query.paths, again).path == again
    assert (again.is_dir() and again.exists()) or again.read_bytes() == done.path.read_bytes()
    assert json.loads(again.with_name(f"{again.name}.meta.json").read_text()) == json.loads(done.meta_path.read_text())


def test_the_export_itself_need_not_be_there(query: EventStoreQuery, tmp_path: Path) -> None:
    """The meta file is enough, wherever it lies."""
    done = query.export(tmp_path / "f.parquet")
    (tmp_path / "kept").mkdir()
    meta = shutil.move(done.meta_path, tmp_path / "kept")
    done.path.unlink()

    assert reproduce(meta, query.paths).outcome == "same file"
    assert list((tmp_path / "kept").iterdir()) == [Path(meta)]


def test_a_changed_export_is_told_of(query: EventStoreQuery, tmp_path: Path) -> None:
    """The store still gives what the meta file says, and the file beside it is something else."""
    done = query.export(tmp_path / "f.csv")
    done.path.write_text(done.path.read_text().replace("1.125", "1.126"))

    report = reproduce(done.meta_path, query.paths)

    assert (report.outcome, report.exit_code) == ("differs", 1)
    assert "is not what its meta file vouches for" in report.reasons[0]


def test_a_vacuumed_version_is_told_of(query: EventStoreQuery, tmp_path: Path) -> None:
    """Nothing was pinned: the rows of then are not kept."""
    done = query.export(tmp_path / "f.csv")
    prune(query.paths, "2025-12-19", yes=True)
    vacuum(query.paths, now=TOMORROW)

    report = reproduce(done.meta_path, query.paths)

    assert (report.outcome, report.exit_code) == ("impossible", 2)
    assert "version 1" in report.reasons[0]
    assert "was vacuumed" in report.reasons[0]


def _changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    meta = json.loads(path.read_text())
    change(meta)
    path.write_text(json.dumps(meta))


def test_another_library_gives_the_same_rows(
    query: EventStoreQuery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version is in the footer, and it may write other bytes: then the values decide, and it is said why."""
    done = query.export(tmp_path / "f.parquet")
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99" if name == "pyarrow" else real(name))

    report = reproduce(done.meta_path, query.paths)

    assert (report.outcome, report.exit_code) == ("same rows", 0)
    assert report.libraries == {"pyarrow": (real("pyarrow"), "99")}
    assert report.reasons == [f"pyarrow was made with {real('pyarrow')}, here is 99"]


def test_an_updated_folder_gives_the_same_rows(query: EventStoreQuery, tmp_path: Path) -> None:
    """Files that an update kept name the store version of before in their footers: their values are the same."""
    query.export(tmp_path / "f")
    more_events(query)
    done = query.export(tmp_path / "f", overwrite=True)
    assert 0 < done.n_computed < done.n_files

    report = reproduce(done.meta_path, query.paths)

    assert (report.outcome, report.exit_code) == ("same rows", 0)
    assert "other store versions" in report.reasons[0]


def test_cuts_of_a_split_by_date_are_those_of_then(query: EventStoreQuery, tmp_path: Path) -> None:
    """An export that was updated kept its cuts; computed anew they would be others."""
    query.export(tmp_path / "f", split="date", view="ticks")
    write(
        query.paths.data_dir,
        [tick_event(0, 1.0, f"new{n}", "later", seq=n, ts=START + timedelta(days=9)) for n in range(30)],
    )
    done = query.export(tmp_path / "f", split="date", view="ticks", overwrite=True)

    assert reproduce(done.meta_path, query.paths).outcome == "same rows"


def test_other_values_are_named(query: EventStoreQuery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that comes out otherwise is named; so is another number of rows."""
    done = query.export(tmp_path / "f.parquet", columns=["game_id", "tick", "price"])
    real = ColumnChecksums.add
    with monkeypatch.context() as fault:
        nudged = pl.col("price") * (1 + 1e-15)

        def other(sums: ColumnChecksums, rows: pa.RecordBatch) -> None:
            real(sums, pl.DataFrame(rows).with_columns(nudged).to_arrow().cast(rows.schema).to_batches()[0])

        fault.setattr(ColumnChecksums, "add", other)
        _changed(done.meta_path, lambda meta: meta.update(sha256="0" * 64))
        done.path.unlink()
        report = reproduce(done.meta_path, query.paths)
    assert (report.outcome, report.reasons) == ("differs", ["the export has other values in price"])

    _changed(done.meta_path, lambda meta: meta.update(n_rows=7))
    assert reproduce(done.meta_path, query.paths).reasons == ["the export had 7 rows and has 360"]


def test_another_store_is_told_of(query: EventStoreQuery, tmp_path: Path) -> None:
    """The same number of a version is not the same version."""
    done = query.export(tmp_path / "f.csv")
    other = store_with(tmp_path / "other", episode(1, 2, 3))

    report = reproduce(done.meta_path, other.paths)

    assert report.outcome == "differs"
    assert "is of another commit" in report.reasons[0]
    assert "360 rows and has 3" in report.reasons[1]


def test_a_view_of_ones_own_is_taken_from_the_meta_file(query: EventStoreQuery, tmp_path: Path) -> None:
    """Its text is in there, and the text of what it reads: nothing needs to be registered."""
    query.register_view(view_text(DOUBLED), name="doubled")
    query.register_view(view_text("SELECT * FROM doubled", reads='["doubled"]'), name="upon")
    done = query.export(tmp_path / "f.parquet", view="upon")

    assert reproduce(done.meta_path, query.paths).outcome == "same file"


def test_a_shipped_view_of_then_is_taken_from_the_meta_file(
    query: EventStoreQuery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an update of the package that changed a view, the export is made by the text of then."""
    done = query.export(tmp_path / "f.parquet", view="ticks")
    changed = dict(catalogue())
    changed["ticks"] = dataclasses.replace(changed["ticks"], sql=f"{changed['ticks'].sql} LIMIT 3")
    monkeypatch.setattr("vectra_analytics.maintenance.reproduction.catalogue", lambda: Views(changed))

    assert reproduce(done.meta_path, query.paths).outcome == "same file"

    changed["ticks"] = dataclasses.replace(catalogue()["ticks"], text="-- a comment more\n", columns={})
    assert reproduce(done.meta_path, query.paths).outcome == "same file"

    changed["ticks"] = dataclasses.replace(catalogue()["ticks"], sql=f"{catalogue()['ticks'].sql} LIMIT 3")
    version = json.loads(done.meta_path.read_text())["view_version"]
    _changed(done.meta_path, lambda meta: meta.pop("view_texts"))
    report = reproduce(done.meta_path, query.paths)
    assert report.outcome == "impossible"
    assert f"the view ticks, which the export was made with in version {version}, is " in report.reasons[0]
    assert "the meta file does not have its text" in report.reasons[0]


def test_a_text_that_is_not_the_view_is_refused(query: EventStoreQuery, tmp_path: Path) -> None:
    """The version is a hash of the text: what was changed by hand is not what the export was made with."""
    query.register_view(view_text(DOUBLED), name="doubled")
    done = query.export(tmp_path / "f.csv", view="doubled")
    _changed(done.meta_path, lambda meta: meta["view_texts"].update(doubled=view_text(DOUBLED.replace("2 *", "3 *"))))

    report = reproduce(done.meta_path, query.paths)

    assert report.outcome == "impossible"
    assert "the text of the view doubled in the meta file is of version" in report.reasons[0]


def test_a_meta_file_of_an_older_package_is_reproduced_by_its_bytes(query: EventStoreQuery, tmp_path: Path) -> None:
    """Without checksums of columns other bytes prove nothing; without the store version nothing can be made."""
    done = query.export(tmp_path / "f.csv")
    old = ("column_checksums", "view_texts", "commit_id")
    _changed(done.meta_path, lambda meta: [meta.pop(key) for key in old])
    assert reproduce(done.meta_path, query.paths).outcome == "same file"

    _changed(done.meta_path, lambda meta: meta.update(sha256="0" * 64))
    report = reproduce(done.meta_path, query.paths)
    assert report.outcome == "impossible"
    assert "the meta file no checksums of columns" in report.reasons[0]

    _changed(done.meta_path, lambda meta: meta.pop("store_version"))
    assert reproduce(done.meta_path, query.paths).reasons == ["the meta file lacks store_version"]


def test_checksums_are_of_values_and_their_order_alone() -> None:
    """Not of batches, offsets, dictionaries or what lies under a NULL; another value, order or NULL is another sum."""
    values: dict[str, list[Any]] = {
        "float": [1.5, None, -0.0, 1e300],
        "text": ["a", "", None, "über"],
        "whole": [1, None, 3, 2**62],
        "truth": [True, None, False, True],
        "time": [datetime(2025, 1, 1, tzinfo=UTC), None, None, START],
        "money": [Decimal("1.10"), None, Decimal("0.00"), Decimal("7.25")],
        "list": [[1, 2], None, [], [3]],
    }
    table = pl.DataFrame(values).to_arrow()

    def sums(rows: pa.Table) -> dict[str, str]:
        found = ColumnChecksums(rows.schema)
        for batch in rows.to_batches():
            found.add(batch)
        return found.to_dict()

    whole = sums(table)
    assert sums(pa.concat_tables([table.slice(0, 1), table.slice(1, 2), table.slice(3)])) == whole
    assert sums(pa.concat_tables([table, table]).slice(4)) == whole
    encoded = table.set_column(1, "text", table["text"].combine_chunks().dictionary_encode())
    assert sums(encoded) == whole
    buffers = table["float"].combine_chunks().buffers()
    rubbish = pa.py_buffer(pa.array([1.5, 99.0, -0.0, 1e300]).buffers()[1])
    under_null = pa.Array.from_buffers(pa.float64(), 4, [buffers[0], rubbish])
    assert sums(table.set_column(0, "float", under_null)) == whole
    for name in values:
        for other in (
            values[name][::-1],
            [values[name][0], *values[name][:3]],
            [values[name][0], *values[name][2:], None],
        ):
            if other != values[name]:
                changed = pl.DataFrame({name: pl.Series(other, dtype=pl.DataFrame(table).schema[name])}).to_arrow()
                assert sums(changed)[name] != whole[name]
    assert sums(pl.DataFrame({"text": ["ab", "", None, ""]}).to_arrow()) != sums(
        pl.DataFrame({"text": ["a", "b", None, ""]}).to_arrow()
    )


def test_what_is_no_meta_file_is_said_in_one_line(query: EventStoreQuery, tmp_path: Path) -> None:
    """The export instead of its meta file, a store that is none, a target that exists or has another suffix."""
    done = query.export(tmp_path / "f.csv")
    with pytest.raises(VectraError, match="is no meta file of an export"):
        reproduce(done.path, query.paths)
    with pytest.raises(VectraError, match="there is no store"):
        reproduce(done.meta_path, tmp_path / "nothing")
    with pytest.raises(VectraError, match="exists; choose another name"):
        reproduce(done.meta_path, query.paths, done.path)
    with pytest.raises(VectraError, match="the same suffix"):
        reproduce(done.meta_path, query.paths, tmp_path / "f.parquet")


def test_the_command_tells_by_its_exit_code(query: EventStoreQuery, tmp_path: Path) -> None:
    """0 reproduced, 1 differs, 2 cannot; as JSON, too."""
    folder = query.paths.data_dir
    done = query.export(tmp_path / "f.csv")
    words = said(vectra("reproduce", done.meta_path, "--out", tmp_path / "again.csv", "--data-dir", folder))
    assert f"reproduced: 360 rows, the same SHA-256 {done.sha256}" in words
    assert (tmp_path / "again.csv").read_bytes() == done.path.read_bytes()

    done.path.write_text("changed")
    differs = vectra("reproduce", done.meta_path, "--data-dir", folder)
    assert (differs.returncode, differs.stderr) == (1, "")
    assert "it differs: " in differs.stdout

    _changed(done.meta_path, lambda meta: meta.update(store_version=9))
    assert "no version 9" in complaint(vectra("reproduce", done.meta_path, "--data-dir", folder))
    as_json = vectra("reproduce", done.meta_path, "--json", "--data-dir", folder)
    assert as_json.returncode == 2
    assert json.loads(as_json.stdout)["outcome"] == "impossible"
