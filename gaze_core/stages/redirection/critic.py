"""The gaze critic: the estimator in the gaze losses, which must not be the judge."""

from pathlib import Path

from gaze_core.artifacts import Sha256, file_sha256
from gaze_core.config import Config
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from gaze_core.evaluation.judge import CnnJudge
from gaze_core.losses.gaze import GazeCritic
from gaze_core.models.estimation.gaze_net import GazeNet, GazeNetConfig
from gaze_core.training.checkpoint import load_weights, read_card


class CriticConfig(Config):
    """Weights that `stages/judge/estimator.py` wrote; the checksum identifies them, whatever their path."""

    path: Path
    sha256: Sha256


def load_critic(config: CriticConfig) -> GazeCritic:
    """The frozen critic.

    Raises:
        BadInput: no such file, another checksum, or not the weights of a gaze estimator.
        ContractViolation: the critic is the judge.
    """
    if not config.path.is_file():
        raise BadInput(
            f"{config.path}: no such file; expected weights that gaze_core.stages.judge.estimator has written"
        )
    if (found := file_sha256(config.path)) != config.sha256:
        raise BadInput(f"{config.path}: sha256 {found}, expected {config.sha256}")
    if found[:12] == CnnJudge().digest:
        raise ContractViolation(
            f"{config.path}: these are the judge's weights; a model trained with its judge is measured by how well it "
            "pleases the judge; train another estimator on other people"
        )
    try:
        card = read_card(config.path, "estimator")
        network = GazeNet(GazeNetConfig.model_validate(card["config"]["network"]))
        network.load_state_dict(load_weights(config.path))
    except (KeyError, TypeError, RuntimeError, MissingArtifact, ContractViolation) as error:
        raise BadInput(f"{config.path}: not the weights of a gaze estimator ({error})") from error
    return GazeCritic(network.eval().requires_grad_(False))
