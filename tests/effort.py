"""How much the tests try that could always try more: `VECTRA_EFFORT=20 make test` tries twenty times as much."""

import os

EFFORT = float(os.environ.get("VECTRA_EFFORT", "1"))
"""At 1 random examples are the same each time; at any other they are new ones, and `--hypothesis-seed` repeats them."""


def more(n_examples: int) -> int:
    """So many, times the effort."""
    return max(1, round(n_examples * EFFORT))


def stride(usual: int) -> int:
    """Each so-manieth step is tried, or with more effort each one."""
    return max(1, round(usual / EFFORT))
