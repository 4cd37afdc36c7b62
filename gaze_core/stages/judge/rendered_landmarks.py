"""Rendered people as the landmark model sees them: what the gaze of landmarks is learned from.

The landmark model was made for photographs. On rendered faces its eye corners, lids and irises lie off their places, which
are known there, by a mean height. That shift says nothing about real people, so it is measured and taken out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.data.subjects import open_subject
from gaze_core.errors import BadInput
from gaze_core.geometry.angles import vector_from_pitchyaw
from gaze_core.geometry.landmarks import EYE_LANDMARKS
from gaze_core.preprocess.face_mesh import IBUG_68, IRISES, LIDS
from gaze_core.preprocess.head_pose import HeadModel
from gaze_core.preprocess.iris_gaze import IRIS_DEPTH_M, angles_of
from gaze_core.preprocess.landmarks import Face, FaceLandmarker
from gaze_core.preprocess.posed_face import PosedFace, find_posed, head_of_images, pose_face

# In iBUG's order of each eye, image left to right and then clockwise; of the right eye, and of the left eye mirrored.
_OUTER_UPPER_INNER_LOWER = (
    (3, 2, 1, 0, 5, 4),
    (0, 1, 2, 3, 4, 5),
)  # outer, two of the upper lid, inner, two of the lower
_FACING_DEG = 20.0  # heights are compared on faces that are seen from the front
_SIDES = (-1.0, 1.0)  # (left, right): factor of x as if it were the right eye


@dataclass(frozen=True, eq=False)
class RenderedFace:
    """One rendered image after the landmark model."""

    person: str
    posed: PosedFace
    gaze_camera_eyes: Float[ndarray, "2 3"]  # true unit vectors (left, right), camera frame
    eyes_px: Float[ndarray, "2 7 2"]  # true (left, right): outer, upper, upper, inner, lower, lower, iris
    gaze_head_eyes: Float[ndarray, "2 2"]  # true `[pitch, yaw]` rad (left, right), head frame

    def gaze_in(self, rotation: Float[ndarray, "3 3"]) -> Float[ndarray, "2 2"]:
        """True `[pitch, yaw]` rad (left, right) in the frame of the *estimated* head: camera gaze is what must be right."""
        return angles_of(self.gaze_camera_eyes @ rotation)


@dataclass(frozen=True, eq=False)
class Heights:
    """Mean heights by which landmarks are too low on rendered faces whose gaze is level, over the eye's width."""

    outer: float
    inner: float
    upper: float
    lower: float
    iris: float


def read_people(
    files: Sequence[Path], landmarker: Path, copies: int, focal_spread: float, min_side_px: int, seed: int
) -> Iterator[RenderedFace]:
    """Each image of rendered people in `copies` of other sharpness, size, compression and background.

    The focal length that is assumed is off by a random factor of this spread (log), as that of a video is.

    Raises:
        BadInput: a file has labels that are not exact.
    """
    find, head = FaceLandmarker(landmarker), head_of_images(landmarker)
    for path in sorted(files):
        with open_subject(path) as file:
            if file.attrs["label_source"] != "exact":
                raise BadInput(
                    f"{path}: label_source is {file.attrs['label_source']}, expected exact: a rendered person; "
                    "make some with python -m gaze_core.synthesis.prior_people near FOLDER"
                )
            person = str(file.attrs["subject"])
            for row in range(len(file["image"])):
                for copy in range(copies):
                    rng = np.random.default_rng([seed, *person.encode(), row, copy])
                    image = spoilt(file["image"][row], file["head_mask"][row], min_side_px, rng)
                    side_px = max(file["image"].shape[1:3])
                    factor = float(file["intrinsics_px"][row][0, 0] / side_px * np.exp(rng.normal(0, focal_spread)))
                    posed = find_posed(image, find, head, factor)
                    if posed is not None:
                        yield _rendered(file, row, person, posed, max(posed.image.shape[:2]) / side_px)


