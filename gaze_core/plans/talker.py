"""The plan of a talker's run, from a preset, options, a settings file and `--set`."""

from collections.abc import Mapping
from pathlib import Path

from gaze_core.errors import BadInput
from gaze_core.plans.preflight import Plan
from gaze_core.stages.talker.coarse import TalkerCoarseConfig
from gaze_core.stages.talker.fine import TalkerFineConfig
from gaze_core.stages.talker.prepare import TalkerPrepareConfig
from gaze_core.stages.talker.render import TalkerRenderConfig
from gaze_core.talker.evaluation import TalkerEvaluateConfig
from gaze_core.talker.report import TalkerTolerance
from gaze_core.talker.subject import SUBJECT_FILE, TalkerSubject


class TalkerPlan(Plan):
    """Everything that decides the result of a run."""

    prepare: TalkerPrepareConfig = TalkerPrepareConfig()
    coarse: TalkerCoarseConfig = TalkerCoarseConfig()
    fine: TalkerFineConfig = TalkerFineConfig()
    render: TalkerRenderConfig = TalkerRenderConfig()
    evaluate: TalkerEvaluateConfig = TalkerEvaluateConfig()
    tolerance: TalkerTolerance = TalkerTolerance()

    def require_ready(self, inputs: Mapping[str, Path]) -> None:
        """Checks that the recording is there, and that a prepared subject is whole."""
        recording = inputs["recording"]
        if not recording.exists():
            raise BadInput(f"{recording}: no such file or folder; expected a video with sound, or a subject")
        if is_subject(recording):
            TalkerSubject(recording)


def is_subject(recording: Path) -> bool:
    """Whether this is a folder of `gazeworks talker prepare`."""
    return (recording / SUBJECT_FILE).is_file()
