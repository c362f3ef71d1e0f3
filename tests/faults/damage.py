"""Files that are not what they were: torn, flipped, foreign, gone; the catalog and its log, too."""

import contextlib
import os
import random
import shutil
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import stores
from tests.faults.children import Child, Memory, call
from tests.faults.results import Counts, fault
from tests.faults.stores import LATER, NEVER
from vectra_analytics import (
    CorruptStore,
    EventStorePaths,
    EventStoreQuery,
    ParquetWriter,
    PartialStore,
    compact,
    repair,
    verify,
)

_FLIPS_OF_A_SEED = 10


def _made(data_dir: Path, seed: int) -> None:
    """A store of three commits; with every other seed two of them are compacted."""
    stores.write_commits(data_dir, "a", 2)
    if seed % 2:
        compact(data_dir, now=LATER)
    stores.write_commits(data_dir, "b", 1)


def _live(data_dir: Path) -> list[Path]:
    with contextlib.closing(sqlite3.connect(data_dir / "manifests" / "catalog.sqlite")) as db:
        names = db.execute("SELECT path FROM files WHERE removed IS NULL ORDER BY path").fetchall()
    return [data_dir / "events_parquet" / name for (name,) in names]


@fault(
    "One bit flipped anywhere in a live file",
    "verify --deep names the file, and no other",
    quick=1,
    full=6,
)
def _flipped_bits(seed: int) -> Counts:
    with Memory() as folder:
        n_found = call(_flip, Path(folder, "store"), seed)
        assert n_found == _FLIPS_OF_A_SEED, f"{n_found} of {_FLIPS_OF_A_SEED} found"
        return {"flips": _FLIPS_OF_A_SEED, "found": n_found}


def _flip(data_dir: Path, seed: int) -> int:
    _made(data_dir, seed)
    chance, n_found = random.Random(seed), 0
    for _ in range(_FLIPS_OF_A_SEED):
        file = chance.choice(_live(data_dir))
        whole = file.read_bytes()
        content = bytearray(whole)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        file.write_bytes(content)
        problems = verify(data_dir, deep=True).problems
        n_found += [data_dir / problem.file for problem in problems] == [file]
        file.write_bytes(whole)
    assert verify(data_dir, deep=True).is_sound
    return n_found


def _empty(file: Path, chance: random.Random) -> None:
    file.write_bytes(b"")


def _cut(file: Path, chance: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: chance.randrange(1, len(content))])


def _lengthen(file: Path, chance: random.Random) -> None:
    file.write_bytes(file.read_bytes() + b"PAR1")


def _zero_the_end(file: Path, chance: random.Random) -> None:
    content = file.read_bytes()
    n_zeros = chance.randrange(8, len(content))
    file.write_bytes(content[:-n_zeros] + bytes(n_zeros))


def _delete(file: Path, chance: random.Random) -> None:
    file.unlink()


def _make_folder(file: Path, chance: random.Random) -> None:
    file.unlink()
    file.mkdir()


def _link_nowhere(file: Path, chance: random.Random) -> None:
    file.unlink()
    file.symlink_to("nowhere")


_HARM: list[Callable[[Path, random.Random], None]] = [
    _empty,
    _cut,
    _lengthen,
    _zero_the_end,
    _delete,
    _make_folder,
    _link_nowhere,
]


@fault(
    "A live file emptied, cut, lengthened, zeroed at its end, deleted, or a folder or dead link in its place",
    "verify names it without --deep; a strict query is CorruptStore with its name, another one leaves out its rows "
    "alone; compact refuses; after repair (--forget, where it is gone) the others are there, and verify finds nothing",
    quick=7,
    full=70,
)
def _harmed_files(seed: int) -> Counts:
    with Memory() as folder:
        call(_harm, Path(folder, "store"), seed)
        return {"files": 1}


