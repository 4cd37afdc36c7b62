"""Corrections of training frames: zero at initialisation, and able to recover errors of labels."""

from dataclasses import replace

import pytest
import torch

from gaze_core.data.subjects import SubjectDataset
from gaze_core.geometry.cameras import rigid_transform
from gaze_core.geometry.rotations import matrix_from_axis_angle
from gaze_core.models.redirection.corrections import CorrectionsConfig, FrameCorrections
from tests.tiny_subject import write_tiny_subject


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    path = write_tiny_subject(tmp_path_factory.mktemp("data") / "tiny.h5", num_images=8)
    return SubjectDataset(path).batch([1, 4, 6])


def test_initial_corrections_are_zero(batch):
    corrections = FrameCorrections(batch.subject_index, batch.sample_index)
    head = corrections(batch)
    for name in ("head_to_world", "identity_code", "expression_code", "gaze_head_eyes"):
        torch.testing.assert_close(getattr(head, name), getattr(batch.head, name), atol=1e-7, rtol=0)
    assert all(value.item() == 0 for value, _ in corrections.penalties(CorrectionsConfig()).values())


def test_each_frame_has_its_own_row_whatever_the_order(batch):
    corrections = FrameCorrections(batch.subject_index, batch.sample_index)
    with torch.no_grad():
        corrections.shift_m[:, 0] = torch.tensor([1.0, 2.0, 3.0])
    for order in ([0, 1, 2], [2, 0]):
        part = batch[order]
        moved = torch.linalg.inv(part.head.head_to_world) @ corrections(part).head_to_world
        torch.testing.assert_close(moved[:, 0, 3], torch.tensor([1.0, 2.0, 3.0])[order])


def test_pose_errors_are_recovered_by_gradient_descent(batch):
    """Observed landmarks are at the true pose; the labelled poses have errors of some degrees and millimetres."""
    turn, shift = 0.08 * torch.randn(3, 3, generator=torch.Generator().manual_seed(0)), torch.full((3, 3), 0.004)
    true = batch.head.head_to_world
    wrong = true @ torch.linalg.inv(rigid_transform(matrix_from_axis_angle(turn), shift))
    seen = batch.camera.seen_from(true).project(batch.landmarks_3d_head_m)
    mislabelled = replace(batch, head=batch.head.with_pose(wrong))
    corrections = FrameCorrections(batch.subject_index, batch.sample_index)
    optimizer = torch.optim.Adam(corrections.parameters(), lr=3e-3)
    errors = []
    for _ in range(300):
        camera = batch.camera.seen_from(corrections(mislabelled).head_to_world)
        error_px = (camera.project(batch.landmarks_3d_head_m) - seen).norm(dim=-1).mean()
        optimizer.zero_grad()
        error_px.backward()
        optimizer.step()
        errors.append(error_px.item())
    assert errors[0] > 0.5
    assert errors[-1] < 0.1 * errors[0]
    sizes = corrections.sizes()
    assert sizes["correction_turn_deg"] == pytest.approx(torch.rad2deg(turn.norm(dim=-1)).mean().item(), rel=0.35)


def test_penalties_are_mean_squares_with_their_weights(batch):
    corrections = FrameCorrections(batch.subject_index, batch.sample_index)
    with torch.no_grad():
        corrections.shift_m.fill_(0.02)
        corrections.expression.fill_(0.5)
    terms = corrections.penalties(CorrectionsConfig(shift_dm2=0.5, expression=2.0))
    values = {name: (value.item(), weight) for name, (value, weight) in terms.items()}
    assert values["shift_correction_dm2"] == (pytest.approx(0.04), 0.5)
    assert values["expression_correction"] == (pytest.approx(0.25), 2.0)
