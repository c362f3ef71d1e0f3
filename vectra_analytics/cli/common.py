"""Options that several commands have, and how they print."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import orjson
import polars as pl

from vectra_analytics.errors import VectraError
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.query import EventStoreQuery


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="The store. Default: $RUGS_DATA_DIR, else ~/rugs_data.",
)
@click.version_option(package_name="vectra_analytics")
@click.pass_context
def vectra(ctx: click.Context, data_dir: Path | None) -> None:
    """Record crash games, ask questions of them, export their features."""
    ctx.obj = EventStorePaths(data_dir)


def query_on(paths: EventStorePaths) -> EventStoreQuery:
    """A query on the store; a folder that is none, or not there, was named by mistake."""
    folder = paths.data_dir
    if not paths.catalog_file.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VectraError(
            f"there is no store at {folder}; name one with --data-dir or $RUGS_DATA_DIR, "
            "or make one with `vectra import`"
        )
    return EventStoreQuery(paths)


def data_dir_too(command: Callable[..., Any]) -> Callable[..., Any]:
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
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, off where that is no terminal."""
    with click.progressbar(length=1, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield progress


as_json_too = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


notebooks_too = click.option(
    "--notebooks",
    type=click.Path(path_type=Path),
    default=Path("notebooks"),
    show_default=True,
    help="Folder of the notebooks.",
)


limit_too = click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Rows to print.")


def print_json(value: Any) -> None:
    """For scripts."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_rows(frame: pl.DataFrame) -> None:
    """A frame for scripts: a JSON object a row."""
    click.echo(frame.write_json())


def print_table(frame: pl.DataFrame) -> None:
    """A frame for people."""
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
