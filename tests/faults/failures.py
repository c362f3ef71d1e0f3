"""A system that says no: full disks, errors of the disk, no more open files, folders that cannot be written."""

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults import stores
from tests.faults.actions import ACTIONS, look_and_repeat
from tests.faults.children import Child, Memory, call, injected, tracer_of
from tests.faults.reader import Reader
from tests.faults.results import Counts, fault
from tests.faults.stores import COMMIT_ROWS, NEVER
from vectra_analytics import CommitFailed, ParquetWriter, VectraError

_NOBODY = 65534
_DISK_CALLS = (
    "fsync",
    "fdatasync",
    "pwrite64",
    "rename",
    "openat",
    "unlink",
)  # not write: threads wake each other by it
_NAMES = list(ACTIONS)


class Disk:
    """A small file system in memory.

    Parameters
    ----------
    kilobytes
        Its size until :meth:`grow`.
    """

    def __init__(self, kilobytes: int) -> None:
        self._memory = Memory()
        self.folder = Path(self._memory.name)
        self._mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "vectra-faults")

    def _mount(self, *options: str) -> None:
        subprocess.run(["mount", *options, str(self.folder)], check=True)

    def grow(self) -> None:
        """Give it room."""
        self._mount("-o", "remount,size=64m")

    def fill(self, kilobytes: int) -> None:
        """Leave so much room."""
        about = os.statvfs(self.folder)
        free = about.f_bavail * about.f_frsize
        with (self.folder / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, max(1, free - 1024 * kilobytes))

    def __enter__(self) -> "Disk":
        return self

    def __exit__(self, *exc: object) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)
        self._memory.cleanup()


def attempt(name: str, data_dir: Path, seed: int, log: Path) -> str | None:
    """Do an action that may fail; gives the error, which has to be one of ours, in one line.

    None where it was not the action that failed: an import of Python's, our own log, or a thread of a library that
    knows no other way than to panic.
    """
    text: str | None = ""
    try:
        ACTIONS[name].run(data_dir, seed, log)
    except VectraError as error:
        text = str(error)
    except OSError as error:
        if error.filename is None or str(error.filename).startswith(str(data_dir)):
            raise
        text = None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        text = None
    assert "\n" not in (text or ""), f"more than one line: {text}"
    return text


def _told(error: str | None) -> Counts:
    return {"failed": bool(error), "done": error == "", "ended by a library": error is None}


@fault(
    "ENOSPC, for a writer: a disk that fills up under it, at another size for each seed",
    "flush() and write() raise CommitFailed, what was acknowledged can be read on the full disk; with room again "
    "the same writer stores the rest, each event once",
    quick=4,
    full=40,
)
def _full_disk_for_a_writer(seed: int) -> Counts:
    with Disk(random.Random(seed).randrange(250, 900)) as disk:
        data_dir = disk.folder / "store"
        n_acknowledged = call(_write_until_full, data_dir, disk)
        rows = call(stores.stored, data_dir)
        stores.assert_same(rows, stores.rows_of(stores.events("s", n_acknowledged + 1)), "with room again")
        assert call(stores.assert_sound, data_dir) == [], "leftovers"
        return {"acknowledged commits": n_acknowledged}


def _write_until_full(data_dir: Path, disk: Disk) -> int:
    writer = ParquetWriter(data_dir, buffer_size=10_000, flush_interval=NEVER)
    number = 0
    while True:
        for one in stores.events("s", 1, number):
            writer.write(one)
        try:
            writer.flush()
        except CommitFailed:
            break
        number += 1
        assert number < 1000, "the disk does not fill up"
    rows = stores.stored(data_dir)
    stores.assert_same(rows, stores.rows_of(stores.events("s", number)), "on a full disk")
    stores.assert_query_agrees(data_dir, rows)
    with contextlib.suppress(CommitFailed):
        writer.write(stores.event("s", 10_000))
        raise AssertionError("write() took an event after a failed commit")
    assert writer.buffer_count == COMMIT_ROWS
    disk.grow()
    assert writer.flush(), "no files"
    assert writer.buffer_count == 0
    writer.close()
    return number


