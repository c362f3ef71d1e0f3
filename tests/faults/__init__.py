"""Faults on purpose: each promise of the store, attacked. ``make faults``; docs/faults.md has what came of it."""
