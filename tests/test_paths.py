"""EventStorePaths: where things lie, and that a store works wherever it lies."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.builders import START, episode, rows, tick_event, write
from vectra_analytics import DocType, EventEnvelope, EventSource, EventStorePaths, EventStoreQuery, VectraError

STRANGE_NAMES = [
    "with spaces",
    " space before and after ",
    "it's",
    'say "so"',
    "[brackets]",
    "[a-z]*",
    "*",
    "**",
    "wh?t",
    "{a,b}",
    "100%20",
    "%s {} $x",
    "üñï 漢字 😀",
    "back\\slash",
    "new\nline",
    "semi;colon, comma",
    "#hash",
    "-dash",
    "~tilde",
    "file:x",
    "date=foo",
    "date=2020-01-01",
    "doc_type=ws_event",
    "game_id=5",
    "x" * 200,
]


def fill(data_dir: Path) -> EventStorePaths:
    """A store with one episode and one event of another kind, a day later."""
    later = EventEnvelope.from_system_event(
        "end", {}, EventSource.REPLAY, "session-g1", 99, ts=START.replace(day=18, hour=1)
    )
    return write(data_dir, [*episode(1, 4, 3, rug=True), later])


def look(paths: EventStorePaths) -> dict[str, Any]:
    """What a query finds in such a store, asked in several ways."""
    query = EventStoreQuery(paths)
    sql = "SELECT doc_type, date::VARCHAR, game_id, count(*) FROM events GROUP BY ALL ORDER BY ALL"
    return {
        "events": rows(query, sql),
        "episode": query.get_game_episode("g1").height,
        "games": query.games()["n_ticks"].to_list(),
        "listed": query.list_games(),
        "total": query.count_events(),
    }


AS_WRITTEN = {
    "events": [("game_tick", "2025-12-17", "g1", 3), ("system_event", "2025-12-18", None, 1)],
    "episode": 3,
    "games": [3],
    "listed": ["g1"],
    "total": 4,
}


# --- where


def test_the_default_is_the_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the store is at $RUGS_DATA_DIR, as it stands when the object is made."""
    monkeypatch.setenv("RUGS_DATA_DIR", str(tmp_path / "mine"))
    paths = EventStorePaths()
    monkeypatch.setenv("RUGS_DATA_DIR", str(tmp_path / "other"))

    assert paths.data_dir == tmp_path / "mine"


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_without_the_variable_it_is_at_home(value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it is ~/rugs_data, whether the variable is unset or empty."""
    monkeypatch.setenv("HOME", str(tmp_path))
    if value is not None:
        monkeypatch.setenv("RUGS_DATA_DIR", value)

    assert EventStorePaths().data_dir == tmp_path / "rugs_data"
    assert EventStoreQuery().paths == EventStorePaths(tmp_path / "rugs_data")


def test_an_argument_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data_dir given is taken, as a path or as a text, whatever the environment says."""
    monkeypatch.setenv("RUGS_DATA_DIR", str(tmp_path / "mine"))

    assert EventStorePaths(tmp_path / "given").data_dir == tmp_path / "given"
    assert EventStorePaths(str(tmp_path / "given")) == EventStorePaths(tmp_path / "given")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """~ is expanded, in the argument and in the variable."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUGS_DATA_DIR", "~/mine")

    assert EventStorePaths().data_dir == tmp_path / "mine"
    assert EventStorePaths("~/given").data_dir == tmp_path / "given"


def test_an_unknown_users_home_is_a_clear_error() -> None:
    """A home folder that does not exist is a VectraError, or a folder of that very name."""
    try:
        paths = EventStorePaths("~no such user/x")
    except VectraError:
        return
    assert paths.data_dir == Path.cwd() / "~no such user" / "x"


def test_a_relative_path_stays_where_it_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changing the working directory later does not move the store."""
    monkeypatch.chdir(tmp_path)
    paths = EventStorePaths("store")
    monkeypatch.chdir("/")

    assert paths.data_dir == tmp_path / "store"


def test_the_folders_have_the_names_on_the_page(tmp_path: Path) -> None:
    """The five folders are below the data directory under their documented names."""
    paths = EventStorePaths(tmp_path)

    assert paths.data_dir == tmp_path
    assert paths.events_parquet_dir == tmp_path / "events_parquet"
    assert paths.vectors_dir == tmp_path / "vectors"
    assert paths.exports_dir == tmp_path / "exports"
    assert paths.manifests_dir == tmp_path / "manifests"


@pytest.mark.parametrize("doc_type", [DocType.GAME_TICK, "game_tick"], ids=["member", "text"])
def test_a_partition_is_a_kind_and_a_day(doc_type: str, tmp_path: Path) -> None:
    """A partition's folder is doc_type=.../date=..., for the member as for its text."""
    folder = EventStorePaths(tmp_path).parquet_partition_dir(doc_type, "2025-12-17")

    assert folder == tmp_path / "events_parquet" / "doc_type=game_tick" / "date=2025-12-17"


def test_equal_paths_are_equal(tmp_path: Path) -> None:
    """Two objects for one place are one key."""
    assert len({EventStorePaths(tmp_path), EventStorePaths(str(tmp_path)), EventStorePaths(tmp_path / "x")}) == 2
    assert str(tmp_path) in repr(EventStorePaths(tmp_path))


# --- touching nothing


def test_naming_makes_nothing(tmp_path: Path) -> None:
    """Asking for every name makes no folder."""
    paths = EventStorePaths(tmp_path / "store")
    _ = (paths.data_dir, paths.events_parquet_dir, paths.vectors_dir, paths.exports_dir, paths.manifests_dir)
    _ = paths.parquet_partition_dir("game_tick", "2025-12-17")

    assert list(tmp_path.iterdir()) == []


def test_asking_an_absent_store_makes_nothing(tmp_path: Path) -> None:
    """A query where there is no store finds it empty and leaves no trace."""
    query = EventStoreQuery(EventStorePaths(tmp_path / "store"))

    assert query.list_games() == []
    assert query.count_events() == query.version == 0
    assert query.query("SELECT * FROM events").height == 0
    assert list(tmp_path.iterdir()) == []


def test_ensure_directories_makes_all(tmp_path: Path) -> None:
    """All folders are made, parents included; a second time changes nothing."""
    paths = EventStorePaths(tmp_path / "a" / "b")
    paths.ensure_directories()
    paths.ensure_directories()

    assert sorted(path.name for path in paths.data_dir.iterdir()) == [
        "events_parquet",
        "exports",
        "manifests",
        "vectors",
    ]


# --- anywhere


@pytest.mark.parametrize("name", STRANGE_NAMES, ids=ascii)
def test_any_name_will_do_for_the_data_directory(name: str, tmp_path: Path) -> None:
    """A store below a folder of any legal name is written and read like any other."""
    assert look(fill(tmp_path / name / "store")) == AS_WRITTEN


def test_any_name_will_do_for_the_last_folder_too(tmp_path: Path) -> None:
    """A store in a folder whose own name has everything in it works in every call."""
    paths = fill(tmp_path / " 'we\" [i-r]* %20 üñ😀 ?{d,e} date=2020-01-01 \\x $;#")
    query = EventStoreQuery(paths)

    assert look(paths) == AS_WRITTEN
    assert query.get_tick_features("g1")["price"].to_list() == [1.0, 4.0, 3.0]
    assert [frame.height for frame in query.iter_episodes()] == [3]
    assert query.scan("ticks").collect().height == 3
    assert query.list_players() == []
    assert query.info().n_events == 4


def test_a_name_that_is_not_utf8_works_or_is_refused_at_once(tmp_path: Path) -> None:
    """Where a folder's name is no UTF-8, the writer says so before it takes events that no query could read."""
    try:
        paths = fill(tmp_path / "b\udcffd")
    except VectraError:
        return
    assert look(paths) == AS_WRITTEN


@pytest.mark.parametrize(
    ("name", "sibling"), [("st[1]", "st1"), ("st*", "stab"), ("st?", "sta"), ("st{a,b}", "sta"), ("**", "deep")]
)
def test_a_name_that_looks_like_a_pattern_means_itself(name: str, sibling: str, tmp_path: Path) -> None:
    """A copy of the store next to it, whose name its own matches as a pattern, is not taken for it nor read with it."""
    paths = fill(tmp_path / name)
    shutil.copytree(tmp_path / name, tmp_path / sibling)

    assert look(paths) == AS_WRITTEN
    assert look(EventStorePaths(tmp_path / sibling)) == AS_WRITTEN
    write(tmp_path / name, [tick_event(0, 1.0, "g2")])
    assert EventStoreQuery(paths).list_games() == ["g1", "g2"]
    assert look(EventStorePaths(tmp_path / sibling)) == AS_WRITTEN


def test_a_detour_leads_to_the_store(tmp_path: Path) -> None:
    """A link, `..` and doubled slashes on the way do no harm."""
    fill(tmp_path / "real" / "store")
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert look(EventStorePaths(tmp_path / "link" / "store")) == AS_WRITTEN
    assert look(EventStorePaths(tmp_path / "link" / ".." / "real" / "store")) == AS_WRITTEN
    assert look(EventStorePaths(f"{tmp_path}//real///store/")) == AS_WRITTEN


def test_a_store_may_be_moved(tmp_path: Path) -> None:
    """Nothing in a store says where it lies: moved, it reads and grows as before."""
    fill(tmp_path / "before")
    (tmp_path / "before").rename(tmp_path / "after")
    paths = fill(tmp_path / "after")

    assert look(paths) == AS_WRITTEN
    assert not (tmp_path / "before").exists()


# --- in the way


@pytest.mark.parametrize("there", ["data_dir", "events_parquet_dir", "manifests_dir", "vectors_dir", "exports_dir"])
def test_a_file_in_the_way_is_named(there: str, tmp_path: Path) -> None:
    """Where a file stands in a folder's place, the error is one line that names the place and what to do."""
    paths = EventStorePaths(tmp_path / "store")
    obstacle: Path = getattr(paths, there)
    obstacle.parent.mkdir(parents=True, exist_ok=True)
    obstacle.write_text("in the way")

    for make in (paths.ensure_directories, lambda: fill(paths.data_dir)):
        with pytest.raises(VectraError) as error:
            make()
        assert str(obstacle) in str(error.value)
        assert "RUGS_DATA_DIR" in str(error.value)
        assert "\n" not in str(error.value)
    assert obstacle.read_text() == "in the way"


def test_a_folder_where_the_catalog_should_be_is_named(tmp_path: Path) -> None:
    """A folder in the catalog's place is an error of ours that names it, for a writer and for a reader."""
    paths = EventStorePaths(tmp_path / "store")
    obstacle = paths.manifests_dir / "catalog.sqlite"
    obstacle.mkdir(parents=True)

    for make in (lambda: fill(paths.data_dir), lambda: EventStoreQuery(paths).count_events()):
        with pytest.raises(VectraError) as error:
            make()
        assert str(obstacle) in str(error.value)
        assert "\n" not in str(error.value)


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the folders cannot be made, the error is one line with the place and the system's reason."""

    def refuse(path: os.PathLike[str], mode: int = 0o777) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(VectraError, match="Permission denied") as error:
        fill(tmp_path / "store")

    assert str(tmp_path / "store") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["x" * 300, "nul\0byte"], ids=["too long", "NUL"])
def test_a_name_that_is_not_legal_is_an_error_of_ours(name: str, tmp_path: Path) -> None:
    """A name that no folder can have is a VectraError."""
    with pytest.raises(VectraError):
        fill(tmp_path / name)
