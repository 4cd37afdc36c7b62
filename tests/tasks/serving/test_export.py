"""A trained head as an MLflow model: saved without a pickle, loaded in another process, rendered with a target gaze."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import cv2
import mlflow
import numpy as np
import pytest

from gaze_core.errors import BadInput
from tasks.serving.export import EXAMPLE, SIGNATURE, save_served_model
from tests.faults.conftest import ROOT
from tests.gaze_core.stages.redirection.tiny_run import train, write_dataset


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder."""
    root = tmp_path_factory.mktemp("serving")
    write_dataset(root)
    for stage in ("mesh_head", "gaze_gaussian"):
        train(stage, root, root / stage)
    return save_served_model(root / "gaze_gaussian", root / "data" / "subject.h5", root / "model")


def image(answer: dict) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(answer["image_png_base64"]), np.uint8), cv2.IMREAD_COLOR)


def ask(model, *rows: dict) -> list[dict]:
    import pandas as pd

    return model.predict(pd.DataFrame(list(rows))).to_dict("records")


def test_a_request_gets_one_image_per_row(served: Path) -> None:
    model = mlflow.pyfunc.load_model(str(served))
    ahead, aside, turned = ask(
        model,
        {"frame": 0, "gaze_pitch_deg": 0.0, "gaze_yaw_deg": 0.0, "head_pitch_deg": np.nan, "head_yaw_deg": np.nan},
        {"frame": 0, "gaze_pitch_deg": 0.0, "gaze_yaw_deg": 30.0, "head_pitch_deg": np.nan, "head_yaw_deg": np.nan},
        {"frame": 0, "gaze_pitch_deg": 0.0, "gaze_yaw_deg": 0.0, "head_pitch_deg": 0.0, "head_yaw_deg": 25.0},
    )
    assert image(ahead).shape == (ahead["height_px"], ahead["width_px"], 3) == (32, 32, 3)
    assert not np.array_equal(image(ahead), image(aside))
    assert not np.array_equal(image(ahead), image(turned))
    assert model.metadata.signature == SIGNATURE


def test_nothing_in_the_folder_is_a_pickle(served: Path) -> None:
    made_by_loading = "__pycache__"
    kinds = {path.suffix for path in served.rglob("*") if path.is_file() and path.parent.name != made_by_loading}
    assert kinds <= {"", ".py", ".yaml", ".yml", ".txt", ".safetensors", ".jsonl", ".h5", ".json"}
    assert not list(served.rglob("splits.json"))  # only the recording itself, and nothing that lay beside it


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"frame": 99}, "frame 99: the recording has 12 usable frames"),
        ({"frame": -1}, "frame -1"),
        ({"gaze_yaw_deg": 75.0}, "gaze_yaw_deg 75: expected at most 60 degrees to either side"),
        ({"gaze_yaw_deg": float("nan")}, "expected two numbers"),
        ({"head_pitch_deg": 3.0}, "expected both or neither"),
    ],
)
def test_a_bad_request_says_what_is_expected(served: Path, row: dict, message: str) -> None:
    whole = {"frame": 0, "gaze_pitch_deg": 0.0, "gaze_yaw_deg": 0.0}
    with pytest.raises(BadInput, match=message):
        ask(mlflow.pyfunc.load_model(str(served)), whole | row)


def test_the_scoring_server_answers_json(served: Path) -> None:
    """Runs the server of `mlflow models serve` in its own process and sends a client's request."""
    script = (
        "import sys, mlflow\n"
        "from fastapi.testclient import TestClient\n"
        "from mlflow.pyfunc.scoring_server import init\n"
        "client = TestClient(init(mlflow.pyfunc.load_model(sys.argv[1])))\n"
        "answer = client.post('/invocations', content=sys.argv[2], headers={'Content-Type': 'application/json'})\n"
        "print(answer.status_code, answer.text)\n"
    )
    request = json.dumps({"dataframe_records": [EXAMPLE]})
    command = [sys.executable, "-c", script, str(served), request]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    status, _, body = done.stdout.strip().splitlines()[-1].partition(" ")
    assert status == "200", body
    (answer,) = json.loads(body)["predictions"]
    assert image(answer).shape == (32, 32, 3)


def test_a_folder_that_is_there_is_not_overwritten(served: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="exists already"):
        save_served_model(tmp_path, tmp_path / "subject.h5", served)
