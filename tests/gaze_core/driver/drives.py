"""Evaluations of a made-up drive, for tests of comparisons and reports."""

import numpy as np

from gaze_core.driver.blocks import IntervalConfig
from gaze_core.driver.record import DriveFrame, DriveRecord
from gaze_core.driver.report import DriverEvaluation, FewShot, ScenarioRow, summarize

COUNT = 40
RNG = np.random.default_rng(3)
TRUTH_DEG = np.column_stack([RNG.uniform(-12, 8, COUNT), RNG.uniform(-25, 25, COUNT)])  # [elevation, azimuth]
NOISE_DEG = RNG.normal(0, 1, (COUNT, 2))
TIMES_S = np.arange(COUNT) * 0.5


def record(**changes) -> DriveRecord:
    frames = tuple(
        DriveFrame(frame=n, time_s=time_s, scenario="city <1>" if n < COUNT // 2 else "motorway")
        for n, time_s in enumerate(TIMES_S)
    )
    values = {
        "name": "drive", "video_sha256": "0" * 64, "labelled": True, "gaze_frame": "camera", "frames": frames,
        "has_road": False, "focal_factor": 1.0, "duration_s": 20.0, "requested": COUNT, "dropped": {"no_face": 2},
        "row_faults": {}, "sign_correlations": (0.9, -0.8),
    }  # fmt: skip
    return DriveRecord(**(values | changes))


def evaluation(predicted_deg) -> DriverEvaluation:
    """The evaluation of an estimator with these predictions; the baselines are worse than either of ours."""
    ways = {"model": predicted_deg, "constant": np.zeros((COUNT, 2)), "head pose": TRUTH_DEG * 0.4}
    ways |= {"bias": TRUTH_DEG + 5, "affine": TRUTH_DEG + 4}
    intervals = IntervalConfig(num_resamples=200)
    return DriverEvaluation(
        drive="drive", num_train=80, num_test=COUNT,
        errors={name: summarize(values, TRUTH_DEG, TIMES_S, intervals) for name, values in ways.items()},
        few_shot=(FewShot(method="bias", count=4, angular_deg=5.5, worst_draw_deg=9.5),),
        scenarios=(ScenarioRow(scenario="all", num_frames=COUNT, azimuth_deg=1, elevation_deg=1, angular_deg=1),),
        positions=tuple(range(COUNT)), times_s=tuple(TIMES_S), truth=tuple(map(tuple, TRUTH_DEG)),
        predicted={name: tuple(map(tuple, values)) for name, values in ways.items()}, intervals=intervals,
    )  # fmt: skip


BEFORE, AFTER = TRUTH_DEG + 6, TRUTH_DEG + NOISE_DEG
