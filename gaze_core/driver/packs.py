"""What ships for drives: an estimator of rendered people to fine-tune, and a short rendered drive of somebody else.

`python -m gaze_core.driver.packs base WEIGHTS` puts what `gazeworks driver pretrain` made from `PEOPLE` in place, as 16-bit
numbers; `python -m gaze_core.driver.packs drive FOLDER` renders the drive in FOLDER (an earlier one goes on).
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from gaze_core.artifacts import file_sha256
from gaze_core.atomic import replacing, write_text
from gaze_core.driver.checkpoints import KIND, load_estimator
from gaze_core.driver.drive_files import synthesize_drive
from gaze_core.driver.drive_plan import DriveConfig
from gaze_core.driver.people import driver_people
from gaze_core.driver.shipped_files import BASE_FILE, FACTS_FILE, SETTINGS_FILE, TABLE_FILE, VIDEO_FILE, shipped
from gaze_core.errors import BadInput
from gaze_core.training.checkpoint import load_weights, read_card

PEOPLE = driver_people(count=60, images=32, size_px=96, num_samples=8)
DRIVE = DriveConfig(identity_seed=83, seed=5, num_keys=330, frames_per_key=4, frames_per_s=15, head_px=160)


def base_facts() -> dict[str, Any]:
    """How the shipped estimator was made: commands, people, validation error, network, date, and the file's hash."""
    facts: dict[str, Any] = json.loads(shipped(FACTS_FILE).read_text(encoding="utf-8"))
    return facts


def ship_base(weights: Path, out: Path) -> None:
    """Writes the weights of a pretraining as 16-bit numbers to `out`, and beside them how they were made.

    Raises:
        BadInput: they are no estimator of `driver pretrain`, or one of other people than `PEOPLE`.
    """
    load_estimator(weights)
    card = read_card(weights, KIND)
    trained, validated = (card["trained_on"].get(role, []) for role in ("train", "validation"))
    if sorted([*trained, *validated]) != [one.subject for one in PEOPLE]:
        raise BadInput(f"{weights}: of {len(trained)} + {len(validated)} people, expected the {len(PEOPLE)} of PEOPLE")
    tensors = {name: one.half() if one.is_floating_point() else one for name, one in load_weights(weights).items()}
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / BASE_FILE) as partial:
        save_file(tensors, partial, metadata={"card": json.dumps(card, sort_keys=True)})
    facts = {
        "commands": _commands(card),
        "people": {"train": len(trained), "validation": len(validated)},
        "images_each": PEOPLE[0].num_images,
        "validation_gaze_error_deg": card["validation_gaze_error_deg"],
        "network": card["network"],
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "sha256": file_sha256(out / BASE_FILE),
    }
    write_text(out / FACTS_FILE, json.dumps(facts, indent=1) + "\n")


def _commands(card: Mapping[str, Any]) -> list[str]:
    first, network, fit = PEOPLE[0], card["network"], card["config"]["fit"]
    return [
        f"gazeworks driver people --count {len(PEOPLE)} --images {first.num_images} --size {first.view.size_px} "
        f"--samples {first.num_samples} --out people",
        f"gazeworks driver pretrain --people people --backbone {network['backbone']} --image-px {network['image_px']} "
        f"--steps {fit['num_steps']} --out base.safetensors",
        "python -m gaze_core.driver.packs base base.safetensors",
    ]


def ship_drive(folder: Path, out: Path, num_workers: int) -> None:
    """Renders the drive in `folder` and copies its video, table and settings to `out`."""
    synthesize_drive(DRIVE, folder, num_workers)
    out.mkdir(parents=True, exist_ok=True)
    for name in (VIDEO_FILE, TABLE_FILE, SETTINGS_FILE):
        shutil.copyfile(folder / name, out / name)


def main(arguments: list[str]) -> None:
    """Makes what ships again, in place."""
    if len(arguments) != 2 or arguments[0] not in ("base", "drive"):
        raise BadInput(f"arguments {arguments}; expected: base WEIGHTS, or: drive FOLDER")
    path = Path(arguments[1])
    if arguments[0] == "base":
        ship_base(path, shipped())
    else:
        ship_drive(path, shipped(), os.cpu_count() or 1)


if __name__ == "__main__":
    main(sys.argv[1:])
