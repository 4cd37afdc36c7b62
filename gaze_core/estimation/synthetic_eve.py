"""Synthetic EVE: which people are rendered before which stimuli, and the order of the work. Resumable per recording.

Rendering takes all the time, so its images are kept in a hidden folder of the output, named by what they depend on; films
with other noise are made from them in seconds.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.estimation.recording_schema import Split
from gaze_core.estimation.viewing.film import FilmConfig
from gaze_core.estimation.viewing.images import RENDER_VERSION, RenderConfig, face_of, render_viewing
from gaze_core.estimation.viewing.plan import Stimulus, ViewingConfig, plan_viewing
from gaze_core.estimation.viewing.record import write_recording
from gaze_core.estimation.viewing.setup import CameraName
from gaze_core.synthesis.head import load_anny
from gaze_core.synthesis.scene import load_mitsuba, use_one_thread
from gaze_core.workers import worker_pool

_FIRST_SEED: dict[Split, int] = {"train": 7001, "val": 7801, "test": 7901}  # identities; in no other set of people
_STEPS: dict[Stimulus, str] = {"image": "free-viewing", "video": "moving-thing", "wikipedia": "reading"}
_RENDERS = ".renders"
Advance = Callable[[int, int], None]


class SyntheticEveConfig(Config):
    """Synthetic EVE. Equal configurations give equal images and labels; more people do not change the others."""

    train: NonNegativeInt = 12
    val: NonNegativeInt = 4
    test: NonNegativeInt = 6
    rounds: PositiveInt = 2  # recordings of each stimulus for each person
    image_s: PositiveFloat = 4.0  # length of a recording
    video_s: PositiveFloat = 2.0
    wikipedia_s: PositiveFloat = 2.5
    cameras: tuple[CameraName, ...] = ("basler",)
    seed: NonNegativeInt = 0
    render: RenderConfig = RenderConfig()
    film: FilmConfig = FilmConfig()

    def tasks(self) -> list["ViewingTask"]:
        """All recordings, round by round and people of the three splits in turn, so that an early stop leaves some of each."""
        counts: dict[Split, int] = {"train": self.train, "val": self.val, "test": self.test}
        people = [(split, n, (n + 0.5) / count) for split, count in counts.items() for n in range(count)]
        return [
            ViewingTask(split, number, round_, stimulus, camera, self)
            for round_ in range(self.rounds)
            for split, number, _ in sorted(people, key=lambda person: person[2])
            for stimulus in _STEPS
            for camera in self.cameras
        ]


@dataclass(frozen=True)
class ViewingTask:
    """One recording of one camera."""

    split: Split
    number: int  # of the person in the split, from 0
    round: int
    stimulus: Stimulus
    camera: CameraName
    config: SyntheticEveConfig

    @property
    def participant(self) -> str:
        """EVE's name of the person, such as train01."""
        return f"{self.split}{self.number + 1:02d}"

    @property
    def identity_seed(self) -> int:
        """Decides the person."""
        return _FIRST_SEED[self.split] + self.number

    @property
    def step(self) -> str:
        """EVE's name of the recording's folder."""
        number = len(_STEPS) * self.round + list(_STEPS).index(self.stimulus) + 1
        return f"step{number:03d}_{self.stimulus}_{_STEPS[self.stimulus]}"

    @property
    def viewing(self) -> ViewingConfig:
        """What the person does."""
        seconds = float(getattr(self.config, f"{self.stimulus}_s"))
        return ViewingConfig(stimulus=self.stimulus, seconds=seconds, seed=self._seed)

    @property
    def _seed(self) -> int:
        return 100 * (10_000 * self.config.seed + self.identity_seed) + self.round

    @property
    def render_seed(self) -> int:
        """Decides the light, the expression and the renderer's noise."""
        return 3 * self._seed + list(_STEPS).index(self.stimulus)

    def renders(self, out: Path) -> Path:
        """Where the rendered images lie."""
        parts = [RENDER_VERSION, self.viewing.digest(), self.config.render.digest(), self.identity_seed, self.camera]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
        return out / _RENDERS / f"{self.participant}__{self.step}__{self.camera}__{digest}.npz"


def synthesize_eve(config: SyntheticEveConfig, out: Path, num_workers: int = 0, advance: Advance | None = None) -> Path:
    """Writes the recordings in the official layout of EVE to `out`; a second run goes on where the first one stopped.

    Args:
        config: who and what.
        out: a new folder, or that of an earlier run.
        num_workers: processes that render, each on one thread; 0 renders in this one.
        advance: told how many of how many recordings are done.

    Raises:
        BadInput: `out` holds other things, or anny or mitsuba is not installed.
    """
    if out.is_dir() and any(out.iterdir()) and not (out / _RENDERS).is_dir():
        raise BadInput(f"{out}: not empty, and not synthetic EVE; choose another --out")
    (out / _RENDERS).mkdir(parents=True, exist_ok=True)
    tasks = config.tasks()
    if all(task.renders(out).is_file() for task in tasks):
        num_workers = 0  # only films are missing
    else:
        load_mitsuba()
        load_anny()  # builds its cache once, before processes start
    for done, _ in enumerate(_made(tasks, out, num_workers), start=1):
        if advance:
            advance(done, len(tasks))
    return out


def _made(tasks: list[ViewingTask], out: Path, num_workers: int) -> Iterator[Path]:
    if not num_workers:
        yield from (make_recording(task, out) for task in tasks)
        return
    with worker_pool(num_workers, use_one_thread) as pool:
        yield from pool.map(make_recording, tasks, [out] * len(tasks))


def make_recording(task: ViewingTask, out: Path) -> Path:
    """Renders and films one recording unless it is there; its folder."""
    viewing = plan_viewing(task.viewing)
    images = render_viewing(
        task.renders(out), viewing, task.identity_seed, task.camera, task.config.render, task.render_seed
    )
    folder = out / task.participant / task.step
    face = face_of(task.identity_seed, out / _RENDERS)
    write_recording(
        folder, images, viewing, face.points, face.pupils_m(viewing), task.camera, task.config.render,
        task.config.film, task.render_seed,
    )  # fmt: skip
    return folder
