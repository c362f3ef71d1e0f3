"""One view as its file defines it: a header in TOML, in comments, and one SELECT."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

import duckdb

from vectra_analytics.errors import NotReadOnly, VectraError
from vectra_analytics.statements import check_functions, statement_text, tokens

Kind = Literal["base", "summary", "feature", "label"]

_HEADER = re.compile(r"\s*-- /// feature-view[ \t]*\n(?P<toml>(?:--.*\n)*?)-- ///[ \t]*(?:\n|\Z)")
_NAME = re.compile(r"[a-z][a-z0-9_]*").fullmatch
_KEYS = ("name", "title", "kind", "grain", "order", "reads", "source", "columns")


THIS_TICK = "this tick"


@dataclass(frozen=True, slots=True)
class Column:
    """What one column of a view holds."""

    unit: str
    doc: str
    window: str = THIS_TICK  # the rows that it is computed from, in words
    warm_up: int = 0  # the first tick with a value, in a game that was seen from tick 0 without holes
    null: str = ""  # when it is NULL; empty: never


@dataclass(frozen=True, slots=True)
class FeatureView:
    """A named SELECT with what it promises."""

    name: str
    title: str
    kind: Kind
    grain: tuple[str, ...]  # the columns that make a row unique
    order: tuple[str, ...]  # how its rows are given where nobody asks for another order; NULLs come last
    reads: tuple[str, ...]  # other views, doc_types or events
    source: str  # where the definition comes from
    columns: Mapping[str, Column]
    sql: str  # one SELECT, without the header
    is_shipped: bool = False  # with this package; others are users' own
    text: str = field(default="", repr=False, compare=False)  # the whole file

    @classmethod
    def parse(cls, text: str, name: str | None = None, *, is_shipped: bool = False) -> Self:
        """The view that a file of this text defines.

        Parameters
        ----------
        text
            The header and the SQL.
        name
            The view's; by default the one in the header.

        Raises
        ------
        VectraError
            Where the header lacks something or says what cannot be.
        """
        text = text.lstrip("\ufeff").replace("\r\n", "\n")
        header = _HEADER.match(text)
        if header is None:
            raise VectraError(
                f"{_named(name)} has no header: it must open with the line '-- /// feature-view' and end it with "
                "'-- ///'; docs/views.md has one to copy"
            )
        said = _read_toml(header["toml"], name)
        name = said.get("name") if name is None else name
        if not isinstance(name, str) or not _NAME(name):
            raise VectraError(
                f"a view cannot be named {name!r}: a name is lower-case letters, digits and _, a letter first; "
                "it is the file's, the argument `name`, or the header's `name`"
            )
        columns = _columns(said.get("columns"), name)
        grain = _names(said, "grain", name)
        order = _names(said, "order", name) if "order" in said else grain
        kind: Any = said.get("kind")
        if kind not in get_args(Kind):
            raise VectraError(f"view {name}: kind is {kind!r}; it must be one of {', '.join(get_args(Kind))}")
        for column in (*grain, *order):
            if column not in columns:
                raise VectraError(f"view {name}: grain or order names {column!r}, which is none of its columns")
        return cls(
            name=name,
            title=str(said.get("title", name)),
            kind=kind,
            grain=grain,
            order=order,
            reads=_names(said, "reads", name),
            source=str(said.get("source", "")),
            columns=columns,
            # Those of the package are read by every program, and the law says that each is one SELECT.
            sql=statement_text(text[header.end() :]).strip() if is_shipped else _one_select(text[header.end() :], name),
            is_shipped=is_shipped,
            text=text,
        )

    @property
    def subject(self) -> str:
        """The column that says whose a row is: game_id, or session_id where a summary is of sessions."""
        is_of_sessions = self.kind == "summary" and "game_id" not in self.columns and "session_id" in self.grain
        return "session_id" if is_of_sessions else "game_id"

    def fingerprint(self) -> str:
        """A hash of its SQL; comments, spaces, line ends and the case of keywords do not change it."""
        return hashlib.sha256("\0".join(token for _, token in tokens(self.sql)).encode()).hexdigest()


def _named(name: str | None) -> str:
    return "the view" if name is None else f"view {name}"


def _read_toml(commented: str, name: str | None) -> dict[str, Any]:
    import tomllib  # here, since most programs that import the package read no header

    try:
        said = tomllib.loads("\n".join(re.sub(r"^-- ?", "", line) for line in commented.splitlines()))
    except tomllib.TOMLDecodeError as error:
        raise VectraError(f"{_named(name)}: its header is no TOML: {error}") from error
    unknown = sorted(said.keys() - set(_KEYS))
    if unknown:
        raise VectraError(f"{_named(name)}: its header says {unknown[0]!r}, and only {', '.join(_KEYS)} mean something")
    return said


def _names(said: Mapping[str, Any], key: str, name: str) -> tuple[str, ...]:
    names = said.get(key)
    if not isinstance(names, list) or not names or not all(isinstance(each, str) for each in names):
        raise VectraError(f"view {name}: its header has no {key}; it is a list of names such as {_EXAMPLES[key]}")
    return tuple(names)


_EXAMPLES = {"grain": '["game_id", "tick"]', "order": '["game_id", "tick"]', "reads": '["ticks"]'}


def _columns(said: object, name: str) -> dict[str, Column]:
    if not isinstance(said, dict) or not said:
        raise VectraError(f"view {name}: its header has no [columns]; each is one line: price = {_A_COLUMN}")
    found = {}
    for column, about in said.items():
        try:
            found[column] = Column(**about)
        except TypeError as error:
            raise VectraError(f"view {name}: column {column} must be {_A_COLUMN}: {error}") from error
    return found


_A_COLUMN = '{ unit = "...", doc = "..." }, and may have window, warm_up and null'


def _one_select(text: str, name: str) -> str:
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise VectraError(f"view {name}: its SQL cannot be read: {' '.join(str(error).split())}") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise VectraError(f"view {name}: below its header it must be one SELECT, and nothing else")
    try:
        check_functions(text)
    except NotReadOnly as error:
        raise VectraError(f"view {name}: {error}") from error
    return statement_text(text).strip()
