"""Enhancements listed as active are active: switching one off changes exactly the gradients that it affects."""

import logging

import pytest
import torch

from gaze_core.artifacts import file_sha256
from gaze_core.config import Runtime
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.evaluation import judge
from gaze_core.losses.gaze import SyntheticGazeConfig, sample_target_gaze
from gaze_core.models.estimation.gaze_net import GazeNet, GazeNetConfig
from gaze_core.models.redirection.densify import DensifyConfig
from gaze_core.models.redirection.gaze_gaussian import GazeGaussianConfig
from gaze_core.models.redirection.initialisation import initialise_from_mesh_head
from gaze_core.models.redirection.mesh_head import MeshHead
from gaze_core.models.redirection.renderers import RendererConfig
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import gaze_gaussian, mesh_head
from gaze_core.stages.redirection.critic import CriticConfig, load_critic
from gaze_core.stages.redirection.losses import Critics, GazeGaussianLossWeights, loss_terms
from gaze_core.stages.redirection.training_data import TrainingData
from gaze_core.training.checkpoint import save_weights
from gaze_core.training.loop import total
from tests.gaze_core.stages.redirection.tiny_run import CONFIGS, train, write_dataset
from tests.tiny_subject import write_tiny_subject


@pytest.fixture(scope="module")
def critic(tmp_path_factory):
    """An estimator with random weights, as its stage would write it."""
    torch.manual_seed(3)
    network = GazeNetConfig(image_px=64, width=8, eye_width=8)
    path = tmp_path_factory.mktemp("critic") / "critic.safetensors"
    card = {"stage": "estimator", "config": {"network": network.model_dump()}, "training_subjects": ["someone"]}
    save_weights(path, GazeNet(network), card)
    return CriticConfig(path=path, sha256=file_sha256(path))


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    return SubjectDataset(write_tiny_subject(tmp_path_factory.mktemp("data") / "s.h5", num_images=3)).everything


def a_model(batch, kind="dit"):
    torch.manual_seed(0)
    renderer = RendererConfig(kind=kind, channels=8, token_width=16, depth=1, num_heads=2, patch_px=4)
    config = GazeGaussianConfig(image_px=32, raster_px=16, cell_m=0.025, points_per_eye=40, renderer=renderer)
    model = initialise_from_mesh_head(config, MeshHead(CONFIGS["mesh_head"].model, batch.landmarks_3d_head_m[0]),
                                 batch.eye_centers_head_m[0])  # fmt: skip
    for parameter in model.parameters():  # zero initial weights would block gradients
        parameter.data += 0.01 * torch.randn_like(parameter)
    return model


def gradients(batch, critic, kind="dit", **weights):
    model = a_model(batch, kind)
    given = GazeGaussianLossWeights(critics_after=0, **weights)
    critics = Critics(given, critic, SyntheticGazeConfig(), seed=0)
    output = model(batch.camera, batch.head)
    terms = loss_terms(output, batch, given) | critics.terms(model, output, batch, batch.head, 5, 0.5)
    total(terms).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return gradients, {name: term.value for name, term in terms.items()}


def changed(first, second):
    """The parts of the model, two names deep, whose gradients differ by more than rounding."""
    return {
        ".".join(name.split(".")[:2])
        for name in first
        if not torch.allclose(first[name], second[name], rtol=1e-4, atol=1e-7 * float(first[name].abs().max() + 1))
    }


def test_orthogonality_has_gradients_to_the_three_branches_only(batch, critic):
    on, terms = gradients(batch, critic, orthogonality=10.0)
    off, _ = gradients(batch, critic, orthogonality=0.0)
    assert terms["orthogonality"] > 0
    assert changed(on, off) == {"eyes.rotate", "eyes.centers_m", "face.deform", "face.means_m"}
    first_layers = [n for n in on if n.endswith(("from_points.weight", "from_code.weight")) and "deform" in n]
    assert any(not torch.allclose(on[n], off[n]) for n in first_layers if n.startswith("face"))


def test_synthetic_gaze_has_gradients_to_eyes_and_renderer_but_not_to_the_face(batch, critic):
    on, terms = gradients(batch, critic, synthetic_gaze_deg=1.0)
    off, _ = gradients(batch, critic)
    assert terms["synthetic_gaze_deg"] > 0
    parts = changed(on, off)
    assert {"eyes.rotate", "eyes.means_m", "renderer.transformer"} <= parts
    assert not [part for part in parts if part.startswith("face")]


def test_gaze_loss_has_gradients_to_the_face_too(batch, critic):
    on, terms = gradients(batch, critic, gaze_deg=1.0)
    off, _ = gradients(batch, critic)
    assert 0 < terms["gaze_deg"] < 180
    assert {"face.means_m", "eyes.means_m", "renderer.transformer"} <= changed(on, off)


def test_the_renderers_have_their_own_parameters(batch, critic):
    dit, baseline = (gradients(batch, critic, kind)[0] for kind in ("dit", "pixel_shuffle"))
    assert any(name.startswith("renderer.transformer.blocks") for name in dit)
    assert not any("transformer" in name for name in baseline)
    assert {name for name in dit if not name.startswith("renderer")} == {
        name for name in baseline if not name.startswith("renderer")
    }


