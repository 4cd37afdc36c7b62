"""The first Gaussians of a talking head: the subject's points, a mouth behind its lips, and two eyeballs."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gaze_core.errors import BadInput
from gaze_core.models.redirection.streams import eyeball_cap, neighbour_distance_m
from gaze_core.models.talker.config import TalkerConfig
from gaze_core.models.talker.network import TalkerModel
from gaze_core.reproducibility import generator

_HEAD_LOGIT, _MOUTH_LOGIT, _EYE_LOGIT = 1.0, 1.0, 3.0
_SCLERA, _IRIS, _IRIS_ANGLE_RAD = 0.75, 0.25, 0.5
_MOUTH_DEPTH_M, _MOUTH_HALF_HEIGHT_M = (0.003, 0.014), 0.009
_MIN_POINTS = 16


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Where the parts of a head are, head frame, metres.

    `mouth_m` is the middle of the lips, `mouth_half_width_m` half their width, `mouth_rgb` the colour inside.
    """

    points_m: Float[Tensor, "p 3"]
    points_rgb: Float[Tensor, "p 3"]
    eye_centres_m: Float[Tensor, "2 3"]
    eye_radius_m: float
    mouth_m: Float[Tensor, " 3"]
    mouth_half_width_m: float
    mouth_rgb: Float[Tensor, " 3"]


def initial_talker(config: TalkerConfig, anatomy: Anatomy, audio_width: int, seed: int) -> TalkerModel:
    """A model in its coarse stage. `points_m` are without those in front of the eyes.

    Raises:
        BadInput: hardly any points.
    """
    if len(anatomy.points_m) < _MIN_POINTS:
        raise BadInput(
            f"{len(anatomy.points_m)} initial points of the head; expected at least {_MIN_POINTS}; prepare the subject again"
        )
    points, rgb = resampled(anatomy, config, seed)
    model = TalkerModel(config, audio_width, len(points))
    model.head.place(points, rgb, neighbour_distance_m(points), _HEAD_LOGIT)
    margin = 0.05 * (points.amax(dim=0) - points.amin(dim=0))
    model.planes.box_m.copy_(torch.stack([points.amin(dim=0) - margin, points.amax(dim=0) + margin]))
    model.eye_centres_m.copy_(anatomy.eye_centres_m)
    if model.mouth.num_points:
        inside = _mouth_points(anatomy, model.mouth.num_points, seed)
        model.mouth.place(inside, anatomy.mouth_rgb.expand(len(inside), 3), neighbour_distance_m(inside), _MOUTH_LOGIT)
    if model.eyes.num_points:
        _place_eyes(model, anatomy)
    return model


def resampled(anatomy: Anatomy, config: TalkerConfig, seed: int) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Points and colours, thinned out or filled up between neighbours to the configured number."""
    points, rgb = anatomy.points_m, anatomy.points_rgb
    random = generator("talker points", seed)
    if len(points) > config.max_head_points:
        chosen = torch.randperm(len(points), generator=random)[: config.max_head_points].sort().values
        return points[chosen], rgb[chosen]
    missing = config.min_head_points - len(points)
    if missing <= 0:
        return points, rgb
    first = torch.randint(len(points), (missing,), generator=random)
    near = torch.cat([torch.cdist(chunk, points).topk(4, largest=False).indices for chunk in points.split(2048)])
    second = near[first, torch.randint(1, 4, (missing,), generator=random)]
    share = torch.rand(missing, 1, generator=random)
    extra = [share * values[first] + (1 - share) * values[second] for values in (points, rgb)]
    return torch.cat([points, extra[0]]), torch.cat([rgb, extra[1]])


def _mouth_points(anatomy: Anatomy, count: int, seed: int) -> Float[Tensor, "n 3"]:
    """Points in a box behind the lips; +z is into the head."""
    places = torch.rand(count, 3, generator=generator("talker mouth", seed))
    near, far = _MOUTH_DEPTH_M
    x = (2 * places[:, 0] - 1) * 0.85 * anatomy.mouth_half_width_m
    y = (2 * places[:, 1] - 1) * _MOUTH_HALF_HEIGHT_M
    return anatomy.mouth_m + torch.stack([x, y, near + (far - near) * places[:, 2]], dim=1)


def _place_eyes(model: TalkerModel, anatomy: Anatomy) -> None:
    """Caps of white with a dark disc that looks along the rest gaze."""
    cap = eyeball_cap(model.eyes.num_points // 2)
    means = torch.cat([centre + anatomy.eye_radius_m * cap for centre in anatomy.eye_centres_m])
    is_iris = cap[:, 2] < -torch.tensor(_IRIS_ANGLE_RAD).cos()
    grey = torch.where(is_iris, _IRIS, _SCLERA).repeat(2)[:, None].expand(-1, 3)
    model.eyes.place(means, grey, neighbour_distance_m(means), _EYE_LOGIT)
