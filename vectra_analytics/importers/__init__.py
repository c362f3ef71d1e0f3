"""Recordings into the store: one format a file, one kind of format a module."""

from vectra_analytics.importers.gathering import ImportReport
from vectra_analytics.importers.recordings import import_recordings

__all__ = ["ImportReport", "import_recordings"]
