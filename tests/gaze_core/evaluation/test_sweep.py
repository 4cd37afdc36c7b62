"""The sweep on renderers whose eyes turn by a known part of the target gaze, and its place on the page."""

import json

import numpy as np
import pytest
import torch

from gaze_core.data.subjects import SubjectDataset
from gaze_core.evaluation.judge import JudgePrediction
from gaze_core.evaluation.sweep import ANGLES_DEG, sweep, sweep_line
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.geometry.rotations import eye_rotation
from tests.gaze_core.evaluation.test_redirection import PredictingJudge, redirector
from tests.tiny_subject import write_tiny_subject


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    batch = SubjectDataset(write_tiny_subject(tmp_path_factory.mktemp("data") / "tiny.h5", num_images=12)).everything
    return [(f"tiny, frame {k}", lambda k=k: batch[[k]]) for k in range(12)]


class Biased(PredictingJudge):
    """Its predictions are off by 8 degrees in the camera, as a reader is for one person."""

    def predict(self, rgb):
        prediction = super().predict(rgb)
        turn = eye_rotation(torch.deg2rad(torch.tensor([[8.0, 0.0]])))[0]
        turned = pitchyaw_from_vector(vector_from_pitchyaw(prediction.gaze_camera) @ turn.T)
        return JudgePrediction(turned, prediction.head_pitchyaw, prediction.valid)


class Blind(PredictingJudge):
    def predict(self, rgb):
        prediction = super().predict(rgb)
        return JudgePrediction(prediction.gaze_camera, None, torch.zeros(len(rgb), dtype=torch.bool))


def lines(found):
    return {(line.reader, line.axis): line for line in found.lines}


@pytest.mark.parametrize("share", [(1.0, 1.0), (0.5, 0.25), (-0.5, 1.0)])
def test_eyes_that_turn_by_a_part_have_that_slope(frames, share):
    found = lines(sweep(redirector(lambda gaze: gaze * torch.tensor(share)), frames, {"written": PredictingJudge()}))
    for axis, part in zip(("pitch", "yaw"), share, strict=True):
        line = found["written", axis]
        assert line.slope == pytest.approx(part, abs=0.01)
        assert line.r2 == pytest.approx(1, abs=0.01)
        assert line.predicted_deg == pytest.approx([part * angle for angle in ANGLES_DEG[axis]], abs=0.2)
        assert (line.num_readings, line.num_renderings, line.reason) == (40, 40, "")


def test_static_eyes_have_slope_0_in_the_head_wherever_it_turns(frames):
    static = redirector(lambda gaze: torch.full_like(gaze, 0.1))
    for line in sweep(static, frames, {"written": PredictingJudge()}).lines:
        assert line.slope == pytest.approx(0, abs=1e-3)
        assert line.r2 == pytest.approx(0, abs=1e-3)


def test_a_readers_bias_is_not_in_the_slope(frames):
    found = lines(sweep(redirector(), frames, {"biased": Biased()}))
    assert found["biased", "pitch"].predicted_deg[2] == pytest.approx(8, abs=1)
    assert found["biased", "pitch"].slope == pytest.approx(1, abs=0.03)
    assert found["biased", "pitch"].r2 > 0.98


def test_offsets_of_frames_are_not_in_the_slope_and_noise_is_in_r2():
    rng = np.random.default_rng(0)
    angles = np.array(ANGLES_DEG["yaw"])
    exact = 0.6 * angles + rng.uniform(-30, 30, (8, 1))
    assert (sweep_line("r", "yaw", exact).slope, sweep_line("r", "yaw", exact).r2) == pytest.approx((0.6, 1.0))
    noise = rng.normal(0, 8.5, exact.shape)
    assert sweep_line("r", "yaw", exact + noise).r2 == pytest.approx(0.5, abs=0.15)
    # One frame without the positive angles must not tilt the line.
    gaps = exact.copy()
    gaps[0, 3:] = np.nan
    assert sweep_line("r", "yaw", gaps).slope == pytest.approx(0.6)
    assert sweep_line("r", "yaw", gaps).num_readings == 38


def test_what_was_hardly_read_has_no_slope_but_a_reason(frames):
    for line in sweep(redirector(), frames, {"blind": Blind()}).lines:
        assert (line.slope, line.r2, line.num_readings) == (None, None, 0)
        assert line.predicted_deg == (None,) * 5
        assert line.reason == "0 readings at 0 angles; 10 at 3 are needed"
    two_angles = np.full((8, 5), np.nan)
    two_angles[:, :2] = (-20, -10)
    assert sweep_line("r", "yaw", two_angles).slope is None


def test_the_eyes_of_two_frames_are_kept_at_every_angle(frames):
    found = sweep(redirector(), frames, {"written": PredictingJudge()})
    assert len(found.frames) == 2
    for axis in ANGLES_DEG:
        assert found.arrays[f"sweep_{axis}"].shape == (2, 5, 64, 160, 3)
        assert found.arrays[f"sweep_{axis}"].dtype == np.uint8
    assert json.dumps(found.arrays["sweep_frames"].tolist())
