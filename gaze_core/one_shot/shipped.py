"""What ships with the package: a rendered person in GazeCapture's layout, and a redirector that was pretrained on others."""

from importlib.resources import files
from pathlib import Path

SHIPPED_PEOPLE = Path(str(files("gaze_core.data") / "packs" / "one_shot_people.h5"))
SHIPPED_REDIRECTOR = Path(str(files("gaze_core.models") / "weights" / "one_shot_tiny"))
