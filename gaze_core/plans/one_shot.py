"""The plan of a one-shot run, also from the published YAML, whose keys are read as they are written there."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.models.one_shot.redirector import Strategy
from gaze_core.one_shot.checkpoints import load_redirector
from gaze_core.one_shot.face_judge import available_judge
from gaze_core.one_shot.layout import ChannelOrder, count_samples, require_person
from gaze_core.one_shot.report import OneShotTolerance
from gaze_core.plans.preflight import Plan
from gaze_core.plans.settings import validated
from gaze_core.stages.one_shot.adapt import OneShotAdaptConfig
from gaze_core.stages.one_shot.evaluate import OneShotEvaluateConfig
from gaze_core.stages.one_shot.prepare import OneShotPrepareConfig

# Keys of the published YAML, and what they set; None: a section.
_SECTIONS = ("oneshot_params", "loss_params")
_ONE_SHOT = {
    "use_gazecapture": "", "gazecapture_params": "", "num_steps": "adapt.num_steps", "learning_rate": "adapt.learning_rate",
    "batch_size": "adapt.batch_size", "finetune_strategy": "adapt.strategy", "save_dir": "files.save_dir",
    "checkpoint_path": "files.checkpoint", "finetune_gaze_mlp": "adapt.finetune_gaze_mlp", "gaze_mlp_layers": "",
}  # fmt: skip
_GAZECAPTURE = {
    "hdf_path": "files.data",
    "person_id": "person",
    "num_samples": "adapt.split.num_samples",
    "random_person": "",
}
_LOSSES = {"l1_loss": "adapt.weights.l1", "mask_l1_loss": "adapt.weights.mask_l1", "vgg_loss": "adapt.weights.vgg"}
_NUMBERS = ("learning_rate", "l1_loss", "mask_l1_loss", "vgg_loss")  # YAML 1.1 reads 5e-5 as a text


class OneShotFiles(Config):
    """Files that the published YAML names; options of the command line win."""

    data: Path | None = None
    checkpoint: Path | None = None
    save_dir: Path | None = None


class OneShotPlan(Plan):
    """Everything that decides the result of a run."""

    person: str | None = Field(None, description="None: a seeded draw among those with enough samples.")
    channel_order: ChannelOrder = "auto"
    prepare: OneShotPrepareConfig = OneShotPrepareConfig()
    adapt: OneShotAdaptConfig = OneShotAdaptConfig()
    evaluate: OneShotEvaluateConfig = OneShotEvaluateConfig()
    single_image: bool = True  # also adapt with one picture alone, for the comparison
    strategies: tuple[Strategy, ...] = ()  # further strategies, for a table
    sample_counts: tuple[int, ...] = ()  # further numbers of samples, for a table
    tolerance: OneShotTolerance = OneShotTolerance()
    files: OneShotFiles = OneShotFiles()

    def require_ready(self, inputs: Mapping[str, Path]) -> None:
        """Checks that the file can be read, that the person is in it, and that the checkpoint is a redirector."""
        people = count_samples(inputs["data"])
        if self.person is not None:
            name = require_person(inputs["data"], self.person, people)
            if not people[name]:
                raise BadInput(f"{inputs['data']}: person {name} has no samples; choose another person")
        load_redirector(inputs["checkpoint"])


def one_shot_plan(
    person: str | None = None, samples: int = 30, strategy: Strategy = "selective", seed: int = 0,
    channel_order: ChannelOrder = "auto",
) -> OneShotPlan:  # fmt: skip
    """The plan of these options; the judge is the best one at hand."""
    plan = OneShotPlan(person=person, channel_order=channel_order).model_dump(mode="json")
    plan["adapt"] |= {"strategy": strategy, "seed": seed}
    plan["adapt"]["split"] |= {"num_samples": samples, "seed": seed}
    plan["evaluate"] |= {"judge": available_judge()}
    return with_same_split(validated(OneShotPlan, plan))


def with_same_split(plan: OneShotPlan) -> OneShotPlan:
    """The plan whose evaluation divides the samples as adapting does."""
    evaluate = plan.evaluate.model_copy(update={"split": plan.adapt.split})
    return plan.model_copy(update={"evaluate": evaluate})


def is_published_yaml(values: Mapping[str, Any]) -> bool:
    """Whether settings are in the published format and not in ours."""
    return any(difflib.get_close_matches(name, _SECTIONS, cutoff=0.7) for name in values)


def from_published_yaml(values: Mapping[str, Any], plan: OneShotPlan, where: str) -> OneShotPlan:
    """The plan with the settings of the published YAML.

    Raises:
        BadInput: an unknown key, with the nearest known one; or a value that is not possible.
    """
    changed = plan.model_dump(mode="json")
    sections = _section(values, dict.fromkeys(_SECTIONS, ""), where)
    one_shot = _section(sections.get("oneshot_params") or {}, _ONE_SHOT, f"{where}: oneshot_params")
    capture = _section(one_shot.get("gazecapture_params") or {}, _GAZECAPTURE, f"{where}: gazecapture_params")
    losses = _section(sections.get("loss_params") or {}, _LOSSES, f"{where}: loss_params")
    for given, known in ((one_shot, _ONE_SHOT), (capture, _GAZECAPTURE), (losses, _LOSSES)):
        for name, value in given.items():
            if known[name]:
                _set(changed, known[name], _number(name, value, where) if name in _NUMBERS else value)
    if "gaze_mlp_layers" in one_shot:
        changed["adapt"]["gaze_mlp_layers"] = _one_of_list(one_shot["gaze_mlp_layers"], where)
    if one_shot.get("use_gazecapture") is False:
        changed["adapt"]["mode"] = "single_image"
    if changed["person"] is not None:
        changed["person"] = str(changed["person"])
    elif capture.get("random_person") is False:
        raise BadInput(f"{where}: person_id is null and random_person is false; name a person, or let one be drawn")
    return with_same_split(validated(OneShotPlan, changed))


def _section(given: Any, known: Mapping[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise BadInput(f"{where}: expected keys with values, found {given!r}")
    for name in given:
        if name not in known:
            everything = {**_ONE_SHOT, **_GAZECAPTURE, **_LOSSES, **dict.fromkeys(_SECTIONS, "")}
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4) or difflib.get_close_matches(
                str(name), everything, n=1, cutoff=0
            )
            raise BadInput(f"{where}: unknown key {name!r}; did you mean {near[0]}? Known here: {', '.join(known)}")
    return dict(given)


def _set(plan: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    node = plan
    for name in parents:
        node = node[name]
    node[last] = value


def _number(name: str, value: Any, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{where}: {name}: expected a number, found {value!r}") from error


def _one_of_list(value: Any, where: str) -> str:
    names = value if isinstance(value, list) else [value]
    if len(names) != 1 or names[0] not in ("last", "all"):
        raise BadInput(f'{where}: gaze_mlp_layers: expected ["last"] or ["all"], found {value!r}')
    return str(names[0])
