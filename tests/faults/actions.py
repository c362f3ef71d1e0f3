"""What is killed: each action with the store that it begins on, and the rows that have to be there afterwards."""

import contextlib
import hashlib
import itertools
import json
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.faults import stores
from tests.faults.stores import COMMIT_ROWS, DAYS, LATER, NEVER, Row
from vectra_analytics import (
    EventStorePaths,
    EventStoreQuery,
    ParquetWriter,
    compact,
    import_recordings,
    prune,
    repair,
    vacuum,
)
from vectra_analytics.catalog_file import NoCatalog
from vectra_analytics.importers import recordings

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "data_samples").glob("game_*.jsonl"))
BEFORE = "before"
"""The session of the events that a store has when an action begins."""
_N_BEFORE = 3
_N_COMMITS = 4


def rows_before(first: int, end: int) -> Counter[Row]:
    """The rows of some commits of those that a store has when an action begins."""
    return stores.rows_of(stores.events(BEFORE, end - first, first))


@dataclass(frozen=True)
class Found:
    """A store after a kill, or after the action ran again."""

    rows: Counter[Row]
    acknowledged: int  # what the action had reported as done


class Action:
    """One thing that is done to a store."""

    name: ClassVar[str]
    sizes: ClassVar[Sequence[int] | None] = (COMMIT_ROWS,)
    """What a reader may see of a commit meanwhile."""
    is_readable: ClassVar[bool] = True
    """Whether the store that it begins on can be read."""
    keeps_commits: ClassVar[bool] = True
    """False where it takes out a file of a commit that has others."""
    known_strays: ClassVar[Sequence[str]] = ()
    """Names of files that it is there to move away."""

    def prepare(self, data_dir: Path) -> None:
        """Make the store that it begins on."""
        stores.write_commits(data_dir, BEFORE, _N_BEFORE)

    def run(self, data_dir: Path, seed: int, log: Path) -> None:
        """Do it, and write into the log what is done."""
        raise NotImplementedError

    def rows(self, data_dir: Path, seed: int) -> Counter[Row]:
        """The rows when it is done."""
        return self.before()

    def before(self) -> Counter[Row]:
        """The rows when it begins."""
        return rows_before(0, _N_BEFORE)

    def check_killed(self, found: Found, data_dir: Path, seed: int) -> None:
        """Raise where a kill has left what it may not; by default it may leave all rows as they were alone."""
        stores.assert_same(found.rows, self.before(), f"{self.name} killed")

    def check_done(self, data_dir: Path) -> None:
        """Raise where something else than the rows is not as it should be when it is done."""


def _note(log: Path, count: int = 1) -> None:
    with log.open("ab") as file:
        file.write(b"." * count)


class Write(Action):
    """Commits with a flush each: what flush() acknowledged is there, the one under way whole or not at all."""

    name = "write"

    def run(self, data_dir: Path, seed: int, log: Path) -> None:
        """Flush after each commit."""
        with ParquetWriter(data_dir, buffer_size=10_000, flush_interval=NEVER) as writer:
            for number in range(_N_COMMITS):
                for one in stores.events(f"w{seed}", 1, number):
                    writer.write(one)
                writer.flush()
                _note(log)

    def rows(self, data_dir: Path, seed: int) -> Counter[Row]:
        """All commits."""
        return self.before() + stores.rows_of(stores.events(f"w{seed}", _N_COMMITS))

    def check_killed(self, found: Found, data_dir: Path, seed: int) -> None:
        """The acknowledged commits, and perhaps the next one."""
        possible = [self.before() + stores.rows_of(stores.events(f"w{seed}", found.acknowledged + n)) for n in range(2)]
        if found.rows not in possible:
            stores.assert_same(found.rows, possible[0], f"{found.acknowledged} commits acknowledged")


class FirstWrite(Write):
    """The same into a folder that does not exist."""

    name = "first write"

    def prepare(self, data_dir: Path) -> None:
        """Nothing is there."""

    def before(self) -> Counter[Row]:
        """Nothing is there."""
        return Counter()


