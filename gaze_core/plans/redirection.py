"""Presets and plans of redirection. A user selects a preset; a plan is everything that decides a run's result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaze_core.assets import resolve
from gaze_core.data.subjects import open_subject
from gaze_core.errors import BadInput
from gaze_core.evaluation.judge import require_no_critic
from gaze_core.evaluation.protocols import protocol
from gaze_core.evaluation.report import Tolerance
from gaze_core.models.conditioning import SHAPE
from gaze_core.models.kl_autoencoder import AutoencoderConfig
from gaze_core.models.redirection.corrections import CorrectionsConfig
from gaze_core.models.redirection.gaze_gaussian import GazeGaussianConfig
from gaze_core.models.redirection.mesh_head import MeshHeadConfig
from gaze_core.models.redirection.renderers import RendererConfig, make_renderer
from gaze_core.plans.preflight import Plan
from gaze_core.plans.requests.redirection import PresetName, Source, Start
from gaze_core.plans.settings import lookup, overridden
from gaze_core.preprocess.video_config import VideoConfig
from gaze_core.stages.redirection import head_prior
from gaze_core.stages.redirection.evaluate import EvaluateConfig, judge_of
from gaze_core.stages.redirection.gaze_gaussian import GazeGaussianStageConfig, LearningRates
from gaze_core.stages.redirection.invert import InvertConfig
from gaze_core.stages.redirection.losses import Critics, GazeGaussianLossWeights
from gaze_core.stages.redirection.mesh_head import MeshHeadStageConfig
from gaze_core.stages.redirection.preprocess import PreprocessConfig, recorded_subjects
from gaze_core.training.loop import FitConfig


class RedirectionPlan(Plan):
    """Plan of the redirection pipeline. The optional baseline is the same model with another renderer, trained from scratch.

    With `adapt` the candidate is the shipped head prior, adapted to the person; without, it is trained from scratch, too.
    """

    preprocess: PreprocessConfig = PreprocessConfig()
    mesh_head: MeshHeadStageConfig = MeshHeadStageConfig()
    gaze_gaussian: GazeGaussianStageConfig = GazeGaussianStageConfig()
    adapt: InvertConfig | None = None
    baseline_renderer: RendererConfig | None = RendererConfig(kind="pixel_shuffle")
    evaluate: EvaluateConfig = EvaluateConfig()
    tolerance: Tolerance = Tolerance()

    def for_recording(self, recording: Path) -> "RedirectionPlan":
        """The plan for this recording: corrections are on if the labels of its subject files are estimates."""
        if self.gaze_gaussian.corrections != "auto" or self.preprocess.source == "video":
            return self
        return self.model_copy(update={"gaze_gaussian": self.gaze_gaussian.for_labels(_label_sources(recording))})

    @property
    def baseline(self) -> GazeGaussianStageConfig | None:
        """The candidate's configuration with the baseline renderer, if there is one."""
        if self.baseline_renderer is None:
            return None
        model = self.gaze_gaussian.model.model_copy(update={"renderer": self.baseline_renderer})
        return self.gaze_gaussian.model_copy(update={"model": model})

    def require_ready(self, inputs: Mapping[str, Path]) -> None:
        """Checks that images have the model's size, configurations are consistent and all required weights are available."""
        self._require_images([inputs[name] for name in ("recording", "test") if name in inputs])
        for config in filter(None, (self.gaze_gaussian, self.baseline)):
            model, channels = config.model, self.mesh_head.model.color_channels
            make_renderer(model.renderer, channels, SHAPE.width, model.raster_px, model.image_px)
        trained = self.gaze_gaussian
        Critics(trained.loss_weights, trained.critic, trained.synthetic_gaze, trained.fit.seed)
        if self.evaluate.protocol:
            protocol(self.evaluate.protocol)
        require_no_critic(judge_of(self.evaluate), trained.critic.sha256 if trained.critic else None)

    @property
    def _image_px(self) -> int:
        return int(head_prior.card()["image_px"]) if self.adapt else self.gaze_gaussian.model.image_px

    def _require_images(self, recordings: Sequence[Path]) -> None:
        expected_px = self._image_px
        sizes_px: dict[str, int] = {}
        if self.preprocess.source == "video":
            resolve("face_landmarker")
            sizes_px["preprocess.video.size_px"] = self.preprocess.video.size_px
        else:
            for path in (path for recording in recordings for path in recorded_subjects(recording).values()):
                with open_subject(path) as file:
                    sizes_px[str(path)] = int(file["image"].shape[2])
        for where, found_px in sizes_px.items():
            if found_px != expected_px:
                raise BadInput(
                    f"{where}: images of {found_px} px, the model is for {expected_px} px; choose a preset for that size, "
                    f"or --set gaze_gaussian.model.image_px={found_px}"
                )


