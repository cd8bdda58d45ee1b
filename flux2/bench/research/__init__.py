"""Races with other programs, bounds, scaling, and what README shows of them: run in the repository, not installed."""
