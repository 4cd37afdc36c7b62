"""A causal recurrent head over the tokens of a single-frame model, which filters its gaze over time.

It decides, frame by frame and axis by axis, how much of the estimate of the frame before to keep: a recursive filter whose
gain is learned, near 1 in a fixation and 0 in a saccade. What it returns is a mean of single-frame gazes, so it cannot add an
offset that it knows of the people it was trained on (`docs/decisions/0013-synthetic-eve.md`). Before training it keeps
nothing, and the temporal model equals the single-frame model exactly.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from gaze_core.config import Config
from gaze_core.data.batch import TensorRecord
from gaze_core.models.blocks import zero_initialise

_ANGLE_SCALE = 0.1  # rad; typical size of what the angles are divided by before they enter the network


class TemporalConfig(Config):
    """A GRU (Cho et al. 2014) over `length` frames at `rate_hz`; 30 frames at 10 Hz is what EVE's own models use."""

    token_width: PositiveInt = 512
    hidden: PositiveInt = 128
    length: PositiveInt = 16
    rate_hz: PositiveFloat = 15.0


@dataclass(frozen=True, eq=False)
class FrameSequence(TensorRecord):
    """Outputs of the single-frame model for B clips of T frames.

    `starts` marks frames before which the state is forgotten: the first one, and those after a gap or a cut.
    """

    token: Float[Tensor, "b t d"]
    gaze_rad: Float[Tensor, "b t 2"]
    starts: Bool[Tensor, "b t"]

    def __len__(self) -> int:
        return len(self.token)


class TemporalHead(nn.Module):
    """Filters each frame's gaze with the earlier ones of its clip."""

    def __init__(self, config: TemporalConfig) -> None:
        super().__init__()
        self.config = config
        self.project = nn.Sequential(nn.LayerNorm(config.token_width), nn.Linear(config.token_width, config.hidden))
        self.cell = nn.GRUCell(config.hidden + 4, config.hidden)
        self.keep = nn.Linear(config.hidden, 2)
        zero_initialise(self.keep)

    def forward(self, frames: FrameSequence) -> Float[Tensor, "b t 2"]:
        """`[pitch, yaw]` in radians."""
        # The state is kept in full precision, as the angles are.
        with torch.autocast(frames.token.device.type, enabled=False):
            inputs, seen = self._inputs(frames), frames.gaze_rad.float()
            state, estimate = inputs.new_zeros(len(frames), self.config.hidden), seen[:, 0]
            estimates = []
            for moment in range(inputs.shape[1]):
                is_start, gaze = frames.starts[:, moment, None], seen[:, moment]
                state = torch.where(is_start, torch.zeros_like(state), state)
                state = self.cell(inputs[:, moment], state)
                before = torch.where(is_start, gaze, estimate)
                estimate = gaze + self.keep(state).tanh() * (before - gaze)
                estimates.append(estimate)
            return torch.stack(estimates, dim=1)

    def _inputs(self, frames: FrameSequence) -> Float[Tensor, "b t i"]:
        """The projected tokens, the gaze, and its change since the frame before (zero at a start)."""
        gaze = frames.gaze_rad.float() / _ANGLE_SCALE
        change = torch.cat([torch.zeros_like(gaze[:, :1]), gaze[:, 1:] - gaze[:, :-1]], dim=1)
        change = torch.where(frames.starts[..., None], torch.zeros_like(change), change)
        return torch.cat([self.project(frames.token.float()), gaze, change], dim=-1)
