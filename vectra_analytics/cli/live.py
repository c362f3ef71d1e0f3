"""`vectra record` and `replay`: the live feed."""

import contextlib
import shutil
import sys
from pathlib import Path
from typing import IO

import click
import orjson

from vectra_analytics.cli.common import (
    as_json_too,
    data_dir_too,
    print_json,
    vectra,
)
from vectra_analytics.errors import VectraError
from vectra_analytics.paths import EventStorePaths


@vectra.command("record")
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
@click.option(
    "--compact/--no-compact",
    "compacts",
    default=True,
    show_default=True,
    help="Make one sorted file of the many of a day, once it is over.",
)
@as_json_too
@data_dir_too
@click.pass_obj
def _record(
    paths: EventStorePaths,
    url: str | None,
    raw: str,
    session_id: str | None,
    flush_interval: float,
    compacts: bool,
    as_json: bool,
) -> None:
    """Record the live feed until Ctrl-C or SIGTERM; what was received is stored then.

    It connects again for ever. Ticks that were missed meanwhile are filled in from what the feed says of them later.
    """
    from vectra_analytics.live.event_bus import EventBus
    from vectra_analytics.live.record import Recorder, record
    from vectra_analytics.live.service import EventStoreService
    from vectra_analytics.maintenance.compaction import AutoCompaction

    if not url:
        raise VectraError("there is no feed to record: give its address with --url or $VECTRA_FEED_URL")
    bus = EventBus()
    service = EventStoreService(bus, paths, session_id, 1000, flush_interval, raw=raw)
    line = _StatusLine()
    recorder = Recorder(url, bus, service, line.tell)
    say = line.show if sys.stderr.isatty() else None
    stats = record(recorder, service, say, compaction=AutoCompaction(paths) if compacts else None)
    line.end()
    if as_json:
        print_json(stats)
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


@vectra.command("replay")
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
@as_json_too
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

    from vectra_analytics.live.replay import required
    from vectra_analytics.live.replay.script import Script
    from vectra_analytics.live.replay.server import serve, until_signalled

    required()
    script = Script(sources)
    if script.passed_over:
        (file, line, reason), n_lines = script.passed_over[0], len(script.passed_over)
        counted = f"{n_lines:,} {'line' if n_lines == 1 else 'lines'} of no event"
        click.echo(f"vectra: passed over {counted}, such as {file}:{line}: {reason}", err=True)

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
