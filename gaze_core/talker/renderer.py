"""Frames of a trained talking head: what drives it goes in, whole pictures with torso and background come out."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from gaze_core.models.talker.model import TalkerCondition, TalkerModel
from gaze_core.talker.driving import Driving, batches


class Renderer:
    """Renders a driving signal in batches, without gradients."""

    def __init__(self, model: TalkerModel, subject: Any, device: torch.device, batch: int = 8) -> None:
        """`subject` lends camera, torso and background."""
        self.model, self.subject, self.device, self.batch = model.to(device).eval(), subject, device, batch

    def __call__(self, driving: Driving, places: Int[ndarray, " n"] | None = None) -> UInt8[ndarray, "n h w 3"]:
        """The frames at these places of the signal, by default all."""
        chosen = np.arange(len(driving)) if places is None else np.asarray(places)
        stacks = driving.stacks()
        return np.concatenate([self._batch(driving, stacks, chosen[part]) for part in batches(len(chosen), self.batch)])

    @torch.no_grad()
    def _batch(
        self, driving: Driving, stacks: Float[ndarray, "t 8 w c"], places: Int[ndarray, " b"]
    ) -> UInt8[ndarray, "b h w 3"]:
        condition = TalkerCondition(
            audio=self._tensor(stacks[places]), eye=self._tensor(driving.blink[places]),
            brows=self._tensor(driving.brows[places]), gaze_rad=self._tensor(driving.gaze_head_rad[places]),
        )  # fmt: skip
        behind = self._tensor(self.subject.behind(driving.torso_frame[places])).permute(0, 3, 1, 2) / 255
        height, width = behind.shape[-2:]
        made = self.model(
            condition, self._tensor(driving.viewmat[places]), self._tensor(self.subject.intrinsics), (width, height)
        )
        image = made.image + (1 - made.alpha) * behind
        return (image.clamp(0, 1).permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()

    def _tensor(self, values: ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).float().to(self.device)
