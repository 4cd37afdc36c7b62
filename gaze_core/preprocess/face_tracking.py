"""The faces of a video from image to image, each with a number that it keeps while it is followed."""

from itertools import count

import numpy as np

from gaze_core.preprocess.face_search import extent_px
from gaze_core.preprocess.images import RgbImage
from gaze_core.preprocess.landmarks import Face, FaceLandmarker

DETECT_EVERY = 10  # images; so long may a new face stay unseen
_MIN_APART = 0.5  # distance of two faces' middles over the larger one's size; below it both are one face


class FaceTracker:
    """Follows faces by the place of their landmarks in the image before; the detector is asked now and then.

    The largest face of the first image is 0. A face that is lost frees its number for the next new face. After a cut, or where
    two people change places unseen, a number may go to another person.
    """

    def __init__(self, landmarker: FaceLandmarker) -> None:
        self._landmarker = landmarker
        self._known: dict[int, Face] = {}
        self._since = 0

    def update(self, image: RgbImage) -> dict[int, Face]:
        """The faces of the next image by their numbers, in the order of the numbers."""
        followed: dict[int, Face] = {}
        for number, face in self._known.items():
            found = self._landmarker.followed(image, face)
            if found is not None and all(_apart(found, other) for other in followed.values()):
                followed[number] = found
        self._since += 1
        if not followed or len(followed) < len(self._known) or self._since >= DETECT_EVERY:
            self._since = 0
            for face in self._landmarker.faces(image, list(followed.values())):
                if all(_apart(face, other) for other in followed.values()):
                    followed[next(number for number in count() if number not in followed)] = face
        self._known = dict(sorted(followed.items()))
        return self._known


def _apart(one: Face, other: Face) -> bool:
    distance_px = np.linalg.norm((one.points_px - other.points_px)[:, :2].mean(axis=0))
    return bool(distance_px > _MIN_APART * max(extent_px(one), extent_px(other)))
