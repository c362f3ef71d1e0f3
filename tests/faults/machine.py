"""What a machine has to have for the faults, found by trying: containers often forbid what their root may do."""

import os
import shutil
import subprocess
import sys
import tempfile


def missing(*, disks: bool = True) -> str:
    """What this machine lacks, in words; empty if nothing.

    Parameters
    ----------
    disks
        Small disks are to be mounted, and clocks changed; without, only other processes are traced.
    """
    if not sys.platform.startswith("linux"):
        return "Linux"
    programs = ("strace", "faketime") if disks else ("strace",)
    lacks = [name for name in programs if shutil.which(name) is None]
    if os.geteuid():
        lacks.append("root")
    if not lacks and not _succeeds("strace", "-f", "-o", os.devnull, "-e", "inject=fsync:error=EIO", "true"):
        lacks.append("the right to trace processes")
    if not lacks and disks and not _mounts():
        lacks.append("the right to mount disks")
    return ", ".join(lacks)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60).returncode == 0


def _mounts() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        return _succeeds("mount", "-t", "tmpfs", "-o", "size=64k", "vectra-faults", folder) and _succeeds(
            "umount", folder
        )
