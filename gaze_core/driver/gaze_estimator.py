"""A face estimator of `driver run` or `driver pretrain` as an estimator of `gazeworks gaze`."""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from numpy import ndarray

from gaze_core.config import Runtime
from gaze_core.driver.checkpoints import load_estimator
from gaze_core.driver.view import DRIVER_FACE
from gaze_core.geometry.angles import vector_from_pitchyaw
from gaze_core.geometry.normalization import face_center_m, normalize
from gaze_core.preprocess.face_mesh import IBUG_68
from gaze_core.preprocess.gaze_estimators import Estimate, EyeGaze
from gaze_core.preprocess.iris_gaze import angles_of
from gaze_core.preprocess.labels import warp
from gaze_core.preprocess.landmark_gaze import EyeFeatures
from gaze_core.preprocess.posed_face import PosedFace


def face_gaze(path: Path, runtime: Runtime = Runtime()) -> Callable[[PosedFace], Float[ndarray, "2"]]:  # noqa: B008
    """Reads `[pitch, yaw]`, radians, camera frame, on the view of the face that the weights were trained on.

    Raises:
        BadInput: as `load_estimator`.
    """
    model, card = load_estimator(path, runtime)
    config = DRIVER_FACE.resized(card["normalization"]["size_px"])
    device = next(model.parameters()).device

    @torch.no_grad()
    def read(posed: PosedFace) -> Float[ndarray, "2"]:
        center_m = posed.pose.to_camera(face_center_m(posed.head.points_m[list(IBUG_68)], config.face_center))
        view = normalize(posed.intrinsics_px, center_m, posed.pose.rotation, config)
        crop = torch.from_numpy(warp(posed.image, view, config.width_height_px)).to(device)
        seen = vector_from_pitchyaw(model(crop.permute(2, 0, 1)[None].float() / 255)[0].double()).cpu().numpy()
        return angles_of(view.rotation.T @ seen)

    return read


def face_estimate(path: Path, runtime: Runtime = Runtime()) -> Estimate:  # noqa: B008 (frozen)
    """The estimator of a weights file, or of a folder that holds one, for `gazeworks gaze`.

    Raises:
        BadInput: as `load_estimator`.
    """
    read = face_gaze(path, runtime)

    def estimate(posed: PosedFace, features: EyeFeatures) -> EyeGaze:
        if not all(features.eyeballs.eyes_open):
            return EyeGaze(why_none="eyes_closed")
        camera = read(posed)
        vector = vector_from_pitchyaw(torch.as_tensor(camera, dtype=torch.float64)).numpy()
        return EyeGaze(camera, angles_of(posed.pose.rotation.T @ vector))

    return estimate