@fault(
    "ENOSPC, for each action: so much room left, and no more, by the seed",
    "done, or one VectraError in one line; all rows as before or as after; with room again the same action completes",
    quick=8,
    full=120,
)
def _full_disk(seed: int) -> Counts:
    name = _NAMES[seed % len(_NAMES)]
    with Disk(64 * 1024) as disk, Memory() as elsewhere:
        data_dir, log = disk.folder / "store", Path(elsewhere, "log")
        call(ACTIONS[name].prepare, data_dir)
        disk.fill(4 * random.Random(seed).randrange(0, 100 if name == "import" else 40))
        error = call(attempt, name, data_dir, seed, log)
        (disk.folder / "filler").unlink()
        call(look_and_repeat, name, data_dir, seed, log)
        return _told(error)


@contextlib.contextmanager
def _prepared(name: str) -> Iterator[tuple[Path, Path]]:
    with Memory() as folder:
        data_dir = Path(folder, "store")
        call(ACTIONS[name].prepare, data_dir)
        yield data_dir, Path(folder, "log")


@fault(
    "EIO, for each action: the n-th fsync, rename, open, unlink or write of the catalog fails",
    "done, or one VectraError in one line (DuckDB and Polars end the process at some calls); all rows as before or as "
    "after; the same action then completes",
    quick=8,
    full=160,
)
def _disk_errors(seed: int) -> Counts:
    chance = random.Random(seed)
    name = _NAMES[seed % len(_NAMES)]
    system_call, number = chance.choice(_DISK_CALLS), chance.randrange(1, 12)
    with _prepared(name) as (data_dir, log):
        child = Child(attempt, name, data_dir, seed, log, is_held=True)
        child.trace(*injected(system_call, "error=EIO", number))
        error = child.wait(240)
        call(look_and_repeat, name, data_dir, seed, log)
        return _told(error)


@fault(
    "EIO on the n-th fsync of a writer's commits",
    "flush() raises CommitFailed, the next one stores the events in new files: each event once, and the file whose "
    "fsync failed is gone",
    quick=3,
    full=30,
)
def _fsync_errors(seed: int) -> Counts:
    system_call, number = ("fsync", "fdatasync")[seed % 4 == 3], 1 + seed % 12
    with _prepared("first write") as (data_dir, _):
        child = Child(_write_with_errors, data_dir, is_held=True)
        child.trace(*injected(system_call, "error=EIO", number))
        n_failed, files = child.wait(240)
        rows = call(stores.stored, data_dir)
        stores.assert_same(rows, stores.rows_of(stores.events("s", 6)), "after errors")
        assert call(stores.assert_sound, data_dir) == [], "leftovers"
        found = {path for path in (data_dir / "events_parquet").rglob("*") if path.is_file()}
        assert found == files, "flush() did not name the files that are there"
        return {"failed commits": n_failed}


def _write_with_errors(data_dir: Path) -> tuple[int, set[Path]]:
    n_failed, files = 0, set()
    while True:
        try:
            writer = ParquetWriter(data_dir, buffer_size=10_000, flush_interval=NEVER)
            break
        except VectraError:
            n_failed += 1
            assert n_failed < 3
            _end_tracing()
    for number in range(6):
        for one in stores.events("s", 1, number):
            writer.write(one)
        while writer.buffer_count:
            try:
                files.update(writer.flush() or [])
            except CommitFailed:
                n_failed += 1
                assert n_failed < 5
                _end_tracing()  # each attempt begins threads of its own, whose calls strace counts from 1
    writer.close()
    return n_failed, files


def _end_tracing() -> None:
    tracer = tracer_of(os.getpid())
    if tracer:
        os.kill(tracer, signal.SIGTERM)
        while tracer_of(os.getpid()):
            time.sleep(0.01)