@dataclass(frozen=True)
class Size:
    """The architecture of both models."""

    image_px: int
    mesh_cell_m: float
    cell_m: float
    raster_px: int
    points_per_eye: int
    hidden: int
    feature_width: int
    channels: int
    token_width: int
    depth: int
    num_heads: int
    patch_px: int


@dataclass(frozen=True)
class Schedule:
    """How both are trained. `critics`: autoencoder, perceptual and gaze losses, whose weights the user provides."""

    mesh_length: str
    mesh_batch_size: int
    length: str
    batch_size: int
    learning_rate: float
    critics: bool


SIZES: dict[PresetName, Size] = {
    #              image  mesh    cell     raster  points  hid-  feature  chan-  token                patch
    #              _px    cell_m  _m       _px     / eye   den   width    nels   width  depth  heads  _px
    "tiny":  Size(128,    0.014,  0.010,   128,    250,    64,   32,      16,    96,    2,     4,     8),
    "small": Size(128,    0.012,  0.009,   128,    250,    96,   32,      16,    192,   4,     4,     8),
    "paper": Size(512,    0.0033, 0.0021,  128,    2000,   256,  128,     32,    512,   6,     8,     8),
    "h200":  Size(512,    0.0033, 0.0021,  128,    2000,   256,  128,     32,    512,   6,     8,     8),
}  # fmt: skip
PRESETS: dict[PresetName, Schedule] = {
    #                  mesh         batch                batch  learning
    #                  length       size   length        size   rate      critics
    "tiny":  Schedule("150 steps",  4,     "300 steps",  3,     1e-3,     False),
    "small": Schedule("200 steps",  4,     "260 steps",  4,     1e-3,     False),
    "paper": Schedule("10 epochs",  1,     "30 epochs",  1,     1e-4,     True),
    "h200":  Schedule("10 epochs",  8,     "30 epochs",  8,     2e-4,     True),
}  # fmt: skip
HEAD_PRIOR_PX = 128
# What neither a photo nor a recording teaches anew: how a face moves with expression and gaze, and what an eyeball looks like.
_MOTION = tuple(f"model.{part}" for part in (
    "face.deform.shape.*", "face.deform.lids.*", "face.attribute.shape.*", "face.attribute.lids.*", "eyes.means_m",
    "eyes.centers_m", "eyes.deform.*", "eyes.rotate.*", "eyes.place_ball.*", "eyes.attribute.*", "eyes.color.*",
))  # fmt: skip
_POSE = ("model.face.deform.pose.*", "model.face.attribute.pose.*")  # how hair hangs when the head tilts


def _adapted(num_steps: int, num_code_steps: int = 20, frozen: tuple[str, ...] = _MOTION) -> InvertConfig:
    """The head prior adapted to a person: the code alone for a few steps, then the person's appearance and shape."""
    return InvertConfig(
        num_images=None,
        max_images=24,
        codes=FitConfig(num_steps=num_code_steps, batch_size=2, learning_rate=0.05, final_learning_rate_ratio=0.1),
        code_unit="spread",
        weights=FitConfig(
            num_steps=num_steps, batch_size=2, learning_rate=2e-3, final_learning_rate_ratio=0.1, frozen=frozen
        ),
        # Seen from one side, Gaussians that move freely drift along the line of sight, and the turned head falls apart.
        learning_rates=LearningRates(positions=0.05, renderer=0.1, eyes=0.1),
        # The prior knows what lies beyond a recording's border; from scratch that must be kept empty.
        loss_weights=GazeGaussianLossWeights(hidden_matter=0.02),
        corrections=CorrectionsConfig(learning_rate=0.06),
        identity_prior=0.01,
    )


