"""Snapshots: names that pin store versions, so that no maintenance takes a file which they need."""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vectra_analytics.catalog import Catalog
from vectra_analytics.errors import VectraError
from vectra_analytics.maintenance import explained, time_at
from vectra_analytics.paths import EventStorePaths


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A version with a name."""

    name: str
    version: int
    made_at: datetime  # UTC

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return {"name": self.name, "version": self.version, "made_at": self.made_at.isoformat()}


def snapshot(store: EventStorePaths | str | os.PathLike[str] | None, name: str, version: int | None = None) -> Snapshot:
    """Pin a version: ``EventStoreQuery(store, version=name)`` gives the same rows for good.

    Parameters
    ----------
    store
        The store, or its folder; None is ``$RUGS_DATA_DIR``, else ``~/rugs_data``.
    name
        Any text that can be printed and is no number.
    version
        By default the newest.

    Raises
    ------
    VersionVacuumed
        Where this version cannot be read any more.
    VectraError
        Where there is no such version, or another snapshot has this name.
    """
    if not name.isprintable() or name != name.strip() or not name or name.isdecimal():
        raise VectraError(
            f"a snapshot cannot be named {name!r}: a name is text that can be printed, without spaces around it, "
            "and no number, which would be taken for a version"
        )
    paths = EventStorePaths.of(store)
    with Catalog(paths) as catalog, explained("make a snapshot of", paths):
        with catalog.transaction():
            pinned = catalog.version() if version is None else version
            catalog.check_version(pinned)
            if any(known.name == name for known in _listed(catalog)):
                raise VectraError(
                    f"there is a snapshot {name!r} already, of version {catalog.snapshot_version(name)}; choose "
                    f"another name, or delete that one with `vectra snapshot --delete {name}`"
                )
            catalog.add_snapshot(name, pinned)
            made = _named(catalog, name)
        catalog.back_up()
    return made


def snapshots(store: EventStorePaths | str | os.PathLike[str] | None = None) -> list[Snapshot]:
    """All snapshots of the store, the oldest first."""
    with Catalog(EventStorePaths.of(store)) as catalog:
        return _listed(catalog)


def delete_snapshot(store: EventStorePaths | str | os.PathLike[str] | None, name: str) -> Snapshot:
    """Let go of the version that a snapshot pins; who reads it now can do so for the grace period.

    Raises
    ------
    VectraError
        Where there is no such snapshot.
    """
    paths = EventStorePaths.of(store)
    with Catalog(paths) as catalog, explained("delete a snapshot of", paths):
        with catalog.transaction():
            known = _named(catalog, name)
            catalog.end_snapshot(name)
        catalog.back_up()
    return known


def _listed(catalog: Catalog) -> list[Snapshot]:
    return [Snapshot(name, version, time_at(made_at)) for name, version, made_at in catalog.snapshots()]


def _named(catalog: Catalog, name: str) -> Snapshot:
    catalog.snapshot_version(name)  # says which there are, where there is none of this name
    return next(known for known in _listed(catalog) if known.name == name)
