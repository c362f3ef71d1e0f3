"""Recordings into the store: one format a file."""

from vectra_analytics.importers.recordings import ImportReport, import_recordings

__all__ = ["ImportReport", "import_recordings"]