class Background(Write):
    """Commits that the writer's own thread begins, with a flush now and then."""

    name = "background commits"
    sizes = None

    def run(self, data_dir: Path, seed: int, log: Path) -> None:
        """A small buffer and a short interval, and flushes by chance."""
        chance, n_noted = random.Random(seed), 0
        with ParquetWriter(data_dir, buffer_size=5, flush_interval=0.01) as writer:
            for one in stores.events(f"w{seed}", _N_COMMITS):
                writer.write(one)
                if chance.random() < 0.15:
                    writer.flush()
                    _note(log, one.seq + 1 - n_noted)
                    n_noted = one.seq + 1

    def check_killed(self, found: Found, data_dir: Path, seed: int) -> None:
        """The events from the first to some one, which is not before the last that was acknowledged."""
        new = sum(count for row, count in found.rows.items() if row[3] == f"w{seed}")
        wanted = self.before() + stores.rows_of(stores.events(f"w{seed}", _N_COMMITS)[:new])
        stores.assert_same(found.rows, wanted, "not in order")
        assert new >= found.acknowledged, f"{new} events of {found.acknowledged} acknowledged ones"


class Import(Action):
    """Recordings, in several commits; one of them torn."""

    name = "import"

    def run(self, data_dir: Path, seed: int, log: Path) -> None:
        """A commit for every 150 rows."""
        recordings._BATCH_ROWS = 150
        import_recordings(self._sources(seed), data_dir, timezone="America/New_York")
        _note(log)

    @staticmethod
    def _sources(seed: int) -> list[Path]:
        return [SAMPLES[(seed + n) % len(SAMPLES)] for n in range(2)]

    def rows(self, data_dir: Path, seed: int) -> Counter[Row]:
        """Those of an import that nobody disturbs."""
        untouched = data_dir.with_name(f"{data_dir.name}-alone")
        self.prepare(untouched)
        import_recordings(self._sources(seed), untouched, timezone="America/New_York")
        return stores.stored(untouched)

    def check_killed(self, found: Found, data_dir: Path, seed: int) -> None:
        """The rows from before, and rows of the recordings, each once."""
        wanted = self.rows(data_dir, seed)
        assert self.before() <= found.rows, stores.difference(found.rows, self.before())
        assert found.rows <= wanted, stores.difference(found.rows, wanted)
        if found.acknowledged:
            stores.assert_same(found.rows, wanted, "the import was done")


class Compact(Action):
    """Both days are closed and have several files of each kind."""

    name = "compact"

    def run(self, data_dir: Path, seed: int, log: Path) -> None:
        """Compact."""
        compact(data_dir, now=LATER)
        _note(log)

    def check_done(self, data_dir: Path) -> None:
        """One file a partition; when the grace period is over, any other tool finds the same rows."""
        files = EventStoreQuery(EventStorePaths(data_dir)).info().n_files
        assert files == 4, f"{files} live files in 4 closed partitions"
        vacuum(data_dir, now=stores.in_days(3))
        stores.assert_same(stores.globbed(data_dir), stores.stored(data_dir), "a plain scan after the grace period")
        unfinished = list((data_dir / "events_parquet").rglob("*.part"))
        assert not unfinished, f"not swept: {unfinished}"


