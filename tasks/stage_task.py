"""From a stage of `gaze_core` to a Prefect task: lock, fetch, run, publish, return a reference.

    @stage_task("mesh_head", mesh_head)
    def train_mesh_head(data: ArtifactRef, config: MeshHeadConfig, runtime: Runtime) -> ArtifactRef:
        '''Fits MeshHead to the training subjects of `data`.'''
        ...

The function only declares the parameters and is never called: `mesh_head.run` gets the config, the local
folders of the references by parameter name, and a `StageContext`.
"""

import inspect
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import update_wrapper
from pathlib import Path
from typing import Any, Generic, Literal, ParamSpec

from prefect import task
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, TaskRunContext
from prefect.futures import PrefectFuture
from prefect.states import Completed

from gaze_core.artifacts import MANIFEST_FILE, ArtifactRef, Input, references
from gaze_core.errors import BadInput, MissingArtifact
from gaze_core.stages.context import Inputs, Stage, StageContext
from gaze_core.stages.distributed import run_stage
from tasks import environment
from tasks.keys import Arguments, cache_policy, stage_key
from tasks.locks import work_lock
from tasks.policies import gpu_slot, is_refreshing
from tasks.progress import progress_display
from tasks.run_log import RunLog
from tasks.store.artifacts import Store
from tasks.tracking import runs
from tasks.tracking.figures import figures_of

P = ParamSpec("P")
How = Literal["cached", "computed", "resumed"]
_stage_names: set[str] = set()  # of all that `stage_task` made
_STATE_NAMES: dict[str, How] = {"Cached": "cached", "Reused": "cached", "Resumed": "resumed"}


@dataclass(frozen=True)
class StageOutcome:
    """A stage's result in this flow run: cached, computed or resumed, and how long the flow waited for it."""

    stage: str
    how: How
    seconds: float
    ref: ArtifactRef
    note: str = ""


@dataclass
class FlowLedger:
    """Outcomes of one flow run's stages, in the order in which the flow called them."""

    run: runs.TrackedRun
    force: frozenset[str] = frozenset()
    outcomes: list[StageOutcome] = field(default_factory=list)
    _used: dict[str, ArtifactRef] = field(default_factory=dict)

    def use(self, refs: Iterable[ArtifactRef]) -> None:
        """Records these artifacts at once, so that they are not collected with the garbage while the flow runs."""
        new = {ref.name: ref for ref in refs if ref.name not in self._used}
        if new:
            self._used |= new
            self.run.used(list(self._used.values()))

    def summary(self) -> dict[str, str]:
        """The outcomes of each stage (cached, computed, resumed), in order, as tags of the flow's MLflow run."""
        tags: dict[str, list[str]] = {}
        for outcome in self.outcomes:
            tags.setdefault(f"gazeworks.how.{outcome.stage}", []).append(outcome.how)
        return {tag: ", ".join(values) for tag, values in tags.items()}


_ledger: ContextVar[FlowLedger | None] = ContextVar("gazeworks_flow_ledger", default=None)


@contextmanager
def tracked_flow(
    parameters: Mapping[str, Any], force: tuple[str, ...] = (), out: Path | None = None
) -> Iterator[FlowLedger]:
    """Opens the flow run's run in MLflow and its ledger; stages in `force` are computed again.

    `out` is the folder of the flow's report and its log.

    Raises:
        BadInput: `force` names something that is no stage.
    """
    if unknown := set(force) - _stage_names:
        raise BadInput(f"no stage named {', '.join(sorted(unknown))}; there are: {', '.join(sorted(_stage_names))}")
    context = FlowRunContext.get()
    name, flow_run_id = "flow", ""
    if context and context.flow and context.flow_run:
        name, flow_run_id = context.flow.name, str(context.flow_run.id)
    with RunLog(name, out), runs.flow_run(name, flow_run_id, parameters) as run:
        ledger = FlowLedger(run, frozenset(force))
        token = _ledger.set(ledger)
        try:
            yield ledger
        finally:
            _ledger.reset(token)
            run.tags(ledger.summary())


