"""The rendered talker inside the package. `python -m gaze_core.talker.packs` renders it again."""

from importlib.resources import files
from pathlib import Path

from gaze_core.talker.synthetic_talker import SyntheticTalkerConfig, synthesize_talker

PACK = SyntheticTalkerConfig()


def shipped_talker() -> Path:
    """The folder of the shipped subject; reading it needs neither anny nor mitsuba."""
    return Path(str(files("gaze_core.talker") / "shipped"))


if __name__ == "__main__":
    synthesize_talker(PACK, shipped_talker())
