"""Reads a recording in the official layout of EVE: labels at once, both films in step, each decoded once and in order."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from gaze_core.data.adapters.hdf5 import opened
from gaze_core.errors import BadInput
from gaze_core.estimation.eve_checks import in_order, mistake_in, times_of
from gaze_core.estimation.eve_layout import CAMERAS, EveSource, participants, steps
from gaze_core.estimation.recording_schema import IMAGES, RecordingInfo, Screen
from gaze_core.estimation.screen import gaze_at
from gaze_core.estimation.sources import BLOCK_FRAMES, Block, CropSizes, Opened, Source, resized
from gaze_core.preprocess.video_reader import Video, VideoFrame, open_video, read_video

SCREEN_PX = (1920, 1080)
_MM = 1e-3
_JUMP_S = 0.1  # shorter gaps, of a frame or two that the camera lost, are usual and not worth a line
Labels = dict[str, ndarray]


def eve_sources(root: Path, cameras: tuple[str, ...], problems: list[str]) -> list[Source]:
    """The recordings of these cameras below `root`; participants who lack a camera are noted in `problems`."""
    found = []
    for name, split in participants(root):
        for camera in cameras:
            recordings = list(steps(root, name, split, camera))
            there = [eve for eve in recordings if eve.files()]
            if recordings and not there:
                problems.append(f"{name}: no recording of camera {camera}; the participant is left out for it")
            found += [Source(eve.label, eve.files(), partial(_opened, eve)) for eve in there]
    return found


def _opened(eve: EveSource, source: Source, sizes: CropSizes) -> Opened:
    """Labels and films of a recording.

    Raises:
        BadInput: a file is missing or damaged, no label is valid, or labels contradict each other.
    """
    for path in (eve.labels, eve.timestamps, eve.film("face"), eve.film("eyes")):
        if not path.is_file():
            raise BadInput(f"no {path.name}; expected it beside the recording's other files")
    videos = [open_video(eve.film(part)) for part in ("face", "eyes")]
    with opened(eve.labels) as file:
        screen = _screen(file)
        labels = _labels(file, screen, source)
        stored_source = str(file.attrs.get("source", "eve"))
    stamps = _stamps(eve.timestamps)
    counts = {"labels": len(labels["gaze_rad"]), "times": len(stamps), **{v.path.name: v.num_frames for v in videos}}
    count = min(counts.values())
    if len(set(counts.values())) > 1:
        source.note(f"differing numbers of frames ({', '.join(f'{k} {n}' for k, n in counts.items())}); uses {count}")
    labels = {name: values[:count] for name, values in labels.items()}
    rate_hz = CAMERAS[eve.camera]
    labels["time_s"] = times_of(stamps[:count], rate_hz)
    kept = _kept(labels["time_s"], rate_hz, source)
    info = RecordingInfo(
        participant=eve.participant, step=eve.step, stimulus=eve.stimulus, camera=eve.camera, split=eve.split,
        rate_hz=rate_hz, face_px=sizes.face_px, eye_px=sizes.eye_px, screen=screen, source=stored_source,
    )  # fmt: skip
    return Opened(info, count, _blocks(videos, labels, kept, sizes, source))


def _kept(time_s: Float[ndarray, " n"], rate_hz: float, source: Source) -> Bool[ndarray, " n"]:
    """Frames in order of time; notes on those that are not, and on jumps."""
    kept = in_order(time_s)
    if not kept.all():
        source.note(f"times go back after frame {int(np.argmin(kept)) - 1}; {int((~kept).sum())} frames left out")
    jumps_s = np.diff(time_s[kept])
    jumps_s = jumps_s[jumps_s > _JUMP_S]
    if len(jumps_s):
        source.note(f"times jump at {len(jumps_s)} places, by at most {jumps_s.max():.2f} s; no clip crosses them")
    if kept.sum() == 1:
        source.note("has one frame, too few for a clip")
    return kept


def _stamps(path: Path) -> ndarray:
    try:
        lines = path.read_text().split()
        # Whole numbers stay whole: nanoseconds since 1970 have more digits than a float.
        stamps = np.array([float(line) if "." in line else int(line) for line in lines])
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name}: expected one number a line ({error}); download it again") from error
    if not len(stamps):
        raise BadInput(f"{path.name}: is empty; expected one time for each frame")
    return stamps - stamps[0]


def _screen(file: h5py.File) -> Screen:
    try:
        matrix = np.array(file["camera_transformation"][()], dtype=np.float64).reshape(4, 4)
        per_px = np.array(file["millimeters_per_pixel"][()], dtype=np.float64).reshape(2)
    except (KeyError, OSError, ValueError) as error:
        raise BadInput(f"{Path(file.filename).name}: lacks the screen ({error}); download it again") from error
    matrix[:3, 3] *= _MM
    size_m = tuple(float(value) for value in per_px * _MM * np.asarray(SCREEN_PX))
    return Screen(size_px=SCREEN_PX, size_m=size_m, to_camera=tuple(map(tuple, matrix.tolist())))  # type: ignore[arg-type]


def _labels(file: h5py.File, screen: Screen, source: Source) -> Labels:
    """All labels; NaN where one is missing or marked as invalid."""

    def read(name: str, *shape: int) -> tuple[ndarray, Bool[ndarray, " n"]] | None:
        group = file.get(name)
        if not isinstance(group, h5py.Group) or "data" not in group or "validity" not in group:
            return None
        try:
            data, validity = np.asarray(group["data"][()]), np.asarray(group["validity"][()]).astype(bool).ravel()
            data = data.reshape(len(validity), *shape).astype(np.float64)
        except (OSError, ValueError) as error:
            raise BadInput(
                f"{Path(file.filename).name}: {name} is not as in EVE ({error}); download it again"
            ) from error
        fine = validity & np.isfinite(data).reshape(len(data), -1).all(axis=1)
        return np.where(fine.reshape(-1, *[1] * len(shape)), data, np.nan), fine

    needed = {name: read(name, *shape) for name, shape in (("face_R", (3, 3)), ("face_h", (2,)), ("face_o", (3,)))}
    if missing := [name for name, values in needed.items() if values is None]:
        raise BadInput(f"{Path(file.filename).name}: lacks {', '.join(missing)}; expected EVE's groups of labels")
    rotation, head, origin = (values for values in needed.values() if values)
    count = len(rotation[0])
    nothing = np.full((count, 2), np.nan), np.zeros(count, bool)
    gaze, point = read("face_g_tobii", 2) or nothing, read("face_PoG_tobii", 2) or nothing
    out = {
        "gaze_rad": gaze[0], "head_rad": head[0], "rotation": rotation[0], "origin_m": origin[0] * _MM,
        "pog_px": point[0], "pog_m": point[0] / screen.px_per_m,
    }  # fmt: skip
    eyes = [read(f"{side}_g_tobii", 2) for side in ("left", "right")]
    seen = np.logical_and.reduce([values[1] for values in eyes if values] or [np.ones(count, bool)])
    out["valid"] = gaze[1] & rotation[1] & seen
    pupils = [values[0] for side in ("left", "right") if (values := read(f"{side}_p"))]
    if pupils:
        out["pupil_m"] = np.mean(pupils, axis=0) * _MM
    if kind := read("kind"):
        out["kind"] = np.nan_to_num(kind[0])
    _require_usable(out, screen, "face_g_tobii" in file, source)
    return out


def _require_usable(labels: Labels, screen: Screen, labelled: bool, source: Source) -> None:
    if not labelled:
        source.note("no gaze labels, as in EVE's test people; kept without")
        return
    if not labels["valid"].any():
        raise BadInput(f"none of {len(labels['valid'])} frames has a valid label")
    expected = gaze_at(labels["pog_m"], labels["rotation"], labels["origin_m"], screen)
    if fault := mistake_in(labels["gaze_rad"], expected):
        raise BadInput(f"{fault}; expected [pitch, yaw] in radians, see docs/conventions.md")


def _blocks(
    videos: list[Video], labels: Labels, kept: Bool[ndarray, " n"], sizes: CropSizes, source: Source
) -> Iterator[Block]:
    """Frames whose two pictures decode, in order; the others are counted."""
    lost: Counter[str] = Counter()
    numbers: list[int] = []
    pictures: dict[str, list[ndarray]] = {name: [] for name in IMAGES}
    for face, eyes in zip(*(_frames(video, len(kept)) for video in videos), strict=True):
        fault = face.fault or eyes.fault
        if not kept[face.number] or face.rgb is None or eyes.rgb is None:
            lost[fault or "out of order"] += 1
            continue
        half = eyes.rgb.shape[1] // 2
        numbers.append(face.number)
        pictures["face"].append(resized(face.rgb, sizes.face_px))
        pictures["right_eye"].append(resized(eyes.rgb[:, :half], sizes.eye_px))
        pictures["left_eye"].append(resized(eyes.rgb[:, half:], sizes.eye_px))
        if len(numbers) == BLOCK_FRAMES:
            yield _block(numbers, pictures, labels)
            numbers, pictures = [], {name: [] for name in IMAGES}
    if numbers:
        yield _block(numbers, pictures, labels)
    for fault in ("not_decodable", "damaged"):
        if lost[fault]:
            source.note(f"{lost[fault]} of {len(kept)} frames are {fault.replace('_', ' ')} and left out")


def _frames(video: Video, count: int) -> Iterator[VideoFrame]:
    return (frame for frame in read_video(video, range(count)) if not isinstance(frame, int))


def _block(numbers: list[int], pictures: dict[str, list[ndarray]], labels: Labels) -> Block:
    block: Block = {name: np.stack(images) for name, images in pictures.items()}
    block |= {name: values[numbers] for name, values in labels.items()}
    return block | {"frame_index": np.array(numbers)}
