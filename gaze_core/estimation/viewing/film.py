"""From rendered moments to what a camera delivers: frames with noise, blur, flicker, crops that jitter, lost frames.

Each frame of a fixation shows the same rendered moment, but has its own noise: what one frame cannot tell, the next may.
Crops are shifted and turned as by landmarks that err a little. The label follows: R is turned with the crop, so that
labels stay exact (pixels move by the homography of a turned pinhole camera, which is exact as well).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from pydantic import NonNegativeFloat, PositiveInt

from gaze_core.config import Config
from gaze_core.estimation.viewing.images import Images, RenderConfig
from gaze_core.estimation.viewing.labels import PATCHES, HeadPoints, Seen, see
from gaze_core.estimation.viewing.plan import TICK_HZ, Viewing
from gaze_core.estimation.viewing.setup import RATE_HZ, CameraName, Window
from gaze_core.geometry.rotations import matrix_from_axis_angle

Interval = tuple[NonNegativeFloat, NonNegativeFloat]


class FilmConfig(Config):
    """A camera and its normalisation. Pixels are those of the eye crops; the face's have as much noise and less blur."""

    noise: Interval = (8.0, 18.0)  # standard deviation at middle gray, of 255; one value for each recording
    noise_spread: NonNegativeFloat = 0.4  # of its logarithm, from frame to frame
    blur_px: Interval = (0.8, 1.7)
    blur_spread: NonNegativeFloat = 0.35
    brightness: Interval = (85.0, 140.0)  # mean of the face, of 255, to which the camera exposes
    flicker: NonNegativeFloat = 0.05  # share by which the mains' flicker changes the brightness
    dim_share: NonNegativeFloat = 0.2  # frames that are exposed in a dark phase: 0.6 of the light, twice the noise
    turn_deg: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat] = (0.08, 0.08, 0.4)  # errors of R: x, y, roll
    eye_off_px: NonNegativeFloat = 0.6  # by which each eye's crop misses its middle
    lost_share: NonNegativeFloat = 0.002  # frames that the camera does not deliver
    crf: PositiveInt = 26  # of x264: higher is worse


@dataclass(frozen=True, eq=False)
class FilmFrame:
    """One frame: its pictures and the moment as the (slightly wrong) normalisation sees it."""

    tick: int
    moment: int
    seen: Seen
    windows: dict[str, Window]
    face: UInt8[ndarray, "f f 3"]
    eyes: UInt8[ndarray, "e w 3"]  # left half: the subject's right eye, as in EVE


