"""The plan of a synthetic drive: where the driver looks, how the head follows, when the driver blinks. Seeded and exact.

Cabin frame: the head frame of a driver who faces straight ahead (x the driver's left, y down, z backward), so angles
follow `geometry/angles.py`: yaw > 0 is to the driver's right. The car is left-hand drive; its camera stands on the
dashboard, to the right of the wheel. The driver wears an eye tracker that sits a little askew.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from gaze_core.config import Config
from gaze_core.data.schema import ARKIT
from gaze_core.driver.calibration import angles, directions
from gaze_core.synthesis.factory import pose_matrix
from gaze_core.synthesis.head import lid_actions
from gaze_core.synthesis.scene import LightName

# Gaze targets: [pitch, yaw] and their spreads in degrees, distance in metres.
TARGETS = {
    "road":            (0, 0, 1.5, 4.0, 30.0),
    "left lane":       (0, -13, 1.5, 3.0, 25.0),
    "right lane":      (0, 13, 1.5, 3.0, 25.0),
    "rear mirror":     (10, 30, 1.0, 1.5, 0.75),
    "left mirror":     (-9, -38, 1.2, 1.5, 0.9),
    "right mirror":    (-7, 48, 1.2, 2.0, 1.6),
    "instruments":     (-19, 0, 2.0, 3.0, 0.8),
    "console":         (-24, 24, 2.5, 3.0, 0.8),
    "left junction":   (0, -32, 2.0, 6.0, 20.0),
    "right junction":  (0, 36, 2.0, 6.0, 20.0),
}  # fmt: skip

# Ten scenarios: light, exposure, and how often each target is looked at (what is left goes to the road).
SCENARIOS: dict[str, tuple[LightName, float, dict[str, float]]] = {
    "motorway":        ("window", 1.00, {"rear mirror": 0.15, "left mirror": 0.1, "instruments": 0.15}),
    "lane change":     ("window", 0.95, {"left mirror": 0.3, "rear mirror": 0.2, "left lane": 0.2}),
    "city":            ("office", 0.90, {"left lane": 0.15, "right lane": 0.15, "instruments": 0.15, "rear mirror": 0.1}),
    "left turn":       ("office", 1.00, {"left junction": 0.4, "left mirror": 0.15, "right junction": 0.15}),
    "right turn":      ("studio", 1.00, {"right junction": 0.4, "right mirror": 0.2, "left junction": 0.15}),
    "roundabout":      ("studio", 0.90, {"left junction": 0.35, "right lane": 0.2, "right mirror": 0.1}),
    "phone call":      ("window", 0.80, {"console": 0.35, "instruments": 0.15}),
    "parking":         ("office", 0.75, {"right mirror": 0.25, "left mirror": 0.25, "rear mirror": 0.2}),
    "dusk":            ("studio", 0.55, {"instruments": 0.2, "rear mirror": 0.15, "left lane": 0.15}),
    "traffic jam":     ("window", 0.70, {"console": 0.2, "right lane": 0.2, "left lane": 0.2, "instruments": 0.1}),
}  # fmt: skip

MOUNT_DEG = (-6.0, 4.0, 2.0)  # pitch, yaw, roll of the tracker's scene camera on the head
CAMERA_DEG, CAMERA_M = (-9.0, 22.0), 0.66  # direction of the camera from the driver's eyes, and its distance
_MAX_EYE_DEG = (20.0, 30.0)  # pitch and yaw that the eyes turn before the head helps


class DriveConfig(Config):
    """A synthetic drive. Equal configurations give equal images and tables."""

    identity_seed: NonNegativeInt = 77
    seed: NonNegativeInt = 0
    num_keys: PositiveInt = 900  # rendered images
    frames_per_key: PositiveInt = 6  # video frames that show the same rendered image
    frames_per_s: PositiveInt = 30
    tracker_hz: PositiveInt = 200
    tracker_noise_deg: NonNegativeFloat = 0.6  # of one row
    blink_share: NonNegativeFloat = 0.04
    fixation_s: PositiveFloat = 0.9  # mean
    head_px: PositiveInt = 192  # side of the rendered part of the driver's tile
    num_samples: PositiveInt = 8  # light paths per pixel

    @property
    def num_frames(self) -> int:
        """Length of the video."""
        return self.num_keys * self.frames_per_key


@dataclass(frozen=True, eq=False)
class DriveMoment:
    """One rendered image and its exact labels."""

    scenario: str
    target: str
    light: LightName
    exposure: float
    head_to_cabin: Float[ndarray, "4 4"]
    gaze_head_eyes: Float[ndarray, "2 2"]  # (left, right) x [pitch, yaw] rad
    blink: bool
    target_m: Float[ndarray, "3"]  # cabin frame

    @property
    def gaze_head(self) -> Float[ndarray, "2"]:
        """Mean of both eyes, `[pitch, yaw]` rad, head frame."""
        return np.asarray(self.gaze_head_eyes.mean(axis=0))

    @property
    def tracker(self) -> Float[ndarray, "2"]:
        """The eye tracker's noise-free measurement: `[elevation, azimuth]` rad."""
        return angles(mount_matrix().T @ directions(self.gaze_head))

    @property
    def expression(self) -> Float[ndarray, "52"]:
        """ARKit coefficients of the lids."""
        actions = lid_actions(self.gaze_head_eyes, float(np.deg2rad(25.0)))
        if self.blink:
            actions |= {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
        return np.array([actions.get(name, 0.0) for name in ARKIT])


def mount_matrix() -> Float[ndarray, "3 3"]:
    """Rotation of the tracker to the head (see `calibration.py`)."""
    pitch, yaw, roll = np.deg2rad(MOUNT_DEG)
    return np.asarray(pose_matrix(np.array([pitch, yaw, roll]), np.zeros(3))[:3, :3])


def camera_extrinsics() -> Float[ndarray, "4 4"]:
    """Cabin to the driver camera, which looks at the eyes of a driver at rest, without roll."""
    place = CAMERA_M * directions(np.deg2rad(CAMERA_DEG))
    forward = -place / np.linalg.norm(place)
    right = np.cross([0.0, 1, 0], forward)
    right /= np.linalg.norm(right)
    out = np.eye(4)
    out[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    out[:3, 3] = -out[:3, :3] @ place
    return out


def plan_drive(config: DriveConfig, eye_centers_m: Float[ndarray, "2 3"]) -> list[DriveMoment]:
    """All moments in order; each scenario takes an equal part of the drive."""
    rng = np.random.default_rng([config.seed, config.identity_seed])
    step_s = config.frames_per_key / config.frames_per_s
    moments: list[DriveMoment] = []
    head, drift = np.zeros(2), np.zeros(6)
    left_s, target, aim, share = 0.0, "road", np.zeros(3), np.zeros(2)
    for key in range(config.num_keys):
        scenario = list(SCENARIOS)[key * len(SCENARIOS) // config.num_keys]
        if left_s <= 0:
            target, aim = _next_target(rng, scenario)
            share, left_s = rng.uniform([0.2, 0.25], [0.5, 0.7]), rng.exponential(config.fixation_s - 0.2) + 0.2
        left_s -= step_s
        # The head covers two thirds of the way to the target in each step, and drifts a little.
        head += (share * angles(aim) - head) * (1 - np.exp(-step_s / 0.18))
        drift += 0.35 * (rng.normal(0, [2, 3, 1.5, 0.008, 0.006, 0.008]) - drift)
        moments.append(_moment(rng, config, scenario, target, aim, head, drift, eye_centers_m))
    return moments


def _next_target(rng: np.random.Generator, scenario: str) -> tuple[str, Float[ndarray, "3"]]:
    weights = SCENARIOS[scenario][2]
    names = [*weights, "road"]
    name = str(rng.choice(names, p=[*weights.values(), 1 - sum(weights.values())]))
    pitch, yaw, pitch_spread, yaw_spread, distance_m = TARGETS[name]
    direction = np.deg2rad(rng.normal([pitch, yaw], [pitch_spread, yaw_spread]))
    return name, distance_m * directions(direction)


def _moment(
    rng: np.random.Generator, config: DriveConfig, scenario: str, target: str, aim: Float[ndarray, "3"],
    head: Float[ndarray, "2"], drift: Float[ndarray, "6"], eye_centers_m: Float[ndarray, "2 3"],
) -> DriveMoment:  # fmt: skip
    wanted = angles(aim)
    limit = np.deg2rad(_MAX_EYE_DEG)
    turned = np.clip(head + np.deg2rad(drift[:2]), wanted - limit, wanted + limit)
    pose = pose_matrix(np.array([*turned, np.deg2rad(drift[2])]), drift[3:])
    fixation = aim + np.linalg.norm(aim) * np.deg2rad(0.4) * rng.normal(size=3)
    in_head = pose[:3, :3].T @ (fixation - pose[:3, 3])
    light, exposure, _ = SCENARIOS[scenario]
    return DriveMoment(
        scenario, target, light, exposure, pose, angles(in_head - eye_centers_m),
        bool(rng.random() < config.blink_share), fixation,
    )  # fmt: skip
