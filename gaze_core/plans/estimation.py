"""The plan of a gaze estimation run, from a preset, options, a settings file and `--set`."""

from collections.abc import Mapping
from pathlib import Path

from gaze_core.errors import BadInput
from gaze_core.estimation.augmentation import EyeFaceAugmentation
from gaze_core.estimation.conversion import ConvertConfig, layout_of
from gaze_core.estimation.recordings import INDEX_FILE, RecordingIndex, read_index
from gaze_core.estimation.report import EstimationTolerance
from gaze_core.estimation.roles import roles_of
from gaze_core.models.estimation.encoder_weights import require_available
from gaze_core.models.estimation.gazetr import GAZETR_PRESETS
from gaze_core.plans.preflight import Plan
from gaze_core.plans.settings import lookup, validated
from gaze_core.stages.estimation.evaluate import EstimationEvaluateConfig
from gaze_core.stages.estimation.features import FeaturesConfig
from gaze_core.stages.estimation.train_single import PUBLISHED_FIT, TrainSingleConfig
from gaze_core.stages.estimation.train_temporal import TrainTemporalConfig
from gaze_core.training.loop import OptimizerConfig

_RATES = {"stride4": (16, 15.0), "eve": (30, 10.0)}  # frames of a clip, frames a second


class EstimationPlan(Plan):
    """Everything that decides the result of a run."""

    convert: ConvertConfig = ConvertConfig()
    single: TrainSingleConfig = TrainSingleConfig()
    features: FeaturesConfig = FeaturesConfig()
    temporal: TrainTemporalConfig = TrainTemporalConfig()
    evaluate: EstimationEvaluateConfig = EstimationEvaluateConfig()
    tolerance: EstimationTolerance = EstimationTolerance()

    def require_ready(self, inputs: Mapping[str, Path]) -> None:
        """Checks the layout of the data, the people of each role where they are known, and pretrained weights."""
        data = inputs["data"]
        if index := converted_index(data):
            roles_of(index, self.single.cameras)
        else:
            layout_of(data)
        for weights in (self.single.network.face_weights, self.single.network.eye_weights):
            if weights:
                require_available(weights)


def converted_index(data: Path) -> RecordingIndex | None:
    """The index of a folder of converted recordings; None if it is of another layout.

    Raises:
        BadInput: no such folder, or its index is damaged.
    """
    if not data.is_dir():
        raise BadInput(f"{data}: no such folder; expected EVE, or converted recordings")
    return read_index(data) if (data / INDEX_FILE).is_file() else None


# Few people are soon known by heart: much change of every frame, decay and an average of the weights delay that.
_MOVED = EyeFaceAugmentation(jitter=0.8, blur=0.5, noise=0.5, mirror=0.5, shift=0.08, scale=0.12, head_noise_deg=1.0)
_DECAY = OptimizerConfig(name="adamw", weight_decay=0.05)
_TINY = EstimationPlan(
    convert=ConvertConfig(face_px=96, eye_px=48),
    single=TrainSingleConfig(
        network=GAZETR_PRESETS["tiny"],
        frame_stride=2,
        max_train_frames=12_000,
        max_validation_frames=1_000,
        changes=_MOVED,
        fit=PUBLISHED_FIT.model_copy(
            update={
                "num_epochs": 12,
                "batch_size": 32,
                "learning_rate": 1e-3,
                "optimizer": _DECAY,
                "ema_decay": 0.995,
                "patience": 24,  # all epochs are trained, the best validation is kept
            }
        ),
    ),
)
_DEMO = _TINY.model_copy(
    update={
        "single": _TINY.single.model_copy(
            update={
                "max_train_frames": 1_500,
                "max_validation_frames": 300,
                "fit": _TINY.single.fit.model_copy(update={"num_epochs": 12}),
            }
        )
    }
)
PRESETS: dict[str, EstimationPlan] = {
    "demo": _DEMO,
    "tiny": _TINY,
    "lite": EstimationPlan(),
    "hybrid": EstimationPlan(single=TrainSingleConfig(network=GAZETR_PRESETS["hybrid"])),
    # 64 frames for each of 8 processes, as the published baseline was trained.
    "h200": EstimationPlan(single=TrainSingleConfig(fit=PUBLISHED_FIT.model_copy(update={"batch_size": 8 * 64}))),
}


def plan_of_data(cameras: tuple[str, ...]) -> EstimationPlan:
    """The plan to measure a trained model with; only its stages after training count."""
    return estimation_plan("tiny", cameras)


def estimation_plan(preset: str, cameras: tuple[str, ...] = ("basler",), time: str = "stride4") -> EstimationPlan:
    """The plan of a preset for these cameras and this time scale.

    Raises:
        BadInput: an unknown preset, time scale or camera.
    """
    plan = lookup("preset", preset, PRESETS)
    length, rate_hz = lookup("time", time, _RATES)
    values = plan.model_dump(mode="json")
    values["convert"]["cameras"] = list(cameras)
    values["temporal"]["length"], values["features"]["rate_hz"] = length, rate_hz
    return validated(EstimationPlan, values)
