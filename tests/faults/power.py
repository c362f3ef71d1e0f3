"""Power cuts: what a process did to its files is read from strace, and its store is made anew as a disk may have it.

A file has the content of its last fsync, a folder the names of its last fsync; of what came later nothing survives, or
a part that the seed says: of each folder's changes the first ones, of each file's writes any. What this cannot show:
blocks that are torn below 4 kB, disks that lie about having written, and file systems that reorder a rename against
what was synced before it.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

    def change(self, place: int, written: bytes | None) -> None:
        _apply(self.content, place, written)
        self.changes.append((place, written))

    def sync(self) -> None:
        self.durable, self.changes = bytes(self.content), []


@dataclass
class _Folder:
    names: dict[str, "_File | _Folder"] = field(default_factory=dict)
    durable: dict[str, "_File | _Folder"] = field(default_factory=dict)
    changes: list[dict[str, "_File | _Folder | None"]] = field(default_factory=list)  # since; None: a name that went

    def change(self, change: dict[str, "_File | _Folder | None"]) -> None:
        _rename_in(self.names, change)
        self.changes.append(change)

    def sync(self) -> None:
        self.durable, self.changes = dict(self.names), []


def _rename_in(names: dict[str, _File | _Folder], change: dict[str, _File | _Folder | None]) -> None:
    for name, one in change.items():
        if one is None:
            names.pop(name, None)
        else:
            names[name] = one


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
        self.root = root
        self.top = _found(root)

    def is_in(self, path: str) -> bool:
        """Whether the path lies there, or is the folder itself."""
        return Path(path).is_relative_to(self.root)

    def _at(self, path: str | Path) -> Any:
        one: Any = self.top
        for name in Path(path).relative_to(self.root).parts:
            one = one.names.get(name) if isinstance(one, _Folder) else None
        return one

    def _rename(self, changes: dict[Path, "_File | _Folder | None"]) -> None:
        by_folder: dict[Path, dict[str, _File | _Folder | None]] = {}
        for path, one in changes.items():
            by_folder.setdefault(path.parent, {})[path.name] = one
        for folder, change in by_folder.items():
            self._at(folder).change(change)

    def do(self, call: _Call) -> None:
        """What the call does."""
        name, path = call.name, Path(call.arguments[0])
        if name == "openat":
            path, flags = path / call.arguments[1], call.arguments[2]
            if self._at(path) is None:
                self._rename({path: _File()} if "O_CREAT" in flags else {})
            elif "O_TRUNC" in flags:
                self._at(path).change(0, None)
        elif name == "mkdir":
            self._rename({path: _Folder()})
        elif name in ("unlink", "rmdir"):
            self._rename({path: None})
        elif name == "unlinkat":
            self._rename({path / call.arguments[1]: None})
        elif name == "rename":
            self._rename({Path(call.arguments[1]): self._at(path), path: None})
        elif name == "link":
            self._rename({Path(call.arguments[1]): self._at(path)})
        elif name == "ftruncate":
            self._at(path).change(int(call.arguments[1]), None)
        elif name == "write":
            self._at(path).change(len(self._at(path).content), call.data)
        elif name == "pwrite64":
            self._at(path).change(int(call.arguments[3]), call.data)
        else:
            self._at(path).sync()

    def rebuild(self, target: Path, chance: random.Random | None) -> None:
        """Make the files as they are when the power comes back; a chance lets parts of the rest survive."""
        _rebuild(self.top, target, chance)


def _found(path: Path) -> _Folder:
    folder = _Folder()
    for child in path.iterdir():
        content = b"" if child.is_dir() else child.read_bytes()
        folder.names[child.name] = _found(child) if child.is_dir() else _File(bytearray(content), content)
    folder.sync()
    return folder


def _rebuild(folder: _Folder, target: Path, chance: random.Random | None) -> None:
    names = dict(folder.durable)
    if chance is not None:
        for change in folder.changes[: chance.randrange(len(folder.changes) + 1)]:
            _rename_in(names, change)
    for name, one in sorted(names.items()):
        if isinstance(one, _Folder):
            (target / name).mkdir()
            _rebuild(one, target / name, chance)
        else:
            (target / name).write_bytes(_content(one, chance))


def _content(file: _File, chance: random.Random | None) -> bytes:
    content = bytearray(file.durable)
    for place, written in file.changes if chance is not None else ():
        for first in range(0, max(1, len(written or b"")), _BLOCK):
            if chance is not None and chance.random() < 0.5:
                part = None if written is None else written[first : first + _BLOCK]
                _apply(content, place + first, part)
    return bytes(content)


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
        top, trace = Path(folder, "top"), Path(folder, "trace")
        data_dir, log = top / "store", Path(folder, "log")
        top.mkdir()
        call(ACTIONS[name].prepare, data_dir)
        log.touch()
        disk = _Disk(top)
        child = Child(ACTIONS[name].run, data_dir, seed, log, is_held=True)
        child.trace("-o", str(trace), "-y", "-xx", "-s", str(_LONGEST), "-e", f"trace={_CALLS}")
        child.wait(240)
        calls = [one for one in _calls(trace) if any(folder in argument for argument in one.arguments)]
        syncs = [number for number, one in enumerate(calls, start=1) if one.name in ("fsync", "fdatasync")]
        assert syncs, f"{name} syncs nothing"
        cuts = dict.fromkeys(chance.sample(range(1, len(calls) + 1), _CUTS_OF_A_SEED // 2), True)
        cuts |= dict.fromkeys(chance.sample(syncs, min(len(syncs), _CUTS_OF_A_SEED // 2)), False)
        n_acknowledged = 0
        for number, one in enumerate(calls, start=1):
            if any(disk.is_in(argument) for argument in one.arguments):
                disk.do(one)
            n_acknowledged += len(one.data) if one.name == "write" and one.arguments[0] == str(log) else 0
            if number in cuts:
                _check(name, seed, disk, Path(folder, str(number)), n_acknowledged, chance if cuts[number] else None)
        return {"power cuts": len(cuts), "sync points": len(syncs)}


def _check(name: str, seed: int, disk: _Disk, folder: Path, n_acknowledged: int, chance: random.Random | None) -> None:
    folder.mkdir()
    disk.rebuild(folder, chance)
    log = folder / "log"
    log.write_bytes(b"." * n_acknowledged)
    try:
        call(look_and_repeat, name, folder / "store", seed, log)
    except AssertionError as error:
        what = "by chance a part of the rest" if chance is not None else "only what was fsynced"
        raise AssertionError(f"{name}, cut after call {folder.name}, {what}: {error}") from error
