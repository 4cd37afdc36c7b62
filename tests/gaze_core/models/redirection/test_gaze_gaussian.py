from dataclasses import replace

import pytest
import torch

from gaze_core.data.subjects import SubjectDataset
from gaze_core.geometry.angles import angular_error_deg, pitchyaw_from_vector
from gaze_core.losses.disentangle import orthogonality
from gaze_core.models.redirection.gaze_gaussian import GazeGaussianConfig
from gaze_core.models.redirection.initialisation import initialise_from_mesh_head
from gaze_core.models.redirection.mesh_head import MeshHead, MeshHeadConfig
from gaze_core.models.redirection.renderers import RendererConfig
from gaze_core.models.redirection.streams import eyeball_cap, lid_opening
from gaze_core.stages.redirection.losses import GazeGaussianLossWeights, loss_terms
from gaze_core.training.loop import total
from tests.tiny_subject import EYE_RADIUS_M, EYES_M, write_tiny_subject

MESH = MeshHeadConfig(cell_m=0.03, hidden=16, feature_width=8, color_channels=4)
RENDERER = RendererConfig(channels=8, token_width=16, depth=1, num_heads=2, patch_px=4)


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    path = write_tiny_subject(tmp_path_factory.mktemp("data") / "s.h5", num_images=3)
    return SubjectDataset(path).everything


@pytest.fixture
def model(batch):
    torch.manual_seed(0)
    head = MeshHead(MESH, batch.landmarks_3d_head_m[0])
    config = GazeGaussianConfig(image_px=32, raster_px=16, cell_m=0.025, points_per_eye=40, renderer=RENDERER)
    return initialise_from_mesh_head(config, head, batch.eye_centers_head_m[0])


def eye_offsets(cloud, model, side):
    """Positions relative to the centre of one eye."""
    mine = model.eyes.side == side
    return cloud.means[:, mine] - model.eyes.centers_m[side]


def distances(points):
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")


@pytest.mark.parametrize("side", [0, 1])
def test_each_eye_rotates_rigidly_about_its_own_centre_to_the_target_gaze(model, batch, side):
    asked = torch.tensor([[0.2, -0.4]]).expand(3, 2)
    rest = eye_offsets(model.eyes(batch.head.with_gaze(torch.zeros(3, 2))), model, side)
    turned = eye_offsets(model.eyes(batch.head.with_gaze(asked)), model, side)
    torch.testing.assert_close(distances(turned), distances(rest), atol=1e-6, rtol=0)
    # The cap is symmetric about the gaze except for the spiral, so its mean direction is the gaze.
    assert angular_error_deg(pitchyaw_from_vector(turned.mean(1)), asked).max() < 1.5


def test_one_eye_does_not_move_the_other(model, batch):
    gaze = batch.head.with_gaze(torch.zeros(3, 2)).gaze_head_eyes.clone()
    gaze[:, 0, 1] = 0.5  # the left eye only
    rest = model.eyes(replace(batch.head, gaze_head_eyes=torch.zeros(3, 2, 2)))
    moved = model.eyes(replace(batch.head, gaze_head_eyes=gaze))
    difference = (moved.means - rest.means).norm(dim=-1).max(dim=0).values
    assert difference[model.eyes.side == 0].max() > 0.003
    assert difference[model.eyes.side == 1].max() == 0


def test_eye_gaussians_are_initialised_on_the_sphere_that_the_lids_touch(model):
    expected = EYE_RADIUS_M * (1 + 0.5**2) ** 0.5  # distance of the test subject's lid landmarks from the eye's centre
    for side, center in enumerate(EYES_M):
        mine = model.eyes.means_m[model.eyes.side == side]
        radius = (mine - torch.tensor(center, dtype=torch.float32)).norm(dim=-1)
        torch.testing.assert_close(radius, torch.full_like(radius, expected), atol=1e-6, rtol=0)


def test_eyeball_cap_is_centred_on_the_rest_gaze():
    cap = eyeball_cap(400)
    torch.testing.assert_close(cap.norm(dim=-1), torch.ones(400))
    assert cap.mean(0)[:2].abs().max() < 0.01
    assert cap[:, 2].max() < -0.25  # 75 degrees from -z


def test_lid_openings_are_in_front_of_the_eyes_only(batch):
    landmarks = batch.landmarks_3d_head_m[0]
    points = torch.tensor([[0.03, 0, -0.01], [-0.03, 0, -0.01], [0.0, 0, -0.01], [0.03, 0.04, -0.01], [0.03, 0, 0.15]])
    assert lid_opening(points, landmarks).tolist() == [1, 1, 0, 0, 0]


def test_batch_equals_single_samples(model, batch):
    model.eval()
    with torch.no_grad():
        together = model(batch.camera, batch.head).rgb
        apart = torch.cat([model(batch[[i]].camera, batch[[i]].head).rgb for i in range(3)])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


def test_every_parameter_gets_gradients_in_training(model, batch):
    # Zero-initialised layers block the gradients of earlier layers for a few steps.
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(4):
        optimizer.zero_grad()
        output = model(batch.camera, batch.head)
        total(loss_terms(output, batch, GazeGaussianLossWeights())).backward()
        optimizer.step()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not idle


def test_orthogonality_has_gradients_to_the_first_layers_only_when_on(model, batch):
    orthogonality(*model.first_activations(batch.head)).backward()
    weights = [model.eyes.rotate.from_code.weight, model.face.deform["pose"].from_code.weight,
               model.face.deform["shape"].from_points.weight]  # fmt: skip
    assert all(weight.grad.abs().max() > 0 for weight in weights)
    assert model.face.color["shape"].from_points.weight.grad is None
