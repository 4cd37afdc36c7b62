"""Stage: compares a talking head with another one, or with the nearest training frame where there is none."""

from pathlib import Path

from gaze_core.artifacts import Produced
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.talker.evaluate import read_talker_evaluation
from gaze_core.talker.report import TalkerComparison, TalkerTolerance, compare

NAME, VERSION = "talker_compare", 1
COMPARISON_FILE = "talker_comparison.json"


def run(config: TalkerTolerance, inputs: Inputs, context: StageContext) -> Produced:
    """Compares the evaluations `inputs["candidate"]` and, where there is one, `inputs["baseline"]`.

    Raises:
        ContractViolation: the two were not measured on the same frames.
    """
    candidate = read_talker_evaluation(inputs["candidate"])
    baseline = read_talker_evaluation(inputs["baseline"]) if inputs.get("baseline") else None
    comparison = compare(candidate, baseline, config)
    path = context.work_dir / COMPARISON_FILE
    path.write_text(comparison.model_dump_json(indent=1))
    metrics = {f"gain_{gain.metric}": gain.value for gain in comparison.gains}
    return Produced(kind="report", files={COMPARISON_FILE: path}, metrics=metrics)


def read_talker_comparison(folder: Path) -> TalkerComparison:
    """The comparison that this stage wrote."""
    return TalkerComparison.model_validate_json((folder / COMPARISON_FILE).read_text())
