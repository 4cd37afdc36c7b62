"""A trained head behind MLflow's interface: a request names frame, gaze and head pose, the response is an image.

MLflow copies this file into the model's folder and runs it there, so nothing has to be pickled.
"""

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from gaze_core.artifacts import only_entry
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput
from gaze_core.stages.redirection import gaze_gaussian
from gaze_core.stages.redirection.sample import render

ANGLES = ("gaze_pitch_deg", "gaze_yaw_deg", "head_pitch_deg", "head_yaw_deg")
MAX_DEG = 60.0


class RedirectionModel(PythonModel):
    """Renders one image for each row of the request."""

    def load_context(self, context: Any) -> None:
        """Loads the weights and the recording, whose frames give expression and head position."""
        self.model, _ = gaze_gaussian.load(Path(context.artifacts["checkpoint"]))
        self.frames = SubjectDataset(only_entry(Path(context.artifacts["recording"])))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Renders each row: `frame`, gaze in the head's frame, and the head pose; default: the recorded pose.

        Raises:
            BadInput: no such frame, or an angle that is absent, not a number or beyond 60 degrees.
        """
        rows = [self._response(row) for row in model_input.to_dict("records")]
        return pd.DataFrame(rows)

    def _response(self, row: dict[str, Any]) -> dict[str, Any]:
        frame = int(row["frame"])
        if not 0 <= frame < len(self.frames):
            raise BadInput(f"frame {frame}: the recording has {len(self.frames)} usable frames, from 0")
        gaze_pitch, gaze_yaw, head_pitch, head_yaw = (_angle(row, name) for name in ANGLES)
        if gaze_pitch is None or gaze_yaw is None:
            raise BadInput("gaze_pitch_deg and gaze_yaw_deg: expected two numbers, found none")
        if (head_pitch is None) != (head_yaw is None):
            raise BadInput("head_pitch_deg and head_yaw_deg: expected both or neither")
        pose = None if head_pitch is None or head_yaw is None else [(head_pitch, head_yaw)]
        (image,) = render(self.model, self.frames.batch([frame]), [(gaze_pitch, gaze_yaw)], pose)
        return {"image_png_base64": _png(image), "width_px": image.shape[1], "height_px": image.shape[0]}


def _angle(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None or np.isnan(value):
        return None
    if not abs(value) <= MAX_DEG:
        raise BadInput(f"{name} {value:g}: expected at most {MAX_DEG:g} degrees to either side")
    return float(value)


def _png(image: np.ndarray) -> str:
    done, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    return base64.b64encode(encoded.tobytes()).decode()


set_model(RedirectionModel())
