"""Pairs of input and target frames for redirection, from a file or from a recorded seed.

A pair file is CSV with the columns `dataset,subject,input_index,target_index`, indices as in the subject's file. The
lists published with GazeNeRF (one integer a line, reused for every subject) are imported by `from_published_list`.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from gaze_core.errors import BadInput
from gaze_core.reproducibility import generator

COLUMNS = ("dataset", "subject", "input_index", "target_index")


@dataclass(frozen=True)
class Pairs:
    """Frames of one subject: the head of `inputs[k]` is redirected to the gaze and pose of `targets[k]`."""

    inputs: tuple[int, ...]
    targets: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets) or not self.inputs:
            raise BadInput(
                f"{len(self.inputs)} inputs and {len(self.targets)} targets; expected equally many, at least one"
            )
        if same := [a for a, b in zip(self.inputs, self.targets, strict=True) if a == b]:
            raise BadInput(f"frame {same[0]} is paired with itself; expected two different frames")


def seeded_pairs(frames: Sequence[int], seed: int) -> Pairs:
    """Each frame once as input and once as target: its successor in a seeded circle through all.

    Raises:
        BadInput: fewer than two frames.
    """
    if len(frames) < 2:
        raise BadInput(f"{len(frames)} held-out frames; expected at least 2, to redirect each to another's gaze")
    return Pairs(tuple(frames), tuple(frames[there] for there in derangement(len(frames), seed)))


def derangement(count: int, seed: int) -> list[int]:
    """For each of `count` samples another one, each used once: the successor in a seeded circle through all."""
    order = torch.randperm(count, generator=generator("pairs", seed)).tolist()
    partner = [0] * count
    for here, there in zip(order, order[1:] + order[:1], strict=True):
        partner[here] = there
    return partner


def read_pairs(path: Path, dataset: str) -> dict[str, Pairs]:
    """The pairs of one data set by subject, in the order of the file.

    Raises:
        BadInput: the file is missing or malformed, pairs a frame with itself, or has no pair of this data set.
    """
    rows: dict[str, list[tuple[int, int]]] = {}
    for number, row in enumerate(_table(path), start=2):
        if row["dataset"] != dataset:
            continue
        try:
            pair = int(row["input_index"]), int(row["target_index"])
        except (TypeError, ValueError) as error:
            raise BadInput(f"{path}:{number}: expected two frame numbers, found {list(row.values())}") from error
        if min(pair) < 0 or pair[0] == pair[1]:
            raise BadInput(f"{path}:{number}: frames {pair[0]} and {pair[1]}; expected two different ones, from 0")
        rows.setdefault(row["subject"], []).append(pair)
    if not rows:
        raise BadInput(f"{path}: no pair of data set {dataset!r}; see the column 'dataset'")
    return {
        subject: Pairs(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
        for subject, pairs in sorted(rows.items())
    }


def write_pairs(path: Path, dataset: str, pairs: dict[str, Pairs]) -> None:
    """Writes a pair file that `read_pairs` reads."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for subject, chosen in sorted(pairs.items()):
            writer.writerows((dataset, subject, *pair) for pair in zip(chosen.inputs, chosen.targets, strict=True))


def from_published_list(
    path: Path,
    subjects: Sequence[str],
    expected: int | None = None,
    lines_hold: Literal["targets", "inputs"] = "targets",
) -> dict[str, Pairs]:
    """The published form: line i (from 0) holds the frame of the target whose input is frame i, for every subject.

    Some code reads these lists the other way round, so the direction is explicit: `lines_hold`.

    Raises:
        BadInput: the file is missing, a line is not one integer, or the number of lines is not as expected.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a published pair list, one target frame a line")
    lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    if wrong := [line for line in lines if not line.isdecimal()]:
        raise BadInput(f"{path}: found {wrong[0]!r}; expected one frame number a line")
    if expected is not None and len(lines) != expected:
        raise BadInput(f"{path}: {len(lines)} lines, expected {expected}; is it the list of another data set?")
    counted, listed = tuple(range(len(lines))), tuple(int(line) for line in lines)
    pairs = Pairs(counted, listed) if lines_hold == "targets" else Pairs(listed, counted)
    return dict.fromkeys(subjects, pairs)


def _table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a pair file with the columns {','.join(COLUMNS)}")
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise BadInput(
                f"{path}: columns {','.join(reader.fieldnames or ())}; expected {','.join(COLUMNS)}; import a "
                "published list with: gazeworks pairs"
            )
        return list(reader)
