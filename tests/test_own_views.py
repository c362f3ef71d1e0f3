"""A user's own views: as files in a folder or registered, they are asked for like any other, under the same law."""

import json
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.builders import episode, store_with
from vectra_analytics import EventStorePaths, EventStoreQuery, LawBroken, UnknownView, VectraError, cli
from vectra_analytics.features import catalogue

GRAIN = '["game_id", "tick"]'


def view_text(sql: str, *, reads: str = '["ticks"]', kind: str = "feature", name: str = "", columns: str = "x") -> str:
    """The file of a view with these columns besides game_id and tick."""
    lines = [
        "-- /// feature-view",
        *([f'-- name = "{name}"'] if name else []),
        f'-- kind = "{kind}"',
        f"-- grain = {GRAIN}",
        f"-- reads = {reads}",
        "-- [columns]",
        *(
            f'-- {column} = {{ unit = "number", doc = "A number." }}'
            for column in ("game_id", "tick", *columns.split())
        ),
        "-- ///",
    ]
    return "\n".join(lines) + "\n" + textwrap.dedent(sql)


DOUBLED = "SELECT game_id, tick, 2 * price AS x FROM ticks"
LEAK = "SELECT game_id, tick, lead(price) OVER (PARTITION BY game_id ORDER BY tick) AS x FROM ticks"


@pytest.fixture
def query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EventStoreQuery:
    """A query where one works, in a folder without views."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VECTRA_VIEWS", raising=False)
    return store_with(tmp_path / "store", episode(1, 2, 4), episode(1, 3, game_id="g2"))


@pytest.fixture
def folder(query: EventStoreQuery, tmp_path: Path) -> Path:
    """The folder for views of one's own, beside the notebooks."""
    found = tmp_path / "vectra_views"
    found.mkdir()
    return found


def again(query: EventStoreQuery) -> EventStoreQuery:
    """A query that looks at the folder anew."""
    return EventStoreQuery(query.paths)


# Where views come from


def test_a_registered_view_is_asked_for_like_any_other(query: EventStoreQuery, tmp_path: Path) -> None:
    """SQL, features, one game after the other, lazy frames and exports all know it."""
    view = query.register_view(view_text(DOUBLED), name="doubled")

    wanted = [("g1", 0, 2.0), ("g1", 1, 4.0), ("g1", 2, 8.0), ("g2", 0, 2.0), ("g2", 1, 6.0)]
    assert (view.name, view.kind, view.is_shipped) == ("doubled", "feature", False)
    assert query.features("doubled").rows() == wanted
    assert query.features("doubled", games=["g2"], columns=["x"])["x"].to_list() == [2.0, 6.0]
    assert query.query("SELECT * FROM doubled ORDER BY game_id, tick").rows() == wanted
    assert query.query("SELECT sum(x) AS x FROM Doubled").item() == 22
    assert [frame["x"].to_list() for frame in query.iter_episodes(view="doubled")] == [[2.0, 4.0, 8.0], [2.0, 6.0]]
    assert query.scan("doubled").select(pl.col("x").max()).collect().item() == 8.0
    assert query.reduced("SELECT * FROM doubled WHERE game_id = 'g1'", y="x").height == 3
    assert query.export(tmp_path / "doubled.parquet", view="doubled").n_rows == 5
    assert pl.read_parquet(tmp_path / "doubled.parquet").rows() == wanted


def test_the_header_may_name_a_view_and_the_argument_wins(query: EventStoreQuery) -> None:
    """Without any name there is no view."""
    assert query.register_view(view_text(DOUBLED, name="mine")).name == "mine"
    assert query.register_view(view_text(DOUBLED, name="mine"), name="yours").name == "yours"
    with pytest.raises(VectraError, match="a view cannot be named None"):
        query.register_view(view_text(DOUBLED))


def test_a_file_in_the_folder_is_a_view(query: EventStoreQuery, folder: Path) -> None:
    """It is named by the file, and a query that is made then knows it."""
    (folder / "doubled.sql").write_text(view_text(DOUBLED))
    (folder / "notes.txt").write_text("no view")

    assert "doubled" not in query.views
    assert again(query).features("doubled")["x"].to_list() == [2.0, 4.0, 8.0, 2.0, 6.0]
    assert set(again(query).views) == {*catalogue(), "doubled"}