class Prune(Action):
    """The first day is taken out."""

    name = "prune"
    sizes = (COMMIT_ROWS, COMMIT_ROWS // 2)

    def run(self, data_dir: Path, seed: int, log: Path) -> None:
        """Prune."""
        prune(data_dir, DAYS[1].date(), yes=True)
        _note(log)

    def rows(self, data_dir: Path, seed: int) -> Counter[Row]:
        """Those of the second day."""
        day = DAYS[1].strftime("%Y-%m-%d")
        return Counter({row: count for row, count in self.before().items() if row[1] == day})

    def check_killed(self, found: Found, data_dir: Path, seed: int) -> None:
        """All rows or those of the second day; those, if it was done."""
        if found.acknowledged or found.rows != self.before():
            stores.assert_same(found.rows, self.rows(data_dir, seed), "pruned")


class Vacuum(Compact):
    """Compacted, and the grace period is over."""

    name = "vacuum"

    def prepare(self, data_dir: Path) -> None:
        """Superseded files, and what a killed process left."""
        super().prepare(data_dir)
        compact(data_dir, now=LATER)
        folder = next((data_dir / "events_parquet").glob("*/*"))
        (folder / ".000000_v00000001_0123abcd.parquet.0123456789ab.part").write_bytes(b"PAR1")

    def run(self, data_dir: Path, seed: int, log: Path) -> None:
        """Vacuum, three days later."""
        vacuum(data_dir, now=stores.in_days(3))
        _note(log)


class Export(Action):
    """Views to a file and to folders, over older exports or none."""

    name = "export"
    KINDS: ClassVar = list(itertools.product(("f.csv.gz", "f.parquet", "folder"), (True, False)))

    def prepare(self, data_dir: Path) -> None:
        """With an older export of each kind."""
        stores.write_commits(data_dir, BEFORE, 1)
        self._export_all(data_dir, "old")
        with ParquetWriter(data_dir) as writer:
            for one in stores.events(BEFORE, _N_BEFORE - 1, 1):
                writer.write(one)
        self._export_all(data_dir, "fresh")

    @staticmethod
    def _export_all(data_dir: Path, where: str) -> None:
        for name, is_update in Export.KINDS:
            if is_update:
                target = data_dir / "exports" / where / name
                target.parent.mkdir(parents=True, exist_ok=True)
                EventStoreQuery(EventStorePaths(data_dir)).export(target, "ticks")

    @staticmethod
    def _target(data_dir: Path, seed: int) -> Path:
        name, is_update = Export.KINDS[seed % len(Export.KINDS)]
        return data_dir / "exports" / ("old" if is_update else "new") / name

    def run(self, data_dir: Path, seed: int, log: Path) -> None:
        """Export over what is there, or where nothing is."""
        target = self._target(data_dir, seed)
        target.parent.mkdir(parents=True, exist_ok=True)
        EventStoreQuery(EventStorePaths(data_dir)).export(target, "ticks", overwrite=True)
        (data_dir / "exports" / "last").write_text(str(target))
        _note(log)

    def check_killed(self, found: Found, data_dir: Path, seed: int) -> None:
        """An export that has its meta file is whole: the old one or the new one."""
        super().check_killed(found, data_dir, seed)
        target = self._target(data_dir, seed)
        meta_file = target.with_name(f"{target.name}.meta.json")
        if meta_file.exists():
            assert json.loads(meta_file.read_text())["sha256"] == digest(target), "a meta file beside other contents"
        assert not found.acknowledged or meta_file.exists()

    def check_done(self, data_dir: Path) -> None:
        """The bytes of an export that nobody disturbed, and nothing beside it."""
        target = Path((data_dir / "exports" / "last").read_text())
        fresh = data_dir / "exports" / "fresh" / target.name
        assert digest(target) == digest(fresh), "the export is not the one that nobody disturbed"
        meta_file = target.with_name(f"{target.name}.meta.json")
        assert json.loads(meta_file.read_text())["sha256"] == digest(target)
        hidden = [path.name for path in target.parent.iterdir() if path.name.startswith(".")]
        assert not hidden, f"left beside the export: {hidden}"


def digest(export: Path) -> str:
    """The SHA-256 of an export as its meta file should have it."""
    if export.is_file():
        return hashlib.sha256(export.read_bytes()).hexdigest()
    files = sorted(file.relative_to(export).as_posix() for file in export.rglob("*") if file.is_file())
    lines = (f"{hashlib.sha256((export / name).read_bytes()).hexdigest()}  {name}\n" for name in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class RepairStrays(Action):
    """Files that are not the store's: foreign, torn, unfinished, and of a commit that was never acknowledged."""

    name = "repair of strays"
    known_strays = ("notes.txt", "torn.parquet", "empty.parquet", "copy.parquet")

    def prepare(self, data_dir: Path) -> None:
        """A sound store with such files in it."""
        super().prepare(data_dir)
        folder = data_dir / "events_parquet" / "doc_type=game_tick" / "date=2025-12-15"
        whole = next(folder.glob("*.parquet"))
        (folder / "notes.txt").write_text("foreign")
        (folder / "torn.parquet").write_bytes(whole.read_bytes()[:-100])
        (folder / "empty.parquet").touch()
        (folder / "copy.parquet").write_bytes(whole.read_bytes())
        (folder / f".{whole.name}.0123456789ab.part").write_bytes(b"PAR1")

    def run(self, data_dir: Path, seed: int, log: Path) -> None:
        """Repair."""
        repair(data_dir)
        _note(log)

    def check_done(self, data_dir: Path) -> None:
        """Nothing is left in the partitions but the store's files."""
        files = {path for path in (data_dir / "events_parquet").rglob("*") if path.is_file()}
        assert len(files) == 4 * _N_BEFORE, f"{len(files)} files in {_N_BEFORE} commits"
        assert (data_dir / "quarantine" / "notes.txt").read_text() == "foreign"


class RepairDamage(RepairStrays):
    """A live file is cut short."""

    name = "repair of a damaged file"
    is_readable = False
    keeps_commits = False

    def prepare(self, data_dir: Path) -> None:
        """One of the files of the last commit is damaged."""
        stores.write_commits(data_dir, BEFORE, _N_BEFORE)
        file = self._damaged(data_dir)
        file.write_bytes(file.read_bytes()[:500])

    @staticmethod
    def _damaged(data_dir: Path) -> Path:
        folder = data_dir / "events_parquet" / "doc_type=game_tick" / "date=2025-12-15"
        return max(folder.glob("*.parquet"))

    def rows(self, data_dir: Path, seed: int) -> Counter[Row]:
        """All but those of the damaged file."""
        last = rows_before(_N_BEFORE - 1, _N_BEFORE)
        return self.before() - Counter(
            {row: count for row, count in last.items() if row[:2] == ("game_tick", "2025-12-15")}
        )

    def check_done(self, data_dir: Path) -> None:
        """The damaged file is in quarantine."""
        assert len([file for file in (data_dir / "quarantine").iterdir() if file.suffix == ".parquet"]) == 1


class RepairCatalog(RepairDamage):
    """The catalog is lost; there is a backup that is older than the last commit."""

    name = "repair of a lost catalog"

    def prepare(self, data_dir: Path) -> None:
        """Compacted, written to again, and the catalog deleted."""
        stores.write_commits(data_dir, BEFORE, _N_BEFORE - 1)
        compact(data_dir, now=LATER)
        with ParquetWriter(data_dir) as writer:
            for one in stores.events(BEFORE, 1, _N_BEFORE - 1):
                writer.write(one)
        (data_dir / "manifests" / "catalog.sqlite").unlink()

    def rows(self, data_dir: Path, seed: int) -> Counter[Row]:
        """All."""
        return self.before()

    def check_done(self, data_dir: Path) -> None:
        """Nothing more."""


ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Write(),
        FirstWrite(),
        Background(),
        Import(),
        Compact(),
        Prune(),
        Vacuum(),
        Export(),
        RepairStrays(),
        RepairDamage(),
        RepairCatalog(),
    )
}


