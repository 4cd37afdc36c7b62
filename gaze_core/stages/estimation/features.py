"""Stage: runs the frozen single-frame model once over all recordings, so that the temporal head trains in minutes."""

from pydantic import PositiveFloat

from gaze_core.artifacts import Produced, files_in
from gaze_core.config import Config
from gaze_core.estimation.checkpoints import load_single, require_unseen_participants
from gaze_core.estimation.features import FeatureEntry, FeatureIndex, Role, compute_features
from gaze_core.estimation.recordings import Recording, read_index
from gaze_core.estimation.roles import roles_of
from gaze_core.stages.context import Inputs, StageContext

NAME, VERSION = "estimation_features", 1
_ROLES: tuple[Role, ...] = ("train", "validation", "test")


class FeaturesConfig(Config):
    """Frames a second that the temporal head reads, and from which cameras."""

    rate_hz: PositiveFloat = 15.0
    cameras: tuple[str, ...] = ()


def run(config: FeaturesConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Runs `inputs["single"]` on the recordings in `inputs["data"]`; a second attempt goes on with the next recording.

    Raises:
        BadInput: a recording's rate is no multiple of the rate, or no participants are left for a role.
        ContractViolation: the model was trained on a participant who is to be measured.
    """
    roles = roles_of(read_index(inputs["data"]), config.cameras)
    model, card = load_single(inputs["single"], context.runtime)
    trained_on = {role: tuple(names) for role, names in card["trained_on"].items()}
    require_unseen_participants(trained_on, roles.participants("test"))
    folder = context.work_dir / "features"
    folder.mkdir(parents=True, exist_ok=True)
    listed = [(role, entry) for role in _ROLES for entry in getattr(roles, role)]
    entries = []
    for done, (role, entry) in enumerate(listed, start=1):
        recording = Recording(inputs["data"] / entry.file)
        path = folder / f"{entry.info.name}.npz"
        if not path.is_file():
            compute_features(model, recording, config.rate_hz, context.runtime.num_workers).write(path)
        entries.append(FeatureEntry(file=path.name, role=role, info=entry.info, num_frames=len(recording)))
        recording.close()
        context.progress(done, len(listed), float("nan"))
    index = FeatureIndex(
        rate_hz=config.rate_hz,
        token_width=model.config.token_width,
        trained_on=trained_on,
        notes=roles.notes,
        recordings=tuple(entries),
    )
    index.write(folder)
    return Produced(
        kind="dataset",
        files=files_in(folder),
        metrics={f"num_{role}_recordings": float(len(index.of(role))) for role in _ROLES},
        notes=roles.notes,
        subjects={role: roles.participants(role) for role in _ROLES},
    )
