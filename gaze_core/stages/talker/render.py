"""Stage: a film with sound of a trained talking head, driven by the held-out recording or by other sound."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from pydantic import PositiveInt

from gaze_core.artifacts import Produced, only_entry
from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.models.talker.checkpoint import AudioFormat, TalkerInfo, load_talker
from gaze_core.reproducibility import choose_device
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.talker.refine import Refine, RefineConfig, load_refiner
from gaze_core.talker.audio import EXTRACTORS, AudioFeatures, features_of, read_features
from gaze_core.talker.driving import Driving, batches
from gaze_core.talker.driving_choice import DrivingConfig, chosen_driving
from gaze_core.talker.film import read_sound, write_film
from gaze_core.talker.renderer import Renderer
from gaze_core.talker.subject import TalkerSubject

NAME, VERSION = "talker_render", 2
FILM_FILE, UNREFINED_FILE = "film.mp4", "film_unrefined.mp4"
_AT_ONCE = 8  # frames in memory, and between two words about the progress


class TalkerRenderConfig(Config):
    """What drives the film, and what is done to its frames."""

    driving: DrivingConfig = DrivingConfig()
    refine: RefineConfig = RefineConfig()
    batch: PositiveInt = 8


def run(config: TalkerRenderConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Renders `inputs["checkpoint"]` with pose, torso and background of the subject `inputs["data"]`.

    Optional inputs: `sound` (a file with sound, or features as `.npy`), and tables of `gaze` and `blinks`.

    Raises:
        BadInput: audio features of another kind than the head was trained on, or an input that cannot be read.
        MissingArtifact: the checkpoint is not readable.
    """
    subject = TalkerSubject(inputs["data"])
    model, info = load_talker(inputs["checkpoint"])
    info.require_features(subject)
    sound, audio = heard(only_entry(inputs["sound"]), info) if inputs.get("sound") else (None, None)
    driving = chosen_driving(
        subject, subject.sound, config.driving, audio, sound, _table(inputs, "gaze"), _table(inputs, "blinks")
    )
    device = choose_device(context.runtime)
    renderer = Renderer(model, subject, device, config.batch)
    refine, note = load_refiner(config.refine, device)
    if note:
        context.logger.warning("%s", note) if refine is None else context.logger.info("%s", note)
    files = {FILM_FILE: context.work_dir / FILM_FILE}
    if refine is not None:
        files[UNREFINED_FILE] = context.work_dir / UNREFINED_FILE
        write_film(files[UNREFINED_FILE], rendered_frames(renderer, driving), driving.sound)

    def told(done: int, total: int) -> None:
        context.progress(done, total, float("nan"))

    write_film(files[FILM_FILE], rendered_frames(renderer, driving, refine, told), driving.sound)
    notes = tuple(
        text
        for text in (note, "" if driving.sound is not None else "no sound: features do not say how they sound")
        if text
    )
    return Produced(kind="report", files=files, metrics={"frames": float(len(driving))}, notes=notes)


def rendered_frames(
    renderer: Renderer, driving: Driving, refine: Refine | None = None, told: Callable[[int, int], None] | None = None
) -> Iterator[UInt8[ndarray, "h w 3"]]:
    """The frames of a film in order, a few in memory at a time. `told` hears how many of how many are done."""
    for part in batches(len(driving), _AT_ONCE):
        frames = renderer(driving, np.arange(part.start, part.stop))
        yield from frames if refine is None else refine(frames)
        if told is not None:
            told(part.stop, len(driving))


def heard(
    path: Path, info: TalkerInfo, most_s: float | None = None
) -> tuple[Float[ndarray, " s"] | None, Float[ndarray, "t w c"]]:
    """Sound and audio features of a file with sound, of its first `most_s` seconds; of features as `.npy` the features alone.

    Raises:
        BadInput: features that the head was not trained on, or sound whose features only a file can bring.
    """
    if path.suffix == ".npy":
        features = read_features(path, None, info.audio.extractor, info.audio.rate_hz)
        _require_same(features, info, path)
        return None, features.windows
    if info.audio.extractor not in EXTRACTORS:
        raise BadInput(
            f"{path}: the head was trained on features {info.audio.extractor!r} of a file, which are not made of sound "
            f"here; give features of the same kind as .npy, of width {info.audio.width}"
        )
    sound = read_sound(path, most_s)
    features = features_of(sound, info.audio.extractor)
    _require_same(features, info, path)
    return sound, features.windows


def _require_same(features: AudioFeatures, info: TalkerInfo, path: Path) -> None:
    _, window, width = features.windows.shape
    found = AudioFormat(extractor=features.extractor, rate_hz=features.rate_hz, window=window, width=width)
    info.require_format(found, str(path))


def _table(inputs: Inputs, name: str) -> Path | None:
    return only_entry(inputs[name]) if inputs.get(name) else None
