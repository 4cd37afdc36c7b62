"""The codes that move each point of the face: expression near the landmarks, pose elsewhere, gaze at the lids."""

from dataclasses import replace

import pytest
import torch

from gaze_core.data.batch import HeadParameters
from gaze_core.models.redirection.mesh_head import MeshHead, MeshHeadConfig
from gaze_core.models.redirection.streams import FaceStream, lid_weight

# Weights of 12 points: near a landmark, between, far; for each of them at a lid, and not.
NEAR = torch.tensor([1.0, 0.5, 0.0]).repeat(4)
LIDS = torch.tensor([1.0, 0.0]).repeat_interleave(6)


def randomised(module):
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return module


def head():
    turn = torch.eye(4)
    turn[:3, 3] = torch.tensor([0.0, 0.1, 0.6])
    return HeadParameters(turn[None], torch.zeros(1, 2, 2), torch.zeros(1, 80), torch.zeros(1, 64))


def changed(name):
    """The same head with another expression, pose or gaze."""
    before = head()
    return {
        "expression": replace(before, expression_code=torch.ones(1, 64)),
        "pose": before.with_pose(before.head_to_world + 0.2 * torch.eye(4).roll(1, 1)),
        "gaze": before.with_gaze(torch.tensor([[0.2, 0.3]])),
    }[name]


@pytest.fixture
def face():
    torch.manual_seed(0)
    stream = randomised(FaceStream(12, 8, 16, 4, max_offset_m=0.03))
    with torch.no_grad():
        stream.means_m.mul_(0.1)
        stream.attributes[:, :3] -= 6  # well below the largest size
    stream.near.copy_(NEAR)
    stream.lids.copy_(LIDS)
    return stream


@pytest.mark.parametrize(
    ("name", "moves"), [("expression", (NEAR > 0) | (LIDS > 0)), ("pose", NEAR < 1), ("gaze", LIDS > 0)]
)
@pytest.mark.parametrize("what", ["means", "scales", "features"])
def test_each_code_moves_only_its_own_points_of_the_face(face, name, moves, what):
    before, after = (getattr(face(parameters), what)[0] for parameters in (head(), changed(name)))
    assert torch.equal((after - before).abs().amax(dim=-1) > 1e-6, moves)


def test_both_branches_are_blended_between_near_and_far(face):
    """Without lids, a point's offset is the mean of both branches, weighted by its nearness."""
    face.lids.zero_()
    with torch.no_grad():
        face.means_m.zero_()
        offsets = face(head()).means[0]
    for rows in (slice(0, 3), slice(3, 6)):
        near, between, far = offsets[rows]
        torch.testing.assert_close(between, (near + far) / 2)
        assert (near - far).norm() > 1e-4


def test_lid_weight_is_limited_to_millimetres_around_an_eyelid():
    landmarks = torch.zeros(68, 3) + torch.tensor([0.0, 9.0, 0.0])
    landmarks[36:48] = torch.tensor([0.0, 0.0, 0.0])
    points = torch.tensor([[0.0, 0, 0], [0.005, 0, 0], [0.0105, 0, 0], [0.016, 0, 0], [0.0, 9.0, 0.0]])
    torch.testing.assert_close(lid_weight(points, landmarks), torch.tensor([1.0, 1.0, 0.5, 0.0, 0.0]))


@pytest.fixture
def mesh_head():
    torch.manual_seed(0)
    config = MeshHeadConfig(cell_m=0.03, hidden=16, feature_width=8, color_channels=4)
    return randomised_branches(MeshHead(config, torch.zeros(68, 3)))


def randomised_branches(model):
    for branch in (model.shape_deform, model.pose_deform, model.shape_color, model.pose_color, model.eye_color):
        randomised(branch)
    return model


PLACES = torch.tensor([[0.0, 0.0, 0.0], [0.02, 0.0, 0.0], [0.04, 0.0, 0.0], [0.06, 0.0, 0.0]])  # from all landmarks


def test_nearness_of_the_mesh_by_hand(mesh_head):
    torch.testing.assert_close(mesh_head.nearness(PLACES), torch.tensor([1.0, 1.0, 0.5, 0.0]))


@pytest.mark.parametrize(
    ("name", "moved"),
    [("expression", [True, True, True, False]), ("pose", [False, False, True, True]), ("gaze", [False] * 4)],
)
def test_each_code_moves_only_its_own_part_of_the_mesh(mesh_head, name, moved):
    before, after = (mesh_head.offsets(PLACES, parameters)[0] for parameters in (head(), changed(name)))
    assert ((after - before).norm(dim=-1) > 1e-6).tolist() == moved


def test_gaze_changes_mesh_colours_only_around_the_eyes(mesh_head):
    surface = replace(mesh_head.surface(), vertices_m=PLACES, features=torch.rand(4, 8))
    before, after = (mesh_head.colors(surface, parameters)[0] for parameters in (head(), changed("gaze")))
    # Fully within a third of near_m (1 cm) of an eyelid, not at all beyond a third of far_m (1.7 cm).
    assert ((after - before).abs().amax(dim=-1) > 1e-6).tolist() == [True, False, False, False]
