"""Stage: trains GazeGaussian, with the DiT or the baseline renderer, initialised from a fitted MeshHead."""

import hashlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import PositiveFloat
from torch import Tensor

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch
from gaze_core.data.seen import Seen
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.losses.gaze import SyntheticGazeConfig
from gaze_core.models.redirection.corrections import CorrectionsConfig, FrameCorrections
from gaze_core.models.redirection.densify import DensifyConfig, densified
from gaze_core.models.redirection.gaze_gaussian import GazeGaussian, GazeGaussianConfig
from gaze_core.models.redirection.initialisation import initialise_from_mesh_head
from gaze_core.models.redirection.mesh_head import MeshHeadConfig
from gaze_core.reproducibility import deterministic, seed_everything
from gaze_core.sampling import evenly_spaced
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.redirection import mesh_head, official_checkpoint
from gaze_core.stages.redirection.critic import CriticConfig
from gaze_core.stages.redirection.losses import Critics, GazeGaussianLossWeights, TrainingModule, loss_terms
from gaze_core.stages.redirection.training_data import TrainingData, read_training_data, train
from gaze_core.training.checkpoint import WEIGHTS_FILE, load_weights, read_card
from gaze_core.training.loop import FitConfig, Task, fit, total

NAME, VERSION = "gaze_gaussian", 5
TRAINS = True  # may run in several processes


class LearningRates(Config):
    """Relative to the run's learning rate."""

    positions: PositiveFloat = 0.2
    appearance: PositiveFloat = 5.0
    networks: PositiveFloat = 1.0
    renderer: PositiveFloat = 1.0  # relative to `networks`
    eyes: PositiveFloat = 1.0  # the eyeballs' appearance, relative to `appearance`

    added_later: ClassVar[frozenset[str]] = frozenset({"renderer", "eyes"})


class GazeGaussianStageConfig(Config):
    """Everything that decides the trained model."""

    model: GazeGaussianConfig = GazeGaussianConfig()
    loss_weights: GazeGaussianLossWeights = GazeGaussianLossWeights()
    learning_rates: LearningRates = LearningRates()
    corrections: CorrectionsConfig | Literal["auto"] | None = None  # "auto": if a file's labels are estimates
    critic: CriticConfig | None = None  # for the gaze losses; never the judge
    synthetic_gaze: SyntheticGazeConfig = SyntheticGazeConfig()
    densify: DensifyConfig | None = None
    fit: FitConfig = FitConfig(num_steps=500, batch_size=4, learning_rate=1e-3, final_learning_rate_ratio=0.1)

    def digest(self) -> str:
        """The digest, with a suffix for runs with critics: earlier releases selected other weights of such runs."""
        plain = super().digest()
        if not self.loss_weights.needs_critics:
            return plain
        return hashlib.sha256(f"{plain}, selected once all terms act".encode()).hexdigest()[:12]

    def for_labels(self, label_sources: Collection[str]) -> "GazeGaussianStageConfig":
        """The configuration with "auto" resolved: corrections if labels of any of these sources are estimates."""
        if self.corrections != "auto":
            return self
        estimated = any(source != "exact" for source in label_sources)
        return self.model_copy(update={"corrections": CorrectionsConfig() if estimated else None})


