import math

import pytest
import torch

from gaze_core.geometry.angles import vector_from_pitchyaw
from gaze_core.geometry.rotations import (
    axis_angle_from_matrix,
    eye_rotation,
    matrix_from_axis_angle,
    matrix_from_quaternion,
    multiply_quaternions,
    quaternion_from_matrix,
)


def random_rotations(count=50):
    axis_angle = torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return matrix_from_axis_angle(axis_angle)


def test_quarter_turn_about_z_by_hand():
    quats = torch.tensor([math.sqrt(0.5), 0, 0, math.sqrt(0.5)])
    expected = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    torch.testing.assert_close(matrix_from_quaternion(quats), expected, atol=1e-6, rtol=0)


def test_a_quaternion_has_the_sign_with_a_positive_first_number():
    turns = torch.cat([random_rotations(), matrix_from_axis_angle(3.0 * torch.eye(3, dtype=torch.float64))])
    turns = torch.cat([turns, turns.mT])  # whose formula divides by an axis: there the first number may be negative
    quats = quaternion_from_matrix(turns)
    assert (quats[:, 0] >= 0).all()
    quarter = matrix_from_axis_angle(torch.tensor([0.0, 0.0, -math.pi / 2], dtype=torch.float64))
    half = math.sqrt(0.5)
    torch.testing.assert_close(quaternion_from_matrix(quarter), torch.tensor([half, 0, 0, -half], dtype=torch.float64))


def test_quaternions_are_normalised_each_by_itself():
    quats = torch.tensor([[2.0, 0, 0, 0], [0, 0, 0, 5.0]])
    expected = torch.stack([torch.eye(3), torch.diag(torch.tensor([-1.0, -1, 1]))])
    torch.testing.assert_close(matrix_from_quaternion(quats), expected)


def test_matrix_quaternion_round_trip_including_half_turns():
    half_turns = torch.stack(
        [torch.diag(torch.tensor(d, dtype=torch.float64)) for d in [(1.0, -1, -1), (-1.0, 1, -1), (-1.0, -1, 1)]]
    )
    rotations = torch.cat([random_rotations(), half_turns])
    torch.testing.assert_close(matrix_from_quaternion(quaternion_from_matrix(rotations)), rotations)


@pytest.mark.parametrize("diagonal", [(1.0, 1, 1), (1.0, -1, -1), (-1.0, 1, -1), (-1.0, -1, 1)])
def test_quaternion_gradient_is_finite_at_identity_and_half_turns(diagonal):
    matrix = torch.diag(torch.tensor(diagonal)).requires_grad_()
    quaternion_from_matrix(matrix).sum().backward()
    assert matrix.grad.isfinite().all()


def test_product_of_quaternions_is_product_of_matrices():
    a, b = random_rotations(20), random_rotations(40)[20:]
    product = multiply_quaternions(quaternion_from_matrix(a), quaternion_from_matrix(b))
    torch.testing.assert_close(matrix_from_quaternion(product), a @ b)


def test_axis_angle_round_trip_and_zero():
    rotations = random_rotations()
    torch.testing.assert_close(matrix_from_axis_angle(axis_angle_from_matrix(rotations)), rotations)
    identity = torch.eye(3).requires_grad_()
    vector = axis_angle_from_matrix(identity)
    vector.sum().backward()
    assert vector.abs().max() == 0
    assert identity.grad.isfinite().all()


def test_eye_rotation_turns_the_rest_gaze_into_the_target_gaze():
    gaze = torch.tensor([[0.3, 0.0], [0.0, 0.5], [-0.2, -0.4]])
    turned = eye_rotation(gaze) @ vector_from_pitchyaw(torch.zeros(2))
    torch.testing.assert_close(turned, vector_from_pitchyaw(gaze))


def test_eye_rotation_has_no_torsion():
    # Fick order keeps the eye's x axis in the horizontal plane of the head.
    x_axis = eye_rotation(torch.tensor([[0.3, 0.5]]))[0] @ torch.tensor([1.0, 0, 0])
    assert x_axis[1].abs() < 1e-7
