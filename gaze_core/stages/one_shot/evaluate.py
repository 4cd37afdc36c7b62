"""Stage: measures a redirector on test samples of one person, with rows that need no adapting and the judge's floor."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from pydantic import NonNegativeInt, PositiveInt

from gaze_core.artifacts import Produced
from gaze_core.assets import find
from gaze_core.config import Config
from gaze_core.errors import ContractViolation, MissingArtifact
from gaze_core.evaluation.identity import FaceDescriptor
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.losses.image import masked_l1
from gaze_core.one_shot.band import Band, put_back
from gaze_core.one_shot.checkpoints import Redirector, load_redirector
from gaze_core.one_shot.face_judge import FaceJudgeName, read_faces
from gaze_core.one_shot.objective import PairTensors, eye_psnr_db, make_bands, pair_tensors
from gaze_core.one_shot.report import Measured, OneShotEvaluation, SweepRow, as_numbers
from gaze_core.one_shot.samples import Samples, band_images, band_tensor, pair_candidates, read_samples
from gaze_core.one_shot.selection import SplitConfig, split_person
from gaze_core.preprocess.images import write_png
from gaze_core.reproducibility import choose_device
from gaze_core.stages.context import Inputs, StageContext

NAME, VERSION = "one_shot_evaluate", 2
EVALUATION_FILE, EXAMPLES, SWEEP = "one_shot_evaluation.json", "examples", "sweep"
_CHUNK, _MIN_FOR_BIAS = 8, 4
_SWEEP_DEG = [(pitch, yaw) for pitch in (12.0, 0.0, -15.0) for yaw in (20.0, 0.0, -20.0)]
Faces = UInt8[np.ndarray, "n 256 256 3"]


class OneShotEvaluateConfig(Config):
    """Whose test samples, and who reads the gaze."""

    split: SplitConfig = SplitConfig()
    person: NonNegativeInt = 0  # number in the prepared samples: 0 is adapted to, 1 is somebody else
    judge: FaceJudgeName = "cnn"
    most_for_judge: PositiveInt = (
        40  # samples besides the test samples on which the judge's bias for the person is measured
    )
    num_shown: PositiveInt = 6


def run(config: OneShotEvaluateConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Measures `inputs["checkpoint"]` on `inputs["data"]`. References are samples that may adapt, never test samples.

    Raises:
        BadInput: too few samples.
        ContractViolation: the checkpoint was adapted with test samples.
    """
    every = read_samples(inputs["data"])
    name = every.names[config.person]
    samples = every.subset(every.of(name))
    split = split_person(len(samples), config.split, name)
    loaded = load_redirector(inputs["checkpoint"], context.runtime)
    _require_unseen(loaded, name, {int(samples.row[i]) for i in split.test})
    device = choose_device(context.runtime)
    targets = torch.tensor(split.test)
    references = pair_candidates(samples, split.adapt).best(targets)
    made = _Made(loaded, samples, device)
    constant = samples.gaze[list(split.adapt)].mean(axis=0)
    bands = {
        "model": made.bands(targets, references),
        "constant gaze": made.bands(targets, references, np.tile(constant, (len(targets), 1))),
        "do nothing": samples.band[references.numpy()],
        "truth": samples.band[targets.numpy()],
        "autoencoder": made.through_autoencoder(targets),
    }
    others = [index for index in range(len(samples)) if index not in set(split.test)][: config.most_for_judge]
    judge = _Judge.of(config.judge, samples, others)
    measured, absent = _measured(bands, samples, targets, judge)
    rows = _sweep(made, samples, int(targets[_frontal(samples, split.test)]), references, judge, context)
    _write_examples(bands, samples, targets, references, config.num_shown, context.work_dir / EXAMPLES)
    outside = _outside(bands["model"], samples, targets)
    evaluation = OneShotEvaluation(
        person=name, rows=tuple(int(samples.row[i]) for i in split.test),
        reference_rows=tuple(int(samples.row[i]) for i in references), judge=config.judge,
        judge_bias_deg=(float(np.rad2deg(judge.bias_rad[0])), float(np.rad2deg(judge.bias_rad[1]))),
        measured=measured, sweep=rows,
        outside_changed=outside, identity_absent=absent,
        trained_parameters=loaded.card["config"].get("num_trained"),
        strategy=str(loaded.card["config"].get("strategy", "")), num_adapt=len(loaded.card.get("adapted_rows", ())),
    )  # fmt: skip
    path = context.work_dir / EVALUATION_FILE
    path.write_text(evaluation.model_dump_json(indent=1))
    files = {EVALUATION_FILE: path}
    for folder in (EXAMPLES, SWEEP):
        files |= {f"{folder}/{one.name}": one for one in sorted((context.work_dir / folder).glob("*.png"))}
    metrics = ("eye_psnr_db", "gaze_error_deg", "gaze_from_recorded_deg")
    numbers = {metric: evaluation.mean("model", metric) for metric in metrics}
    return Produced(kind="report", files=files, metrics={k: v for k, v in numbers.items() if v is not None})


