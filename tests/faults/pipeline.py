"""A pipeline of three stages that log each of their runs, for tests with several processes and for fault tests.

A program of its own, that prints how each stage came about:  python -m tests.faults.pipeline '{"num_steps": 40}'
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from prefect import flow

from gaze_core.artifacts import ArtifactRef, Produced
from gaze_core.config import Config, Runtime
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.training.checkpoint import load_resume_state, save_resume_state
from tasks.stage_task import stage_task, tracked_flow

STEP_S_VARIABLE, DIARY_VARIABLE = "PIPELINE_STEP_S", "PIPELINE_DIARY"
STAGES = ("gather", "learn", "judge")


class LearnConfig(Config):
    """`salt` makes the computation different from those of other tests."""

    num_steps: int = 10
    rate: float = 0.5
    salt: str = ""


class JudgeConfig(Config):
    """Configuration of the last stage."""

    threshold: float = 1.0
    salt: str = ""


@dataclass
class Recorded:
    """A stage module's twin that goes on from its last checkpoint and notes each start in `$PIPELINE_DIARY`."""

    name: str
    VERSION: int = 1

    def run(self, config: LearnConfig | JudgeConfig, inputs: Inputs, context: StageContext) -> Produced:
        """Folds its steps into one number, which an uninterrupted and a resumed run have in common."""
        state = load_resume_state(context.work_dir) or {"step": 0, "value": 1.0}
        with Path(os.environ[DIARY_VARIABLE]).open("a") as diary:
            diary.write(f"{self.name} {state['step']}\n")
        step, value = int(state["step"]), float(state["value"])
        while step < getattr(config, "num_steps", 1):
            time.sleep(float(os.environ.get(STEP_S_VARIABLE, 0)))
            step, value = step + 1, value * 0.5 + step * 0.25
            context.log.log(step, {"loss": value})
            if step % context.runtime.checkpoint_every_steps == 0:
                save_resume_state(context.work_dir, {"step": step, "value": value, "weights": torch.ones(64)})
        result = context.work_dir / "result.json"
        result.write_text(json.dumps([value, config.model_dump(), sorted(inputs)]))
        return Produced("checkpoint", {"result.json": result}, {"value": value})


MODULES = {name: Recorded(name) for name in STAGES}


@stage_task("gather", MODULES["gather"])
def gather(config: LearnConfig, runtime: Runtime) -> ArtifactRef:
    """A stage without inputs."""
    ...


@stage_task("learn", MODULES["learn"])
def learn(data: ArtifactRef, config: LearnConfig, runtime: Runtime) -> ArtifactRef:
    """The longest stage."""
    ...


@stage_task("judge", MODULES["judge"])
def judge(data: ArtifactRef, checkpoint: ArtifactRef, config: JudgeConfig, runtime: Runtime) -> ArtifactRef:
    """A stage with both others as inputs."""
    ...


@flow(name="counted", persist_result=False)
def counted(
    num_steps: int = 10, rate: float = 0.5, threshold: float = 1.0, salt: str = "", num_workers: int = 0,
    checkpoint_every_steps: int = 5, force: tuple[str, ...] = (),
) -> dict[str, str]:  # fmt: skip
    """The pipeline; returns the outcome of each stage (computed, cached, resumed).

    Args:
        num_steps: Steps of `learn`.
        rate: A hyperparameter of `learn`.
        threshold: A setting of `judge`.
        salt: Makes the computation new.
        num_workers: Changes nothing.
        checkpoint_every_steps: Changes nothing either.
        force: Stages to compute anew.
    """
    runtime = Runtime(progress=False, num_workers=num_workers, checkpoint_every_steps=checkpoint_every_steps)
    with tracked_flow({"num_steps": num_steps, "rate": rate}, force) as ledger:
        data = gather(LearnConfig(num_steps=1, salt=salt), runtime)
        checkpoint = learn(data, LearnConfig(num_steps=num_steps, rate=rate, salt=salt), runtime)
        judge(data, checkpoint, JudgeConfig(threshold=threshold, salt=salt), runtime)
        return {outcome.stage: outcome.how for outcome in ledger.outcomes}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(counted(**json.loads(sys.argv[1]))) + "\n")
