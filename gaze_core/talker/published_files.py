"""What a published subject's folder says of each frame."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch._weights_only_unpickler import UnpicklingError  # type: ignore[attr-defined]  # what torch.load raises

from gaze_core.errors import BadInput
from gaze_core.talker.frame_values import nearest_valid
from gaze_core.talker.subject_schema import (
    HELD_OUT,
    TRAIN,
)

_DM_TO_M = 0.1


FLIP = np.diag([1.0, -1.0, -1.0])  # from y up and z toward the viewer to OpenCV's axes


@dataclass(frozen=True, eq=False)
class Subject:
    """What the folder says, by frame; sizes in pixels of its images."""

    folder: Path
    ids: Int[ndarray, " n"]
    split: UInt8[ndarray, " n"]
    audio_row: Int[ndarray, " n"]
    intrinsics: Float[ndarray, "3 3"]
    landmarks: Float[ndarray, "n 68 2"]  # NaN where there are none
    viewmat: Float[ndarray, "n 4 4"]  # tracker's world to camera, metres
    valid: ndarray
    vertices_m: Float[ndarray, "p 3"] | None


def read(folder: Path, missing: list[str]) -> Subject:
    """Frames, camera, landmarks and poses; what is lacking is added to `missing`.

    Raises:
        BadInput: a file is missing or disagrees with another.
    """
    frames = []
    camera: dict[str, float] = {}
    for part, name in ((TRAIN, "train"), (HELD_OUT, "val")):
        path = folder / f"transforms_{name}.json"
        if not path.is_file():
            raise BadInput(
                f"{folder.name}: no {path.name}; expected both transforms_train.json and transforms_val.json"
            )
        try:
            values = json.loads(path.read_text())
            camera = {key: float(values[key]) for key in ("focal_len", "cx", "cy")}
            frames += [(int(f["img_id"]), int(f.get("aud_id", f["img_id"])), part) for f in values["frames"]]
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"{path}: not as published ({error!r}); expected focal_len, cx, cy and frames with img_id"
            ) from error
    ids, audio_row, split = (np.array(column) for column in zip(*sorted(frames), strict=True))
    if len(np.unique(ids)) != len(ids):
        raise BadInput(f"{folder.name}: an image is in both transforms_train.json and transforms_val.json")
    landmarks = np.full((len(ids), 68, 2), np.nan)
    for row, number in enumerate(ids):
        if not image_path(folder, number).is_file():
            raise BadInput(f"{folder.name}: no ori_imgs/{number}.jpg, which transforms_*.json names")
        path = folder / "ori_imgs" / f"{number}.lms"
        if path.is_file():
            landmarks[row] = np.loadtxt(path, dtype=np.float64)[:, :2]
    known = np.isfinite(landmarks).all(axis=(1, 2))
    if not known.any():
        raise BadInput(f"{folder.name}: no ori_imgs/*.lms; expected 68 landmarks (x y) of each image")
    viewmat, valid, vertices = _tracked(folder, ids, known, missing)
    intrinsics = np.array([[camera["focal_len"], 0, camera["cx"]], [0, camera["focal_len"], camera["cy"]], [0, 0, 1]])
    return Subject(folder, ids, split.astype(np.uint8), audio_row, intrinsics, landmarks, viewmat, valid, vertices)


def image_path(folder: Path, number: int) -> Path:
    """The image of a frame."""
    return folder / "ori_imgs" / f"{number}.jpg"


def _tracked(
    folder: Path, ids: Int[ndarray, " n"], known: ndarray, missing: list[str]
) -> tuple[Float[ndarray, "n 4 4"], ndarray, Float[ndarray, "p 3"] | None]:
    """World-to-camera of each frame in metres, which frames were tracked, and the mean vertices.

    The tracker drops frames without landmarks; where its rows are as many as the frames with landmarks, they are theirs.
    """
    path = folder / "track_params.pt"
    try:
        values: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        euler, trans = values["euler"].double(), values["trans"].double()
    except (OSError, KeyError, RuntimeError, EOFError, AttributeError) as error:
        raise BadInput(f"{path}: not readable ({error}); expected tensors euler and trans, one row a frame") from error
    except UnpicklingError as error:
        raise BadInput(
            f"{path}: holds more than tensors, which is not read ({error}); save its tensors alone"
        ) from error
    rows = len(euler)
    track = np.tile(np.eye(4), (len(ids), 1, 1))
    matrices = view_matrices(euler, trans)
    valid = np.ones(len(ids), bool)
    if rows > int(ids[-1]):
        track = matrices[ids]
    elif rows == int(known.sum()):
        track[known] = matrices
        valid = known.copy()
        missing.append(
            f"poses of {int((~known).sum())} frames without landmarks; the tracker's rows were put to the others"
        )
    else:
        raise BadInput(
            f"{path}: {rows} rows for {len(ids)} images, {int(known.sum())} of them with landmarks; a tracker that drops "
            "frames shifts all later ones; track again, or remove the images without landmarks"
        )
    track[~valid] = track[nearest_valid(valid)[~valid]]
    vertices = values.get("vertices")
    if vertices is None:
        missing.append("vertices in track_params.pt; points start from a shell that fits the silhouettes")
        return track, valid & known, None
    mean = vertices.double().reshape(-1, *vertices.shape[-2:]).mean(dim=0).numpy() * _DM_TO_M
    return track, valid & known, mean


def view_matrices(euler: torch.Tensor, trans: torch.Tensor) -> Float[ndarray, "n 4 4"]:
    """World-to-camera, OpenCV axes, metres, of the tracker's angles (rad, [n, 3]) and places (decimetres, [n, 3]).

    R = Rx(theta)^T Ry(phi)^T Rz(psi) and viewmat = [D R | D t] with D = diag(1, -1, -1): the tracker's camera has y up.
    """
    x, y, z = euler.double().numpy().T
    one, zero = np.ones_like(x), np.zeros_like(x)

    def matrix(*entries: ndarray) -> ndarray:
        return np.stack(entries, axis=-1).reshape(-1, 3, 3)

    rx = matrix(one, zero, zero, zero, np.cos(x), -np.sin(x), zero, np.sin(x), np.cos(x))
    ry = matrix(np.cos(y), zero, np.sin(y), zero, one, zero, -np.sin(y), zero, np.cos(y))
    rz = matrix(np.cos(z), -np.sin(z), zero, np.sin(z), np.cos(z), zero, zero, zero, one)
    out = np.tile(np.eye(4), (len(x), 1, 1))
    out[:, :3, :3] = FLIP @ rx.transpose(0, 2, 1) @ ry.transpose(0, 2, 1) @ rz
    out[:, :3, 3] = trans.double().numpy() @ FLIP * _DM_TO_M
    return out


def read_action_units(path: Path, count: int) -> dict[str, Float[ndarray, " n"]]:
    """OpenFace's columns by name, one row a frame; none if there is no such file. Blanks around the names do not matter.

    Raises:
        BadInput: fewer rows than frames, or a value that is no number.
    """
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if len(rows) < count:
        raise BadInput(
            f"{path}: {len(rows)} rows for {count} frames; expected one row a frame; run OpenFace on the whole video at "
            "25 frames a second"
        )
    table = {}
    for name in rows[0]:
        stripped = (name or "").strip()
        if stripped.startswith(("AU", "gaze_angle", "success")):
            try:
                table[stripped] = np.array([float(row[name]) for row in rows])
            except (TypeError, ValueError) as error:
                raise BadInput(f"{path}: column {stripped} holds something else than numbers ({error})") from error
    return table
