"""Facial landmarks by name. iBUG-68 order; left and right are the subject's own (right eye: 36-41, image left)."""

from typing import Generic, NamedTuple, TypeVar

NUM_LANDMARKS = 68

JAW = slice(0, 17)
RIGHT_BROW, LEFT_BROW = slice(17, 22), slice(22, 27)
NOSE = slice(27, 36)
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
MOUTH = slice(48, 68)

NOSE_TIP, CHIN = 30, 8
RIGHT_EYE_OUTER, RIGHT_EYE_INNER = 36, 39
LEFT_EYE_INNER, LEFT_EYE_OUTER = 42, 45
MOUTH_RIGHT, MOUTH_LEFT = 48, 54

T = TypeVar("T")


class Eyes(NamedTuple, Generic[T]):
    """One value per eye, the subject's own left first; the order of every stored `(..., 2, ...)` eye axis."""

    left: T
    right: T


EYE_LANDMARKS = Eyes(left=LEFT_EYE, right=RIGHT_EYE)
