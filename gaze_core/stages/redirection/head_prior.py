"""Stage: the head prior that ships with the package, as a checkpoint that `invert` adapts to a person.

It is a GazeGaussian of rendered people (`synthesis/prior_people.py`) in half precision. What it knows of heads, what moves
with what and how eyeballs and lids go, need not be learned from a recording that shows one side of one head. It was made
by these commands:

    python -m gaze_core.synthesis.prior_people around people
    gazeworks redirect --source synthetic --input people/training --test people/test --preset tiny --no-baseline \\
        --config benchmarks/head_prior.yaml --out reports/head_prior
    python -m gaze_core.stages.redirection.head_prior CHECKPOINT   # the candidate's folder, which that run prints

`docs/decisions/0012-head-prior.md` has the reasons and the results.
"""

import argparse
import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from gaze_core.artifacts import Produced, file_sha256
from gaze_core.atomic import replacing
from gaze_core.config import Config
from gaze_core.data.seen import Seen
from gaze_core.errors import BadInput, MissingArtifact
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.redirection import gaze_gaussian
from gaze_core.training.checkpoint import WEIGHTS_FILE, load_weights, read_card, save_weights

NAME, VERSION = "head_prior", 1


class HeadPriorConfig(Config):
    """The shipped file by its content, so that other weights are another checkpoint."""

    sha256: str

    @classmethod
    def shipped(cls) -> "HeadPriorConfig":
        """That of this installation.

        Raises:
            MissingArtifact: the installation has no head prior.
        """
        return cls(sha256=file_sha256(shipped_file()))


def shipped_file() -> Path:
    """The weights inside the package.

    Raises:
        MissingArtifact: the installation has none.
    """
    path = Path(str(files("gaze_core.models") / "weights" / "head_prior.safetensors"))
    if not path.is_file():
        raise MissingArtifact(
            f"{path}: the installation lacks its head prior; install the package anew, or --start scratch"
        )
    return path


def card() -> dict[str, Any]:
    """The card of the shipped head prior: image size, training people, settings."""
    return read_card(shipped_file(), gaze_gaussian.NAME)


def run(config: HeadPriorConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Writes the shipped weights in full precision.

    Raises:
        BadInput: the package holds another head prior than the configured one.
    """
    path = shipped_file()
    if (found := file_sha256(path)) != config.sha256:
        raise BadInput(
            f"{path}: sha256 {found[:12]}, expected {config.sha256[:12]}; run again with this installation's"
        )
    model, known = gaze_gaussian.load_file(path)
    save_weights(context.work_dir / WEIGHTS_FILE, model, known)
    seen = Seen.of_card(known)
    return Produced(
        kind="checkpoint",
        files={WEIGHTS_FILE: context.work_dir / WEIGHTS_FILE},
        normalization=known["normalization"],
        subjects={"train": tuple(sorted({*seen.people, *seen.frames}))},
    )


def main(arguments: list[str]) -> None:
    """Writes a trained checkpoint to the package in half precision."""
    parser = argparse.ArgumentParser(prog="python -m gaze_core.stages.redirection.head_prior")
    parser.add_argument("checkpoint", type=Path, help="folder of a trained GazeGaussian")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "models/weights/head_prior.safetensors")
    given = parser.parse_args(arguments)
    source = given.checkpoint / WEIGHTS_FILE
    tensors = {name: _half(tensor) for name, tensor in load_weights(source).items()}
    known = read_card(source, gaze_gaussian.NAME, gaze_gaussian.VERSION)
    with replacing(given.out) as partial:
        save_file(tensors, partial, metadata={"card": json.dumps(known, sort_keys=True)})


def _half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()


if __name__ == "__main__":
    main(sys.argv[1:])
