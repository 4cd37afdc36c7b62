"""Effect of the number of a drive's frames on fine-tuning, everything else equal.

    python benchmarks/driver_frames.py --drive FOLDER --weights base.safetensors [--counts 500 1000] [--seeds 0 1]

`--drive` is a folder of `gazeworks driver synth`. The estimator is fine-tuned on each number of frames, once for each
seed, and every result is measured on the test blocks of the largest extraction; a frame's error is the mean over the
seeds. Blocks are cut by time, so the test blocks of one extraction are those of all. Prints JSON, which
`--record FOLDER` keeps; the work folder keeps what was computed, so an interrupted run goes on.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from gaze_core.config import Runtime
from gaze_core.driver.blocks import IntervalConfig, block_interval
from gaze_core.driver.report import METRICS, errors_deg
from gaze_core.driver.shipped_files import SETTINGS_FILE, TABLE_FILE
from gaze_core.errors import GazeworksError
from gaze_core.plans.driver import driver_plan
from gaze_core.stages.context import StageContext
from gaze_core.stages.driver import evaluate, extract, finetune
from tasks.measurements import record_values


def context(folder: Path) -> StageContext:
    """A stage context that works in this folder, on the best device."""
    folder.mkdir(parents=True, exist_ok=True)
    return StageContext(Runtime(progress=False), folder)


def extracted(drive: Path, count: int, work: Path) -> Path:
    """Folder of `count` evenly spaced frames of the drive, extracted unless done before."""
    folder = work / f"extract_{count}"
    if not (folder / "done").exists():
        inputs = {}
        for name, path in (("video", next(drive.glob("*.mp4"))), ("sensors", drive / TABLE_FILE)):
            inputs[name] = folder / "inputs" / name
            inputs[name].mkdir(parents=True, exist_ok=True)
            shutil.copy(path, inputs[name])
        plan = driver_plan("full", "whole", drive / SETTINGS_FILE, count)
        extract.run(plan.extract, inputs, context(folder))
        (folder / "done").touch()
    return folder / "drive"


def tuned(data: Path, weights: Path, preset: str, seed: int, folder: Path) -> Path:
    """Folder of the estimator after fine-tuning on one extraction."""
    if not (folder / "done").exists():
        config = finetune.FINETUNE_PRESETS[preset].model_copy(update={"seed": seed})
        finetune.run(config, {"data": data, "base": weights}, context(folder))
        (folder / "done").touch()
    return folder


def errors_of(data: Path, checkpoint: Path, folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Errors of each test frame, and the frames' times."""
    evaluate.run(evaluate.DriverEvaluateConfig(), {"data": data, "checkpoint": checkpoint}, context(folder))
    evaluation = evaluate.read_driver_evaluation(folder)
    return errors_deg(np.array(evaluation.predicted["model"]), np.array(evaluation.truth)), np.array(evaluation.times_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--drive", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[500, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--preset", default="full")
    parser.add_argument("--work", type=Path, default=Path("driver_frames"))
    parser.add_argument("--record", type=Path, help="folder of records, such as docs/measured/driver_frames_full")
    options = parser.parse_args()
    counts = sorted(options.counts)
    drives = {count: extracted(options.drive, count, options.work) for count in counts}
    test = drives[counts[-1]]
    result: dict[str, object] = {"preset": options.preset, "seeds": options.seeds}
    means: dict[int, dict[str, np.ndarray]] = {}
    for count in counts:
        rows, started_s = [], time.monotonic()
        for seed in options.seeds:
            folder = options.work / f"{options.preset}_{count}_{seed}"
            checkpoint = tuned(drives[count], options.weights, options.preset, seed, folder)
            errors, times_s = errors_of(test, checkpoint, folder / "evaluation")
            rows.append(errors)
        means[count] = {metric: np.mean([row[metric] for row in rows], axis=0) for metric in METRICS}
        result[str(count)] = {
            "seconds": round(time.monotonic() - started_s, 1),
            "each_seed_angular_deg": [float(row["angular_deg"].mean()) for row in rows],
            **{metric: summary(values, times_s) for metric, values in means[count].items()},
        }
    for fewer, more in zip(counts, counts[1:], strict=False):
        result[f"gain of {more} over {fewer}"] = {
            metric: summary(means[fewer][metric] - means[more][metric], times_s) for metric in METRICS
        }
    if options.record:
        record_values(options.record, f"fine-tuning by {counts} frames of a drive, preset {options.preset}", result)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def summary(values: np.ndarray, times_s: np.ndarray) -> dict[str, float]:
    """Mean and 95 % interval by blocks of time."""
    low, high = block_interval(values, times_s, IntervalConfig())
    return {"mean": float(values.mean()), "low": low, "high": high, "frames": len(values)}


if __name__ == "__main__":
    try:
        main()
    except GazeworksError as error:
        sys.exit(f"error: {error}")
