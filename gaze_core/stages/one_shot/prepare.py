"""Stage: finds the eyes in normalised faces and cuts their bands."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.artifacts import Produced, only_entry
from gaze_core.assets import resolve
from gaze_core.config import Config
from gaze_core.one_shot.layout import PersonArrays, count_samples, read_person
from gaze_core.one_shot.samples import SAMPLES_FILE, prepare, write_samples
from gaze_core.preprocess.face_mesh import IBUG_68
from gaze_core.preprocess.landmarks import FaceLandmarker
from gaze_core.preprocess.posed_face import enlarged
from gaze_core.stages.context import Inputs, StageContext

NAME, VERSION = "one_shot_prepare", 1


class OneShotPrepareConfig(Config):
    """Landmarks that are in the file are taken; `search` looks for them even so."""

    search: bool = False


def run(config: OneShotPrepareConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Writes `samples.h5` of all people in the file of `inputs["people"]`.

    Raises:
        BadInput: the file is not as published, or no sample shows a face.
        MissingArtifact: the landmarker is needed and not available.
    """
    path = only_entry(inputs["people"])
    people = {name: read_person(path, name, "rgb") for name in count_samples(path)}
    total, done, missing = sum(len(person.pixels) for person in people.values()), 0, 0
    landmarks: dict[str, Float[ndarray, "n 68 2"]] = {}
    find: FaceLandmarker | None = None
    for name, person in people.items():
        if person.landmarks_px is not None and not config.search:
            landmarks[name] = person.landmarks_px
        else:
            find = find or FaceLandmarker(resolve("face_landmarker"))
            landmarks[name] = _found(person, find)
        missing += int(np.isnan(landmarks[name]).any(axis=(1, 2)).sum())
        done += len(person.pixels)
        context.progress(done, total, float("nan"))
    samples = prepare(people, landmarks)
    out = context.work_dir / SAMPLES_FILE
    write_samples(out, samples)
    return Produced(
        kind="dataset",
        files={SAMPLES_FILE: out},
        metrics={"num_samples": float(len(samples)), "num_people": float(len(samples.names))},
        dropped={"no_face": missing} if missing else {},
    )


def _found(person: PersonArrays, find: FaceLandmarker) -> Float[ndarray, "n 68 2"]:
    """The landmarks of each picture's largest face; NaN where none is found."""
    out = np.full((len(person.pixels), 68, 2), np.nan)
    for index, image in enumerate(person.pixels):
        large = enlarged(image)
        if faces := find.faces(large):
            out[index] = faces[0].points_px[list(IBUG_68), :2] * (image.shape[1] / large.shape[1])
    return out
