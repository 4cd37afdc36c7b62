"""Columbia Gaze: labels from the names of the photographs, for example `0001_2m_-15P_10V_-5H.jpg`.

P is the head's turn, V and H the gaze's, in degrees, all toward or away from the camera: at 0V 0H the person looks into
the lens whatever P is. V > 0 looks up. H and P grow toward the subject's left, which is image right, so both have the
opposite sign of our yaw; this follows from GazeNeRF's head-relative label (-V, P - H) and could not be checked on a
image here.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.data.adapters.angles import head_rotation, rotated
from gaze_core.errors import BadInput

_NAME = re.compile(r"(?P<subject>\d{4})_(?P<distance>\d+)m_(?P<p>-?\d+)P_(?P<v>-?\d+)V_(?P<h>-?\d+)H", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class ColumbiaLabels:
    """Labels of one photograph, angles `[pitch, yaw]` in radians with our signs."""

    subject: str
    distance_m: float
    gaze_camera: Float[ndarray, "2"]
    head_pose: Float[ndarray, "2"]  # where the face points, camera frame

    @property
    def gaze_head(self) -> Float[ndarray, "2"]:
        """The gaze in the head's frame."""
        return rotated(self.gaze_camera, head_rotation(self.head_pose).T)


def columbia_labels(name: str | Path) -> ColumbiaLabels:
    """Labels from the name of a photograph.

    Raises:
        BadInput: the name does not follow the data set's pattern.
    """
    match = _NAME.fullmatch(Path(name).stem)
    if match is None:
        raise BadInput(f"{name}: expected a name such as 0001_2m_0P_10V_5H.jpg; keep the data set's file names")
    turn_deg, up_deg, left_deg = (float(match[part]) for part in "pvh")
    return ColumbiaLabels(
        subject=match["subject"],
        distance_m=float(match["distance"]),
        gaze_camera=np.deg2rad([up_deg, -left_deg]),
        head_pose=np.deg2rad([0.0, -turn_deg]),
    )
