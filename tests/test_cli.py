"""The command line, as a person and as a script meet it."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from tests.builders import episode, write
from vectra_analytics.cli import main

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "data_samples"


def shell(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell would."""
    command = [sys.executable, "-c", "from vectra_analytics.cli import main; main()", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, cwd=ROOT, timeout=120
    )


def vectra(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, which is faster by an import of everything."""
    command = ["vectra", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", command),
        mock.patch.dict(os.environ, environment),
        contextlib.chdir(ROOT),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        main()
    assert isinstance(end.value.code, int)
    return subprocess.CompletedProcess(command, end.value.code, out.getvalue(), err.getvalue())


def said(result: subprocess.CompletedProcess[str]) -> str:
    """What a command that must succeed printed."""
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that could not run."""
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("vectra: error: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one game of three ticks."""
    folder = tmp_path_factory.mktemp("cli") / "store"
    write(folder, episode(1, 2, 0.01, game_id="g1", rug=True))
    return folder


def test_import_says_what_became_of_every_line(tmp_path: Path) -> None:
    """Once in words, then again as JSON, where all is a duplicate."""
    arguments = ("import", SAMPLES, "--timezone", "America/New_York", "--data-dir", tmp_path / "s")
    words = said(shell(*arguments))
    report = json.loads(said(vectra(*arguments, "--json")))

    assert "12,185 lines: 12,181 stored" in words
    assert "2 rejected" in words
    assert report["lines_read"] == 12_185
    assert report["events_stored"] == 0
    assert (
        report["lines_stored"] + report["lines_duplicate"] + report["lines_not_events"] + len(report["rejected"])
        == report["lines_read"]
    )
    assert json.loads(said(shell("info", "--json", RUGS_DATA_DIR=str(tmp_path / "s"))))["n_games"] == 57


def test_the_store_can_be_named_before_or_after_the_command(store: Path) -> None:
    """--data-dir in both places, and $RUGS_DATA_DIR."""
    answers = [
        said(vectra("--data-dir", store, "info")),
        said(vectra("info", "--data-dir", store)),
        said(vectra("info", RUGS_DATA_DIR=str(store))),
    ]

    assert len(set(answers)) == 1
    assert "game_tick  3" in answers[0]


def test_games_features_and_sql_print_tables_and_json(store: Path) -> None:
    """A table for people, JSON for scripts."""
    assert "g1" in said(vectra("games", "--data-dir", store))
    assert json.loads(said(vectra("games", "--json", "--data-dir", store)))[0]["rug_tick"] == 2
    assert "price_pct_change" in said(vectra("features", "g1", "--data-dir", store))
    assert [row["tick"] for row in json.loads(said(vectra("features", "g1", "--json", "--data-dir", store)))] == [
        0,
        1,
        2,
    ]
    assert json.loads(said(vectra("sql", "SELECT max(price) AS m FROM ticks", "--json", "--data-dir", store))) == [
        {"m": 2.0}
    ]
    assert "1 of 3 rows" in said(vectra("sql", "FROM ticks", "--limit", 1, "--data-dir", store))


def test_views_are_listed_and_described() -> None:
    """Every column with unit and meaning, without a store."""
    assert "tick_features" in said(vectra("features", "--list"))
    assert "volatility_20" in said(vectra("features", "--describe"))
    assert json.loads(said(vectra("features", "--describe", "--view", "games", "--json")))["kind"] == "summary"


def test_export_writes_a_file_and_its_provenance(store: Path, tmp_path: Path) -> None:
    """Both are named in the answer."""
    target = tmp_path / "f.csv"

    assert "3 rows of tick_features" in said(vectra("export", target, "--data-dir", store))
    assert target.exists()
    assert (tmp_path / "f.csv.meta.json").exists()
    assert "exists" in complaint(shell("export", target, "--data-dir", store))
    assert (
        json.loads(
            said(vectra("export", target, "--overwrite", "--columns", "tick,price", "--json", "--data-dir", store))
        )["n_rows"]
        == 3
    )
    assert target.read_text().splitlines()[0] == "tick,price"


def test_export_makes_folders_and_splits_and_updates_them(store: Path, tmp_path: Path) -> None:
    """It says how many files it computed, and what is in each part."""
    target = tmp_path / "f"

    assert "1 file computed\n" in said(vectra("export", target, "--data-dir", store))
    assert "--overwrite" in complaint(vectra("export", target, "--data-dir", store))
    done = json.loads(said(vectra("export", target, "--overwrite", "--json", "--data-dir", store)))
    assert (done["n_files"], done["n_computed"]) == (1, 0)
    words = said(vectra("export", tmp_path / "s.csv", "--split", "date", "--data-dir", store))
    assert "train            1 games           3 rows" in words
    assert "test             0 games           0 rows" in words


WRONG = [
    (("import", "/nowhere"), "no such file or folder: /nowhere"),
    (("import",), "Missing argument"),
    (("import", SAMPLES), "--timezone America/New_York"),
    (("import", SAMPLES, "--timezone", "Mars/Olympus"), "unknown time zone 'Mars/Olympus'"),
    (("sing",), "No such command 'sing'"),
    (("games", "--limit", "-3"), "--limit"),
    (("features",), "vectra games"),
    (("features", "no-such-game"), "no game 'no-such-game'"),
    (("features", "g1", "--view", "nope"), "no view is named 'nope'"),
    (("sql", "SELEC 1"), "syntax error"),
    (("sql", "DROP TABLE x"), "DROP statement is not allowed"),
    (("sql", "SELECT * FROM read_csv('/etc/passwd')"), "outside the store"),
    (("export", "f.xlsx"), "must end in .csv, .csv.gz or .parquet"),
    (("export", "/nowhere/f.csv"), "no folder /nowhere"),
    (("export", "/tmp/f", "--split", "week"), "'week' is not one of 'date', 'hash'"),
]


@pytest.mark.parametrize(("arguments", "expected"), WRONG, ids=lambda value: " ".join(map(str, value))[:40])
def test_an_error_is_one_line_that_says_what_to_do(arguments: tuple[object, ...], expected: str, store: Path) -> None:
    """Exit code 2, nothing on stdout, no traceback."""
    assert expected in complaint(vectra(*arguments, RUGS_DATA_DIR=str(store)))


def test_the_demo_does_the_main_job(tmp_path: Path) -> None:
    """It says what it found, where the files lie and what to type next; and it can be run again."""
    for _ in range(2):
        words = said(shell("demo", "--out", tmp_path / "demo"))
        assert "57 games, 44 of them complete" in words
        assert "features.parquet  (10,483 rows)" in words
        assert "What to type next" in words
    assert {file.name for file in (tmp_path / "demo" / "exports").iterdir()} == {
        "features.parquet",
        "features.parquet.meta.json",
        "features.csv",
        "features.csv.meta.json",
    }


def test_help_is_there_for_all_and_each() -> None:
    """--help and -h list the commands; --version says which."""
    assert "import" in said(shell("--help"))
    assert "--timezone" in said(vectra("import", "-h"))
    assert "0.1.0" in said(vectra("--version"))


def test_compact_says_what_it_did(tmp_path: Path) -> None:
    """Many files of past days become one each; a second call has nothing to do; no store is an error."""
    for game in ("g1", "g2", "g3"):
        write(tmp_path, episode(1, 2, 3, game_id=game))

    words = said(vectra("compact", "--data-dir", tmp_path))
    again = said(vectra("compact", "--data-dir", tmp_path))
    report = json.loads(said(vectra("compact", "--data-dir", tmp_path, "--json")))

    assert words.startswith("3 files became 1 (9 events): ")
    assert "nothing to compact" in again
    assert report["n_partitions"] == 0
    assert "there is no store at" in complaint(vectra("compact", "--data-dir", tmp_path / "nowhere"))


def test_a_folder_that_is_no_store_is_not_an_empty_one(tmp_path: Path, store: Path) -> None:
    """A slip in the name, or another folder, is told; so is a game that there is not."""
    (tmp_path / "notes.txt").write_text("no store")
    for folder in (tmp_path, tmp_path / "typo"):
        for command in (["games"], ["info"], ["sql", "SELECT 1"], ["export", str(tmp_path / "x.csv")]):
            assert "there is no store at" in complaint(vectra(*command, "--data-dir", folder))
    said_of = complaint(shell("export", tmp_path / "x.csv", "--game", "nosuch", "--data-dir", store))
    assert "no game 'nosuch'" in said_of
    assert not (tmp_path / "x.csv").exists()
    assert "3 rows" in said(vectra("export", tmp_path / "x.csv", "--columns", "tick, price", "--data-dir", store))
