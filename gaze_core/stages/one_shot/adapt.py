"""Stage: adapts a pretrained redirector to one person; only what the strategy names is trained."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.models.one_shot.redirector import MlpLayers, Strategy, trained_parameters
from gaze_core.one_shot.checkpoints import load_critic, load_redirector, redirector_card
from gaze_core.one_shot.objective import Objective, OneShotLossWeights, vgg_of
from gaze_core.one_shot.samples import pair_candidates, read_samples
from gaze_core.one_shot.selection import SplitConfig, split_person
from gaze_core.reproducibility import choose_device
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.one_shot.training import PictureConfig, picture_files, train_redirector
from gaze_core.training.checkpoint import WEIGHTS_FILE, save_weights
from gaze_core.training.history import STATS_FILE
from gaze_core.training.loop import FitConfig, OptimizerConfig, SelectionConfig

NAME, VERSION = "one_shot_adapt", 1
PERSON_FILE = "person.json"
Mode = Literal["person", "single_image"]


class OneShotAdaptConfig(Config):
    """What is trained, and how long. The defaults are the published ones."""

    split: SplitConfig = SplitConfig()
    mode: Mode = "person"  # single_image: of the samples only the first one, which is its own reference
    strategy: Strategy = "selective"
    finetune_gaze_mlp: bool = False
    gaze_mlp_layers: MlpLayers = "last"
    num_steps: PositiveInt = 500
    learning_rate: PositiveFloat = 5e-5
    batch_size: PositiveInt = 1
    validate_every_steps: PositiveInt = 100
    weights: OneShotLossWeights = OneShotLossWeights(gaze_from_step=0)
    vgg_weights: Path | None = Field(None, description="torchvision's VGG-16; without it there is no perceptual loss.")
    pictures: PictureConfig = PictureConfig()
    seed: NonNegativeInt = 0

    @property
    def fit(self) -> FitConfig:
        """The optimisation."""
        return FitConfig(
            num_steps=self.num_steps, batch_size=self.batch_size, learning_rate=self.learning_rate, schedule="linear",
            final_learning_rate_ratio=0.1, optimizer=OptimizerConfig(name="adamw", betas=(0.9, 0.99), weight_decay=0.0),
            validate_every_steps=min(self.validate_every_steps, self.num_steps), patience=1000, seed=self.seed,
            selection=SelectionConfig(metric="eye_psnr_db", mode="max"),
        )  # fmt: skip


class PersonRecord(Config):
    """Who was adapted to, and with which samples: positions in the person's group of the data set's file."""

    person: str
    usable: int
    strategy: Strategy
    trained_parameters: int
    all_parameters: int
    adapted_with: tuple[int, ...]
    validated_with: tuple[int, ...]
    tested_with: tuple[int, ...]
    base_digest: str


def run(config: OneShotAdaptConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Adapts `inputs["checkpoint"]` to the first person of `inputs["data"]`.

    Raises:
        BadInput: no checkpoint, or too few samples.
    """
    if not inputs.get("checkpoint"):
        raise BadInput(
            "adapting needs a pretrained checkpoint, or it would start from noise; make one with: gazeworks one-shot pretrain"
        )
    loaded = load_redirector(inputs["checkpoint"], context.runtime)
    model = loaded.model.cpu()
    every = read_samples(inputs["data"])
    person = every.names[0]
    samples = every.subset(every.of(person))
    split = split_person(len(samples), config.split, person, context.logger)
    adapt = split.adapt[:1] if config.mode == "single_image" else split.adapt
    names = trained_parameters(model, config.strategy, config.finetune_gaze_mlp, config.gaze_mlp_layers)
    counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    trained, total = sum(counts[name] for name in names), sum(counts.values())
    context.logger.info("strategy %s trains %d of %d parameters", config.strategy, trained, total)
    device = choose_device(context.runtime)
    critic, vgg = load_critic(inputs["checkpoint"]), vgg_of(config.vgg_weights)
    objective = Objective(
        samples, pair_candidates(samples, adapt), loaded.autoencoder.to(device), config.weights,
        critic=None if critic is None else critic.to(device), vgg=None if vgg is None else vgg.to(device),
    )  # fmt: skip
    summary = train_redirector(
        model, objective, adapt, split.validation, config.fit, names, context, pictures=config.pictures
    )
    record = PersonRecord(
        person=person, usable=len(samples), strategy=config.strategy, trained_parameters=trained, all_parameters=total,
        adapted_with=_rows(samples.row, adapt), validated_with=_rows(samples.row, split.validation),
        tested_with=_rows(samples.row, split.test), base_digest=str(loaded.card.get("weights_digest", "")),
    )  # fmt: skip
    (context.work_dir / PERSON_FILE).write_text(record.model_dump_json(indent=1))
    before = dict(loaded.card["trained_on"])
    card = redirector_card(
        model, loaded.source, loaded.autoencoder, NAME, VERSION, config, before | {"adapted": [person]},
        adapted_rows=list(record.adapted_with + record.validated_with),
    )  # fmt: skip
    path = context.work_dir / WEIGHTS_FILE
    save_weights(path, model, card)
    files = {WEIGHTS_FILE: path, STATS_FILE: context.work_dir / STATS_FILE, PERSON_FILE: context.work_dir / PERSON_FILE}
    numbers = {"trained_parameters": float(trained), "all_parameters": float(total), "num_adapt": float(len(adapt))}
    return Produced(
        kind="checkpoint", files=files | picture_files(context), metrics=summary.metrics() | numbers,
        subjects={"train": (person,)},
    )  # fmt: skip


def _rows(rows: object, positions: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(rows[position]) for position in positions)  # type: ignore[index]


def read_person_record(folder: Path) -> PersonRecord:
    """The person information file of an adapted checkpoint."""
    return PersonRecord.model_validate_json((folder / PERSON_FILE).read_text())
