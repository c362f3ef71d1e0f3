"""The published price process: a server seed and a game id give every price before the rug."""

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from vectra_analytics.errors import InvalidEvent
from vectra_analytics.simulator.seedrandom import SeedRandom

Version = Literal["v1", "v2", "v3"]

RUG_PROBABILITY = 0.005  # per tick; pages captured in July 2025 print 0.011, recordings of autumn 2025 show 0.005
MAX_TICKS = 5_000
STARTING_PRICE = 1.0

_DRIFT_MIN, _DRIFT_MAX = -0.02, 0.03
_BIG_MOVE_CHANCE, _BIG_MOVE_MIN, _BIG_MOVE_MAX = 0.125, 0.15, 0.25
_VOLATILITY = 0.005  # times the square root of the price
_VOLATILITY_CAP = 10.0  # the most that root may count, from v2 on
_GOD_CANDLE_CHANCE, _GOD_CANDLE_MOVE, _GOD_CANDLE_BELOW = 0.00001, 10.0, 100.0  # from v3 on

# Written as a difference since the feed shows 0.020000000000000018, which is not the double 0.02.
_RUG_CEILING = 1 - 0.98
_AT_CEILING_FROM_1_UP, _AT_CEILING_BELOW_1 = 0.20, 0.09  # 13 % of all games at 0.02, 4 % at 0.02 * last price
_RUG_SHARES = (0.1, 0.39, 0.56, 0.67, 0.737, 0.777, 0.843, 0.91, 0.96, 0.987, 1.0)  # of the ceiling, elsewhere: deciles


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedGame:
    """One game as the feed would show it, from the first price to the rug."""

    game_id: str
    server_seed: str  # 64 hex digits; the feed tells it after the rug
    version: Version
    prices: tuple[float, ...]  # multiplier at ticks 0, 1, ...; the last is the rug price

    @property
    def rug_tick(self) -> int:
        """The tick of the rug: the last one."""
        return len(self.prices) - 1

    @property
    def rug_price(self) -> float:
        """What a unit is worth after the rug."""
        return self.prices[-1]

    @property
    def peak(self) -> float:
        """The highest price, as a multiplier."""
        return max(self.prices)

    @property
    def peak_tick(self) -> int:
        """The first tick at which the highest price was seen."""
        return self.prices.index(self.peak)

    @property
    def server_seed_hash(self) -> str:
        """What the feed tells of the seed before the game."""
        return server_seed_hash(self.server_seed)


def server_seed_hash(server_seed: str) -> str:
    """SHA-256 of a server seed as text: published before a game, so that the seed cannot be changed after it."""
    return hashlib.sha256(server_seed.encode()).hexdigest()


def process_prices(
    server_seed: str, game_id: str, version: Version = "v3", rug_probability: float = RUG_PROBABILITY
) -> tuple[float, ...]:
    """Every price before the rug.

    Parameters
    ----------
    server_seed, game_id
        As the feed gives them; the random numbers are those of ``server_seed + "-" + game_id``.
    version
        ``"v2"`` caps the volatility above a price of 100; ``"v3"``, in force since July 2025 at the latest, adds
        the god candle (price times 10) and, with it, a draw each tick: its games differ from the first tick.
    rug_probability
        Chance of a rug at each tick.

    Returns
    -------
    tuple of float
        The multiplier at ticks 0, 1, ...: the first is 1, and the rug comes at the tick after the last. A real
        game has one price more, the rug price, which this stream of random numbers does not give.

    Raises
    ------
    InvalidEvent
        There is no such version, or the probability is none.

    Examples
    --------
    >>> process_prices("a made-up seed", "20251102-0123456789ab4cde")[:3]
    (1.0, 1.003042022004221, 1.0271689347774162)
    """
    if version not in get_args(Version):
        raise InvalidEvent(f"version {version!r}: the process has {', '.join(get_args(Version))}")
    if not 0 <= rug_probability <= 1:
        raise InvalidEvent(f"rug_probability {rug_probability!r}: give a number from 0 to 1, such as {RUG_PROBABILITY}")
    draw = SeedRandom(f"{server_seed}-{game_id}").random
    price = STARTING_PRICE
    prices = [price]
    for _ in range(MAX_TICKS):
        if draw() < rug_probability:
            break
        price = _next_price(price, version, draw)
        prices.append(price)
    return tuple(prices)


