"""Face estimators as weights files: the model card, saving and loading."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gaze_core.config import Config, Runtime
from gaze_core.data.people import recording_key
from gaze_core.data.schema import SCHEMA_VERSION
from gaze_core.data.seen import Seen, require_unseen
from gaze_core.data.splits import Splits
from gaze_core.driver.faces import FaceLoader, predict
from gaze_core.driver.record import DriveRecord
from gaze_core.driver.view import DRIVER_FACE
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.models.estimation.face_estimator import FaceEstimator, FaceEstimatorConfig, import_gaze_tracker
from gaze_core.reproducibility import choose_device
from gaze_core.training.checkpoint import WEIGHTS_FILE, load_weights, read_card, save_weights

SeenFrames = Mapping[str, Sequence[tuple[int, int]]]  # sha256 of a video -> its stretches, as first and last frame
KIND = "face_estimator"  # the card's "stage": each stage here loads weights that any other stage wrote


def estimator_card(
    model: FaceEstimator, made_by: str, version: int, config: Config | None, normalization: Mapping[str, Any],
    trained_on: Mapping[str, Sequence[str]], seen_frames: SeenFrames | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The card of a weights file. `seen_frames`: frames of all videos on which it was trained or selected."""
    return {
        "stage": KIND,
        "made_by": made_by,
        "stage_version": version,
        "config": config.model_dump(mode="json") if config else {},
        "network": model.config.model_dump(mode="json"),
        "schema_version": SCHEMA_VERSION,
        "normalization": dict(normalization),
        "trained_on": {role: list(names) for role, names in trained_on.items()},
        "seen_frames": {video: [list(ends) for ends in stretches] for video, stretches in (seen_frames or {}).items()},
    }


def load_estimator(path: Path, runtime: Runtime = Runtime()) -> tuple[FaceEstimator, dict[str, Any]]:  # noqa: B008
    """The estimator of a weights file, or of a folder that holds one, and its card; `.pth` files are imported.

    Raises:
        BadInput: no such file, unreadable, of another network or of something else, or with weights that are not finite.
    """
    path = path / WEIGHTS_FILE if path.is_dir() else path
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a face estimator (.safetensors) or a gaze tracker (.pth)")
    if path.suffix.lower() in (".pth", ".pt"):
        model = import_gaze_tracker(path)
        card = estimator_card(model, "import", 1, None, DRIVER_FACE.model_dump(mode="json"), {})
    else:
        model, card = _load_safetensors(path)
    if not_finite := [name for name, tensor in model.state_dict().items() if not bool(torch.isfinite(tensor).all())]:
        raise BadInput(f"{path}: not finite: {', '.join(not_finite[:4])}; its training diverged, use other weights")
    return model.to(choose_device(runtime)).eval(), card


def _load_safetensors(path: Path) -> tuple[FaceEstimator, dict[str, Any]]:
    try:
        card = read_card(path, KIND)
        model = FaceEstimator(FaceEstimatorConfig.model_validate(card["network"]))
        model.load_state_dict(load_weights(path))
        if wrong := [name for name in ("normalization", "trained_on") if not isinstance(card.get(name), dict)]:
            raise ContractViolation(f"{path}: its card lacks {', '.join(wrong)}")
    except (MissingArtifact, ContractViolation, KeyError, AttributeError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0].removeprefix(f"{path}: ")
        raise BadInput(f"{path}: not a face estimator ({reason}); make one with: gazeworks driver pretrain") from error
    return model, card


def frames_seen(card: Mapping[str, Any], record: DriveRecord, splits: Splits) -> SeenFrames:
    """Frames seen by the estimator of `card` after fine-tuning on a drive: training frames, and those that chose its epoch."""
    numbers = [frame.frame for frame in record.frames]
    stretches = [
        (numbers[run[0]], numbers[run[-1]]) for part in (splits.train, splits.validation) for run in _runs(part)
    ]
    before = card.get("seen_frames", {})
    return before | {record.video_sha256: [*before.get(record.video_sha256, []), *stretches]}


def require_unseen_frames(card: Mapping[str, Any], record: DriveRecord, splits: Splits) -> None:
    """Refuses to evaluate an estimator on frames that it, or an estimator it was fine-tuned from, was trained on.

    Raises:
        ContractViolation: with the number of such frames; also if the card, of an earlier version, does not record them.
    """
    if "seen_frames" not in card and record.name in card["trained_on"].get("train", []):
        raise ContractViolation(f"{record.name}: the estimator was trained on it, but its card does not name the frames; "
                                "fine-tune it again")  # fmt: skip
    test = [(record.frames[position].frame, 0) for position in splits.test]
    require_unseen("the estimator", _seen(card), recording_key(record.video_sha256), test)


def _seen(card: Mapping[str, Any]) -> Seen:
    stretches = card.get("seen_frames", {})
    return Seen(frames={recording_key(video): [(0, *ends) for ends in runs] for video, runs in stretches.items()})


def _runs(positions: Sequence[int]) -> list[list[int]]:
    """Runs of consecutive positions."""
    runs: list[list[int]] = []
    for position in sorted(positions):
        if runs and position == runs[-1][-1] + 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    return runs


def save_estimator(path: Path, model: FaceEstimator, card: Mapping[str, Any]) -> None:
    """Writes weights with their card."""
    save_weights(path, model, card)


def error_deg(model: FaceEstimator, faces: FaceLoader, items: Sequence[int]) -> float:
    """Mean angular error on these samples."""
    labels = torch.from_numpy(faces.labels["gaze_camera"])[list(items)].float()
    return float(angular_error_deg(predict(model, faces, items), labels).mean())
