"""Figures: each a function of a Polars frame that gives a plotly Figure, and changes nothing.

They need the extra ``lab``; nothing else in the package does.
"""

from vectra_analytics.plots.episode import episode, overlay
from vectra_analytics.plots.features import correlation, feature_against_label, feature_by_label
from vectra_analytics.plots.feed import feed_health, tick_intervals
from vectra_analytics.plots.games import peaks, rug_ticks

__all__ = [
    "correlation",
    "episode",
    "feature_against_label",
    "feature_by_label",
    "feed_health",
    "overlay",
    "peaks",
    "rug_ticks",
    "tick_intervals",
]
