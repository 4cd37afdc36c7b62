"""Disentanglement losses: gaze, pose and expression should act on different features."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def orthogonality(
    gaze: Float[Tensor, "b n h"], pose: Float[Tensor, "b m h"], expression: Float[Tensor, "b k h"]
) -> Float[Tensor, ""]:
    """|cos(gaze, expression)| + |cos(pose, expression)| of first-layer activations pooled over points.

    DiT-Gaze (arXiv 2511.11231), orthogonality loss, with w1 = w2 = 1; gradients reach the layers' weights.
    """
    pooled = [activations.mean(dim=1) for activations in (gaze, pose, expression)]
    with_gaze = functional.cosine_similarity(pooled[0], pooled[2], dim=-1).abs()
    with_pose = functional.cosine_similarity(pooled[1], pooled[2], dim=-1).abs()
    return (with_gaze + with_pose).mean()
