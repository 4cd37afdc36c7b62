"""Units of the published files, in ours."""

METRES_PER_MM, METRES_PER_DM = 1e-3, 1e-1
METRES_PER = {"mm": METRES_PER_MM, "dm": METRES_PER_DM}
# The field counts pixel centres as whole numbers (OpenCV); ours lie at +0.5.
PIXEL_CENTER = 0.5
