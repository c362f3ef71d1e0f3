"""`vectra`: the package at the command line. Thin: it parses, calls and prints."""

import contextlib
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, NoReturn

import click
import duckdb
import orjson
import polars as pl

from vectra_analytics import demo as demonstration
from vectra_analytics import lab as laboratory
from vectra_analytics.compaction import compact
from vectra_analytics.errors import VectraError
from vectra_analytics.exports import SPLITS
from vectra_analytics.features import FeatureView, Views, own_views
from vectra_analytics.features.page import described
from vectra_analytics.importers import ImportReport, import_recordings
from vectra_analytics.law import check_view
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.pruning import prune
from vectra_analytics.query import EventStoreQuery
from vectra_analytics.snapshotting import delete_snapshot, snapshot, snapshots
from vectra_analytics.vacuuming import GRACE, vacuum

_SHOWN_REJECTS = 10


def main() -> NoReturn:
    """The console script: one line on stderr for every error, and an exit code that a script can read."""
    try:
        code = _vectra(standalone_mode=False)
    except click.UsageError as error:
        place = error.ctx.command_path if error.ctx else "vectra"
        _fail(f"{error.format_message()} See: {place} --help")
    except click.ClickException as error:
        _fail(error.format_message())
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "\nvectra: interrupted; what was stored is safe, and the same command goes on where it stopped", err=True
        )
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone: no complaint about that either
        sys.exit(0)
    except (VectraError, duckdb.Error, pl.exceptions.PolarsError, sqlite3.Error, OSError) as error:
        _fail(str(error))
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> NoReturn:
    # An error is one line; DuckDB shows the place of a syntax error on further ones.
    click.echo(f"vectra: error: {' '.join(message.split())}", err=True)
    sys.exit(2)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="The store. Default: $RUGS_DATA_DIR, else ~/rugs_data.",
)
@click.version_option(package_name="vectra_analytics")
@click.pass_context
def _vectra(ctx: click.Context, data_dir: Path | None) -> None:
    """Record crash games, ask questions of them, export their features."""
    ctx.obj = EventStorePaths(data_dir)


def _query(paths: EventStorePaths) -> EventStoreQuery:
    """A query on the store; a folder that is none, or not there, was named by mistake."""
    folder = paths.data_dir
    if not paths.catalog_file.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VectraError(
            f"there is no store at {folder}; name one with --data-dir or $RUGS_DATA_DIR, "
            "or make one with `vectra import`"
        )
    return EventStoreQuery(paths)


def _data_dir_too(command: Callable[..., Any]) -> Callable[..., Any]:
    """--data-dir behind the command's name as well as before it."""

    def take(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
        if value is not None:
            ctx.obj = EventStorePaths(value)

    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=take,
        help="The store. Default: $RUGS_DATA_DIR, else ~/rugs_data.",
    )(command)


