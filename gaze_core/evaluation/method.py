"""Explanations of how the numbers of an evaluation report were measured."""

from gaze_core.evaluation.catalog import METRICS
from gaze_core.evaluation.report import EvaluationReport


def measurement_facts(report: EvaluationReport) -> list[tuple[str, str]]:
    """Terms of the metrics table with their explanations."""
    measured = [metric for name, metric in METRICS.items() if report.estimate(name).value is not None]
    return [
        (
            "redirected gaze",
            "The head of one frame keeps its camera, pose and expression and is rendered with the gaze of another frame, "
            f"its pair ({report.protocol.pairs}). The judge's prediction for the rendering is compared with that target "
            "gaze, turned into the frame's camera.",
        ),
        (
            "redirected head",
            "The head is rendered with the camera and pose of its pair; directions are compared, roll is not.",
        ),
        (
            "own labels",
            "A held-out frame is rendered from its own camera and codes and compared with the original on white.",
        ),
        (
            "disentanglement",
            "How far the judge's prediction of the head changes when only the target gaze does, and of the gaze in the "
            "head when only the target head pose does. The judge's own error is included.",
        ),
        *(
            [
                (
                    "gaze labels",
                    f"Estimates, expected to be off by {report.label_error_deg:.1f}° (mean over the target frames of what the "
                    "reader of the labels expects of itself). A difference below that may be the labels'.",
                )
            ]
            if report.label_error_deg is not None
            else []
        ),
        (
            "identity baseline",
            "The original image, returned unchanged, against the target, over the same pairs. A redirector must beat it.",
        ),
        (
            "constant prediction",
            "Always the mean of the subject's labels, which is the best prediction without looking at the image.",
        ),
        (
            "judge on originals",
            "The judge's error against the labels of recorded images. No redirector can be shown to be better than that.",
        ),
        ("averages", "Over pairs, then over subjects; PSNR is averaged in dB."),
        ("sources", "; ".join(f"{metric.title}: {metric.source}" for metric in measured) + "."),
    ]
