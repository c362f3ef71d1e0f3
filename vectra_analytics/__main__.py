"""``python -m vectra_analytics`` is ``vectra``."""

from vectra_analytics.cli import main

main()
