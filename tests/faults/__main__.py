"""Strike: ``python -m tests.faults``, or with ``--quick`` a part of it; exit 1 where a promise broke."""

import argparse
import os
import sys
import time

from tests.faults import clocks, damage, failures, kills, power, together
from tests.faults.actions import ACTIONS
from tests.faults.children import Child, ChildFailed
from tests.faults.machine import missing
from tests.faults.results import FAULTS, Fault, Result, write_docs

_MINUTES, _QUICK_MINUTES = 50.0, 4.5
_SHARE_OF_OTHERS = 0.5  # of the time, for what is not a kill
_KILL = "Kill -9: "
_KILL_EXPECTED = (
    "what was acknowledged is there, each event once, no commit in part; verify finds at most leftovers; done again, "
    "it completes; a reader that looks on sees whole commits and no older version"
)


def main() -> None:
    """Strike, print and, if asked for, write what came of it into docs/faults.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a part of it, for continuous integration")
    parser.add_argument("--only", default="", help="faults whose title has this text")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="strikes at the same time")
    parser.add_argument("--minutes", type=float, help="for all of it")
    parser.add_argument("--write-docs", action="store_true", help="put the results into docs/faults.md")
    arguments = parser.parse_args()
    lacks = missing()
    if lacks:
        print(f"faults: skipped, since this machine lacks {lacks}")
        return
    began = time.monotonic()
    seconds = 60 * (arguments.minutes or (_QUICK_MINUTES if arguments.quick else _MINUTES))
    faults = [fault for fault in FAULTS if arguments.only in fault.title]
    wanted = [fault.quick if arguments.quick else fault.full for fault in faults]
    results = []
    for number, fault in enumerate(faults):
        # A machine that is slow, or busy with other things, strikes less often.
        share = sum(wanted[: number + 1]) / sum(wanted)
        deadline = began + _SHARE_OF_OTHERS * share * seconds
        results.append(_struck(fault, arguments.seed, wanted[number], arguments.jobs, deadline))
    chosen = [name for name in ACTIONS if arguments.only in f"{_KILL}{name}"]
    killed = kills.in_parallel(chosen, 1_000_000 * arguments.seed, began + seconds, arguments.jobs)
    results += [_of_kills(name, found) for name, found in killed.items()]
    summary = _summary(killed)
    for result in results[-len(chosen) :] if chosen else []:
        _tell(result)
    print(summary)
    if arguments.write_docs:
        write_docs(results, time.monotonic() - began, summary)
    sys.exit(any(result.failures for result in results))


def _struck(fault: Fault, first_seed: int, n_seeds: int, n_jobs: int, deadline: float) -> Result:
    """All seeds of a fault, some at the same time; after the deadline one at least."""
    result = Result(fault.title, fault.expected)
    seeds = list(range(first_seed, first_seed + n_seeds))
    running: dict[int, Child] = {}
    while seeds or running:
        if time.monotonic() > deadline and result.n_seeds + len(running):
            seeds = []
        while seeds and len(running) < n_jobs:
            seed = seeds.pop(0)
            running[seed] = Child(fault.strike, seed)
        seed = next(iter(running))
        try:
            result.add(running.pop(seed).wait(600))
        except ChildFailed as error:
            result.failures.append(f"{fault.title}, seed {seed}: {error}")
            result.add({})
    _tell(result)
    return result


def _tell(result: Result) -> None:
    print(result, flush=True)
    for failure in result.failures:
        print(failure, file=sys.stderr, flush=True)


def _of_kills(name: str, found: kills.Kills) -> Result:
    result = Result(f"{_KILL}{name}", _KILL_EXPECTED, n_seeds=found.n_kills + found.n_finished)
    result.counts = {
        "kills": found.n_kills,
        "over before the kill": found.n_finished,
        "with leftovers": found.n_leftovers,
        "polls of the reader": found.sightings.n_polls,
    }
    result.failures = found.failures
    return result


def _summary(killed: dict[str, kills.Kills]) -> str:
    everything = kills.Kills()
    for found in killed.values():
        everything.add(found)
    places = ", ".join(f"{count:,} {place}" for place, count in sorted(everything.by_place.items()))
    seen = everything.sightings
    return (
        f"{everything.n_kills:,} kills ({places}); {len(everything.failures)} failures; in {seen.n_polls:,} polls the "
        f"readers saw {seen.n_partial} partial commits and {seen.n_backwards} versions that went backwards."
    )


_ = clocks, damage, failures, power, together  # which add to FAULTS

if __name__ == "__main__":
    main()