def _next_price(price: float, version: Version, draw: Callable[[], float]) -> float:
    # The order of the draws is part of the process, and so is the order of the arithmetic: doubles round.
    if version == "v3" and draw() < _GOD_CANDLE_CHANCE and price <= _GOD_CANDLE_BELOW * STARTING_PRICE:
        return price * _GOD_CANDLE_MOVE
    if draw() < _BIG_MOVE_CHANCE:
        size = _BIG_MOVE_MIN + draw() * (_BIG_MOVE_MAX - _BIG_MOVE_MIN)
        change = size if draw() > 0.5 else -size
    else:
        drift = _DRIFT_MIN + draw() * (_DRIFT_MAX - _DRIFT_MIN)
        root = math.sqrt(price)
        volatility = _VOLATILITY * (root if version == "v1" else min(_VOLATILITY_CAP, root))
        change = drift + volatility * (2 * draw() - 1)
    return max(0.0, price * (1 + change))


def play(
    server_seed: str, game_id: str, version: Version = "v3", rug_probability: float = RUG_PROBABILITY
) -> SimulatedGame:
    """A whole game: the prices of :func:`process_prices`, then a rug price.

    Notes
    -----
    How the site draws the rug price is not published. Here it is drawn from a generator of its own, seeded by the
    seed and the game, to the rule of 836 recorded games: never above ``0.02 * min(1, last price)``, in 13 % of
    games 0.02 itself and in 4 % two hundredths of the last price, the median near 0.0144. A game which outlasts
    5,000 ticks is ended there.

    Examples
    --------
    >>> game = play("a made-up seed", "20251102-0123456789ab4cde")
    >>> game.rug_tick, round(game.peak, 4), round(game.rug_price, 4)
    (128, 2.1603, 0.02)
    """
    prices = process_prices(server_seed, game_id, version, rug_probability)
    rug_price = _rug_price(prices[-1], random.Random(f"rug price of {server_seed}-{game_id}"))
    return SimulatedGame(game_id=game_id, server_seed=server_seed, version=version, prices=(*prices, rug_price))


def _rug_price(last_price: float, generator: random.Random) -> float:
    ceiling = _RUG_CEILING * min(1.0, last_price)
    if generator.random() < (_AT_CEILING_FROM_1_UP if last_price >= 1 else _AT_CEILING_BELOW_1):
        return ceiling
    return ceiling * from_quantiles(generator, _RUG_SHARES)


def from_quantiles(generator: random.Random, quantiles: Sequence[float]) -> float:
    """A draw from the distribution with these equally spaced quantiles, straight lines between them."""
    # Only random() is promised to stay the same from one Python to the next, so nothing else is asked of it.
    place = generator.random() * (len(quantiles) - 1)
    below = int(place)
    return quantiles[below] + (place - below) * (quantiles[below + 1] - quantiles[below])


def first_deviation(
    prices: Sequence[float],
    server_seed: str,
    game_id: str,
    version: Version = "v3",
    rug_probability: float = RUG_PROBABILITY,
    *,
    tolerance: float = 1e-9,
) -> int | None:
    """The first tick at which a game was not what its seed says, or None if there is none.

    Parameters
    ----------
    prices
        The whole game as the feed's ``gameHistory`` gives it, with the rug price at the end (which is not checked).
    tolerance
        How far, as a share of the price, a tick may be off.

    Examples
    --------
    >>> game = play("a made-up seed", "20251102-0123456789ab4cde")
    >>> first_deviation(game.prices, game.server_seed, game.game_id)
    >>> first_deviation((*game.prices[:7], 9.0), game.server_seed, game.game_id)
    7
    """
    due = process_prices(server_seed, game_id, version, rug_probability)
    for tick, (price, expected) in enumerate(zip(prices[:-1], due, strict=False)):
        if not math.isclose(price, expected, rel_tol=tolerance):
            return tick
    return None if len(prices) == len(due) + 1 else min(len(prices) - 1, len(due))


def invent_ids(number: int | str, created_at: datetime) -> tuple[str, str]:
    """A server seed and a game id in the form of real ones, made up from a number.

    Parameters
    ----------
    number
        Anything that tells games apart.
    created_at
        When the game is to begin; a game id opens with the UTC date.

    Examples
    --------
    >>> invent_ids(1, datetime(2025, 11, 2, 12, tzinfo=UTC))[1]
    '20251102-248fa8d32772483e'
    """
    if created_at.tzinfo is None:
        raise InvalidEvent(f"created_at {created_at.isoformat()} has no time zone; give it in UTC")
    server_seed = hashlib.sha256(f"vectra_analytics seed {number}".encode()).hexdigest()
    digits = hashlib.sha256(f"vectra_analytics game {number}".encode()).hexdigest()
    # Real ids end like a version-4 UUID without its dashes: the 13th digit is a 4.
    return server_seed, f"{created_at.astimezone(UTC):%Y%m%d}-{digits[:12]}4{digits[13:16]}"
