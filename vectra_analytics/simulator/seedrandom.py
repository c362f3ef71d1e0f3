"""The random numbers behind a game: ARC4 keyed by a text, as JavaScript's ``seedrandom`` draws them."""

_WIDTH = 256  # an ARC4 state is a permutation of this many numbers
_MASK = _WIDTH - 1
_CHUNKS = 6  # bytes a draw starts from; as they are too few, it always takes one more
_SIGNIFICANCE = 2**52  # a draw goes on taking bytes until its number is this large
_DOUBLE_BITS = 53


class SeedRandom:
    """Draws in [0, 1), the same on every machine for the same text.

    Parameters
    ----------
    seed
        Any text; for a game ``serverSeed + "-" + gameId``.

    Notes
    -----
    The algorithm is public (D. Bau, seedrandom: ARC4 of width 256, the first 256 bytes dropped, 52 bits a draw).
    This is a port of the algorithm to Python integers, bit for bit; none of its code is here.

    Examples
    --------
    >>> draws = SeedRandom("hello.")
    >>> draws.random(), draws.random()
    (0.9282578795792454, 0.3752569768646784)
    """

    def __init__(self, seed: str) -> None:
        key = _key(seed)
        state = list(range(_WIDTH))
        j = 0
        for i in range(_WIDTH):
            moved = state[i]
            j = (j + key[i % len(key)] + moved) & _MASK
            state[i] = state[j]
            state[j] = moved
        self._state = state
        self._i = 0
        self._j = 0
        self._number(_WIDTH)  # the first bytes of ARC4 tell of its key, so they are thrown away

    def random(self) -> float:
        """The next draw, from 0 up to but not including 1."""
        number, scale = self._number(_CHUNKS + 1), 1 << 8 * (_CHUNKS + 1)
        while number < _SIGNIFICANCE:
            number, scale = number << 8 | self._number(1), scale << 8
        # What a double cannot hold is cut off, not rounded: else a draw could be 1.
        spare = max(0, number.bit_length() - _DOUBLE_BITS)
        return (number >> spare) / (scale >> spare)

    def _number(self, count: int) -> int:
        """The next ``count`` bytes of ARC4 as one number, the first byte in front."""
        state, i, j = self._state, self._i, self._j
        number = 0
        for _ in range(count):
            i = (i + 1) & _MASK
            left = state[i]
            j = (j + left) & _MASK
            right = state[j]
            state[i] = right
            state[j] = left
            number = number << 8 | state[(left + right) & _MASK]
        self._i, self._j = i, j
        return number


def _key(seed: str) -> list[int]:
    """The key of a text: the low bytes of its UTF-16 units; what goes beyond 256 units is mixed in from the start."""
    key: list[int] = []
    smear = 0
    for position, unit in enumerate(seed.encode("utf-16-le", "surrogatepass")[::2]):
        if position < _WIDTH:
            key.append(unit)
        else:
            smear ^= key[position & _MASK] * 19
            key[position & _MASK] = (smear + unit) & _MASK
    return key or [0]
