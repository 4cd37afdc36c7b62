"""The pixels and samples that each loss of GazeGaussian uses."""

from dataclasses import replace

import pytest
import torch

from gaze_core.data.subjects import SubjectDataset
from gaze_core.losses.gaze import SyntheticGazeConfig
from gaze_core.models.redirection.corrections import FrameCorrections
from gaze_core.models.redirection.gaze_gaussian import GazeGaussianOutput
from gaze_core.splat.gaussians import Rendering
from gaze_core.stages.redirection.losses import CRITIC_ERROR, Critics, GazeGaussianLossWeights, loss_terms
from gaze_core.training.loop import SelectionConfig
from tests.gaze_core.stages.redirection.test_enhancements import a_model, critic  # noqa: F401 (a fixture)
from tests.tiny_subject import write_tiny_subject


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    return SubjectDataset(write_tiny_subject(tmp_path_factory.mktemp("data") / "s.h5", num_images=3)).everything


def rendering(rgb, alpha):
    points = torch.zeros(len(rgb), 1, 2)
    return Rendering(torch.cat([rgb, rgb[:, :1]], dim=1), alpha, alpha, points, points.int())


def terms(batch, face_rgb=None, face_alpha=None, eyes_rgb=None, rgb=None):
    """The loss values of a perfect output, except for the given renderings of face and eyes and the given image."""
    target, empty = batch.rgb_on_white, torch.zeros_like(batch.head_mask)
    face = rendering(target if face_rgb is None else face_rgb, empty if face_alpha is None else face_alpha)
    perfect = rendering(target, batch.head_mask)
    zeros = torch.ones(3, 2, 4)
    eyes = perfect if eyes_rgb is None else rendering(eyes_rgb, batch.head_mask)
    image = target if rgb is None else rgb
    output = GazeGaussianOutput(image, perfect, face, eyes, (zeros, zeros, zeros), batch.eye_centers_head_m)
    return {name: float(term.value) for name, term in loss_terms(output, batch, GazeGaussianLossWeights()).items()}


def test_the_face_is_not_trained_on_eyeball_pixels(batch):
    assert terms(batch)["raw_l1"] == pytest.approx(0, abs=1e-6)
    black_eyes = batch.rgb_on_white * (1 - batch.eyes_mask)
    assert terms(batch, face_rgb=black_eyes)["raw_l1"] == pytest.approx(0, abs=1e-6)
    black_skin = batch.rgb_on_white * batch.eyes_mask
    assert terms(batch, face_rgb=black_skin)["raw_l1"] > 0.1


def test_only_face_opacity_in_front_of_the_eyeballs_is_penalised(batch):
    assert terms(batch, face_alpha=batch.eyes_mask)["face_in_openings"] == pytest.approx(1)
    assert terms(batch, face_alpha=1 - batch.eyes_mask)["face_in_openings"] == 0


def test_doubtful_gaze_labels_count_less_in_the_losses_of_eyes_only(batch):
    black = batch.rgb_on_white.clone()
    black[0] = 0
    sure = terms(batch, eyes_rgb=black, rgb=black)
    doubtful = terms(replace(batch, gaze_weight=torch.tensor([0.5, 1.25, 1.25])), eyes_rgb=black, rgb=black)
    for name in ("raw_eyes_l1", "final_eyes_l1"):
        assert sure[name] > 0.01
        assert doubtful[name] == pytest.approx(0.5 * sure[name])
    assert {name for name in sure if doubtful[name] != sure[name]} == {"raw_eyes_l1", "final_eyes_l1"}


def test_a_doubtful_gaze_label_counts_less_for_the_critic(batch, critic):  # noqa: F811
    model = a_model(batch)
    critics = Critics(GazeGaussianLossWeights(gaze_deg=1.0, critics_after=0), critic, SyntheticGazeConfig(), seed=0)
    output = model(batch.camera, batch.head)
    error_deg = critics.gaze.error_deg(output.rgb, batch.gaze_camera)
    weights = torch.tensor([0.5, 2.0, 0.5])
    found = critics.terms(model, output, replace(batch, gaze_weight=weights), batch.head, 0, 0.0)["gaze_deg"].value
    torch.testing.assert_close(found, (error_deg * weights).sum() / 3)


