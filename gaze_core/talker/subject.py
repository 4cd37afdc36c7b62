"""A talker subject: a folder with the labelled frames of one speaking person, the background, and the sound.

`subject.h5` holds frames and signals (`subject_schema.py`), `plate.png` the background without the person, `audio.wav` the
sound of the whole video, 16 kHz mono. A rendered subject has `truth/truth.h5`: held-out frames with another gaze.
Images are stored compressed: colour as JPEG without subsampled colour, torso as PNG, equal ones once.
"""

import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import h5py
import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from gaze_core.artifacts import file_sha256
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.talker.subject_files import (
    GZIP,
    decode,
    encode_jpeg,
    encode_png,
    read_facts,
    read_wav,
    write_facts,
    write_png,
    write_wav,
)
from gaze_core.talker.subject_schema import (
    DTYPES,
    HELD_OUT,
    SHAPES,
    TalkerFacts,
    TalkerSignals,
)

SUBJECT_FILE, PLATE_FILE, SOUND_FILE, TRUTH_FILE = "subject.h5", "plate.png", "audio.wav", "truth/truth.h5"


@dataclass(frozen=True, eq=False)
class TalkerTruth:
    """Held-out frames rendered again with another gaze; all else is equal.

    Attributes:
        frame: Row of the subject; `place` counts within held-out time.
        gaze_head_rad: The other gaze.
        images: RGB.
        eyes: Label maps of the other picture, with the classes of the eyes only.
    """

    frame: Int[ndarray, " m"]
    place: Int[ndarray, " m"]
    gaze_head_rad: Float[ndarray, "m 2"]
    images: UInt8[ndarray, "m h w 3"]
    eyes: UInt8[ndarray, "m h w"]


