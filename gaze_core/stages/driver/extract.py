"""Stage: extracts labelled faces, images of both views and splits from a drive's video and eye tracker table."""

import json
from collections import Counter
from pathlib import Path

import cv2

from gaze_core.artifacts import Produced, file_sha256, files_in, only_entry
from gaze_core.assets import resolve
from gaze_core.atomic import replacing, write_text
from gaze_core.data.splits import SPLITS_FILE, DatasetSplits, write_splits
from gaze_core.driver.extraction import ExtractConfig, label_drive
from gaze_core.driver.record import IMAGES, image_name
from gaze_core.driver.sensors import GazeTrack, read_track
from gaze_core.driver.tiles import TileLayout, open_drive_video, tile
from gaze_core.errors import BadInput
from gaze_core.preprocess.images import RgbImage
from gaze_core.preprocess.video_reader import Video, read_video
from gaze_core.sampling import evenly_spaced
from gaze_core.stages.context import Inputs, StageContext

NAME, VERSION = "driver_extract", 5
_DECODED_FILE, _JPEG_QUALITY = "decoded.json", 95
_FACE_FRAMES = 25  # decoding that many frames takes about as long as one face detection; for the progress bar


def run(config: ExtractConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Reads `inputs["video"]` and, where given, `inputs["sensors"]` and `inputs["road"]` (a video of its own).

    Raises:
        BadInput: a file is not valid, or no frame is usable.
    """
    video = only_entry(inputs["video"])
    footage = open_drive_video(video, config.layout)
    road = open_drive_video(only_entry(inputs["road"]), TileLayout()) if inputs.get("road") else None
    _require_same_length(footage, road)
    track = read_track(only_entry(inputs["sensors"]), config.columns) if inputs.get("sensors") else None
    folder = context.work_dir / "drive"
    wanted, dropped = _with_labels(footage, config.num_frames, track)
    steps = footage.num_frames + 2 * _FACE_FRAMES * len(wanted)
    decoded, faults = _decode(footage, road, wanted, config.layout, folder, context, steps)
    if not decoded:
        raise BadInput(f"{video.name}: none of {len(wanted)} frames can be decoded ({faults}); use another recording")
    dropped.update(faults)
    done = footage.num_frames

    def advance() -> None:
        nonlocal done
        done += _FACE_FRAMES
        context.progress(min(done, steps), steps, float("nan"))

    duration_s = footage.num_frames / footage.frames_per_s
    record, splits = label_drive(
        video.stem, folder, decoded, track, duration_s, config, resolve("face_landmarker"), advance
    )
    dropped.update(record.dropped)
    beyond = sum(frame >= footage.num_frames for frame in track.gaze) if track else 0
    warnings = (
        *record.warnings,
        *([f"{beyond} frames of the table lie beyond the end of the video"] if beyond else []),
    )
    record = record.model_copy(
        update={
            "video_sha256": file_sha256(video),
            "has_road": road is not None or config.layout.road is not None,
            "requested": min(config.num_frames, footage.num_frames),
            "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
            "warnings": warnings,
        }
    )
    for warning in warnings:
        context.logger.warning("%s: %s", video.name, warning)
    record.write(folder)
    write_splits(folder / SPLITS_FILE, DatasetSplits(subjects=(splits,)))
    (folder / _DECODED_FILE).unlink()
    return Produced(
        kind="dataset",
        files=files_in(folder),
        metrics=_metrics(record.mount, splits),
        dropped=record.dropped,
        normalization=config.normalization.resized(config.size_px).model_dump(mode="json"),
        notes=warnings,
        subjects={role: (record.name,) for role in ("train", "validation", "test") if getattr(splits, role)},
    )


def _require_same_length(footage: Video, road: Video | None) -> None:
    if road and abs(road.num_frames - footage.num_frames) > 0.01 * footage.num_frames + 1:
        raise BadInput(
            f"{road.path.name} has {road.num_frames} frames, {footage.path.name} has {footage.num_frames}; expected the "
            "same number, frame by frame; convert both to one frame rate"
        )


def _with_labels(footage: Video, num_frames: int, track: GazeTrack | None) -> tuple[list[int], Counter[str]]:
    """The evenly spaced frames that have a label, and counts of the reasons for the others."""
    wanted = evenly_spaced(footage.num_frames, num_frames)
    if track is None:
        return wanted, Counter()
    dropped = Counter(fault for frame in wanted if (fault := track.fault(frame)))
    labelled = [frame for frame in wanted if not track.fault(frame)]
    if not labelled:
        raise BadInput(
            f"none of {len(wanted)} frames of {footage.path.name} has a gaze in the table ({dict(dropped)}; the table's "
            f"frames run from {min(track.gaze)} to {max(track.gaze)}, the video has {footage.num_frames}); check that "
            "they belong together"
        )
    return labelled, dropped


def _decode(
    footage: Video,
    road: Video | None,
    wanted: list[int],
    layout: TileLayout,
    folder: Path,
    context: StageContext,
    steps: int,
) -> tuple[dict[int, float], dict[str, int]]:
    """Writes the images of the wanted frames, unless an earlier attempt did.

    Returns:
        The times of the decoded frames, by frame number, and the counts of undecodable frames, by reason.
    """
    record = folder / _DECODED_FILE
    if record.is_file():
        found = json.loads(record.read_text())
        return {int(frame): time_s for frame, time_s in found["times_s"].items()}, found["faults"]
    for view in ("driver", "road"):
        (folder / IMAGES / view).mkdir(parents=True, exist_ok=True)
    times_s: dict[int, float] = {}
    faults: Counter[str] = Counter()
    for frame in read_video(footage, wanted):
        if isinstance(frame, int):
            context.progress(frame, steps, float("nan"))
        elif frame.rgb is None:
            faults[frame.fault] += 1
        else:
            _write(folder / image_name(frame.number, "driver"), tile(frame.rgb, layout.driver))
            if layout.road and not road:
                _write(folder / image_name(frame.number, "road"), tile(frame.rgb, layout.road))
            times_s[frame.number] = frame.time_s
    for frame in read_video(road, list(times_s)) if road else ():
        if isinstance(frame, int):
            continue
        if frame.rgb is None:  # a frame is kept with both views or not at all
            faults[frame.fault] += 1
            del times_s[frame.number]
            (folder / image_name(frame.number, "driver")).unlink()
        else:
            _write(folder / image_name(frame.number, "road"), frame.rgb)
    write_text(record, json.dumps({"times_s": times_s, "faults": faults}))
    return times_s, dict(faults)


def _write(path: Path, rgb: RgbImage) -> None:
    """Writes a JPEG atomically."""
    if path.is_file():
        return
    encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    with replacing(path) as partial:
        partial.write_bytes(encoded.tobytes())


def _metrics(mount: object, splits: object) -> dict[str, float]:
    numbers = {f"num_{role}": float(len(getattr(splits, role))) for role in ("train", "validation", "test")}
    for name in ("residual_median_deg", "held_out_median_deg"):
        if (value := getattr(mount, name, None)) is not None:
            numbers[f"mount_{name}"] = float(value)
    return numbers