class Film:
    """The frames of a recording, one after the other."""

    def __init__(
        self, images: Images, viewing: Viewing, points: HeadPoints, camera: CameraName, render: RenderConfig,
        config: FilmConfig, seed: int,
    ) -> None:  # fmt: skip
        self._images, self._viewing, self._render, self._config = images, viewing, render, config
        self._seen = [see(moment, points, camera) for moment in viewing.moments]
        self._rng = np.random.default_rng([seed, 11])
        step = TICK_HZ // RATE_HZ[camera]
        delivered = self._rng.random(viewing.num_ticks) >= config.lost_share
        delivered[0] = True
        self.ticks: Int[ndarray, " n"] = np.flatnonzero(delivered & (np.arange(viewing.num_ticks) % step == 0))
        self._noise = self._rng.uniform(*config.noise)
        self._blur = self._rng.uniform(*config.blur_px)
        self._exposure = self._rng.uniform(*config.brightness) / _mean_face(images) * self._rng.normal(1, 0.03, 3)
        self._beat = self._rng.uniform([0.5, 0], [8, 2 * np.pi])  # mains against shutter: Hz, phase
        self._walls = self._rng.uniform(20, 190, (2, 1)) + self._rng.normal(0, 12, (2, 3))
        self._error = np.zeros(7)

    def frames(self) -> Iterator[FilmFrame]:
        """One for each tick that the camera delivers."""
        for tick in self.ticks:
            yield self._frame(int(tick))

    def _frame(self, tick: int) -> FilmFrame:
        config, rng = self._config, self._rng
        # Landmarks err anew in each frame, and a little as in the one before.
        spread = np.array([*np.deg2rad(config.turn_deg), *[config.eye_off_px] * 4])
        self._error = 0.5 * self._error + np.sqrt(0.75) * spread * rng.normal(size=7)
        limits = np.array([*np.deg2rad([0.3, 0.3, 1.5]), *[2.0] * 4])
        error = np.clip(self._error, -limits, limits)
        moment = int(self._viewing.moment_of[tick])
        exact = self._seen[moment]
        seen = exact.turned(_turn(error[:3]))
        off = {"face": (0.0, 0.0), "left": tuple(error[3:5]), "right": tuple(error[5:7])}
        windows, pictures = {}, {}
        light, noise, blur = self._shutter(tick)
        for patch in PATCHES:
            side = self._render.face_px if patch == "face" else self._render.eye_px
            windows[patch] = seen.window(patch, side, off[patch])  # type: ignore[arg-type]
            rendered = self._on_wall(self._images[patch][moment])
            source = self._render.window(exact, patch)
            moved = _moved(rendered, source, exact.rotation, windows[patch], seen.rotation)
            pictures[patch] = self._exposed(moved, light, noise, blur * (0.5 if patch == "face" else 1.0))
        eyes = np.concatenate([pictures["right"], pictures["left"]], axis=1)
        return FilmFrame(tick, moment, seen, windows, pictures["face"], eyes)

    def _shutter(self, tick: int) -> tuple[Float[ndarray, "3"], float, float]:
        """Brightness by colour, noise and blur of one frame."""
        config, rng = self._config, self._rng
        rate, phase = self._beat
        light = self._exposure * (1 + config.flicker * np.sin(2 * np.pi * rate * tick / TICK_HZ + phase))
        noise = self._noise * np.exp(config.noise_spread * rng.normal())
        if rng.random() < config.dim_share:
            light, noise = 0.6 * light, 2.0 * noise
        return light * rng.normal(1, 0.02), float(noise), float(self._blur * np.exp(config.blur_spread * rng.normal()))

    def _on_wall(self, rgba: UInt8[ndarray, "h w 4"]) -> Float[ndarray, "h w 3"]:
        top, bottom = self._walls
        alpha = rgba[..., 3:].astype(np.float32) / 255
        rows = np.linspace(0, 1, len(rgba), dtype=np.float32)[:, None, None]
        return np.asarray(alpha * rgba[..., :3] + (1 - alpha) * ((1 - rows) * top + rows * bottom), dtype=np.float32)

    def _exposed(
        self, picture: Float[ndarray, "h w 3"], light: Float[ndarray, "3"], noise: float, blur_px: float
    ) -> UInt8[ndarray, "h w 3"]:
        """Lens, light and sensor: the noise has a constant part and one that grows with the root of the light."""
        sharp = cv2.GaussianBlur(picture, (0, 0), max(blur_px, 0.05)) * light
        spread = noise * np.sqrt(0.4 + 0.6 * np.clip(sharp, 0, 255) / 128)
        grain = self._rng.standard_normal(sharp.shape, dtype=np.float32)
        return np.asarray(np.clip(sharp + spread * grain + 0.5, 0, 255).astype(np.uint8))


def _mean_face(images: Images) -> float:
    face = images["face"][: 1 + len(images["face"]) // 4]
    seen = face[..., 3] > 127
    return max(1.0, float(face[..., :3][seen].mean())) if seen.any() else 128.0


def _turn(rotation_vector: Float[ndarray, "3"]) -> Float[ndarray, "3 3"]:
    return np.asarray(matrix_from_axis_angle(torch.as_tensor(rotation_vector)).numpy())


def _moved(
    picture: Float[ndarray, "h w 3"], source: Window, source_rotation: Float[ndarray, "3 3"], target: Window,
    target_rotation: Float[ndarray, "3 3"],
) -> Float[ndarray, "h w 3"]:  # fmt: skip
    """The picture of a window as a turned camera at the same place shows it in another window."""
    between = target.intrinsics_px @ target_rotation @ source_rotation.T @ np.linalg.inv(source.intrinsics_px)
    half = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])  # OpenCV's pixel centres are integers
    side = target.size_px
    return np.asarray(
        cv2.warpPerspective(
            picture, half @ between @ np.linalg.inv(half), (side, side), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )  # fmt: skip
