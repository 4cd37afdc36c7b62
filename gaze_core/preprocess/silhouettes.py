"""Silhouettes of a video that do not flicker: those of neighbouring frames, moved onto the head, are averaged as distances.

A mask that is found in one frame alone (`masks.py`) jumps where hair is as dark as what is behind it. What is averaged is the
signed distance to the silhouette, cut off near it: a silhouette that is wrong in a few frames is outvoted, and one that
moves evenly is not blurred. Beyond its image's border a silhouette says nothing about its neighbours.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.preprocess.face_mesh import FACE_OVAL
from gaze_core.preprocess.images import RgbImage
from gaze_core.preprocess.masks import HeadSegmenter, Mask, downscaled

Framed = tuple[int, RgbImage, Float[ndarray, "n 2"]]  # index in the recording, image, the face mesh in its pixels
_OVAL = list(FACE_OVAL)
_FAR = 0.05  # of the face's height: a greater distance counts as this much
_SIGMAS = 3  # a frame further away in time has no weight


@dataclass(frozen=True, eq=False)
class _Outline:
    """A frame, and the silhouette that was found in it alone at the scale of segmentation."""

    index: int
    image: RgbImage
    points_px: Float[ndarray, "n 2"]  # at the scale of segmentation
    distance_px: Float[ndarray, "y x"]  # to the silhouette, positive inside

    @classmethod
    def find(cls, frame: Framed, segment: HeadSegmenter) -> "_Outline":
        index, image, points_px = frame
        small, points = downscaled(image, points_px)
        head = segment.small_mask(small, points)
        # The silhouette runs between pixels, half a pixel from the centres on its sides.
        inside, outside = (cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for part in (head, 1 - head))
        distance_px = np.where(head > 0, inside - 0.5, 0.5 - outside)
        far_px = _FAR * float(np.ptp(points[_OVAL, 1]))
        return cls(index, image, points, distance_px.clip(-far_px, far_px).astype(np.float32))

    def moved_to(self, other: "_Outline") -> tuple[Float[ndarray, "y x"], Float[ndarray, "y x"]]:
        """The distances as they lie when this face is moved onto the other one, and where this image shows them (0 to 1)."""
        visible = np.ones_like(self.distance_px)
        if self is other:
            return self.distance_px, visible
        move, _ = cv2.estimateAffinePartial2D(
            self.points_px[_OVAL] - 0.5, other.points_px[_OVAL] - 0.5, method=cv2.LMEDS
        )
        size_px = visible.shape[::-1]
        distance_px = cv2.warpAffine(self.distance_px, move, size_px, borderMode=cv2.BORDER_REPLICATE)
        return distance_px, cv2.warpAffine(visible, move, size_px)


def steady_masks(
    frames: Iterable[Framed], segment: HeadSegmenter, sigma_frames: float
) -> Iterator[tuple[int, RgbImage, Mask]]:
    """Each frame with its mask, 0 or 255: the head with hair and neck.

    Args:
        frames: in the order of the recording. Those within three sigma of each other are in memory.
        segment: finds the head in one image.
        sigma_frames: of the Gaussian weights of neighbours in time, missing frames counted; 0 leaves each frame alone.
    """
    reach = _SIGMAS * sigma_frames
    near: deque[_Outline] = deque()
    num_waiting = 0
    for frame in frames:
        outline = _Outline.find(frame, segment)
        while num_waiting and outline.index - near[-num_waiting].index > reach:
            yield _steadied(near[-num_waiting], near, sigma_frames)
            num_waiting -= 1
        oldest = near[-num_waiting] if num_waiting else outline
        while near and oldest.index - near[0].index > reach:
            near.popleft()
        near.append(outline)
        num_waiting += 1
    for outline in list(near)[len(near) - num_waiting :]:
        yield _steadied(outline, near, sigma_frames)


def _steadied(outline: _Outline, near: Iterable[_Outline], sigma_frames: float) -> tuple[int, RgbImage, Mask]:
    total, weights = np.zeros_like(outline.distance_px), np.zeros_like(outline.distance_px)
    for other in near:
        apart = abs(other.index - outline.index)
        if apart > _SIGMAS * sigma_frames:
            continue
        distance_px, visible = other.moved_to(outline)
        weight = visible * (np.exp(-0.5 * (apart / sigma_frames) ** 2) if apart else 1.0)
        total += weight * distance_px
        weights += weight
    distance_px = cv2.resize(total / weights, outline.image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return outline.index, outline.image, np.where(distance_px > 0, 255, 0).astype(np.uint8)
