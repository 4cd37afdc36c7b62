"""A video of one speaking person to a talker subject.

Two passes: the first finds the face in each frame and fits one head to all of them; the second crops, labels and writes.
Frames without a face stay, marked as not valid, so that sound and picture keep their times.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from gaze_core.assets import resolve
from gaze_core.config import Config
from gaze_core.data.schema import ARKIT
from gaze_core.errors import BadInput, reasons_text
from gaze_core.preprocess.face_mesh import CORNERS, read_average_face
from gaze_core.preprocess.head_pose import EYEBALL_RADIUS_M, HeadModel, Pose, intrinsics_of, smooth_poses
from gaze_core.preprocess.landmark_gaze import LandmarkGaze
from gaze_core.preprocess.landmarks import Face, FaceLandmarker
from gaze_core.preprocess.masks import HeadSegmenter, Mask, downscaled
from gaze_core.preprocess.person import fit_person
from gaze_core.preprocess.silhouettes import steady_masks
from gaze_core.sampling import evenly_spaced
from gaze_core.talker.audio import features_of, read_features
from gaze_core.talker.film import Film, fitted_sound, open_film, read_sound
from gaze_core.talker.layers import clean_plate, torso_layer
from gaze_core.talker.segmentation import TorsoSegmenter, label_map
from gaze_core.talker.shell import Sight, start_points
from gaze_core.talker.subject import TalkerSubjectWriter
from gaze_core.talker.subject_schema import BACKGROUND, HEAD_CLASSES, TalkerFacts, TalkerSignals, held_out_end

MIN_FRAMES = 50  # two seconds; published talkers need 250 and are good with thousands
FEW_FRAMES = 4500  # three minutes: below, lips are known to follow the sound badly
_NUM_SAMPLES, _NUM_PLATE = 12, 24
_ABOVE, _BELOW, _BESIDE = 0.75, 0.65, 0.9  # of the face's height, around all faces of the film
_UNKNOWN_GAZE_RAD = 0.35  # expected error where the eyes are closed


class TalkerPrepareConfig(Config):
    """How a video or a published folder becomes a talker subject."""

    size_px: PositiveInt = Field(256, ge=32)  # of the square images; a smaller crop is not enlarged
    max_frames: PositiveInt | None = None  # from the beginning
    held_out_share: float = Field(1 / 11, gt=0, lt=0.5)  # of the end of the film
    audio: str = "log_mel"  # features of the sound, or a file of features beside the video (.npy)
    audio_rate_hz: PositiveFloat | None = None  # of such a file's stream
    focal_factor: PositiveFloat = 1.2  # assumed focal length over the image's longer side
    smooth_frames: NonNegativeFloat = 1.0  # sigma of the poses' smoothing over time
    smooth_masks_frames: NonNegativeFloat = 1.0
    max_misfit: PositiveFloat = 0.06  # RMS of the rigid landmarks over the eyes' distance
    num_points: PositiveInt = 6000  # from which a model starts
    seed: NonNegativeInt = 0


@dataclass(frozen=True)
class PrepareSummary:
    """What came out: frames, those without a usable face by reason, and remarks."""

    num_frames: int
    num_valid: int
    dropped: dict[str, int]
    notes: tuple[str, ...]


@dataclass(eq=False)
class _Faces:
    """The first pass: the face of each frame that shows one."""

    found: dict[int, Face] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    num_frames: int = 0
    size_px: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class _Fit:
    """One head for all frames, and the square that is cut out of each frame."""

    head: HeadModel
    poses: dict[int, Pose]
    corner_px: tuple[int, int]
    side_px: int
    size_px: int
    camera: Float[ndarray, "3 3"]  # of whole frames
    intrinsics: Float[ndarray, "3 3"]  # of the stored squares

    def cut(self, image: UInt8[ndarray, "h w 3"]) -> UInt8[ndarray, "s s 3"]:
        (x, y), side = self.corner_px, self.side_px
        square = image[y : y + side, x : x + side]
        if side == self.size_px:
            return np.ascontiguousarray(square)
        return np.asarray(cv2.resize(square, (self.size_px, self.size_px), interpolation=cv2.INTER_AREA))

    def points(self, face: Face) -> Float[ndarray, "478 2"]:
        return np.asarray((face.points_px[:, :2] - self.corner_px) * (self.size_px / self.side_px), np.float64)


def prepare_video(
    path: Path, folder: Path, config: TalkerPrepareConfig, progress: Callable[[int, int, float], None] | None = None,
    landmarker: Path | None = None, features: Path | None = None,
) -> PrepareSummary:  # fmt: skip
    """Writes the talker subject of a video with sound.

    Args:
        path: the video.
        folder: of the subject; it appears complete or not at all.
        config: settings.
        progress: called after each frame of both passes as (done, to do, nan).
        landmarker: the face landmarker (`.task`); found by `gaze_core.assets` if None.
        features: a file of audio features instead of `config.audio`.

    Raises:
        BadInput: no video, no sound, too short, too few frames with one usable face, or features that do not fit.
        MissingArtifact: the landmarker is not available.
    """
    film = open_film(path)
    sound = read_sound(path)
    count = min(len(film), config.max_frames or len(film))
    if count < MIN_FRAMES:
        raise BadInput(
            f"{path.name}: {count} frames at 25 a second; expected {MIN_FRAMES} at least, better some minutes"
        )
    sound, notes = fitted_sound(sound[: round(count / 25 * 16_000)] if config.max_frames else sound, count, path.name)
    audio = (
        features_of(sound, config.audio, count)
        if features is None
        else read_features(features, count, rate_hz=config.audio_rate_hz)
    )
    landmarker = landmarker or resolve("face_landmarker")
    advance = _Advance(progress, 2 * count)
    faces = _find_faces(film, count, FaceLandmarker(landmarker), advance)
    if len(faces.found) < MIN_FRAMES:
        raise _too_few(path, count, len(faces.found), faces.dropped)
    fit = _fitted(faces, config, landmarker)
    if len(fit.poses) < MIN_FRAMES:
        raise _too_few(path, count, len(fit.poses), faces.dropped)
    notes += audio.notes + _remarks(film, count, faces.dropped)
    signals = _signals(faces, fit, count, audio.windows, config)
    with TalkerSubjectWriter(folder) as writer:
        plate, seen, sights = _write_frames(film, count, faces, fit, config, writer, advance)
        if seen < 1:
            notes += (f"{100 * (1 - seen):.0f} % of the background is never seen; filled from beside it",)
        points, colors = start_points(fit.head.points_m, sights, fit.intrinsics, config.num_points, config.seed)
        facts = TalkerFacts(
            name=path.stem, intrinsics=fit.intrinsics, eye_centres_m=fit.head.eye_centers_m, eye_radius_m=EYEBALL_RADIUS_M,
            points_m=points, points_rgb=colors, audio_extractor=audio.extractor, audio_rate_hz=audio.rate_hz,
            audio_window=audio.window, source="video", missing=notes,
            provenance={
                "generator": "gaze_core.talker.preparation", "config": config.model_dump(mode="json"),
                "recording": path.name, "frames_per_s": film.video.frames_per_s, "dropped": dict(faces.dropped),
            },
        )  # fmt: skip
        writer.finish(facts, signals, plate, sound)
    return PrepareSummary(count, int(signals.valid.sum()), dict(faces.dropped), notes)


class _Advance:
    """Progress over the frames of both passes."""

    def __init__(self, progress: Callable[[int, int, float], None] | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(min(self._done, self._total), self._total, float("nan"))


def _too_few(path: Path, count: int, found: int, dropped: Counter[str]) -> BadInput:
    return BadInput(
        f"{path.name}: {found} of {count} frames show one usable face ({reasons_text(dropped)}); expected {MIN_FRAMES} at "
        "least; give a video in which one person speaks to the camera"
    )


def _remarks(film: Film, count: int, dropped: Counter[str]) -> tuple[str, ...]:
    notes = []
    if film.is_converted:
        notes.append(f"{film.video.frames_per_s:.2f} frames a second, converted to 25 by time")
    if dropped:
        notes.append(f"frames without a usable face: {reasons_text(dropped)}")
    if count < FEW_FRAMES:
        notes.append(f"{count / 25:.0f} s of film; lips follow the sound well from about three minutes on")
    return tuple(notes)


def _find_faces(film: Film, count: int, find: FaceLandmarker, advance: Callable[[], None]) -> _Faces:
    faces = _Faces(num_frames=count)
    for index, image in film.frames():
        if index >= count:
            break
        if image is None:
            faces.dropped["not_decodable"] += 1
        elif found := find.faces(image):
            faces.found[index], faces.size_px = found[0], image.shape[1::-1]
        else:
            faces.dropped["no_face"] += 1
        advance()
    return faces


def _fitted(faces: _Faces, config: TalkerPrepareConfig, landmarker: Path) -> _Fit:
    camera = intrinsics_of(faces.size_px, config.focal_factor)
    index = list(faces.found)
    person = fit_person(list(faces.found.values()), read_average_face(landmarker), camera)
    smooth = smooth_poses(person.poses, index, config.smooth_frames)
    good = [misfit <= config.max_misfit for misfit in person.misfits]
    if bad := good.count(False):
        faces.dropped["pose_not_fit"] += bad
    poses = {k: pose for k, pose, fits in zip(index, smooth, good, strict=True) if fits}
    corner, side = _square(faces)
    size = min(config.size_px, side) // 2 * 2
    intrinsics = camera.copy()
    intrinsics[:2, 2] -= corner
    intrinsics[:2] *= size / side
    return _Fit(person.head, poses, corner, side, size, camera, intrinsics)


def _square(faces: _Faces) -> tuple[tuple[int, int], int]:
    """The square, (x, y) and side, around all faces with hair and shoulders, as far as the image reaches."""
    points = np.stack([face.points_px[:, :2] for face in faces.found.values()])
    low, high = np.percentile(points.min(axis=1), 2, axis=0), np.percentile(points.max(axis=1), 98, axis=0)
    height = float(np.median(np.ptp(points[..., 1], axis=1)))
    top, bottom = low[1] - _ABOVE * height, high[1] + _BELOW * height
    wide = high[0] - low[0] + 2 * _BESIDE * height
    side = int(min(max(bottom - top, wide), *faces.size_px))
    middle = np.array([(low[0] + high[0]) / 2, (top + bottom) / 2])
    x, y = (int(np.clip(m - side / 2, 0, whole - side)) for m, whole in zip(middle, faces.size_px, strict=True))
    return (x, y), side


def _write_frames(
    film: Film, count: int, faces: _Faces, fit: _Fit, config: TalkerPrepareConfig, writer: TalkerSubjectWriter,
    advance: Callable[[], None],
) -> tuple[UInt8[ndarray, "s s 3"], float, list[Sight]]:  # fmt: skip
    """Labels and writes each frame; the background plate, how much of it was seen, and some frames to start points from."""
    valid = sorted(fit.poses)
    segment, torso = _learned(film, faces, fit, valid)
    for_plate, for_points = ({valid[k] for k in evenly_spaced(len(valid), n)} for n in (_NUM_PLATE, _NUM_SAMPLES))
    walls: list[tuple[ndarray, ndarray]] = []
    sights: list[Sight] = []
    last = np.zeros((fit.size_px, fit.size_px, 3), np.uint8)
    labelled = steady_masks(_faces_of(film, count, faces, fit), segment, config.smooth_masks_frames)
    following = next(labelled, None)
    for index, image in film.frames():
        if index >= count:
            break
        last = last if image is None else fit.cut(image)
        if following is None or following[0] != index:  # no face: everything may be the person's
            writer.append(last, np.zeros(last.shape[:2], np.uint8), np.zeros((*last.shape[:2], 4), np.uint8))
        else:
            head = following[2]
            labels = label_map(
                last, head, torso(last, head, fit.points(faces.found[index])), fit.points(faces.found[index])
            )
            writer.append(last, labels, torso_layer(last, labels))
            if index in for_plate:
                walls.append((last, labels == BACKGROUND))
            if index in for_points:
                sights.append(Sight(last, np.isin(labels, HEAD_CLASSES), fit.poses[index].matrix))
            following = next(labelled, None)
        advance()
    plate, seen = clean_plate([one for one, _ in walls], [wall for _, wall in walls])
    return plate, seen, sights


def _faces_of(
    film: Film, count: int, faces: _Faces, fit: _Fit
) -> Iterator[tuple[int, UInt8[ndarray, "s s 3"], Float[ndarray, "478 2"]]]:
    """The cut frames with a valid pose, and their landmarks."""
    for index, image in film.frames():
        if index >= count:
            return
        if image is not None and index in fit.poses:
            yield index, fit.cut(image), fit.points(faces.found[index])


def _learned(film: Film, faces: _Faces, fit: _Fit, valid: list[int]) -> tuple[HeadSegmenter, TorsoSegmenter]:
    """Segmenters with the colours of some frames."""
    chosen = {valid[k] for k in evenly_spaced(len(valid), _NUM_SAMPLES)}
    frames = [
        (image, points) for index, image, points in _faces_of(film, max(chosen) + 1, faces, fit) if index in chosen
    ]
    segment = HeadSegmenter([downscaled(image, points) for image, points in frames])
    heads: list[Mask] = [segment(image, points) for image, points in frames]
    samples = [(image, head, points) for (image, points), head in zip(frames, heads, strict=True)]
    return segment, TorsoSegmenter(samples)


def _signals(
    faces: _Faces, fit: _Fit, count: int, windows: Float[ndarray, "n w c"], config: TalkerPrepareConfig
) -> TalkerSignals:
    valid = np.zeros(count, bool)
    valid[list(fit.poses)] = True
    nearest = nearest_valid(valid)
    reader = LandmarkGaze.load()
    rows = sorted(fit.poses)
    read = [reader.read(faces.found[k], fit.poses[k], fit.head, fit.camera) for k in rows]
    gaze = held_between(np.stack([one.gaze_head for one in read]), np.array([one.valid for one in read]))
    sigma = np.array([one.sigma_rad if one.valid else _UNKNOWN_GAZE_RAD for one in read])
    code = np.stack([faces.found[k].expression for k in rows])
    points = np.stack([fit.points(faces.found[k]) for k in rows])
    place = np.searchsorted(rows, nearest)

    def action(*names: str) -> Float[ndarray, " n"]:
        return np.asarray(code[:, [ARKIT.index(name) for name in names]].mean(axis=1))

    brows = (
        action("browInnerUp"),
        action("browOuterUpLeft", "browOuterUpRight"),
        action("browDownLeft", "browDownRight"),
    )
    landmarks = points[place]
    landmarks[~valid] = np.nan
    return TalkerSignals(
        frame_id=np.arange(count),
        viewmat=np.stack([fit.poses[k].matrix for k in rows])[place],
        landmarks_px=landmarks,
        blink=np.stack([closing(action(f"eyeBlink{side}")) for side in ("Left", "Right")], axis=1)[place],
        brows=np.stack(brows, axis=1)[place].clip(0, 1),
        mouth_open=opening(points)[place],
        gaze_head_rad=gaze[place],
        gaze_sigma_rad=sigma[place],
        valid=valid,
        audio=windows,
        split=held_out_end(count, config.held_out_share),
    )


def opening(points: Float[ndarray, "n 478 2"]) -> Float[ndarray, " n"]:
    """Distance of the inner lips over that of the eyes."""
    eyes = [points[:, list(corners)].mean(axis=1) for corners in (CORNERS.left, CORNERS.right)]
    return np.asarray(np.linalg.norm(points[:, 13] - points[:, 14], axis=1) / np.linalg.norm(eyes[0] - eyes[1], axis=1))


def closing(raw: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Lids from 0 to 1 of a coefficient that differs between people: 30th percentile open, largest values closed."""
    low = np.percentile(raw, 30)
    high = max(float(np.percentile(raw, 99.5)), float(low) + 0.35)  # a film without a blink does not invent one
    return np.asarray(((raw - low) / (high - low)).clip(0, 1))


def nearest_valid(valid: ndarray) -> Int[ndarray, " n"]:
    """For each frame the nearest valid one."""
    rows = np.flatnonzero(valid)
    after = np.searchsorted(rows, np.arange(len(valid))).clip(0, len(rows) - 1)
    before = (after - 1).clip(0)
    frames = np.arange(len(valid))
    return np.asarray(
        np.where(np.abs(rows[before] - frames) <= np.abs(rows[after] - frames), rows[before], rows[after])
    )


def held_between(values: Float[ndarray, "n k"], known: ndarray) -> Float[ndarray, "n k"]:
    """The values, straight between known ones where they are not known."""
    if not known.any():
        return np.zeros_like(values)
    rows = np.arange(len(values))
    return np.stack([np.interp(rows, rows[known], column[known]) for column in values.T], axis=1)
