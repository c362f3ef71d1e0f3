"""What an examination of a view found, law by law."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LAWS: Mapping[str, str] = {
    "header": "its columns are those that its header lists, in that order",
    "grain": "no two rows have the same grain",
    "finite": "no value is NaN or infinite",
    "execution": "where numpy computes the view as well, it gives the bits of the SQL",
    "order": "the order of the events, and the number of threads, change nothing",
    "isolation": "a game, or a session in a summary of sessions, has the same rows alone and among others",
    "prefix": "rows up to tick t stay as they are when the game is cut off at t",
    "scaling": "prices times a power of two give levels times it, and the same ratios",
}
"""Every law by its name, in the order in which they are examined."""


@dataclass(frozen=True, slots=True)
class Counterexample:
    """One value, or row, that breaks a law."""

    game_id: str | None  # of the row; None in a summary of sessions
    tick: int | None  # of the row; None where it has none
    column: str
    wanted: Any  # what the law asks for: the value in the whole game, alone, unscaled
    got: Any
    said: str  # in words, with all of the above

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return {
            "game_id": self.game_id,
            "tick": self.tick,
            "column": self.column,
            "wanted": _plain(self.wanted),
            "got": _plain(self.got),
            "said": self.said,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one law."""

    law: str
    holds: bool | None  # None: not examined, since it does not apply, or another law is broken that it stands on
    n_compared: int = 0  # rows
    rounding: float = 0.0  # the largest difference that was taken for rounding, beside the column's largest value
    counterexample: Counterexample | None = None
    why_not: str = ""  # it was not examined

    @property
    def said(self) -> str:
        """The verdict in words."""
        if self.holds is None:
            return f"not examined: {self.why_not}"
        if self.counterexample is not None:
            return f"BROKEN: {self.counterexample.said}"
        bits = f"to {self.rounding:.0e} of the largest value" if self.rounding else "to the last bit"
        return f"holds, {bits} ({self.n_compared:,} rows)" if self.n_compared else "holds"


@dataclass(frozen=True, slots=True)
class LawReport:
    """A view before the law: one verdict for each."""

    view: str
    version: str
    kind: str
    verdicts: tuple[Verdict, ...]

    @property
    def holds(self) -> bool:
        """Whether no law is broken."""
        return all(verdict.holds is not False for verdict in self.verdicts)

    @property
    def broken(self) -> tuple[Verdict, ...]:
        """The laws that are broken, each with a counterexample."""
        return tuple(verdict for verdict in self.verdicts if verdict.holds is False)

    @property
    def rounding(self) -> float:
        """The largest difference that was taken for rounding, beside the column's largest value; 0: equal bits."""
        return max(verdict.rounding for verdict in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """The same, for JSON."""
        return {
            "view": self.view,
            "version": self.version,
            "kind": self.kind,
            "holds": self.holds,
            "laws": [
                {
                    "law": verdict.law,
                    "holds": verdict.holds,
                    "n_compared": verdict.n_compared,
                    "rounding": verdict.rounding,
                    "counterexample": verdict.counterexample and verdict.counterexample.to_dict(),
                    "said": verdict.said,
                }
                for verdict in self.verdicts
            ],
        }

    def __str__(self) -> str:
        lines = [f"{self.view} ({self.kind}, version {self.version}): {'keeps' if self.holds else 'BREAKS'} the law"]
        lines += [f"  {verdict.law:<10} {verdict.said}" for verdict in self.verdicts]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(verdict.law)}</td><td>{html.escape(LAWS[verdict.law])}</td>"
            f"<td>{html.escape(verdict.said)}</td></tr>"
            for verdict in self.verdicts
        )
        title = html.escape(str(self).partition("\n")[0])
        return f"<p>{title}</p><table><tr><th>law</th><th>says</th><th>verdict</th></tr>{rows}</table>"


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
