"""Kills: each action ended by SIGKILL, at a system call or at a time, while a reader looks on; then done again."""

import itertools
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.actions import ACTIONS, look_and_repeat
from tests.faults.children import Child, Memory, call, counted, injected
from tests.faults.reader import Reader, Sightings

SYSTEM_CALLS = ("fsync", "fdatasync", "rename", "openat", "write", "pwrite64", "unlink")
_CALLS_PER_TIME = 3  # kills at a call, for each one at a random time
_LONGEST_TURN, _KILLS_OF_A_TURN = 60.0, 30  # seconds
_CALL_SECONDS = 240.0


@dataclass
class Kills:
    """What became of the kills of one action."""

    n_kills: int = 0
    n_finished: int = 0  # the action was over before it could be killed
    n_leftovers: int = 0  # kills after which files were there that nobody reads
    n_stuck: int = 0  # of those, kills whose leftovers were there after the action was done again
    by_place: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    sightings: Sightings = field(default_factory=Sightings)

    def add(self, other: "Kills") -> None:
        """Count others, too."""
        self.n_kills += other.n_kills
        self.n_finished += other.n_finished
        self.n_leftovers += other.n_leftovers
        self.n_stuck += other.n_stuck
        for place, count in other.by_place.items():
            self.by_place[place] = self.by_place.get(place, 0) + count
        self.failures += other.failures
        self.sightings.add(other.sightings)


class Killing:
    """Kills of one action, each in a folder of its own.

    Parameters
    ----------
    folder
        Where the stores are made; those of failures stay there.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.kills = Kills()
        self.template = folder / name.replace(" ", "-")
        call(ACTIONS[name].prepare, self.template)
        self.seconds, self.n_calls = self._undisturbed()

    def _copied(self, seed: int) -> tuple[Path, Path]:
        copy = self.folder / f"{self.template.name}-{seed}"
        if self.template.exists():
            shutil.copytree(self.template, copy)
        return copy, copy.with_suffix(".log")

    def _undisturbed(self) -> tuple[float, dict[str, int]]:
        """How long the action takes when nobody disturbs it, and how many calls of each kind a thread makes."""
        copy, log = self._copied(0)
        began = time.monotonic()
        call(ACTIONS[self.name].run, copy, 0, log)
        seconds = time.monotonic() - began
        call(look_and_repeat, self.name, copy, 0, log)
        trace = self.folder / "trace"
        copy, log = self._copied(1)
        child = Child(ACTIONS[self.name].run, copy, 1, log, is_held=True)
        child.trace("-o", str(trace), "-e", f"trace={','.join(SYSTEM_CALLS)}")
        child.wait()
        calls = counted(trace)  # strace also writes of calls that it knows no name of
        return seconds, {name: calls[name] for name in SYSTEM_CALLS if name in calls}

    def at_call(self, system_call: str, number: int, seed: int) -> bool:
        """Kill it at the ``number``-th such call; False where it does not have so many."""
        return self._kill(seed, f"{system_call} {number}", *injected(system_call, "signal=KILL", number))

    def at_time(self, seed: int) -> bool:
        """Kill it at a time that the seed says; False where it was over by then."""
        return self._kill(seed, f"a random time (seed {seed})")

    def _kill(self, seed: int, where: str, *trace: str) -> bool:
        copy, log = self._copied(seed)
        reader = Reader(copy, ACTIONS[self.name].sizes) if ACTIONS[self.name].is_readable else None
        child = Child(ACTIONS[self.name].run, copy, seed, log, is_held=True)
        if trace:
            child.trace(*trace)
        else:
            child.release()
            time.sleep(random.Random(seed).uniform(0, 1.2 * self.seconds))
            child.kill()
        try:
            child.wait(_CALL_SECONDS)
            if child.was_killed:
                self.kills.n_kills += 1
                place = where.partition(" ")[0] if trace else "at a random time"
                self.kills.by_place[place] = self.kills.by_place.get(place, 0) + 1
            else:
                assert child.status == 0, f"ended with status {child.status}"
                self.kills.n_finished += 1
            leftovers, again = call(look_and_repeat, self.name, copy, seed, log)
            self.kills.n_leftovers += bool(leftovers)
            self.kills.n_stuck += bool(again)
        except AssertionError as error:
            self.kills.failures.append(f"{self.name}, killed at {where}, seed {seed}, {copy}: {error}")
        if reader is not None:
            seen = reader.end()
            self.kills.sightings.add(seen)
            self.kills.failures += [f"{self.name}, killed at {where}: a reader saw {text}" for text in seen.complaints]
        if not self.kills.failures:
            shutil.rmtree(copy, ignore_errors=True)
            shutil.rmtree(copy.with_name(f"{copy.name}-alone"), ignore_errors=True)
            log.unlink(missing_ok=True)
        return child.was_killed


def kill_all(name: str, first_seed: int, deadline: float, most: int) -> Kills:
    """Kill an action at calls of each kind and at random times, in an order that the seed says, until the deadline."""
    with Memory() as folder:
        killing = Killing(name, Path(folder))
        places = _places(killing.n_calls, random.Random(first_seed))
        for seed in range(first_seed + 2, first_seed + 1_000_000):
            if time.monotonic() > deadline or killing.kills.n_kills >= most:
                break
            if seed % (_CALLS_PER_TIME + 1) == 0:
                killing.at_time(seed)
            else:
                killing.at_call(*next(places), seed)
        return killing.kills


def _places(n_calls: dict[str, int], chance: random.Random) -> Iterator[tuple[str, int]]:
    """Each call of each kind; kinds take turns, since most calls are of one kind."""
    orders = {name: chance.sample(range(1, count + 1), count) for name, count in n_calls.items()}
    for turn in itertools.count():
        for name, numbers in orders.items():
            yield name, numbers[turn % len(numbers)]


def in_parallel(names: list[str], first_seed: int, deadline: float, n_processes: int) -> dict[str, Kills]:
    """The actions in turn, so many at the same time, until the deadline."""
    found = {name: Kills() for name in names}
    turns = enumerate(itertools.cycle(names))
    running: list[tuple[str, Child]] = []
    seconds = max(0.0, deadline - time.monotonic())
    turn_seconds = min(_LONGEST_TURN, seconds * n_processes / max(1, len(names)))  # each action has one at least
    while names:
        while time.monotonic() < deadline and len(running) < n_processes:
            turn, name = next(turns)
            end = min(deadline, time.monotonic() + turn_seconds)
            running.append((name, Child(kill_all, name, first_seed + 10_000 * turn, end, _KILLS_OF_A_TURN)))
        if not running:
            break
        name, child = running.pop(0)
        try:
            found[name].add(child.wait(3 * _LONGEST_TURN + _CALL_SECONDS))
        except AssertionError as error:
            found[name].failures.append(f"{name}: {error}")
    return found
