"""The eyes of one face of a picture, redirected by a one-shot redirector and put back into the picture.

The face is normalised as the model was trained (STED's view at 256 px), the band of the eyes is made once for the wanted gaze
and once for the gaze that the picture has. Where both agree the picture's own pixels stay, with their detail, and only
the difference is added; where they differ (iris, lids) the made pixels are taken, in the picture's own colours. All is
weighted by a feathered mask of both eyes; outside of it every pixel is the picture's own.

Angles are `[pitch, yaw]`, radians. "Toward the face" is the frame of the picture's camera turned toward the face, without
roll, in which (0, 0) looks into the lens (`preprocess/eye_paste.py`).
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from pydantic import Field, PositiveFloat

from gaze_core.config import Config
from gaze_core.data.adapters.angles import camera_vector, direction, face_head_pose
from gaze_core.geometry.normalization import Normalization, NormalizationConfig, face_center_m, normalize
from gaze_core.one_shot.band import BAND_PX, FACE_PX, Band, cut_band, feathered
from gaze_core.one_shot.checkpoints import Redirector
from gaze_core.one_shot.objective import PairTensors, make_bands
from gaze_core.one_shot.samples import band_tensor
from gaze_core.preprocess.eye_paste import frontal_view
from gaze_core.preprocess.face_mesh import IBUG_68, LID_MIDDLES
from gaze_core.preprocess.iris_gaze import MIN_OPENNESS, eyes_open
from gaze_core.preprocess.labels import warp
from gaze_core.preprocess.landmark_gaze import LandmarkGaze
from gaze_core.preprocess.posed_face import PosedFace

STED_VIEW = NormalizationConfig(focal_px=1000.0, distance_m=0.60, size_px=FACE_PX, face_center="eyes_mouth")
_FULLY_OPEN = MIN_OPENNESS + 0.07
_CORNERS = ((33, 133), (362, 263))


class FadeConfig(Config):
    """From which angle on a change fades, and where nothing is changed any more; degrees."""

    gaze_start_deg: PositiveFloat = Field(25, description="of the wanted gaze from straight ahead of the head")
    gaze_end_deg: PositiveFloat = 35
    head_start_deg: PositiveFloat = Field(20, description="of the head from the camera")
    head_end_deg: PositiveFloat = 32

    def share(self, gaze_head: Float[ndarray, "2"], head: Float[ndarray, "2"]) -> float:
        """1: the whole change; 0: none."""
        gaze_deg, head_deg = (float(np.rad2deg(np.hypot(*angles))) for angles in (gaze_head, head))
        return _falling(gaze_deg, self.gaze_start_deg, self.gaze_end_deg) * _falling(
            head_deg, self.head_start_deg, self.head_end_deg
        )


class PaintConfig(Config):
    """How the eyes are put back."""

    fade: FadeConfig = FadeConfig()
    feather_px: PositiveFloat = 6.0  # of the band
    own_below: PositiveFloat = 0.02  # change of colour below which the picture's own pixels stay, of 1
    made_above: PositiveFloat = 0.07  # and above which the made ones are taken
    color_blur_px: PositiveFloat = 7.0  # of the band: how locally made colours follow the picture's


@dataclass(frozen=True, eq=False)
class Painted:
    """A picture whose eyes were redirected, or why they were not."""

    image: UInt8[ndarray, "h w 3"]
    changed: Bool[ndarray, "h w"]
    share: float  # of the change, 1: all of it
    left_alone: str = ""
    made: Float[ndarray, "2 64 192 3"] | None = None  # for the wanted gaze and for the picture's own, of 1


@dataclass(frozen=True, eq=False)
class _Target:
    """One face, ready to be made."""

    view: Normalization
    band: Band
    wanted: Float[ndarray, "2"]  # in the normalised camera's frame
    own: Float[ndarray, "2"]
    head: Float[ndarray, "2"]
    share: float


def paint_eyes(
    loaded: Redirector, posed: PosedFace, gaze: Float[ndarray, "2"], config: PaintConfig,
    before: Float[ndarray, "2 64 192 3"] | None = None, keep: float = 0.0,
) -> Painted:  # fmt: skip
    """The picture with both eyes looking along `gaze` (toward the face).

    Args:
        loaded: the redirector.
        posed: the picture with its face; it must not have been enlarged.
        gaze: where to look.
        config: fading and blending.
        before: what was made for the frame before, of a video.
        keep: share of `before` in what is made: a temporal filter.
    """
    nothing = np.zeros(posed.image.shape[:2], bool)
    openness = _openness(posed)
    if not all(eyes_open(posed.face.points_px, posed.face.expression)):
        return Painted(posed.image, nothing, 0.0, "closed eyes")
    target = _target(posed, gaze, config)
    share = target.share * float(np.clip((openness - MIN_OPENNESS) / (_FULLY_OPEN - MIN_OPENNESS), 0, 1))
    if share <= 0:
        return Painted(posed.image, nothing, 0.0, "gaze or head beyond the limits")
    made = _made(loaded, target)
    if before is not None:
        made = (1 - keep) * made + keep * before
    image, changed = _put_back(posed.image, replace(target, share=share), made, config)
    return Painted(image, changed, share, made=made)


def _target(posed: PosedFace, gaze: Float[ndarray, "2"], config: PaintConfig) -> _Target:
    center_m = posed.pose.to_camera(face_center_m(posed.head.points_m[list(IBUG_68)], STED_VIEW.face_center))
    view = normalize(posed.intrinsics_px, center_m, posed.pose.rotation, STED_VIEW)
    face = warp(posed.image, view, (FACE_PX, FACE_PX))
    points = view.points_px(posed.face.points_px[list(IBUG_68), :2].astype(np.float64))
    head_to_view = view.rotation @ posed.pose.rotation
    wanted = camera_vector(view.rotation @ frontal_view(posed).rotation.T @ direction(gaze))
    read = LandmarkGaze.load().read(posed.face, posed.pose, posed.head, posed.intrinsics_px)
    own = camera_vector(head_to_view @ direction(np.asarray(read.gaze_head)))
    head = face_head_pose(head_to_view)
    share = config.fade.share(camera_vector(head_to_view.T @ direction(wanted)), head)
    return _Target(view, cut_band(face, points), wanted, own, head, share)


@torch.no_grad()
def _made(loaded: Redirector, target: _Target) -> Float[ndarray, "2 64 192 3"]:
    """The band for the wanted gaze and for the picture's own. The picture itself is the reference: its eyes look elsewhere."""
    device = next(loaded.model.parameters()).device
    band = band_tensor(target.band.image[None]).expand(2, -1, -1, -1).to(device)
    mask = torch.from_numpy(target.band.mask)[None, None].float().div(255).expand(2, -1, -1, -1).to(device)
    gaze = torch.from_numpy(np.stack([target.wanted, target.own])).float().to(device)
    head = torch.from_numpy(np.stack([target.head, target.head])).float().to(device)
    apart = torch.zeros(2, dtype=torch.bool, device=device)
    made = make_bands(loaded.model, loaded.autoencoder, PairTensors(band, band, mask, mask, apart, gaze, head))
    return made.clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()


