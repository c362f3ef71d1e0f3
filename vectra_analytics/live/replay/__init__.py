"""Recordings served as a live feed on this machine, so that live code can be tried without the game."""

import importlib.util

from vectra_analytics.errors import VectraError


def required() -> None:
    """Raise where the libraries that speak Socket.IO are missing."""
    if any(importlib.util.find_spec(name) is None for name in ("socketio", "aiohttp")):
        raise VectraError('python-socketio or aiohttp is not installed here: pip install "vectra_analytics[record]"')
