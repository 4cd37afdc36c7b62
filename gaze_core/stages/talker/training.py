"""What the coarse and the fine stage share: rates, the task of the training loop, previews, and the checkpoint."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import nn

from gaze_core.artifacts import Produced, file_sha256
from gaze_core.config import Config
from gaze_core.models.talker.checkpoint import AudioFormat, TalkerInfo, save_talker
from gaze_core.models.talker.network import TalkerModel, TalkerRender
from gaze_core.preprocess.images import write_png
from gaze_core.stages.context import StageContext
from gaze_core.stages.talker.frames import FrameReader, TalkerBatch, held_out_rows
from gaze_core.stages.talker.losses import TalkerLossWeights, loss_terms, measure, rendered
from gaze_core.talker.driving import held_out
from gaze_core.talker.film import write_film
from gaze_core.talker.renderer import Renderer
from gaze_core.talker.subject import SUBJECT_FILE, TalkerSubject
from gaze_core.training.history import STATS_FILE
from gaze_core.training.loop import FitConfig, FitSummary, LossTerms, SelectionConfig, Task, Validation, fit

PREVIEWS = "previews"
_VALIDATION_BATCH = 8


class TalkerRates(Config):
    """Learning rates by part; positions in metres a step. 0: not trained."""

    means: NonNegativeFloat = 5e-5
    scales: NonNegativeFloat = 5e-3
    rotations: NonNegativeFloat = 2e-3
    opacities: NonNegativeFloat = 1e-2
    colors: NonNegativeFloat = 1e-2
    planes: NonNegativeFloat = 4e-3
    networks: NonNegativeFloat = 3e-3


class PreviewConfig(Config):
    """Of held-out time at fixed steps: a picture, recorded above and rendered below, and a short film with sound."""

    every_steps: NonNegativeInt = 200  # 0: none
    frames: PositiveInt = 5  # of the picture
    film_frames: NonNegativeInt = 50  # 0: no film


class ValidationConfig(Config):
    """Validation on held-out frames. It selects nothing: the weights of the last step are kept."""

    every_steps: NonNegativeInt = 200  # 0: none
    frames: PositiveInt = 16


def optimisation(
    num_steps: int, batch_size: int, seed: int, validation: ValidationConfig, accumulate: int = 1
) -> FitConfig:
    """The optimisation of a stage: rates fall to a tenth along a cosine."""
    return FitConfig(
        num_steps=num_steps, batch_size=batch_size, accumulate=accumulate, schedule="cosine", final_learning_rate_ratio=0.1,
        max_grad_norm=1000.0, validate_every_steps=validation.every_steps, selection=SelectionConfig(enabled=False), seed=seed,
    )  # fmt: skip


def parameter_groups(model: TalkerModel, rates: TalkerRates) -> list[dict[str, Any]]:
    """Groups of parameters with their rates. In the coarse stage the head's own opacities and colours stay as they are."""
    decoded = model.config.decoded if model.stage == "coarse" else ()
    fields = {
        "means_m": ("position", rates.means),
        "log_scales": ("scale", rates.scales),
        "quats_wxyz": ("rotation", rates.rotations),
        "opacity_logits": ("opacity", rates.opacities),
        "colors": ("color", rates.colors),
        "features": ("", rates.planes),
    }
    groups = []
    for set_name, one in model.sets.items():
        for field, (attribute, rate) in fields.items():
            parameter = getattr(one, field)
            is_fixed = set_name == "head" and attribute in decoded
            if (
                parameter is not None
                and rate
                and not is_fixed
                and not (field == "features" and model.stage == "coarse")
            ):
                groups.append({"params": [parameter], "lr": rate})
    networks: list[nn.Module] = [model.appearance] if model.stage == "coarse" else [model.tokens, model.deformation]
    groups.append({"params": list(model.planes.parameters()), "lr": rates.planes})
    groups.append({"params": [p for network in networks for p in network.parameters()], "lr": rates.networks})
    return [group for group in groups if group["lr"]]


