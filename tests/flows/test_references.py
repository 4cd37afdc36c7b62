"""A checkpoint is found with its manifest, or as its weights alone."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from flows.references import prior_ref
from gaze_core.errors import BadInput
from gaze_core.stages.redirection import gaze_gaussian
from gaze_core.training.checkpoint import WEIGHTS_FILE
from tasks.store.artifacts import Store
from tests.gaze_core.stages.redirection.tiny_run import train, write_dataset


def test_weights_alone_in_half_precision_become_an_artifact_that_can_be_loaded(tmp_path):
    root = tmp_path / "root"
    write_dataset(root)
    for stage in ("mesh_head", "gaze_gaussian"):
        train(stage, root, root / stage)
    prior = tmp_path / "prior"
    prior.mkdir()
    with safe_open(root / "gaze_gaussian" / WEIGHTS_FILE, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a handle)
        save_file(
            {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()},
            prior / WEIGHTS_FILE,
            file.metadata(),
        )
    ref = prior_ref(prior)
    assert ref == prior_ref(prior)
    loaded, _ = gaze_gaussian.load(Store.from_environment().fetch(ref))
    whole, _ = gaze_gaussian.load(root / "gaze_gaussian")
    for (name, half), full in zip(loaded.named_parameters(), whole.parameters(), strict=True):
        assert half.dtype == torch.float32
        assert torch.allclose(half, full, rtol=1e-3, atol=1e-4), name


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(BadInput, match="expected the folder of a trained GazeGaussian"):
        prior_ref(tmp_path)
