"""Stage: renders the head of a photograph or a video at another gaze, with a model that was fitted to it."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from gaze_core.artifacts import Produced, only_entry
from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch, HeadParameters
from gaze_core.data.splits import SPLITS_FILE, read_splits
from gaze_core.data.subjects import SubjectDataset
from gaze_core.evaluation.readers import ReaderName
from gaze_core.evaluation.readings import read_gaze
from gaze_core.evaluation.report_renderings import PitchYawDeg, as_uint8
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.geometry.cameras import rigid_transform
from gaze_core.geometry.rotations import eye_rotation
from gaze_core.models.redirection.gaze_gaussian import GazeGaussian
from gaze_core.preprocess.eye_paste import EyeLimits
from gaze_core.preprocess.frames import Recording
from gaze_core.preprocess.images import write_png
from gaze_core.preprocess.video_writer import VideoWriter
from gaze_core.reproducibility import choose_device
from gaze_core.sampling import evenly_spaced
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.redirection import gaze_gaussian
from gaze_core.stages.redirection.evaluate import render_rgb
from gaze_core.stages.redirection.look_record import RECORD_FILE, LookRecord

NAME, VERSION = "look_head", 1
STRIP_FILE = "look_strip.png"
_FRAME = "the drawn head's camera, upright to the head: 0,0 looks into the lens, pitch > 0 up, yaw > 0 to image left"
_CHUNK = 16  # frames in memory at once


class LookHeadConfig(Config):
    """`[pitch, yaw]` in degrees: the gaze in the frame of the drawn head's camera, the head's turn from its own pose."""

    gaze_deg: tuple[float, float]
    head_deg: tuple[float, float] = (0.0, 0.0)
    limits: EyeLimits = EyeLimits()
    enlarge: PositiveInt = 3  # of the pictures that are written
    focal_factor: PositiveFloat = 1.2  # with which the recording was preprocessed
    readers: tuple[ReaderName, ...] = ()
    num_read: PositiveInt = 8  # frames of a video that are read


def run(config: LookHeadConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Renders `inputs["data"]` with `inputs["checkpoint"]`, which was fitted to the person, on white.

    Writes `look.png` and a strip (recorded, own gaze, asked gaze), of a video (`inputs["recording"]`) `look.mp4` with the
    recorded head beside the drawn one, and `look.json`.
    """
    recording = Recording(only_entry(inputs["recording"]))
    model, _ = gaze_gaussian.load(inputs["checkpoint"])
    model = model.to(choose_device(context.runtime))
    folder = inputs["data"]
    (own,) = read_splits(folder / SPLITS_FILE).subjects
    dataset = SubjectDataset(folder / own.file)
    gaze_gaussian.require_image_px(model, dataset)
    work = _video if recording.is_video else _photo
    files, before, after, drawn = work(config, model, dataset, recording, context)
    record = LookRecord(
        frame=_FRAME,
        asked_deg=config.gaze_deg,
        head_deg=config.head_deg,
        drawn_deg=drawn,
        frames=len(dataset),
        left_alone=dict(dataset.dropped),
        readings=read_gaze(before, after, config.gaze_deg, config.readers),
    )
    (context.work_dir / RECORD_FILE).write_text(record.model_dump_json(indent=1))
    files[RECORD_FILE] = context.work_dir / RECORD_FILE
    ways = {f"{name}_way": one.way for name, one in record.readings.items() if one.way is not None}
    return Produced(kind="report", files=files, metrics=ways, dropped=record.left_alone)


_Images = list[UInt8[ndarray, "h w 3"]]
_Work = tuple[dict[str, Path], _Images, _Images, PitchYawDeg]


def _photo(
    config: LookHeadConfig, model: GazeGaussian, dataset: SubjectDataset, recording: Recording, context: StageContext
) -> _Work:
    batch = dataset.batch([0]).to(next(model.parameters()).device)
    head, drawn = looking(batch, config)
    recorded, own, asked = (
        as_uint8(rgb)[0]
        for rgb in (
            batch.rgb_on_white,
            render_rgb(model, batch.camera, batch.head),
            render_rgb(model, batch.camera, head),
        )
    )
    picture = write_png(context.work_dir / "look.png", _enlarged(asked, config.enlarge))
    strip = np.concatenate([_enlarged(image, config.enlarge) for image in (recorded, own, asked)], axis=1)
    strip_file = write_png(context.work_dir / STRIP_FILE, strip)
    context.progress(1, 1, float("nan"))
    return {picture.name: picture, STRIP_FILE: strip_file}, [recorded], [asked], drawn


def _video(
    config: LookHeadConfig, model: GazeGaussian, dataset: SubjectDataset, recording: Recording, context: StageContext
) -> _Work:
    out = context.work_dir / "look.mp4"
    chosen = set(evenly_spaced(len(dataset), config.num_read))
    numbers = dataset.labels["frame_index"].tolist()
    before: _Images = []
    after: _Images = []
    drawn = config.gaze_deg
    with VideoWriter(out, recording.video) as writer:
        for start in range(0, len(dataset), _CHUNK):
            items = list(range(start, min(start + _CHUNK, len(dataset))))
            batch = dataset.batch(items).to(next(model.parameters()).device)
            head, drawn = looking(batch, config)
            recorded, asked = as_uint8(batch.rgb_on_white), as_uint8(render_rgb(model, batch.camera, head))
            for item, pair in zip(items, zip(recorded, asked, strict=True), strict=True):
                images = [_enlarged(image, config.enlarge) for image in pair]
                writer.write(int(numbers[item]), np.concatenate(images, axis=1))
                if item in chosen:
                    before.append(pair[0])
                    after.append(pair[1])
            context.progress(items[-1] + 1, len(dataset), float("nan"))
    return {out.name: out}, before, after, drawn


def looking(batch: GazeBatch, config: LookHeadConfig) -> tuple[HeadParameters, PitchYawDeg]:
    """The heads of a batch turned and looking as asked for, and the gaze of the first one in its camera, degrees."""
    world_to_camera = batch.camera.world_to_camera
    to_camera = world_to_camera @ batch.head.head_to_world
    turn = eye_rotation(_radians(config.head_deg, batch))
    turned = rigid_transform(turn @ to_camera[:, :3, :3], to_camera[:, :3, 3])
    wanted = vector_from_pitchyaw(_radians(config.gaze_deg, batch))[..., None]
    in_head = pitchyaw_from_vector((turned[:, :3, :3].transpose(-1, -2) @ wanted)[..., 0])
    gaze = in_head.clamp(*in_head.new_tensor(config.limits.range_rad))
    drawn = pitchyaw_from_vector((turned[:, :3, :3] @ vector_from_pitchyaw(gaze)[..., None])[..., 0])
    pitch, yaw = torch.rad2deg(drawn[0]).tolist()
    head = replace(batch.head, head_to_world=torch.linalg.inv(world_to_camera) @ turned)
    return head.with_gaze(gaze), (round(pitch, 2), round(yaw, 2))


def _radians(angles_deg: PitchYawDeg, like: GazeBatch) -> Float[Tensor, "b 2"]:
    return torch.deg2rad(like.gaze_head.new_tensor(angles_deg)).expand(len(like), 2)


def _enlarged(image: UInt8[ndarray, "h w 3"], factor: int) -> UInt8[ndarray, "y x 3"]:
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC))
