"""The catalogue of views: what the folder holds, one ``.sql`` file each, opened by a header in TOML."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, Self

from vectra_analytics.errors import UnknownView, VectraError

Kind = Literal["base", "summary", "feature", "label"]
_KINDS: tuple[Kind, ...] = ("base", "summary", "feature", "label")

_HEADER = re.compile(r"\A-- /// feature-view\n(?P<toml>(?:--.*\n)*?)-- ///\n")
_COMMENT = re.compile(r"--[^\n]*")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Column:
    """What one column of a view holds."""

    unit: str
    doc: str
    window: str = "this tick"  # the rows that it is computed from, in words
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

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """The view that a file of this text defines."""
        import tomllib  # here, since most programs that import the package read no header

        header = _HEADER.match(text)
        if header is None:
            raise VectraError(f"view {name} has no header: it must open with '-- /// feature-view' and end it '-- ///'")
        try:
            said = tomllib.loads("\n".join(line[3:] for line in header["toml"].splitlines()))
            kind = said["kind"]
            if kind not in _KINDS:
                raise VectraError(f"view {name}: kind is {kind!r}; it must be one of {', '.join(_KINDS)}")
            return cls(
                name=name,
                title=said["title"],
                kind=kind,
                grain=tuple(said["grain"]),
                order=tuple(said.get("order", said["grain"])),
                reads=tuple(said["reads"]),
                source=said["source"],
                columns={column: Column(**about) for column, about in said["columns"].items()},
                sql=text[header.end() :].strip().removesuffix(";"),
            )
        except tomllib.TOMLDecodeError as error:
            raise VectraError(f"view {name}: its header is no TOML: {error}") from error
        except KeyError as missing:
            raise VectraError(f"view {name}: its header has no {missing.args[0]}") from missing
        except TypeError as error:
            raise VectraError(f"view {name}: each column is {{ unit = ..., doc = ... }}: {error}") from error


@cache
def catalogue() -> Mapping[str, FeatureView]:
    """All views by name, in alphabetical order."""
    found = {file.name.removesuffix(".sql"): file for file in files(__name__).iterdir() if file.name.endswith(".sql")}
    return {name: FeatureView.parse(name, found[name].read_text(encoding="utf-8")) for name in sorted(found)}


def view_named(name: str) -> FeatureView:
    """The view of this name; UnknownView lists those that there are."""
    try:
        return catalogue()[name]
    except KeyError:
        raise UnknownView(
            f"no view is named {name!r}; there are {', '.join(catalogue())}. `vectra features --list` describes them"
        ) from None


def building_order(name: str) -> list[FeatureView]:
    """The view and all views that it reads, each after those it reads itself."""
    order: dict[str, FeatureView] = {}

    def add(view: FeatureView) -> None:
        for read in view.reads:
            if read in catalogue() and read not in order:
                add(catalogue()[read])
        order[view.name] = view

    add(view_named(name))
    return list(order.values())


@cache
def view_version(name: str) -> str:
    """A short hash of the view's SQL and of all it reads; comments and spaces do not change it."""
    digest = hashlib.sha256()
    for view in building_order(name):
        digest.update(f"{view.name}={' '.join(_normal_words(view.sql))}\n".encode())
    return digest.hexdigest()[:12]


def _normal_words(sql: str) -> Iterator[str]:
    yield from _SPACE.split(_COMMENT.sub(" ", sql).strip())
