"""reproduce: an export is made again as its meta file says, and compared with what that vouches for."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import polars as pl

from vectra_analytics.catalog import Catalog
from vectra_analytics.engine import Relations
from vectra_analytics.errors import VectraError
from vectra_analytics.exports import ViewRows, check_export, export
from vectra_analytics.exports.formats import suffix_of
from vectra_analytics.exports.targets import meta_path as meta_path_of
from vectra_analytics.exports.targets import read_meta, vouches
from vectra_analytics.features import FeatureView, Views, catalogue
from vectra_analytics.forks import check_polars
from vectra_analytics.paths import EventStorePaths
from vectra_analytics.view_reader import frame_of, selected, wanted_columns

Outcome = Literal["same file", "same rows", "differs", "impossible"]

_NEEDED = ("store_version", "view", "view_version", "views", "filters", "libraries", "n_rows", "sha256")
_SHOWN = 3


@dataclass(slots=True)
class ReproduceReport:
    """Whether an export could be made again, and what was different or missing."""

    meta_path: Path
    outcome: Outcome = "impossible"
    reasons: list[str] = field(default_factory=list)  # what is missing, or other than it was
    store_version: int | None = None
    libraries: dict[str, tuple[str, str | None]] = field(default_factory=dict)  # that are others now: then, now
    n_rows: int | None = None  # of the new export
    sha256: str | None = None  # of it
    path: Path | None = None  # where it is, if it was to be kept

    @property
    def exit_code(self) -> int:
        """0 reproduced, 1 it differs, 2 it could not be made."""
        return {"same file": 0, "same rows": 0, "differs": 1, "impossible": 2}[self.outcome]

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return {
            "meta_path": str(self.meta_path),
            "outcome": self.outcome,
            "reproduced": self.exit_code == 0,
            "reasons": self.reasons,
            "store_version": self.store_version,
            "libraries": {name: {"then": then, "now": now} for name, (then, now) in self.libraries.items()},
            "n_rows": self.n_rows,
            "sha256": self.sha256,
            "path": None if self.path is None else str(self.path),
        }


def reproduce(
    meta: str | os.PathLike[str],
    store: EventStorePaths | str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
) -> ReproduceReport:
    """Make an export again: its store version, its view as it was then, its filters, columns and split.

    Parameters
    ----------
    meta
        The export's meta file. The export itself need not be there; if it is, it has to be as the meta says.
    store
        The store, or its folder; by default ``$RUGS_DATA_DIR``, else ``~/rugs_data``.
    out
        Where to keep the new export, which must not exist; by default it is deleted.

    Returns
    -------
    ReproduceReport
        "same file" (or folder): every byte. "same rows": the values and their order, by the checksums of the columns,
        where other libraries or an update of a folder make other bytes of them. "differs", or "impossible": why.

    Raises
    ------
    VectraError
        Where ``meta`` is no meta file, there is no store, or ``out`` cannot be written.
    """
    check_polars()
    meta_file = Path(meta).expanduser().absolute()
    said = read_meta(meta_file)
    if said is None or not meta_file.name.endswith(".meta.json"):
        raise VectraError(f"{meta_file} is no meta file of an export; give the <name>.meta.json beside one")
    report = ReproduceReport(meta_file)
    missing = [key for key in _NEEDED if key not in said]
    if missing:
        report.reasons.append(f"the meta file lacks {', '.join(missing)}")
        return report
    report.store_version = said["store_version"]
    report.libraries = _other_libraries(said)
    rows = _rows(EventStorePaths.of(store), said, report)
    if rows is None:
        return report
    split = said["filters"].get("split")
    name = meta_file.name.removesuffix(".meta.json")
    with tempfile.TemporaryDirectory(prefix="vectra-") as folder:
        target = Path(folder, name) if out is None else Path(out).expanduser().absolute()
        if suffix_of(target) != suffix_of(Path(name)):
            raise VectraError(f"cannot reproduce {name} as {target.name}: its name has to end in the same suffix")
        check_export(target, split)
        done = export(target, rows, split=split, like=said)
        again = read_meta(done.meta_path)
        assert again is not None
        report.n_rows, report.sha256 = done.n_rows, done.sha256
        report.path = None if out is None else target
        _compare(said, again, report)
    _look_at_the_old_one(meta_file.with_name(name), report)
    return report


def _other_libraries(said: Mapping[str, Any]) -> dict[str, tuple[str, str | None]]:
    from importlib.metadata import PackageNotFoundError, version  # here: it loads much that only this needs

    found: dict[str, tuple[str, str | None]] = {}
    for name, then in said["libraries"].items():
        try:
            now = version(name)
        except PackageNotFoundError:
            now = None
        if now != then:
            found[name] = (then, now)
    return found


def _rows(paths: EventStorePaths, said: Mapping[str, Any], report: ReproduceReport) -> ViewRows | None:
    """What the meta says was exported; None where something that it needs is missing."""
    try:
        views = _views(said)
    except VectraError as error:
        report.reasons.append(str(error))
        views = None
    version, filters = said["store_version"], said["filters"]
    with Catalog(paths) as catalog, catalog.reading():
        try:
            catalog.check_version(version)
        except VectraError as error:
            report.reasons.append(str(error))
            return None
        commit_id = catalog.commit_of(version)
        lying = catalog.game_rows(version, filters["games"])
        files = catalog.live_files(version)
    if views is None:
        return None
    if said.get("commit_id", commit_id) != commit_id:
        report.reasons.append(
            f"version {version} of the store at {paths.data_dir} is of another commit than the export's: "
            "it may be another store"
        )
    made_at, split = (version, commit_id), filters.get("split")

    def whole() -> pl.DataFrame:
        with Relations(paths.data_dir, files, views) as relations:
            wanted = wanted_columns(views, said["view"], filters["columns"])
            return relations.asked(lambda: frame_of(selected(relations, views, said["view"], wanted)))

    return ViewRows.of(views, said["view"], made_at, lying, filters["games"], filters["columns"], split, whole=whole)


def _views(said: Mapping[str, Any]) -> Views:
    """The package's views, with those that the export was made with in their place where they were others."""
    shipped, texts = catalogue(), said.get("view_texts", {})
    found: dict[str, FeatureView] = dict(shipped)
    for name, version in said["views"].items():
        if name in shipped and shipped.version(name) == version and texts.get(name) in (None, shipped[name].text):
            continue
        if name not in texts:
            now = f"is {shipped.version(name)} now" if name in shipped else "does not come with this package"
            raise VectraError(
                f"the view {name}, which the export was made with in version {version}, {now}, and the meta file does "
                "not have its text"
            )
        found[name] = FeatureView.parse(texts[name], name)
    views = Views(found)  # checks them like a user's own, wherever the text comes from
    views = Views({name: replace(view, is_shipped=name in shipped) for name, view in views.items()})
    for name, version in said["views"].items():
        if views.version(name) != version:
            raise VectraError(
                f"the text of the view {name} in the meta file is of version {views.version(name)}, and the export was "
                f"made with {version}"
            )
    return views


