"""Unit conversions of the published files."""

METRES_PER_MM, METRES_PER_DM = 1e-3, 1e-1
METRES_PER = {"mm": METRES_PER_MM, "dm": METRES_PER_DM}
# Published pixel centres are integers (OpenCV); ours are at +0.5.
PIXEL_CENTER = 0.5
