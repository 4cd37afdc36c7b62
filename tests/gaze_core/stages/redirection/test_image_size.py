"""Every stage that renders refuses images of another size than its checkpoint renders."""

import pytest

from gaze_core.config import Runtime
from gaze_core.data.splits import SPLITS_FILE, DatasetSplits, split_with_held_out, write_splits
from gaze_core.data.subjects import SUBJECT_FILE
from gaze_core.errors import BadInput
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import downstream, evaluate, invert, sample
from tests.gaze_core.stages.redirection.tiny_run import train, write_dataset
from tests.tiny_subject import write_tiny_subject

STAGES = {
    evaluate: evaluate.EvaluateConfig(),
    sample: sample.SampleConfig(),
    downstream: downstream.DownstreamConfig(num_real=3),
    invert: invert.InvertConfig(),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_dataset(root)
    for stage in ("mesh_head", "gaze_gaussian"):
        train(stage, root, root / stage)
    data = root / "larger"
    data.mkdir()
    write_tiny_subject(data / SUBJECT_FILE, num_images=12, size_px=48, subject="larger", seed=1)
    splits = split_with_held_out("larger", range(9), range(9, 12), 0.2, seed=0)
    write_splits(data / SPLITS_FILE, DatasetSplits(subjects=(splits,)))
    return {"data": data, "checkpoint": root / "gaze_gaussian"}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.NAME)
def test_images_of_another_size_are_refused(stage, inputs, tmp_path):
    message = r"subject.h5: images of 48 x 48 px, the checkpoint renders 32 px; give images of that size"
    with pytest.raises(BadInput, match=message):
        stage.run(STAGES[stage], inputs, StageContext(Runtime(device="cpu"), tmp_path))
