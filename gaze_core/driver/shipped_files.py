"""Where the files that ship for drives are. Imports nothing heavy: requests name these files before any work."""

from importlib.resources import files
from pathlib import Path

BASE_FILE, FACTS_FILE = "base.safetensors", "base.json"
VIDEO_FILE, TABLE_FILE, SETTINGS_FILE = "synthetic_drive.mp4", "synthetic_drive.csv", "settings.json"


def shipped(name: str = "") -> Path:
    """A file that ships for drives; their folder without a name."""
    return Path(str(files("gaze_core.driver") / "shipped")) / name
