"""What a store should hold, in dicts and lists: events in, commits, prunes, versions and snapshots, without a disk."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from tests.builders import tick_event
from tests.faults.stores import Row, row_of
from vectra_analytics import EventEnvelope, EventSource

DAYS = [datetime(2025, 12, day, tzinfo=UTC) for day in (15, 16, 17)] + [datetime(2999, 1, 1, tzinfo=UTC)]
"""The days of all events; the last one is never over."""
SESSIONS = ("a", "b")
N_EVENTS = 24
"""Of a session, each in three variants."""
GRACE = timedelta(hours=24)

Identity = tuple[str, int]
Rows = frozenset[Row]


def event(session_id: str, seq: int, variant: int) -> EventEnvelope:
    """The event of this number; variant 1 has another content, and 2 another kind and day as well.

    The contents are the same in each session, and the stories of games among themselves, too.
    """
    number = seq + (variant == 2)
    kind = number % 5
    ts = DAYS[number // 2 % len(DAYS)] + timedelta(hours=6 * (seq % 3))
    if kind == 4:
        story = {"id": f"story{number % 3}", "prices": [1.0, variant]}
        return EventEnvelope.from_complete_game(story, EventSource.CDP, session_id, seq, ts=ts)
    if kind == 3:
        return EventEnvelope.from_system_event("note", {"v": variant}, EventSource.CDP, session_id, seq, ts=ts)
    if kind == 2:
        data = {"amount": variant}
        return EventEnvelope.from_player_action("BUY", data, EventSource.UI, session_id, seq, f"g{seq % 2}", ts=ts)
    return tick_event(seq, 1 + variant, f"g{seq % 2}", session_id, ts=ts)


def identity_of(row: Row) -> Identity:
    """The session and the number in it."""
    return str(row[3]), int(str(row[4]))


def story_of(row: Row) -> str | None:
    """The game whose whole story the row is."""
    return str(row[5]) if row[0] == "complete_game" else None


def partitions_of(rows: Iterable[Row]) -> set[tuple[object, ...]]:
    """Where the rows belong: kinds and days."""
    return {row[:2] for row in rows}


@dataclass
class Lost:
    """A commit that was cut off before it was acknowledged, and of which files are there: a repair may take it in."""

    rows: Rows
    is_whole: bool  # all of its files had their names

    def __post_init__(self) -> None:
        self.identities = {identity_of(row) for row in self.rows}
        self.stories = {story_of(row) for row in self.rows} - {None}


@dataclass
class Version:
    """What a version holds."""

    rows: Rows | None  # None: it came and went within a repair, and nobody saw it
    ended_at: datetime | None = None  # when it was the newest no more
    may_be_closed: bool = False


@dataclass
class Model:
    """A store in memory."""

    now: datetime
    rows: dict[Identity, Row] = field(default_factory=dict)
    pruned: set[Identity] = field(default_factory=set)
    stories: dict[str, object] = field(default_factory=dict)  # of complete games, pruned ones included
    n_rejected: int = 0
    n_perhaps_rejected: int = 0  # by commits that were cut off: a repair counts their files, where they are there
    versions: dict[int, Version] = field(default_factory=lambda: {0: Version(frozenset())})
    snapshots: dict[str, int] = field(default_factory=dict)
    ended_snapshots: list[tuple[int, datetime]] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)

    def judge(self, events: Sequence[EventEnvelope]) -> tuple[Rows, int]:
        """The rows that a commit of these events stores, and how many it refuses."""
        new: dict[Identity, Row] = {}
        stories: dict[str, object] = {}
        n_refused = 0
        for row in map(row_of, events):
            identity, story = identity_of(row), story_of(row)
            there = self.rows.get(identity) or new.get(identity)
            told = None if story is None else self.stories.get(story) or stories.get(story)
            if identity in self.pruned or (there is None and told == row[8]):
                continue
            if there is not None and (there == row or (story and story_of(there) == story and there[8] == row[8])):
                continue
            if there is not None or told is not None:
                n_refused += 1
                continue
            new[identity] = row
            if story is not None:
                stories[story] = row[8]
        return frozenset(new.values()), n_refused

    def commit(self, events: Sequence[EventEnvelope]) -> Rows:
        """Store these events; gives the new rows."""
        new, n_refused = self.judge(events)
        self.n_rejected += n_refused
        self.take(new)
        return new

    def take(self, rows: Rows) -> None:
        """Store these rows."""
        for row in rows:
            self.rows[identity_of(row)] = row
            story = story_of(row)
            if story is not None:
                self.stories[story] = row[8]

    @property
    def current(self) -> Rows:
        """What the newest version holds."""
        return frozenset(self.rows.values())

    @property
    def newest(self) -> int:
        """The newest version."""
        return max(self.versions)

    def before(self, day: date) -> Rows:
        """What a prune would take out."""
        return frozenset(row for row in self.rows.values() if str(row[1]) < day.isoformat())

    def prune(self, day: date) -> None:
        """Take the earlier days out for good."""
        for row in self.before(day):
            del self.rows[identity_of(row)]
            self.pruned.add(identity_of(row))

    def note_version(self, version: int, *, is_like_the_others: bool = True) -> None:
        """The newest version is this one now; those between are like it, or nobody knows."""
        last = self.newest
        if version > last:
            self.versions[last].ended_at = self.now
            for number in range(last + 1, version):
                rows = self.current if is_like_the_others else None
                self.versions[number] = Version(rows, self.now, may_be_closed=rows is None)
            self.versions[version] = Version(self.current)

    def forget_versions(self, behind: int) -> None:
        """Of later versions nothing is known any more; their numbers may come again."""
        self.versions = {number: version for number, version in self.versions.items() if number <= behind}

    def let_go(self, older_than: timedelta) -> None:
        """A vacuum may close the versions that nobody may need any more."""
        before = self.now - older_than
        pinned = {*self.snapshots.values(), *(v for v, ended_at in self.ended_snapshots if ended_at >= before)}
        for number, version in self.versions.items():
            is_over = version.ended_at is not None and version.ended_at < before
            version.may_be_closed |= is_over and number > 0 and number not in pinned

    def is_free(self, lost: Lost) -> bool:
        """Whether nothing of the commit is stored, or was pruned."""
        known = self.rows.keys() | self.pruned
        return lost.identities.isdisjoint(known) and lost.stories.isdisjoint(self.stories)

    def repaired(self, found: Rows, *, is_done: bool) -> None:
        """A repair has left these rows: with those of commits cut off that were whole, if nothing of them was stored.

        Raises
        ------
        AssertionError
            Other rows came, some of a commit without the rest, or a commit that could be taken in was not.
        """
        extra = found - self.current
        taken = [lost for lost in self.lost if lost.rows and lost.rows <= extra]
        assert extra == frozenset[Row]().union(*(lost.rows for lost in taken)), "rows that no commit had"
        for lost in taken:
            if lost.rows <= self.current:  # the same commit, cut off twice
                continue
            assert lost.is_whole, "a part of a commit was taken in"
            assert self.is_free(lost), "events that were stored already were taken in"
            self.take(lost.rows)
        if is_done:
            assert not any(lost.is_whole and self.is_free(lost) for lost in self.lost), "a whole commit was left out"
            self.lost = []
