"""Stage: a recording (the shipped pack, a subject file, a video, an image folder) to a subject file and its splits."""

import shutil
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeInt

from gaze_core.artifacts import MANIFEST_FILE, Produced
from gaze_core.assets import resolve
from gaze_core.config import Config
from gaze_core.data.splits import SPLITS_FILE, Splits, split_video, split_with_held_out, write_splits
from gaze_core.data.subjects import SUBJECT_FILE, SubjectDataset, open_subject
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.preprocess.video import preprocess_video
from gaze_core.preprocess.video_config import VideoConfig
from gaze_core.stages.context import Inputs, StageContext

NAME, VERSION = "preprocess", 1


class PreprocessConfig(Config):
    """How a recording becomes labelled frames. A subject file is checked and split; a video is labelled first."""

    source: Literal["synthetic", "video"] = "synthetic"
    validation_fraction: float = Field(0.1, gt=0, lt=0.5)
    test_fraction: float = Field(0.15, gt=0, lt=0.5)  # for recordings that do not name their held-out frames
    seed: NonNegativeInt = 0
    video: VideoConfig = VideoConfig()


def run(config: PreprocessConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Labels, checks and splits the folder `inputs["recording"]`; writes `subject.h5` and `splits.json`.

    Raises:
        BadInput: the recording is missing, unreadable, without a face, or not of the configured source.
    """
    recording = _only_entry(inputs["recording"])
    subject_file = context.work_dir / SUBJECT_FILE
    dropped: dict[str, int] = {}
    if config.source == "video":
        landmarker = resolve("face_landmarker")
        dropped = preprocess_video(recording, subject_file, config.video, landmarker, context.progress).dropped
    else:
        open_subject(recording).close()
        shutil.copyfile(recording, subject_file)
    dataset = SubjectDataset(subject_file)
    splits = _splits(config, dataset, subject_file)
    splits_file = context.work_dir / SPLITS_FILE
    write_splits(splits_file, splits)
    for reason, count in dataset.dropped.items():
        dropped[reason] = dropped.get(reason, 0) + count
    return Produced(
        kind="dataset",
        files={SUBJECT_FILE: subject_file, SPLITS_FILE: splits_file},
        metrics={f"num_{name}": float(len(getattr(splits, name))) for name in ("train", "validation", "test")},
        dropped=dropped,
        normalization=dataset.normalization,
        subjects={name: (dataset.subject,) for name in ("train", "validation", "test")},
    )


def _only_entry(folder: Path) -> Path:
    """The recording inside its artifact: one file, or one folder of images."""
    entries = [path for path in sorted(folder.iterdir()) if path.name != MANIFEST_FILE]
    if len(entries) != 1:
        raise ContractViolation(f"{folder}: a recording is one file or one folder, found {len(entries)} entries")
    return entries[0]


def _splits(config: PreprocessConfig, dataset: SubjectDataset, path: Path) -> Splits:
    usable = dataset.indices.tolist()
    if not usable:
        raise BadInput(f"{path.name}: no usable frame; dropped: {dataset.dropped}")
    with open_subject(path) as file:
        held_out = np.asarray(file["held_out"]) if "held_out" in file else None
    if held_out is None:
        return split_video(dataset.subject, usable, config.validation_fraction, config.test_fraction)
    development = [i for i in usable if not held_out[i]]
    test = [i for i in usable if held_out[i]]
    return split_with_held_out(dataset.subject, development, test, config.validation_fraction, config.seed)
