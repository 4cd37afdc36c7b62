"""The toy system's stage: counts letters."""

from gaze_core.artifacts import MANIFEST_FILE, Produced
from gaze_core.stages.context import Inputs, StageContext
from tests.toy.plan import CountConfig

VERSION = 1


def run(config: CountConfig, inputs: Inputs, context: StageContext) -> Produced:
    (text,) = (path for path in inputs["text"].iterdir() if path.name != MANIFEST_FILE)
    count = min(config.limit, len(text.read_text()))
    (context.work_dir / "count.txt").write_text(str(count))
    return Produced("report", {"count.txt": context.work_dir / "count.txt"}, {"letters": float(count)})
