"""The short form of `make faults`: some kills of a writer and of a compaction, with nothing lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.machine import missing

ROOT = Path(__file__).resolve().parents[1]
KILL = """
import sys
from pathlib import Path
from tests.faults.kills import Killing
killing = Killing(sys.argv[1], Path(sys.argv[2]))
for seed, (system_call, number) in enumerate([("fsync", 5), ("rename", 1), ("fdatasync", 2)], start=2):
    killing.at_call(system_call, number, seed)
print(killing.kills.n_kills, killing.kills.sightings.n_polls > 0, *killing.kills.failures)
"""


LACKS = missing(disks=False)


@pytest.mark.skipif(bool(LACKS), reason=f"this machine lacks {LACKS}")
@pytest.mark.parametrize("action", ["write", "compact"])
def test_a_kill_loses_nothing(action: str, tmp_path: Path) -> None:
    """Killed at a sync and at a rename, an action leaves whole commits alone and can be done again."""
    done = subprocess.run(
        [sys.executable, "-c", KILL, action, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "3 True"
