"""`vectra demo`, `report` and `lab`."""

from pathlib import Path

import click

from vectra_analytics import demo as demonstration
from vectra_analytics import lab as laboratory
from vectra_analytics.cli.common import as_json_too, data_dir_too, notebooks_too, print_json, vectra
from vectra_analytics.cli.recordings import describe_import
from vectra_analytics.paths import EventStorePaths


@vectra.command("demo")
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


@vectra.command("report")
@notebooks_too
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
@as_json_too
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
        print_json({**report.to_dict(), "index": str(report.index)})
    else:
        click.echo(f"The report is {report.index}")
    return 0 if report.passed else 1


@vectra.command("lab")
@notebooks_too
@click.argument("jupyter_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- JUPYTER_ARGS...]")
@data_dir_too
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
