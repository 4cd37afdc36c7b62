"""The training that pretraining and adapting share: pairs in, the best validated weights out."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from pydantic import PositiveInt

from gaze_core.config import Config
from gaze_core.models.one_shot.redirector import GazeRedirector
from gaze_core.one_shot.band import feathered
from gaze_core.one_shot.objective import Objective, PairBatch, make_bands, pair_tensors
from gaze_core.one_shot.samples import Samples, band_images
from gaze_core.preprocess.images import write_png
from gaze_core.stages.context import StageContext
from gaze_core.training.loop import Adversary, FitConfig, FitSummary, Task, Validation, fit

_VALIDATION_BATCH = 8
PICTURES = "pictures"


class PictureConfig(Config):
    """Pictures of the training: rows of recorded, reference and made bands."""

    every_steps: PositiveInt = 250
    rows: PositiveInt = 4


def train_redirector(
    model: GazeRedirector,
    objective: Objective,
    training: Sequence[int],
    validation: Sequence[int],
    fit_config: FitConfig,
    trained: Sequence[str],
    context: StageContext,
    adversaries: tuple[Adversary[PairBatch], ...] = (),
    pictures: PictureConfig | None = None,
) -> FitSummary:
    """Optimises the parameters that `trained` names, all others stay bit for bit; the model ends with the best weights."""
    chosen = set(trained)
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in chosen)
    train, held_out = torch.tensor(list(training)), list(validation)

    def read_batches(order: Iterable[list[int]]) -> Iterator[PairBatch]:
        return (PairBatch(train[indices]) for indices in order)

    def validation_batches() -> Iterator[PairBatch]:
        starts = range(0, len(held_out), _VALIDATION_BATCH)
        return (PairBatch(torch.tensor(held_out[start : start + _VALIDATION_BATCH])) for start in starts)

    def after_step(_: torch.optim.Optimizer, step: int) -> None:
        if pictures and step % pictures.every_steps == 0:
            shown = held_out[:: max(1, len(held_out) // pictures.rows)][: pictures.rows]
            write_pictures(context.work_dir / PICTURES / f"step_{step:06d}.png", model, objective, shown)

    task = Task(
        model=model,
        parameter_groups=[{"params": [parameters[name] for name in trained]}],
        num_samples=len(train),
        read_batches=read_batches,
        loss_terms=objective.loss_terms,
        validation=Validation(validation_batches, objective.measure),
        after_step=after_step if pictures else None,
        adversaries=adversaries,
    )
    try:
        return fit(task, fit_config, context.runtime, context.work_dir, context.log, context.progress, context.logger)
    finally:
        model.requires_grad_(True)


@torch.no_grad()
def write_pictures(path: Path, model: GazeRedirector, objective: Objective, positions: Sequence[int]) -> None:
    """Rows of recorded target, reference, what is made, and what is made put into the recorded band."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    targets = torch.tensor(list(positions))
    pairs = pair_tensors(objective.samples, targets, objective.pairs.best(targets), device)
    made = band_images(make_bands(model, objective.autoencoder, pairs))
    model.train(was_training)
    rows = []
    for index, position in enumerate(positions):
        band = objective.samples.band[position]
        weight = feathered(objective.samples.mask[position], 5.0)[..., None]
        pasted = (band + weight * (made[index].astype(float) - band)).round().astype("uint8")
        reference = band_images(pairs.reference[index : index + 1])[0]
        rows.append(torch.cat([torch.from_numpy(one) for one in (band, reference, made[index], pasted)], dim=1))
    path.parent.mkdir(exist_ok=True)
    write_png(path, torch.cat(rows).numpy())


def picture_files(context: StageContext) -> dict[str, Path]:
    """The pictures of the training, by their names in the artifact."""
    return {f"{PICTURES}/{path.name}": path for path in sorted((context.work_dir / PICTURES).glob("step_*.png"))}


def person_split_of(samples: Samples, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Positions of training and validation people; people are disjoint. A single person is divided by samples."""
    from gaze_core.reproducibility import generator

    names = len(samples.names)
    if names == 1:
        order = torch.randperm(len(samples), generator=generator("one-shot people", seed)).tolist()
        count = max(1, int(share * len(order)))
        return sorted(order[count:]), sorted(order[:count])
    order = torch.randperm(names, generator=generator("one-shot people", seed)).tolist()
    held = set(order[: max(1, round(share * names))])
    training = [i for i, person in enumerate(samples.person.tolist()) if person not in held]
    return training, [i for i, person in enumerate(samples.person.tolist()) if person in held]
