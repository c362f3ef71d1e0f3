"""Power cuts: what a process did to its files is read from strace, and its store is made anew as a disk may have it.

A file has the content of its last fsync, a folder the names of its last fsync; of what came later nothing survives, or
a part that the seed says: of each folder's changes the first ones, of each file's writes any. What this cannot show:
blocks that are torn below 4 kB, disks that lie about having written, and file systems that reorder a rename against
what was synced before it.
"""

import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.actions import ACTIONS, look_and_repeat
from tests.faults.children import Child, Memory, call
from tests.faults.results import Counts, fault

_CALLS = "write,pwrite64,fsync,fdatasync,rename,unlink,unlinkat,openat,mkdir,ftruncate,link,rmdir"
_LONGEST = 1 << 22  # bytes of a write that strace shows
_BLOCK = 4096
_NAMES = list(ACTIONS)
_CUTS_OF_A_SEED = 6


@dataclass
class _File:
    content: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    changes: list[tuple[int, bytes | None]] = field(default_factory=list)  # since; None: it was cut to that length
    is_folder: bool = False

    def change(self, place: int, written: bytes | None) -> None:
        _apply(self.content, place, written)
        self.changes.append((place, written))


def _apply(content: bytearray, place: int, written: bytes | None) -> None:
    if written is None:
        del content[place:]
        content.extend(bytes(place - len(content)))
        return
    content.extend(bytes(max(0, place - len(content))))
    content[place : place + len(written)] = written


@dataclass(frozen=True)
class _Call:
    """A system call that succeeded."""

    name: str
    arguments: list[str]  # quoted ones decoded, descriptors as the path that they stand for
    data: bytes = b""  # that was written


