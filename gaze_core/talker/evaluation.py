"""Measures a talking head on held-out time: pictures by region, mouth and sound, eyes and lids, speed."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from gaze_core.config import Config
from gaze_core.evaluation.judge import Judge
from gaze_core.evaluation.metric_networks import MetricNetworkName
from gaze_core.evaluation.metrics import psnr_db, ssim
from gaze_core.evaluation.perceptual import StLpips
from gaze_core.evaluation.readers import ReaderName
from gaze_core.machine import cpu_name
from gaze_core.preprocess.landmarks import FaceLandmarker
from gaze_core.talker import metrics
from gaze_core.talker.driving import RATE_HZ, SOUND_HZ, Driving, generate, held_out
from gaze_core.talker.person_reader import PersonReader, thinned
from gaze_core.talker.report import MODEL, NEAREST, OTHER_AUDIO, REFINED, Speed, as_numbers

Frames = UInt8[ndarray, "t h w 3"]
Renders = Callable[[Driving, Int[ndarray, " n"] | None], Frames]
"""Frames of a driving signal, or of these of its frames; torso and background are drawn behind the head."""
_HEAD_PX, _LIPS_PX, _EYES_PX = (96, 96), (48, 64), (48, 64)  # heights and widths of the crops for SSIM and ST-LPIPS
_FITTED_FRAMES = 400
_TURN_FOR_M = 0.05  # metres that count as much as a turn by one radian when poses are compared


class TalkerEvaluateConfig(Config):
    """What is measured beside the pictures, and on how many frames."""

    networks: tuple[MetricNetworkName, ...] = ()
    readers: tuple[ReaderName, ...] = ()  # of gaze, beside this person's own reader
    landmarks: bool = True  # read the mouth with the face landmark model, if that is on this machine
    most_frames: PositiveInt = 250  # of held-out time, from its beginning
    audio_shifts: PositiveInt = 3  # other times whose sound is heard in place of the right one
    sweep_frames: PositiveInt = 8
    batch: PositiveInt = 8
    seed: NonNegativeInt = 0
    num_shown: PositiveInt = 5


class Recorded(Protocol):
    """What an evaluation reads of a talker subject (`subject.py`), beyond what drives (`driving.Driver`)."""

    audio: Float[ndarray, "n w c"]
    viewmat: Float[ndarray, "n 4 4"]
    blink: Float[ndarray, "n 2"]
    brows: Float[ndarray, "n 3"]
    gaze_head_rad: Float[ndarray, "n 2"]
    valid: Bool[ndarray, " n"]
    split: UInt8[ndarray, " n"]
    frame_id: Int[ndarray, " n"]
    mouth_open: Float[ndarray, " n"]
    landmarks_px: Float[ndarray, "n 478 2"]
    labels: UInt8[ndarray, "n h w"]

    @property
    def eye_centres_m(self) -> Float[ndarray, "2 3"]:
        """(left, right) eyeball in the head frame."""
        ...

    def images(self, rows: Int[ndarray, " k"]) -> UInt8[ndarray, "k h w 3"]:
        """The recorded frames of these rows."""
        ...


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out time: T frames as they were recorded, and the sound of each."""

    subject: Recorded
    driving: Driving
    rows: Int[ndarray, " t"]
    recorded: Frames
    points: Float[ndarray, "t 478 2"]
    loudness_db: Float[ndarray, " t"]
    train_rows: Int[ndarray, " r"]

    @classmethod
    def of(cls, subject: Recorded, sound: Float[ndarray, " s"] | None, most: int) -> "HeldOut":
        """The first `most` frames of held-out time. Frames without a face are there, but not measured.

        Raises:
            BadInput: nothing is held out.
        """
        driving = held_out(subject, sound)
        driving = driving.first(min(most, len(driving)))
        rows = np.flatnonzero(subject.split == 1)[: len(driving)]
        heard = np.zeros(0) if driving.sound is None else driving.sound
        return cls(
            subject, driving, rows, subject.images(rows), subject.landmarks_px[driving.torso_frame].astype(np.float64),
            metrics.loudness_db(heard, len(rows), RATE_HZ, SOUND_HZ),
            np.flatnonzero((subject.split == 0) & subject.valid),
        )  # fmt: skip

    @property
    def valid(self) -> Bool[ndarray, " t"]:
        """Whether each frame has a face."""
        return np.asarray(self.subject.valid[self.rows])

    @property
    def digest(self) -> str:
        """Names the frames and their content."""
        total = hashlib.sha256(self.subject.frame_id[self.rows].astype(np.int64).tobytes())
        total.update(np.ascontiguousarray(self.recorded).tobytes())
        return total.hexdigest()[:12]

    def person_reader(self) -> PersonReader:
        """Fitted to training frames; lids that are closed show no gaze."""
        rows = thinned(self.train_rows, _FITTED_FRAMES)
        one = self.subject
        blink = one.blink[rows].mean(axis=1)
        gaze = np.where(blink[:, None] > 0.4, np.nan, one.gaze_head_rad[rows])
        return PersonReader(
            one.images(rows), one.landmarks_px[rows].astype(np.float64), one.mouth_open[rows], blink, gaze
        )

    def nearest_training_frames(self) -> Frames:
        """For each frame the training frame whose head lies and faces most alike."""
        poses = self.subject.viewmat[self.train_rows]
        chosen = [
            int(np.argmin(
                np.linalg.norm((poses[:, :3, :3] - view[:3, :3]).reshape(len(poses), 9), axis=1)
                + np.linalg.norm(poses[:, :3, 3] - view[:3, 3], axis=1) / _TURN_FOR_M
            ))
            for view in self.driving.viewmat
        ]  # fmt: skip
        return self.subject.images(self.train_rows[chosen])


