"""A pretrained redirector of drawn people, as small as it can be."""

import pytest
import torch

from gaze_core.config import Runtime
from gaze_core.models.one_shot.redirector import RedirectorConfig
from gaze_core.one_shot.objective import OneShotLossWeights
from gaze_core.stages.context import StageContext
from gaze_core.stages.one_shot import prepare, pretrain
from gaze_core.stages.one_shot.adapt import OneShotAdaptConfig
from gaze_core.stages.one_shot.training import PictureConfig
from gaze_core.training.loop import FitConfig
from tests.gaze_core.one_shot.tiny_people import drawn_people

NETWORK = RedirectorConfig(
    block_channels=(16, 16), attended=(False, True), norm_groups=8, heads=2, gaze_hidden=16, num_tokens=2, token_width=16
)  # fmt: skip
RUNTIME = Runtime(device="cpu", progress=False, log_every_steps=1, checkpoint_every_steps=1)
PRETRAIN = pretrain.OneShotPretrainConfig(
    network=NETWORK,
    weights=OneShotLossWeights(gan=0.01, gan_from_step=1, gaze_from_step=0),
    most_validation=4,
    fit=FitConfig(num_steps=2, batch_size=2, validate_every_steps=2),
    pictures=PictureConfig(every_steps=1, rows=2),
)
ADAPT = OneShotAdaptConfig(
    split={"num_samples": 4}, num_steps=3, learning_rate=1e-2, validate_every_steps=3, pictures={"every_steps": 3}
)


def prepared(folder, counts):
    """The folder of prepared samples of drawn people."""
    (folder / "people").mkdir(parents=True)
    (folder / "data").mkdir()
    drawn_people(folder / "people" / "people.h5", counts)
    prepare.run(prepare.OneShotPrepareConfig(), {"people": folder / "people"}, StageContext(RUNTIME, folder / "data"))
    return folder / "data"


def pretrained(folder, data):
    """The folder of a checkpoint after two steps."""
    folder.mkdir(parents=True)
    pretrain.run(PRETRAIN, {"data": data}, StageContext(RUNTIME, folder))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pretraining people in `many`, a checkpoint in `base`, and one person with somebody else in `one`."""
    root = tmp_path_factory.mktemp("one_shot")
    torch.manual_seed(0)
    pretrained(root / "base", prepared(root / "many", {"00001": 6, "00002": 6, "00003": 6}))
    prepared(root / "one", {"00901": 12, "00902": 8})
    return root
