"""`vectra info`, `games`, `features`, `sql` and `export`: what is in a store."""

from pathlib import Path

import click
import orjson
import polars as pl

from vectra_analytics.cli.common import (
    as_json_too,
    data_dir_too,
    limit_too,
    print_json,
    print_rows,
    print_table,
    query_on,
    vectra,
)
from vectra_analytics.errors import VectraError
from vectra_analytics.exports import SPLITS
from vectra_analytics.features import FeatureView, Views, own_views
from vectra_analytics.features.page import described
from vectra_analytics.law import check_view
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.query import EventStoreQuery


@vectra.command("info")
@as_json_too
@data_dir_too
@click.pass_obj
def _info(paths: EventStorePaths, as_json: bool) -> None:
    """Say what the store holds."""
    info = query_on(paths).info()
    if as_json:
        print_json(info.to_dict())
    else:
        click.echo(str(info))


@vectra.command("games")
@limit_too
@as_json_too
@data_dir_too
@click.pass_obj
def _games(paths: EventStorePaths, limit: int, as_json: bool) -> None:
    """List the games, in the order they were played."""
    games = query_on(paths).games()
    if as_json:
        print_rows(games)
        return
    shown = games.head(limit).select(
        "game_id",
        pl.col("started_at").dt.strftime("%Y-%m-%d %H:%M:%S"),
        "n_ticks",
        "rug_tick",
        pl.col("peak_price").round_sig_figs(4),
        "missing_ticks",
        "is_complete",
    )
    print_table(shown)
    click.echo(f"{shown.height:,} of {games.height:,} games; started_at is UTC")


@vectra.command("features")
@click.argument("game_id", required=False)
@click.option("--view", default="tick_features", show_default=True, help="The view to show.")
@click.option("--list", "list_views", is_flag=True, help="List the views.")
@click.option("--describe", is_flag=True, help="Say what each column of the view means.")
@click.option(
    "--check",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.sql",
    help="Examine a view of your own: exit 1 where it breaks the law, a look into the future say.",
)
@limit_too
@as_json_too
@data_dir_too
@click.pass_obj
def _features(
    paths: EventStorePaths,
    game_id: str | None,
    view: str,
    list_views: bool,
    describe: bool,
    file: Path | None,
    limit: int,
    as_json: bool,
) -> int:
    """Show the features of a game, tick by tick; say which views and columns there are; examine a view of your own.

    Views of your own are the .sql files in the folder $VECTRA_VIEWS, else in vectra_views/ where you are.
    """
    if file is not None:
        return _check_view(file, paths, as_json)
    if list_views:
        _list_views(own_views(), as_json)
        return 0
    if describe:
        _describe_view(own_views(), view, as_json)
        return 0
    if game_id is None:
        raise click.UsageError("Name a game (`vectra games` lists them), or give --list, --describe or --check.")
    query = query_on(paths)
    rows = query.features(view, games=[game_id])
    if as_json:
        print_rows(rows)
        return 0
    if rows.is_empty() and game_id not in query.list_games():
        raise VectraError(f"no game {game_id!r} in {paths.data_dir}; `vectra games` lists those that there are")
    print_table(rows.head(limit))
    click.echo(f"{min(limit, rows.height):,} of {rows.height:,} rows; --limit shows more, --json and `export` all")
    return 0


def _check_view(file: Path, paths: EventStorePaths, as_json: bool) -> int:
    try:
        view = FeatureView.parse(file.read_text(encoding="utf-8"), file.stem)
    except (OSError, UnicodeDecodeError) as error:
        raise VectraError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from error
    report = check_view(view, EventStoreQuery(paths))
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(str(report))
    return 0 if report.holds else 1


def _list_views(views: Views, as_json: bool) -> None:
    found = [
        {"name": v.name, "kind": v.kind, "title": v.title, "from": "package" if v.is_shipped else "you"}
        for v in views.values()
    ]
    if as_json:
        print_json(found)
    else:
        print_table(pl.DataFrame(found))
    for problem in views.broken.values():
        click.echo(f"vectra: left out: {problem}", err=True)


