"""The benchmarks run, and compare only what gives the same numbers. No test looks at a time."""

from pathlib import Path

import polars as pl
import pytest

from benchmarks import bench, iteration, one_game, report, storage, whole
from benchmarks.corpus import TICKS, Corpus, live_files
from benchmarks.results import MILLISECONDS, Disagreement, Result, check_same, compared, times

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


@pytest.fixture(scope="module")
def games(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Twenty games, two files."""
    return Corpus(tmp_path_factory.mktemp("bench"), 20)


def _alternatives(results: list[Result]) -> dict[str, list[str]]:
    """What stands beside each measure, without the figures."""
    found: dict[str, list[str]] = {}
    for result in results:
        assert result.ours != "not measured", result
        found.setdefault(result.what, []).append(result.alternative.partition(": ")[2])
    return found


def test_the_corpus_holds_the_same_events_in_every_form(games: Corpus) -> None:
    """Ten games a file of ours, 100 events a file of the other store."""
    texts = pl.scan_parquet(f"{games.reference}/**/*.parquet", hive_partitioning=False).collect()

    assert texts.height == games.n_ticks == 20 * TICKS
    assert len(texts.columns) == 20
    assert len(list(games.reference.rglob("*.parquet"))) == games.n_ticks // 100
    assert texts["ts"][0].startswith("2025-11-03T00:00:00.")
    assert [file.name[:6] for file in live_files(games.as_recorded)] == ["000000", "001424"]


def test_questions_about_one_game_are_measured_beside_agreeing_alternatives(
    games: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features stand beside all files, the game in memory and the other store; events beside all files."""
    monkeypatch.setattr(one_game, "N_SAMPLED", 3)
    features = _alternatives(one_game.features(games))
    events = _alternatives(one_game.episode(games))

    assert [len(beside) for beside in features.values()] == [2, 3]
    assert list(features) == ["features of a game, compacted", "features of a game, as recorded"]
    assert list(events) == ["events of a game, compacted", "events of a game, as recorded"]


def test_one_game_of_a_large_store_is_measured(games: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The large store is made of the same games again and again, under other names."""
    monkeypatch.setattr(one_game, "N_SAMPLED", 3)
    (row,) = one_game.big_features(games, n_days=2, games_a_day=3)

    assert row.what == "features of a game out of 6"


def test_iteration_is_measured_beside_agreeing_alternatives(games: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both forms, five columns and all, beside the stream and the limit, with memory; a second pass; a query a game."""
    alone = iteration.in_process("ours", games.as_recorded, iteration.FIVE)
    here = iteration.go_through("ours", games.as_recorded, iteration.FIVE)
    monkeypatch.setattr(iteration, "in_process", iteration.go_through)
    monkeypatch.setattr(iteration, "_N_TIMES", 1)

    found = _alternatives(iteration.iterate(games))

    assert {name: alone[name] for name in ("games", "rows", "price")} == {
        "games": 20,
        "rows": 5000,
        "price": here["price"],
    }
    assert len(found) == 2 * 2 * 3
    assert sum(map(len, found.values())) == 2 * 2 * 4 + 1


def test_whole_corpus_measures_agree(games: Corpus) -> None:
    """Features of everything beside four tools and two limits, exports beside COPY and the limit."""
    features = whole.features(games)
    exports = _alternatives(whole.export(games))

    assert len(features) == 2 * 6
    for row in features:
        assert row.ratio is not None or "pandas by hand: not measured" in row.alternative
    assert [len(beside) for beside in exports.values()] == [2, 2]


def test_an_export_of_a_large_store_is_measured_beside_one_of_a_tenth(games: Corpus) -> None:
    """Each in a process of its own, with what it held in memory."""
    seconds, memory = whole.big_export(games, n_days=2, games_a_day=10)

    assert seconds.what == "export of 5,000 ticks to .parquet"
    assert seconds.alternative.endswith(": that of 500, times ten")
    assert memory.cost
    assert memory.cost > 1e7


def test_storage_is_measured(games: Corpus) -> None:
    """Bytes in both forms, and the compaction of a day."""
    sizes = storage.sizes(games)
    (day,) = storage.compaction(games)

    assert len(_alternatives(sizes)) == 4
    assert all(row.cost and row.alternative_cost for row in sizes)
    assert day.what == "compaction of a day of 5,000 ticks, 2 files"


def test_an_alternative_with_other_numbers_is_an_error() -> None:
    """A ratio never compares different work."""
    ours = pl.DataFrame({"tick": [0, 1, 2], "price": [1.0, None, 3.0]})

    check_same(ours, ours.with_columns(price=pl.Series([1.0, float("nan"), 3.0 * (1 + 1e-12)])), "another")
    check_same(ours, ours.with_columns(price=pl.Series([1.0, 2.0, 3.0])), "another", skip_nulls=True)
    for other in ([1.0, None, 3.00001], [1.0, 2.0, 3.0], [1.0, None, None]):
        with pytest.raises(Disagreement, match="another: price is"):
            check_same(ours, ours.with_columns(price=pl.Series(other)), "another")
    with pytest.raises(Disagreement, match="2 rows where ours has 3"):
        check_same(ours, ours.head(2), "another")


def test_a_result_says_whether_it_is_as_wanted() -> None:
    """Both the cost and the ratio have to be within their limits."""
    fast = compared("a", 0.010, 0.6, "b", MILLISECONDS, at_most=0.012, ratio_at_most=1 / 50)
    slow = compared("a", 0.013, 0.7, "b", MILLISECONDS, at_most=0.012, ratio_at_most=1 / 50)

    assert (fast.ours, fast.alternative, fast.wanted) == ("10.0 ms", "600.0 ms: b", "<= 12.0 ms, <= 1/50")
    assert fast.is_met is True
    assert slow.is_met is False
    assert [times(2.5), times(1.0), times(1 / 3.5), times(1 / 80)] == ["2.5", "1", "1/3.5", "1/80"]


def test_results_are_kept_part_by_part_and_written_into_the_page(tmp_path: Path) -> None:
    """A later run replaces only what it measured, and the page changes only between its two marks."""
    file, page = tmp_path / "bench.json", tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    row = compared("a | b", 1.0, 2.0, "c", MILLISECONDS)
    report.keep(file, "whole", 20, [row, row])
    report.keep(file, "storage", 20, [row])
    report.keep(file, "whole", 30, [row])

    report.write_into(page, report.kept(file), ["storage", "whole"])
    text = page.read_text()

    assert text.startswith(f"before\n{report.BEGIN}\n")
    assert text.endswith(f"\n{report.END}\nafter\n")
    assert "old" not in text
    assert text.count("| a \\| b | 1,000.0 ms | 2,000.0 ms: c | 1/2 | - |  |") == 2
    assert "30 games" in text


def test_the_page_explains_every_part() -> None:
    """Whoever reads the table finds what each part measures, and where the results go."""
    text = PAGE.read_text(encoding="utf-8")
    explained = text[text.index("## What is measured") :]

    assert text.index(report.BEGIN) < text.index(report.END)
    for name in bench.parts(Path(), 0):
        assert f"**{name}" in explained or f", {name}" in explained, name