class StageTask(Generic[P]):
    """A stage as a Prefect task whose results are cached, verified and, if lost, computed again."""

    def __init__(self, name: str, stage: Stage, declaration: Callable[P, ArtifactRef], **options: Any) -> None:
        self.name, self.stage = name, stage
        self._signature = inspect.signature(declaration)

        def body(*args: P.args, **kwargs: P.kwargs) -> State[ArtifactRef]:
            return self._body(self._bind(*args, **kwargs))

        make = task(
            name=name,
            task_run_name=name,  # and no tag: Prefect asks the server for a slot of each tag before a task may start
            persist_result=True,
            result_serializer="json",
            cache_policy=cache_policy(name, stage.VERSION),
            **options,
        )
        self.task = make(update_wrapper(body, declaration))
        update_wrapper(self, declaration)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ArtifactRef:
        """Runs the stage, or reuses its result, and returns the reference of a whole artifact."""
        return self._settle(self._started(*args, **kwargs))

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> "PendingStage":
        """Starts the stage on the flow's task runner; `.result()` of what it returns is the reference."""
        started = self._started(*args, **kwargs)
        return PendingStage(self, started, self._variant().submit(**started.arguments))

    def _started(self, *args: P.args, **kwargs: P.kwargs) -> "_Call":
        arguments = self._bind(*args, **kwargs)
        call = _Call(arguments, stage_key(self.name, self.stage.VERSION, arguments), time.monotonic())
        if ledger := _ledger.get():
            ledger.use(ref for _, ref in references(Arguments.sort(arguments).inputs))
        return call

    def _bind(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def _variant(self, refresh: bool = False) -> Any:
        ledger = _ledger.get()
        forced = refresh or (ledger is not None and self.name in ledger.force)
        return self.task.with_options(refresh_cache=True) if forced else self.task

    def _settle(self, call: "_Call", state: State[ArtifactRef] | None = None) -> ArtifactRef:
        if state is None:
            state = self._variant()(**call.arguments, return_state=True)
        ref, note = state.result(), ""
        if state.name == "Cached":  # Prefect does not look at what the reference names
            try:
                Store.from_environment().fetch(ref)
            except MissingArtifact as error:
                note = f"the cached result was lost and is computed again: {error}"
                _logger(self.name).warning("%s: %s", self.name, note)
                state = self._variant(refresh=True)(**call.arguments, return_state=True)
                ref = state.result()
        how = _STATE_NAMES.get(state.name or "", "computed")
        outcome = StageOutcome(self.name, how, time.monotonic() - call.started_s, ref, note)
        _logger(self.name).info("%s: %s in %.1f s", self.name, how, outcome.seconds)
        if ledger := _ledger.get():
            ledger.outcomes.append(outcome)
            ledger.use([ref])
        return ref

    def _body(self, arguments: dict[str, Any]) -> State[ArtifactRef]:
        key, work = stage_key(self.name, self.stage.VERSION, arguments), environment.home() / "work"
        with work_lock(work / key):
            found = None if is_refreshing() else Store.from_environment().find(self.name, key.rpartition("-")[2])
            if found:
                return Completed(name="Reused", message="another run has finished it", data=found)
            resumed = any((work / key).glob("*"))
            ref = self._compute(Arguments.sort(arguments), key)
            shutil.rmtree(work / key)
            return Completed(name="Resumed" if resumed else "Completed", data=ref)

    def _compute(self, arguments: Arguments, key: str) -> ArtifactRef:
        store, logger = Store.from_environment(), _logger(self.name)
        inputs = _fetched(store, arguments.inputs)
        work_dir = environment.home() / "work" / key
        work_dir.mkdir(parents=True, exist_ok=True)
        parameters = {"config": arguments.config.model_dump(mode="json"), "version": self.stage.VERSION}
        with (
            gpu_slot(arguments.runtime),
            runs.stage_run(self.name, key, *_prefect_ids(), parameters) as run,
            progress_display(self.name, arguments.runtime, logger) as progress,
        ):
            context = StageContext(arguments.runtime, work_dir, run, progress, logger)
            produced = run_stage(self.stage, arguments.config, inputs, context)
            ref = store.publish(
                produced,
                stage=self.name,
                version=self.stage.VERSION,
                config=arguments.config,
                parents=arguments.inputs,
                precision=arguments.runtime.precision,
                mlflow_run_id=run.run_id,
            )
            for figure in figures_of(produced.files, work_dir):
                run.artifact(figure, "figures")
            run.finished(ref, produced.metrics, store.fetch(ref) / MANIFEST_FILE)
        return ref


@dataclass(frozen=True)
class _Call:
    arguments: dict[str, Any]
    key: str
    started_s: float


@dataclass(frozen=True)
class PendingStage:
    """A stage that was handed to the task runner."""

    stage: StageTask[Any]
    call: _Call
    future: PrefectFuture[ArtifactRef]

    def result(self) -> ArtifactRef:
        """Waits for the stage and returns the reference of a whole artifact."""
        self.future.wait()
        return self.stage._settle(self.call, self.future.state)


def stage_task(name: str, stage: Stage, **options: Any) -> Callable[[Callable[P, ArtifactRef]], StageTask[P]]:
    """Makes a declared function a `StageTask` that runs `stage`; `options` go to Prefect's `task`."""
    _stage_names.add(name)
    return lambda declaration: StageTask(name, stage, declaration, **options)


def _fetched(store: Store, inputs: Mapping[str, Input]) -> Inputs:
    def local(value: Any) -> Any:
        if isinstance(value, ArtifactRef):
            return store.fetch(value)
        return tuple(local(item) for item in value) if isinstance(value, (list, tuple)) else value

    return {name: local(value) for name, value in inputs.items()}


def _prefect_ids() -> tuple[str, dict[str, str]]:
    context = TaskRunContext.get()
    if context is None:
        return "", {}
    return str(context.task_run.flow_run_id or ""), {"prefect.task_run_id": str(context.task_run.id)}


def _logger(stage: str) -> logging.Logger:
    return logging.getLogger(f"{environment.LOGGER}.{stage}")
