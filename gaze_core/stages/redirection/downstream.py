"""Stage: few-shot gaze estimation, with and without redirected training images.

The protocol of the papers' few-shot experiment (Wei et al. 2025, figure 6): an estimator pretrained on other people is
fine-tuned on k labelled images of one person, or on these and redirected images of the same person, and is then tested on
unseen images of that person. Everything else is equal in both arms.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch, concatenate
from gaze_core.data.people import Origin
from gaze_core.data.seen import Seen, require_unseen
from gaze_core.data.splits import Splits
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput
from gaze_core.evaluation.downstream import Arm, DownstreamReport, Repeat
from gaze_core.evaluation.intervals import Bootstrap, estimate
from gaze_core.evaluation.judge import CnnJudge
from gaze_core.evaluation.renderings import gaze_in_camera, render
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.models.estimation.gaze_net import GazeNet, GazeNetConfig
from gaze_core.models.redirection.gaze_gaussian import GazeGaussian
from gaze_core.reproducibility import choose_device, derived_seed, generator, seed_everything
from gaze_core.sampling import evenly_spaced
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.judge.estimator import EstimatorConfig, optimise
from gaze_core.stages.judge.faces import AugmentConfig, Faces, faces_of
from gaze_core.stages.redirection import gaze_gaussian
from gaze_core.stages.redirection.evaluate import held_out_files, render_rgb

NAME, VERSION = "downstream", 2
DOWNSTREAM_FILE, IMAGES_FILE = "downstream.json", "downstream.npz"
_NUM_EXAMPLES = 8


class DownstreamConfig(Config):
    """The experiment. Target gazes are uniform within `gaze_range_deg`, [pitch, yaw] in the head frame, either way."""

    num_real: PositiveInt = 8  # labelled images of the person
    num_generated: PositiveInt = 192  # redirected images of those; the papers use up to 200 in total
    gaze_range_deg: tuple[PositiveFloat, PositiveFloat] = (20.0, 30.0)
    start: Literal["pretrained", "scratch"] = (
        "pretrained"  # the shipped estimator, trained on other people, or random weights
    )
    num_steps: PositiveInt = 100
    batch_size: PositiveInt = 16
    learning_rate: PositiveFloat = 3e-4
    num_repeats: int = Field(3, ge=1)  # each with another choice of real images
    augment: AugmentConfig = AugmentConfig()
    seed: NonNegativeInt = 0
    bootstrap: Bootstrap = Bootstrap()


def run(config: DownstreamConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Trains both arms for each subject of `inputs["data"]` with the redirector `inputs["checkpoint"]`.

    Raises:
        BadInput: a subject has fewer training images than `num_real`, or no test image.
    """
    model, card = gaze_gaussian.load(inputs["checkpoint"])
    model = model.to(choose_device(context.runtime))
    subjects, judge, seen = held_out_files(inputs["data"]), CnnJudge(), Seen.of_card(card)
    known: dict[str, int] = {}  # number of training frames, by subject, that the redirector has seen
    num_rounds = len(subjects) * config.num_repeats
    repeats, examples = [], None
    for path, splits in subjects:
        _require_enough(splits, config)
        gaze_gaussian.require_image_px(model, SubjectDataset(path))
        origin = Origin.read(path)
        test, own = origin.at(splits.test), origin.at(tuple(splits.seen))
        # The experiment is about people whom the pretrained estimator does not know.
        require_unseen("the estimator to start from", judge.seen, origin.person, test)
        require_unseen("the redirector", seen, origin.person, test)
        known[splits.subject] = len(seen.seen_frames(origin.person, own))
        for number in range(config.num_repeats):
            repeat, images = _repeat(config, model, path, splits, number, context)
            repeats.append(repeat)
            examples = examples or images
            context.progress(len(repeats), num_rounds, float("nan"))
    report = _report(config, repeats, known)
    files = {name: context.work_dir / name for name in (DOWNSTREAM_FILE, IMAGES_FILE)}
    files[DOWNSTREAM_FILE].write_text(report.model_dump_json(indent=1))
    assert examples is not None
    np.savez_compressed(files[IMAGES_FILE], allow_pickle=False, **examples)
    metrics = {f"{arm.name}_error_deg": arm.error_deg.value for arm in report.arms} | {
        "gain_deg": report.gain_deg.value
    }
    return Produced(
        kind="report",
        files=files,
        metrics={name: value for name, value in metrics.items() if value is not None},
        subjects={"test": tuple(splits.subject for _, splits in subjects)},
    )


def read_downstream(folder: Path) -> DownstreamReport:
    """The report that this stage wrote."""
    return DownstreamReport.model_validate_json((folder / DOWNSTREAM_FILE).read_text())


def _require_enough(splits: Splits, config: DownstreamConfig) -> None:
    if len(splits.train) < config.num_real or not splits.test:
        raise BadInput(
            f"{splits.subject}: {len(splits.train)} training and {len(splits.test)} test images; expected at least "
            f"{config.num_real} and 1; ask for fewer real images"
        )


