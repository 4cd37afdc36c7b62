"""Reports with given values, for tests of comparisons and pages."""

import numpy as np

from gaze_core.evaluation.intervals import Bootstrap, Estimate, estimate
from gaze_core.evaluation.report import (
    AngleRow,
    Check,
    DistanceRow,
    EvaluationReport,
    ProtocolRecord,
    Row,
    SubjectValues,
)

COUNT = 40
FAULT = Check(
    name="gaze of the renderings", question="?", unit="°", value=30.0, rival=4.0, rival_name="yaw is mirrored",
    margin=Estimate(value=-26, low=-28, high=-24, num_samples=COUNT, num_subjects=1), verdict="fault",
)  # fmt: skip
ABSENT = {"kid": Estimate(absent="no weights of Inception")}


def report(gaze_deg, psnr_db, judge_digest="a" * 12, targets=None, subjects=1, checks=(), head_deg=None):
    """A report with these values of each pair, in equal parts for each subject; None is an unreadable image."""

    def parts(values):
        size = COUNT // subjects
        return [tuple(values[k * size : (k + 1) * size]) for k in range(subjects)]

    def mean(values):
        arrays = [np.array([np.nan if v is None else v for v in part], dtype=float) for part in parts(values)]
        return estimate(arrays, Bootstrap())

    copied = {"gaze_error_deg": (25.0,) * COUNT, "psnr_db": (14.0,) * COUNT}
    model = {"gaze_error_deg": gaze_deg, "psnr_db": psnr_db} | ({"head_error_deg": head_deg} if head_deg else {})
    indices = zip(parts(range(COUNT)), parts(targets or [*range(1, COUNT), 0]), strict=True)
    return EvaluationReport(
        protocol=ProtocolRecord(name="synthetic", title="Test", pairs="seed 0", differs=("all of it",)),
        num_samples=COUNT,
        num_unreadable=sum(value is None for value in gaze_deg),
        rows=tuple(
            Row(name=name, estimates=absent | {metric: mean(values) for metric, values in row.items()})
            for name, row, absent in (
                ("model", model, ABSENT), ("copy", copied, {}), ("constant", {}, {}), ("floor", {}, {})
            )
        ),
        by_angle=(AngleRow(pitch_deg=0, yaw_deg=-25, gaze_error_deg=Estimate(absent="nothing")),),
        by_distance=(
            DistanceRow(
                low_deg=0, high_deg=10, moved_deg=6.0, gaze_error_deg=mean(gaze_deg),
                identity_copy_gaze_error_deg=Estimate(value=6.0, num_samples=2),
            ),
            DistanceRow(
                low_deg=45, high_deg=180, moved_deg=None, gaze_error_deg=Estimate(absent="nothing"),
                identity_copy_gaze_error_deg=Estimate(absent="nothing"),
            ),
        ),
        checks=checks,
        judge_name="fake",
        judge_digest=judge_digest,
        instruments={},
        bootstrap=Bootstrap(),
        subjects=tuple(
            SubjectValues(
                subject=f"s{k}", input_index=tuple(inputs), target_index=tuple(ours), moved_deg=(25.0,) * len(inputs),
                values={
                    name: {metric: parts(values)[k] for metric, values in row.items()}
                    for name, row in (("model", model), ("copy", copied))
                },
            )
            for k, (inputs, ours) in enumerate(indices)
        ),
    )  # fmt: skip
