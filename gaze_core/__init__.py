"""Gazeworks core: geometry, data, models and training, with no knowledge of orchestration."""

__version__ = "0.1.0"