@dataclass(frozen=True, eq=False)
class Rendered:
    """Frames of held-out time under each condition."""

    frames: Mapping[str, Frames]
    other_eyes: Frames  # the held-out sound and poses with generated eyes
    other_driving: Driving
    speed: Speed


@dataclass(frozen=True, eq=False)
class Tools:
    """Networks that measure, or why one is missing."""

    st_lpips: StLpips | None = None
    landmarker: FaceLandmarker | None = None
    readers: Mapping[str, Judge] = field(default_factory=dict)
    readers_absent: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


def render_conditions(
    held: HeldOut, renders: Renders, config: TalkerEvaluateConfig, hardware: str,
    refine: Callable[[Frames], Frames] | None = None,
) -> tuple[Rendered, list[Frames]]:  # fmt: skip
    """Renders held-out time as it was, with other sound, and with other eyes. Also the frames of each other sound."""
    renders(held.driving, np.arange(min(config.batch, len(held.driving))))  # compiles what is compiled
    started_s = time.monotonic()
    model = renders(held.driving, None)
    seconds = time.monotonic() - started_s
    count = len(held.driving)
    shifted = []
    for number in range(config.audio_shifts):
        shift = max(1, round(count * (number + 1) / (config.audio_shifts + 1)))
        shifted.append(renders(held.driving.with_audio_of((np.arange(count) + shift) % count), None))
    other = generate(held.subject, config.seed).first(count)
    frames = {MODEL: model, OTHER_AUDIO: shifted[len(shifted) // 2], NEAREST: held.nearest_training_frames()}
    if refine is not None:
        frames[REFINED] = refine(model)
    height, width = model.shape[1:3]
    speed = Speed(frames_per_s=count / seconds, batch=config.batch, size_px=(width, height), hardware=hardware)
    return Rendered(frames, renders(other, None), other, speed), shifted


def hardware_of(device: torch.device) -> str:
    """The processor that renders, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()}, {torch.get_num_threads()} threads"


def picture_values(
    held: HeldOut, frames: Frames, st_lpips: StLpips | None, only_psnr: bool = False
) -> dict[str, Float[ndarray, " t"]]:  # fmt: skip
    """PSNR, SSIM and ST-LPIPS of frames against the recording: whole, and over head, lips and eyes.

    PSNR is over a region's pixels; SSIM and ST-LPIPS are of its box, scaled to one size. NaN where there is no face.
    """
    made, truth = as_tensor(frames), as_tensor(held.recorded)
    labels = held.subject.labels[held.rows]
    height, width = frames.shape[1:3]
    left, right = metrics.eye_boxes(held.points)
    lips, head = metrics.lips_boxes(held.points), metrics.head_boxes(labels)
    eyes_mask = torch.maximum(left.mask(height, width), right.mask(height, width))
    masks = {"head": metrics.head_mask(labels), "lips": lips.mask(height, width), "eyes": eyes_mask}
    found = {"full_psnr_db": psnr_db(made, truth)}
    found |= {f"{name}_psnr_db": psnr_db(made, truth, mask) for name, mask in masks.items()}
    if only_psnr:
        return _where_valid(held, found)
    found["full_ssim"] = ssim(made, truth)
    if st_lpips is not None:
        found["full_st_lpips"] = st_lpips(made, truth)
    for name, boxes, size in (
        ("head", (head,), _HEAD_PX),
        ("lips", (lips,), _LIPS_PX),
        ("eyes", (left, right), _EYES_PX),
    ):
        pairs = [(box.crops(made, *size), box.crops(truth, *size)) for box in boxes]
        found[f"{name}_ssim"] = torch.stack([ssim(*pair) for pair in pairs]).mean(0)
        if st_lpips is not None:
            found[f"{name}_st_lpips"] = torch.stack([st_lpips(*pair) for pair in pairs]).mean(0)
    return _where_valid(held, found)


def _where_valid(held: HeldOut, found: Mapping[str, Tensor]) -> dict[str, Float[ndarray, " t"]]:
    return {name: np.where(held.valid, values.double().numpy(), np.nan) for name, values in found.items()}


def stored(values: Mapping[str, Float[ndarray, " t"]]) -> dict[str, tuple[float | None, ...]]:
    """For the evaluation's file."""
    return {name: as_numbers(row) for name, row in values.items()}


def as_tensor(frames: Frames) -> Float[Tensor, "t 3 h w"]:
    """In [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255


def find_faces(landmarker: FaceLandmarker, frames: Frames, least_px: int = 320) -> Float[ndarray, "t 478 2"]:
    """Landmarks of the largest face of each frame, NaN where there is none; small frames are scaled up first."""
    import cv2

    scale = max(1.0, least_px / max(frames.shape[1:3]))
    found = np.full((len(frames), 478, 2), np.nan)
    for k, frame in enumerate(frames):
        large = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) if scale > 1 else frame
        if faces := landmarker.faces(large):
            found[k] = faces[0].points_px[:, :2] / scale
    return found
