"""One-shot: choose a person -> adapt -> evaluate before and after -> compare -> report; also pretraining and use as flows."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from prefect import flow

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.one_shot.layout import ChannelOrder, count_samples, require_person
from gaze_core.one_shot.selection import choose_person
from gaze_core.plans.one_shot import OneShotPlan, with_same_split
from gaze_core.plans.preflight import preflight
from gaze_core.reproducibility import derived_seed
from gaze_core.stages.one_shot.adapt import OneShotAdaptConfig
from gaze_core.stages.one_shot.apply import OneShotApplyConfig
from gaze_core.stages.one_shot.prepare import OneShotPrepareConfig
from gaze_core.stages.one_shot.pretrain import OneShotPretrainConfig
from tasks import environment
from tasks.reports.one_shot import FILES, OneShotReport, write_one_shot_report
from tasks.reports.result import finished
from tasks.stage_task import tracked_flow
from tasks.stages.one_shot import adapt, apply, compare, evaluate, import_people, import_redirector, prepare, pretrain
from tasks.store.recordings import import_recording, naming_users_file

_DEFAULT_OUT = Path("reports/one-shot")  # the published YAML's `save_dir` takes its place, but not that of --out
_MIN_OTHER = 4  # samples of somebody else, on whom adapting must not help


@flow(name="one-shot", persist_result=False)
def one_shot(
    files: Mapping[str, Path],
    plan: OneShotPlan,
    out: Path,
    runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
    force: tuple[str, ...] = (),
) -> OneShotReport:
    """Adapts a redirector to one person of a file, and reports what it does before and after on held-out samples.

    `files` are the `data` set's file and the pretrained `checkpoint`. If the redirector became worse, the run ends in a
    completed state named `Regressed`.
    """
    if plan.files.save_dir is not None and out == _DEFAULT_OUT.resolve():
        out = plan.files.save_dir.resolve()
    preflight(plan, files, out, runtime)
    with tracked_flow({"plan": plan.model_dump(mode="json")}, force, out) as ledger:
        person, other = _chosen(files["data"], plan)
        people = import_people(files["data"], (person, *([other] if other else [])), plan.channel_order)
        data = prepare(people, plan.prepare, runtime)
        base = import_redirector(files["checkpoint"])
        refs = {"people": people, "data": data, "base": base}
        refs |= _measured(plan, data, base, other is not None, runtime)
        strategies: dict[str, tuple[ArtifactRef, ArtifactRef]] = {
            name: _variant(plan, data, base, {"strategy": name}, runtime)
            for name in dict.fromkeys((plan.adapt.strategy, *plan.strategies))
        }
        counts = {
            count: _variant(plan, data, base, {"split": {"num_samples": count}}, runtime)
            for count in dict.fromkeys((plan.adapt.split.num_samples, *plan.sample_counts))
        }
        report = write_one_shot_report(refs, strategies, counts, ledger.outcomes, out)
        ledger.run.log_summary({name: value for name, value in report.numbers.items() if value is not None})
        for name in FILES:
            ledger.run.artifact(out / name, "report")
    return finished(report, report.reasons)


@flow(name="one-shot-pretrain", persist_result=False)
def pretrain_only(
    data: Path,
    config: OneShotPretrainConfig,
    order: ChannelOrder = "auto",
    most_samples: int = 60,
    most_people: int | None = None,
    runtime: Runtime = Runtime(),  # noqa: B008
    force: tuple[str, ...] = (),
) -> ArtifactRef:
    """Trains a redirector on the people of a file: at most `most_samples` samples of each."""
    with tracked_flow({"config": config.model_dump(mode="json")}, force):
        counts = {name: count for name, count in count_samples(data).items() if count}
        if not counts:
            raise BadInput(f"{data}: nobody has samples; give another file")
        names = tuple(list(counts)[:most_people])
        people = import_people(data, names, order, most_samples)
        return pretrain(prepare(people, OneShotPrepareConfig(), runtime), config, runtime)


@flow(name="one-shot-apply", persist_result=False)
def apply_to(
    recording: Path,
    checkpoint: Path,
    config: OneShotApplyConfig,
    runtime: Runtime = Runtime(),  # noqa: B008
    force: tuple[str, ...] = (),
) -> ArtifactRef:
    """Redirects the eyes of a photograph or a video."""
    with tracked_flow({"config": config.model_dump(mode="json")}, force):
        redirector = import_redirector(checkpoint)
        imported = import_recording(recording)
        with naming_users_file(recording, imported):
            return apply(imported, redirector, config, runtime)


def _chosen(data: Path, plan: OneShotPlan) -> tuple[str, str | None]:
    """The person, and somebody else with some samples; says who it is."""
    logger = logging.getLogger(f"{environment.LOGGER}.one_shot")
    counts = count_samples(data)
    if plan.person is None:
        person, sentence = choose_person(counts, plan.adapt.split.num_samples, plan.adapt.seed, plan.adapt.split)
    else:
        person = require_person(data, plan.person, counts)
        sentence = f"person {person} was asked for"
    logger.info("%s: %d samples in the file", sentence, counts[person])
    others = [name for name, count in counts.items() if name != person and count >= _MIN_OTHER]
    stream = np.random.default_rng(derived_seed("one-shot other", plan.adapt.seed))
    return person, others[int(stream.integers(len(others)))] if others else None


def _measured(
    plan: OneShotPlan, data: ArtifactRef, base: ArtifactRef, with_other: bool, runtime: Runtime
) -> dict[str, ArtifactRef]:
    """Adapts, and evaluates before and after, on the person and on somebody else."""
    adapted = adapt(data, base, plan.adapt, runtime)
    before, after = (evaluate(data, model, plan.evaluate, runtime) for model in (base, adapted))
    refs = {"adapted": adapted, "before": before, "after": after}
    if with_other:
        other = plan.evaluate.model_copy(update={"person": 1})
        refs |= {
            "other before": evaluate(data, base, other, runtime),
            "other after": evaluate(data, adapted, other, runtime),
        }
    if plan.single_image and plan.adapt.mode == "person":
        single = adapt(data, base, plan.adapt.model_copy(update={"mode": "single_image"}), runtime)
        refs |= {"single": single, "single image": evaluate(data, single, plan.evaluate, runtime)}
    comparison = compare(after, before, plan.tolerance, refs.get("other after"), refs.get("other before"))
    return refs | {"comparison": comparison}


def _variant(
    plan: OneShotPlan, data: ArtifactRef, base: ArtifactRef, changes: dict[str, object], runtime: Runtime
) -> tuple[ArtifactRef, ArtifactRef]:
    """A checkpoint adapted otherwise, and its evaluation."""
    values = plan.adapt.model_dump(mode="json")
    for name, value in changes.items():
        values[name] = values[name] | value if isinstance(value, dict) else value
    other = with_same_split(plan.model_copy(update={"adapt": OneShotAdaptConfig.model_validate(values)}))
    adapted = adapt(data, base, other.adapt, runtime)
    return adapted, evaluate(data, adapted, other.evaluate, runtime)
