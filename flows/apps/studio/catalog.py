"""What the studio opens: models that ship, and checkpoints by the stage that wrote them."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gaze_core.artifacts import MANIFEST_FILE, ArtifactRef, Manifest
from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.reports.page import JSON_FILE

if TYPE_CHECKING:
    from gaze_core.studio.views import View

_TALKER_STAGES = ("talker_fine", "talker_coarse")
Load = Callable[[Runtime], "View"]
Opener = Callable[[str, Path, Runtime], "View"]
_ROLES = ("candidate", "baseline", "champion", "adapted", "pretrained")


@dataclass(frozen=True)
class Opening:
    """A view that is not loaded yet: its name on the page, and how it is loaded (seconds, in the drawing thread)."""

    name: str
    load: Load
    is_talker: bool = False


def shipped() -> list[Opening]:
    """The models of the installation, the one that opens first first."""
    return [Opening("known head", _known_head), Opening("one-shot", _one_shot)]


def openings(path: Path) -> list[Opening]:
    """The models that a path names: a checkpoint's folder, or the models of a report.

    Raises:
        BadInput: there is neither.
        MissingArtifact: a report's model is no longer in the store.
    """
    from gaze_core.training.checkpoint import WEIGHTS_FILE

    if (path / WEIGHTS_FILE).is_file():
        return [_opening(path.name, path / WEIGHTS_FILE)]
    if (path / MANIFEST_FILE).is_file() and Manifest.read(path).ref.stage in _TALKER_STAGES:
        return [_talker(path.name, lambda: path)]
    found = list(_of_report(path))
    if not found:
        raise BadInput(f"{path}: expected the folder of a checkpoint (with {WEIGHTS_FILE}) or of a report with models")
    return found


def newest_talker(reports: Path) -> list[Opening]:
    """The talking head of the newest report that has one, of those in a folder of reports; nothing is fetched yet."""
    for page in sorted(reports.glob(f"*/{JSON_FILE}"), key=lambda page: page.stat().st_mtime, reverse=True):
        try:
            found = _named(page.parent)
        except (BadInput, OSError):
            continue  # somebody else's
        for role, ref in found.items():
            if ref.stage in _TALKER_STAGES:
                return [_talker(f"{page.parent.name}, {role}", lambda ref=ref: _fetched(ref))]  # type: ignore[misc]
    return []


def openers() -> Mapping[str, Opener]:
    """How a weights file is opened, by the stage in its card. Another kind of model is one more line here."""
    return {"gaze_gaussian": _open_head, "one_shot_redirector": _open_one_shot}


def _named(path: Path) -> dict[str, ArtifactRef]:
    """The artifacts of a report that may be models, by role.

    Raises:
        BadInput: no report, or one without artifacts.
    """
    report = path / JSON_FILE
    if not report.is_file():
        from gaze_core.training.checkpoint import WEIGHTS_FILE

        raise BadInput(
            f"{path}: expected the folder of a checkpoint (with {WEIGHTS_FILE}) or of a report ({JSON_FILE})"
        )
    try:
        refs = json.loads(report.read_text())["artifacts"]
        return {role: ArtifactRef.model_validate(refs[role]) for role in _ROLES if role in refs}
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{report}: not a report with artifacts ({error})") from error


def _fetched(ref: ArtifactRef) -> Path:
    from tasks.store.artifacts import Store

    return Store.from_environment().fetch(ref)


def _of_report(path: Path) -> Iterator[Opening]:
    from gaze_core.training.checkpoint import WEIGHTS_FILE

    for role, ref in _named(path).items():
        name = f"{path.resolve().name}, {role}"
        if ref.stage in _TALKER_STAGES:
            folder = _fetched(ref)
            yield _talker(name, lambda folder=folder: folder)  # type: ignore[misc]
        elif ref.kind == "checkpoint":
            yield _opening(name, _fetched(ref) / WEIGHTS_FILE)


def _opening(name: str, weights: Path) -> Opening:
    stage = stage_of(weights)
    if stage not in openers():
        raise BadInput(f"{weights}: a model of {stage!r}; the studio draws those of {', '.join(openers())}")
    return Opening(name, lambda runtime: openers()[stage](name, weights, runtime))


def _talker(name: str, found: Callable[[], Path]) -> Opening:
    """A talking head in the artifact's folder that `found` returns, with the subject that it was trained on."""

    def load(runtime: Runtime) -> "View":
        from gaze_core.studio.talkers import TalkerView

        folder = found()
        data = Manifest.read(folder).parents.get("data")
        if data is None:
            raise BadInput(
                f"{folder}: its {MANIFEST_FILE} names no subject, whose camera and torso a talking head needs"
            )
        return TalkerView(name, f"{folder}; a talking head", folder, _fetched(data), runtime)

    return Opening(name, load, is_talker=True)


def stage_of(weights: Path) -> str:
    """The stage in the card of a weights file, read without torch.

    Raises:
        BadInput: not a weights file with a card.
    """
    try:
        with weights.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > 50_000_000:
                raise ValueError("its header is too long")
            return str(json.loads(json.loads(file.read(size))["__metadata__"]["card"])["stage"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{weights}: no weights with a card ({error}); expected those of a trained model") from error


def _known_head(runtime: Runtime) -> "View":
    from gaze_core.plans.requests.redirection import shipped_subject
    from gaze_core.stages.redirection.head_prior import shipped_file
    from gaze_core.studio.coverage import Coverage
    from gaze_core.studio.views import head_view

    note = "ships with the package: a head learned from rendered people, on a rendered person"
    return head_view("known head", note, shipped_file(), shipped_subject(), Coverage.shipped(), runtime)


def _one_shot(runtime: Runtime) -> "View":
    from gaze_core.one_shot.shipped import SHIPPED_PEOPLE, SHIPPED_REDIRECTOR
    from gaze_core.studio.views import OneShotView

    return OneShotView.shipped(SHIPPED_PEOPLE, SHIPPED_REDIRECTOR, runtime)


def _open_head(name: str, weights: Path, runtime: Runtime) -> "View":
    from flows.sampling import recording_file
    from gaze_core.plans.requests.redirection import shipped_subject
    from gaze_core.studio.coverage import Coverage
    from gaze_core.studio.views import head_view

    try:
        subject = recording_file(weights.parent)
        coverage, note = Coverage.of_subjects([subject]), f"on {subject.stem}, from its training"
    except BadInput:  # imported, or without its manifest
        subject, coverage, note = shipped_subject(), None, "on the rendered person that ships: it names no recording"
    return head_view(name, f"{weights.parent}; {note}", weights, subject, coverage, runtime)


def _open_one_shot(name: str, weights: Path, runtime: Runtime) -> "View":
    from gaze_core.one_shot.shipped import SHIPPED_PEOPLE
    from gaze_core.studio.views import OneShotView

    view = OneShotView.shipped(SHIPPED_PEOPLE, weights.parent, runtime)
    view.name = name
    return view
