"""Prepared samples: bands of the eyes with masks and labels of one or many people, and the choice of pairs.

A pair for training is a target and a reference of the same person with a similar head and another gaze (as MuseTalk
chooses references of similar pose and dissimilar mouth). Everything lies in memory: 50 KB a sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import h5py
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from gaze_core.data.subject_writer import new_hdf5
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.one_shot.band import cut_band, face_at_256
from gaze_core.one_shot.layout import PersonArrays

SAMPLES_FILE = "samples.h5"
_NEAREST_HEADS = (
    0.51  # share of a person's samples, nearest in head, among which references are (MuseTalk's top_k_ratio)
)
_FIELDS = ("face", "landmarks_px", "band", "mask", "origin_px", "gaze", "head", "person", "row")


@dataclass(frozen=True, eq=False)
class Samples:
    """N samples of the people `names`. Angles in radians, frame of the normalised camera."""

    names: tuple[str, ...]
    face: UInt8[np.ndarray, "n 256 256 3"]
    landmarks_px: Float[np.ndarray, "n 68 2"]
    band: UInt8[np.ndarray, "n 64 192 3"]
    mask: UInt8[np.ndarray, "n 64 192"]
    origin_px: Int[np.ndarray, "n 2"]
    gaze: Float[np.ndarray, "n 2"]
    head: Float[np.ndarray, "n 2"]
    person: Int[np.ndarray, " n"]
    row: Int[np.ndarray, " n"]  # in the file of the data set

    def __len__(self) -> int:
        return len(self.gaze)

    def of(self, name: str) -> Int[np.ndarray, " k"]:
        """Positions of one person's samples."""
        return np.flatnonzero(self.person == self.names.index(name))

    def subset(self, positions: Sequence[int] | Int[np.ndarray, " k"]) -> Self:
        """Only these samples."""
        chosen = np.asarray(positions, dtype=int)
        return type(self)(self.names, *(getattr(self, name)[chosen] for name in _FIELDS))


def prepare(people: Mapping[str, PersonArrays], landmarks: Mapping[str, Float[np.ndarray, "n 68 2"]]) -> Samples:
    """Cuts the bands. `landmarks` are those of each person's pictures, NaN where no face was found; such are left out."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in _FIELDS}
    for number, (name, person) in enumerate(people.items()):
        rows = person.rows if person.rows is not None else np.arange(len(person.pixels))
        for index in np.flatnonzero(np.isfinite(landmarks[name]).all(axis=(1, 2))):
            face, points = face_at_256(person.pixels[index], landmarks[name][index])
            band = cut_band(face, points)
            values = (face, points, band.image, band.mask, np.array(band.origin_px), person.gaze[index],
                      person.head[index], np.array(number), rows[index])  # fmt: skip
            for key, value in zip(_FIELDS, values, strict=True):
                columns[key].append(value)
    if not columns["gaze"]:
        raise BadInput("no sample shows a face; expected normalised faces, as of FAZE or STED")
    return Samples(tuple(people), *(np.stack(columns[name]) for name in _FIELDS))


def write_samples(path: Path, samples: Samples) -> None:
    """Writes all fields; pictures with lzf."""
    with new_hdf5(path) as file:
        file.attrs["names"] = list(samples.names)
        for name in _FIELDS:
            values = getattr(samples, name)
            packed = {"chunks": (1, *values.shape[1:]), "compression": "lzf"} if values.dtype == np.uint8 else {}
            file.create_dataset(name, data=values, **packed)


def read_samples(folder: Path) -> Samples:
    """The samples of the prepare stage.

    Raises:
        ContractViolation: the folder holds none.
    """
    try:
        with h5py.File(folder / SAMPLES_FILE, "r") as file:
            names = tuple(str(name) for name in file.attrs["names"])
            return Samples(names, *(file[name][()] for name in _FIELDS))
    except (OSError, KeyError) as error:
        raise ContractViolation(f"{folder}: no prepared samples ({error}); run the one_shot_prepare stage") from error


@dataclass(frozen=True, eq=False)
class Pairs:
    """For each sample the samples that may be its reference, best first; padded with the sample's first one."""

    candidates: Int[Tensor, "n k"]
    counts: Int[Tensor, " n"]

    def draw(self, targets: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        """A random reference for each target, from torch's global random numbers."""
        counts = self.counts[targets]
        place = (torch.rand(len(targets)) * counts).long().clamp(max=counts - 1)
        return self.candidates[targets, place]

    def best(self, targets: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        """The reference whose gaze differs most."""
        return self.candidates[targets, 0]


def pair_candidates(samples: Samples, allowed: Sequence[int] | None = None, most: int = 24) -> Pairs:
    """References of each sample: of the same person, among the nearest half in head, the half that differs most in gaze.

    Args:
        samples: all samples.
        allowed: positions that may be references; default: all.
        most: number of references that are kept.

    A person's only sample is its own reference.
    """
    pool = np.arange(len(samples)) if allowed is None else np.asarray(allowed)
    rows: list[np.ndarray] = []
    for target in range(len(samples)):
        others = pool[(samples.person[pool] == samples.person[target]) & (pool != target)]
        if not len(others):
            rows.append(np.array([target]))
            continue
        heads = np.linalg.norm(samples.head[others] - samples.head[target], axis=1)
        near = others[np.argsort(heads, kind="stable")[: max(1, int(np.ceil(_NEAREST_HEADS * len(others))))]]
        gazes = np.linalg.norm(samples.gaze[near] - samples.gaze[target], axis=1)
        differing = near[np.argsort(-gazes, kind="stable")[: max(1, (len(near) + 1) // 2)]]
        rows.append(differing[:most])
    longest = max(len(row) for row in rows)
    padded = np.stack([np.concatenate([row, np.full(longest - len(row), row[0])]) for row in rows])
    return Pairs(torch.from_numpy(padded), torch.tensor([len(row) for row in rows]))


def band_tensor(images: UInt8[np.ndarray, "n h w 3"]) -> Float[Tensor, "n 3 h w"]:
    """Bands in [0, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def band_images(bands: Float[Tensor, "n 3 h w"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Bands as bytes."""
    return (bands.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
