"""Search for better settings: train, measure on the validation frames, choose the next settings. A second run goes on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Config, Runtime
from gaze_core.errors import BadInput
from gaze_core.evaluation.comparison import paired_estimate
from gaze_core.evaluation.intervals import Bootstrap
from gaze_core.evaluation.paired import PairedVerdict, paired_verdict
from gaze_core.plans.preflight import preflight
from gaze_core.plans.redirection import RedirectionPlan
from gaze_core.plans.settings import overridden
from gaze_core.stages.redirection.compare import read_evaluation
from gaze_core.stages.redirection.evaluate import require_pairs
from tasks import environment
from tasks.stage_task import tracked_flow
from tasks.stages.redirection import evaluate, preprocess_recording, train_gaze_gaussian, train_mesh_head
from tasks.store.artifacts import Store

_EVALUATION = "evaluation"  # attribute of a trial: the reference of its evaluation
PERCEPTUAL = ("lpips", "st_lpips", "ssim")  # the first that this machine can measure; ssim counts as 1 - ssim


class Range(Config):
    """One setting of the plan by its dotted key, sampled uniformly, or uniformly in its logarithm."""

    key: str
    low: float
    high: float
    log: bool = True


class SearchConfig(Config):
    """The search space. Two objectives are minimised: gaze error in degrees, and a perceptual distance.

    The training loss is none: its weights are searched, so it means something else in each trial.
    """

    num_trials: int = 10
    ranges: tuple[Range, ...] = (
        Range(key="gaze_gaussian.fit.learning_rate", low=3e-4, high=3e-3),
        Range(key="gaze_gaussian.learning_rates.appearance", low=1.0, high=10.0),
        Range(key="gaze_gaussian.loss_weights.eyes_l1", low=0.3, high=3.0),
        Range(key="gaze_gaussian.loss_weights.dissimilarity", low=0.03, high=0.3),
        Range(key="gaze_gaussian.loss_weights.orthogonality", low=1e-4, high=1e-1),
    )
    seed: int = 0


class Trial(Config):
    """Settings and their results. `is_best` on the Pareto front: no other trial is better in both.

    `against_lowest` is the paired verdict on its gaze errors against those of the trial with the lowest.
    """

    number: int
    settings: dict[str, float]
    gaze_error_deg: float
    perceptual: float
    is_best: bool
    against_lowest: PairedVerdict | None = None  # None for the lowest itself, and for trials of earlier releases


class SearchResult(Config):
    """All finished trials and the name of the perceptual measure."""

    perceptual_name: str
    trials: tuple[Trial, ...]


@flow(name="search", persist_result=False)
def search(
    recording: Path,
    plan: RedirectionPlan,
    config: SearchConfig = SearchConfig(),  # noqa: B008 (frozen)
    runtime: Runtime = Runtime(),  # noqa: B008
) -> SearchResult:
    """Runs trials until `num_trials` are finished, those of earlier runs of the same search included.

    A trial's training is a cached stage: an interrupted one goes on from its checkpoint.
    """
    preflight(plan, {"recording": recording}, environment.home() / "searches", runtime)
    with tracked_flow({"plan": plan.model_dump(mode="json"), "search": config.model_dump(mode="json")}) as ledger:
        data = preprocess_recording(recording, plan.preprocess, runtime)
        plan = plan.for_recording(recording)
        measured_with = plan.evaluate.model_copy(update={"split": "validation"}).with_available_metrics()
        require_pairs(measured_with, Store.from_environment().fetch(data))
        head = train_mesh_head(data, plan.mesh_head, runtime)
        name = _perceptual_name(measured_with.instruments)  # a persisted field: the metric networks
        study = _study(config, plan, data)
        while _finished(study) < config.num_trials:
            trial = _next(study)
            settings = {r.key: trial.suggest_float(r.key, r.low, r.high, log=r.log) for r in config.ranges}
            tried = overridden(plan, [f"{key}={value!r}" for key, value in settings.items()])
            candidate = train_gaze_gaussian(data, head, tried.gaze_gaussian, runtime)
            measured = evaluate(data, candidate, measured_with, runtime)
            trial.set_user_attr(_EVALUATION, measured.model_dump(mode="json"))
            study.tell(trial, _objectives(measured, name))
        result = _result(study, name)
        ledger.run.log_summary({"num_trials": float(len(result.trials))})
    return result


def _study(config: SearchConfig, plan: RedirectionPlan, data: ArtifactRef) -> Any:
    try:
        import optuna
    except ImportError as error:
        raise BadInput("a search needs optuna; install gazeworks[search]") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = environment.home() / "searches"
    folder.mkdir(parents=True, exist_ok=True)
    named = config.model_copy(update={"num_trials": 0})  # more trials go on with the same study
    return optuna.create_study(
        study_name=f"{data.digest()}-{plan.digest()}-{named.digest()}",
        storage=f"sqlite:///{folder / 'optuna.db'}",
        directions=["minimize", "minimize"],
        sampler=optuna.samplers.TPESampler(seed=config.seed),
        load_if_exists=True,
    )


def _next(study: Any) -> Any:
    """A trial that an earlier run left unfinished, with its settings, else a new one."""
    from optuna.trial import TrialState

    for left in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        if left.params:
            study.enqueue_trial(left.params)
        study.tell(left.number, state=TrialState.FAIL)
    return study.ask()


def _finished(study: Any) -> int:
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]))


def _perceptual_name(networks: tuple[str, ...]) -> str:
    available = {"lpips": "vgg16" in networks, "st_lpips": "st_lpips" in networks, "ssim": True}
    return next(name for name in PERCEPTUAL if available[name])


def _objectives(evaluation: ArtifactRef, perceptual: str) -> tuple[float, float]:
    numbers = Store.from_environment().manifest(evaluation).metrics
    distance = 1 - numbers["ssim"] if perceptual == "ssim" else numbers[perceptual]
    return numbers["gaze_error_deg"], distance


def _result(study: Any, perceptual: str) -> SearchResult:
    from optuna.trial import TrialState

    best = {trial.number for trial in study.best_trials}
    finished = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    verdicts = _against_lowest(finished)
    trials = tuple(
        Trial(
            number=t.number,
            settings=t.params,
            gaze_error_deg=t.values[0],
            perceptual=t.values[1],
            is_best=t.number in best,
            against_lowest=verdicts.get(t.number),
        )
        for t in finished
    )
    return SearchResult(perceptual_name="1 - ssim" if perceptual == "ssim" else perceptual, trials=trials)


def _against_lowest(finished: Sequence[Any]) -> dict[int, PairedVerdict]:
    """Paired verdicts by trial number: is a trial's gaze error really higher than that of the trial with the lowest?"""
    lowest = min(finished, key=lambda trial: trial.values[0])
    found = {trial.number: trial.user_attrs[_EVALUATION] for trial in finished if _EVALUATION in trial.user_attrs}
    store = Store.from_environment()
    refs = {number: ArtifactRef.model_validate(ref) for number, ref in found.items()}
    reports = {number: read_evaluation(store.fetch(ref)) for number, ref in refs.items() if store.exists(ref)}
    baseline = reports.pop(lowest.number, None)
    if baseline is None:
        return {}
    return {
        number: paired_verdict(paired_estimate("gaze_error_deg", report, baseline, Bootstrap()))
        for number, report in reports.items()
    }
