"""Label maps of a speaking person: head and hair, eyes, mouth and lips, neck and torso, background.

Eyes, lips and mouth are polygons of landmarks. The head is the silhouette that `preprocess/silhouettes.py` finds, without
what lies below the jaw. The torso comes from GrabCut with seeds below the chin, its colours learned once for all frames.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from gaze_core.preprocess.face_mesh import FACE_OVAL, LIDS, LIPS_INNER, LIPS_OUTER
from gaze_core.preprocess.masks import Mask, eye_mask
from gaze_core.talker.subject_schema import BACKGROUND, HAIR, LEFT_EYE, LIPS, MOUTH, RIGHT_EYE, SKIN, TORSO

Points = Float[ndarray, "478 2"]
# The face's outline from ear to ear along the jaw, image left to right.
JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
_CHIN, _FOREHEAD = 152, 10
_NO_BOX = (0, 0, 0, 0)
_ROUNDS = 3


class TorsoSegmenter:
    """Finds neck and torso below the head.

    Args:
        samples: some frames of one size, each with its head mask (0 or 255) and its landmarks.
    """

    def __init__(self, samples: Sequence[tuple[UInt8[ndarray, "h w 3"], Mask, Points]]) -> None:
        image = np.concatenate([cv2.cvtColor(one, cv2.COLOR_RGB2LAB) for one, _, _ in samples])
        seeds = np.concatenate([_torso_seeds(head, points) for _, head, points in samples])
        self._models = np.zeros((1, 65)), np.zeros((1, 65))
        self._usable = min(np.isin(seeds, kind).sum() for kind in ([0, 2], [1, 3])) > 5
        if self._usable:
            cv2.setRNGSeed(0)
            cv2.grabCut(image, seeds, _NO_BOX, *self._models, _ROUNDS, cv2.GC_INIT_WITH_MASK)

    def __call__(self, image: UInt8[ndarray, "h w 3"], head: Mask, points_px: Points) -> Bool[ndarray, "h w"]:
        """Neck, torso and the head itself."""
        seeds = _torso_seeds(head, points_px)
        if self._usable:
            behind, front = (model.copy() for model in self._models)
            lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
            cv2.grabCut(lab, seeds, _NO_BOX, behind, front, 1, cv2.GC_EVAL_FREEZE_MODEL)
        person: ndarray = np.isin(seeds, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
        person = cv2.morphologyEx(cv2.morphologyEx(person, cv2.MORPH_OPEN, kernel), cv2.MORPH_CLOSE, kernel)
        _, pieces, stats, _ = cv2.connectedComponentsWithStats(person, connectivity=4)
        if len(stats) > 1:
            person = (pieces == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
        contours, _ = cv2.findContours(person, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        return np.asarray(cv2.drawContours(person, contours, -1, 1, thickness=cv2.FILLED)) > 0


def label_map(
    image: UInt8[ndarray, "h w 3"], head: Mask, person: Bool[ndarray, "h w"], points_px: Points
) -> UInt8[ndarray, "h w"]:
    """The class of each pixel (`subject_schema.py`). `head` (0 or 255) may reach down the neck."""
    size = image.shape[:2]
    below = below_jaw(size, points_px)
    face = eye_mask(size, points_px[list(FACE_OVAL)]) > 0
    top = ((head > 0) & ~below) | face
    out = np.full(size, BACKGROUND, np.uint8)
    out[person | ((head > 0) & below)] = TORSO
    out[top] = SKIN
    out[top & ~face & _unlike_skin(image, face, top)] = HAIR
    out[eye_mask(size, points_px[list(LIPS_OUTER)]) > 0] = LIPS
    out[eye_mask(size, points_px[list(LIPS_INNER)]) > 0] = MOUTH
    out[eye_mask(size, points_px[list(LIDS.left)]) > 0] = LEFT_EYE
    out[eye_mask(size, points_px[list(LIDS.right)]) > 0] = RIGHT_EYE
    return out


def below_jaw(size: tuple[int, int], points_px: Points) -> Bool[ndarray, "h w"]:
    """What is below the jaw line, which goes on level beyond the ears."""
    line = points_px[list(JAW)]
    order = np.argsort(line[:, 0], kind="stable")
    heights = np.interp(np.arange(size[1]) + 0.5, line[order, 0], line[order, 1])
    outside = (np.arange(size[1]) + 0.5 < line[:, 0].min()) | (np.arange(size[1]) + 0.5 > line[:, 0].max())
    # Beside the ears hair may hang down: as far as the chin it is the head's.
    heights = np.where(outside, np.maximum(heights, points_px[_CHIN, 1]), heights)
    return np.asarray(np.arange(size[0])[:, None] + 0.5 > heights[None])


def _unlike_skin(
    image: UInt8[ndarray, "h w 3"], face: Bool[ndarray, "h w"], top: Bool[ndarray, "h w"]
) -> Bool[ndarray, "h w"]:
    """Pixels whose colour is nearer to that above the forehead than to the face's."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    above = top & ~face
    rows = np.flatnonzero(face.any(axis=1))
    size = max(face.shape)
    if not above.any() or not len(rows):
        return np.zeros(face.shape, bool)
    crown = above.copy()
    crown[rows[0] :] = False
    skin = np.median(lab[face], axis=0)
    hair = np.median(lab[crown if crown.any() else above], axis=0)
    nearer = np.linalg.norm(lab - hair, axis=-1) < np.linalg.norm(lab - skin, axis=-1)
    return np.asarray(cv2.medianBlur(nearer.astype(np.uint8), max(size // 24 * 2 + 1, 3)) > 0)


def _torso_seeds(head: Mask, points_px: Points) -> UInt8[ndarray, "h w"]:
    """GrabCut's labels: certain person below the chin, likely under spreading shoulders, background beside the head."""
    height, width = head.shape
    ys, xs = np.mgrid[:height, :width] + 0.5
    chin, forehead = points_px[_CHIN], points_px[_FOREHEAD]
    face_height = float(np.linalg.norm(chin - forehead))
    v, u = (ys - chin[1]) / face_height, np.abs(xs - chin[0]) / face_height
    seeds = np.full(head.shape, cv2.GC_PR_BGD, np.uint8)
    seeds[v < -0.15] = cv2.GC_BGD
    seeds[(v > 0) & (u < 0.35 + 2.5 * np.maximum(v - 0.05, 0))] = cv2.GC_PR_FGD
    seeds[(v > 0.1) & (u < 0.2 + 1.2 * np.maximum(v - 0.15, 0))] = cv2.GC_FGD
    # Whoever is filmed from the chest up reaches the lower border.
    seeds[(v > 0.2) & (u < 0.75) & (ys > 0.95 * height)] = cv2.GC_FGD
    seeds[head > 0] = cv2.GC_FGD
    return seeds