def _describe_view(views: Views, name: str, as_json: bool) -> None:
    view = views.named(name)
    if as_json:
        columns = [
            {
                "column": column,
                "unit": about.unit,
                "meaning": about.doc,
                "window": about.window,
                "warm_up": about.warm_up,
                "null": about.null or "never",
            }
            for column, about in view.columns.items()
        ]
        print_json({"view": name, "version": views.version(name), "kind": view.kind, "columns": columns})
        return
    click.echo(described(view, views.version(name)))


@vectra.command("sql")
@click.argument("statement")
@limit_too
@as_json_too
@data_dir_too
@click.pass_obj
def _sql(paths: EventStorePaths, statement: str, limit: int, as_json: bool) -> None:
    """Answer one SQL STATEMENT that only reads; it may name events, ticks, games and every view."""
    answer = query_on(paths).query(statement)
    if as_json:
        print_rows(answer)
        return
    print_table(answer.head(limit))
    if answer.height > limit:
        click.echo(f"{limit:,} of {answer.height:,} rows; --limit shows more, --json all")


@vectra.command("export")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--view", default="tick_features", show_default=True, help="The view to export.")
@click.option("--game", "games", multiple=True, help="Only this game; may be given again.")
@click.option("--columns", help="Only these columns, with commas between.")
@click.option(
    "--split",
    type=click.Choice(SPLITS),
    help="Into train, validation and test, 80/10/10 by whole games: by date, the earliest days are train; "
    "by hash of the game_id, a game stays in its part for good.",
)
@click.option("--overwrite", is_flag=True, help="Replace an export of this name; update it, if it is a folder.")
@as_json_too
@data_dir_too
@click.pass_obj
def _export(
    paths: EventStorePaths,
    path: Path,
    view: str,
    games: tuple[str, ...],
    columns: str | None,
    split: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write a view to PATH, with its provenance in PATH.meta.json.

    PATH ends in .csv, .csv.gz or .parquet; without a suffix it is a folder of Parquet files by date, and a later
    export with --overwrite computes only the days that changed.
    """
    query = query_on(paths)
    known = set(query.list_games()) if games else set()
    unknown = [game_id for game_id in games if game_id not in known]
    if unknown:
        raise VectraError(
            f"no game {unknown[0]!r} in {paths.data_dir}; `vectra games` lists those that there are, "
            "and --game may be given again for another one"
        )
    names = [name.strip() for name in columns.split(",")] if columns else None
    done = query.export(path, view, games or None, names, split, overwrite)
    about_split = orjson.loads(done.meta_path.read_bytes())["split"] if split else {}
    parts = about_split.get("parts", {})
    if as_json:
        print_json(
            {
                "path": str(done.path),
                "meta_path": str(done.meta_path),
                "n_rows": done.n_rows,
                "sha256": done.sha256,
                "n_files": done.n_files,
                "n_computed": done.n_computed,
                **({"parts": parts} if split else {}),
            }
        )
        return
    click.echo(f"{done.n_rows:,} rows of {view} in {done.path}")
    if done.path.is_dir():
        n_kept = done.n_files - done.n_computed
        kept = f"; {n_kept:,} had not changed" if n_kept else ""
        click.echo(f"{done.n_computed:,} {'file' if done.n_computed == 1 else 'files'} computed{kept}")
    if about_split.get("cuts"):
        cuts = about_split["cuts"]
        click.echo(f"validation from {cuts['validation_from']}, test from {cuts['test_from']}: updates keep these days")
    for part, about in parts.items():
        click.echo(f"  {part:<10} {about['n_games']:>7,} games {about['n_rows']:>11,} rows")
    click.echo(f"provenance in {done.meta_path}")
