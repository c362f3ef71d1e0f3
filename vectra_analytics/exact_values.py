"""Values as they are stored: JSON as text, money as decimals, prices as floats; what cannot be is InvalidEvent."""

import json
import math
from collections.abc import Callable
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import orjson

from vectra_analytics.errors import InvalidEvent
from vectra_analytics.schema import MONEY

Number = Decimal | float | int | str

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str).encode
_STEP = Decimal(1).scaleb(-MONEY.scale)
_WIDE = Context(prec=MONEY.precision)


def to_json(data: Any) -> str:
    """``data`` as JSON text, unchanged in meaning; what JSON cannot hold exactly is InvalidEvent."""
    try:
        # Ten times as fast, but it turns NaN into null without a word, and enumerations into their values: so the text
        # has to read back as the same.
        text = orjson.dumps(data)
        if orjson.loads(text) == data:
            return text.decode()
    except Exception:
        pass  # numbers beyond 64 bits, keys that are no texts, objects: the slower encoder knows them, or says why not
    try:
        return _encode(data)
    except Exception as error:  # an object's own text or comparison may fail with any
        why = " ".join(f"{error}".split())[:80] if isinstance(error, ValueError | TypeError) else type(error).__name__
        raise InvalidEvent(f"data cannot be kept as JSON: {why}: {shown(data)}") from None


def money(value: Number, name: str) -> Decimal:
    """``value`` as an exact decimal of at most 20 digits before the point and 18 behind it.

    A float means the shortest decimal that reads back as it, as it stood in the source's JSON.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        exact = (
            value if isinstance(value, Decimal) else Decimal(value if isinstance(value, int) else str(value).strip())
        )
    except (InvalidOperation, TypeError, ValueError):
        raise InvalidEvent(f"{name} is {shown(value)}: not a number") from None
    if not exact.is_finite():
        raise InvalidEvent(f"{name} is {shown(value)}: not a finite number")
    # Arithmetic on it could round; its digits tell the size without any.
    _, digits, exponent = exact.as_tuple()
    significant = len("".join(map(str, digits)).rstrip("0"))
    places = int(exponent) + len(digits) - significant
    if significant and (places < -MONEY.scale or significant + places > MONEY.precision - MONEY.scale):
        raise InvalidEvent(f"{name} is {shown(value)}: it does not fit 20 digits before the point and 18 behind it")
    return exact.quantize(_STEP, context=_WIDE) if significant else Decimal(0).quantize(_STEP)


def price_of(price: object, invalid: Callable[[str, str], InvalidEvent]) -> float:
    """``price`` as a float, from 0; else what ``invalid`` makes of the name and the reason is raised."""
    if isinstance(price, bool) or not isinstance(price, Decimal | float | int | str):
        raise invalid("price", "not a number")
    try:
        number = float(price)
    except (ValueError, OverflowError):
        raise invalid("price", "not a number that a 64-bit float can hold") from None
    if not math.isfinite(number):
        raise invalid("price", "not a finite number")
    if number < 0:
        raise invalid("price", "below 0")
    return number


def shown(value: object) -> str:
    """The value for a message, shortened; whatever it is, this gives a text."""
    try:
        text = ascii(value)
    except Exception:
        return f"a {type(value).__name__} too long, too deep or not able to be shown"
    return text if len(text) <= 80 else f"{text[:77]}..."
