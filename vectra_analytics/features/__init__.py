"""The catalogue of views: what the folder holds, one ``.sql`` file each, and what users add to it."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from vectra_analytics.envelope import DocType
from vectra_analytics.errors import UnknownView, VectraError
from vectra_analytics.features.header import THIS_TICK, Column, FeatureView, Kind

__all__ = ["THIS_TICK", "Column", "FeatureView", "Kind", "Views", "catalogue", "own_folder", "own_views"]

_EVENTS = ("events", *DocType)  # the relations that are no views


class Views(Mapping[str, FeatureView]):
    """Views by name, in alphabetical order; it never changes, :meth:`adding` gives another one.

    Parameters
    ----------
    views
        Each reads only relations of events and others among them, and none by a detour itself.
    broken
        Names of files that hold no view, with what is wrong with each.
    """

    def __init__(self, views: Mapping[str, FeatureView], broken: Mapping[str, str] | None = None) -> None:
        self._views = {name: views[name] for name in sorted(views)}
        self.broken = dict(broken or {})
        self._versions: dict[str, str] = {}
        for view in self._views.values():
            for read in view.reads:
                if read not in self._views and read not in _EVENTS:
                    known = ", ".join(self.relations())
                    raise VectraError(f"view {view.name} reads {read!r}, which does not exist; there are {known}")
            self._check_no_cycle(view.name, (view.name,))

    def _check_no_cycle(self, name: str, path: tuple[str, ...]) -> None:
        for read in self._views[name].reads:
            if read in path:
                raise VectraError(f"view {path[0]} reads itself: {' reads '.join((*path, read))}")
            if read in self._views and not self._views[read].is_shipped:
                self._check_no_cycle(read, (*path, read))

    def __getitem__(self, name: str) -> FeatureView:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def named(self, name: str) -> FeatureView:
        """The view of this name; UnknownView lists those that there are."""
        if name in self._views:
            return self._views[name]
        if name in self.broken:
            raise VectraError(self.broken[name])
        raise UnknownView(
            f"no view is named {name!r}; there are {', '.join(self)}. `vectra features --list` describes them"
        )

    def relations(self) -> list[str]:
        """Every name that SQL may use."""
        return [*_EVENTS, *self]

    def building_order(self, name: str) -> list[FeatureView]:
        """The view and all views that it reads, each after those it reads itself."""
        order: dict[str, FeatureView] = {}

        def add(view: FeatureView) -> None:
            for read in view.reads:
                if read in self and read not in order:
                    add(self[read])
            order[view.name] = view

        add(self.named(name))
        return list(order.values())

    def doc_types(self, name: str) -> frozenset[str]:
        """The kinds of events that the view, or one that it reads, is made from."""
        found = {read for view in self.building_order(name) for read in view.reads if read not in self}
        return frozenset(DocType) if "events" in found else frozenset(found)

    def version(self, name: str) -> str:
        """A short hash of the view's SQL and of all it reads; comments and spaces do not change it."""
        if name not in self._versions:
            digest = hashlib.sha256()
            for view in self.building_order(name):
                digest.update(f"{view.name}={view.fingerprint()}\n".encode())
            self._versions[name] = digest.hexdigest()[:12]
        return self._versions[name]

    def adding(self, view: FeatureView) -> "Views":
        """These and one more, which takes the place of a user's own of that name."""
        if view.name in _EVENTS or (view.name in self and self[view.name].is_shipped):
            raise VectraError(f"a view cannot be named {view.name!r}: that is a relation already; choose another name")
        broken = {name: why for name, why in self.broken.items() if name != view.name}
        return Views({**self._views, view.name: view}, broken)


@cache
def catalogue() -> Views:
    """The views that come with the package."""
    found = [file for file in files(__name__).iterdir() if file.name.endswith(".sql")]
    parsed = [
        FeatureView.parse(file.read_text(encoding="utf-8"), file.name.removesuffix(".sql"), is_shipped=True)
        for file in found
    ]
    return Views({view.name: view for view in parsed})


def own_folder() -> Path:
    """Where the user's own views lie: ``$VECTRA_VIEWS``, else ``vectra_views/`` where one works."""
    said = os.environ.get("VECTRA_VIEWS")
    return Path(said).expanduser() if said else Path("vectra_views")


def own_views() -> Views:
    """The package's views and those of :func:`own_folder`.

    A file that holds no view harms no other: whoever asks for it is told.

    Raises
    ------
    VectraError
        Where ``$VECTRA_VIEWS`` names no folder.
    """
    said, folder = os.environ.get("VECTRA_VIEWS"), own_folder()
    if not folder.is_dir():
        if said:
            raise VectraError(f"$VECTRA_VIEWS is {said!r}, which is no folder; make it, or unset the variable")
        return catalogue()
    return _with_folder(folder)


def _with_folder(folder: Path) -> Views:
    views, broken, waiting = catalogue(), {}, {}
    for file in sorted(folder.glob("*.sql")):
        try:
            waiting[file.stem] = FeatureView.parse(file.read_text(encoding="utf-8"), file.stem)
        except (VectraError, OSError, UnicodeDecodeError) as error:
            broken[file.stem] = f"{error} (in {file})"
    while waiting:  # those that read no other one of the user's first
        ready = [name for name, view in waiting.items() if not waiting.keys() & set(view.reads)] or [min(waiting)]
        for name in ready:
            try:
                views = views.adding(waiting.pop(name))
            except VectraError as error:
                broken[name] = f"{error} (in {folder / name}.sql)"
    return Views(views, broken)
