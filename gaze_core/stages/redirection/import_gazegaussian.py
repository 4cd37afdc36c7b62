"""Imports the checkpoint of GazeGaussian's authors as an artifact for `sample` and `evaluate`."""

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._weights_only_unpickler import UnpicklingError  # type: ignore[attr-defined]  # what torch.load raises
from torch.serialization import get_unsafe_globals_in_checkpoint

from gaze_core.artifacts import Manifest, file_sha256
from gaze_core.errors import BadInput, NoSpace
from gaze_core.models.official.frames import OfficialConfig, eye_corners_dm, to_our_axes
from gaze_core.models.official.gaze_gaussian import OfficialGazeGaussian
from gaze_core.models.official.layout import TRAINING_TABLES, translate
from gaze_core.preprocess.head_pose import CORNERS_TO_CENTER_M
from gaze_core.stages.redirection.official_checkpoint import require_tables, write_artifact

NETWORK_KEY = "gazegaussian"
# Key of the same weights before the authors' script renamed them for publication.
_ALTERNATIVE_NETWORK_KEY = "gaussianhead"
_EXPECTED = (
    f"expected the published GazeGaussian checkpoint (gazegaussian_ckp.pth), a torch file of plain tensors with "
    f"{', '.join([NETWORK_KEY, *TRAINING_TABLES])}"
)


def import_gazegaussian(checkpoint: Path, out: Path, config: OfficialConfig) -> Manifest:
    """Writes the artifact to `out` atomically.

    Args:
        checkpoint: the published file, read as plain tensors; code in it is refused, not run.
        out: a folder that does not exist, or is empty.
        config: how the model will be used.

    Raises:
        BadInput: `checkpoint` is another file, or `out` is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: is there already; expected a new or empty folder for the artifact")
    content = read_checkpoint(checkpoint)
    model = model_of(content[NETWORK_KEY], config, str(checkpoint))
    tables = {name: content[name].detach().float().contiguous() for name in TRAINING_TABLES}
    source = {"file": checkpoint.name, "sha256": file_sha256(checkpoint), "bytes": checkpoint.stat().st_size}
    work = out.parent / f".{out.name}.{os.getpid()}.tmp"
    try:
        work.mkdir(parents=True)
        manifest = write_artifact(work, model, tables, source)
        os.replace(work, out)
    except NoSpace:
        raise
    except OSError as error:
        raise BadInput(f"{out}: cannot be written ({error.strerror}); name a folder on a disk with room") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def model_of(state: dict[str, Tensor], config: OfficialConfig, where: str) -> OfficialGazeGaussian:
    """The model with these published weights, ready for use.

    Raises:
        BadInput: the state dict is not that of the published model; the message lists every difference.
    """
    ours = translate(state, where, config.raster_px)
    model = OfficialGazeGaussian(config, len(ours["face.means_dm"]), len(ours["eyes.means_dm"]))
    missing, unexpected = model.load_state_dict(ours, strict=False)
    assert not unexpected
    assert set(missing) <= {"origin_m", "face.near", "eyes.near"}
    model.precompute(_head_origin_m(model.eyes.landmarks_dm, config))
    return model.eval()


def _head_origin_m(eye_landmarks_dm: Tensor, config: OfficialConfig) -> Tensor:
    """The midpoint of the eyeball centres of the model's neutral face, as in converted files."""
    corners_m = to_our_axes(eye_corners_dm(eye_landmarks_dm), config.scale).mean(dim=1)
    offsets_m = torch.stack([torch.from_numpy(offset) for offset in CORNERS_TO_CENTER_M]).to(corners_m)
    return (corners_m + offsets_m).mean(dim=0)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of the published file.

    Raises:
        BadInput: no such file, another file, or one that would run code when loaded.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; {_EXPECTED}")
    if not zipfile.is_zipfile(path):
        raise BadInput(f"{path}: not a torch file, or truncated; {_EXPECTED}")
    try:
        if code := get_unsafe_globals_in_checkpoint(path):
            raise BadInput(f"{path}: would run code when loaded ({', '.join(sorted(code))}); refused; {_EXPECTED}")
        content = torch.load(path, weights_only=True, map_location="cpu")
    except (RuntimeError, UnpicklingError, EOFError, KeyError) as error:
        first = str(error).partition("\n")[0]
        raise BadInput(f"{path}: not readable as a torch file ({first}); {_EXPECTED}") from error
    return _unwrapped(content, path)


def _unwrapped(content: object, path: Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise BadInput(f"{path}: holds a {type(content).__name__}; {_EXPECTED}")
    if "meshhead" in content:
        raise BadInput(f"{path}: holds GazeGaussian's first stage (MeshHead); {_EXPECTED}")
    if NETWORK_KEY not in content and _ALTERNATIVE_NETWORK_KEY in content:
        content = content | {NETWORK_KEY: content[_ALTERNATIVE_NETWORK_KEY]}
    if not isinstance(content.get(NETWORK_KEY), dict):
        found = ", ".join(sorted(map(str, content))[:6])
        raise BadInput(f"{path}: no {NETWORK_KEY!r} in it (found {found or 'nothing'}); {_EXPECTED}")
    if faults := require_tables(content):
        raise BadInput(f"{path}: {'; '.join(faults)}; {_EXPECTED}")
    return content
