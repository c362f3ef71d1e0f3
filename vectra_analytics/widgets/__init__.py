"""Widgets for JupyterLab: each holds a choice, shows the SQL behind it, and gives its rows to the next cell.

They need the extra ``lab``; nothing else in the package does.
"""

from vectra_analytics.widgets.episode_explorer import EpisodeExplorer
from vectra_analytics.widgets.feature_workbench import FeatureWorkbench
from vectra_analytics.widgets.live_episode import LiveEpisode

__all__ = ["EpisodeExplorer", "FeatureWorkbench", "LiveEpisode"]
