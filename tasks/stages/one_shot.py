"""The one-shot stages of `gaze_core` as tasks, and people and redirectors from outside the store."""

import hashlib
import tempfile
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from gaze_core.artifacts import ArtifactRef, Produced, file_sha256
from gaze_core.config import Config, Runtime
from gaze_core.one_shot.checkpoints import CRITIC_FILE, load_redirector
from gaze_core.one_shot.layout import ChannelOrder, PersonArrays, read_person, write_people
from gaze_core.one_shot.report import OneShotTolerance
from gaze_core.stages.one_shot import adapt as adapt_stage
from gaze_core.stages.one_shot import apply as apply_stage
from gaze_core.stages.one_shot import autoencoder as autoencoder_stage
from gaze_core.stages.one_shot import compare as compare_stage
from gaze_core.stages.one_shot import evaluate as evaluate_stage
from gaze_core.stages.one_shot import prepare as prepare_stage
from gaze_core.stages.one_shot import pretrain as pretrain_stage
from gaze_core.stages.one_shot.adapt import OneShotAdaptConfig
from gaze_core.stages.one_shot.apply import OneShotApplyConfig
from gaze_core.stages.one_shot.autoencoder import OneShotAutoencoderConfig
from gaze_core.stages.one_shot.evaluate import OneShotEvaluateConfig
from gaze_core.stages.one_shot.prepare import OneShotPrepareConfig
from gaze_core.stages.one_shot.pretrain import OneShotPretrainConfig
from gaze_core.training.checkpoint import WEIGHTS_FILE
from tasks.stage_task import stage_task
from tasks.store.artifacts import Store

PEOPLE_FILE = "people.h5"


@stage_task("one_shot_autoencoder", autoencoder_stage)
def train_autoencoder(people: ArtifactRef, config: OneShotAutoencoderConfig, runtime: Runtime) -> ArtifactRef:
    """Learns the small autoencoder."""
    ...


@stage_task("one_shot_prepare", prepare_stage)
def prepare(people: ArtifactRef, config: OneShotPrepareConfig, runtime: Runtime) -> ArtifactRef:
    """Bands of the eyes of some people."""
    ...


@stage_task("one_shot_pretrain", pretrain_stage)
def pretrain(data: ArtifactRef, config: OneShotPretrainConfig, runtime: Runtime) -> ArtifactRef:
    """Trains a redirector on many people."""
    ...


@stage_task("one_shot_adapt", adapt_stage)
def adapt(data: ArtifactRef, checkpoint: ArtifactRef, config: OneShotAdaptConfig, runtime: Runtime) -> ArtifactRef:
    """Adapts a redirector to the first person of `data`."""
    ...


@stage_task("one_shot_evaluate", evaluate_stage)
def evaluate(
    data: ArtifactRef, checkpoint: ArtifactRef, config: OneShotEvaluateConfig, runtime: Runtime
) -> ArtifactRef:  # fmt: skip
    """Measures a redirector on test samples."""
    ...


@stage_task("one_shot_compare", compare_stage)
def compare(
    after: ArtifactRef,
    before: ArtifactRef,
    config: OneShotTolerance,
    other_after: ArtifactRef | None = None,
    other_before: ArtifactRef | None = None,
) -> ArtifactRef:
    """Compares two evaluations of one person."""
    ...


@stage_task("one_shot_apply", apply_stage)
def apply(
    recording: ArtifactRef, checkpoint: ArtifactRef, config: OneShotApplyConfig, runtime: Runtime
) -> ArtifactRef:  # fmt: skip
    """Redirects the eyes of a photograph or a video."""
    ...


class ContentConfig(Config):
    """Identity of what was read from outside: its content, not its path."""

    sha256: str


@task(name="import_people", persist_result=False, cache_policy=NO_CACHE)
def import_people(path: Path, names: tuple[str, ...], order: ChannelOrder, most: int | None = None) -> ArtifactRef:
    """Publishes the usable samples of these people of a large file, at most `most` of each, evenly spaced.

    Raises:
        BadInput: a person or the file is not as published, or has no usable sample.
    """
    people = {name: _thinned(read_person(path, name, order), most) for name in names}
    total = hashlib.sha256()
    for name, person in people.items():
        total.update(name.encode())
        for values in (person.pixels, person.labels, person.landmarks_px):
            total.update(b"" if values is None else values.tobytes())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / PEOPLE_FILE
        write_people(file, people, source="selected")
        dropped: dict[str, int] = {}
        for person in people.values():
            for reason, count in person.dropped.items():
                dropped[reason] = dropped.get(reason, 0) + count
        produced = Produced("dataset", {PEOPLE_FILE: file}, dropped=dropped)
        return Store.from_environment().publish(
            produced, stage="one_shot_people", version=1, config=ContentConfig(sha256=total.hexdigest()), parents={}
        )


def _thinned(person: PersonArrays, most: int | None) -> PersonArrays:
    if most is None or len(person.pixels) <= most:
        return person
    from gaze_core.sampling import evenly_spaced

    chosen = evenly_spaced(len(person.pixels), most)
    points = None if person.landmarks_px is None else person.landmarks_px[chosen]
    rows = None if person.rows is None else person.rows[chosen]
    return PersonArrays(person.pixels[chosen], person.labels[chosen], points, rows, person.dropped)


@task(name="import_redirector", persist_result=False, cache_policy=NO_CACHE)
def import_redirector(path: Path) -> ArtifactRef:
    """Publishes a checkpoint with the critic beside it, if there is one.

    Raises:
        BadInput: it is no redirector.
    """
    weights = redirector_file(path)
    card = load_redirector(weights).card
    files = {WEIGHTS_FILE: weights}
    if (critic := weights.parent / CRITIC_FILE).is_file():
        files[CRITIC_FILE] = critic
    people = tuple(sorted({name for names in card["trained_on"].values() for name in names}))
    produced = Produced("checkpoint", files, subjects={"train": people})
    config = ContentConfig(sha256="".join(file_sha256(file) for file in files.values()))
    return Store.from_environment().publish(
        produced, stage="one_shot_weights", version=1, config=config, parents={}
    )  # fmt: skip


def redirector_file(path: Path) -> Path:
    """The weights file of a checkpoint: of a file, of its folder, or of the folder of a report that holds `model`."""
    for place in (path / "model" / WEIGHTS_FILE, path / WEIGHTS_FILE):
        if place.is_file():
            return place
    return path
