"""Faces in an image: 478 landmarks and 51 blendshapes, from the tflite parts of the MediaPipe Face Landmarker.

LiteRT runs the networks; anchors, crops and the second detection pass are implemented here, because MediaPipe's own
runtime reports its use over the network (docs/decisions/0004). Every image is processed independently, unless the caller
gives the faces of the image before it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.data.schema import NUM_EXPRESSION
from gaze_core.preprocess.face_mesh import NUM_POINTS, mirrored_points, read_average_face, read_part

_DETECTOR_PX, _MESH_PX = 128, 256
_DETECTOR_CELLS = ((16, 2), (8, 6))  # (cells a side, anchors a cell)
_MIN_SCORE, _MAX_OVERLAP = 0.5, 0.3
_DETECTION_MARGIN, _MESH_MARGIN = 1.5, 1.5  # side of the crop over the larger side of the box
_SAME_PLACE = 0.33  # distance of two faces' middles over a crop's side below which they are one: half a face
_RIGHT_EYE_OUTER, _LEFT_EYE_OUTER = 33, 263

# The input points of the blendshape network.
_BLENDSHAPE_POINTS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80,
    81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153,
    154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251,
    263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314,
    317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384,
    385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475,
    476, 477,
)  # fmt: skip

RgbImage = UInt8[ndarray, "h w 3"]


@dataclass(frozen=True, eq=False)
class Face:
    """One face. x and y in pixels of the image (centres at +0.5); z in the same unit, growing away from the camera."""

    points_px: Float[ndarray, "478 3"]
    expression: Float[ndarray, "64"]  # layout of `expression_code` in the schema
    score: float  # in [0, 1]


@dataclass(frozen=True)
class _Square:
    """A rotated square of the image."""

    center_px: tuple[float, float]
    side_px: float
    angle_rad: float

    def to_image(self, size_px: int) -> Float[ndarray, "2 3"]:
        """The affine map from a crop of `size_px` to the image."""
        scale = self.side_px / size_px
        turn = scale * np.array(
            [
                [np.cos(self.angle_rad), -np.sin(self.angle_rad)],
                [np.sin(self.angle_rad), np.cos(self.angle_rad)],
            ]
        )
        shift = np.asarray(self.center_px) - turn @ np.full(2, size_px / 2)
        return np.column_stack([turn, shift])

    def crop(self, image: RgbImage, size_px: int) -> RgbImage:
        """The square as an upright image; outside the image its border is repeated."""
        to_image = self.to_image(size_px)
        to_image[:, 2] += to_image[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV's pixel centres are integers
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, to_image, (size_px, size_px), flags=flags, borderMode=cv2.BORDER_REPLICATE)


class FaceLandmarker:
    """The three networks and the average face of one `.task` file. Not thread-safe.

    With 2 workers a face and its mirror image are looked at at the same time; the results are the same.
    """

    def __init__(self, path: Path, workers: int = 1) -> None:
        self._detector = _Network(path, "face_detector.tflite")
        self._mesh = _Network(path, "face_landmarks_detector.tflite")
        self._mirror_mesh = _Network(path, "face_landmarks_detector.tflite") if workers > 1 else self._mesh
        self._pool = ThreadPoolExecutor(1, "landmarks") if workers > 1 else None
        self._blendshapes = _Network(path, "face_blendshapes.tflite")
        self._anchors = _anchors()
        self.average = read_average_face(path)
        self._mirrored = mirrored_points(self.average)

    def faces(self, image: RgbImage, known: Sequence[Face] = ()) -> list[Face]:
        """The faces of an image that are not in the place of a `known` one, the largest first."""
        squares = sorted(self._detect(image), key=lambda square: -square.side_px)
        new = (square for square in squares if not any(_same_place(square, face) for face in known))
        return [face for square in new if (face := self._face(image, square)) is not None]

    def followed(self, image: RgbImage, face: Face) -> Face | None:
        """A face of the image before, in this one. Its old landmarks take the place of detector and first pass."""
        return self._refined(image, _square_of_points(face.points_px))

    def _detect(self, image: RgbImage) -> list[_Square]:
        height, width = image.shape[:2]
        full = _Square((width / 2, height / 2), max(height, width), 0.0)
        small = _letterboxed(image, full)
        boxes, logits = self._detector(small / 127.5 - 1)
        scores = 1 / (1 + np.exp(-logits[0, :, 0].clip(-80, 80)))
        values = boxes[0].reshape(-1, 8, 2) / _DETECTOR_PX  # centre, size, six key points
        values[:, [0, 2, 3, 4, 5, 6, 7]] += self._anchors[:, None]
        likely = scores >= _MIN_SCORE
        values, scores = values[likely] * full.side_px, scores[likely]
        values[:, [0, 2, 3, 4, 5, 6, 7]] += np.array([width, height]) / 2 - full.side_px / 2
        return [_square_of_detection(values[i]) for i in _suppress(values, scores)]

    def _face(self, image: RgbImage, square: _Square) -> Face | None:
        points, score = self._points(image, square)
        # A second pass on the crop of the first pass's landmarks, since the detector's box is coarse.
        return None if score < _MIN_SCORE else self._refined(image, _square_of_points(points))

    def _refined(self, image: RgbImage, square: _Square) -> Face | None:
        """The mean of the crop and the mirrored crop, since the network is not symmetric, which would bias yaw."""
        waiting = self._pool.submit(self._points, image, square, mirror=True) if self._pool else None
        seen, score = self._points(image, square)
        mirrored, _ = waiting.result() if waiting else self._points(image, square, mirror=True)
        points = (seen + mirrored) / 2
        if score < _MIN_SCORE:
            return None
        (weights,) = self._blendshapes(points[None, _BLENDSHAPE_POINTS, :2])
        expression = np.zeros(NUM_EXPRESSION, np.float32)
        expression[:51] = weights[1:].clip(0, 1)  # the first is `_neutral`; the network has no tongueOut
        return Face(points.astype(np.float32), expression, float(score))

    def _points(self, image: RgbImage, square: _Square, mirror: bool = False) -> tuple[Float[ndarray, "478 3"], float]:
        crop = square.crop(image, _MESH_PX)
        mesh, crop = (self._mirror_mesh, crop[:, ::-1]) if mirror else (self._mesh, crop)
        points, logit = mesh(crop / 255.0)[:2]
        points = points.reshape(NUM_POINTS, 3).astype(np.float64)
        if mirror:
            points = points[self._mirrored] * (-1, 1, 1) + (_MESH_PX, 0, 0)
        to_image = square.to_image(_MESH_PX)
        xy = points[:, :2] @ to_image[:, :2].T + to_image[:, 2]
        z = points[:, 2:] * (square.side_px / _MESH_PX)
        return np.hstack([xy, z]), float(1 / (1 + np.exp(-logit.item())))


class _Network:
    """One tflite part, one image at a time."""

    def __init__(self, path: Path, name: str) -> None:
        self._interpreter: Any = Interpreter(model_content=read_part(path, name), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]

    def __call__(self, values: ndarray) -> list[ndarray]:
        batch = values if values.ndim == len(self._interpreter.get_input_details()[0]["shape"]) else values[None]
        self._interpreter.set_tensor(self._input, batch.astype(np.float32))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def _letterboxed(image: RgbImage, full: _Square) -> RgbImage:
    """The full image, centred in a black square. Downscaled by area averaging."""
    height, width = image.shape[:2]
    scale = _DETECTOR_PX / full.side_px
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    out = np.zeros((_DETECTOR_PX, _DETECTOR_PX, 3), np.uint8)
    left, top = (_DETECTOR_PX - size[0]) // 2, (_DETECTOR_PX - size[1]) // 2
    out[top : top + size[1], left : left + size[0]] = small
    return out


def _anchors() -> Float[ndarray, "896 2"]:
    """Centres of the detector's anchors, as fractions of its input."""
    grids = []
    for cells, repeats in _DETECTOR_CELLS:
        middle = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
        grids.append(grid.repeat(repeats, axis=0))
    return np.concatenate(grids)


