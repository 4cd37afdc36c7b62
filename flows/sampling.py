"""`gazeworks sample`: renders images of a trained model, without a server, in seconds."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from flows.references import checkpoint_folder
from gaze_core.artifacts import MANIFEST_FILE, Manifest
from gaze_core.config import Runtime
from gaze_core.data.splits import SPLITS_FILE, read_splits
from gaze_core.data.subjects import SUBJECT_FILE
from gaze_core.data.validation import require_valid
from gaze_core.errors import BadInput
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import sample
from tasks.store.artifacts import Store


def render_samples(
    checkpoint: Path, recording: Path | None, overrides: dict[str, Any], out: Path, runtime: Runtime
) -> Path:
    """Writes the images of `stages/redirection/sample.py` to `out` and returns the contact sheet.

    Args:
        checkpoint: the folder of a trained GazeGaussian, or of a report, of which the candidate is rendered.
        recording: a subject file; None for the first person of the model's training data.
        overrides: fields of `SampleConfig`.
        out: folder of the images.
        runtime: how to compute.

    Raises:
        BadInput: a path is not what it should be.
        MissingArtifact: the model or its recording is no longer in the store.
    """
    folder = checkpoint_folder(checkpoint)
    source = recording_file(folder) if recording is None else recording
    if recording is not None:  # the model's own was validated before training
        require_valid(recording)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        data = Path(work) / "data"
        data.mkdir()
        shutil.copyfile(source, data / SUBJECT_FILE)
        context = StageContext(runtime, Path(work))
        produced = sample.run(sample.SampleConfig(**overrides), {"checkpoint": folder, "data": data}, context)
        for name, path in produced.files.items():
            shutil.move(path, out / name)
    return out / sample.SHEET_FILE


def recording_file(checkpoint: Path) -> Path:
    """The subject file on which a model was trained, of its first person."""
    if not (checkpoint / MANIFEST_FILE).is_file():
        raise BadInput(
            f"{checkpoint}: has no {MANIFEST_FILE} that names its recording; give one with --input SUBJECT.h5"
        )
    parents = Manifest.read(checkpoint).parents
    if "data" not in parents:  # imported, not trained here
        raise BadInput(f"{checkpoint}: its {MANIFEST_FILE} names no recording; give one with --input SUBJECT.h5")
    data = Store.from_environment().fetch(parents["data"])
    return data / read_splits(data / SPLITS_FILE).subjects[0].file
