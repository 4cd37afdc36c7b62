"""The downstream experiment: its errors, and redirected images labelled with their target gaze."""

import shutil

import numpy as np
import pytest
import torch

from gaze_core.config import Runtime
from gaze_core.data.splits import SPLITS_FILE, DatasetSplits, read_splits, write_splits
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.evaluation.downstream import Arm, DownstreamReport, Repeat
from gaze_core.evaluation.downstream_page import markdown, write_downstream_page
from gaze_core.evaluation.intervals import Estimate
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.reproducibility import generator
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import downstream, gaze_gaussian
from gaze_core.stages.redirection.downstream import DownstreamConfig, read_downstream, redirected
from tests.gaze_core.stages.redirection.tiny_run import train, write_dataset

TINY = DownstreamConfig(num_real=3, num_generated=5, num_steps=2, batch_size=4, num_repeats=2)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_dataset(root)
    for stage in ("mesh_head", "gaze_gaussian"):
        train(stage, root, root / stage)
    return {"data": root / "data", "checkpoint": root / "gaze_gaussian"}


def run(inputs, folder, config=TINY):
    folder.mkdir()
    produced = downstream.run(config, inputs, StageContext(Runtime(device="cpu"), folder))
    return produced, read_downstream(folder)


def test_both_arms_are_measured_on_the_same_test_images_and_twice_alike(inputs, tmp_path):
    _, report = run(inputs, tmp_path / "all")
    _, again = run(inputs, tmp_path / "one", TINY.model_copy(update={"num_repeats": 1}))
    assert again.repeats == report.repeats[:1]  # twice alike, and each repeat is its own
    assert [arm.name for arm in report.arms] == ["start", "real", "augmented"]
    assert {len(errors) for repeat in report.repeats for errors in repeat.errors_deg.values()} == {3}
    first, second = report.repeats
    assert first.real_frames != second.real_frames
    assert max(first.real_frames) < 9  # the test frames are 9 to 11
    start, real, augmented = (arm.error_deg.value for arm in report.arms)
    assert report.gain_deg.value == pytest.approx(real - augmented)
    assert start != real != augmented
    assert "trained on more images (9 of tiny) than the 3 real ones" in report.caveat


def test_redirected_images_are_labelled_with_the_target_gaze(inputs):
    model, _ = gaze_gaussian.load(inputs["checkpoint"])
    real = SubjectDataset(inputs["data"] / "subject.h5").batch([0, 1])
    faces = redirected(model, real, TINY, generator("test"))
    assert len(faces) == 5
    spread = angular_error_deg(faces.gaze_camera[:1].expand(5, 2), faces.gaze_camera)
    assert spread.max() > 5
    assert not torch.equal(faces.rgb[0], faces.rgb[1])
    assert (faces.head_mask == 1).all()


def test_too_few_images_are_refused(inputs, tmp_path):
    config = TINY.model_copy(update={"num_real": 99})
    with pytest.raises(BadInput, match="tiny: 7 training and 3 test images; expected at least 99 and 1"):
        run(inputs, tmp_path / "run", config)


def test_a_redirector_that_has_seen_the_test_frames_is_refused(inputs, tmp_path):
    shutil.copytree(inputs["data"], tmp_path / "data")
    path = tmp_path / "data" / SPLITS_FILE
    (one,) = read_splits(path).subjects
    other = one.model_copy(update={"train": one.train[1:], "test": (*one.test, one.train[0])})
    write_splits(path, DatasetSplits(subjects=(other,)))
    with pytest.raises(ContractViolation, match="the redirector was trained on"):
        run(inputs | {"data": tmp_path / "data"}, tmp_path / "run")


def report(gain, low, high, frames=3, num_images=20):
    arms = [(name, Estimate(value=value, low=value - 1, high=value + 1, num_samples=4, num_subjects=1))
            for name, value in (("start", 6.0), ("real", 5.0), ("augmented", 5.0 - gain))]  # fmt: skip
    return DownstreamReport(
        arms=tuple(Arm(name=name, error_deg=error) for name, error in arms),
        gain_deg=Estimate(value=gain, low=low, high=high, num_samples=num_images, num_subjects=1),
        num_real=3, num_generated=5, redirector_frames={"ann": frames},
        repeats=(Repeat(subject="ann", number=0, real_frames=(1,), errors_deg={"real": (5.0,), "augmented": (4.0,)}),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("gain", "low", "high", "verdict"), [(1, 0.5, 1.5, "helps"), (-1, -2, -0.1, "hurts"), (1, -0.1, 2, "undecided")]
)
def test_the_verdict_is_that_of_the_interval(gain, low, high, verdict):
    found = report(gain, low, high)
    assert found.verdict == verdict
    assert found.repeats[0].gain_deg == 1
    assert found.caveat == "The redirector was trained on no more images than the estimator."


def test_few_test_images_decide_nothing():
    assert report(1, 0.5, 1.5, num_images=19).verdict == "undecided"


def test_the_page_says_what_was_found_and_asks_for_nothing_outside(tmp_path):
    images = {name: np.zeros((2, 8, 8, 3), np.uint8) for name in ("real", "generated")}
    page = write_downstream_page(report(1, 0.5, 1.5, frames=9), images, "Down <b>", "now", tmp_path)
    text = page.read_text()
    for fact in (
        "Down &lt;b&gt;",
        "Redirected images help",
        "0.50 to 1.50",
        "3 real, 5 redirected",
        "9 of ann",
        "9.20",
    ):
        assert fact in text
    assert text.count("data:image/png;base64,") == 4
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert "| 3 real images | 5.00° | 4.00 to 6.00 | 4 |" in markdown(report(1, 0.5, 1.5))