def _compare(said: Mapping[str, Any], again: Mapping[str, Any], report: ReproduceReport) -> None:
    """Say in the report whether the new export is the old one."""
    if said["sha256"] == again["sha256"]:
        report.outcome = "same file"
        return
    before, after = _files(said), _files(again)
    other = [
        f"the file {path} is {'new' if path in after else 'not made'}" for path in sorted(before.keys() ^ after.keys())
    ]
    unknown = []
    for path in before.keys() & after.keys():
        old, new = before[path], after[path]
        name = path or "the export"
        if old["sha256"] == new["sha256"]:
            continue
        if old["n_rows"] != new["n_rows"]:
            other.append(f"{name} had {old['n_rows']:,} rows and has {new['n_rows']:,}")
        elif not old.get("column_checksums"):
            unknown.append(name)
        else:
            columns = _other_columns(old["column_checksums"], new["column_checksums"])
            other += [f"{name} has other values in {', '.join(columns)}"] if columns else []
    report.reasons += _some(other)
    report.reasons += [f"{name} was made with {then}, here is {now}" for name, (then, now) in report.libraries.items()]
    if other:
        report.outcome = "differs"
    elif unknown:
        report.reasons += _some(
            [f"{name} has other bytes, and the meta file no checksums of columns" for name in unknown]
        )
    else:
        report.outcome = "same rows"
        if any(file.get("store_version", report.store_version) != report.store_version for file in before.values()):
            report.reasons.append("files of it were computed at other store versions, which they name in their footers")
        elif not report.libraries:
            report.reasons.append("its files say other things of themselves, such as the commit of their version")


def _files(meta: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The files of an export by their paths in it; a file alone has none."""
    return {file["path"]: file for file in meta["files"]} if "files" in meta else {"": meta}


def _other_columns(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]


def _some(reasons: list[str]) -> list[str]:
    more = len(reasons) - _SHOWN
    return reasons if more <= 0 else [*reasons[:_SHOWN], f"{more:,} more files alike"]


def _look_at_the_old_one(path: Path, report: ReproduceReport) -> None:
    """Where the export is still there, it must be what its meta file vouches for."""
    if path.exists() and not vouches(meta_path_of(path), path):
        report.reasons.append(f"{path} is not what its meta file vouches for: it was changed after the export")
        if report.exit_code == 0:
            report.outcome = "differs"
