"""StoreInfo: what a store holds, in figures and as a table for the notebook."""

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from vectra_analytics.live_files import LiveFile


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Counts, sizes and dates of one store version."""

    data_dir: str
    version: int
    n_events: int
    n_games: int  # that any event names
    n_files: int
    n_bytes: int  # of the event files
    first_event: datetime | None  # UTC
    last_event: datetime | None
    n_rejected: int  # lines and events refused so far, whatever the version
    events_by_doc_type: dict[str, int]

    @classmethod
    def of(cls, data_dir: Path, version: int, files: Sequence[LiveFile], n_games: int, n_rejected: int) -> Self:
        """The figures of a version with these files."""
        by_doc_type: dict[str, int] = {}
        for file in sorted(files, key=lambda file: file.doc_type):
            by_doc_type[file.doc_type] = by_doc_type.get(file.doc_type, 0) + file.n_rows
        return cls(
            data_dir=str(data_dir),
            version=version,
            n_events=sum(by_doc_type.values()),
            n_games=n_games,
            n_files=len(files),
            n_bytes=sum(file.n_bytes for file in files),
            first_event=_time(min((file.ts_min for file in files), default=None)),
            last_event=_time(max((file.ts_max for file in files), default=None)),
            n_rejected=n_rejected,
            events_by_doc_type=by_doc_type,
        )

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON: times as ISO 8601 text."""
        said = asdict(self)
        for name in ("first_event", "last_event"):
            said[name] = said[name].isoformat() if said[name] else None
        return said

    def _lines(self) -> list[tuple[str, str]]:
        lines = [
            ("store", self.data_dir),
            ("version", f"{self.version:,}"),
            ("events", f"{self.n_events:,}"),
            *((f"  {doc_type}", f"{count:,}") for doc_type, count in self.events_by_doc_type.items()),
            ("games", f"{self.n_games:,}"),
            ("files", f"{self.n_files:,} ({_size(self.n_bytes)})"),
        ]
        if self.first_event and self.last_event:
            lines.append(("first event", f"{self.first_event:%Y-%m-%d %H:%M:%S} UTC"))
            lines.append(("last event", f"{self.last_event:%Y-%m-%d %H:%M:%S} UTC"))
        lines.append(("rejected", f"{self.n_rejected:,}" + (" (see manifests/rejects)" if self.n_rejected else "")))
        return lines

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self._lines())
        return "\n".join(f"{name:<{width}}  {value}" for name, value in self._lines())

    def _repr_html_(self) -> str:
        # Inherited colours and a translucent rule read well on a light and on a dark page.
        rows = "".join(
            '<tr style="background: transparent; border-top: 1px solid rgba(128, 128, 128, 0.25)">'
            '<th scope="row" style="text-align: left; font-weight: 600; padding: 0.15em 1.5em 0.15em '
            f'{1.2 if name.startswith("  ") else 0}em">{html.escape(name.strip())}</th>'
            f'<td style="text-align: left; font-variant-numeric: tabular-nums">{html.escape(value)}</td>'
            "</tr>"
            for name, value in self._lines()
        )
        return (
            '<table style="border-collapse: collapse; color: inherit">'
            '<caption style="text-align: left; color: inherit; font-weight: 600; padding: 0 0 0.3em">'
            f"Event store</caption><tbody>{rows}</tbody></table>"
        )


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _size(n_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:,.0f} {unit}" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.1f} TB"