def run(config: GazeGaussianStageConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Trains on `inputs["data"]` from `inputs["mesh_head"]`; writes `weights.safetensors` and `stats.jsonl`.

    Resumes an interrupted run.

    Raises:
        BadInput: the size of the images is not the model's `image_px`.
        MissingArtifact, ContractViolation: no usable MeshHead checkpoint.
    """
    data = read_training_data(inputs["data"], config.fit.batch_size, context.runtime)
    before = Seen.of_card(read_card(inputs["mesh_head"] / WEIGHTS_FILE, mesh_head.NAME, mesh_head.VERSION))
    data = replace(data, seen=data.seen | before)
    if data.image_px != config.model.image_px:
        raise BadInput(f"images are {data.image_px} px, the model expects image_px {config.model.image_px}")
    config = config.for_labels(data.label_sources)
    seed_everything("initialise", NAME, config.fit.seed)
    head = mesh_head.load(inputs["mesh_head"])
    model = initialise_from_mesh_head(config.model, head, data.label("eye_centers_head_m").mean(dim=0))
    critics = Critics(config.loss_weights, config.critic, config.synthetic_gaze, config.fit.seed)
    active = active_enhancements(model, config, critics)
    for name, detail in active:
        context.logger.info("active: %s: %s", name, detail)
    penalties = config.corrections if isinstance(config.corrections, CorrectionsConfig) else None
    corrections = FrameCorrections(*data.train.frames) if penalties else None
    num_steps = config.fit.steps(data.train.num_samples)
    selection = critics.selection(config.fit.selection, num_steps)
    fit_config, done = config.fit.model_copy(update={"selection": selection}), 0
    if config.densify is not None:
        done = max(1, int(config.densify.after * num_steps))
        model = _densified_model(
            TrainingModule(model, critics, corrections, penalties), config, config.densify, data, done, context
        )
        selection = selection.model_copy(update={"from_step": max(0, selection.from_step - done)})
        rest = {"num_steps": max(1, num_steps - done), "num_epochs": None, "first_step": done, "selection": selection}
        fit_config = config.fit.model_copy(update=rest)
    task = _task(TrainingModule(model, critics, corrections, penalties), config, data, done)
    produced = train(task, fit_config, data, _card(config, data, model, active), context, result=model)
    return replace(produced, metrics={**produced.metrics, **(corrections.sizes() if corrections else {})})


def _task(module: TrainingModule, config: GazeGaussianStageConfig, data: TrainingData, done: int) -> Task[GazeBatch]:
    """The training task from step `done` on."""
    num_steps = config.fit.steps(data.train.num_samples)
    return Task(
        model=module,
        parameter_groups=parameter_groups(module.model, module.corrections, config),
        num_samples=data.train.num_samples,
        read_batches=data.batches,
        loss_terms=lambda _, batch, step: module.loss_terms(batch, done + step, (done + step) / num_steps),
        validation=data.validation(lambda _, batch: module.measure(batch)),
    )


def _densified_model(
    module: TrainingModule, config: GazeGaussianStageConfig, densify: DensifyConfig, data: TrainingData, num_steps: int,
    context: StageContext,
) -> GazeGaussian:  # fmt: skip
    """The model after its first `num_steps` steps and densification; resumes if these steps were interrupted."""
    first_part = config.fit.model_copy(
        update={"num_steps": num_steps, "num_epochs": None, "final_learning_rate_ratio": 1.0, "keep_every_epochs": 0}
        | {"validate_every_epoch": False, "validate_every_steps": 0}
    )
    task, work_dir = _task(module, config, data, 0), context.work_dir / "before_densify"
    fit(task, first_part, context.runtime, work_dir, None, context.progress, context.logger)
    denser = densified(module.model, _gradients_px(module.model.train(), config, densify.num_frames, data), densify)
    context.logger.info(
        "densified: %d face Gaussians, before %d", denser.face.num_points, module.model.face.num_points
    )  # fmt: skip
    return denser


def _gradients_px(
    model: GazeGaussian, config: GazeGaussianStageConfig, num_frames: int, data: TrainingData
) -> Tensor:  # fmt: skip
    """Sum over evenly spaced frames of the gradient norms of each face Gaussian's image position."""
    device = model.face.means_m.device
    norms_px = torch.zeros(model.face.num_points, device=device)
    frames = evenly_spaced(data.train.num_samples, num_frames)
    with deterministic(device):
        for batch in data.batches([frame] for frame in frames):
            here = batch.to(device)
            output = model(here.camera, here.head)
            output.head.means2d_px.retain_grad()
            total(loss_terms(output, here, config.loss_weights)).backward()
            assert output.head.means2d_px.grad is not None
            norms_px += output.head.means2d_px.grad[0, : model.face.num_points].norm(dim=-1)
    return norms_px


def _card(
    config: GazeGaussianStageConfig, data: TrainingData, model: GazeGaussian, active: list[tuple[str, str]]
) -> dict[str, object]:
    return data.card(NAME, VERSION, config) | {
        "mesh": model.mesh.model_dump(mode="json"),
        "num_face_points": model.face.num_points,
        "enhancements": active,
        "autoencoder": model.autoencoder_digest,
        "people": _people(data),
    }


def _people(data: TrainingData) -> dict[str, list[float]]:
    """Mean and standard deviation of the identity codes over the people; an inversion starts at the mean."""
    people = data.identity_codes()
    return {"mean": people.mean(dim=0).tolist(), "std": people.std(dim=0, correction=0).tolist()}


def require_image_px(model: GazeGaussian, *datasets: SubjectDataset) -> None:
    """Raises BadInput for images of another size than the model renders. An imported model resamples its renderings."""
    for dataset in datasets:
        if isinstance(model, GazeGaussian) and dataset.size_px != (model.config.image_px,) * 2:
            width_px, height_px = dataset.size_px
            raise BadInput(
                f"{dataset.path}: images of {width_px} x {height_px} px, the checkpoint renders {model.config.image_px} px; "
                "give images of that size, or train a checkpoint of theirs"
            )


def load(directory: Path) -> tuple[GazeGaussian, dict[str, Any]]:
    """The trained model of a checkpoint's folder; see `load_file`."""
    return load_file(directory / WEIGHTS_FILE)


def load_file(path: Path) -> tuple[GazeGaussian, dict[str, Any]]:
    """The trained model, in evaluation mode, and its card.

    Raises:
        MissingArtifact: no readable checkpoint.
        ContractViolation: a checkpoint of another stage or stage version, or made with another autoencoder.
    """
    card = read_card(path, NAME)
    if card.get("compat") == official_checkpoint.COMPAT:
        return cast(GazeGaussian, official_checkpoint.load(path.parent, card)), card  # same call signature
    if card["stage_version"] != VERSION:
        raise ContractViolation(f"{path}: {NAME} v{card['stage_version']}, expected v{VERSION}; train it again")
    config = GazeGaussianStageConfig.model_validate(card["config"])
    model = GazeGaussian(config.model, MeshHeadConfig.model_validate(card["mesh"]), card["num_face_points"])
    model.load_state_dict(load_weights(path))
    if card["autoencoder"] != model.autoencoder_digest:
        raise ContractViolation(
            f"{path}: trained with autoencoder {card['autoencoder']}, found {model.autoencoder_digest} at the configured "
            "source; put the former there"
        )
    if "person" in card:  # adapted by inversion
        model.set_identity(torch.tensor(card["person"]))
    return model.eval(), card


def active_enhancements(
    model: GazeGaussian, config: GazeGaussianStageConfig, critics: Critics
) -> list[tuple[str, str]]:  # fmt: skip
    """Each enhancement over the published baseline with its details, also those that are off."""
    corrections = "codes and pose" if config.corrections else "off (exact labels)"
    densification = f"once, {config.densify.split_share:.0%} of the face split" if config.densify else "off"
    rows = [("corrections of each training frame", corrections), ("densification", densification)]
    return [*model.enhancements(), *critics.active(), *rows]


def parameter_groups(
    model: GazeGaussian, corrections: FrameCorrections | None, config: GazeGaussianStageConfig
) -> list[dict[str, object]]:
    """Parameter groups of positions, appearance, networks, renderer and corrections, with their learning rates."""
    rates, base = config.learning_rates, config.fit.learning_rate
    positions = [model.face.means_m, model.eyes.means_m, model.eyes.centers_m]
    face, eyes = ([stream.features, stream.attributes] for stream in (model.face, model.eyes))
    renderer = list(model.renderer.parameters())
    own = {id(p) for p in [*positions, *face, *eyes, *renderer]}
    networks = [p for p in model.parameters() if id(p) not in own]
    groups: list[dict[str, object]] = [
        {"params": positions, "lr": base * rates.positions},
        {"params": face, "lr": base * rates.appearance},
        {"params": eyes, "lr": base * rates.appearance * rates.eyes},
        {"params": networks, "lr": base * rates.networks},
        {"params": renderer, "lr": base * rates.networks * rates.renderer},
    ]
    if corrections is not None and isinstance(config.corrections, CorrectionsConfig):
        rate = base * config.corrections.learning_rate
        groups.append({"params": list(corrections.parameters()), "lr": rate})
    return groups
