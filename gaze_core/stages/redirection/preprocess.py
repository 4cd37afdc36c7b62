"""Stage: a recording (subject files, a video, an image folder) to subject files and their splits."""

import shutil
from collections import Counter, defaultdict
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeInt

from gaze_core.artifacts import MANIFEST_FILE, Produced
from gaze_core.assets import resolve
from gaze_core.config import Config
from gaze_core.data.splits import SPLITS_FILE, DatasetSplits, Splits, split_video, split_with_held_out, write_splits
from gaze_core.data.subjects import SUBJECT_FILE, SubjectDataset, is_subject_file, open_subject
from gaze_core.errors import BadInput, ContractViolation, reasons_text
from gaze_core.preprocess.images import hints
from gaze_core.preprocess.video import preprocess_video
from gaze_core.preprocess.video_config import VideoConfig
from gaze_core.stages.context import Inputs, StageContext

NAME, VERSION = "preprocess", 5


class PreprocessConfig(Config):
    """How a recording becomes labelled frames. A subject file is checked and split; a video is labelled first."""

    source: Literal["synthetic", "video"] = "synthetic"
    validation_fraction: float = Field(0.1, gt=0, lt=0.5)
    test_fraction: float = Field(0.15, gt=0, lt=0.5)  # for recordings that do not name their held-out frames
    keep_back: bool = True  # frames for validation and test, other than those that the recording names
    seed: NonNegativeInt = 0
    video: VideoConfig = VideoConfig()


def run(config: PreprocessConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Labels, checks and splits what is in the folder `inputs["recording"]`; writes subject files and `splits.json`.

    A video, or a folder of images, becomes one subject file; a folder of subject files stays several, for a model of
    several people.

    Raises:
        BadInput: the recording is missing, unreadable, without a face, or not of the configured source.
    """
    recording = _only_entry(inputs["recording"])
    dropped: Counter[str] = Counter()
    if config.source == "video":
        files = {SUBJECT_FILE: context.work_dir / SUBJECT_FILE}
        landmarker = resolve("face_landmarker")
        video = preprocess_video(recording, files[SUBJECT_FILE], config.video, landmarker, context.progress)
        dropped.update(video.dropped)
        for hint in hints(dropped):
            context.logger.warning("%s: %s", recording.name, hint)
    else:
        files = {name: context.work_dir / name for name in _copied(recording, context.work_dir)}
    datasets = {name: SubjectDataset(path) for name, path in files.items()}
    _require_different(datasets)
    for dataset in datasets.values():
        dropped.update(dataset.dropped)
    try:
        splits = DatasetSplits(subjects=tuple(_splits(config, dataset, name) for name, dataset in datasets.items()))
    except BadInput as error:
        raise BadInput(f"{recording}: {error}; left out: {reasons_text(dropped)}") from error
    files[SPLITS_FILE] = context.work_dir / SPLITS_FILE
    write_splits(files[SPLITS_FILE], splits)
    parts = ("train", "validation", "test")
    return Produced(
        kind="dataset",
        files=files,
        metrics={f"num_{part}": float(sum(len(getattr(one, part)) for one in splits.subjects)) for part in parts},
        dropped=dict(dropped),
        notes=hints(dropped),
        normalization=next(iter(datasets.values())).normalization,
        subjects={part: splits.names for part in parts},
    )


def _copied(recording: Path, folder: Path) -> list[str]:
    """The names under which the subject file, or all subject files of the recording, now stand in `folder`."""
    files = [recording] if recording.is_file() else sorted(p for p in recording.iterdir() if is_subject_file(p))
    sources = {SUBJECT_FILE: recording} if recording.is_file() else {f"{path.stem}.h5": path for path in files}
    if len(sources) < len(files):
        raise BadInput(f"{recording}: two files of one name but for its ending; expected one file for each person")
    if not sources:
        raise BadInput(
            f"{recording.name}: a folder without subject files (*.h5); for images or a video use source video"
        )
    for name, source in sources.items():
        open_subject(source).close()
        shutil.copyfile(source, folder / name)
    return list(sources)


def _require_different(datasets: dict[str, SubjectDataset]) -> None:
    files_of: defaultdict[str, list[str]] = defaultdict(list)
    for name, dataset in datasets.items():
        files_of[dataset.subject].append(name)
    for subject, names in files_of.items():
        if len(names) > 1:
            raise BadInput(f"subject {subject} stands in {', '.join(names)}; expected one file for each person")


def _only_entry(folder: Path) -> Path:
    """The recording inside its artifact: one file, or one folder of images."""
    entries = [path for path in sorted(folder.iterdir()) if path.name != MANIFEST_FILE]
    if len(entries) != 1:
        raise ContractViolation(f"{folder}: a recording is one file or one folder, found {len(entries)} entries")
    return entries[0]


def _splits(config: PreprocessConfig, dataset: SubjectDataset, name: str) -> Splits:
    usable = dataset.indices.tolist()
    if not usable:
        raise BadInput(f"{dataset.subject}: no usable frame")
    splits = _divided(config, dataset, usable)
    return splits.model_copy(update={"file": name})


def _divided(config: PreprocessConfig, dataset: SubjectDataset, usable: list[int]) -> Splits:
    with open_subject(dataset.path) as file:
        held_out = np.asarray(file["held_out"]) if "held_out" in file and np.any(file["held_out"]) else None
    if not config.keep_back:
        own = [i for i in usable if held_out is None or not held_out[i]]
        return Splits(subject=dataset.subject, train=own, validation=(), test=[i for i in usable if i not in {*own}])
    if held_out is None:
        return split_video(dataset.subject, usable, config.validation_fraction, config.test_fraction)
    development = [i for i in usable if not held_out[i]]
    test = [i for i in usable if held_out[i]]
    return split_with_held_out(dataset.subject, development, test, config.validation_fraction, config.seed)
