"""Subjects of GaussianTalker, TalkingGaussian and InsTaG as they lie on disk, converted to talker subjects.

What lies there: `ori_imgs/{i}.jpg` and `{i}.lms`, `parsing/{i}.png`, `torso_imgs/{i}.png`, `bc.jpg`, `track_params.pt`,
`transforms_train.json` and `transforms_val.json`, `aud*.npy`, `aud.wav`, `au.csv`. Lengths of the tracker are decimetres;
its camera looks along -z with y up. Without vertices (InsTaG) the head starts from a shell that fits the silhouettes.
"""

import csv
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from gaze_core.errors import BadInput
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.preprocess.face_mesh import IBUG_68
from gaze_core.preprocess.head_pose import EYEBALL_RADIUS_M
from gaze_core.preprocess.images import read_image
from gaze_core.preprocess.masks import eye_mask
from gaze_core.sampling import evenly_spaced
from gaze_core.talker.audio import AudioFeatures, features_of, read_features
from gaze_core.talker.film import fitted_sound, read_sound
from gaze_core.talker.layers import clean_plate, torso_layer
from gaze_core.talker.preparation import PrepareSummary, TalkerPrepareConfig, held_between, nearest_valid
from gaze_core.talker.shell import Sight, start_points
from gaze_core.talker.subject import TalkerSubjectWriter
from gaze_core.talker.subject_schema import (
    BACKGROUND,
    HAIR,
    HEAD_CLASSES,
    HELD_OUT,
    LEFT_EYE,
    LIPS,
    MOUTH,
    RIGHT_EYE,
    SKIN,
    TORSO,
    TRAIN,
    TalkerFacts,
    TalkerSignals,
)

_DM_TO_M = 0.1
_FLIP = np.diag([1.0, -1.0, -1.0])  # from y up and z toward the viewer to OpenCV's axes
_AUDIO_FILES = {
    "aud_ds.npy": "deepspeech",
    "aud_eo.npy": "wav2vec2_eo",
    "aud_hu.npy": "hubert",
    "aud_ave.npy": "ave",
    "aud.npy": "audio",
}
_RIGHT_EYE, _LEFT_EYE = slice(36, 42), slice(42, 48)  # of iBUG 68
_EYE_BEHIND_M = 0.0065  # the eyeball's centre behind the middle of the eye's corners
_CLOSED_AU45, _MOST_AU = 2.0, 5.0
_NUM_SAMPLES, _NUM_PLATE = 12, 24


def is_published(folder: Path) -> bool:
    """Whether a folder looks like a published subject."""
    return (folder / "ori_imgs").is_dir() and any(folder.glob("transforms_*.json"))


@dataclass(frozen=True, eq=False)
class _Subject:
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


def prepare_published(
    folder: Path, out: Path, config: TalkerPrepareConfig, progress: Callable[[int, int, float], None] | None = None
) -> PrepareSummary:
    """Writes the talker subject of a published subject's folder; what it lacks is in its `missing`.

    Raises:
        BadInput: a file is missing without which nothing can be trained, or two files disagree about the frames.
    """
    missing: list[str] = []
    subject = _read(folder, missing)
    count = len(subject.ids)
    head_to_track, eyes_m = _head_frame(subject, missing)
    viewmat = subject.viewmat @ head_to_track
    first = read_image(_image_path(folder, int(subject.ids[0])))
    scale = min(1.0, config.size_px / max(first.shape[:2]))
    intrinsics = subject.intrinsics.copy()
    intrinsics[:2] *= scale
    audio = _audio(subject, config, missing)
    sound = _sound(folder, int(subject.ids[-1]) + 1, missing)
    signals = _signals(subject, viewmat, scale, audio, missing)
    with TalkerSubjectWriter(out) as writer:
        walls, sights = _write_frames(subject, signals, scale, writer, missing, progress)
        plate = _plate(folder, walls, missing)
        face = None
        if subject.vertices_m is not None:
            to_head = np.linalg.inv(head_to_track)
            face = subject.vertices_m @ to_head[:3, :3].T + to_head[:3, 3]
        points, colors = start_points(face, sights, intrinsics, config.num_points, config.seed)
        facts = TalkerFacts(
            name=folder.name, intrinsics=intrinsics, eye_centres_m=eyes_m, eye_radius_m=EYEBALL_RADIUS_M,
            points_m=points, points_rgb=colors, audio_extractor=audio.extractor, audio_rate_hz=audio.rate_hz,
            audio_window=audio.window, source="published", missing=tuple(missing),
            provenance={
                "generator": "gaze_core.talker.published", "folder": folder.name, "config": config.model_dump(mode="json")
            },
        )  # fmt: skip
        writer.finish(facts, signals, plate, sound)
    dropped = {"no_face": int((~signals.valid).sum())} if not signals.valid.all() else {}
    return PrepareSummary(count, int(signals.valid.sum()), dropped, tuple(missing))


