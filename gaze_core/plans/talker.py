"""The plan of a talker's run, from a preset, options, a settings file and `--set`."""

from collections.abc import Mapping
from pathlib import Path

from gaze_core.errors import BadInput
from gaze_core.evaluation.metric_networks import available
from gaze_core.evaluation.readers import available_readers
from gaze_core.plans.preflight import Plan
from gaze_core.plans.settings import lookup, validated
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


def _tiny(coarse_steps: int, fine_steps: int) -> TalkerPlan:
    return TalkerPlan(
        coarse=TalkerCoarseConfig(num_steps=coarse_steps), fine=TalkerFineConfig(num_steps=fine_steps)
    )  # fmt: skip


PRESETS: dict[str, TalkerPlan] = {
    "demo": _tiny(300, 1000),
    "tiny": _tiny(300, 2500),
    "small": _tiny(600, 4000),
    "published": TalkerPlan(coarse=TalkerCoarseConfig.published(), fine=TalkerFineConfig.published()),
}
"""Length of the training; the first three have the tiny network, and `published` the published one, with a gaze added."""


def talker_plan(preset: str, audio: str = "log_mel") -> TalkerPlan:
    """The plan of a preset with these audio features, and with every network and reader that is on this machine.

    Raises:
        BadInput: an unknown preset, or unknown audio features.
    """
    values = lookup("preset", preset, PRESETS).model_dump(mode="json")
    values["prepare"]["audio"] = audio
    values["evaluate"]["networks"] = [name for name in available() if name == "st_lpips"]
    values["evaluate"]["readers"] = [name for name in available_readers() if name != "cnn"]
    return validated(TalkerPlan, values)