def test_critics_act_only_in_the_later_part_of_the_run(batch, critic):
    model, weights = a_model(batch), GazeGaussianLossWeights(gaze_deg=1.0, critics_after=0.25)
    critics = Critics(weights, critic, SyntheticGazeConfig(), seed=0)
    output = model(batch.camera, batch.head)
    assert critics.terms(model, output, batch, batch.head, 5, 0.24) == {}
    assert list(critics.terms(model, output, batch, batch.head, 5, 0.25)) == ["gaze_deg"]


def test_target_gazes_start_near_straight_ahead_and_end_in_the_full_range():
    config = SyntheticGazeConfig(max_deg=20, first_share=0.25, full_after=0.5)
    numbers = torch.arange(400)
    early, late = (
        torch.rad2deg(sample_target_gaze(config, progress, torch.zeros(400, dtype=int), numbers, 0, 7))
        for progress in (0.0, 0.5)
    )
    assert early.abs().max() == pytest.approx(5)
    assert late.abs().max() == pytest.approx(20)
    assert (late.abs() > 15).any(dim=1).float().mean() > 0.25
    assert late.mean(dim=0).abs().max() < 2
    other_order = sample_target_gaze(config, 0.5, torch.zeros(400, dtype=int), numbers.flip(0), 0, 7)
    assert torch.equal(torch.rad2deg(other_order).flip(0), late)  # independent of process and order
    assert not torch.equal(
        torch.rad2deg(sample_target_gaze(config, 0.5, torch.zeros(400, dtype=int), numbers, 0, 8)), late
    )


def test_the_run_lists_what_is_active_and_what_is_not(tmp_path, critic, caplog):
    write_dataset(tmp_path)
    train("mesh_head", tmp_path, tmp_path / "mesh_head")
    weights = GazeGaussianLossWeights(gaze_deg=0.1, synthetic_gaze_deg=0.2, critics_after=0.5)
    config = CONFIGS["gaze_gaussian"].model_copy(update={"loss_weights": weights, "critic": critic})
    context = StageContext(Runtime(device="cpu", log_every_steps=1), tmp_path / "gg")
    inputs = {"data": tmp_path / "data", "mesh_head": tmp_path / "mesh_head"}
    with caplog.at_level(logging.INFO, "gazeworks"):
        gaze_gaussian.run(config, inputs, context)
    said = "\n".join(record.getMessage() for record in caplog.records)
    for words in (
        "renderer: class DiTRenderer, depth 1, heads 2, patch_px 4",
        "autoencoder none",
        "orthogonality loss: weight 0.01",
        "perceptual loss: off (trained without; needs the asset vgg16)",
        "gaze loss: weight 0.1 a degree, from 50% of the run on",
        "weak supervision by synthetic gaze: weight 0.2 a degree, up to 20 degrees",
    ):
        assert words in said, words
    _, card = gaze_gaussian.load(tmp_path / "gg")
    assert ["gaze loss", "weight 0.1 a degree, from 50% of the run on"] in card["enhancements"]


def test_the_sample_order_continues_after_densification(tmp_path, monkeypatch):
    write_dataset(tmp_path)
    train("mesh_head", tmp_path, tmp_path / "mesh_head")
    read, inner = [], TrainingData.batches
    record = lambda self, order: inner(self, (items for items in order if not read.extend(items)))  # noqa: E731
    monkeypatch.setattr(TrainingData, "batches", record)
    monkeypatch.setattr(gaze_gaussian, "_gradients_px", lambda model, *_: torch.ones(model.face.num_points))
    config = CONFIGS["gaze_gaussian"].model_copy(update={"densify": DensifyConfig(after=0.5)})
    inputs = {"data": tmp_path / "data", "mesh_head": tmp_path / "mesh_head"}
    gaze_gaussian.run(config, inputs, StageContext(Runtime(device="cpu"), tmp_path))
    assert len(read) == 14  # 7 steps of two, densified after the third; 7 samples are an epoch
    assert sorted(read[:7]) == sorted(read[7:]) == list(range(7))


def test_missing_weights_stop_the_run(tmp_path, critic):
    with pytest.raises(
        BadInput, match=r"loss_weights.gaze_deg is 0.1, which needs a gaze estimator; expected weights that"
    ):
        Critics(GazeGaussianLossWeights(gaze_deg=0.1), None, SyntheticGazeConfig(), seed=0)
    with pytest.raises(BadInput, match=f"expected {'0' * 64}"):
        load_critic(critic.model_copy(update={"sha256": "0" * 64}))
    with pytest.raises(BadInput, match="no such file"):
        load_critic(critic.model_copy(update={"path": tmp_path / "none"}))
    path = tmp_path / "other.safetensors"
    save_weights(path, mesh_head.build(CONFIGS["mesh_head"], _Landmarks()), {"stage": "mesh_head"})
    with pytest.raises(BadInput, match="not the weights of a gaze estimator .* written by stage 'mesh_head'"):
        load_critic(CriticConfig(path=path, sha256=file_sha256(path)))


class _Landmarks:
    def label(self, name):
        return torch.zeros(1, 68, 3)


def test_the_judge_is_refused_as_a_critic(tmp_path):
    content, _ = judge._read_weights(None)
    path = tmp_path / "renamed.safetensors"
    path.write_bytes(content)
    with pytest.raises(ContractViolation, match="these are the judge's weights"):
        load_critic(CriticConfig(path=path, sha256=file_sha256(path)))
