"""Which part of a split a game belongs to: train, validation or test, always the whole game."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from typing import Any

from vectra_analytics.errors import VectraError

SPLITS = ("date", "hash")
PARTS = ("train", "validation", "test")
_TENTHS = (8, 1, 1)


@dataclass(frozen=True, slots=True)
class HashSplit:
    """By the game_id alone, so that a game's part never changes."""

    def part(self, game_id: str, date: str) -> str:
        """The part of this game."""
        # The first 32 bits as a number from 0 to 1; exact in any language's doubles.
        place = int(hashlib.sha256(game_id.encode()).hexdigest()[:8], 16) / 2**32
        return "train" if place < 0.8 else "validation" if place < 0.9 else "test"

    def meta(self) -> dict[str, Any]:
        """How games are put into parts."""
        return {
            "by": "hash",
            "rule": "the first 8 hex digits of the SHA-256 of the game_id (UTF-8), as a number, divided by 2^32: "
            "below the first threshold train, below the second validation, else test",
            "thresholds": {"train": 0.8, "validation": 0.9},
        }


@dataclass(frozen=True, slots=True)
class DateSplit:
    """By the date of the game: the earliest days train, the last ones test; None where there are no games yet."""

    cuts: tuple[str, str] | None  # the first days that are not train, and not validation

    def part(self, game_id: str, date: str) -> str:
        """The part of a game of this date."""
        return PARTS[sum(date >= cut for cut in self.cuts or ())]

    def meta(self) -> dict[str, Any]:
        """How games are put into parts."""
        return {
            "by": "date",
            "rule": "games of the days before validation_from are train, of those before test_from validation, "
            "of all later ones test",
            "cuts": self.cuts and dict(zip(("validation_from", "test_from"), self.cuts, strict=True)),
        }

    @classmethod
    def of(cls, n_games: Mapping[str, int]) -> "DateSplit":
        """Cut these days, each with its number of games, as near to 80/10/10 as whole days allow.

        No part is without games while another has days to spare.
        """
        days = sorted(day for day, n in n_games.items() if n)
        if not days:
            return cls(None)
        before = list(accumulate((n_games[day] for day in days), initial=0))
        n_all = before[-1]

        def distance(first: int, second: int) -> tuple[int, int, int, int]:
            sizes = (before[first], before[second] - before[first], n_all - before[second])
            off = sum(abs(10 * size - tenths * n_all) for size, tenths in zip(sizes, _TENTHS, strict=True))
            return sizes.count(0), off, -first, -second

        places = range(len(days) + 1)
        cuts = min(((first, second) for first in places[1:] for second in places[first:]), key=lambda c: distance(*c))
        after = date.fromisoformat(days[-1]) + timedelta(days=1)
        first, second = ([*days, after.isoformat()][cut] for cut in cuts)
        return cls((first, second))


Split = HashSplit | DateSplit


def check_split(split: str | None) -> None:
    """Raise where no split is named so."""
    if split not in (None, *SPLITS):
        raise VectraError(f"no split is named {split!r}; there are {' and '.join(SPLITS)}, both by whole games")
