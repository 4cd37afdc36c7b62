"""Stage: converts a recording (subject files, a video, an image folder) to subject files and splits."""

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt

from gaze_core.artifacts import Produced, only_entry
from gaze_core.assets import resolve
from gaze_core.config import Config
from gaze_core.data.blocks import BlockConfig, split_recording
from gaze_core.data.loading import require_compatible
from gaze_core.data.people import Origin
from gaze_core.data.splits import (
    ROLES,
    SPLITS_FILE,
    DatasetSplits,
    Role,
    Splits,
    split_subjects,
    split_video,
    split_with_held_out,
    write_splits,
)
from gaze_core.data.subjects import SUBJECT_FILE, SubjectDataset, is_subject_file, open_subject
from gaze_core.data.validation import require_valid
from gaze_core.errors import BadInput, reasons_text
from gaze_core.preprocess.images import hints
from gaze_core.preprocess.video import preprocess_video
from gaze_core.preprocess.video_config import VideoConfig
from gaze_core.reproducibility import generator
from gaze_core.stages.context import Inputs, StageContext

NAME, VERSION = "preprocess", 8


class PreprocessConfig(Config):
    """How a recording becomes labelled frames. A subject file is checked and split; a video is labelled first."""

    source: Literal["synthetic", "video"] = "synthetic"
    validation_fraction: float = Field(0.1, gt=0, lt=0.5)
    test_fraction: float = Field(0.15, gt=0, lt=0.5)  # for recordings without held-out frames of their own
    keep_back: bool = True  # hold out frames for validation and test, besides those that the recording names
    seed: NonNegativeInt = 0
    video: VideoConfig = VideoConfig()
    last_fraction: float = Field(0.1, ge=0, lt=0.5)  # of a recording, its last block, which is evaluated on its own
    gap_s: NonNegativeFloat = 1.0  # of a recording, left out before the blocks that are held out
    use: Literal["train", "test"] = "train"  # test: every usable frame is a test frame

    added_later: ClassVar[frozenset[str]] = frozenset({"gap_s", "last_fraction", "use"})