def _read(folder: Path, missing: list[str]) -> _Subject:
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
        if not _image_path(folder, number).is_file():
            raise BadInput(f"{folder.name}: no ori_imgs/{number}.jpg, which transforms_*.json names")
        path = folder / "ori_imgs" / f"{number}.lms"
        if path.is_file():
            landmarks[row] = np.loadtxt(path, dtype=np.float64)[:, :2]
    known = np.isfinite(landmarks).all(axis=(1, 2))
    if not known.any():
        raise BadInput(f"{folder.name}: no ori_imgs/*.lms; expected 68 landmarks (x y) of each image")
    viewmat, valid, vertices = _tracked(folder, ids, known, missing)
    intrinsics = np.array([[camera["focal_len"], 0, camera["cx"]], [0, camera["focal_len"], camera["cy"]], [0, 0, 1]])
    return _Subject(folder, ids, split.astype(np.uint8), audio_row, intrinsics, landmarks, viewmat, valid, vertices)


def _image_path(folder: Path, number: int) -> Path:
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
    except pickle.UnpicklingError as error:
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
    out[:, :3, :3] = _FLIP @ rx.transpose(0, 2, 1) @ ry.transpose(0, 2, 1) @ rz
    out[:, :3, 3] = trans.double().numpy() @ _FLIP * _DM_TO_M
    return out


def _head_frame(subject: _Subject, missing: list[str]) -> tuple[Float[ndarray, "4 4"], Float[ndarray, "2 3"]]:
    """Our head frame in the tracker's world (its axes, and the middle of the eyeballs), and both eyeballs in it.

    The eyes are where the rays through their landmarks meet, least squares over all frames; frames that all look the same
    way tell no depth, so the world's depth 0 (or that of the nearest vertices) counts a little too.
    """
    rows = np.flatnonzero(subject.valid)
    eyes = np.stack([subject.landmarks[rows][:, part].mean(axis=1) for part in (_LEFT_EYE, _RIGHT_EYE)], axis=1)
    rays = np.concatenate(
        [(eyes - subject.intrinsics[:2, 2]) / subject.intrinsics[0, 0], np.ones((*eyes.shape[:2], 1))], axis=-1
    )
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    depth_m = 0.0
    if subject.vertices_m is None:
        missing.append("depth of the eyes; taken from the turn of the head")
    centers = []
    for eye in range(2):
        system, right = np.zeros((3, 3)), np.zeros(3)
        for ray, view in zip(rays[:, eye], subject.viewmat[rows], strict=True):
            across = np.eye(3) - np.outer(ray, ray)
            system += view[:3, :3].T @ across @ view[:3, :3]
            right -= view[:3, :3].T @ across @ view[:3, 3]
        weak = 1e-3 * len(rows)
        if subject.vertices_m is not None:
            guess = np.linalg.solve(system + weak * np.diag([0, 0, 1.0]), right)
            near = np.linalg.norm(subject.vertices_m[:, :2] - guess[:2], axis=1).argsort()[:20]
            depth_m = float(subject.vertices_m[near, 2].mean())
        centers.append(np.linalg.solve(system + weak * np.diag([0, 0, 1.0]), right + weak * np.array([0, 0, depth_m])))
    out = np.eye(4)
    out[:3, :3] = _FLIP
    out[:3, 3] = np.mean(centers, axis=0) - [0, 0, _EYE_BEHIND_M]  # z is toward the viewer there
    return out, (np.stack(centers) - np.mean(centers, axis=0)) @ _FLIP