def _suppress(values: ndarray, scores: ndarray) -> list[int]:
    """Greedy non-maximum suppression of boxes given as rows (centre, size, ...)."""
    corners = np.hstack([values[:, 0] - values[:, 1] / 2, values[:, 0] + values[:, 1] / 2])
    areas = values[:, 1].prod(axis=1)
    kept: list[int] = []
    for i in np.argsort(-scores):
        low = np.maximum(corners[kept, :2], corners[i, :2])
        high = np.minimum(corners[kept, 2:], corners[i, 2:])
        shared = (high - low).clip(0).prod(axis=1)
        if (shared <= _MAX_OVERLAP * (areas[kept] + areas[i] - shared)).all():
            kept.append(int(i))
    return kept


def _square_of_detection(values: Float[ndarray, "8 2"]) -> _Square:
    right_eye, left_eye = values[2], values[3]
    return _square(values[0], float(values[1].max()) * _DETECTION_MARGIN, left_eye - right_eye)


def _square_of_points(points_px: Float[ndarray, "478 3"]) -> _Square:
    low, high = points_px[:, :2].min(axis=0), points_px[:, :2].max(axis=0)
    eye_line = points_px[_LEFT_EYE_OUTER, :2] - points_px[_RIGHT_EYE_OUTER, :2]
    return _square((low + high) / 2, float((high - low).max()) * _MESH_MARGIN, eye_line)


def _same_place(square: _Square, face: Face) -> bool:
    """Whether a detection's square shows this face."""
    known = _square_of_points(face.points_px)
    apart_px = float(np.hypot(*np.subtract(square.center_px, known.center_px)))
    return apart_px < _SAME_PLACE * known.side_px


def _square(center: ndarray, side_px: float, eye_line: ndarray) -> _Square:
    angle = float(np.arctan2(eye_line[1], eye_line[0]))
    return _Square((float(center[0]), float(center[1])), side_px, angle)
