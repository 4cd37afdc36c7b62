"""Stage: compares a redirector after adapting with the one before, on the person and on somebody else."""

from pathlib import Path

from gaze_core.artifacts import Produced
from gaze_core.one_shot.report import OneShotComparison, OneShotTolerance, compare
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.one_shot.evaluate import read_one_shot_evaluation

NAME, VERSION = "one_shot_compare", 1
COMPARISON_FILE = "one_shot_comparison.json"


def run(config: OneShotTolerance, inputs: Inputs, context: StageContext) -> Produced:
    """Compares the evaluations `after` and `before`, and where given `other_after` and `other_before`."""
    found = {
        name: read_one_shot_evaluation(inputs[name]) if inputs.get(name) else None
        for name in ("other_after", "other_before")
    }
    after, before = (read_one_shot_evaluation(inputs[name]) for name in ("after", "before"))
    comparison = compare(after, before, found["other_after"], found["other_before"], config)
    path = context.work_dir / COMPARISON_FILE
    path.write_text(comparison.model_dump_json(indent=1))
    return Produced(
        kind="report",
        files={COMPARISON_FILE: path},
        metrics={f"gain_{name}": gain.value for name, gain in comparison.gains.items()},
    )


def read_one_shot_comparison(folder: Path) -> OneShotComparison:
    """The comparison that this stage wrote."""
    return OneShotComparison.model_validate_json((folder / COMPARISON_FILE).read_text())
