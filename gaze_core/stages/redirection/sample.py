"""Stage: renders a trained head at target gazes and poses: single images, a contact sheet and a video."""

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch
from gaze_core.data.subjects import SUBJECT_FILE, SubjectDataset
from gaze_core.errors import BadInput
from gaze_core.evaluation.report_renderings import PitchYawDeg, facing_pose
from gaze_core.models.redirection.gaze_gaussian import GazeGaussian
from gaze_core.reports.images import content_box
from gaze_core.reproducibility import choose_device
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.redirection import gaze_gaussian
from gaze_core.stages.redirection.evaluate import render_rgb

NAME, VERSION = "sample", 1
SHEET_FILE, VIDEO_FILE = "contact_sheet.png", "gaze_sweep.mp4"
_GAP_PX, _MAX_DEG = 4, 60.0


class SampleConfig(Config):
    """What is rendered. Gazes are `[pitch, yaw]` degrees in the head frame, poses in the camera frame."""

    frame: NonNegativeInt = 0  # index of the usable frame that gives the head's expression and position
    gazes_deg: tuple[PitchYawDeg, ...] = Field(
        ((0.0, 0.0), (0.0, 25.0), (0.0, -25.0), (15.0, 0.0), (-15.0, 0.0)), min_length=1
    )
    poses_deg: tuple[PitchYawDeg, ...] = Field(((0.0, -20.0), (0.0, 0.0), (0.0, 20.0)), min_length=1)
    sweep_deg: PitchYawDeg = (15.0, 25.0)  # amplitudes of the video's gaze, pitch and yaw
    sweep_s: PositiveFloat = 4.0
    frames_per_s: PositiveInt = 25


def run(config: SampleConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Renders the head of `inputs["data"]` with `inputs["checkpoint"]`: a PNG for each gaze and pose, a sheet, a video.

    Raises:
        BadInput: there is no such frame, its size is not what the checkpoint renders, or an angle is beyond 60 degrees.
    """
    _require_angles(config)
    model, _ = gaze_gaussian.load(inputs["checkpoint"])
    model = model.to(choose_device(context.runtime))
    dataset = SubjectDataset(inputs["data"] / SUBJECT_FILE)
    gaze_gaussian.require_image_px(model, dataset)
    if config.frame >= len(dataset):
        raise BadInput(f"frame {config.frame}: the recording has {len(dataset)} usable frames, from 0")
    original = dataset.batch([config.frame]).to(next(model.parameters()).device)
    pairs = list(product(config.poses_deg, config.gazes_deg))
    images = render(model, original, [gaze for _, gaze in pairs], [pose for pose, _ in pairs])
    files = {}
    for ((pose_pitch, pose_yaw), (pitch, yaw)), image in zip(pairs, images, strict=True):
        name = f"head_{_name(pose_pitch, pose_yaw)}_gaze_{_name(pitch, yaw)}.png"
        files[name] = _write(context.work_dir / name, image)
    sheet = contact_sheet(images.reshape(len(config.poses_deg), len(config.gazes_deg), *images.shape[1:]))
    files[SHEET_FILE] = _write(context.work_dir / SHEET_FILE, sheet)
    video = render(model, original, sweep(config), None)
    files[VIDEO_FILE] = write_video(context.work_dir / VIDEO_FILE, video, config.frames_per_s)
    return Produced(kind="report", files=files)


def _name(pitch_deg: float, yaw_deg: float) -> str:
    """Both angles with all their digits, so that no two images have the same name."""
    return "_".join(f"{angle + 0.0:+}".removesuffix(".0") for angle in (pitch_deg, yaw_deg))  # + 0.0: no -0


def _require_angles(config: SampleConfig) -> None:
    for angles in (*config.gazes_deg, *config.poses_deg, config.sweep_deg):
        if not all(abs(angle) <= _MAX_DEG for angle in angles):
            raise BadInput(f"{angles[0]:g},{angles[1]:g}: pitch and yaw lie within {_MAX_DEG:g} degrees")


def render(
    model: GazeGaussian, original: GazeBatch, gazes_deg: list[PitchYawDeg], poses_deg: list[PitchYawDeg] | None
) -> np.ndarray:
    """uint8 images (n, h, w, 3) of one sample's head, one for each gaze and, if given, pose."""
    images = []
    for n, gaze_deg in enumerate(gazes_deg):
        head = original.head.with_gaze(_radians(gaze_deg, original))
        if poses_deg is not None:
            head = head.with_pose(facing_pose(original.camera, head, _radians(poses_deg[n], original)))
        image = render_rgb(model, original.camera, head)[0].permute(1, 2, 0).clamp(0, 1)
        images.append((image * 255).round().byte().cpu().numpy())
    return np.stack(images)


def _radians(angles_deg: PitchYawDeg, like: GazeBatch) -> Float[Tensor, "1 2"]:
    return torch.deg2rad(like.gaze_head.new_tensor([angles_deg]))


def sweep(config: SampleConfig) -> list[PitchYawDeg]:
    """Target gazes of the video: once to both sides and back, then once up and down and back; it can be looped."""
    count = max(2, round(config.sweep_s * config.frames_per_s))
    turn = 4 * np.pi * np.arange(count) / count
    pitch_deg, yaw_deg = config.sweep_deg
    sideways = turn < 2 * np.pi
    return [
        (0.0, yaw_deg * float(np.sin(t))) if side else (pitch_deg * float(np.sin(t)), 0.0)
        for t, side in zip(turn, sideways, strict=True)
    ]


def contact_sheet(images: np.ndarray) -> np.ndarray:
    """Images (rows, columns, h, w, 3) side by side on white, cropped to one box around the heads."""
    rows, columns = content_box(images)
    cropped = images[:, :, rows, columns]
    padded = np.pad(cropped, ((0, 0), (0, 0), (0, _GAP_PX), (0, _GAP_PX), (0, 0)), constant_values=255)
    return np.concatenate(list(np.concatenate(list(padded.transpose(1, 0, 2, 3, 4)), axis=2)), axis=0)


def _write(path: Path, image: np.ndarray) -> Path:
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())
    return path


def write_video(path: Path, images: np.ndarray, frames_per_s: int) -> Path:
    """An MPEG-4 video of uint8 images (n, h, w, 3).

    Raises:
        BadInput: this build of OpenCV cannot write MPEG-4.
    """
    size_px = (images.shape[2], images.shape[1])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), frames_per_s, size_px)
    if not writer.isOpened():
        raise BadInput(f"{path}: OpenCV cannot write MPEG-4 here; install opencv-python-headless from its own wheels")
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path
