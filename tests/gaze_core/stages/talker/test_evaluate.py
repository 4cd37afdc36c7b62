"""The evaluation and comparison stages on a head that was trained for a few steps on a drawn talker."""

import pytest

from gaze_core.config import Runtime
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.models.talker.config import PRESETS
from gaze_core.stages.context import StageContext
from gaze_core.stages.talker import coarse, compare, evaluate, fine
from gaze_core.talker.evaluation import TalkerEvaluateConfig
from gaze_core.talker.report import MODEL, TalkerTolerance
from tests.gaze_core.talker.drawn_talker import write_drawn

RUNTIME = Runtime(device="cpu", progress=False)
SMALL = {
    "plane_channels": 4,
    "plane_resolutions": (8, 16),
    "min_head_points": 400,
    "mouth_points": 40,
    "points_per_eye": 40,
}
NETWORK = PRESETS["tiny"].model_copy(update=SMALL)
COARSE = coarse.TalkerCoarseConfig(network=NETWORK, num_steps=8)
FINE = fine.TalkerFineConfig(num_steps=4, batch_size=1)
EVALUATE = TalkerEvaluateConfig(sweep_frames=2, audio_shifts=1, landmarks=False, most_frames=22)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("talker")
    write_drawn(root / "data")
    for name, stage, config, checkpoint in (("coarse", coarse, COARSE, None), ("fine", fine, FINE, "coarse")):
        (root / name).mkdir()
        inputs = {"data": root / "data", "coarse": root / checkpoint if checkpoint else None}
        stage.run(config, inputs, StageContext(RUNTIME, root / name))
    return root


def run(stage, config, inputs, folder):
    folder.mkdir()
    return stage.run(config, inputs, StageContext(RUNTIME, folder))


def test_a_trained_head_is_measured_and_compared(place, tmp_path):
    inputs = {"data": place / "data", "checkpoint": place / "fine"}
    made = run(evaluate, EVALUATE, inputs, tmp_path / "found")
    found = evaluate.read_talker_evaluation(tmp_path / "found")
    assert found.mean(MODEL, "full_psnr_db") > 10
    assert len(found.frames) == 22
    assert {name.partition("/")[0] for name in made.files} >= {"examples", "sweep_yaw", "series.json"}
    assert made.metrics["head_psnr_db"] == found.numbers["head_psnr_db"]
    assert made.subjects == {"test": ("drawn",)}
    assert "the face landmark model" in found.absent["mouth_distance"]
    compared = run(compare, TalkerTolerance(), {"candidate": tmp_path / "found"}, tmp_path / "compared")
    assert compare.read_talker_comparison(tmp_path / "compared").against == "nearest training frame"
    assert set(compared.metrics) == {"gain_head_psnr_db", "gain_lips_psnr_db", "gain_eyes_psnr_db"}


def test_features_of_another_kind_are_refused(place, tmp_path):
    import h5py

    write_drawn(tmp_path / "data")
    with h5py.File(tmp_path / "data" / "subject.h5", "r+") as file:
        file.attrs["audio_extractor"] = "wav2vec2"
    with pytest.raises(BadInput, match="wav2vec2"):
        run(evaluate, EVALUATE, {"data": tmp_path / "data", "checkpoint": place / "fine"}, tmp_path / "found")
    with pytest.raises(ContractViolation, match="no evaluation of a talking head"):
        evaluate.read_talker_evaluation(tmp_path)