class TalkerSubject:
    """A prepared subject. Signals (attributes as in `TalkerSignals`) and label maps are in memory, images read by row.

    Raises:
        BadInput: the folder holds no talker subject, or one of another version or with missing parts.
    """

    frame_id: Int[ndarray, " n"]
    viewmat: Float[ndarray, "n 4 4"]
    landmarks_px: Float[ndarray, "n 478 2"]
    blink: Float[ndarray, "n 2"]
    brows: Float[ndarray, "n 3"]
    mouth_open: Float[ndarray, " n"]
    gaze_head_rad: Float[ndarray, "n 2"]
    gaze_sigma_rad: Float[ndarray, " n"]
    valid: UInt8[ndarray, " n"]
    audio: Float[ndarray, "n w c"]
    split: UInt8[ndarray, " n"]

    def __init__(self, folder: Path) -> None:
        self.folder = folder = Path(folder)
        path = folder / SUBJECT_FILE
        if not path.is_file():
            raise BadInput(f"{folder}: no {SUBJECT_FILE}; expected a folder made by gazeworks talker prepare")
        try:
            with h5py.File(path, "r") as file:
                self.facts = read_facts(file, path)
                self.signals = TalkerSignals(**{name: np.asarray(file[name]) for name in SHAPES})
                self.labels: UInt8[ndarray, "n h w"] = np.asarray(file["labels"])
                self._torso_of = np.asarray(file["torso_of"])
                self.points_m, self.points_rgb = self.facts.points_m, self.facts.points_rgb
                counts = {name: len(file[name]) for name in ("image", "labels", "torso_of")}
        except (OSError, KeyError) as error:
            raise BadInput(f"{path}: not a talker subject ({error}); prepare it again") from error
        self.signals.require_consistent(str(path))
        if set(counts.values()) != {len(self.signals)}:
            raise BadInput(f"{path}: {counts} for {len(self.signals)} frames; prepare it again")
        for name in SHAPES:
            setattr(self, name, getattr(self.signals, name))

    def __len__(self) -> int:
        return len(self.signals)

    @property
    def name(self) -> str:
        """The name of the subject."""
        return self.facts.name

    @property
    def intrinsics(self) -> Float[ndarray, "3 3"]:
        """Camera matrix, pixels."""
        return self.facts.intrinsics

    @property
    def eye_centres_m(self) -> Float[ndarray, "2 3"]:
        """(left, right) eyeball in the head frame."""
        return self.facts.eye_centres_m

    @property
    def eye_radius_m(self) -> float:
        """Of both eyeballs."""
        return self.facts.eye_radius_m

    @property
    def audio_extractor(self) -> str:
        """Name of the audio features."""
        return self.facts.audio_extractor

    @property
    def audio_rate_hz(self) -> float:
        """Rows a second of the stream of audio features."""
        return self.facts.audio_rate_hz

    @cached_property
    def digest(self) -> str:
        """Names the content of `subject.h5`."""
        return file_sha256(self.folder / SUBJECT_FILE)[:12]

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height) of the images."""
        return int(self.labels.shape[2]), int(self.labels.shape[1])

    def images(self, rows: Sequence[int] | Int[ndarray, " k"]) -> UInt8[ndarray, "k h w 3"]:
        """The frames of these rows, RGB."""
        return self._decoded("image", rows)[..., ::-1].copy()

    def torso(self, rows: Sequence[int] | Int[ndarray, " k"]) -> UInt8[ndarray, "k h w 4"]:
        """What is drawn behind the head in these rows, over the plate: RGBA, straight alpha."""
        return self._decoded("torso", self._torso_of[np.asarray(rows)])[..., [2, 1, 0, 3]]

    def behind(self, rows: Sequence[int] | Int[ndarray, " k"]) -> UInt8[ndarray, "k h w 3"]:
        """The torso over the plate in these rows, RGB."""
        torso = self.torso(rows).astype(np.float32)
        alpha = torso[..., 3:] / 255
        return (torso[..., :3] * alpha + self.plate * (1 - alpha) + 0.5).astype(np.uint8)

    @cached_property
    def plate(self) -> UInt8[ndarray, "h w 3"]:
        """The background without the person, RGB.

        Raises:
            BadInput: it is missing or of another size.
        """
        image = cv2.imread(str(self.folder / PLATE_FILE))
        if image is None or image.shape[:2] != self.labels.shape[1:]:
            raise BadInput(f"{self.folder}: no readable {PLATE_FILE} of {self.size_px} px; prepare the subject again")
        return np.ascontiguousarray(image[..., ::-1])

    @cached_property
    def sound(self) -> Float[ndarray, " s"] | None:
        """The sound of the whole video, 16 kHz mono in [-1, 1]; None: there is none."""
        path = self.folder / SOUND_FILE
        return read_wav(path) if path.is_file() else None

    def truth(self) -> TalkerTruth | None:
        """The frames with another gaze; None: there are none."""
        path = self.folder / TRUTH_FILE
        if not path.is_file():
            return None
        with h5py.File(path, "r") as file:
            frame = np.asarray(file["frame"])
            place = np.searchsorted(np.flatnonzero(self.split == HELD_OUT), frame)
            images = np.stack([decode(one)[..., ::-1] for one in file["image"]])
            return TalkerTruth(frame, place, np.asarray(file["gaze_head_rad"]), images, np.asarray(file["eyes"]))

    def _decoded(self, name: str, rows: Sequence[int] | Int[ndarray, " k"]) -> UInt8[ndarray, "k h w c"]:
        with h5py.File(self.folder / SUBJECT_FILE, "r") as file:
            known = {int(row): decode(file[name][int(row)]) for row in set(np.asarray(rows).tolist())}
        return np.stack([known[int(row)] for row in rows])


class TalkerSubjectWriter:
    """Writes a subject: images frame by frame, then everything else; the folder appears complete or not at all.

    Use as a context manager: `append` each frame in order, then `finish` once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._work = self._folder.with_name(f".{self._folder.name}.{uuid.uuid4().hex[:8]}.partial")
        self._count, self._finished = 0, False
        self._torsos: dict[bytes, int] = {}
        self._torso_of: list[int] = []

    def __enter__(self) -> Self:
        self._work.mkdir(parents=True)
        self._file = h5py.File(self._work / SUBJECT_FILE, "w")
        bytes_type = h5py.vlen_dtype(np.uint8)
        for name in ("image", "torso"):
            self._file.create_dataset(name, (0,), maxshape=(None,), dtype=bytes_type)
        return self

    def append(
        self, image: UInt8[ndarray, "h w 3"], labels: UInt8[ndarray, "h w"], torso: UInt8[ndarray, "h w 4"]
    ) -> None:
        """Adds a frame: RGB, label map, and RGBA of what is behind the head."""
        if image.shape[:2] != labels.shape or torso.shape[:2] != labels.shape:
            raise ContractViolation(
                f"image {image.shape}, labels {labels.shape} and torso {torso.shape} differ in size"
            )
        if "labels" not in self._file:
            size = labels.shape
            self._file.create_dataset("labels", (0, *size), np.uint8, maxshape=(None, *size), chunks=(1, *size), **GZIP)
        _add(self._file["image"], encode_jpeg(image))
        _add(self._file["labels"], labels)
        png = encode_png(torso)
        key = png.tobytes()
        if key not in self._torsos:
            self._torsos[key] = len(self._torsos)
            _add(self._file["torso"], png)
        self._torso_of.append(self._torsos[key])
        self._count += 1

    def finish(
        self,
        facts: TalkerFacts,
        signals: TalkerSignals,
        plate: UInt8[ndarray, "h w 3"],
        sound: Float[ndarray, " s"] | None,
        truth: TalkerTruth | None = None,
    ) -> None:
        """Adds the signals of all frames, the background, the sound and, if rendered, the truth."""
        if len(signals) != self._count:
            raise ContractViolation(f"{len(signals)} rows of signals for {self._count} frames")
        signals.require_consistent(str(self._folder))
        for name in SHAPES:
            values: ndarray = np.asarray(getattr(signals, name), DTYPES.get(name, np.float32))
            self._file.create_dataset(name, data=values, **GZIP)
        self._file.create_dataset("torso_of", data=np.array(self._torso_of, np.int64))
        write_facts(self._file, facts)
        write_png(self._work / PLATE_FILE, plate)
        if sound is not None:
            write_wav(self._work / SOUND_FILE, sound)
        if truth is not None:
            _write_truth(self._work / TRUTH_FILE, truth)
        self._finished = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        try:
            if kind is None and self._finished:
                for name in (
                    PLATE_FILE,
                    SOUND_FILE,
                    TRUTH_FILE,
                    SUBJECT_FILE,
                ):  # the file that makes it a subject is last
                    target = self._folder / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    if (self._work / name).is_file():
                        (self._work / name).replace(target)
                    else:
                        target.unlink(missing_ok=True)
                if not any((self._folder / "truth").iterdir()):
                    (self._folder / "truth").rmdir()
        finally:
            shutil.rmtree(self._work, ignore_errors=True)


def _add(dataset: Any, value: ndarray) -> None:
    dataset.resize(len(dataset) + 1, axis=0)
    dataset[len(dataset) - 1] = value


def _write_truth(path: Path, truth: TalkerTruth) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("frame", data=np.asarray(truth.frame, np.int64))
        file.create_dataset("gaze_head_rad", data=np.asarray(truth.gaze_head_rad, np.float32))
        images = file.create_dataset("image", (len(truth.images),), dtype=h5py.vlen_dtype(np.uint8))
        for index, image in enumerate(truth.images):
            images[index] = encode_jpeg(image)
        file.create_dataset("eyes", data=truth.eyes, chunks=(1, *truth.eyes.shape[1:]), **GZIP)
