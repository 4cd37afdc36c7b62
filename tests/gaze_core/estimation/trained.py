"""A tiny model trained on drawn people, its features and its temporal head, as the stages leave them."""

from gaze_core.config import Runtime
from gaze_core.models.estimation.gazetr import GazeTRConfig
from gaze_core.stages.context import StageContext
from gaze_core.stages.estimation import features, train_single, train_temporal
from gaze_core.stages.estimation.evaluate import EstimationEvaluateConfig
from tests.gaze_core.estimation.drawn_people import write_people

RUNTIME = Runtime(device="cpu", progress=False, log_every_steps=1)
PEOPLE = {
    "train01": "train",
    "train02": "train",
    "train03": "train",
    "val01": "val",
    "test01": "test",
    "test02": "test",
}
NETWORK = GazeTRConfig(variant="tiny", face_px=32, eye_px=24, width=16, num_layers=1, dropout=0.0, mirror_left_eye=True)
SINGLE = train_single.TrainSingleConfig(
    network=NETWORK,
    frame_stride=4,
    fit=train_single.PUBLISHED_FIT.model_copy(
        update={"num_epochs": 6, "batch_size": 16, "learning_rate": 5e-3, "warmup_epochs": 1}
    ),
)
_TEMPORAL = train_temporal.TrainTemporalConfig(hidden=16, drop_frames=1, hop=2)
TEMPORAL = _TEMPORAL.model_copy(
    update={
        "fit": _TEMPORAL.fit.model_copy(
            update={"num_epochs": 60, "batch_size": 8, "learning_rate": 1e-2, "patience": 60}
        )
    }
)
EVALUATE = EstimationEvaluateConfig(calibration_draws=4)


def train_all(root, noise=0.03, wrong=None):
    """Folders of data, single, features and temporal below `root`."""
    data = write_people(root / "data", PEOPLE, noise=noise, wrong=wrong)
    inputs = {"data": data}
    single = train_single.run(SINGLE, inputs, StageContext(RUNTIME, root / "single"))
    inputs |= {"single": root / "single"}
    (root / "made").mkdir(exist_ok=True)
    made = features.run(features.FeaturesConfig(), inputs, StageContext(RUNTIME, root / "made"))
    inputs |= {"features": root / "made" / "features"}
    temporal = train_temporal.run(TEMPORAL, inputs, StageContext(RUNTIME, root / "temporal"))
    inputs |= {"temporal": root / "temporal"}
    return inputs, {"single": single, "features": made, "temporal": temporal}
