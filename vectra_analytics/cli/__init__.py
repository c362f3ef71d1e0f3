"""`vectra`: the package at the command line. Thin: it parses, calls and prints."""

import sqlite3
import sys
from typing import NoReturn

import click
import duckdb
import polars as pl

from vectra_analytics.cli import live, maintenance, notebooks, questions, recordings
from vectra_analytics.cli.common import vectra
from vectra_analytics.errors import VectraError

_ROOMS = (recordings, questions, maintenance, notebooks, live)  # each has added its commands by being imported


def main() -> NoReturn:
    """The console script: one line on stderr for every error, and an exit code that a script can read."""
    try:
        code = vectra(standalone_mode=False)
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
