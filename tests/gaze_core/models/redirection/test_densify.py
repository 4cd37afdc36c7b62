"""Densification of the face: renderings hardly change, the right Gaussians are split, and runs resume exactly."""

import pytest
import torch

from gaze_core.config import Runtime
from gaze_core.data.subjects import SubjectDataset
from gaze_core.models.redirection.densify import DensifyConfig, densified
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import gaze_gaussian
from gaze_core.stages.redirection.training_data import read_training_data
from gaze_core.training.checkpoint import WEIGHTS_FILE
from tests.gaze_core.stages.redirection.tiny_run import CONFIGS, train, write_dataset


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_dataset(root)
    for stage in ("mesh_head", "gaze_gaussian"):
        train(stage, root, root / stage)
    return root


def test_selected_gaussians_are_split_and_transparent_ones_pruned(root):
    model, _ = gaze_gaussian.load(root / "gaze_gaussian")
    count = model.face.num_points
    with torch.no_grad():
        model.face.attributes[:5, 7] = -10.0
    gradient = torch.zeros(count)
    gradient[7] = 3.0
    gradient[2] = 9.0  # transparent, so it goes whatever its gradient
    share = 1.5 / (count - 5)
    grown = densified(model, gradient, DensifyConfig(split_share=share, min_opacity=0.05))
    assert grown.face.num_points == count - 5 - 1 + 2
    parent, children = model.face, grown.face
    offsets = children.means_m[-2:] - parent.means_m[7]
    torch.testing.assert_close(offsets[0], -offsets[1])
    longest = parent.attributes[7, :3].exp().max()
    torch.testing.assert_close(offsets[0].norm(), 0.5 * longest)
    torch.testing.assert_close(children.attributes[-1, :3].exp(), parent.attributes[7, :3].exp() / 1.6)
    assert torch.equal(children.near[-2:], parent.near[[7, 7]])
    kept = [i for i in range(5, count) if i != 7]
    assert torch.equal(children.means_m[:-2], parent.means_m[kept])
    for name, value in model.eyes.state_dict().items():
        assert torch.equal(grown.eyes.state_dict()[name], value)


def test_the_image_stays_about_the_same(root):
    model, _ = gaze_gaussian.load(root / "gaze_gaussian")
    batch = SubjectDataset(root / "data" / "subject.h5").batch([0, 1])
    grown = densified(model, torch.rand(model.face.num_points), DensifyConfig(split_share=0.3, min_opacity=0)).eval()
    before, after = (m(batch.camera, batch.head).rgb for m in (model, grown))
    assert (before - after).abs().mean() < 0.02


def test_an_interrupted_densified_run_ends_with_the_same_bytes(root, tmp_path):
    class Interrupt(Exception):
        pass

    config = CONFIGS["gaze_gaussian"].model_copy(update={"densify": DensifyConfig(num_frames=3)})
    inputs = {"data": root / "data", "mesh_head": root / "mesh_head"}
    runtime = Runtime(device="cpu", checkpoint_every_steps=2, log_every_steps=1)
    whole = gaze_gaussian.run(config, inputs, StageContext(runtime, tmp_path / "whole"))
    before, _ = gaze_gaussian.load(root / "gaze_gaussian")
    model, _ = gaze_gaussian.load(tmp_path / "whole")
    assert model.face.num_points > before.face.num_points
    for stop_at in (2, 5):  # in the first and in the second part
        calls = []

        def progress(step, num_steps, loss, calls=calls, stop_at=stop_at):
            calls.append(step)
            if len(calls) == stop_at:
                raise Interrupt

        folder = tmp_path / f"parts{stop_at}"
        with pytest.raises(Interrupt):
            gaze_gaussian.run(config, inputs, StageContext(runtime, folder, progress=progress))
        resumed = gaze_gaussian.run(config, inputs, StageContext(runtime, folder))
        assert resumed.files[WEIGHTS_FILE].read_bytes() == whole.files[WEIGHTS_FILE].read_bytes()


def test_the_critics_share_of_the_run_goes_on_after_densification(root, tmp_path, monkeypatch):
    told = []

    def terms(self, model, output, batch, head, step, progress):
        told.append((step, progress))
        return {}

    monkeypatch.setattr("gaze_core.stages.redirection.losses.Critics.terms", terms)
    config = CONFIGS["gaze_gaussian"].model_copy(update={"densify": DensifyConfig(num_frames=1)})
    inputs = {"data": root / "data", "mesh_head": root / "mesh_head"}
    gaze_gaussian.run(config, inputs, StageContext(Runtime(device="cpu"), tmp_path))
    assert told == [(step, step / 7) for step in range(7)]


def test_the_criterion_is_the_gradient_of_the_face_gaussians(root):
    """Transparent Gaussians have no gradient, so they show which gradients are summed."""
    model, _ = gaze_gaussian.load(root / "gaze_gaussian")
    hidden = torch.zeros(model.face.num_points, dtype=torch.bool)
    hidden[::2] = True
    with torch.no_grad():
        model.face.attributes[hidden, 7] = -20.0
    config = CONFIGS["gaze_gaussian"]
    data = read_training_data(root / "data", config.fit.batch_size, Runtime(device="cpu"))
    norms_px = gaze_gaussian._gradients_px(model.train(), config, 3, data)
    assert norms_px.shape == hidden.shape
    assert not norms_px[hidden].any()
    assert (norms_px[~hidden] > 0).float().mean() > 0.3