def spoilt(
    image: UInt8[ndarray, "h w 3"], head_mask: UInt8[ndarray, "h w"], min_side_px: int, rng: np.random.Generator
) -> UInt8[ndarray, "y x 3"]:
    """The image on a random plain background, smaller, blurred, and compressed as JPEG."""
    alpha = cv2.GaussianBlur(head_mask, (0, 0), 0.7).reshape(*head_mask.shape, 1) / 255
    mixed = image * alpha + rng.uniform(0, 255, 3) * (1 - alpha)
    shrink = rng.integers(min_side_px, max(image.shape[:2]), endpoint=True) / max(image.shape[:2])
    small = cv2.resize(mixed, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    sigma_px = rng.uniform(-0.3, 1.0)
    blurred = cv2.GaussianBlur(small, (0, 0), sigma_px) if sigma_px > 0 else small
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 98))]
    _, data = cv2.imencode(".jpg", blurred.round().astype(np.uint8)[..., ::-1], quality)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1])


def _rendered(file: h5py.File, row: int, person: str, posed: PosedFace, scale: float) -> RenderedFace:
    head_to_camera = (file["world_to_camera"][row] @ file["head_to_world"][row]).astype(np.float64)
    gaze_head_eyes = file["gaze_head_eyes"][row].astype(np.float64)
    directions = vector_from_pitchyaw(torch.as_tensor(gaze_head_eyes)).numpy()
    irises_m = file["eye_centers_head_m"][row] + IRIS_DEPTH_M * directions
    projected = (irises_m @ head_to_camera[:3, :3].T + head_to_camera[:3, 3]) @ file["intrinsics_px"][row].T
    irises_px = projected[:, :2] / projected[:, 2:]
    points_px = file["landmarks_2d_px"][row]
    eyes_px = np.stack([
        np.vstack([points_px[eye][list(order)], iris_px])
        for eye, order, iris_px in zip(EYE_LANDMARKS, _OUTER_UPPER_INNER_LOWER, irises_px, strict=True)
    ])  # fmt: skip
    posed = replace(posed, image=posed.image[:0])  # thousands of them would fill the memory
    return RenderedFace(person, posed, directions @ head_to_camera[:3, :3].T, eyes_px * scale, gaze_head_eyes)


def measure_heights(faces: Sequence[RenderedFace]) -> Heights:
    """How far the landmark model puts the parts of eyes too low, along the head's vertical axis.

    Errors also grow with the gaze, which the map learns; so a line is fitted, and its value at level gaze taken.
    """
    rows, gazes = [], []
    for face in faces:
        if max(np.abs(face.posed.pose.facing_deg)) > _FACING_DEG:
            continue
        down = face.posed.pose.rotation[:2, 1]
        for eye, side in enumerate(_SIDES):
            true_px = face.eyes_px[eye]
            found = [IBUG_68[EYE_LANDMARKS[eye]][k] for k in _OUTER_UPPER_INNER_LOWER[eye]] + [IRISES[eye]]
            width_px = np.linalg.norm(true_px[0] - true_px[3])
            rows.append((face.posed.face.points_px[found, :2] - true_px) @ down / width_px)
            gazes.append((1.0, face.gaze_head_eyes[eye, 0], side * face.gaze_head_eyes[eye, 1]))
    if len(rows) < 20:
        raise BadInput(f"{len(rows) // 2} faces are seen from the front, expected 10 or more; render more people")
    outer, *upper, inner, lower, lower_too, iris = np.linalg.lstsq(np.array(gazes), np.array(rows), rcond=None)[0][0]
    return Heights(float(outer), float(inner), float(np.mean(upper)), float(np.mean([lower, lower_too])), float(iris))


def raised(posed: PosedFace, heights: Heights, head: HeadModel) -> PosedFace:
    """The face with these heights taken out of its eyes' landmarks, and its pose fitted again."""
    points_px = posed.face.points_px.astype(np.float64)
    across, down = posed.pose.rotation[:2, 0], posed.pose.rotation[:2, 1]
    for lids, iris in zip(LIDS, IRISES, strict=True):
        outer, inner = lids[0], lids[8]
        width_px = np.linalg.norm(posed.face.points_px[outer, :2] - posed.face.points_px[inner, :2])
        width_px /= max(0.5, float(np.linalg.norm(across)))  # of an eye that is seen from the side
        rim = range(iris, iris + 5)
        parts = (
            ((outer,), heights.outer), ((inner,), heights.inner), (lids[1:8], heights.upper), (lids[9:], heights.lower),
            (rim, heights.iris),
        )  # fmt: skip
        for indices, height in parts:
            points_px[list(indices), :2] -= height * width_px * down
    face = Face(points_px.astype(np.float32), posed.face.expression, posed.face.score)
    return pose_face(posed.image, face, head, posed.intrinsics_px)