def _audio(subject: _Subject, config: TalkerPrepareConfig, missing: list[str]) -> AudioFeatures:
    """The features that lie there, by the frame's own row; without any, those of the sound."""
    files = [subject.folder / name for name in _AUDIO_FILES if (subject.folder / name).is_file()]
    if not files:
        path = subject.folder / "aud.wav"
        if not path.is_file():
            raise BadInput(f"{subject.folder.name}: neither aud*.npy nor aud.wav; expected the features or the sound")
        missing.append(f"aud*.npy; {config.audio} of aud.wav instead")
        made = features_of(read_sound(path), config.audio, int(subject.audio_row.max()) + 1)
        return AudioFeatures(made.windows[subject.audio_row], made.extractor, made.rate_hz)
    path = files[0]
    read = read_features(path, int(subject.audio_row.max()) + 1, _AUDIO_FILES[path.name], config.audio_rate_hz)
    missing += read.notes
    return AudioFeatures(read.windows[subject.audio_row], read.extractor, read.rate_hz)


def _sound(folder: Path, count: int, missing: list[str]) -> Float[ndarray, " s"] | None:
    path = folder / "aud.wav"
    if not path.is_file():
        missing.append("aud.wav; films have no sound")
        return None
    sound, notes = fitted_sound(read_sound(path), count, path.name)
    missing += notes
    return sound


def _signals(
    subject: _Subject, viewmat: Float[ndarray, "n 4 4"], scale: float, audio: AudioFeatures, missing: list[str]
) -> TalkerSignals:
    count = len(subject.ids)
    lms = subject.landmarks[nearest_valid(subject.valid)]
    points = np.full((count, 478, 2), np.nan)
    points[:, list(IBUG_68)] = subject.landmarks * scale
    table = read_action_units(subject.folder / "au.csv", int(subject.ids[-1]) + 1)
    if "AU45_r" in table:
        blink = np.asarray(table["AU45_r"][subject.ids].clip(0, _CLOSED_AU45) / _CLOSED_AU45)
    else:
        missing.append("AU45_r in au.csv; blinks from the distance of the lids")
        blink = blink_of_landmarks(lms)
    raised = {name: table[name][subject.ids] / _MOST_AU for name in ("AU01_r", "AU02_r", "AU04_r") if name in table}
    if len(raised) < 3:
        missing.append("AU01_r, AU02_r, AU04_r in au.csv; brows are taken as still")
    brows = [raised.get(name, np.zeros(count)) for name in ("AU01_r", "AU02_r", "AU04_r")]
    gaze, sigma = _gaze(table, subject, viewmat, missing)
    eyes_px = np.linalg.norm(lms[:, _RIGHT_EYE].mean(axis=1) - lms[:, _LEFT_EYE].mean(axis=1), axis=1)
    return TalkerSignals(
        frame_id=subject.ids,
        viewmat=viewmat,
        landmarks_px=points,
        blink=np.repeat(blink[:, None], 2, axis=1),
        brows=np.stack(brows, axis=1).clip(0, 1),
        mouth_open=np.linalg.norm(lms[:, 62] - lms[:, 66], axis=1) / eyes_px,
        gaze_head_rad=gaze,
        gaze_sigma_rad=np.full(count, sigma),
        valid=subject.valid,
        audio=audio.windows,
        split=subject.split,
    )


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


def blink_of_landmarks(lms: Float[ndarray, "n 68 2"]) -> Float[ndarray, " n"]:
    """Lids from 0 to 1: distance of the lids over the eye's width, its 85th percentile open, its 2nd closed.

    A film in which that hardly varies has no blink.
    """

    def ratio(eye: Float[ndarray, "n 6 2"]) -> Float[ndarray, " n"]:
        tall = np.linalg.norm(eye[:, 1] - eye[:, 5], axis=1) + np.linalg.norm(eye[:, 2] - eye[:, 4], axis=1)
        return np.asarray(tall / (2 * np.linalg.norm(eye[:, 0] - eye[:, 3], axis=1)))

    mean = (ratio(lms[:, _RIGHT_EYE]) + ratio(lms[:, _LEFT_EYE])) / 2
    closed, open_ = np.percentile(mean, [2, 85])
    closed = min(float(closed), 0.6 * float(open_))
    return np.asarray(((open_ - mean) / max(open_ - closed, 1e-6)).clip(0, 1))


