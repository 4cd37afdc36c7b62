"""Splitting and pruning of the head's Gaussians during the coarse stage."""

import torch

from gaze_core.models.talker.config import PRESETS
from gaze_core.models.talker.densify import TalkerDensifyConfig, densify
from gaze_core.models.talker.initialisation import Anatomy, initial_talker
from gaze_core.models.talker.network import TalkerModel

CONFIG = PRESETS["tiny"].model_copy(update={"min_head_points": 100, "mouth_points": 8, "points_per_eye": 8})


def head(max_head_points: int = 200) -> tuple[TalkerModel, torch.optim.Optimizer]:
    torch.manual_seed(0)
    eyes = torch.tensor([[0.03, 0, 0], [-0.03, 0, 0]])
    inside = torch.tensor([0.3, 0.1, 0.1])
    anatomy = Anatomy(torch.rand(100, 3), torch.rand(100, 3), eyes, 0.012, torch.tensor([0, 0.06, 0]), 0.02, inside)
    model = initial_talker(CONFIG.model_copy(update={"max_head_points": max_head_points}), anatomy, 29, 0)
    optimizer = torch.optim.Adam(model.head.parameters())
    sum(parameter.square().sum() for parameter in model.head.parameters()).backward()
    optimizer.step()
    model.density_count += 1
    model.density_gradient_px[7] = 5
    return model, optimizer


def test_the_largest_gradient_is_split_and_moments_of_the_others_stay() -> None:
    model, optimizer = head()
    means, moments = model.head.means_m.detach().clone(), optimizer.state[model.head.means_m]["exp_avg"].clone()
    scale = model.head.log_scales[7].detach().clone()
    assert densify(model, optimizer, TalkerDensifyConfig(split_share=0.01, min_opacity=0)) == (1, 0)
    assert model.head.num_points == 101 == len(model.density_count)
    torch.testing.assert_close(model.head.means_m[-2:].mean(dim=0), means[7])
    assert (model.head.means_m[-1] - means[7]).norm() > 0
    torch.testing.assert_close(model.head.log_scales[-1], scale - torch.log(torch.tensor(1.6)))
    kept = optimizer.state[model.head.means_m]["exp_avg"]
    assert torch.equal(kept[:7], moments[:7])
    assert not kept[-2:].any()


def test_transparent_ones_are_pruned_and_the_number_is_capped() -> None:
    model, optimizer = head(max_head_points=100)
    with torch.no_grad():
        model.head.opacity_logits[:10] = -20
    assert densify(model, optimizer, TalkerDensifyConfig(split_share=0.5, min_points=50)) == (10, 10)
    assert model.head.num_points == 100


def test_pruning_stops_where_a_head_would_vanish() -> None:
    model, optimizer = head()
    with torch.no_grad():
        model.head.opacity_logits[:] = -20
    assert densify(model, optimizer, TalkerDensifyConfig(split_share=0.01))[1] == 0


def test_when_it_is_due() -> None:
    config = TalkerDensifyConfig(from_step=100, every_steps=50, until_step=200)
    assert [step for step in range(300) if config.is_due(step)] == [100, 150, 200]
    assert not TalkerDensifyConfig(every_steps=0).is_due(100)