@fault(
    "EMFILE, for each action: no more open files but so many",
    "done, or one VectraError in one line; all rows as before or as after; the same action then completes",
    quick=6,
    full=80,
)
def _no_more_files(seed: int) -> Counts:
    name = _NAMES[seed % len(_NAMES)]
    with _prepared(name) as (data_dir, log):
        error = call(_attempt_with_few_files, name, data_dir, seed, log, random.Random(seed).randrange(0, 24))
        call(look_and_repeat, name, data_dir, seed, log)
        return _told(error)


def _attempt_with_few_files(name: str, data_dir: Path, seed: int, log: Path, n_more: int) -> str | None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    while os.open(os.devnull, os.O_RDONLY) < highest:  # the limit is one of numbers: none below is to be free
        pass
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + n_more, before[1]))
    try:
        return attempt(name, data_dir, seed, log)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@fault(
    "EACCES, for each action, as a user who may not write one of the store's folders",
    "done, or one VectraError in one line; no row is changed; with the right to write the same action completes",
    quick=6,
    full=60,
)
def _no_right(seed: int) -> Counts:
    name = _NAMES[seed % len(_NAMES)]
    with _prepared(name) as (data_dir, log):
        os.chmod(data_dir.parent, 0o777)
        folders = (
            [data_dir, *sorted(path for path in data_dir.rglob("*") if path.is_dir())] if data_dir.exists() else []
        )
        chosen = random.Random(seed).choice(folders) if folders else data_dir.parent
        for path in (data_dir, *data_dir.rglob("*")) if data_dir.exists() else ():
            os.chown(path, _NOBODY, _NOBODY)
        chosen.chmod(0o555)
        scratch = data_dir.with_name("scratch")
        error = call(_attempt_as_nobody, name, data_dir, seed, log, scratch)
        chosen.chmod(0o777)
        call(look_and_repeat, name, data_dir, seed, log)
        return _told(error)


def _attempt_as_nobody(name: str, data_dir: Path, seed: int, log: Path, scratch: Path) -> str | None:
    # What is imported at first use lies where only root may read, perhaps.
    ACTIONS[name].prepare(scratch)
    attempt(name, scratch, seed, Path(os.devnull))
    shutil.rmtree(scratch)
    os.setgroups([])
    os.setgid(_NOBODY)
    os.setuid(_NOBODY)
    return attempt(name, data_dir, seed, log)


@fault(
    "A slow disk: each fsync takes a tenth of a second",
    "write() never waits for the disk; readers see whole commits meanwhile; nothing is lost",
    quick=1,
    full=3,
)
def _slow_disk(seed: int) -> Counts:
    with _prepared("first write") as (data_dir, _):
        reader = Reader(data_dir, None)
        child = Child(_write_to_slow_disk, data_dir, is_held=True)
        child.trace(
            "-e",
            "trace=fsync,fdatasync",
            "-e",
            "inject=fsync:delay_enter=100000",
            "-e",
            "inject=fdatasync:delay_enter=100000",
        )
        longest, total = child.wait(240)
        seen = reader.end()
        assert total > 1, f"the disk was not slow: {total} s"
        assert longest < total / 4, f"one write() took {longest} s of {total} s"
        assert not seen.complaints, seen.complaints
        stores.assert_same(call(stores.stored, data_dir), stores.rows_of(stores.events("s", 5)), "after all")
        return {"polls": seen.n_polls}


def _write_to_slow_disk(data_dir: Path) -> tuple[float, float]:
    began, longest = time.monotonic(), 0.0
    with ParquetWriter(data_dir, buffer_size=COMMIT_ROWS, flush_interval=NEVER) as writer:
        for number in range(5):
            for one in stores.events("s", 1, number):
                before = time.monotonic()
                writer.write(one)
                longest = max(longest, time.monotonic() - before)
            if number < 4:
                time.sleep(0.2)
    return longest, time.monotonic() - began