def _harm(data_dir: Path, seed: int) -> None:
    _made(data_dir, seed // len(_HARM))
    chance = random.Random(seed)
    rows = stores.stored(data_dir)
    file = chance.choice(_live(data_dir))
    lost = stores.rows_in(file)
    _HARM[seed % len(_HARM)](file, chance)
    named = [data_dir / problem.file for problem in verify(data_dir).problems]
    assert named == [file], f"verify names {named}"
    sql = "SELECT session_id, seq FROM events ORDER BY ALL"
    try:
        EventStoreQuery(EventStorePaths(data_dir)).query(sql)
    except CorruptStore as error:
        said = str(error)
    else:
        said = ""
    assert file.name in said, f"a strict query says {said!r}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartialStore)
        found = EventStoreQuery(EventStorePaths(data_dir), strict=False).query(sql).rows()
    assert found == sorted(row[3:5] for row in (rows - lost).elements())
    said = ""
    with contextlib.suppress(CorruptStore):
        compact(data_dir, now=LATER)
        said = "done"
    n_files_in_folder = sum(one.parent == file.parent for one in _live(data_dir))
    assert not said or n_files_in_folder == 1, "compact took a damaged file"
    with contextlib.suppress(CorruptStore):
        repair(data_dir)
    repair(data_dir, forget=True)
    problems = verify(data_dir, deep=True).problems
    assert not problems, [str(problem) for problem in problems]
    after = stores.stored(data_dir)
    assert after in (rows - lost, rows), stores.difference(after, rows - lost)


@fault(
    "Files that are none of the store's: torn, empty, of others, links to files and folders, a copy of a live one",
    "no query and no compaction reads them; verify names each; repair takes each away, and no row is lost",
    quick=1,
    full=10,
)
def _foreign_files(seed: int) -> Counts:
    with Memory() as folder:
        return {"files": call(_plant, Path(folder), seed)}


def _plant(folder: Path, seed: int) -> int:
    data_dir = folder / "store"
    _made(data_dir, seed)
    chance = random.Random(seed)
    whole = chance.choice(_live(data_dir))
    outside = folder / "outside.parquet"
    shutil.copy(whole, outside)
    place = whole.parent
    (place / "torn.parquet").write_bytes(whole.read_bytes()[: chance.randrange(1, whole.stat().st_size)])
    (place / "empty.parquet").touch()
    (place / "notes.txt").write_text("not yours")
    (place / "copy.parquet").write_bytes(whole.read_bytes())
    (place / "link.parquet").symlink_to(outside)
    (place / "folder").symlink_to(folder)
    (data_dir / "events_parquet" / "elsewhere.parquet").write_bytes(whole.read_bytes())
    planted = {"torn.parquet", "empty.parquet", "notes.txt", "copy.parquet", "link.parquet", "folder"}
    planted.add("elsewhere.parquet")
    for copy in (outside, place / "copy.parquet"):
        os.utime(copy, (0, 0))  # a copy of a compacted file that is younger than a day may be a compaction's at work
    rows = stores.stored(data_dir)
    stores.assert_query_agrees(data_dir, rows)
    report = verify(data_dir)
    named = {Path(problem.file).name for problem in report.problems} | {Path(name).name for name in report.leftovers}
    assert named == planted, f"verify names {named ^ planted} wrongly"
    compact(data_dir, now=LATER)
    stores.assert_same(stores.stored(data_dir), rows, "compacted")
    repair(data_dir)
    assert verify(data_dir, deep=True).is_sound
    stores.assert_same(stores.stored(data_dir), rows, "repaired")
    left = planted & {path.name for path in (data_dir / "events_parquet").rglob("*")}
    assert not left, f"repair left {left}"
    assert outside.read_bytes(), "repair followed a link"
    return len(planted)


def _write_and_die(data_dir: Path) -> None:
    writer = ParquetWriter(data_dir, buffer_size=10_000, flush_interval=NEVER)
    for number in range(3):
        for one in stores.events("late", 1, number):
            writer.write(one)
        writer.flush()
    os.kill(os.getpid(), 9)


def _overwrite(place: float, n_bytes: int) -> Callable[[Path], None]:
    def do(file: Path) -> None:
        content = bytearray(file.read_bytes())
        first = int(place * len(content))
        content[first : first + n_bytes] = os.urandom(min(n_bytes, len(content) - first))
        file.write_bytes(content)

    return do


_CATALOG: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "deleted": ("", Path.unlink),
    "emptied": ("", lambda file: file.write_bytes(b"")),
    "without its header": ("", _overwrite(0, 100)),
    "with a page of noise": ("", _overwrite(0.5, 4096)),
    "cut": ("", lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])),
    "of another program": ("", lambda file: file.write_bytes(b"PAR1" * 4096)),
    "log deleted": ("-wal", Path.unlink),
    "log cut": ("-wal", lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])),
    "log with noise in it": ("-wal", _overwrite(0.3, 4096)),
    "shared memory of noise": ("-shm", _overwrite(0, 32768)),
}


@fault(
    "The catalog deleted, emptied, cut or overwritten, or its -wal or -shm, after its writer was killed",
    "CorruptStore, or right answers as far as the catalog goes; verify finds it unless nothing is lost; "
    "after repair all rows are there, those of the killed writer too, each once",
    quick=10,
    full=60,
)
def _harmed_catalog(seed: int) -> Counts:
    with Memory() as folder:
        data_dir = Path(folder, "store")
        call(_made, data_dir, seed // len(_CATALOG))
        Child(_write_and_die, data_dir).wait(120)
        what = list(_CATALOG)[seed % len(_CATALOG)]
        try:
            n_found = call(_harm_catalog, data_dir, what)
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from error
        return {"catalogs": 1, "found by verify": n_found}


def _harm_catalog(data_dir: Path, what: str) -> int:
    rows = stores.rows_of([*stores.events("a", 2), *stores.events("b", 1), *stores.events("late", 3)])
    ending, harm = _CATALOG[what]
    file = data_dir / "manifests" / f"catalog.sqlite{ending}"
    harm(file)
    is_found = not verify(data_dir, deep=True).is_sound
    try:
        answer = EventStoreQuery(EventStorePaths(data_dir)).count_events()
    except CorruptStore:
        answer = None
    if not is_found:
        assert answer == rows.total(), f"verify finds nothing, and a query {answer} of {rows.total()} rows"
    repair(data_dir)
    problems = verify(data_dir, deep=True).problems
    assert not problems, [str(problem) for problem in problems]
    stores.assert_same(stores.stored(data_dir), rows, "after repair")
    stores.assert_query_agrees(data_dir, rows)
    return int(is_found)
