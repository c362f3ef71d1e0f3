"""Children forked from a process that has everything imported and has used none of it: a new one costs milliseconds."""

import ctypes
import os
import pickle
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # threads that each child would have to begin
import numpy.ma  # noqa: F401  # what is imported here, the children need not import
import pyarrow as pa
import pyarrow.dataset

from vectra_analytics import features

pa.set_cpu_count(1)
features.catalogue()
_ATTACH_SECONDS = 20.0
_CALL_SECONDS = 240.0  # for what takes one on a machine that is not busy
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


_LIBC = ctypes.CDLL(None)
_ends: set[int] = set()  # of pipes, that this process holds and no child may: nobody would be told that it closes them


def pipe_to_child() -> tuple[int, int]:
    """A pipe whose second end is this process's alone: the child that is given the first is told when it closes."""
    end, own_end = os.pipe()
    _ends.add(own_end)
    return end, own_end


def close(own_end: int) -> None:
    """Close such an end."""
    _ends.discard(own_end)
    os.close(own_end)


class ChildFailed(AssertionError):
    """What a child raised, with its traceback."""


class Child:
    """A process that calls a function; the parent has its result, its error, or the signal that ended it.

    Parameters
    ----------
    function
        Called with the arguments in the child.
    is_held
        It waits before the call until :meth:`release`.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, is_held: bool = False) -> None:
        self._tracer: subprocess.Popen[bytes] | None = None
        self.status: int | None = None
        self._result, sink = os.pipe()
        gate, self._gate = pipe_to_child()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._result)
            for end in _ends:
                os.close(end)
            _ends.clear()
            _be_child(function, arguments, sink, gate)
        os.close(sink)
        os.close(gate)
        if not is_held:
            self.release()

    def release(self) -> None:
        """Let a child that is held begin."""
        if self._gate >= 0:
            close(self._gate)
            self._gate = -1

    def trace(self, *options: str) -> None:
        """Begin with strace attached; its options say what it does to which system call."""
        command = ["strace", "-f", "-qq", "-p", str(self.pid)]
        if "-o" not in options:
            command += ["-o", os.devnull]
        self._tracer = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _ATTACH_SECONDS
        while tracer_of(self.pid) == 0:
            is_alive = time.monotonic() < deadline and self._tracer.poll() is None
            assert is_alive, f"strace does not attach: {options}"
            time.sleep(0.002)
        self.release()

    def kill(self) -> None:
        """End it without a word."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float = 3600.0) -> Any:
        """Wait for its end, so many seconds at most; gives the result, or None where a signal ended it.

        Raises
        ------
        ChildFailed
            What it raised.
        """
        self.release()
        content = self._answer(timeout)
        _, self.status = os.waitpid(self.pid, 0)
        if self._tracer is not None:
            self._tracer.wait()
        if os.WIFSIGNALED(self.status):
            return None
        assert self.status == 0, f"a child ended with status {self.status}"
        is_result, result = pickle.loads(content)
        if not is_result:
            raise ChildFailed(result)
        return result

    def _answer(self, timeout: float) -> bytes:
        deadline, content = time.monotonic() + timeout, b""
        with os.fdopen(self._result, "rb", buffering=0) as pipe:
            while True:
                if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    self.kill()
                    os.waitpid(self.pid, 0)
                    raise ChildFailed(f"it does not end within {timeout:.0f} s")
                part = pipe.read(1 << 16)
                if not part:
                    return content
                content += part

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.status is not None and os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a call in a child, which has some minutes."""
    return Child(function, *arguments).wait(_CALL_SECONDS)


def _be_child(function: Callable[..., Any], arguments: Sequence[Any], sink: int, gate: int) -> NoReturn:
    answer: tuple[bool, Any]
    _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    try:
        os.read(gate, 1)  # its end, when the parent closes it
        os.close(gate)
        answer = True, function(*arguments)
    except BaseException as error:
        answer = False, f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    with os.fdopen(sink, "wb") as pipe:
        pickle.dump(answer, pipe)
    os._exit(0)


def tracer_of(pid: int) -> int:
    """The process that traces it; 0 if none does."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("TracerPid:")[2].split()[0])


def injected(system_call: str, what: str, number: int) -> list[str]:
    """Options for strace: do this to the ``number``-th such call of each thread."""
    return ["-e", f"trace={system_call}", "-e", f"inject={system_call}:{what}:when={number}"]


def counted(trace: Path) -> dict[str, int]:
    """How many calls of each kind a thread has made at most, by what strace wrote to a file."""
    most: dict[str, int] = {}
    by_thread: dict[tuple[str, str], int] = {}
    for thread, name in re.findall(r"^(\d+) +(\w+)\(", trace.read_text(errors="replace"), re.MULTILINE):
        by_thread[thread, name] = by_thread.get((thread, name), 0) + 1
        most[name] = max(most.get(name, 0), by_thread[thread, name])
    return most


class Memory(tempfile.TemporaryDirectory[str]):
    """A folder in memory where there is one: an fsync costs nothing there, and a kill leaves the same."""

    def __init__(self) -> None:
        super().__init__(prefix="vectra-faults-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        os.chmod(self.name, 0o755)