def test_an_invalid_gaze_label_has_no_loss(batch, critic):  # noqa: F811
    model = a_model(batch)
    critics = Critics(GazeGaussianLossWeights(gaze_deg=1.0, critics_after=0), critic, SyntheticGazeConfig(), seed=0)
    output = model(batch.camera, batch.head)
    error_deg = critics.gaze.error_deg(output.rgb, batch.gaze_camera)
    for usable in ([True, False, True], [False] * 3):
        valid = replace(batch.valid, gaze=torch.tensor(usable))
        found = critics.terms(model, output, replace(batch, valid=valid), batch.head, 0, 0.0)["gaze_deg"].value
        torch.testing.assert_close(found, (error_deg * torch.tensor(usable)).sum() / 3)


def corrections_of(batch):
    corrections = FrameCorrections(batch.subject_index, batch.sample_index)
    for parameter in corrections.parameters():
        parameter.data += 0.01
    return corrections


def test_synthetic_gaze_has_no_gradient_to_the_corrections(batch, critic):  # noqa: F811
    weights = GazeGaussianLossWeights(synthetic_gaze_deg=1.0, critics_after=0)
    model, corrections = a_model(batch), corrections_of(batch)
    critics, head = Critics(weights, critic, SyntheticGazeConfig(), seed=0), corrections(batch)
    output = model(batch.camera, head)
    critics.terms(model, output, batch, head, 0, 0.5)["synthetic_gaze_deg"].value.backward()
    assert model.eyes.means_m.grad.abs().max() > 0
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in corrections.parameters())


def test_the_gaze_loss_of_the_recorded_gaze_has_a_gradient_to_the_corrections(batch, critic):  # noqa: F811
    weights = GazeGaussianLossWeights(gaze_deg=1.0, critics_after=0)
    model, corrections = a_model(batch), corrections_of(batch)
    critics, head = Critics(weights, critic, SyntheticGazeConfig(), seed=0), corrections(batch)
    critics.terms(model, model(batch.camera, head), batch, head, 0, 0.5)["gaze_deg"].value.backward()
    assert corrections.turn_rad.grad.abs().max() > 0


def selection(weights, file=None, given=SelectionConfig(), full_after=0.5):  # noqa: B008 (frozen)
    return Critics(weights, file, SyntheticGazeConfig(full_after=full_after), seed=0).selection(given, 100)


def test_weights_are_selected_by_the_critics_error_once_every_term_acts(critic):  # noqa: F811
    gaze = GazeGaussianLossWeights(gaze_deg=0.1, critics_after=0.25)
    assert selection(gaze, critic) == SelectionConfig(metric=CRITIC_ERROR, from_step=26)
    both = gaze.model_copy(update={"synthetic_gaze_deg": 0.1})
    assert selection(both, critic).from_step == 51  # the full range of target gazes is sampled from half of the run on
    assert selection(both, critic, full_after=0.1).from_step == 26
    assert selection(GazeGaussianLossWeights()) == SelectionConfig()  # no critics: as ever


def test_configured_selection_is_kept(critic):  # noqa: F811
    gaze = GazeGaussianLossWeights(gaze_deg=0.1, critics_after=0.25)
    given = SelectionConfig(enabled=False, metric="head_l1", from_step=40)
    assert selection(gaze, critic, given) == given


def test_validation_redirects_to_the_same_target_gazes_each_time(batch, critic):  # noqa: F811
    model = a_model(batch).eval()
    critics = Critics(GazeGaussianLossWeights(gaze_deg=0.1), critic, SyntheticGazeConfig(), seed=0)
    seen = []
    model.register_forward_pre_hook(lambda _, given: seen.append(given[1].gaze_head_eyes))
    with torch.no_grad():
        first, second = (critics.validation_metrics(model, batch) for _ in range(2))
    assert list(first) == [CRITIC_ERROR]
    assert 0 < first[CRITIC_ERROR] == second[CRITIC_ERROR]
    assert (seen[0] - batch.head.gaze_head_eyes).abs().amax(dim=(1, 2)).min() > 0.01
    plain = Critics(GazeGaussianLossWeights(), None, SyntheticGazeConfig(), seed=0)
    assert plain.validation_metrics(model, batch) == {}
