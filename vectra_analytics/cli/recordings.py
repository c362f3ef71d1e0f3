"""`vectra import`."""

import click

from vectra_analytics.cli.common import as_json_too, data_dir_too, print_json, progress_bar, vectra
from vectra_analytics.importers import ImportReport, import_recordings
from vectra_analytics.paths import EventStorePaths

_SHOWN_REJECTS = 10


@vectra.command("import")
@click.argument("sources", nargs=-1, required=True, metavar="PATH...")
@click.option("--timezone", help="Zone of times that name none, such as America/New_York.")
@as_json_too
@data_dir_too
@click.pass_obj
def _import(paths: EventStorePaths, sources: tuple[str, ...], timezone: str | None, as_json: bool) -> None:
    """Store the recordings in files, folders or glob patterns.

    Known by their content: replay recordings, raw websocket samples and raw captures (.jsonl, .jsonl.gz,
    .jsonl.zst), and the Parquet files of a store that VECTRA-PLAYER wrote, whose times are UTC.

    What was stored before is not stored again; rejected lines are listed and kept in manifests/rejects.
    """
    with progress_bar("importing") as progress:
        report = import_recordings(sources, paths, timezone=timezone, progress=progress)
    if as_json:
        print_json(report.to_dict())
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
    lines += [f"  rejected: {_shown(file)}:{line}: {reason}" for file, line, reason in report.rejected[:_SHOWN_REJECTS]]
    if len(report.rejected) > _SHOWN_REJECTS:
        lines.append(f"  ... and {len(report.rejected) - _SHOWN_REJECTS:,} more")
    if report.rejected:
        lines.append("  their text is kept in manifests/rejects")
    return "\n".join(lines)


def _shown(file: str) -> str:
    return file if file.isprintable() else ascii(file)  # a name may have line ends, or be no text at all
