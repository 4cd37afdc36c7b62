from dataclasses import dataclass, replace

import pytest
import torch

from gaze_core.data.batch import HeadParameters
from gaze_core.data.schema import ARKIT
from gaze_core.models.blocks import ConditionedMLP, positional_encoding
from gaze_core.models.conditioning import (
    BOTH_EYES,
    GAZE,
    IDENTITY,
    POSE_IDENTITY,
    SHAPE,
    Condition,
    gaze_code,
    pose_code,
    proximity,
    shape_code,
)


def head(count=2):
    return HeadParameters(torch.eye(4).repeat(count, 1, 1), torch.zeros(count, 2, 2), torch.zeros(count, 80),
                          torch.zeros(count, 64))  # fmt: skip


def test_gaze_cannot_leak_through_the_expression_code():
    for name in ARKIT:
        changed = torch.zeros(2, 64)
        changed[:, ARKIT.index(name)] = 1
        code = shape_code(replace(head(), expression_code=changed))
        assert bool(code.any()) != name.startswith("eyeLook"), name


def test_codes_of_another_basis_are_unchanged():
    code = torch.rand(2, 64) + 0.1
    found = shape_code(replace(head(), expression_code=code, expression_is_arkit=torch.tensor([True, False])))[:, :64]
    blank = torch.tensor([name.startswith("eyeLook") for name in ARKIT] + [False] * 12)
    assert torch.equal(found[0], code[0] * ~blank)
    assert torch.equal(found[1], code[1])


def test_pose_code_is_finite_with_gradient_for_a_frontal_head():
    pose = torch.eye(4)[None].requires_grad_()
    code = pose_code(replace(head(1), head_to_world=pose))
    code.sum().backward()
    assert code.shape == (1, 54)
    assert pose.grad.isfinite().all()


def test_proximity_by_hand():
    points = torch.tensor([[0.0, 0, 0], [0.02, 0, 0], [0.04, 0, 0], [0.09, 0, 0]])
    weight = proximity(points, torch.zeros(1, 3), near_m=0.03, far_m=0.05)
    torch.testing.assert_close(weight, torch.tensor([1.0, 1.0, 0.5, 0.0]))


def test_positional_encoding_by_hand():
    encoded = positional_encoding(torch.tensor([[0.5]]), num_octaves=2)
    expected = [0.5, 0.479426, 0.877583, 0.841471, 0.540302]  # x, sin x, cos x, sin 2x, cos 2x
    torch.testing.assert_close(encoded, torch.tensor([expected]), atol=1e-6, rtol=0)


def test_split_first_layer_equals_one_layer_on_the_concatenation():
    mlp = ConditionedMLP(3, 4, 8, 2, zero_output=False)
    points, code = torch.randn(5, 3), torch.randn(2, 4)
    together = torch.cat([points.expand(2, 5, 3), code[:, None].expand(2, 5, 4)], dim=-1)
    weight = torch.cat([mlp.from_points.weight, mlp.from_code.weight], dim=1)
    hidden = together @ weight.T + mlp.from_points.bias
    expected = mlp.output(mlp.activation(mlp.middle(mlp.activation(hidden))))
    torch.testing.assert_close(mlp(points, code), expected)


@pytest.mark.parametrize(
    ("condition", "width"), [(SHAPE, 144), (POSE_IDENTITY, 134), (GAZE, 18), (BOTH_EYES, 36), (IDENTITY, 80)]
)
def test_each_condition_is_as_wide_as_its_code(condition, width):
    """The widths are those of the first layers in checkpoints."""
    assert condition(head(3)).shape == (3, condition.width) == (3, width)


def test_gaze_is_the_mean_of_both_eyes_and_eye_codes_are_separate():
    looking = replace(head(1), gaze_head_eyes=torch.tensor([[[0.1, 0.4], [0.3, 0.2]]]))
    torch.testing.assert_close(GAZE(looking), gaze_code(torch.tensor([[0.2, 0.3]])))
    torch.testing.assert_close(BOTH_EYES(looking)[:, :2], torch.tensor([[0.1, 0.4]]))
    torch.testing.assert_close(BOTH_EYES(looking)[:, 18:20], torch.tensor([[0.3, 0.2]]))


def test_conditions_of_another_type_of_sample():
    @dataclass(frozen=True)
    class Speech:
        sound: torch.Tensor
        blink: torch.Tensor

    conditions = {"sound": Condition(29, lambda s: s.sound.mean(1)), "blink": Condition(2, lambda s: s.blink)}
    frames = Speech(torch.randn(4, 16, 29), torch.rand(4, 2))
    for condition in conditions.values():
        mlp = ConditionedMLP(3, condition.width, 8, 1, zero_output=False)
        assert mlp(torch.randn(5, 3), condition(frames)).shape == (4, 5, 1)
