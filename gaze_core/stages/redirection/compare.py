"""Stage: compares a candidate with a baseline on the same samples, given a tolerance."""

from pathlib import Path

from gaze_core.artifacts import Produced
from gaze_core.evaluation.comparison import compare, copy_as_baseline
from gaze_core.evaluation.report import Comparison, EvaluationReport, Tolerance
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.redirection.evaluate import EVALUATION_FILE

NAME, VERSION = "compare", 2
COMPARISON_FILE = "comparison.json"


def run(config: Tolerance, inputs: Inputs, context: StageContext) -> Produced:
    """Compares `inputs["candidate"]` with `inputs["baseline"]`, both evaluations.

    Without `inputs["baseline"]`, the candidate is compared with the identity baseline, which returns the recorded images.
    """
    candidate = read_evaluation(inputs["candidate"])
    baseline = read_evaluation(inputs["baseline"]) if inputs.get("baseline") else copy_as_baseline(candidate)
    comparison = compare(candidate, baseline, config)
    path = context.work_dir / COMPARISON_FILE
    path.write_text(comparison.model_dump_json(indent=1))
    return Produced(kind="report", files={COMPARISON_FILE: path})


def read_evaluation(folder: Path) -> EvaluationReport:
    """The report that the evaluate stage wrote."""
    return EvaluationReport.model_validate_json((folder / EVALUATION_FILE).read_text())


def read_comparison(folder: Path) -> Comparison:
    """The comparison that this stage wrote."""
    return Comparison.model_validate_json((folder / COMPARISON_FILE).read_text())
