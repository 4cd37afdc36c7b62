"""Looking elsewhere: a photograph, a folder of them or a video, whose eyes (and head) are turned."""

from pathlib import Path

from prefect import flow

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Config, Runtime
from gaze_core.errors import BadInput
from gaze_core.plans.redirection import ADAPT_TO_PHOTO
from gaze_core.preprocess.images import images_in
from gaze_core.preprocess.video_config import VideoConfig
from gaze_core.stages.redirection.head_prior import HeadPriorConfig
from gaze_core.stages.redirection.invert import InvertConfig
from gaze_core.stages.redirection.look_head import LookHeadConfig
from gaze_core.stages.redirection.look_paste import LookPasteConfig
from gaze_core.stages.redirection.look_record import RECORD_FILE, LookRecord
from gaze_core.stages.redirection.preprocess import PreprocessConfig
from tasks.stage_task import tracked_flow
from tasks.stages.redirection import head_prior, invert, look_head, look_paste, preprocess_recording
from tasks.store.artifacts import Store
from tasks.store.recordings import import_recording, naming_users_file

_VIDEO_IMAGES = 4  # frames of a video to which the head is fitted


class LookHeadPlan(Config):
    """Configurations of preprocessing, fitting and rendering. Of several faces the largest is used."""

    preprocess: PreprocessConfig = PreprocessConfig(
        source="video", keep_back=False, video=VideoConfig(min_second_face=1.0)
    )
    invert: InvertConfig = ADAPT_TO_PHOTO
    look: LookHeadConfig


class Looked(Config):
    """What became of one picture or video: the folder of the results, or why there are none."""

    recording: Path
    folder: Path | None = None
    record: LookRecord | None = None
    fault: str = ""


@flow(name="look", persist_result=False)
def look(
    recording: Path,
    plan: LookPasteConfig | LookHeadPlan,
    checkpoint: ArtifactRef | None = None,
    runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
    force: tuple[str, ...] = (),
) -> tuple[Looked, ...]:
    """Turns the eyes of each picture, or renders its head with a `checkpoint` that is fitted to it (`LookHeadPlan`).

    Without a checkpoint the head prior that ships is fitted.
    Of a folder, pictures that cannot be used are named in the result; a single recording raises its error.
    """
    pictures = images_in(recording) if recording.is_dir() else [recording]
    parameters = {"plan": plan.model_dump(mode="json"), "checkpoint": checkpoint.digest() if checkpoint else ""}
    results = []
    with tracked_flow(parameters, force):
        for picture in pictures:
            try:
                results.append(_one(picture, plan, checkpoint, runtime))
            except BadInput as error:
                if len(pictures) == 1:
                    raise
                results.append(Looked(recording=picture, fault=str(error)))
    return tuple(results)


def _one(
    picture: Path, plan: LookPasteConfig | LookHeadPlan, checkpoint: ArtifactRef | None, runtime: Runtime
) -> Looked:  # fmt: skip
    store = Store.from_environment()
    imported = import_recording(picture)
    if isinstance(plan, LookPasteConfig):
        with naming_users_file(picture, imported):
            result = look_paste(imported, plan, runtime)
    else:
        known = checkpoint or head_prior(HeadPriorConfig.shipped(), runtime)
        data = preprocess_recording(picture, plan.preprocess, runtime)
        usable = int(store.manifest(data).metrics["num_train"])
        settings = plan.invert.model_copy(update={"num_images": min(_VIDEO_IMAGES, usable)})
        fitted = invert(known, None, data, settings, runtime)
        result = look_head(imported, data, fitted, plan.look, runtime)
    folder = store.fetch(result)
    record = LookRecord.model_validate_json((folder / RECORD_FILE).read_text())
    return Looked(recording=picture, folder=folder, record=record)