def run(config: PreprocessConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Labels, checks and splits what is in the folder `inputs["recording"]`; writes subject files and `splits.json`.

    A video or a folder of images becomes one subject file; one subject file is split by frames. A folder of several
    subject files is split by subject, for a model of several people; `inputs["test"]`, if given, has the subject files
    that are only evaluated.

    Raises:
        BadInput: a recording is missing, unreadable, without a face, not of the configured source, has too few people,
            or has a person in both training and test.
    """
    recording = only_entry(inputs["recording"])
    dropped: Counter[str] = Counter()
    if config.source == "video":
        if inputs.get("test"):
            raise BadInput("subjects to test on go with a folder of subject files to train on (source synthetic)")
        files = {SUBJECT_FILE: context.work_dir / SUBJECT_FILE}
        landmarker = resolve("face_landmarker")
        video = preprocess_video(recording, files[SUBJECT_FILE], config.video, landmarker, context.progress)
        dropped.update(video.dropped)
        for hint in hints(dropped):
            context.logger.warning("%s: %s", recording.name, hint)
    else:
        files = _copied(recording, context.work_dir)
    test = _copied(only_entry(inputs["test"]), context.work_dir, "test_") if inputs.get("test") else {}
    datasets = {name: SubjectDataset(path) for name, path in {**files, **test}.items()}
    _require_distinct(datasets)
    if config.source == "video" and not any(len(dataset) for dataset in datasets.values()):
        reasons = reasons_text(sum((Counter(dataset.dropped) for dataset in datasets.values()), dropped))
        raise BadInput(f"{recording}: no image whose gaze can be read ({reasons}); give one with both eyes open")
    if config.use == "train":
        require_compatible(list(datasets.values()))
    for dataset in datasets.values():
        dropped.update(dataset.dropped)
    try:
        splits = DatasetSplits(subjects=tuple(_split_files(config, datasets, set(test))))
    except BadInput as error:
        raise BadInput(f"{recording}: {error}; left out: {reasons_text(dropped)}") from error
    written = context.work_dir / SPLITS_FILE
    write_splits(written, splits)
    parts = [role for role in ROLES if role != "last_block" or splits.names(role)]
    return Produced(
        kind="dataset",
        files={**files, **test, SPLITS_FILE: written},
        metrics={f"num_{part}": float(sum(len(getattr(one, part)) for one in splits.subjects)) for part in parts},
        dropped=dict(dropped),
        notes=hints(dropped),
        normalization=next(iter(datasets.values())).normalization,
        subjects={part: splits.names(part) for part in parts},
    )


def recorded_subjects(recording: Path, prefix: str = "") -> dict[str, Path]:
    """The subject file, or all subject files of a folder, by their names in the data set.

    Raises:
        BadInput: a folder without subject files, or with two of one name.
    """
    files = [recording] if recording.is_file() else sorted(p for p in recording.iterdir() if is_subject_file(p))
    sources = {SUBJECT_FILE: recording} if recording.is_file() else {f"{path.stem}.h5": path for path in files}
    if len(sources) < len(files):
        raise BadInput(f"{recording}: two files of one name but for its ending; expected one file for each person")
    if not sources:
        raise BadInput(
            f"{recording.name}: a folder without subject files (*.h5); for images or a video use source video"
        )
    return {f"{prefix}{name}": path for name, path in sources.items()}


def _copied(recording: Path, folder: Path, prefix: str = "") -> dict[str, Path]:
    """Copies the subject files of a recording to `folder`; returns the copies by name."""
    sources = recorded_subjects(recording, prefix)
    for name, source in sources.items():
        require_valid(source, called=source.name)
        shutil.copyfile(source, folder / name)
    return {name: folder / name for name in sources}


def _require_distinct(datasets: dict[str, SubjectDataset]) -> None:
    files_of: defaultdict[str, set[str]] = defaultdict(set)
    for name, dataset in datasets.items():
        files_of[dataset.subject].add(name)
        files_of[Origin.read(dataset.path).person].add(name)
    for person, names in files_of.items():
        if len(names) > 1:
            raise BadInput(f"subject {person} is in {', '.join(sorted(names))}; expected one file for each person")


def _split_files(config: PreprocessConfig, datasets: dict[str, SubjectDataset], test: set[str]) -> Iterator[Splits]:
    """Splits the frames of each file or, with several people, the people."""
    usable = {name: dataset.indices.tolist() for name, dataset in datasets.items()}
    if empty := next((name for name, frames in usable.items() if not frames), None):
        raise BadInput(f"{datasets[empty].subject}: no usable frame")
    by_frames = len(datasets) == 1 or not config.keep_back
    roles: dict[str, Role] = {}
    if not by_frames and config.use == "train":
        roles = _roles(
            config, {d.subject for n, d in datasets.items() if n not in test}, {datasets[n].subject for n in test}
        )
    for name, dataset in datasets.items():
        if config.use == "test":
            yield Splits(subject=dataset.subject, file=name, train=(), validation=(), test=usable[name])
        elif by_frames:
            yield _split_frames(config, dataset, usable[name]).model_copy(update={"file": name})
        else:
            role = roles[dataset.subject]
            own = usable[name] if role == "test" else _not_held_out(dataset, usable[name])
            if not own:
                raise BadInput(f"{name}: all its usable frames are held out by the file; expected some to train on")
            parts = {"train": (), "validation": (), "test": ()} | {role: tuple(own)}
            yield Splits(subject=dataset.subject, file=name, **parts)


def _roles(config: PreprocessConfig, subjects: set[str], test: set[str]) -> dict[str, Role]:
    """The role of each subject, by seed. Without given test subjects, `test_fraction` of all are test subjects."""
    names = sorted(subjects)
    count = 0 if test else max(1, round(config.test_fraction * len(names)))
    if len(names) - count < 2:
        raise BadInput(
            f"{len(names)} subject files, of which {len(names) - count} are left to train and to validate on; a model of "
            "several people needs 3, or 2 and others to test on (--test FOLDER)"
        )
    order = torch.randperm(len(names), generator=generator("test subjects", config.seed)).tolist()
    chosen = test | {names[position] for position in order[:count]}
    people = split_subjects("recording", subjects - chosen, chosen, config.validation_fraction, config.seed)
    roles: tuple[Role, ...] = ("train", "validation", "test")
    return {name: role for role in roles for name in getattr(people, role)}


def _not_held_out(dataset: SubjectDataset, usable: list[int]) -> list[int]:
    held_out = _held_out(dataset)
    return usable if held_out is None else [i for i in usable if not held_out[i]]


def _held_out(dataset: SubjectDataset) -> np.ndarray | None:
    """The mask of the frames that the file itself holds out for the test, if there are any."""
    with open_subject(dataset.path) as file:
        return np.asarray(file["held_out"]) if "held_out" in file and np.any(file["held_out"]) else None


def _split_frames(config: PreprocessConfig, dataset: SubjectDataset, usable: list[int]) -> Splits:
    held_out = _held_out(dataset)
    if not config.keep_back:
        own = _not_held_out(dataset, usable)
        return Splits(subject=dataset.subject, train=own, validation=(), test=[i for i in usable if i not in {*own}])
    if held_out is None:
        return _blocks_of_time(config, dataset, usable)
    development = _not_held_out(dataset, usable)
    test = [i for i in usable if held_out[i]]
    return split_with_held_out(dataset.subject, development, test, config.validation_fraction, config.seed)


def _blocks_of_time(config: PreprocessConfig, dataset: SubjectDataset, usable: list[int]) -> Splits:
    """Of a file that names no held-out frame: interleaved blocks and the last one of a recording, else the last frames.

    For the last frames a gap takes no more than a twentieth; where the rate is not known, 30 frames make a second.
    """
    numbers = dataset.labels["frame_index"].tolist()
    if numbers != sorted(numbers):
        numbers = dataset.indices.tolist()
    with open_subject(dataset.path) as file:
        frames_per_s = json.loads(str(file.attrs["provenance"])).get("frames_per_s") or 30.0
    if Origin.read(dataset.path).is_video:
        blocks = BlockConfig(
            validation_fraction=config.validation_fraction, test_fraction=config.test_fraction, gap_s=config.gap_s
        )
        times_s = [number / frames_per_s for number in numbers]
        if splits := split_recording(dataset.subject, times_s, config.last_fraction, blocks):
            return splits.model_copy(update={role: tuple(usable[k] for k in getattr(splits, role)) for role in ROLES})
    gap = min(config.gap_s * frames_per_s, (numbers[-1] - numbers[0] + 1) / 20)
    return split_video(dataset.subject, usable, numbers, gap, config.validation_fraction, config.test_fraction)
