"""How far a torn JSON object reaches, so that an object inside it is not taken for a record of its own."""

import re
from collections.abc import Set

_TOKEN = re.compile(
    r"""[ \t\r\n]*+(?:(?P<text>"(?:[^"\\]|\\.)*+")|(?P<mark>[{}\[\],:])|(?P<word>[-+.0-9A-Za-z]++))""", re.DOTALL
)


_MOST_LEVELS = 900
"""Below which an object is looked at: what reads JSON goes no deeper than some 1,000."""


def end_of_torn(text: str, start: int, flat_keys: Set[str], whole: list[tuple[int, int]] | None = None) -> int:
    """Where the object that opens at ``start`` stops making sense as JSON, or ends: records may begin there.

    Everything before belongs to the object. A text that another record tore may have swallowed the beginning of
    that one, so a text after which nothing makes sense is not counted as part of it.

    Parameters
    ----------
    flat_keys
        Keys of the outermost object whose values are no objects: one that stands there is another record.
    whole
        Is given where the outermost complete objects in it begin and end, but for those of too many levels.
    """
    expected = "{"  # what may come: "{" an object, v a value, k a key, : , and the end of an array or object
    open_ones: list[str] = []
    starts: list[int] = []  # of the open ones
    levels = [0]  # in each of them so far, and in all
    key = ""
    token_start = position = start
    while match := _TOKEN.match(text, position):
        before, token_start, position = token_start, match.start(match.lastgroup or 0), match.end()
        found = match[match.lastgroup or 0]
        kind = found if match.lastgroup == "mark" else "v"
        if kind == "v" and match.lastgroup == "text" and "k" in expected:
            expected, key = ":", found[1:-1] if len(open_ones) == 1 else key
        elif kind == "v" and "v" in expected:
            expected = _behind_a_value(open_ones)
        elif kind in "{[" and ("v" in expected or kind in expected):
            if kind == "{" and len(open_ones) == 1 and open_ones[0] == "{" and key in flat_keys:
                return token_start
            open_ones.append(kind)
            starts.append(token_start)
            levels.append(0)
            expected = "k}" if kind == "{" else "v]"
        elif kind in "}]" and kind in expected:
            open_ones.pop()
            n_levels, begin = levels.pop() + 1, starts.pop()
            levels[-1] = max(levels[-1], n_levels)
            if whole is not None and kind == "}" and n_levels <= _MOST_LEVELS:
                while whole and whole[-1][0] > begin:
                    whole.pop()
                whole.append((begin, position))
            if not open_ones:
                return position
            expected = _behind_a_value(open_ones)
        elif kind == ":" and kind in expected:
            expected = "v"
        elif kind == "," and kind in expected:
            expected = "k" if open_ones[-1] == "{" else "v"
        else:
            return max(before, start + 1)
    return max(token_start, start + 1)


def _behind_a_value(open_ones: list[str]) -> str:
    return ",}" if open_ones[-1] == "{" else ",]"
