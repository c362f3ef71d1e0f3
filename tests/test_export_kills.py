"""An export that is killed, interrupted or out of disk: what was there, or nothing; and the next one succeeds."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.builders import START, tick_event
from tests.effort import stride
from vectra_analytics import EventStorePaths, EventStoreQuery, ParquetWriter, VectraError
from vectra_analytics.exports import formats, targets
from vectra_analytics.exports.targets import meta_path

ROOT = Path(__file__).resolve().parents[1]

# The target's name, what it is exported with, and the store version that was exported to it before, if any.
KINDS: dict[str, tuple[str, dict[str, Any], int | None]] = {
    "file": ("f.parquet", {}, None),
    "file again": ("f.csv.gz", {}, 1),
    "folder": ("f", {}, None),
    "update": ("f", {}, 1),
    "meta alone": ("f", {}, 2),
    "split": ("f", {"split": "hash"}, None),
    "split update": ("f", {"split": "date"}, 1),
    "split files": ("f.csv", {"split": "hash"}, 1),
}
# Killed at each second step and so on, with more effort at each; the other kinds take the same.
KILLED = {
    kind: stride(usual)
    for kind, usual in {"file": 2, "file again": 3, "folder": 5, "update": 4, "split files": 5}.items()
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EventStorePaths:
    """Version 1 has games of two days, version 2 one more on the second and a third day."""
    paths = EventStorePaths(tmp_path_factory.mktemp("kills") / "store")
    with ParquetWriter(paths, buffer_size=10_000, flush_interval=3600) as writer:
        for day, number in ((0, 1), (1, 2), (1, 3), (2, 4)):
            if number == 3:
                writer.flush()
            for tick in range(3):
                ts = START + timedelta(days=day, hours=number, milliseconds=250 * tick)
                writer.write(tick_event(tick, 1 + tick / 3, f"g{number}", f"s{number}", ts=ts))
    return paths


def export(paths: EventStorePaths, kind: str, folder: Path, version: int = 2) -> Path:
    """Export as the kind says, over what is there."""
    name, how, _ = KINDS[kind]
    return EventStoreQuery(paths, version).export(folder / name, view="ticks", overwrite=True, **how).path


def template(paths: EventStorePaths, kind: str, folder: Path) -> tuple[Path, dict[str, str], dict[str, str]]:
    """A folder with what an export of this kind finds; its contents, and those afterwards."""
    name, _, before = KINDS[kind]
    found, after = folder / f"{kind} before", folder / f"{kind} after"
    found.mkdir()
    if before is not None:
        export(paths, kind, found, before)
    shutil.copytree(found, after)
    return found, contents(found / name), contents(export(paths, kind, after))


def steps_counted(patch: pytest.MonkeyPatch, hit: Callable[[], None]) -> None:
    """From now on call ``hit`` before each step of an export; when a file gets its rows, that is amid its writing."""

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            hit()
            return real(*arguments, **named)

        return call

    for name in ("rename", "mkdir", "link", "unlink", "rmdir"):
        patch.setattr(os, name, counted(getattr(os, name)))
    patch.setattr(os, "fsync", counted(lambda descriptor: None))  # a slow disk shows nothing more
    for sink in (formats._CsvSink, formats._ParquetSink):
        patch.setattr(sink, "finish", counted(sink.finish))


def contents(path: Path) -> dict[str, str]:
    """The SHA-256 of an export's files by their relative path; of a file, under its name."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {
        file.name if file == path else file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def said(path: Path) -> dict[str, str] | None:
    """The same as the meta file has it; None where there is none."""
    meta_path = path.with_name(f"{path.name}.meta.json")
    if not meta_path.exists():
        return None
    meta = json.loads(meta_path.read_text())
    listed = (
        {file["path"]: file["sha256"] for file in meta["files"]} if "files" in meta else {path.name: meta["sha256"]}
    )
    if "files" in meta:
        lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(listed.items()))
        assert meta["sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    return listed


def check(path: Path, old: dict[str, str], fresh: dict[str, str]) -> None:
    """What is there is the old export, the new one or none, or it has no meta; nothing is torn."""
    listed = said(path)
    if listed is not None:
        assert listed == contents(path), "a meta beside other files than its own"
        assert listed in (old, fresh)
    if path.exists():
        assert contents(path) in (old, fresh)
    for file in path.parent.rglob("*.parquet"):  # as DuckDB and Polars do, hidden folders too
        if file.is_file():
            assert hashlib.sha256(file.read_bytes()).hexdigest() in {*old.values(), *fresh.values()}


def check_next(paths: EventStorePaths, kind: str, folder: Path, fresh: dict[str, str]) -> None:
    """The next export succeeds and leaves nothing but itself."""
    path = export(paths, kind, folder)
    assert said(path) == contents(path) == fresh
    assert {file.name for file in folder.iterdir()} == {path.name, f"{path.name}.meta.json"}


def test_a_killed_export_leaves_the_old_one_or_none(store: EventStorePaths, tmp_path: Path) -> None:
    """SIGKILL before each write, sync, rename and removal of an export of each kind."""
    (tmp_path / "template").mkdir()
    templates = {kind: template(store, kind, tmp_path / "template") for kind in KILLED}
    script = "import sys; from tests import test_export_kills; test_export_kills.die_at_each_step(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, str(store.data_dir), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    n_steps = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert n_steps.keys() == KILLED.keys()
    for kind, last in n_steps.items():
        assert int(last) > 8, kind
        _, old, fresh = templates[kind]
        alike = {}
        for folder in tmp_path.glob(f"{kind} [0-9]*"):
            check(folder / KINDS[kind][0], old, fresh)
            alike[listing(folder)] = folder
        for folder in alike.values():
            check_next(store, kind, folder, fresh)


@pytest.mark.parametrize("kind", ["file again", "update"])
def test_names_that_a_power_cut_left_in_both_folders(store: EventStorePaths, tmp_path: Path, kind: str) -> None:
    """What went from the workplace to its place may be in both; if its meta file did not come there, it still does."""
    (tmp_path / "template").mkdir()
    _, old, fresh = template(store, kind, tmp_path / "template")
    path = tmp_path / "out" / KINDS[kind][0]
    work = path.with_name(f".{path.name}.vectra.part")
    work.mkdir(parents=True)
    for name, suffix in (("new", "after"), ("old", "before")):
        made = tmp_path / "template" / f"{kind} {suffix}" / path.name
        shutil.copy(meta_path(made), work / f"{name}.meta.json")
        for target in (work / name, path) if name == "new" else (work / name,):
            (shutil.copytree if made.is_dir() else shutil.copy)(made, target)
    assert old != fresh

    with targets.workplace(path):
        assert said(path) == contents(path) == fresh

    check_next(store, kind, path.parent, fresh)


def listing(folder: Path) -> frozenset[tuple[str, int]]:
    """What lies there, by names without what is random in them, and sizes."""
    found = [file for file in folder.rglob("*") if file.is_file()]
    names = [re.sub(r"[0-9a-f]{8,}", "*", file.relative_to(folder).as_posix()) for file in found]
    return frozenset(zip(names, (file.stat().st_size for file in found), strict=True))


def die_at_each_step(data_dir: str, into: str) -> None:
    """Run in a process of its own: exports of each kind, each in a child, killed one step later than the last."""
    paths = EventStorePaths(data_dir)
    for kind, every in KILLED.items():
        status, step = -1, 0
        while status:
            step += every
            folder = Path(into, f"{kind} {step}")
            child = os.fork()  # before anything here made threads
            if child == 0:
                shutil.copytree(Path(into, "template", f"{kind} before"), folder)
                steps_counted(pytest.MonkeyPatch(), dying_at(step))
                export(paths, kind, folder)
                os._exit(0)
            status = os.waitpid(child, 0)[1]
            assert status in (0, signal.SIGKILL), f"{kind} {step}: {status}"
            assert step < 100
        print(kind, step, flush=True)


def dying_at(last: int) -> Callable[[], None]:
    """A step that is the last one when it is taken for so many times."""
    n_steps = 0

    def hit() -> None:
        nonlocal n_steps
        n_steps += 1
        if n_steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

    return hit


FAILURES = (OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt())


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_export_leaves_the_old_one_or_none(
    kind: str, store: EventStorePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk or Ctrl-C at each step: the old export or none stays, with its meta, and no trace of the new one."""
    before, old, fresh = template(store, kind, tmp_path)
    path = tmp_path / "now" / KINDS[kind][0]
    n_steps = failing = step = 0

    def hit() -> None:
        nonlocal n_steps
        n_steps += 1
        if n_steps == failing:
            # Neighbouring kinds take nearly the same steps, so each fails in both ways.
            raise FAILURES[(step + list(KINDS).index(kind)) % 2]

    steps_counted(monkeypatch, hit)
    for step in range(1, 100):
        shutil.copytree(before, path.parent)
        n_steps, failing = 0, step
        with contextlib.suppress(KeyboardInterrupt, VectraError):
            export(store, kind, path.parent)
        is_last = n_steps < step
        failing = 0

        check(path, old, fresh)
        assert (said(path) is None) == (not path.exists()), "an export without its meta, though nothing was killed"
        check_next(store, kind, path.parent, fresh)
        shutil.rmtree(path.parent)
        if is_last:
            break
    assert 6 < step < 99
