"""Stage: compares an estimator after fine-tuning with the one before and with every baseline."""

from pathlib import Path

from gaze_core.artifacts import Produced
from gaze_core.driver.report import DriverComparison, DriverTolerance, compare
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.driver.evaluate import read_driver_evaluation

NAME, VERSION = "driver_compare", 2
COMPARISON_FILE = "driver_comparison.json"


def run(config: DriverTolerance, inputs: Inputs, context: StageContext) -> Produced:
    """Compares `inputs["after"]` with `inputs["before"]`, both evaluations."""
    after, before = (read_driver_evaluation(inputs[name]) for name in ("after", "before"))
    comparison = compare(after, before, config)
    path = context.work_dir / COMPARISON_FILE
    path.write_text(comparison.model_dump_json(indent=1))
    metrics = {f"reduction_{name}": value for name, value in comparison.reduction.items()}
    return Produced(kind="report", files={COMPARISON_FILE: path}, metrics=metrics)


def read_driver_comparison(folder: Path) -> DriverComparison:
    """The comparison that this stage wrote."""
    return DriverComparison.model_validate_json((folder / COMPARISON_FILE).read_text())
