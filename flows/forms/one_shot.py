"""One-shot as a deployment."""

from flows.forms.derived import system_form
from flows.systems import system

one_shot = system_form("one_shot", system("one-shot"), data="GazeCapture.h5", checkpoint="one_shot_pretrained")
