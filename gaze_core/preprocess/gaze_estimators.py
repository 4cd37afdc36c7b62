"""Estimators of gaze for one face that has been found and posed, by name: what `gazeworks gaze` chooses from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from gaze_core.geometry.angles import vector_from_pitchyaw
from gaze_core.preprocess.iris_gaze import (
    MAX_GAZE_RAD,
    GazePrediction,
    angles_of,
    camera_gaze,
)
from gaze_core.preprocess.landmark_gaze import EyeFeatures, LandmarkGaze
from gaze_core.preprocess.openvino_gaze import OpenvinoGaze
from gaze_core.preprocess.posed_face import PosedFace

EstimatorName = Literal["landmarks", "iris", "openvino"]
NAMES: tuple[EstimatorName, ...] = get_args(EstimatorName)


@dataclass(frozen=True, eq=False)
class EyeGaze:
    """Gaze of one face, `[pitch, yaw]` in radians; without one, the reason in `why_none`."""

    camera: Float[ndarray, "2"] | None = None
    head: Float[ndarray, "2"] | None = None
    sigma_rad: float | None = None  # expected error, where the estimator knows one
    why_none: str = ""


Estimate = Callable[[PosedFace, EyeFeatures], EyeGaze]
"""`posed.face` lies in the picture as it is, the features are without the lens's distortion."""


def estimator(name: EstimatorName) -> Estimate:
    """The estimator of that name.

    Raises:
        MissingArtifact: its package or a file is not available.
    """
    return _ESTIMATORS[name]()


def _landmarks() -> Estimate:
    gaze = LandmarkGaze.load()

    def estimate(posed: PosedFace, features: EyeFeatures) -> EyeGaze:
        prediction = gaze.predict(features)
        return _of_prediction(prediction, posed, prediction.sigma_rad)

    return estimate


def _iris() -> Estimate:
    return lambda posed, features: _of_prediction(features.eyeballs, posed, None)


def _openvino() -> Estimate:
    network = OpenvinoGaze()

    def estimate(posed: PosedFace, features: EyeFeatures) -> EyeGaze:
        if not all(features.eyeballs.eyes_open):
            return EyeGaze(why_none="eyes_closed")
        camera = network.read(posed)
        vector = vector_from_pitchyaw(torch.as_tensor(camera, dtype=torch.float64)).numpy()
        return EyeGaze(camera, angles_of(posed.pose.rotation.T @ vector))

    return estimate


def _of_prediction(prediction: GazePrediction, posed: PosedFace, sigma_rad: float | None) -> EyeGaze:
    if not all(prediction.eyes_open):
        return EyeGaze(why_none="eyes_closed")
    if not prediction.valid:
        too_far = np.abs(prediction.gaze_head_eyes).max() >= MAX_GAZE_RAD
        return EyeGaze(why_none="gaze_out_of_range" if too_far else "eyes_disagree")
    return EyeGaze(camera_gaze(prediction.gaze_head, posed.pose.rotation), prediction.gaze_head, sigma_rad)


_ESTIMATORS: Mapping[EstimatorName, Callable[[], Estimate]] = {
    "landmarks": _landmarks,
    "iris": _iris,
    "openvino": _openvino,
}
