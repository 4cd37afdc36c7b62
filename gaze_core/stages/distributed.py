"""Runs a training stage in several processes of one machine, one per device, connected by torch.distributed.

Each process runs the same stage on the same inputs. `fit()` divides the batches among them, and only rank 0 writes files.
Rank 0 sends messages as lines on its standard output; the parent process turns them into log records, metrics and
progress callbacks, as in a run of one process. The child processes end with the parent, however it ends, because their
standard input closes.
"""

import importlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, Self

from pydantic import TypeAdapter

from gaze_core import errors
from gaze_core.artifacts import Produced
from gaze_core.config import Config, Runtime
from gaze_core.errors import BadInput, GazeworksError
from gaze_core.reproducibility import choose_device
from gaze_core.stages.context import Inputs, Stage, StageContext

JOB_FILE, RESULT_FILE = "job.json", "result.json"
_PRODUCED = TypeAdapter(Produced)
_PREFIX = "\x1egazeworks "  # of a line that is a message; all other output of a process is logged


def run_stage(stage: Stage, config: Config, inputs: Inputs, context: StageContext) -> Produced:
    """Runs a stage in this process or, if it trains and `runtime.num_processes` is above 1, in several processes.

    Raises:
        BadInput: there are fewer CUDA devices than processes; also whatever the stage raises.
    """
    count = context.runtime.num_processes
    if count == 1 or not getattr(stage, "TRAINS", False):
        return stage.run(config, inputs, context)
    _require_devices(context.runtime)
    job = _Job(stage.__name__, config, inputs, context.runtime)  # type: ignore[attr-defined]
    context.work_dir.mkdir(parents=True, exist_ok=True)
    (context.work_dir / JOB_FILE).write_text(job.to_json())
    (context.work_dir / RESULT_FILE).unlink(missing_ok=True)
    _launch(count, context)
    return _PRODUCED.validate_json((context.work_dir / RESULT_FILE).read_text())


def _require_devices(runtime: Runtime) -> None:
    if choose_device(runtime).type == "cuda":
        import torch

        if runtime.num_processes > (found := torch.cuda.device_count()):
            raise BadInput(
                f"num_processes {runtime.num_processes}: this machine has {found} CUDA devices; ask for fewer"
            )


@dataclass(frozen=True)
class _Job:
    """The job description that every process reads."""

    stage: str
    config: Config
    inputs: Inputs
    runtime: Runtime

    def to_json(self) -> str:
        """The job as JSON."""
        return json.dumps({name: _plain(value) for name, value in vars(self).items()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The job from its JSON."""
        return cls(**{name: _value(plain) for name, plain in json.loads(text).items()})


def _plain(value: Any) -> Any:
    """A value of a job for JSON; types that JSON lacks are tagged with their kind."""
    if isinstance(value, Config):
        kind = f"{type(value).__module__}:{type(value).__qualname__}"
        return {"config": kind, "values": value.model_dump(mode="json")}
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, Mapping):
        return {"mapping": {name: _plain(item) for name, item in value.items()}}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _value(plain: Any) -> Any:
    """The value that `_plain` wrote."""
    if isinstance(plain, list):
        return tuple(_value(item) for item in plain)
    if not isinstance(plain, dict):
        return plain
    if "path" in plain:
        return Path(plain["path"])
    if "mapping" in plain:
        return {name: _value(item) for name, item in plain["mapping"].items()}
    module, _, name = plain["config"].partition(":")
    return attrgetter(name)(importlib.import_module(module)).model_validate(plain["values"])


def _launch(count: int, context: StageContext) -> None:
    """Starts the processes and waits for them; the first failure ends all."""
    shared = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(count)}
    shared |= {"LOCAL_WORLD_SIZE": str(count), "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count))}
    command = [sys.executable, "-m", "gaze_core.stages.distributed", str(context.work_dir)]
    processes: list[subprocess.Popen[str]] = []
    try:
        for rank in range(count):
            environment = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
            pipe = subprocess.PIPE
            processes.append(subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1))
        first, *others = processes
        errors_sent: list[GazeworksError] = []
        for other in others:
            threading.Thread(target=_watch, args=(other, first, context.logger, errors_sent), daemon=True).start()
        error = _relay(first.stdout, context)
        if error is None and first.wait():  # a failing process sends its error before rank 0 is killed
            error = next(iter(errors_sent), None)
        if error is not None:
            raise error
        if any(process.wait() for process in processes):
            codes = [process.poll() for process in processes]
            raise RuntimeError(f"the {count} training processes ended with codes {codes}; see their output above")
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _watch(
    process: "subprocess.Popen[str]",
    first: "subprocess.Popen[str]",
    logger: logging.Logger,
    errors_sent: list[GazeworksError],
) -> None:
    """Logs the output of a process and collects the error it sends. Kills rank 0, which would wait forever, if it fails."""
    for line in process.stdout or ():
        if line.startswith(_PREFIX):
            errors_sent.append(_error(json.loads(line.removeprefix(_PREFIX))))
        else:
            logger.debug("%s", line.rstrip())
    if process.wait():
        first.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _relay(lines: IO[str] | None, context: StageContext) -> GazeworksError | None:
    """Forwards the messages of rank 0 until it ends; returns the error that it sent, if any."""
    assert lines is not None
    error = None
    for line in lines:
        if not line.startswith(_PREFIX):
            context.logger.info("%s", line.rstrip())
            continue
        message = json.loads(line.removeprefix(_PREFIX))
        if "metrics" in message:
            context.log.log(message["step"], message["metrics"])
        elif "loss" in message:
            context.progress(message["step"], message["num_steps"], message["loss"])
        elif "log" in message:
            context.logger.log(message["level"], "%s", message["log"])
        else:
            error = _error(message)
    return error


def _error(message: Mapping[str, str]) -> GazeworksError:
    """The error in a message."""
    kind: type[GazeworksError] = getattr(errors, message["error"])
    return kind(message["text"])


class _MessageWriter(logging.Handler):
    """The metric sink, progress callback and log handler of rank 0, which sends messages to the parent process."""

    def send(self, **message: Any) -> None:
        sys.stdout.write(_PREFIX + json.dumps(message) + "\n")
        sys.stdout.flush()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """A row of metrics."""
        self.send(step=step, metrics=dict(values))

    def __call__(self, step: int, num_steps: int, loss: float) -> None:
        """A finished step."""
        self.send(step=step, num_steps=num_steps, loss=loss)

    def emit(self, record: logging.LogRecord) -> None:
        """A log record."""
        self.send(log=record.getMessage(), level=record.levelno)


def main(arguments: Sequence[str]) -> int:
    """Main function of each process: `python -m gaze_core.stages.distributed WORK_DIR`; the environment has its rank."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work_dir, is_main_process = Path(arguments[0]), os.environ["RANK"] == "0"
    job = _Job.from_json((work_dir / JOB_FILE).read_text())
    context, writer = StageContext(job.runtime, work_dir), _MessageWriter()
    if is_main_process:
        logger = logging.getLogger("gazeworks.distributed")
        logger.setLevel(logging.INFO)
        logger.addHandler(writer)
        logger.propagate = False
        context = replace(context, log=writer, progress=writer, logger=logger)
    try:
        produced = importlib.import_module(job.stage).run(job.config, job.inputs, context)
    except GazeworksError as error:
        writer.send(error=type(error).__name__, text=str(error))
        return 1
    if is_main_process:
        (work_dir / RESULT_FILE).write_bytes(_PRODUCED.dump_json(produced))
    return 0


def _end_with_parent() -> None:
    with suppress(OSError, ValueError):
        sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
