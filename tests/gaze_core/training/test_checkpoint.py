"""Checkpoint files: atomic writes, and the stage and version in their cards."""

import pytest
import torch
from torch import nn

from gaze_core.errors import ContractViolation, MissingArtifact
from gaze_core.training.checkpoint import read_card, save_weights


def test_a_card_of_another_stage_or_version_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    torch.manual_seed(0)
    save_weights(path, nn.Linear(2, 1), {"stage": "mesh_head", "stage_version": 3})
    assert read_card(path, "mesh_head", 3) == read_card(path, "mesh_head") == {"stage": "mesh_head", "stage_version": 3}
    with pytest.raises(ContractViolation, match="mesh_head v3, expected v4; train it again"):
        read_card(path, "mesh_head", 4)
    with pytest.raises(ContractViolation, match="written by stage 'mesh_head', expected 'gaze_gaussian'"):
        read_card(path, "gaze_gaussian", 3)
    with pytest.raises(MissingArtifact, match="no readable mesh_head checkpoint"):
        read_card(tmp_path / "none", "mesh_head", 3)
