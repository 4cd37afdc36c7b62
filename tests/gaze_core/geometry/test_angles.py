"""The sign convention, by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gaze_core.geometry.angles import (
    angle_between_deg,
    angular_error_deg,
    pitchyaw_from_vector,
    vector_from_pitchyaw,
)


@pytest.mark.parametrize(
    ("pitch_deg", "yaw_deg", "expected"),
    [
        (0, 0, (0, 0, -1)),  # straight at the camera
        (90, 0, (0, -1, 0)),  # up is -y
        (0, 90, (-1, 0, 0)),  # image left is -x
        (0, 180, (0, 0, 1)),  # away from the camera
        (30, 0, (0, -0.5, -math.sqrt(0.75))),
    ],
)
def test_unit_vector_by_hand(pitch_deg, yaw_deg, expected):
    pitchyaw = torch.deg2rad(torch.tensor([pitch_deg, yaw_deg], dtype=torch.float64))
    torch.testing.assert_close(
        vector_from_pitchyaw(pitchyaw), torch.tensor(expected, dtype=torch.float64), atol=1e-12, rtol=0
    )


@given(st.floats(-1.5, 1.5), st.floats(-3.1, 3.1), st.floats(0.01, 100))
def test_round_trip_for_vectors_of_any_length(pitch, yaw, length):
    pitchyaw = torch.tensor([pitch, yaw], dtype=torch.float64)
    back = pitchyaw_from_vector(length * vector_from_pitchyaw(pitchyaw))
    torch.testing.assert_close(back, pitchyaw, atol=1e-9, rtol=0)


def test_mirroring_the_image_negates_yaw_only():
    vector = vector_from_pitchyaw(torch.tensor([0.2, 0.4]))
    mirrored = pitchyaw_from_vector(vector * torch.tensor([-1.0, 1, 1]))
    torch.testing.assert_close(mirrored, torch.tensor([0.2, -0.4]))


def test_angular_error_is_exact_where_acos_fails():
    tiny = torch.tensor([0.0, math.radians(0.001)])
    assert angular_error_deg(torch.zeros(2), tiny).item() == pytest.approx(0.001, rel=1e-3)


def test_angle_has_finite_gradient_at_zero_and_180_degrees():
    for other in (torch.tensor([0.0, 0, -1]), torch.tensor([0.0, 0, 1])):
        vector = torch.tensor([0.0, 0, -1], requires_grad=True)
        (gradient,) = torch.autograd.grad(angle_between_deg(vector, other), vector)
        assert gradient.isfinite().all()


def test_swapped_pitch_and_yaw_is_an_error_not_an_average():
    gaze = torch.tensor([0.3, 0.0])
    assert angular_error_deg(gaze, gaze.flip(0)).item() > 20