ADAPT_TO_PHOTO = _adapted(60, num_code_steps=40, frozen=(*_MOTION, *_POSE))
ADAPT: dict[PresetName, InvertConfig] = {"tiny": _adapted(700), "small": _adapted(1400)}
_SAVE_EVERY_EPOCHS = 10
_CRITIC_WEIGHT = 0.1  # of the perceptual distance, and of a degree of gaze (GazeGaussian, eq. 13)


def redirection_plan(
    preset: str, source: Source = "synthetic", overrides: Sequence[str] = (), start: Start = "auto"
) -> RedirectionPlan:
    """The plan of a preset for a source, with `dotted.key=value` overrides.

    Raises:
        BadInput: an unknown preset, key or value; the message lists the known ones. Or a preset of another image size is to
            start from the known head.
    """
    size, schedule = lookup("preset", preset, SIZES), lookup("preset", preset, PRESETS)
    plan = _plan(size, schedule, source)
    if start == "known" or (start == "auto" and source == "video" and size.image_px == HEAD_PRIOR_PX):
        if size.image_px != HEAD_PRIOR_PX:
            raise BadInput(
                f"--start known: the known head renders {HEAD_PRIOR_PX} px, preset {preset} trains for {size.image_px} px; "
                "choose preset tiny or small, or --start scratch"
            )
        plan = plan.model_copy(update={"adapt": lookup("preset", preset, ADAPT)})
    return overridden(plan, overrides)


def _label_sources(path: Path) -> frozenset[str]:
    """The label sources (`schema.LABEL_SOURCES`) of a subject file, or of all subject files in a folder."""
    sources = set()
    for file_path in [path] if path.is_file() else sorted(path.glob("*.h5")):
        with open_subject(file_path) as file:
            sources.add(str(file.attrs["label_source"]))
    return frozenset(sources)


def _plan(size: Size, schedule: Schedule, source: Source) -> RedirectionPlan:
    weight = _CRITIC_WEIGHT if schedule.critics else 0.0
    return RedirectionPlan(
        preprocess=PreprocessConfig(source=source, video=VideoConfig(size_px=size.image_px)),
        mesh_head=MeshHeadStageConfig(
            model=MeshHeadConfig(
                cell_m=size.mesh_cell_m,
                hidden=size.hidden,
                feature_width=size.feature_width,
                color_channels=size.channels,
            ),
            fit=_fit(
                schedule.mesh_length,
                batch_size=schedule.mesh_batch_size,
                learning_rate=1e-3,
                keep_every_epochs=_SAVE_EVERY_EPOCHS if schedule.critics else 0,
            ),
        ),
        gaze_gaussian=GazeGaussianStageConfig(
            model=_model(size, AutoencoderConfig() if schedule.critics else None),
            loss_weights=GazeGaussianLossWeights(perceptual=weight, gaze_deg=weight, synthetic_gaze_deg=weight),
            corrections=CorrectionsConfig() if source == "video" else "auto",
            fit=_fit(
                schedule.length,
                batch_size=schedule.batch_size,
                learning_rate=schedule.learning_rate,
                final_learning_rate_ratio=0.1,
                warmup_steps=10,
                keep_every_epochs=_SAVE_EVERY_EPOCHS if schedule.critics else 0,
            ),
        ),
        evaluate=EvaluateConfig(judge="cnn" if source == "synthetic" else "landmarks"),
    )


def _model(size: Size, autoencoder: AutoencoderConfig | None) -> GazeGaussianConfig:
    return GazeGaussianConfig(
        image_px=size.image_px,
        raster_px=size.raster_px,
        cell_m=size.cell_m,
        points_per_eye=size.points_per_eye,
        renderer=RendererConfig(
            token_width=size.token_width,
            depth=size.depth,
            num_heads=size.num_heads,
            patch_px=size.patch_px,
            autoencoder=autoencoder,
        ),
    )


def _fit(length: str, **values: Any) -> FitConfig:
    """Configuration for "200 steps" or "10 epochs", validated after each epoch."""
    number, unit = length.split()
    return FitConfig(**{f"num_{unit}": int(number), "validate_every_epoch": True, **values})
