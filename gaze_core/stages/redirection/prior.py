"""The head prior: a GazeGaussian of many rendered people, from which a photograph's head is fitted."""

from pathlib import Path

from gaze_core.errors import MissingArtifact


def shipped_prior() -> Path:
    """The folder of the checkpoint that ships with the package.

    Raises:
        MissingArtifact: this installation has none.
    """
    raise MissingArtifact(
        "this installation has no head prior; give a checkpoint of several people with --checkpoint FOLDER (gazeworks "
        "redirect trains one), or turn the eyes only with --paste, which needs none"
    )
