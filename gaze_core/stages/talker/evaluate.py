"""Stage: measures a talking head on held-out time: pictures by region, mouth and sound, eyes and lids, speed."""

from pathlib import Path

from gaze_core.artifacts import Produced
from gaze_core.assets import find
from gaze_core.errors import ContractViolation
from gaze_core.evaluation.judge import CnnJudge
from gaze_core.evaluation.metric_networks import load_metric_networks
from gaze_core.evaluation.readers import READERS, reader, why_not
from gaze_core.models.talker.model import load_talker
from gaze_core.preprocess.images import write_png
from gaze_core.preprocess.landmarks import FaceLandmarker
from gaze_core.reproducibility import choose_device
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.talker.evaluation import TalkerEvaluateConfig, Tools, hardware_of
from gaze_core.talker.measuring import measure
from gaze_core.talker.renderer import Renderer
from gaze_core.talker.report import TalkerEvaluation
from gaze_core.talker.subject import TalkerSubject

NAME, VERSION = "talker_evaluate", 2
EVALUATION_FILE, SERIES_FILE = "talker_evaluation.json", "series.json"


def run(config: TalkerEvaluateConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Measures `inputs["checkpoint"]` on the held-out time of `inputs["data"]`.

    Raises:
        BadInput: too few frames with a face.
        ContractViolation: the checkpoint was trained on another subject's features.
        MissingArtifact: a network or reader that the configuration names is not on this machine.
    """
    subject = TalkerSubject(inputs["data"])
    model, info = load_talker(inputs["checkpoint"])
    info.require_features(subject)
    device = choose_device(context.runtime)
    renders = Renderer(model, subject, device, config.batch)
    evaluation, pictures, series = measure(
        subject.name, subject, subject.sound, subject.truth(), renders, config, _tools(config), hardware_of(device)
    )
    path = context.work_dir / EVALUATION_FILE
    path.write_text(evaluation.model_dump_json(indent=1))
    files = {EVALUATION_FILE: path, SERIES_FILE: series.write(context.work_dir / SERIES_FILE)}
    for name, image in pictures.strips.items():
        place = context.work_dir / f"{name}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        files[f"{name}.png"] = write_png(place, image)
    numbers = {name: value for name, value in evaluation.numbers.items() if value is not None}
    return Produced(kind="report", files=files, metrics=numbers, subjects={"test": (subject.name,)})


def read_talker_evaluation(folder: Path) -> TalkerEvaluation:
    """The evaluation that this stage wrote.

    Raises:
        ContractViolation: the folder has none.
    """
    try:
        return TalkerEvaluation.model_validate_json((folder / EVALUATION_FILE).read_text())
    except (OSError, ValueError) as error:
        raise ContractViolation(f"{folder}: no evaluation of a talking head ({error})") from error


def _tools(config: TalkerEvaluateConfig) -> Tools:
    networks = load_metric_networks(CnnJudge(), config.networks)
    absent = {"st_lpips": networks.absent["st_lpips"]} if "st_lpips" in networks.absent else {}
    landmarker = find("face_landmarker") if config.landmarks else None
    if landmarker is None:
        absent["mouth_distance"] = "the face landmark model is not on this machine"
    others = [name for name in READERS if name not in (*config.readers, "cnn")]
    return Tools(
        st_lpips=networks.st_lpips,
        landmarker=None if landmarker is None else FaceLandmarker(landmarker),
        readers={name: reader(name) for name in config.readers},
        readers_absent={name: why_not(name) or "not asked for" for name in others},
        absent=absent,
    )