@contextlib.contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, off where that is no terminal."""
    with click.progressbar(length=1, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield progress


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
_notebooks = click.option(
    "--notebooks",
    type=click.Path(path_type=Path),
    default=Path("notebooks"),
    show_default=True,
    help="Folder of the notebooks.",
)
_limit = click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Rows to print.")


@_vectra.command("import")
@click.argument("sources", nargs=-1, required=True, metavar="PATH...")
@click.option("--timezone", help="Zone of times that name none, such as America/New_York.")
@_as_json
@_data_dir_too
@click.pass_obj
def _import(paths: EventStorePaths, sources: tuple[str, ...], timezone: str | None, as_json: bool) -> None:
    """Store the recordings in files, folders or glob patterns.

    Known by their content: replay recordings, raw websocket samples and raw captures (.jsonl, .jsonl.gz,
    .jsonl.zst), and the Parquet files of a store that VECTRA-PLAYER wrote, whose times are UTC.

    What was stored before is not stored again; rejected lines are listed and kept in manifests/rejects.
    """
    with _progress("importing") as progress:
        report = import_recordings(sources, paths, timezone=timezone, progress=progress)
    if as_json:
        _print_json(report.to_dict())
        return
    click.echo(describe_import(report))
    click.echo(f"The store is {paths.data_dir}")


def describe_import(report: ImportReport) -> str:
    """The report as a person reads it."""
    files = f"{report.n_files:,} {'file' if report.n_files == 1 else 'files'}"
    lines = [
        f"{files}, {report.lines_read:,} lines: {report.lines_stored:,} stored, "
        f"{report.lines_duplicate:,} stored before, {report.lines_not_events:,} blank or comment, "
        f"{len(report.rejected):,} rejected",
        f"{report.events_stored:,} new events, {report.records_rescued:,} of them rescued from torn lines",
    ]
    if report.amounts_unreadable:
        lines.append(
            f"{report.amounts_unreadable:,} amounts of money cannot be stored exactly: NULL; raw_json has what was sent"
        )
    lines += [f"  rejected: {file}:{line}: {reason}" for file, line, reason in report.rejected[:_SHOWN_REJECTS]]
    if len(report.rejected) > _SHOWN_REJECTS:
        lines.append(f"  ... and {len(report.rejected) - _SHOWN_REJECTS:,} more")
    if report.rejected:
        lines.append("  their text is kept in manifests/rejects")
    return "\n".join(lines)


@_vectra.command("info")
@_as_json
@_data_dir_too
@click.pass_obj
def _info(paths: EventStorePaths, as_json: bool) -> None:
    """Say what the store holds."""
    info = _query(paths).info()
    if as_json:
        _print_json(info.to_dict())
    else:
        click.echo(str(info))


@_vectra.command("games")
@_limit
@_as_json
@_data_dir_too
@click.pass_obj
def _games(paths: EventStorePaths, limit: int, as_json: bool) -> None:
    """List the games, in the order they were played."""
    games = _query(paths).games()
    if as_json:
        _print_rows(games)
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
    _print_table(shown)
    click.echo(f"{shown.height:,} of {games.height:,} games; started_at is UTC")


@_vectra.command("features")
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
@_limit
@_as_json
@_data_dir_too
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
    query = _query(paths)
    rows = query.features(view, games=[game_id])
    if as_json:
        _print_rows(rows)
        return 0
    if rows.is_empty() and game_id not in query.list_games():
        raise VectraError(f"no game {game_id!r} in {paths.data_dir}; `vectra games` lists those that there are")
    _print_table(rows.head(limit))
    click.echo(f"{min(limit, rows.height):,} of {rows.height:,} rows; --limit shows more, --json and `export` all")
    return 0


def _check_view(file: Path, paths: EventStorePaths, as_json: bool) -> int:
    try:
        view = FeatureView.parse(file.read_text(encoding="utf-8"), file.stem)
    except (OSError, UnicodeDecodeError) as error:
        raise VectraError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from error
    report = check_view(view, EventStoreQuery(paths))
    if as_json:
        _print_json(report.to_dict())
    else:
        click.echo(str(report))
    return 0 if report.holds else 1


def _list_views(views: Views, as_json: bool) -> None:
    found = [
        {"name": v.name, "kind": v.kind, "title": v.title, "from": "package" if v.is_shipped else "you"}
        for v in views.values()
    ]
    if as_json:
        _print_json(found)
    else:
        _print_table(pl.DataFrame(found))
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
        _print_json({"view": name, "version": views.version(name), "kind": view.kind, "columns": columns})
        return
    click.echo(described(view, views.version(name)))


@_vectra.command("sql")
@click.argument("statement")
@_limit
@_as_json
@_data_dir_too
@click.pass_obj
def _sql(paths: EventStorePaths, statement: str, limit: int, as_json: bool) -> None:
    """Answer one SQL STATEMENT that only reads; it may name events, ticks, games and every view."""
    answer = _query(paths).query(statement)
    if as_json:
        _print_rows(answer)
        return
    _print_table(answer.head(limit))
    if answer.height > limit:
        click.echo(f"{limit:,} of {answer.height:,} rows; --limit shows more, --json all")


@_vectra.command("export")
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
@_as_json
@_data_dir_too
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
    query = _query(paths)
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
        _print_json(
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


@_vectra.command("compact")
@_as_json
@_data_dir_too
@click.pass_obj
def _compact(paths: EventStorePaths, as_json: bool) -> None:
    """Make one sorted file of all files that a past day has of a kind of event.

    Queries get faster and the store smaller; no row changes. Recording may go on meanwhile. The old files are deleted
    by a later call, 24 hours on.
    """
    with _progress("compacting") as progress:
        report = compact(paths, progress=progress)
    if as_json:
        _print_json(report.to_dict())
        return
    if report.n_partitions:
        click.echo(
            f"{report.files_before:,} files became {report.files_after:,} ({report.n_rows:,} events): "
            f"{report.bytes_before / 1e6:,.1f} MB became {report.bytes_after / 1e6:,.1f} MB"
        )
    else:
        click.echo("nothing to compact: each past day is one sorted file a kind of event already")
    if report.files_deleted:
        click.echo(f"{report.files_deleted:,} files that were replaced more than 24 hours ago are deleted")


@_vectra.command("snapshot")
@click.argument("name", required=False)
@click.option("--version", type=click.IntRange(min=0), help="The store version to pin. Default: the newest.")
@click.option("--delete", "deleted", metavar="NAME", help="Delete this snapshot: its version is pinned no longer.")
@_as_json
@_data_dir_too
@click.pass_obj
def _snapshot(
    paths: EventStorePaths, name: str | None, version: int | None, deleted: str | None, as_json: bool
) -> None:
    """Pin a store version as NAME, so that it can be read for good; without NAME, list the snapshots.

    EventStoreQuery(version="NAME") reads it.
    """
    if deleted is not None and name is not None:
        raise click.UsageError("Give a NAME to make a snapshot, or --delete NAME, not both.")
    if name is None and version is not None:
        raise click.UsageError("Give a NAME for the version.")
    if name is not None:
        shown, done = [snapshot(paths, name, version)], "is pinned"
    elif deleted is not None:
        shown, done = [delete_snapshot(paths, deleted)], "is pinned by this name no longer"
    else:
        shown, done = snapshots(paths), None
    if as_json:
        _print_json([each.to_dict() for each in shown] if done is None else shown[0].to_dict())
    elif done is not None:
        click.echo(f"version {shown[0].version:,} {done}: {shown[0].name}")
    elif shown:
        _print_table(
            pl.DataFrame(
                {
                    "name": [each.name for each in shown],
                    "version": [each.version for each in shown],
                    "made_at": [f"{each.made_at:%Y-%m-%d %H:%M:%S}" for each in shown],
                }
            )
        )
        click.echo(f"{len(shown):,} {'snapshot' if len(shown) == 1 else 'snapshots'}; made_at is UTC")
    else:
        click.echo("no snapshots; `vectra snapshot NAME` makes one of the newest version")


@_vectra.command("vacuum")
@click.option(
    "--grace",
    type=click.FloatRange(min=0, max=24 * 36_500),
    default=GRACE.total_seconds() / 3600,
    show_default=True,
    metavar="HOURS",
    help="How long replaced files stay for those who began to read before.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@_as_json
@_data_dir_too
@click.pass_obj
def _vacuum(paths: EventStorePaths, grace: float, dry_run: bool, as_json: bool) -> None:
    """Delete files that were replaced or pruned, and that no snapshot and no recent reader needs.

    `compact` does this at its end, too. Versions that need a deleted file cannot be read any more.
    """
    report = vacuum(paths, timedelta(hours=grace), dry_run)
    if as_json:
        _print_json(report.to_dict())
        return
    would = "would be " if dry_run else ""
    click.echo(
        f"{report.files_deleted:,} files ({report.bytes_deleted / 1e6:,.1f} MB) {would}deleted, "
        f"{report.versions_closed:,} versions {would}closed"
    )
    if report.leftovers_deleted:
        click.echo(f"{report.leftovers_deleted:,} files that killed processes left {would}deleted")
    if report.files_waiting:
        click.echo(f"{report.files_waiting:,} files stay: they were replaced less than {grace:g} hours ago")
    if report.files_pinned:
        click.echo(f"{report.files_pinned:,} files stay: a snapshot needs them")


@_vectra.command("prune")
@click.option("--before", required=True, metavar="DATE", help="The first UTC day that stays, as YYYY-MM-DD.")
@click.option("--yes", is_flag=True, help="Do it. Without this, only say what would go.")
@_as_json
@_data_dir_too
@click.pass_obj
def _prune(paths: EventStorePaths, before: str, yes: bool, as_json: bool) -> None:
    """Take all events of the days before DATE out of the store, for good: no import of the same brings them back.

    Older versions have them until `vectra vacuum` deletes the files, from 24 hours later on; a snapshot keeps them.
    """
    report = prune(paths, before, yes)
    if as_json:
        _print_json(report.to_dict())
        return
    if not report.n_files:
        click.echo(f"nothing to prune: there are no events before {report.before}")
        return
    click.echo(
        f"{report.n_rows:,} events of {len(report.days):,} {'day' if len(report.days) == 1 else 'days'} "
        f"({report.days[0]} to {report.days[-1]}), {report.n_games:,} whole games, in {report.n_files:,} files "
        f"({report.n_bytes / 1e6:,.1f} MB) {'are gone' if report.done else 'would go'}"
    )
    if report.n_games_in_part:
        verb = "have lost" if report.done else "would lose"
        click.echo(f"{report.n_games_in_part:,} games {verb} only a part of their rows, those before {report.before}")
    if report.done:
        click.echo(f"version {report.version:,} is without them; `vectra vacuum` frees the space in 24 hours")
    else:
        click.echo("nothing is changed; --yes does it")


@_vectra.command("demo")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for the store and the exports.",
)
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    default=Path("data_samples"),
    show_default=True,
    help="Recordings to start from.",
)
def _demo(out: Path, samples: Path) -> None:
    """Do the main job once: import sample recordings, compute features, export them."""
    for line in demonstration.run(samples, out, describe_import):
        click.echo(line)


@_vectra.command("report")
@_notebooks
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("report"), show_default=True, help="Folder of the report."
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Run on this store, without comparing outputs. Default: as they are; $RUGS_DATA_DIR is not looked at.",
)
@click.option(
    "-p",
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A value for a name in a cell with the tag `parameters`; outputs are not compared then. Repeatable.",
)
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=600, show_default=True, help="Seconds a cell."
)
@_as_json
@click.pass_context
def _report(
    ctx: click.Context,
    notebooks: Path,
    out: Path,
    data_dir: Path | None,
    parameters: tuple[str, ...],
    timeout: float,
    as_json: bool,
) -> int:
    """Run notebooks, validate them and write one offline HTML site about it, with junit.xml.

    Each runs in a fresh kernel, from its own folder. It fails where a cell raises and, without --data-dir and -p,
    where an output is not the stored one; exit 1 then, and the report is written all the same.
    """
    from vectra_analytics.reports import Outcome, make_report  # only here: most commands need no notebooks
    from vectra_analytics.reports.parameters import parsed

    def tell(outcome: Outcome) -> None:
        if as_json:
            return
        if outcome.passed:
            click.echo(f"passed  {outcome.path.name}  {outcome.seconds:.1f} s")
        for failure in outcome.failures:
            click.echo(f"failed  {outcome.path.name}: {failure.line}")

    if data_dir is None and ctx.parent is not None:
        data_dir = ctx.parent.params["data_dir"]  # `vectra --data-dir D report`
    report = make_report(notebooks, out, data_dir=data_dir, parameters=parsed(parameters), timeout=timeout, tell=tell)
    if as_json:
        _print_json({**report.to_dict(), "index": str(report.index)})
    else:
        click.echo(f"The report is {report.index}")
    return 0 if report.passed else 1


@_vectra.command("record")
@click.option("--url", envvar="VECTRA_FEED_URL", help="The feed's address, with its query. Default: $VECTRA_FEED_URL.")
@click.option(
    "--raw",
    type=click.Choice(["all", "changes", "none"]),
    default="all",
    show_default=True,
    help="How much is kept of each update's JSON: all, what changed, or only what ticks are made of.",
)
@click.option("--session-id", help="Names the recording; one that was used before goes on. Default: a new one.")
@click.option(
    "--flush-interval",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Seconds after which events are durable.",
)
@_as_json
@_data_dir_too
@click.pass_obj
def _record(
    paths: EventStorePaths, url: str | None, raw: str, session_id: str | None, flush_interval: float, as_json: bool
) -> None:
    """Record the live feed until Ctrl-C or SIGTERM; what was received is stored then.

    It connects again for ever. Ticks that were missed meanwhile are filled in from what the feed says of them later.
    """
    from vectra_analytics.event_bus import EventBus
    from vectra_analytics.record import Recorder, record
    from vectra_analytics.service import EventStoreService

    if not url:
        raise VectraError("there is no feed to record: give its address with --url or $VECTRA_FEED_URL")
    bus = EventBus()
    service = EventStoreService(bus, paths, session_id, 1000, flush_interval, raw=raw)
    line = _StatusLine()
    recorder = Recorder(url, bus, service, line.tell)
    stats = record(recorder, service, line.show if sys.stderr.isatty() else None)
    line.end()
    if as_json:
        _print_json(stats)
        return
    click.echo(
        f"{stats['n_received']:,} events received in {stats['n_connected']:,} connections; {stats['event_count']:,} "
        f"stored in session {stats['session_id']}, {stats['game_count']:,} whole games among them; "
        f"{sum(stats['refused'].values()):,} refused"
    )
    for reason, n in stats["refused"].items():
        click.echo(f"  refused: {n:,} x {reason}")


class _StatusLine:
    """A line on stderr that is written over, and lines above it that stay."""

    def __init__(self) -> None:
        self._shown = 0

    def show(self, text: str) -> None:
        """Replace the line."""
        columns = shutil.get_terminal_size().columns - 1
        click.echo(f"\r{text[:columns]:<{min(self._shown, columns)}}", nl=False, err=True)
        self._shown = len(text)

    def tell(self, text: str) -> None:
        """Say something that stays."""
        self.end()
        click.echo(text, err=True)

    def end(self) -> None:
        """Leave the line as it stands."""
        if self._shown:
            click.echo(err=True)
        self._shown = 0


@_vectra.command("replay")
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How many times as fast as it was recorded; a pause of more than 5 s counts as 5 s.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port of 127.0.0.1; 0: any free one."
)
@click.option(
    "--repeat",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many times to play; from the second on, ids of games end with the number of the repetition.",
)
@click.option(
    "--wait-for-client/--no-wait-for-client",
    "waits_for_client",
    default=True,
    show_default=True,
    help="Begin when the first client has connected.",
)
@click.option(
    "--sent",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.jsonl",
    help="Append a line with sid, event and data for each event that a client was sent.",
)
@_as_json
def _replay(
    sources: tuple[str, ...],
    speed: float,
    port: int,
    repeat: int,
    waits_for_client: bool,
    sent: Path | None,
    as_json: bool,
) -> None:
    """Serve recordings as a live feed, Socket.IO on 127.0.0.1: to try live code without the game.

    Games and raw events, as `vectra import` knows them (.jsonl, .jsonl.gz, .jsonl.zst); of several, the earliest
    first. It ends when all is sent. Needs the extra: pip install "vectra_analytics[record]".
    """
    import asyncio  # only here, like the rest: most commands serve nothing

    from vectra_analytics.replay import required
    from vectra_analytics.replay.script import Script
    from vectra_analytics.replay.server import serve, until_signalled

    required()
    script = Script(sources)
    if script.passed_over:
        file, line, reason = script.passed_over[0]
        click.echo(f"vectra: passed over {len(script.passed_over):,} lines, first {file}:{line}: {reason}", err=True)

    def ready(url: str) -> None:
        about = {"url": url, "n_events": script.n_events, "n_files": script.n_files, "speed": speed, "repeat": repeat}
        named = sources[0] if len(sources) == 1 else f"{script.n_files:,} files"
        times = f", {repeat:,} times" if repeat > 1 else ""
        words = f"replaying {script.n_events:,} events of {named} at {url} (speed {speed:g}x{times})"
        click.echo(orjson.dumps(about).decode() if as_json else words)

    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(_appending(sent)) if sent else None
        playing = serve(
            script, ready, port=port, speed=speed, repeat=repeat, waits_for_client=waits_for_client, sent=sink
        )
        asyncio.run(until_signalled(playing))


def _appending(path: Path) -> IO[str]:
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise VectraError(f"cannot write {path}: {error.strerror}; name another file with --sent") from error


@_vectra.command("lab")
@_notebooks
@click.argument("jupyter_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- JUPYTER_ARGS...]")
@_data_dir_too
@click.pass_context
def _lab(ctx: click.Context, notebooks: Path, jupyter_args: tuple[str, ...]) -> int:
    """Open JupyterLab on notebooks, with a store that EventStoreQuery() in a new notebook finds.

    It is the one that --data-dir or $RUGS_DATA_DIR names, else demo/store, made of data_samples where it is not there.
    """
    laboratory.required(notebooks)
    is_named = ctx.obj.data_dir != EventStorePaths("~/rugs_data").data_dir
    paths = ctx.obj if is_named else laboratory.sample_store()
    click.echo(f"EventStoreQuery() in a notebook asks the store {paths.data_dir}")
    return laboratory.run(notebooks, paths, jupyter_args)


@_vectra.command("verify")
@click.option("--deep", is_flag=True, help="Read every byte: hashes, page checksums, all that is known of the rows.")
@_as_json
@_data_dir_too
@click.pass_obj
def _verify(paths: EventStorePaths, deep: bool, as_json: bool) -> int:
    """Hold the catalog and the files of the store against each other; changes nothing.

    Exit 1 where something is damaged, missing or not the catalog's: each is a line that says what to do.
    """
    from vectra_analytics.verification import verify  # only here, as below: most commands look after nothing

    with _progress("verifying") as progress:
        report = verify(paths, deep=deep, progress=progress)
    if as_json:
        _print_json(report.to_dict())
    else:
        click.echo(str(report))
    return 0 if report.is_sound else 1


@_vectra.command("repair")
@click.option("--forget", is_flag=True, help="Take files out of the catalog that were deleted on purpose.")
@_as_json
@_data_dir_too
@click.pass_obj
def _repair(paths: EventStorePaths, forget: bool, as_json: bool) -> None:
    """Make the store one that verify finds nothing wrong with.

    What is damaged or not the store's is moved to quarantine/, with a record of its rows and games. A damaged or
    missing catalog is made anew from its backup and the event files. It may be interrupted and run again.
    """
    from vectra_analytics.repairing import repair

    with _progress("repairing") as progress:
        report = repair(paths, forget=forget, progress=progress)
    if as_json:
        _print_json(report.to_dict())
    else:
        click.echo(str(report))


def _print_json(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _print_rows(frame: pl.DataFrame) -> None:
    click.echo(frame.write_json())


def _print_table(frame: pl.DataFrame) -> None:
    with pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=10_000 if not sys.stdout.isatty() else None,
        tbl_formatting="NOTHING",
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
        fmt_str_lengths=60,
        tbl_cell_numeric_alignment="RIGHT",
    ):
        click.echo(str(frame))
