"""`vectra compact`, `snapshot`, `vacuum`, `prune`, `verify`, `repair` and `reproduce`: what keeps a store."""

from datetime import timedelta
from pathlib import Path

import click
import polars as pl

from vectra_analytics.cli.common import as_json_too, data_dir_too, print_json, print_table, progress_bar, vectra
from vectra_analytics.errors import VectraError
from vectra_analytics.maintenance.compaction import compact
from vectra_analytics.maintenance.pruning import prune
from vectra_analytics.maintenance.reproduction import reproduce
from vectra_analytics.maintenance.snapshotting import delete_snapshot, snapshot, snapshots
from vectra_analytics.maintenance.vacuuming import GRACE, vacuum
from vectra_analytics.paths import EventStorePaths


@vectra.command("compact")
@as_json_too
@data_dir_too
@click.pass_obj
def _compact(paths: EventStorePaths, as_json: bool) -> None:
    """Make one sorted file of all files that a past day has of a kind of event.

    Queries get faster and the store smaller; no row changes. Recording may go on meanwhile. The old files are deleted
    by a later call, 24 hours on.
    """
    with progress_bar("compacting") as progress:
        report = compact(paths, progress=progress)
    if as_json:
        print_json(report.to_dict())
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
    _say_kept(report.files_kept_for_repair)


def _say_kept(n_files: int) -> None:
    if n_files:
        click.echo(f"{n_files:,} files stay: the file that replaced them is missing or damaged; run vectra repair")


@vectra.command("snapshot")
@click.argument("name", required=False)
@click.option("--version", type=click.IntRange(min=0), help="The store version to pin. Default: the newest.")
@click.option("--delete", "deleted", metavar="NAME", help="Delete this snapshot: its version is pinned no longer.")
@as_json_too
@data_dir_too
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
        print_json([each.to_dict() for each in shown] if done is None else shown[0].to_dict())
    elif done is not None:
        click.echo(f"version {shown[0].version:,} {done}: {shown[0].name}")
    elif shown:
        print_table(
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


@vectra.command("vacuum")
@click.option(
    "--grace",
    type=click.FloatRange(min=0, max=24 * 36_500),
    default=GRACE.total_seconds() / 3600,
    show_default=True,
    metavar="HOURS",
    help="How long replaced files stay for those who began to read before.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@as_json_too
@data_dir_too
@click.pass_obj
def _vacuum(paths: EventStorePaths, grace: float, dry_run: bool, as_json: bool) -> None:
    """Delete files that were replaced or pruned, and that no snapshot and no recent reader needs.

    `compact` does this at its end, too. Versions that need a deleted file cannot be read any more.
    """
    report = vacuum(paths, timedelta(hours=grace), dry_run)
    if as_json:
        print_json(report.to_dict())
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
    _say_kept(report.files_kept_for_repair)


@vectra.command("prune")
@click.option("--before", required=True, metavar="DATE", help="The first UTC day that stays, as YYYY-MM-DD.")
@click.option("--yes", is_flag=True, help="Do it. Without this, only say what would go.")
@as_json_too
@data_dir_too
@click.pass_obj
def _prune(paths: EventStorePaths, before: str, yes: bool, as_json: bool) -> None:
    """Take all events of the days before DATE out of the store, for good: no import of the same brings them back.

    Older versions have them until `vectra vacuum` deletes the files, from 24 hours later on; a snapshot keeps them.
    """
    report = prune(paths, before, yes)
    if as_json:
        print_json(report.to_dict())
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


@vectra.command("reproduce")
@click.argument("meta", type=click.Path(path_type=Path), metavar="EXPORT.meta.json")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the new export here. Default: it is deleted.")
@as_json_too
@data_dir_too
@click.pass_obj
def _reproduce(paths: EventStorePaths, meta: Path, out: Path | None, as_json: bool) -> int:
    """Make an export again, from the store version and by the view that its meta file names, and compare.

    Exit 0 where it is the same, by its bytes or by the values in it; 1 where it differs; 2 where something is missing.
    """
    report = reproduce(meta, paths, out)
    why = "; ".join(report.reasons)
    if as_json:
        print_json(report.to_dict())
    elif report.outcome == "impossible":
        raise VectraError(f"cannot reproduce {meta}: {why}")
    elif report.outcome == "same file":
        click.echo(f"reproduced: {report.n_rows:,} rows, the same SHA-256 {report.sha256}")
    elif report.outcome == "same rows":
        click.echo(f"reproduced: {report.n_rows:,} rows, the same values in the same order; the bytes differ: {why}")
    else:
        click.echo(f"it differs: {why}")
    if report.path is not None and not as_json:
        click.echo(f"the new export is {report.path}")
    return report.exit_code


@vectra.command("verify")
@click.option("--deep", is_flag=True, help="Read every byte: hashes, page checksums, all that is known of the rows.")
@as_json_too
@data_dir_too
@click.pass_obj
def _verify(paths: EventStorePaths, deep: bool, as_json: bool) -> int:
    """Hold the catalog and the files of the store against each other; changes nothing.

    Exit 1 where something is damaged, missing or not the catalog's: each is a line that says what to do.
    """
    from vectra_analytics.maintenance.verification import (
        verify,  # only here, as below: most commands look after nothing
    )

    with progress_bar("verifying") as progress:
        report = verify(paths, deep=deep, progress=progress)
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(str(report))
    return 0 if report.is_sound else 1


@vectra.command("repair")
@click.option("--forget", is_flag=True, help="Take files out of the catalog that were deleted on purpose.")
@as_json_too
@data_dir_too
@click.pass_obj
def _repair(paths: EventStorePaths, forget: bool, as_json: bool) -> None:
    """Make the store one that verify finds nothing wrong with.

    What is damaged or not the store's is moved to quarantine/, with a record of its rows and games. A damaged or
    missing catalog is made anew from its backup and the event files. It may be interrupted and run again.
    """
    from vectra_analytics.maintenance.repairing import repair

    with progress_bar("repairing") as progress:
        report = repair(paths, forget=forget, progress=progress)
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(str(report))
