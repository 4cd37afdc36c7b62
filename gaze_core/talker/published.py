"""Subjects of GaussianTalker, TalkingGaussian and InsTaG as they lie on disk, converted to talker subjects.

What lies there: `ori_imgs/{i}.jpg` and `{i}.lms`, `parsing/{i}.png`, `torso_imgs/{i}.png`, `bc.jpg`, `track_params.pt`,
`transforms_train.json` and `transforms_val.json`, `aud*.npy`, `aud.wav`, `au.csv`. Lengths of the tracker are decimetres;
its camera looks along -z with y up. Without vertices (InsTaG) the head starts from a shell that fits the silhouettes.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.errors import BadInput
from gaze_core.preprocess.head_pose import EYEBALL_RADIUS_M
from gaze_core.preprocess.images import read_image
from gaze_core.preprocess.masks import eye_mask
from gaze_core.sampling import evenly_spaced
from gaze_core.talker.audio import AudioFeatures, features_of, read_features
from gaze_core.talker.film import fitted_sound, read_sound
from gaze_core.talker.film_faces import TalkerPrepareConfig
from gaze_core.talker.layers import clean_plate, torso_layer
from gaze_core.talker.preparation import PrepareSummary
from gaze_core.talker.published_files import FLIP, Subject, image_path, read
from gaze_core.talker.published_signals import LEFT_EYE_POINTS, RIGHT_EYE_POINTS, signals_of
from gaze_core.talker.shell import Sight, start_points
from gaze_core.talker.subject import TalkerSubjectWriter
from gaze_core.talker.subject_schema import (
    BACKGROUND,
    HAIR,
    HEAD_CLASSES,
    LEFT_EYE,
    LIPS,
    MOUTH,
    RIGHT_EYE,
    SKIN,
    TORSO,
    TalkerFacts,
    TalkerSignals,
)

_AUDIO_FILES = {
    "aud_ds.npy": "deepspeech",
    "aud_eo.npy": "wav2vec2_eo",
    "aud_hu.npy": "hubert",
    "aud_ave.npy": "ave",
    "aud.npy": "audio",
}
_EYE_BEHIND_M = 0.0065  # the eyeball's centre behind the middle of the eye's corners
_NUM_SAMPLES, _NUM_PLATE = 12, 24


def is_published(folder: Path) -> bool:
    """Whether a folder looks like a published subject."""
    return (folder / "ori_imgs").is_dir() and any(folder.glob("transforms_*.json"))


def prepare_published(
    folder: Path, out: Path, config: TalkerPrepareConfig, progress: Callable[[int, int, float], None] | None = None
) -> PrepareSummary:
    """Writes the talker subject of a published subject's folder; what it lacks is in its `missing`.

    Raises:
        BadInput: a file is missing without which nothing can be trained, or two files disagree about the frames.
    """
    missing: list[str] = []
    subject = read(folder, missing)
    count = len(subject.ids)
    head_to_track, eyes_m = _head_frame(subject, missing)
    viewmat = subject.viewmat @ head_to_track
    first = read_image(image_path(folder, int(subject.ids[0])))
    scale = min(1.0, config.size_px / max(first.shape[:2]))
    intrinsics = subject.intrinsics.copy()
    intrinsics[:2] *= scale
    audio = _audio(subject, config, missing)
    sound = _sound(folder, int(subject.ids[-1]) + 1, missing)
    signals = signals_of(subject, viewmat, scale, audio, missing)
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


def _head_frame(subject: Subject, missing: list[str]) -> tuple[Float[ndarray, "4 4"], Float[ndarray, "2 3"]]:
    """Our head frame in the tracker's world (its axes, and the middle of the eyeballs), and both eyeballs in it.

    The eyes are where the rays through their landmarks meet, least squares over all frames; frames that all look the same
    way tell no depth, so the world's depth 0 (or that of the nearest vertices) counts a little too.
    """
    rows = np.flatnonzero(subject.valid)
    eyes = np.stack(
        [subject.landmarks[rows][:, part].mean(axis=1) for part in (LEFT_EYE_POINTS, RIGHT_EYE_POINTS)], axis=1
    )
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
    out[:3, :3] = FLIP
    out[:3, 3] = np.mean(centers, axis=0) - [0, 0, _EYE_BEHIND_M]  # z is toward the viewer there
    return out, (np.stack(centers) - np.mean(centers, axis=0)) @ FLIP


def _audio(subject: Subject, config: TalkerPrepareConfig, missing: list[str]) -> AudioFeatures:
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


def _write_frames(
    subject: Subject, signals: TalkerSignals, scale: float, writer: TalkerSubjectWriter, missing: list[str],
    progress: Callable[[int, int, float], None] | None,
) -> tuple[list[tuple[ndarray, ndarray]], list[Sight]]:  # fmt: skip
    valid = np.flatnonzero(subject.valid)
    for_plate, for_points = ({int(valid[k]) for k in evenly_spaced(len(valid), n)} for n in (_NUM_PLATE, _NUM_SAMPLES))
    walls, sights, absent = [], [], 0
    for row, number in enumerate(subject.ids):
        image = _scaled(read_image(image_path(subject.folder, number)), scale)
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
            (LEFT_EYE_POINTS, LEFT_EYE),
            (RIGHT_EYE_POINTS, RIGHT_EYE),
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