def _gaze(
    table: dict[str, Float[ndarray, " n"]], subject: _Subject, viewmat: Float[ndarray, "n 4 4"], missing: list[str]
) -> tuple[Float[ndarray, "n 2"], float]:
    """OpenFace's gaze (x > 0 to image right, y > 0 down, rad, in the camera) in the head frame."""
    if not {"gaze_angle_x", "gaze_angle_y"} <= set(table):
        missing.append(
            "gaze_angle_x and gaze_angle_y in au.csv; gaze is taken as straight ahead, eyes cannot be turned"
        )
        return np.zeros((len(subject.ids), 2)), float(np.deg2rad(15))
    camera = np.stack([-table["gaze_angle_y"], -table["gaze_angle_x"]], axis=1)[subject.ids]
    vectors = vector_from_pitchyaw(torch.from_numpy(camera)).numpy()
    in_head = np.einsum("nji,nj->ni", viewmat[:, :3, :3], vectors)
    gaze = pitchyaw_from_vector(torch.from_numpy(in_head)).numpy()
    return held_between(gaze, np.isfinite(gaze).all(axis=1) & subject.valid), float(np.deg2rad(8))


def _write_frames(
    subject: _Subject, signals: TalkerSignals, scale: float, writer: TalkerSubjectWriter, missing: list[str],
    progress: Callable[[int, int, float], None] | None,
) -> tuple[list[tuple[ndarray, ndarray]], list[Sight]]:  # fmt: skip
    valid = np.flatnonzero(subject.valid)
    for_plate, for_points = ({int(valid[k]) for k in evenly_spaced(len(valid), n)} for n in (_NUM_PLATE, _NUM_SAMPLES))
    walls, sights, absent = [], [], 0
    for row, number in enumerate(subject.ids):
        image = _scaled(read_image(_image_path(subject.folder, number)), scale)
        parsing = cv2.imread(str(subject.folder / "parsing" / f"{number}.png"))
        if parsing is None:
            name = f"{subject.folder.name}: no readable parsing/{number}.png"
            raise BadInput(f"{name}; expected the label colours of each image")
        labels = published_labels(_scaled(parsing, scale, exact=True), subject.landmarks[row] * scale)
        torso = cv2.imread(str(subject.folder / "torso_imgs" / f"{number}.png"), cv2.IMREAD_UNCHANGED)
        if torso is None or torso.shape[2] != 4:
            absent += 1
            layer = torso_layer(image, labels)
        else:
            layer = _scaled(torso, scale)[..., [2, 1, 0, 3]]
        writer.append(image, labels, layer)
        if row in for_plate:
            walls.append((image, labels == BACKGROUND))
        if row in for_points:
            sights.append(Sight(image, np.isin(labels, HEAD_CLASSES), signals.viewmat[row]))
        if progress:
            progress(row + 1, len(subject.ids), float("nan"))
    if absent:
        missing.append(f"{absent} of torso_imgs; made from the images")
    return walls, sights


def published_labels(parsing_bgr: UInt8[ndarray, "h w 3"], lms: Float[ndarray, "68 2"]) -> UInt8[ndarray, "h w"]:
    """Our classes of the published colours; eyes and lips, which these do not tell, from the landmarks."""
    size = parsing_bgr.shape[:2]
    labels = np.full(size, BACKGROUND, np.uint8)
    colours = {(255, 0, 0): SKIN, (0, 0, 0): HAIR, (100, 100, 100): MOUTH, (0, 255, 0): TORSO, (0, 0, 255): TORSO}
    for colour, label in colours.items():
        labels[(parsing_bgr == colour).all(axis=-1)] = label
    if np.isfinite(lms).all():
        for part, label in (
            (slice(48, 60), LIPS),
            (slice(60, 68), MOUTH),
            (_LEFT_EYE, LEFT_EYE),
            (_RIGHT_EYE, RIGHT_EYE),
        ):
            labels[(eye_mask(size, lms[part]) > 0) & np.isin(labels, HEAD_CLASSES)] = label
    return labels


def _scaled(image: UInt8[ndarray, "h w c"], scale: float, exact: bool = False) -> UInt8[ndarray, "y x c"]:
    if scale == 1.0:
        return image
    size = tuple(round(side * scale) for side in image.shape[1::-1])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST if exact else cv2.INTER_AREA))


def _plate(folder: Path, walls: list[tuple[ndarray, ndarray]], missing: list[str]) -> UInt8[ndarray, "h w 3"]:
    path = folder / "bc.jpg"
    height, width = walls[0][0].shape[:2]
    if path.is_file():
        return np.asarray(cv2.resize(read_image(path), (width, height), interpolation=cv2.INTER_AREA))
    missing.append("bc.jpg; the background was put together from the images")
    return clean_plate([one for one, _ in walls], [wall for _, wall in walls])[0]
