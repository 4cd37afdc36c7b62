"""Subject splits of the published experiments; names as in the releases, unique within their source only."""


def _subjects(text: str) -> tuple[str, ...]:
    """Four-digit names from numbers and ranges: "3 5-7" stands for 0003 0005 0006 0007."""
    bounds = [[int(number) for number in part.split("-")] for part in text.split()]
    return tuple(f"{number:04d}" for ends in bounds for number in range(ends[0], ends[-1] + 1))


# ETH-XGaze (Zhang et al. 2020): 80 subjects of the training set, and the 15 of the person-specific test.
ETH_XGAZE_TRAIN = _subjects(
    "0 3-10 13-16 18-19 21 24 26-33 35-36 38-41 43-46 48 50-52 55-63 65-67 69 72-73 75-76 78-81 83-85 88 90 92 95 "
    "98-109 111"
)
ETH_XGAZE_PERSON_SPECIFIC = _subjects("12 22 25 47 54 74 86 94 96-97 110 113 115-116 119")

# For evaluation only (GazeNeRF, CVPR 2023, and GazeGaussian, ICCV 2025).
COLUMBIA = _subjects("1-56")
MPII_FACE_GAZE = _subjects("0-14")
