"""Reads the gaze of a whole source: rows as they come, drawings beside them, and a screen calibration before."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from gaze_core.assets import resolve
from gaze_core.errors import BadInput
from gaze_core.preprocess.camera_model import Camera, require_fits
from gaze_core.preprocess.gaze_estimators import Estimate, EstimatorName
from gaze_core.preprocess.gaze_overlay import draw_gaze
from gaze_core.preprocess.gaze_pictures import drawings
from gaze_core.preprocess.gaze_reader import FaceReading, GazeReader
from gaze_core.preprocess.gaze_rows import RowWriter, rows_of
from gaze_core.preprocess.gaze_source import LiveCamera, Photographs, Picture, Source, VideoFile
from gaze_core.preprocess.screen_map import (
    MAP_FILE,
    Click,
    ScreenMap,
    left_out_errors_px,
    read_clicks,
    screen_points,
    sight_m,
)

PERSON_FRAMES = 40  # of a video file, from which the head is estimated before its frames are read
_NEAR_CLICK_S = 0.1  # frames on both sides of a click whose median counts

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class GazeOptions:
    """How gaze is read. Workers change the time, never the results."""

    estimator: EstimatorName | Estimate = "landmarks"
    camera: Camera | None = None
    focal_px: float | None = None
    calibration: Path | None = None  # clicks, or a map that was saved
    is_drawn: bool = True
    workers: int = 2

    def camera_of(self, size_px: tuple[int, int], name: str) -> Camera:
        """The camera of pictures of (width, height).

        Raises:
            BadInput: the given camera is of pictures of another size.
        """
        if self.camera is None:
            return Camera.of_focal(size_px, self.focal_px)
        require_fits(self.camera, size_px, name)
        return self.camera


@dataclass
class GazeSummary:
    """What was read. `without` counts the rows without a gaze, by reason."""

    pictures: int = 0
    unreadable: int = 0
    faces: int = 0
    gazes: int = 0
    without: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def add(self, picture: Picture, readings: list[FaceReading]) -> None:
        """Counts one picture."""
        self.pictures += 1
        self.unreadable += picture.image is None
        self.faces += len(readings)
        reasons = [reading.gaze.why_none for reading in readings] or [picture.why_none or "no_face"]
        self.gazes += reasons.count("")
        self.without.update(reason for reason in reasons if reason)


def read_gaze(source: Source, folder: Path, options: GazeOptions, progress: Progress | None = None) -> GazeSummary:
    """Writes `gaze.csv`, `gaze.jsonl` and the drawings of a source into a folder.

    Args:
        source: what is read.
        folder: for the results; created if it does not exist.
        options: how.
        progress: called after each picture as (done, to do or 0 if not known, nan).

    Raises:
        BadInput: nothing can be read, or the camera or the calibration does not fit the source.
        MissingArtifact: the landmarker, or a part of the estimator, is not available.
        NoSpace: the disk is full.
    """
    reader = GazeReader(options.estimator, resolve("face_landmarker"), options.workers)
    summary = GazeSummary()
    _learn_person(source, reader, options, summary)
    screen = _calibrated(source, reader, options, summary) if options.calibration else None
    pictures = readings_of(source, reader, options)
    first = next(pictures)  # before any file is made: there may be no camera
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        rows = files.enter_context(RowWriter(folder, with_screen=screen is not None))
        drawn = files.enter_context(drawings(source, folder)) if options.is_drawn else None
        try:
            for picture, readings in chain([first], pictures):
                summary.add(picture, readings)
                reason = picture.why_none or "no_face"
                points = screen_points(screen, readings)
                rows.write(rows_of(picture.file, picture.number, picture.time_s, readings, reason, points))
                if drawn and picture.image is not None:
                    drawn.write(picture, draw_gaze(picture.image, readings, reason.replace("_", " ")))
                if progress:
                    progress(summary.pictures, source.count or 0, float("nan"))
        except KeyboardInterrupt:
            if not isinstance(source, LiveCamera):  # its way to end
                raise
        if summary.pictures == summary.unreadable:
            raise BadInput(
                f"none of {summary.pictures} pictures can be read: {', '.join(summary.without)}; give others"
            )
    if screen is not None:
        screen.save(folder / MAP_FILE)
    return summary


def readings_of(
    source: Source, reader: GazeReader, options: GazeOptions
) -> Iterator[tuple[Picture, list[FaceReading]]]:
    """Each picture with its faces, one picture at a time: the next one is read when it is asked for."""
    for picture in source.pictures():
        if picture.image is None:
            yield picture, []
            continue
        camera = options.camera_of(_size_px(picture), picture.file)
        read = reader.photograph if isinstance(source, Photographs) else reader.next
        yield picture, read(picture.image, camera)


def _learn_person(source: Source, reader: GazeReader, options: GazeOptions, summary: GazeSummary) -> None:
    if options.camera is None and options.focal_px is None:
        summary.remarks.append(
            "focal length: assumed, 1.2 x the longer side; a wrong one moves heads nearer or farther (--focal-px, --camera)"
        )
    if isinstance(source, VideoFile):
        camera = options.camera_of(source.video.size_px, source.video.path.name)
        if not reader.learn_person(source.spread(PERSON_FRAMES), camera):
            summary.remarks.append(
                "several faces, or none in the frames looked at first: each head is estimated as it comes"
            )


def _calibrated(source: Source, reader: GazeReader, options: GazeOptions, summary: GazeSummary) -> ScreenMap:
    """The map of a calibration, with its errors among the remarks."""
    path = options.calibration
    assert path is not None
    if path.suffix.lower() == ".json":
        return ScreenMap.load(path)
    if isinstance(source, LiveCamera):
        raise BadInput(f"{path}: clicks belong to a recording; for the camera give the {MAP_FILE} of a calibrated one")
    by_time = isinstance(source, VideoFile)
    clicks = read_clicks(path, "time_s" if by_time else "file")
    sights = (
        _video_sights(path, source, clicks, reader, options)
        if isinstance(source, VideoFile)
        else _photo_sights(path, source, clicks, reader, options)
    )
    used = [(sight, (click.x_px, click.y_px)) for sight, click in zip(sights, clicks, strict=True) if sight is not None]
    sights_m, points_px = np.array([a for a, _ in used]).reshape(-1, 2), np.array([b for _, b in used]).reshape(-1, 2)
    screen = ScreenMap.fit(sights_m, points_px)
    errors_px = left_out_errors_px(sights_m, points_px)
    left = f"clicks used: {len(used)} of {len(clicks)}"
    error = (
        f"error of a click that is left out: mean {errors_px.mean():.0f} px, largest {errors_px.max():.0f} px"
        if len(errors_px)
        else "error of a click that is left out: not known with so few; 4 or more tell"
    )
    summary.remarks.append(f"screen: {left}; {error}")
    return screen


Sights = list[np.ndarray | None]


def _video_sights(
    path: Path, source: VideoFile, clicks: list[Click], reader: GazeReader, options: GazeOptions
) -> Sights:
    times_s = source.video.times_s
    for click in clicks:
        if not 0 <= float(click.at) <= times_s[-1] + _NEAR_CLICK_S:
            raise BadInput(f"{path}: a click at {click.at} s, but {source.video.path.name} ends at {times_s[-1]:.2f} s")
    near = [np.flatnonzero(np.abs(times_s - float(click.at)) <= _NEAR_CLICK_S).tolist() for click in clicks]
    found: dict[int, np.ndarray] = {}
    for picture in source.pictures(sorted({number for numbers in near for number in numbers})):
        if (sight := _sight(picture, reader, options)) is not None:
            found[picture.number] = sight
    seen = [[found[number] for number in numbers if number in found] for numbers in near]
    return [np.median(values, axis=0) if values else None for values in seen]


def _photo_sights(
    path: Path, source: Photographs, clicks: list[Click], reader: GazeReader, options: GazeOptions
) -> Sights:
    chosen = {photograph.name: photograph for photograph in source.paths}
    for click in clicks:
        if click.at not in chosen:
            raise BadInput(
                f"{path}: no photograph {click.at} in the input; expected names such as {next(iter(chosen))}"
            )
    wanted = Photographs([chosen[str(click.at)] for click in clicks])
    return [_sight(picture, reader, options) for picture in wanted.pictures()]


def _sight(picture: Picture, reader: GazeReader, options: GazeOptions) -> np.ndarray | None:
    """The sight of the largest face."""
    if picture.image is None:
        return None
    readings = reader.photograph(picture.image, options.camera_of(_size_px(picture), picture.file))
    return sight_m(readings[0]) if readings else None


def _size_px(picture: Picture) -> tuple[int, int]:
    assert picture.image is not None
    return picture.image.shape[1], picture.image.shape[0]