def _repeat(
    config: DownstreamConfig, model: GazeGaussian, path: Path, splits: Splits, number: int, context: StageContext
) -> tuple[Repeat, dict[str, np.ndarray]]:
    """One choice of real images: the errors of each arm on every test image, and example images."""
    random = generator("downstream", config.seed, splits.subject, number)
    order = torch.randperm(len(splits.train), generator=random)[: config.num_real].tolist()
    frames = sorted(splits.train[k] for k in order)
    real = SubjectDataset(path, subset=frames).everything
    test = faces_of(SubjectDataset(path, subset=splits.test).everything)
    generated = redirected(model, real, config, random)
    arms = {"start": None, "real": faces_of(real), "augmented": concatenate([faces_of(real), generated])}
    work_dir = context.work_dir / f"{splits.subject}-{number}"
    errors = {
        name: _errors_deg(_fine_tuned(faces, config, number, context, work_dir / name), test).tolist()
        for name, faces in arms.items()
    }
    repeat = Repeat(subject=splits.subject, number=number, real_frames=tuple(frames), errors_deg=errors)
    return repeat, {"real": _example_images(faces_of(real)), "generated": _example_images(generated)}


def redirected(
    model: GazeGaussian, real: GazeBatch, config: DownstreamConfig, random: torch.Generator
) -> Faces:  # fmt: skip
    """`num_generated` renderings of the real heads, each with a random target gaze, which is its label."""
    rows = torch.randint(len(real), (config.num_generated,), generator=random).tolist()
    spread = torch.deg2rad(torch.tensor(config.gaze_range_deg))
    target_gaze = (2 * torch.rand(config.num_generated, 2, generator=random) - 1) * spread
    parts = []
    for start in range(0, config.num_generated, 32):
        part = slice(start, start + 32)
        heads, gaze = real[rows[part]], target_gaze[part]
        parts.append(faces_of(_rendered(model, heads, gaze)))
    return concatenate(parts)


def _rendered(model: GazeGaussian, heads: GazeBatch, gaze_head: Float[Tensor, "b 2"]) -> GazeBatch:
    """The batch with renderings at this gaze and its labels; renderings already have a white background."""
    device = next(model.parameters()).device
    on_device = heads.to(device)
    rgb = render(partial(render_rgb, model), on_device.camera, on_device.head.with_gaze(gaze_head.to(device))).cpu()
    return replace(
        heads,
        rgb=rgb,
        head_mask=torch.ones_like(heads.head_mask),
        head=heads.head.with_gaze(gaze_head),
        gaze_head=gaze_head,
        gaze_camera=gaze_in_camera(heads, gaze_head),
    )


def _fine_tuned(
    faces: Faces | None, config: DownstreamConfig, number: int, context: StageContext, work_dir: Path
) -> GazeNet:  # fmt: skip
    """The estimator after fine-tuning on `faces`; not fine-tuned if None."""
    judge = CnnJudge()
    seed_everything("downstream initialise", config.seed, number)
    network = GazeNet(GazeNetConfig.model_validate(judge.card["config"]["network"]))
    if config.start == "pretrained":
        network.load_state_dict(judge.state_dict())
    if faces is None:
        return network.eval()
    settings = EstimatorConfig(
        augment=config.augment,
        num_steps=config.num_steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        seed=config.seed,
    )
    optimise(network, faces, settings, context.runtime, work_dir, derived_seed("downstream step", config.seed, number))
    return network


@torch.no_grad()
def _errors_deg(network: GazeNet, faces: Faces) -> Float[Tensor, " n"]:
    """Angle between label and prediction, averaged over each image and its mirror image."""
    unmirror, errors = torch.tensor([1.0, -1.0]), []
    for start in range(0, len(faces), 32):
        part = faces[start : start + 32]
        direct, mirror = network(part.rgb_on_white), network(part.rgb_on_white.flip(-1))
        errors.append(angular_error_deg((direct.gaze_camera + mirror.gaze_camera * unmirror) / 2, part.gaze_camera))
    return torch.cat(errors)


def _report(config: DownstreamConfig, repeats: Sequence[Repeat], seen: dict[str, int]) -> DownstreamReport:
    def by_subject(value: Any) -> list[np.ndarray]:
        """For each subject, the value of each test image averaged over the repeats."""
        names = dict.fromkeys(repeat.subject for repeat in repeats)
        return [np.mean([value(r.errors_deg) for r in repeats if r.subject == name], axis=0) for name in names]

    arms = tuple(
        Arm(name=name, error_deg=estimate(by_subject(lambda e, n=name: np.array(e[n])), config.bootstrap))
        for name in ("start", "real", "augmented")
    )
    gains = by_subject(lambda e: np.array(e["real"]) - np.array(e["augmented"]))
    return DownstreamReport(
        arms=arms,
        gain_deg=estimate(gains, config.bootstrap),
        num_real=config.num_real,
        num_generated=config.num_generated,
        redirector_frames=seen,
        repeats=tuple(repeats),
    )


def _example_images(faces: Faces) -> np.ndarray:
    chosen = evenly_spaced(len(faces), _NUM_EXAMPLES)
    images = (faces[chosen].rgb_on_white.permute(0, 2, 3, 1) * 255).round().byte()
    return images.numpy()
