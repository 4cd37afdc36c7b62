"""Exports a trained GazeGaussian to a folder for `mlflow models serve`."""

import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from gaze_core.data.validation import require_valid
from gaze_core.errors import BadInput
from gaze_core.training.checkpoint import WEIGHTS_FILE

CODE_FILE = Path(__file__).with_name("model.py")
SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            ColSpec(DataType.long, "frame"),
            ColSpec(DataType.double, "gaze_pitch_deg"),
            ColSpec(DataType.double, "gaze_yaw_deg"),
            ColSpec(DataType.double, "head_pitch_deg", required=False),
            ColSpec(DataType.double, "head_yaw_deg", required=False),
        ]
    ),
    outputs=Schema(
        [
            ColSpec(DataType.string, "image_png_base64"),
            ColSpec(DataType.long, "width_px"),
            ColSpec(DataType.long, "height_px"),
        ]
    ),
)
EXAMPLE = {"frame": 0, "gaze_pitch_deg": 0.0, "gaze_yaw_deg": 20.0}


def save_served_model(checkpoint: Path, recording: Path, folder: Path) -> Path:
    """Writes an MLflow model of the weights in `checkpoint` and the subject file `recording` to a new `folder`.

    Raises:
        BadInput: `folder` is there already, or the recording is not a subject file.
    """
    if folder.exists():
        raise BadInput(f"{folder}: exists already; expected the name of a new folder")
    require_valid(recording)
    with tempfile.TemporaryDirectory() as staging:
        # Copied alone: other files beside them in the store are not part of the model.
        parts = {"checkpoint": checkpoint / WEIGHTS_FILE, "recording": recording}
        for name, source in parts.items():
            (Path(staging) / name).mkdir()
            shutil.copyfile(source, Path(staging) / name / source.name)
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(CODE_FILE),
            artifacts={name: str(Path(staging) / name) for name in parts},
            signature=SIGNATURE,
            input_example=pd.DataFrame([EXAMPLE]),
            pip_requirements=[_requirement()],
        )
    return folder


def _requirement() -> str:
    try:
        return f"gazeworks=={version('gazeworks')}"
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "gazeworks"
