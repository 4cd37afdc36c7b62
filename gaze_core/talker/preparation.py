"""A video of one speaking person to a talker subject.

Two passes: the first finds the face in each frame and fits one head to all of them; the second crops, labels and writes.
Frames without a face stay, marked as not valid, so that sound and picture keep their times.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.assets import resolve
from gaze_core.data.schema import ARKIT
from gaze_core.errors import BadInput, reasons_text
from gaze_core.preprocess.head_pose import EYEBALL_RADIUS_M
from gaze_core.preprocess.landmark_gaze import LandmarkGaze
from gaze_core.preprocess.landmarks import FaceLandmarker
from gaze_core.preprocess.masks import HeadSegmenter, Mask, downscaled
from gaze_core.preprocess.silhouettes import steady_masks
from gaze_core.sampling import evenly_spaced
from gaze_core.talker.audio import features_of, read_features
from gaze_core.talker.film import Film, fitted_sound, open_film, read_sound
from gaze_core.talker.film_faces import MIN_FRAMES, Faces, Fit, TalkerPrepareConfig, find_faces, fitted
from gaze_core.talker.frame_values import closing, held_between, nearest_valid, opening
from gaze_core.talker.layers import clean_plate, torso_layer
from gaze_core.talker.segmentation import TorsoSegmenter, label_map
from gaze_core.talker.shell import Sight, start_points
from gaze_core.talker.subject import TalkerSubjectWriter
from gaze_core.talker.subject_schema import BACKGROUND, HEAD_CLASSES, TalkerFacts, TalkerSignals, held_out_end

FEW_FRAMES = 4500  # three minutes: below, lips are known to follow the sound badly
_NUM_SAMPLES, _NUM_PLATE = 12, 24
_UNKNOWN_GAZE_RAD = 0.35  # expected error where the eyes are closed


@dataclass(frozen=True)
class PrepareSummary:
    """What came out: frames, those without a usable face by reason, and remarks."""

    num_frames: int
    num_valid: int
    dropped: dict[str, int]
    notes: tuple[str, ...]


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
    faces = find_faces(film, count, FaceLandmarker(landmarker), advance)
    if len(faces.found) < MIN_FRAMES:
        raise _too_few(path, count, len(faces.found), faces.dropped)
    fit = fitted(faces, config, landmarker)
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


def _write_frames(
    film: Film, count: int, faces: Faces, fit: Fit, config: TalkerPrepareConfig, writer: TalkerSubjectWriter,
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
    film: Film, count: int, faces: Faces, fit: Fit
) -> Iterator[tuple[int, UInt8[ndarray, "s s 3"], Float[ndarray, "478 2"]]]:
    """The cut frames with a valid pose, and their landmarks."""
    for index, image in film.frames():
        if index >= count:
            return
        if image is not None and index in fit.poses:
            yield index, fit.cut(image), fit.points(faces.found[index])


def _learned(film: Film, faces: Faces, fit: Fit, valid: list[int]) -> tuple[HeadSegmenter, TorsoSegmenter]:
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
    faces: Faces, fit: Fit, count: int, windows: Float[ndarray, "n w c"], config: TalkerPrepareConfig
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