def read_one_shot_evaluation(folder: Path) -> OneShotEvaluation:
    """The evaluation that this stage wrote.

    Raises:
        ContractViolation: the folder has none.
    """
    try:
        return OneShotEvaluation.model_validate_json((folder / EVALUATION_FILE).read_text())
    except (OSError, ValueError) as error:
        raise ContractViolation(f"{folder}: no evaluation of a one-shot redirector ({error})") from error


class _Made:
    """Bands that a redirector makes, in small batches."""

    def __init__(self, loaded: Redirector, samples: Samples, device: torch.device) -> None:
        self.loaded, self.samples, self.device = loaded, samples, device

    @torch.no_grad()
    def bands(
        self, targets: torch.Tensor, references: torch.Tensor, gaze: Float[np.ndarray, "n 2"] | None = None
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """One band for each pair, looking along its own gaze or along `gaze`."""
        parts = []
        for start in range(0, len(targets), _CHUNK):
            part = slice(start, start + _CHUNK)
            pairs: PairTensors = pair_tensors(self.samples, targets[part], references[part], self.device)
            wanted = None if gaze is None else torch.from_numpy(gaze[part]).float().to(self.device)
            parts.append(band_images(make_bands(self.loaded.model, self.loaded.autoencoder, pairs, wanted)))
        return np.concatenate(parts)

    @torch.no_grad()
    def through_autoencoder(self, targets: torch.Tensor) -> UInt8[np.ndarray, "n h w 3"]:
        """The recorded bands, encoded and decoded."""
        bands = band_tensor(self.samples.band[targets.numpy()]).to(self.device)
        coder = self.loaded.autoencoder
        return np.concatenate([band_images(coder.decode(coder.encode(part))) for part in bands.split(_CHUNK)])


@dataclass(frozen=True, eq=False)
class _Judge:
    """A judge whose mean error on this person, on recorded pictures that are no test samples, is taken off."""

    name: FaceJudgeName
    bias_rad: Float[np.ndarray, "2"]

    @classmethod
    def of(cls, name: FaceJudgeName, samples: Samples, positions: list[int]) -> Self:
        gaze, valid = read_faces(samples.face[positions], name)
        differences = (gaze - samples.gaze[positions])[valid]
        return cls(name, differences.mean(axis=0) if len(differences) >= _MIN_FOR_BIAS else np.zeros(2))

    def read(self, faces: Faces) -> tuple[Float[np.ndarray, "n 2"], Bool[np.ndarray, " n"]]:
        """`[pitch, yaw]` in radians, and whether each was read."""
        gaze, valid = read_faces(faces, self.name)
        return gaze - self.bias_rad, valid


def _require_unseen(loaded: Redirector, name: str, test_rows: set[int]) -> None:
    if name in loaded.card["trained_on"].get("pretraining", ()):
        raise ContractViolation(f"person {name}: the checkpoint was pretrained on this person; choose another person")
    adapted = loaded.card["trained_on"].get("adapted", ())
    if name in adapted and (seen := test_rows & set(loaded.card.get("adapted_rows", ()))):
        raise ContractViolation(
            f"person {name}: the checkpoint was adapted with {len(seen)} of the test samples; evaluate with the same split"
        )


def _faces(bands: UInt8[np.ndarray, "n h w 3"], samples: Samples, targets: torch.Tensor) -> Faces:
    """The recorded faces with the eyes of the bands."""
    return np.stack([
        put_back(samples.face[i], band, Band(band, samples.mask[i], tuple(samples.origin_px[i])))
        for i, band in zip(targets.tolist(), bands, strict=True)
    ])  # fmt: skip


def _measured(
    bands: dict[str, np.ndarray], samples: Samples, targets: torch.Tensor, judge: "_Judge"
) -> tuple[dict[str, Measured], str]:
    truth, mask = band_tensor(bands["truth"]), torch.from_numpy(samples.mask[targets.numpy()])[:, None].float() / 255
    labels = torch.from_numpy(samples.gaze[targets.numpy()]).double()
    try:
        path = find("face_descriptor")
        describe, absent = (
            (FaceDescriptor(path), "") if path else (None, "dlib's face descriptor is not on this machine")
        )
    except MissingArtifact as error:
        describe, absent = None, str(error)
    landmarks = torch.from_numpy(samples.landmarks_px[targets.numpy()]).float()
    recorded = _tensor(samples.face[targets.numpy()])
    seen, was_seen = judge.read(samples.face[targets.numpy()])
    recorded_gaze = torch.from_numpy(seen).double()
    out = {}
    for name, made in bands.items():
        made_tensor, faces = band_tensor(made), _faces(made, samples, targets)
        gaze, valid = judge.read(faces)
        errors, moved = (
            angular_error_deg(torch.from_numpy(gaze).double(), other).numpy() for other in (labels, recorded_gaze)
        )
        identity = np.full(len(targets), np.nan)
        if describe is not None and name in ("model", "do nothing"):
            identity = describe.distance(_tensor(faces), recorded, landmarks).numpy()
        psnr = eye_psnr_db(made_tensor, truth, mask).numpy()
        out[name] = Measured(
            eye_psnr_db=as_numbers(np.where(psnr < 99, psnr, np.nan)),
            mask_l1=as_numbers(np.array([
                float(masked_l1(made_tensor[i : i + 1], truth[i : i + 1], mask[i : i + 1])) for i in range(len(truth))
            ])),
            gaze_error_deg=as_numbers(np.where(valid, errors, np.nan)),
            gaze_from_recorded_deg=as_numbers(np.where(valid & was_seen, moved, np.nan)),
            identity=as_numbers(identity),
        )  # fmt: skip
    return out, absent


def _tensor(faces: Faces) -> Float[torch.Tensor, "n 3 h w"]:
    return torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 255


def _frontal(samples: Samples, test: tuple[int, ...]) -> int:
    """The test sample whose head faces the camera most."""
    return int(np.linalg.norm(samples.head[list(test)], axis=1).argmin())


def _sweep(
    made: _Made, samples: Samples, target: int, references: torch.Tensor, judge: "_Judge",
    context: StageContext,
) -> tuple[SweepRow, ...]:  # fmt: skip
    """Nine gazes of one test sample, written as pictures and read by the judge."""
    count = len(_SWEEP_DEG)
    targets = torch.full((count,), target)
    reference = references[0].expand(count)
    bands = made.bands(targets, reference, np.deg2rad(_SWEEP_DEG))
    faces = _faces(bands, samples, targets)
    (context.work_dir / SWEEP).mkdir(exist_ok=True)
    for index, face in enumerate(faces):
        write_png(context.work_dir / SWEEP / f"{index}.png", face)
    gaze, valid = judge.read(faces)
    return tuple(
        SweepRow(asked_deg=asked, read_deg=tuple(np.rad2deg(read).tolist()) if ok else None)
        for asked, read, ok in zip(_SWEEP_DEG, gaze, valid, strict=True)
    )


def _write_examples(
    bands: dict[str, np.ndarray], samples: Samples, targets: torch.Tensor, references: torch.Tensor, count: int, folder: Path
) -> None:  # fmt: skip
    """For evenly spaced test samples: reference, recorded, made."""
    folder.mkdir(exist_ok=True)
    faces = _faces(bands["model"], samples, targets)
    for number, index in enumerate(np.linspace(0, len(targets) - 1, min(count, len(targets))).round().astype(int)):
        shown = (samples.face[int(references[index])], samples.face[int(targets[index])], faces[index])
        write_png(folder / f"{number}.png", np.concatenate([face[20:148] for face in shown], axis=1))


def _outside(made: np.ndarray, samples: Samples, targets: torch.Tensor) -> float:
    """The largest change outside the masks, of 255."""
    largest = 0
    for index, face in zip(targets.tolist(), _faces(made, samples, targets), strict=True):
        left, top = samples.origin_px[index]
        outside = np.ones(face.shape[:2], bool)
        height, width = samples.mask[index].shape
        outside[top : top + height, left : left + width] = samples.mask[index] == 0
        change = np.abs(face.astype(int) - samples.face[index].astype(int)).max(axis=-1)
        largest = max(largest, int(change[outside].max()))
    return float(largest)