class _Disk:
    """The files below a folder: as processes see them, and as far as they are durable."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.names: dict[str, _File] = {}
        self.durable_names: dict[str, _File] = {}
        self.changes: dict[str, list[tuple[str, _File | None]]] = {}  # of a folder's names, since its last fsync
        for path in sorted(root.rglob("*")) if root.exists() else ():
            content = b"" if path.is_dir() else path.read_bytes()
            self.names[str(path)] = _File(bytearray(content), content, is_folder=path.is_dir())
        self.durable_names.update(self.names)

    def _name(self, path: str, file: _File | None) -> None:
        if file is None:
            self.names.pop(path, None)
        else:
            self.names[path] = file
        self.changes.setdefault(os.path.dirname(path), []).append((path, file))

    def do(self, call: _Call) -> bool:
        """What the call does; True if it makes something durable."""
        name, path = call.name, call.arguments[0]
        if name == "openat":
            path, flags = call.arguments[1], call.arguments[2]
            if path not in self.names and "O_CREAT" in flags:
                self._name(path, _File())
            elif "O_TRUNC" in flags:
                self.names[path].change(0, None)
        elif name == "mkdir":
            self._name(path, _File(is_folder=True))
        elif name in ("unlink", "rmdir"):
            self._name(path, None)
        elif name == "unlinkat":
            self._name(os.path.join(path, call.arguments[1]), None)
        elif name == "rename":
            self._rename(path, call.arguments[1])
        elif name == "link":
            self._name(call.arguments[1], self.names[path])
        elif name == "ftruncate":
            self.names[path].change(int(call.arguments[1]), None)
        elif name == "write":
            self.names[path].change(len(self.names[path].content), call.data)
        elif name == "pwrite64":
            self.names[path].change(int(call.arguments[3]), call.data)
        else:
            return self._sync(path)
        return False

    def _rename(self, old: str, new: str) -> None:
        below = [path for path in self.names if path == old or path.startswith(f"{old}/")]
        for path in below:
            self._name(new + path[len(old) :], self.names[path])
        for path in reversed(below):
            self._name(path, None)

    def _sync(self, path: str) -> bool:
        file = self.names.get(path)
        if path == self.root or path == os.path.dirname(self.root) or (file is not None and file.is_folder):
            for name, one in self.changes.pop(path, ()):
                _put(self.durable_names, name, one)
        elif file is not None:
            file.durable, file.changes = bytes(file.content), []
        return True

    def rebuild(self, target: Path, chance: random.Random | None) -> None:
        """Make the store as it is when the power comes back; a chance lets parts of the rest survive."""
        names, lucky = dict(self.durable_names), {}
        if chance is not None:
            for changes in self.changes.values():
                for name, file in changes[: chance.randrange(len(changes) + 1)]:
                    _put(names, name, file)
        for file in {id(file): file for file in names.values()}.values():
            content = bytearray(file.durable)
            for place, written in file.changes if chance is not None else ():
                for first in range(0, max(1, len(written or b"")), _BLOCK):
                    if chance is not None and chance.random() < 0.5:
                        part = None if written is None else written[first : first + _BLOCK]
                        _apply(content, place + (first if written is not None else 0), part)
            lucky[id(file)] = bytes(content)
        for path, file in sorted(names.items()):
            made = target / Path(path).relative_to(self.root)
            if not made.parent.is_dir():
                continue  # its folder's own name is lost
            if file.is_folder:
                made.mkdir()
            else:
                made.write_bytes(lucky[id(file)])


def _put(names: dict[str, _File], name: str, file: _File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file


_STRING = re.compile(
    r'"((?:\\x[0-9a-f]{2})*)"(?:\.\.\.)?|(-?\w+)<((?:\\x[0-9a-f]{2}|[^<>])*)>(?:\(deleted\))?|([^,\s][^,]*)'
)


def _parsed(line: str) -> _Call | None:
    """A line of strace; None where it is no call that succeeded."""
    match = re.match(r"(\w+)\((.*)\)\s+= (-?\d+)", line)
    if match is None or match[3].startswith("-"):
        return None
    arguments, data = [], b""
    for text, _, path, other in _STRING.findall(match[2]):
        if path:
            arguments.append(_decoded(path).decode())
        elif other:
            arguments.append(other.strip())
        else:
            data = _decoded(text)
            arguments.append(data.decode(errors="replace") if len(data) < _BLOCK else "")
    return _Call(match[1], arguments, data[: int(match[3])] if match[1] in ("write", "pwrite64") else data)


def _decoded(text: str) -> bytes:
    return re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())


def _calls(trace: Path) -> Iterator[_Call]:
    """The calls, in the order in which they ended."""
    begun: dict[str, str] = {}
    with trace.open() as lines:
        for line in lines:
            thread, _, said = line.rstrip("\n").partition(" ")
            said = said.strip()
            if said.endswith("<unfinished ...>"):
                begun[thread] = said.removesuffix("<unfinished ...>").rstrip()
                continue
            resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", said)
            if resumed is not None:
                said = begun.pop(thread) + resumed[1]
            call = _parsed(said)
            if call is not None:
                yield call


@fault(
    "Power cuts, for each action: only what was fsynced survives, or that and by chance a part of the rest",
    "what was acknowledged is there, no commit in part, verify finds at most leftovers; done again, it completes",
    quick=3,
    full=110,
)
def _power_cut(seed: int) -> Counts:
    name, chance = _NAMES[seed % len(_NAMES)], random.Random(seed)
    with Memory() as folder:
        data_dir, log, trace = Path(folder, "store"), Path(folder, "log"), Path(folder, "trace")
        call(ACTIONS[name].prepare, data_dir)
        log.touch()
        before = _Disk(data_dir)
        child = Child(ACTIONS[name].run, data_dir, seed, log, is_held=True)
        child.trace("-o", str(trace), "-y", "-xx", "-s", str(_LONGEST), "-e", f"trace={_CALLS}")
        child.wait(240)
        calls = [one for one in _calls(trace) if any(folder in argument for argument in one.arguments)]
        syncs = [number for number, one in enumerate(calls, start=1) if one.name in ("fsync", "fdatasync")]
        assert syncs, f"{name} syncs nothing"
        cuts = {number: False for number in chance.sample(syncs, min(len(syncs), _CUTS_OF_A_SEED // 2))}
        cuts |= dict.fromkeys(chance.sample(range(1, len(calls) + 1), _CUTS_OF_A_SEED // 2), True)
        n_acknowledged = 0
        for number, one in enumerate(calls, start=1):
            if any(argument.startswith(str(data_dir)) or argument == folder for argument in one.arguments):
                before.do(one)
            n_acknowledged += len(one.data) if one.name == "write" and one.arguments[0] == str(log) else 0
            if number in cuts:
                _check(name, seed, before, Path(folder, str(number)), n_acknowledged, chance if cuts[number] else None)
        return {"power cuts": len(cuts), "sync points": len(syncs)}


def _check(name: str, seed: int, disk: _Disk, folder: Path, n_acknowledged: int, chance: random.Random | None) -> None:
    folder.mkdir()
    if disk.durable_names or disk.changes:
        (folder / "store").mkdir()
    disk.rebuild(folder / "store", chance)
    (folder / "log").write_bytes(b"." * n_acknowledged)
    try:
        call(look_and_repeat, name, folder / "store", seed, folder / "log")
    except AssertionError as error:
        what = "by chance a part of the rest" if chance is not None else "only what was fsynced"
        raise AssertionError(f"{name}, cut after call {folder.name}, {what}: {error}") from error
