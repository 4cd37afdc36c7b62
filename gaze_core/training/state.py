"""The state of a training run between steps, in memory and on disk."""

import logging
import math
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Generic

import torch
from safetensors.torch import load_file

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.training.averaging import WeightAverage
from gaze_core.training.checkpoint import (
    BEST_FILE,
    epoch_file,
    load_resume_state,
    save_resume_state,
    save_weights,
    step_file,
    step_files,
)
from gaze_core.training.fit_config import FitConfig
from gaze_core.training.freezing import match_shapes, training_mode
from gaze_core.training.history import read_history, write_history
from gaze_core.training.stepping import Stepper
from gaze_core.training.task import B, FitSummary, MetricSink, Task

FORMAT = 2  # of the resume state; a state of another format is ignored
_COUNTERS = (
    "step", "best", "kept_step", "patience_mark", "num_bad_validations", "epoch_sums", "epoch_steps",
)  # fmt: skip


class RunState(Generic[B]):
    """Counters, history and best weights: everything besides the current weights that resuming needs."""

    def __init__(
        self, task: Task[B], config: FitConfig, work_dir: Path, stepper: Stepper[B], sink: MetricSink | None,
        logger: logging.Logger | None,
    ) -> None:  # fmt: skip
        self.task, self.config, self.work_dir, self.stepper = task, config, work_dir, stepper
        self.sink, self.logger, self.writes = sink, logger, stepper.fabric.is_global_zero
        self.step, self.last_loss = 0, math.nan
        self.best: float | None = None
        self.kept_step = 0
        self.patience_mark: float | None = None  # value that the next validations must improve by min_delta
        self.num_bad_validations = 0
        self.kept: list[tuple[float, int]] = []  # value and step of the best validations, best first
        self.history: list[dict[str, float]] = []
        self.epoch_sums: dict[str, float] = {}
        self.epoch_steps = 0
        self.average = None if config.ema_decay is None else WeightAverage(task.model, config.ema_decay)
        work_dir.mkdir(parents=True, exist_ok=True)
        training_mode(task.model)

    @property
    def is_patience_over(self) -> bool:
        """Whether early stopping is due: `patience` validations without an improvement."""
        return self.num_bad_validations >= self.config.patience

    def restore(self) -> int:
        """Loads the resume state, if there is one; returns the step to continue from."""
        state = load_resume_state(self.work_dir)
        if state is None or state.get("format") != FORMAT:
            return 0
        for model, saved in zip(self.stepper.objective.models, state["models"], strict=True):
            match_shapes(model, saved)
            model.load_state_dict(saved)
        for optimizer, saved in zip(self.stepper.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self.average is not None:
            device = self.stepper.fabric.device
            self.average.values = {name: value.to(device) for name, value in state["average"].items()}
        for name in _COUNTERS:
            setattr(self, name, state[name])
        self.kept = [(value, step) for value, step in state.get("kept", [])]
        rows = read_history(self.work_dir)
        self.history = [row for row in rows if row["step"] <= self.step]  # steps after the checkpoint are repeated
        return self.step

    def finished_step(self, step: int, values: dict[str, float], runtime: Runtime) -> None:
        """Updates counters, and logs, validates and saves if that is due after this step."""
        self.step, self.last_loss = step, values["loss"]
        if self.average is not None:
            self.average.update(step)
        for name, value in values.items():
            self.epoch_sums[name] = self.epoch_sums.get(name, 0.0) + value
        self.epoch_steps += 1
        if step % runtime.log_every_steps == 0:
            self._log(step, values)
        if self.config.validates_after(step, self.task.num_samples):
            self.validate()
        epoch = self.config.epochs_done(step, self.task.num_samples)
        ends_epoch = epoch > self.config.epochs_done(step - 1, self.task.num_samples)
        if ends_epoch:
            self._finish_epoch(epoch)
        # In a run whose length is given in steps, an epoch may be a single step.
        if (ends_epoch and self.config.num_epochs) or step % runtime.checkpoint_every_steps == 0:
            self.save()

    def validate(self) -> None:
        """Validates the current weights and saves them if they are the best so far."""
        with self._kept_weights():
            measured = self._measured()
            self._log(self.step, {f"validation/{name}": value for name, value in measured.items()})
            if self.config.selection.enabled and self.step >= self.config.selection.from_step:
                self._select(measured)

    def _measured(self) -> dict[str, float]:
        validation, model = self.task.validation, self.task.model
        if validation is None:
            raise BadInput(
                "validation is configured, but this training has no held-out samples; expected no validation"
            )
        sums: dict[str, float] = {}
        count = 0
        model.eval()
        with torch.no_grad():
            for batch in validation.batches():
                values = validation.measure(model, batch.to(self.stepper.fabric.device))
                count += len(batch)
                for name, value in values.items():
                    sums[name] = sums.get(name, 0.0) + len(batch) * float(value)
        training_mode(model)
        if count == 0:
            raise BadInput("validation: there are no held-out samples; expected at least one; give more data")
        return {name: value / count for name, value in sums.items()}

    def _select(self, measured: Mapping[str, float]) -> None:
        selection = self.config.selection
        name = selection.metric or next(iter(measured))
        if name not in measured:
            raise BadInput(f"selection.metric {name!r} is not measured; expected one of: {', '.join(measured)}")
        value = measured[name] if selection.mode == "min" else -measured[name]
        if math.isfinite(value) and (self.best is None or value < self.best):
            self.best, self.kept_step = value, self.step
            if self.writes:
                save_weights(self.work_dir / BEST_FILE, self.task.model, {"step": self.step})
        if math.isfinite(value) and selection.keep:
            self._keep_among_best(value, selection.keep)
        mark = self.patience_mark
        if math.isfinite(value) and (mark is None or value < mark - self.config.min_delta):
            self.patience_mark, self.num_bad_validations = value, 0
        else:
            self.num_bad_validations += 1

    def _keep_among_best(self, value: float, count: int) -> None:
        """Keeps the weights in a file of their own while they are among the `count` best ones."""
        self.kept = sorted([*self.kept, (value, self.step)])[:count]
        names = {step_file(step) for _, step in self.kept}
        if self.writes and step_file(self.step) in names:
            save_weights(self.work_dir / step_file(self.step), self.task.model, {"step": self.step, "value": value})
        for name, path in step_files(self.work_dir).items():
            if self.writes and name not in names:
                path.unlink()

    def _finish_epoch(self, epoch: int) -> None:
        means = {name: value / self.epoch_steps for name, value in self.epoch_sums.items()}
        self.epoch_sums, self.epoch_steps = {}, 0
        if self.logger:
            of = f" of {self.config.num_epochs}" if self.config.num_epochs else ""
            logged = ", ".join(f"{name} {value:.4g}" for name, value in means.items() if "weighted/" not in name)
            best = "" if self.best is None else f"; best validation {self._best_validation:.4g}"
            self.logger.info("epoch %d%s: %s%s", epoch, of, logged, best)
        keep = self.config.keep_every_epochs
        if self.writes and self.task.save_epoch and keep and epoch % keep == 0:
            with self._kept_weights():
                self.task.save_epoch(self.work_dir / epoch_file(epoch))

    def save(self) -> None:
        """Replaces the resume state and the history."""
        if not self.writes:
            return
        write_history(self.work_dir, self.history)
        state: dict[str, Any] = {name: getattr(self, name) for name in _COUNTERS} | {"format": FORMAT}
        state["kept"] = [list(pair) for pair in self.kept]
        state["models"] = [model.state_dict() for model in self.stepper.objective.models]
        state["optimizers"] = [optimizer.state_dict() for optimizer in self.stepper.optimizers]
        state["average"] = None if self.average is None else self.average.values
        save_resume_state(self.work_dir, state)

    def finish(self, first_step: int, seconds: float, num_steps: int) -> FitSummary:
        """Loads the selected weights into the model; returns their step and why the run ended."""
        model = self.task.model
        if self.best is not None:
            kept = load_file(self.work_dir / BEST_FILE)
            match_shapes(model, kept)
            model.load_state_dict(kept)
        elif self.average is not None:
            model.load_state_dict(self.average.values)
        stopped_early = self.step < num_steps
        patience = f"no improvement in {self.num_bad_validations} validations"
        reason = patience if stopped_early else "all steps were done"
        kept_step = self.step if self.best is None else self.kept_step
        if self.logger:
            value = "" if self.best is None else f" (validation {self._best_validation:.4g})"
            self.logger.info(
                "ended after step %d: %s; kept the weights of step %d%s", self.step, reason, kept_step, value
            )
        return FitSummary(
            self.step, first_step, seconds, self._best_validation, kept_step, reason, stopped_early, self.history
        )

    @property
    def _best_validation(self) -> float | None:
        return self.best if self.best is None or self.config.selection.mode == "min" else -self.best

    def _kept_weights(self) -> Any:
        """Context with the weights to validate and save: the averaged ones, if the run averages."""
        return nullcontext() if self.average is None else self.average.applied()

    def _log(self, step: int, values: dict[str, float]) -> None:
        self.history.append({"step": step, **values})
        if self.sink:
            self.sink.log(step, values)
