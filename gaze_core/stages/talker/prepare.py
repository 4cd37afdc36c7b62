"""Stage: makes a talker subject of a video with sound, or of a published subject's folder."""

from pathlib import Path

from gaze_core.artifacts import Produced, files_in, only_entry
from gaze_core.errors import BadInput
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.talker.film_faces import TalkerPrepareConfig
from gaze_core.talker.preparation import prepare_video
from gaze_core.talker.published import is_published, prepare_published

__all__ = ["NAME", "VERSION", "TalkerPrepareConfig", "run"]

NAME, VERSION = "talker_prepare", 1


def run(config: TalkerPrepareConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Writes the talker subject of what is in the folder `inputs["recording"]`: a video, or a published subject's folder.

    Raises:
        BadInput: the recording is neither, or is not usable; the message says why.
        MissingArtifact: the face landmarker is needed and not available.
    """
    recording: Path = only_entry(inputs["recording"])
    folder = context.work_dir / "subject"
    if recording.is_dir():
        if not is_published(recording):
            raise BadInput(
                f"{recording.name}: a folder without transforms_train.json and ori_imgs; expected a video, or a subject's "
                "folder as GaussianTalker reads it"
            )
        summary = prepare_published(recording, folder, config, context.progress)
    else:
        summary = prepare_video(recording, folder, config, context.progress)
    for note in summary.notes:
        context.logger.warning("%s: %s", recording.name, note)
    return Produced(
        kind="dataset",
        files=files_in(folder),
        metrics={"num_frames": float(summary.num_frames), "num_valid": float(summary.num_valid)},
        dropped=summary.dropped,
        notes=summary.notes,
        subjects={"train": (recording.stem,), "test": (recording.stem,)},
    )