def train_talker(
    model: TalkerModel, subject: TalkerSubject, rows: Int[ndarray, " k"], config: FitConfig, rates: TalkerRates,
    weights: TalkerLossWeights, validation: ValidationConfig, previews: PreviewConfig, context: StageContext,
    after: Callable[[torch.optim.Optimizer, int, TalkerRender], None] | None = None,
) -> FitSummary:  # fmt: skip
    """Optimises the model on these rows (a row may be there several times).

    `after` is called after each step with the optimizer, the number of steps and the step's rendering, whose image positions
    have gradients.
    """
    reader, last = FrameReader(subject), {}
    held = held_out_rows(subject, validation.frames)

    def terms(trained: nn.Module, batch: TalkerBatch, step: int) -> LossTerms:
        assert isinstance(trained, TalkerModel)
        found, made = loss_terms(trained, batch, weights)
        if after is not None:
            made.raster.means2d_px.retain_grad()
            last["made"] = made
        return found

    def after_step(optimizer: torch.optim.Optimizer, step: int) -> None:
        if after is not None:
            after(optimizer, step, last.pop("made"))
        if previews.every_steps and len(held) and (step % previews.every_steps == 0 or step == config.num_steps):
            shown = reader.read(held_out_rows(subject, previews.frames))
            path = context.work_dir / PREVIEWS / f"{model.stage}_{step:06d}.png"
            write_preview(path, model, shown)
            if previews.film_frames:
                write_preview_film(path.with_suffix(".mp4"), model, subject, previews.film_frames)

    def validation_batches() -> Iterable[TalkerBatch]:
        return (
            reader.read(held[start : start + _VALIDATION_BATCH]) for start in range(0, len(held), _VALIDATION_BATCH)
        )

    if not len(held):
        config = config.model_copy(update={"validate_every_steps": 0})
    task = Task(
        model=model,
        parameter_groups=parameter_groups(model, rates),
        num_samples=len(rows),
        read_batches=lambda order: reader.batches(rows, order),
        loss_terms=terms,
        validation=Validation(validation_batches, measure) if len(held) else None,
        after_step=after_step,
    )
    return fit(task, config, context.runtime, context.work_dir, context.log, context.progress, context.logger)


@torch.no_grad()
def write_preview(path: Path, model: TalkerModel, batch: TalkerBatch) -> None:
    """Recorded frames above, rendered ones below."""
    was_training = model.training
    device = model.eye_centres_m.device
    image = rendered(model.eval(), batch.to(device))[1].clamp(0, 1).cpu()
    model.train(was_training)
    rows = [torch.cat(list(pictures), dim=2) for pictures in (batch.image, image)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, (torch.cat(rows, dim=1).permute(1, 2, 0) * 255).round().byte().numpy())


def write_preview_film(path: Path, model: TalkerModel, subject: TalkerSubject, num_frames: int) -> None:
    """The first held-out frames as a film with their sound."""
    was_training = model.training
    driving = held_out(subject, subject.sound).first(num_frames)
    frames = Renderer(model, subject, model.eye_centres_m.device)(driving)
    model.train(was_training)
    write_film(path, frames, driving.sound)


def produced(
    model: TalkerModel, subject: TalkerSubject, rows: Int[ndarray, " k"], summary: FitSummary, context: StageContext,
    numbers: dict[str, float], notes: tuple[str, ...] = (),
) -> Produced:  # fmt: skip
    """The checkpoint of a stage, with its statistics and previews."""
    info = TalkerInfo(
        stage=model.stage,
        config=model.config,
        audio=AudioFormat.of(subject),
        intrinsics_px=_nested(subject.intrinsics),
        size_px=subject.size_px,
        eye_centres_m=_nested(subject.eye_centres_m),
        num_head_points=model.head.num_points,
        subject_digest=file_sha256(subject.folder / SUBJECT_FILE)[:12],
        training_frames=len(np.unique(rows)),
    )
    files = save_talker(context.work_dir, model.cpu(), info) | {STATS_FILE: context.work_dir / STATS_FILE}
    pictures = {f"{PREVIEWS}/{path.name}": path for path in sorted((context.work_dir / PREVIEWS).glob("*.*"))}
    last = [row for row in summary.history if any(key.startswith("validation/") for key in row)][-1:]
    measured = {key.removeprefix("validation/"): value for row in last for key, value in row.items() if "/" in key}
    numbers = numbers | {key: value for key, value in measured.items() if key.endswith("_db")}
    return Produced(
        kind="checkpoint", files=files | pictures, metrics=summary.metrics() | numbers, notes=notes,
        subjects={"train": (subject.name,)},
    )  # fmt: skip


def _nested(values: ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in values)
