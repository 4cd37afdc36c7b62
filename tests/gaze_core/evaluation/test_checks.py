"""Each fault that an average hides is named when injected; a correct model has none."""

from importlib import resources
from pathlib import Path

import pytest
import torch

from gaze_core.data.subjects import SubjectDataset
from gaze_core.evaluation.judge import CnnJudge
from gaze_core.evaluation.metric_networks import MetricNetworks
from gaze_core.evaluation.pairs import seeded_pairs
from gaze_core.evaluation.redirection import HeldOut, evaluate
from gaze_core.evaluation.report import ProtocolRecord
from tests.gaze_core.evaluation.test_redirection import PredictingJudge, camera_gaze, redirector, written
from tests.tiny_subject import write_tiny_subject

PROTOCOL = ProtocolRecord(name="test", title="Test", pairs="seed 0")
FRAMES = tuple(range(0, 200, 10))


@pytest.fixture(scope="module")
def pack():
    path = Path(str(resources.files("gaze_core") / "data" / "packs" / "synthetic_128.h5"))
    return SubjectDataset(path, subset=FRAMES).everything


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return SubjectDataset(write_tiny_subject(tmp_path_factory.mktemp("data") / "tiny.h5")).everything


def checks_of(render, batch, judge):
    """Name of each check -> (verdict, name of the likeliest rival)."""
    frames = batch.sample_index.tolist()
    rows = {frame: row for row, frame in enumerate(frames)}
    held_out = HeldOut("s", seeded_pairs(frames, 0), lambda wanted: batch[[rows[frame] for frame in wanted]])
    report = evaluate(render, [held_out], MetricNetworks(judge), PROTOCOL)
    return {check.name: (check.verdict, check.rival_name) for check in report.checks}


def recordings(batch):
    """A redirector that returns the recorded image of the target pose, for any target gaze."""
    poses = [tuple(pose.flatten().tolist()) for pose in batch.head.head_to_world]

    def render(camera, head):
        return batch.rgb_on_white[[poses.index(tuple(pose.flatten().tolist())) for pose in head.head_to_world]]

    return render


def changed(batch, **fields):
    """The batch with some fields replaced, as a faulty reader would have left them."""
    copy = batch[:]
    for name, value in fields.items():
        object.__setattr__(copy, name, value)
    return copy


def test_a_recording_with_right_labels_passes_and_a_copy_is_not_a_redirector(pack):
    found = checks_of(recordings(pack), pack, CnnJudge())
    for name in ("labels of the recordings", "head labels of the recordings", "the judge", "colours of the recordings"):
        assert found[name][0] == "ok", name
    assert found["orientation and colours of the renderings"][0] == "ok"
    assert found["redirection"][0] != "ok"


@pytest.mark.parametrize(
    ("order", "signs", "fault"),
    [
        ((0, 1), (1, -1), "yaw is mirrored"),
        ((0, 1), (-1, 1), "pitch is mirrored"),
        ((1, 0), (1, 1), "pitch and yaw are swapped"),
    ],
)
def test_wrong_labels_are_named(pack, order, signs, fault):
    wrong = changed(pack, gaze_camera=pack.gaze_camera[:, order] * torch.tensor(signs))
    assert checks_of(recordings(pack), wrong, CnnJudge())["labels of the recordings"] == ("fault", fault)


def test_mirrored_recordings_are_named(pack):
    wrong = changed(pack, rgb=pack.rgb.flip(-1), head_mask=pack.head_mask.flip(-1))
    found = checks_of(recordings(pack), wrong, CnnJudge())
    assert found["labels of the recordings"] == ("fault", "yaw is mirrored")
    assert found["head labels of the recordings"] == ("fault", "yaw is mirrored")


def test_recordings_with_red_and_blue_swapped_are_named(pack):
    wrong = changed(pack, rgb=pack.rgb.flip(1))
    found = checks_of(recordings(wrong), wrong, CnnJudge())
    assert found["colours of the recordings"] == ("fault", "red and blue are swapped")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda rgb: rgb.flip(-1), "the image is mirrored"),
        (lambda rgb: rgb.flip(-2), "the image is upside down"),
        (lambda rgb: rgb.flip(1), "red and blue are swapped"),
    ],
)
def test_renderings_the_wrong_way_round_are_named(pack, change, fault):
    render = recordings(pack)
    found = checks_of(lambda camera, head: change(render(camera, head)), pack, CnnJudge())
    assert found["orientation and colours of the renderings"] == ("fault", fault)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda gaze: gaze * torch.tensor([1.0, -1.0]), "yaw is mirrored"),
        (lambda gaze: gaze * torch.tensor([-1.0, 1.0]), "pitch is mirrored"),
        (lambda gaze: gaze.flip(-1), "pitch and yaw are swapped"),
        (lambda gaze: gaze.flip(-1) * torch.tensor([-1.0, 1.0]), "pitch and yaw are swapped, one mirrored"),
    ],
)
def test_a_model_with_another_convention_is_named(tiny, change, fault):
    assert checks_of(redirector(change), tiny, PredictingJudge())["gaze of the renderings"] == ("fault", fault)


def test_a_sound_model_passes(tiny):
    found = checks_of(redirector(), tiny, PredictingJudge())
    assert found["gaze of the renderings"][0] == "ok"


def test_a_judge_that_guesses_is_named(tiny):
    class Guessing(PredictingJudge):
        def predict(self, rgb):
            prediction = super().predict(rgb)
            torch.manual_seed(0)
            object.__setattr__(prediction, "gaze_camera", torch.randn(len(rgb), 2))
            return prediction

    found = checks_of(redirector(), tiny, Guessing())
    assert found["the judge"] == ("fault", "a constant answer is nearer")


def test_few_samples_prove_nothing(tiny):
    few = tiny[:4]
    assert (
        checks_of(redirector(lambda gaze: gaze.flip(-1)), few, PredictingJudge())["gaze of the renderings"][0]
        == "unclear"
    )


def test_the_helpers_of_these_tests_agree(tiny):
    gaze = camera_gaze(tiny.camera, tiny.head, tiny.gaze_head)
    predicted = PredictingJudge().predict(written(tiny.rgb, gaze, gaze))
    torch.testing.assert_close(predicted.gaze_camera, gaze, atol=1e-5, rtol=0)