def test_the_folder_can_be_named(
    query: EventStoreQuery, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$VECTRA_VIEWS names another folder, and only that is looked at; one that is not there is an error."""
    (folder / "here.sql").write_text(view_text(DOUBLED))
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "there.sql").write_text(view_text(DOUBLED))
    monkeypatch.setenv("VECTRA_VIEWS", str(elsewhere))
    assert set(again(query).views) == {*catalogue(), "there"}

    monkeypatch.setenv("VECTRA_VIEWS", str(tmp_path / "nowhere"))
    with pytest.raises(VectraError, match=r"\$VECTRA_VIEWS is '.*nowhere', which is no folder"):
        again(query)


def test_views_may_read_views(query: EventStoreQuery, folder: Path) -> None:
    """In whatever order the files lie, and those of the package too."""
    on_both = """
        SELECT game_id, tick, d.x + f.drawdown AS x
        FROM z_doubled AS d INNER JOIN tick_features AS f USING (game_id, tick)
    """
    (folder / "a_upon.sql").write_text(view_text(on_both, reads='["z_doubled", "tick_features"]'))
    (folder / "z_doubled.sql").write_text(view_text(DOUBLED))

    assert again(query).features("a_upon", games=["g1"])["x"].to_list() == [2.0, 4.0, 8.0]


def test_a_registered_view_is_this_querys_alone(query: EventStoreQuery) -> None:
    """Another query, a notebook beside it say, does not know it."""
    query.register_view(view_text(DOUBLED), name="doubled")
    with pytest.raises(UnknownView, match="no view is named 'doubled'"):
        again(query).features("doubled")
    with pytest.raises(UnknownView, match="no relation is named 'doubled'"):
        again(query).query("SELECT * FROM doubled")


def test_registering_again_replaces_a_view_and_what_reads_it(query: EventStoreQuery) -> None:
    """While one works on a view, the last text counts."""
    query.register_view(view_text(DOUBLED), name="mine")
    query.register_view(view_text("SELECT game_id, tick, x + 1 AS x FROM mine", reads='["mine"]'), name="upon")
    before = query.views.version("upon")
    assert query.features("upon", games=["g1"])["x"].to_list() == [3.0, 5.0, 9.0]

    query.register_view(view_text("SELECT game_id, tick, 10 * price AS x FROM ticks"), name="mine")
    assert query.features("upon", games=["g1"])["x"].to_list() == [11.0, 21.0, 41.0]
    assert query.views.version("upon") != before


# The law


def test_a_look_ahead_in_a_file_is_refused_when_it_is_asked_for(
    query: EventStoreQuery, folder: Path, tmp_path: Path
) -> None:
    """Whoever asks for the view is told, in every way of asking; whoever asks for others is not disturbed."""
    (folder / "leak.sql").write_text(view_text(LEAK))
    fresh = again(query)
    asking: list[Callable[[], object]] = [
        lambda: fresh.features("leak"),
        lambda: fresh.query("SELECT * FROM leak"),
        lambda: fresh.query_arrow("SELECT max(x) FROM LEAK"),
        lambda: fresh.reduced("SELECT * FROM leak", y="x"),
        lambda: fresh.iter_episodes(view="leak"),
        lambda: fresh.scan("leak"),
        lambda: fresh.export(tmp_path / "leak.csv", view="leak"),
    ]
    for ask in asking:
        with pytest.raises(
            LawBroken, match=r"view leak breaks the law of prefix .*tick \d+: x is .* in the whole game"
        ):
            ask()
    assert not (tmp_path / "leak.csv").exists()
    assert fresh.query("SELECT price AS leak FROM ticks").height == 5
    assert fresh.features("ticks").height == 5


def test_a_label_may_look_ahead_and_a_feature_may_not_read_it(query: EventStoreQuery) -> None:
    """A look into the future stays one through whichever view it is read."""
    query.register_view(view_text(LEAK, kind="label"), name="next_price")
    assert query.features("next_price", games=["g1"])["x"].to_list() == [2.0, 4.0, None]
    with pytest.raises(LawBroken, match="view through breaks the law of prefix"):
        query.register_view(view_text("SELECT * FROM next_price", reads='["next_price"]'), name="through")


def test_a_view_that_changes_what_another_reads_is_examined_with_it(query: EventStoreQuery) -> None:
    """An innocent view becomes guilty when what it reads does."""
    query.register_view(view_text(DOUBLED), name="mine")
    query.register_view(view_text("SELECT * FROM mine", reads='["mine"]'), name="upon")
    query.register_view(view_text(LEAK, kind="label"), name="mine")
    with pytest.raises(LawBroken, match="view upon breaks the law of prefix"):
        query.features("upon")


def test_a_view_is_examined_once(query: EventStoreQuery, folder: Path) -> None:
    """What was found lawful is not tried again as long as its text stays: asking costs no more than for others."""
    (folder / "doubled.sql").write_text(view_text(DOUBLED))
    fresh = again(query)
    fresh.features("doubled")
    begin = time.perf_counter()
    for _ in range(10):
        fresh.features("doubled", games=["g1"])
    spent_on_ten = time.perf_counter() - begin
    (folder / "doubled.sql").write_text(view_text("SELECT game_id, tick, 3 * price AS x FROM ticks"))
    begin = time.perf_counter()
    again(query).features("doubled", games=["g1"])
    assert time.perf_counter() - begin > spent_on_ten / 10  # which is examined, and so takes longer


# What cannot be


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SELECT 1", "view mine has no header: it must open with the line '-- /// feature-view'"),
        (view_text(DOUBLED).replace('kind = "feature"', 'kind = "guess"'), "kind is 'guess'; it must be one of base"),
        (view_text(DOUBLED).replace("-- grain", "-- grian"), "its header says 'grian', and only name, title, kind"),
        (view_text(DOUBLED).replace(f"-- grain = {GRAIN}\n", ""), "its header has no grain; it is a list of names"),
        (view_text(DOUBLED).replace('"tick"]', '"tock"]'), "grain or order names 'tock', which is none of its columns"),
        (view_text(DOUBLED).replace("unit", "unite", 1), "column game_id must be .*unite"),
        (view_text(DOUBLED).replace("grain =", "grain"), "its header is no TOML"),
        (view_text(DOUBLED, reads='["tikcs"]'), "reads 'tikcs', which does not exist; there are events, ws_event"),
        (view_text(DOUBLED, reads='["mine"]'), "view mine reads itself: mine reads mine"),
        (view_text("DELETE FROM ticks"), "it must be one SELECT, and nothing else"),
        (view_text(f"{DOUBLED}; {DOUBLED}"), "it must be one SELECT, and nothing else"),
        (view_text("SELEKT x"), "its SQL cannot be read: .*syntax error"),
        (view_text("SELECT game_id, tick, price FROM ticks"), "its header lists the columns game_id, tick, x, and its"),
        (view_text("SELECT game_id, tick, pirce AS x FROM ticks"), "DuckDB refuses its SQL: .*pirce"),
        (view_text("SELECT game_id, tick, 1 AS x FROM games"), "Table with name games does not exist.*: ticks"),
        (view_text("SELECT game_id, tick, x FROM read_csv('/etc/passwd')"), "DuckDB refuses its SQL: "),
        (view_text("SELECT game_id, tick, $x AS x FROM ticks"), "DuckDB refuses its SQL: "),
        (
            view_text("SELECT game_id, 0 AS tick, 1 AS x FROM games", reads='["games"]').replace('"tick"]', '"x"]'),
            "rows of a feature stand in time",
        ),
    ],
)
def test_what_is_no_view_is_refused_with_the_reason(query: EventStoreQuery, text: str, says: str) -> None:
    """One line says what is wrong, and the query stays as it was."""
    with pytest.raises(VectraError, match=says) as refusal:
        query.register_view(text, name="mine")
    assert "\n" not in str(refusal.value)
    assert set(query.views) == set(catalogue())


@pytest.mark.parametrize("name", ["ticks", "events", "game_tick", "tick_features"])
def test_the_names_of_the_package_are_taken(query: EventStoreQuery, name: str) -> None:
    """Nobody can put other numbers under a name that others rely on."""
    with pytest.raises(VectraError, match=f"cannot be named '{name}': that is a relation already"):
        query.register_view(view_text(DOUBLED), name=name)


@pytest.mark.parametrize("name", ["Mine", "my view", "1st", "", "a-b", "a; DROP TABLE b", 'a"b'])
def test_a_name_is_one_that_sql_takes(query: EventStoreQuery, name: str) -> None:
    """Lower-case letters, digits and _; the message says so."""
    with pytest.raises(VectraError, match="a name is lower-case letters, digits and _"):
        query.register_view(view_text(DOUBLED), name=name)


def test_a_file_that_is_no_view_harms_no_other(query: EventStoreQuery, folder: Path) -> None:
    """Whoever names it is told which file is at fault and why; all others go on."""
    (folder / "broken.sql").write_text("SELECT 1")
    (folder / "binary.sql").write_bytes(b"\xff\xfe\x00")
    (folder / "upon.sql").write_text(view_text(DOUBLED, reads='["ticks", "broken"]'))
    (folder / "doubled.sql").write_text(view_text(DOUBLED))
    fresh = again(query)

    assert set(fresh.views) == {*catalogue(), "doubled"}
    assert fresh.features("doubled").height == 5
    asking: list[Callable[[], object]] = [
        lambda: fresh.features("broken"),
        lambda: fresh.query("SELECT * FROM broken"),
    ]
    for ask in asking:
        with pytest.raises(VectraError, match=r"view broken has no header.*\(in .*broken\.sql\)"):
            ask()
    assert set(fresh.views.broken) == {"broken", "binary", "upon"}


# Versions and provenance


def test_the_version_is_that_of_the_sql_and_of_what_it_reads(query: EventStoreQuery) -> None:
    """Layout, comments and the case of keywords change nothing; any word, number or text does, wherever it stands."""
    text = "SELECT game_id, tick, price + 1 AS x, 'a -- b' AS y FROM ticks -- why"

    def version(sql: str, upon: str = DOUBLED) -> str:
        fresh = again(query)
        fresh.register_view(view_text(upon), name="below")
        fresh.register_view(view_text(sql, reads='["ticks", "below"]', columns="x y"), name="mine")
        return fresh.views.version("mine")

    same = version(text)
    assert version("select game_id,tick,\n   price+1 as x, /* so */ 'a -- b' as y\nfrom ticks") == same
    assert version(text.replace("+ 1", "+ 2")) != same
    assert version(text.replace("a -- b", "a -- c")) != same
    assert version(text.replace("a -- b", "a  -- b")) != same
    assert version(text, upon=DOUBLED.replace("2 *", "3 *")) != same


def test_an_export_says_which_views_it_was_made_with(query: EventStoreQuery, tmp_path: Path) -> None:
    """The meta file has the version of each view in the chain, and the text of those that are not the package's."""
    query.register_view(view_text(DOUBLED), name="doubled")
    query.register_view(view_text("SELECT * FROM doubled", reads='["doubled"]'), name="upon")
    done = query.export(tmp_path / "upon.parquet", view="upon")
    meta = json.loads(done.meta_path.read_bytes())

    assert meta["view_version"] == query.views.version("upon")
    assert meta["views"] == {name: query.views.version(name) for name in ("tick_sightings", "ticks", "doubled", "upon")}
    assert meta["own_views"] == {"doubled": DOUBLED, "upon": "SELECT * FROM doubled"}
    shipped = json.loads(query.export(tmp_path / "ticks.csv", view="ticks").meta_path.read_bytes())
    assert "own_views" not in shipped


# The command line


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """`vectra` with these words: exit code, stdout, stderr."""
    monkeypatch.setattr("sys.argv", ["vectra", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_a_file_can_be_examined_without_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`vectra features --check`: 0 where it keeps the law, 1 where it breaks it, 2 where it cannot be examined."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUGS_DATA_DIR", str(tmp_path / "nothing"))
    for name, text in (("good", view_text(DOUBLED)), ("leak", view_text(LEAK)), ("none", "SELECT 1")):
        (tmp_path / f"{name}.sql").write_text(text)

    code, out, err = run(monkeypatch, capsys, "features", "--check", "good.sql")
    assert (code, err) == (0, "")
    assert out.startswith("good (feature, version ")
    assert "keeps the law" in out

    code, out, err = run(monkeypatch, capsys, "features", "--check", "leak.sql", "--json")
    assert (code, err) == (1, "")
    said = json.loads(out)
    assert [law["law"] for law in said["laws"] if law["holds"] is False] == ["prefix"]
    assert said["holds"] is False

    code, out, err = run(monkeypatch, capsys, "features", "--check", "none.sql")
    assert (code, out) == (2, "")
    assert err.startswith("vectra: error: view none has no header")
    assert err.count("\n") == 1

    code, _, err = run(monkeypatch, capsys, "features", "--check", "missing.sql")
    assert code == 2
    assert "missing.sql" in err


def test_the_list_says_whose_a_view_is_and_what_was_left_out(
    query: EventStoreQuery, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Views of the folder stand beside the package's, and can be described and shown."""
    (folder / "doubled.sql").write_text(view_text(DOUBLED))
    (folder / "broken.sql").write_text("SELECT 1")
    data_dir = ("--data-dir", str(query.paths.data_dir))

    code, out, err = run(monkeypatch, capsys, "features", "--list", "--json")
    assert code == 0
    assert {row["name"]: row["from"] for row in json.loads(out)}["doubled"] == "you"
    assert {row["name"]: row["from"] for row in json.loads(out)}["ticks"] == "package"
    assert err.startswith("vectra: left out: view broken has no header")

    assert run(monkeypatch, capsys, "features", "--describe", "--view", "doubled")[1].startswith("doubled (feature, ")
    code, out, _ = run(monkeypatch, capsys, *data_dir, "features", "g1", "--view", "doubled", "--json")
    assert [row["x"] for row in json.loads(out)] == [2.0, 4.0, 8.0]


def test_a_store_of_nobody_answers_own_views_with_no_rows(tmp_path: Path) -> None:
    """An empty store has the columns of a registered view, and no rows."""
    query = EventStoreQuery(EventStorePaths(tmp_path / "empty"))
    query.register_view(view_text(DOUBLED), name="doubled")
    assert query.features("doubled").columns == ["game_id", "tick", "x"]
    assert query.features("doubled").is_empty()
