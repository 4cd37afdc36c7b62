"""The state of a run that outlives a step, on disk and in memory."""

import logging
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from gaze_core.config import Runtime
from gaze_core.training.checkpoint import (
    BEST_FILE,
    epoch_file,
    load_resume_state,
    save_resume_state,
    save_weights,
)
from gaze_core.training.history import read_history, write_history
from gaze_core.training.task import FitConfig, FitSummary, MetricSink, Task


class RunState:
    """Counters, history, best weights: all but the weights at hand that an interrupted run needs to go on."""

    def __init__(
        self, task: Task, config: FitConfig, work_dir: Path, optimizer: Any, sink: MetricSink | None,
        logger: logging.Logger | None, writes: bool,
    ) -> None:  # fmt: skip
        self.task, self.config, self.work_dir, self.optimizer = task, config, work_dir, optimizer
        self.sink, self.logger, self.writes = sink, logger, writes
        self.step, self.last_total = 0, math.nan
        self.best: float | None = None
        self.num_bad_validations = 0
        self.history: list[dict[str, float]] = []
        self.epoch_sums: dict[str, float] = {}
        self.epoch_steps = 0
        work_dir.mkdir(parents=True, exist_ok=True)

    def restore(self) -> int:
        """The step from which to go on."""
        state = load_resume_state(self.work_dir)
        if state is None:
            return 0
        self.task.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in _COUNTERS:
            setattr(self, name, state[name])
        rows = read_history(self.work_dir)
        self.history = [row for row in rows if row["step"] <= self.step]  # steps after the checkpoint run again
        return self.step

    def finished_step(self, step: int, values: dict[str, float], runtime: Runtime) -> None:
        """Counts, logs, validates and saves whatever is due after this step."""
        self.step, self.last_total = step, sum(values.values())
        values = values | {"total": self.last_total}
        for name, value in values.items():
            self.epoch_sums[name] = self.epoch_sums.get(name, 0.0) + value
        self.epoch_steps += 1
        if step % runtime.log_every_steps == 0:
            self._log(step, values)
        epoch = self.config.epochs_done(step, self.task.num_samples)
        ends_epoch = epoch > self.config.epochs_done(step - 1, self.task.num_samples)
        every = self.config.validate_every_steps
        if (every and step % every == 0) or (ends_epoch and self.config.validate_every_epoch):
            self.validate()
        if ends_epoch:
            self._finish_epoch(epoch)
        # A run that is counted in steps may have epochs of a single one.
        if (ends_epoch and self.config.num_epochs) or step % runtime.checkpoint_every_steps == 0:
            self.save()

    def validate(self) -> None:
        """Measures the weights at hand and keeps them if they are the best so far."""
        assert self.task.validate is not None
        self.task.model.eval()
        with torch.no_grad():
            value = self.task.validate(self.task.model)
        self.task.model.train()
        self._log(self.step, {"validation": value})
        if self.best is None or value < self.best - self.config.min_delta:
            self.best, self.num_bad_validations = value, 0
            if self.writes:
                save_weights(self.work_dir / BEST_FILE, self.task.model, {"step": self.step})
        else:
            self.num_bad_validations += 1

    def _finish_epoch(self, epoch: int) -> None:
        means = {name: value / self.epoch_steps for name, value in self.epoch_sums.items()}
        self.epoch_sums, self.epoch_steps = {}, 0
        if self.logger:
            of = f" of {self.config.num_epochs}" if self.config.num_epochs else ""
            shown = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
            best = "" if self.best is None else f"; best validation {self.best:.4g}"
            self.logger.info("epoch %d%s: %s%s", epoch, of, shown, best)
        keep = self.config.keep_every_epochs
        if self.writes and self.task.save_epoch and keep and epoch % keep == 0:
            self.task.save_epoch(self.work_dir / epoch_file(epoch))

    def save(self) -> None:
        """Replaces what an interrupted run goes on from."""
        if not self.writes:
            return
        write_history(self.work_dir, self.history)
        state = {"model": self.task.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        save_resume_state(self.work_dir, state | {name: getattr(self, name) for name in _COUNTERS})

    def finish(self, first_step: int, seconds: float, stopped_early: bool) -> FitSummary:
        """Leaves the best weights in the model."""
        if self.best is not None:
            self.task.model.load_state_dict(load_file(self.work_dir / BEST_FILE))
        return FitSummary(self.step, first_step, seconds, self.best, stopped_early, self.history)

    def _log(self, step: int, values: dict[str, float]) -> None:
        self.history.append({"step": step, **values})
        if self.sink:
            self.sink.log(step, values)


_COUNTERS = ("step", "best", "num_bad_validations", "epoch_sums", "epoch_steps")