def _put_back(
    image: UInt8[ndarray, "h w 3"], target: _Target, made: Float[ndarray, "2 64 192 3"], config: PaintConfig
) -> tuple[UInt8[ndarray, "h w 3"], Bool[ndarray, "h w"]]:
    wanted, own = made[0].astype(np.float32), made[1].astype(np.float32)
    recorded = target.band.image.astype(np.float32) / 255
    change = cv2.GaussianBlur(np.abs(wanted - own).max(axis=-1), (0, 0), 2.0)
    ramp = np.clip((change - config.own_below) / (config.made_above - config.own_below), 0, 1)
    replaced = ramp * ramp * (3 - 2 * ramp)
    colored = wanted + cv2.GaussianBlur(recorded - own, (0, 0), config.color_blur_px)
    weight = target.share * feathered(target.band.mask, config.feather_px)
    maps = np.dstack([colored, wanted - own, replaced, weight]).astype(np.float32)
    left, top = target.band.origin_px
    to_image = np.linalg.inv(target.view.warp) @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1.0]])
    (x0, y0, x1, y1) = _box(to_image, image.shape[:2])
    # OpenCV's pixel centres are integers, ours are at +0.5.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    shift = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1.0]])
    homography = np.linalg.inv(half) @ shift @ to_image @ half
    size = (x1 - x0, y1 - y0)
    parts = [cv2.warpPerspective(maps[..., c], homography, size, flags=cv2.INTER_CUBIC) for c in range(7)]
    parts.append(cv2.warpPerspective(maps[..., 7], homography, size, flags=cv2.INTER_LINEAR))
    large = np.dstack(parts)
    share = np.clip(large[..., 6:7], 0, 1)
    place = image[y0:y1, x0:x1].astype(np.float32) / 255
    new = share * large[..., :3] + (1 - share) * (place + large[..., 3:6])
    alpha = np.clip(large[..., 7:8], 0, 1)
    touched = alpha[..., 0] > 0
    result, changed = image.copy(), np.zeros(image.shape[:2], bool)
    blended = ((place + alpha * (new - place)) * 255).round().clip(0, 255).astype(np.uint8)
    result[y0:y1, x0:x1][touched] = blended[touched]
    changed[y0:y1, x0:x1] = touched
    return result, changed


def _box(to_image: Float[ndarray, "3 3"], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a picture of (height, width) that a band covers: left, top, right, bottom."""
    width, height = BAND_PX
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1.0]]) @ to_image.T
    points = corners[:, :2] / corners[:, 2:]
    low = np.clip(np.floor(points.min(axis=0)), 0, size[::-1]).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)), 0, size[::-1]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _openness(posed: PosedFace) -> float:
    """Lid distance over eye width of the eye that is less open."""
    points = posed.face.points_px[:, :2]
    values = [
        float(np.linalg.norm(points[upper] - points[lower]) / np.linalg.norm(points[outer] - points[inner]))
        for (upper, lower), (outer, inner) in zip((LID_MIDDLES.left, LID_MIDDLES.right), _CORNERS[::-1], strict=True)
    ]
    return min(values)


def _falling(value: float, start: float, end: float) -> float:
    """1 up to `start`, 0 from `end` on."""
    return float(np.clip((end - value) / max(end - start, 1e-9), 0, 1))
