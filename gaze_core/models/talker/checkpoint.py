"""A talking head on disk: `model.safetensors` and `talker.json`, in the folder `talker` of a checkpoint."""

from pathlib import Path
from typing import Any, Protocol

from numpy import ndarray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gaze_core.config import Config
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from gaze_core.models.talker.config import TalkerConfig
from gaze_core.models.talker.network import TRAINING_ONLY, Stage, TalkerModel

FOLDER, MODEL_FILE, INFO_FILE = "talker", "model.safetensors", "talker.json"
FORMAT = 1


class AudioFacts(Protocol):
    """Of a subject's facts, what says how its audio features were made."""

    @property
    def audio_extractor(self) -> str: ...

    @property
    def audio_rate_hz(self) -> float: ...


class Features(Protocol):
    """A subject's audio features, (frames, window, width), and how they were made."""

    @property
    def audio(self) -> ndarray: ...

    @property
    def facts(self) -> AudioFacts: ...


class AudioFormat(Config):
    """What the audio features are: extractor, rate, and the shape of a window."""

    extractor: str
    rate_hz: float
    window: int
    width: int

    @classmethod
    def of(cls, subject: Features) -> "AudioFormat":
        """That of a subject."""
        _, window, width = subject.audio.shape
        facts = subject.facts
        return cls(extractor=facts.audio_extractor, rate_hz=facts.audio_rate_hz, window=window, width=width)


class TalkerInfo(Config):
    """What a talking head is, and what it was trained on."""

    format: int = FORMAT
    stage: Stage
    config: TalkerConfig
    audio: AudioFormat
    intrinsics_px: tuple[tuple[float, ...], ...]
    size_px: tuple[int, int]  # width, height
    eye_centres_m: tuple[tuple[float, ...], ...]
    num_head_points: int
    subject_digest: str = ""
    training_frames: int = 0

    def require_features(self, subject: Features) -> None:
        """Refuses a subject whose audio features are of another kind.

        Raises:
            BadInput: extractor, rate, window or width differ.
        """
        self.require_format(AudioFormat.of(subject), "the subject")

    def require_format(self, found: AudioFormat, where: str) -> None:
        """The same for features that no subject holds.

        Raises:
            BadInput: extractor, rate, window or width differ.
        """
        different = [
            f"{name} is {getattr(found, name)!r}, expected {getattr(self.audio, name)!r}"
            for name in AudioFormat.model_fields
            if getattr(found, name) != getattr(self.audio, name)
        ]
        if different:
            raise BadInput(
                f"{where}: audio features that the head was not trained on: {', '.join(different)}; make them with the same "
                "extractor, or train a head on these features"
            )


def save_talker(folder: Path, model: TalkerModel, info: TalkerInfo) -> dict[str, Path]:
    """Writes both files; returns them by their names in an artifact."""
    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.cpu().contiguous() for name, value in _kept(model).items()}
    save_file(tensors, target / MODEL_FILE)
    (target / INFO_FILE).write_text(info.model_dump_json(indent=1))
    return {f"{FOLDER}/{name}": target / name for name in (MODEL_FILE, INFO_FILE)}


def load_talker(folder: Path) -> tuple[TalkerModel, TalkerInfo]:
    """The head in an artifact, or in its `talker` folder, on the CPU and in evaluation mode.

    Raises:
        MissingArtifact: there is no readable talking head.
        ContractViolation: the weights do not fit the configuration, or the format is another one.
    """
    place = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    info = read_info(place)
    try:
        tensors = load_file(place / MODEL_FILE)
    except (OSError, SafetensorError) as error:
        raise MissingArtifact(f"{place}: no readable {MODEL_FILE} ({error}); train the talking head again") from error
    model = TalkerModel(info.config, info.audio.width, info.num_head_points)
    model.stage = info.stage
    expected = _kept(model)
    wrong = sorted(set(expected) ^ set(tensors)) + [
        name for name in expected if name in tensors and expected[name].shape != tensors[name].shape
    ]
    if wrong:
        raise ContractViolation(f"{place}: weights that do not fit {INFO_FILE}: {', '.join(wrong[:5])}; train it again")
    model.load_state_dict({name: tensors.get(name, value) for name, value in model.state_dict().items()})
    return model.eval(), info


def _kept(model: TalkerModel) -> dict[str, Tensor]:
    """What is written: not empty sets, which the format cannot hold, nor what only training reads."""
    state: dict[str, Any] = model.state_dict()
    return {name: value for name, value in state.items() if value.numel() and name not in TRAINING_ONLY}


def read_info(place: Path) -> TalkerInfo:
    """The description of a talking head, without its weights.

    Raises:
        MissingArtifact: there is none, or it is not readable.
        ContractViolation: another format.
    """
    place = place / FOLDER if (place / FOLDER).is_dir() else place
    try:
        info = TalkerInfo.model_validate_json((place / INFO_FILE).read_text())
    except (OSError, ValidationError) as error:
        raise MissingArtifact(
            f"{place}: no readable {INFO_FILE}, so this is no talking head; make one with: gazeworks talker train"
        ) from error
    if info.format != FORMAT:
        raise ContractViolation(f"{place}: format {info.format}, expected {FORMAT}; train it again")
    return info


def parameters_by_part(model: TalkerModel) -> dict[str, int]:
    """Number of trained values of each part of the network, without the Gaussians."""

    def count(*modules: nn.Module) -> int:
        return sum(parameter.numel() for module in modules for parameter in module.parameters())

    return {
        "planes": count(model.planes),
        "appearance": count(model.appearance),
        "audio": count(model.tokens.encoder),
        "conditions": count(model.tokens.mlps) + model.tokens.null.numel(),
        "attention": count(model.deformation.layers),
        "offsets": count(model.deformation.heads),
    }
