"""Learned corrections of each training frame's labels: small offsets of its codes and its head pose.

Errors in head pose labels blur the learned head. Published GazeGaussian learns such offsets for every training image,
added to the identity and expression codes and to the head pose (camera refinement). They belong to the training frames and
are not used at inference. Here a person has one identity correction for all frames.
"""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch, HeadParameters
from gaze_core.data.schema import NUM_EXPRESSION, NUM_IDENTITY
from gaze_core.geometry.cameras import rigid_transform
from gaze_core.geometry.rotations import matrix_from_axis_angle


class CorrectionsConfig(Config):
    """Weights of the mean squares that keep corrections small (published values), and their learning rate."""

    identity: NonNegativeFloat = 0.001
    expression: NonNegativeFloat = 1.0
    turn_rad2: NonNegativeFloat = 0.001
    shift_dm2: NonNegativeFloat = 0.001
    learning_rate: PositiveFloat = 1.0  # relative to the run's


class FrameCorrections(nn.Module):
    """Corrections of expression and pose for each training frame, and of identity for each subject, initialised to zero.

    Rotations (`turn_rad`) and translations (`shift_m`) are in the head frame.
    """

    row_of: Tensor

    def __init__(self, subject_index: Int[Tensor, " n"], sample_index: Int[Tensor, " n"]) -> None:
        """Both arguments identify the training frames, as in `GazeBatch`."""
        super().__init__()
        num_subjects = int(subject_index.max()) + 1
        rows = torch.full((num_subjects, int(sample_index.max()) + 1), -1)
        rows[subject_index.cpu(), sample_index.cpu()] = torch.arange(len(sample_index))
        self.register_buffer("row_of", rows)
        self.identity = nn.Parameter(torch.zeros(num_subjects, NUM_IDENTITY))
        self.expression = nn.Parameter(torch.zeros(len(sample_index), NUM_EXPRESSION))
        self.turn_rad = nn.Parameter(torch.zeros(len(sample_index), 3))
        self.shift_m = nn.Parameter(torch.zeros(len(sample_index), 3))

    def forward(self, batch: GazeBatch) -> HeadParameters:
        """The corrected head parameters of a batch; all its frames must be training frames."""
        rows = self.row_of[batch.subject_index, batch.sample_index]
        change = rigid_transform(matrix_from_axis_angle(self.turn_rad[rows]), self.shift_m[rows])
        return replace(
            batch.head,
            head_to_world=batch.head.head_to_world @ change,
            identity_code=batch.head.identity_code + self.identity[batch.subject_index],
            expression_code=batch.head.expression_code + self.expression[rows],
        )

    def penalties(self, config: CorrectionsConfig) -> dict[str, tuple[Float[Tensor, ""], float]]:
        """The mean squares over all frames and their weights, by name."""
        return {
            "identity_correction": (self.identity.square().mean(), config.identity),
            "expression_correction": (self.expression.square().mean(), config.expression),
            "turn_correction_rad2": (self.turn_rad.square().mean(), config.turn_rad2),
            "shift_correction_dm2": ((10 * self.shift_m).square().mean(), config.shift_dm2),
        }

    def sizes(self) -> dict[str, float]:
        """Root mean square sizes of the corrections, for the manifest."""
        with torch.no_grad():
            return {
                "correction_turn_deg": float(torch.rad2deg(self.turn_rad.norm(dim=-1).square().mean().sqrt())),
                "correction_shift_mm": float(1000 * self.shift_m.norm(dim=-1).square().mean().sqrt()),
                "correction_expression": float(self.expression.square().mean().sqrt()),
            }
