"""Densification and pruning of the face Gaussians, once in the middle of training.

The criterion is that of 3D Gaussian Splatting (Kerbl et al. 2023, section 5.2): a Gaussian with a large gradient of its
image position is split into two smaller ones, and a transparent one is pruned. It happens once, between two runs of the
training loop, so an interrupted run still ends with the same bytes.
"""

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from gaze_core.config import Config
from gaze_core.geometry.rotations import matrix_from_quaternion
from gaze_core.models.redirection.gaze_gaussian import GazeGaussian

_SPLIT_SCALE_DIVISOR = 1.6  # factor by which the two are smaller than the one they replace (Kerbl et al.)
_POINTS = ("means_m", "features", "attributes", "near", "lids")


class DensifyConfig(Config):
    """When to densify, how many Gaussians to split, which to prune. Face only; the eyeballs keep their points."""

    after: float = Field(0.5, gt=0, lt=1)  # share of the run
    split_share: float = Field(0.25, gt=0, le=1)  # of the face's Gaussians, those with the largest gradient
    min_opacity: float = Field(0.01, ge=0, lt=1)
    num_frames: int = Field(32, ge=1)  # frames over which gradients are summed


@torch.no_grad()
def densified(model: GazeGaussian, gradient_px: Float[Tensor, " n"], config: DensifyConfig) -> GazeGaussian:
    """A model with densified face Gaussians and nearly the same renderings. `gradient_px`: of the loss by image position."""
    face = model.face
    opaque = torch.sigmoid(face.attributes[:, 7]) >= config.min_opacity
    split = _largest(gradient_px * opaque, int(config.split_share * int(opaque.sum())))
    keep = opaque & ~split
    points = {name: getattr(face, name) for name in _POINTS}
    along = _longest_axis_m(points["attributes"][split])
    children = []
    for side in (0.5, -0.5):
        child = {name: values[split].clone() for name, values in points.items()}
        child["means_m"] += side * along
        child["attributes"][:, :3] -= torch.log(torch.tensor(_SPLIT_SCALE_DIVISOR))
        children.append(child)
    parts = [{name: values[keep] for name, values in points.items()}, *children]
    changed = {f"face.{name}": torch.cat([part[name] for part in parts]) for name in _POINTS}
    result = GazeGaussian(model.config, model.mesh, len(changed["face.means_m"])).to(face.means_m.device)
    result.load_state_dict(model.state_dict() | changed)
    return result


def _largest(values: Float[Tensor, " n"], count: int) -> Bool[Tensor, " n"]:
    chosen = torch.zeros_like(values, dtype=torch.bool)
    chosen[values.argsort(descending=True, stable=True)[:count]] = True
    return chosen


def _longest_axis_m(attributes: Float[Tensor, "k 8"]) -> Float[Tensor, "k 3"]:
    """One standard deviation along the longest axis of each Gaussian, as a vector."""
    scales_m, longest = attributes[:, :3].exp().max(dim=-1)
    rotation = matrix_from_quaternion(torch.nn.functional.normalize(attributes[:, 3:7], dim=-1))
    axis = rotation.gather(2, longest[:, None, None].expand(-1, 3, 1))[..., 0]
    return scales_m[:, None] * axis