def look(name: str, data_dir: Path, seed: int, log: Path) -> list[str]:
    """Hold a store against what may be there after a kill; gives the leftovers."""
    action = ACTIONS[name]
    if not action.is_readable:
        return []
    leftovers: list[str] = []
    with contextlib.suppress(NoCatalog):  # it was not there yet, so no row may be asked for below
        leftovers = stores.assert_sound(data_dir, action.known_strays)
    rows = stores.stored(data_dir)
    if rows:
        stores.assert_query_agrees(data_dir, rows)
    action.check_killed(Found(rows, log.stat().st_size if log.exists() else 0), data_dir, seed)
    return leftovers


def look_and_repeat(name: str, data_dir: Path, seed: int, log: Path) -> tuple[list[str], list[str]]:
    """Look, do the action again and hold the store against what has to be there; gives the leftovers of both times."""
    leftovers, action = look(name, data_dir, seed, log), ACTIONS[name]
    action.run(data_dir, seed, Path(os.devnull))
    rows = stores.stored(data_dir)
    stores.assert_same(rows, action.rows(data_dir, seed), f"{name} run again")
    stores.assert_query_agrees(data_dir, rows)
    leftovers_again = stores.assert_sound(data_dir, keeps_commits=action.keeps_commits)
    action.check_done(data_dir)
    return leftovers, leftovers_again
