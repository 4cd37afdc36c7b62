"""Stage: evaluates a trained GazeGaussian on unseen frames, and renders examples."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from gaze_core.artifacts import Produced, only_entry
from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch, HeadParameters
from gaze_core.data.people import Origin
from gaze_core.data.seen import Seen, require_unseen
from gaze_core.data.splits import SPLITS_FILE, Role, Splits, read_splits
from gaze_core.data.subjects import SubjectDataset, open_subject
from gaze_core.errors import BadInput
from gaze_core.evaluation.catalog import SECOND_METRIC
from gaze_core.evaluation.intervals import Bootstrap
from gaze_core.evaluation.judge import CnnJudge, Judge, require_no_critic
from gaze_core.evaluation.metric_networks import MetricNetworkName, MetricNetworks, available, load_metric_networks
from gaze_core.evaluation.pairs import Pairs
from gaze_core.evaluation.protocols import Protocol, pairs_of, protocol, protocol_of_source
from gaze_core.evaluation.readers import ReaderName, available_readers, reader, with_readers
from gaze_core.evaluation.redirection import HeldOut, evaluate
from gaze_core.evaluation.report_renderings import PitchYawDeg, ReportTargets, report_images
from gaze_core.evaluation.sweep import Sweep, sweep
from gaze_core.evaluation.sweep_blocks import sweep_sentences
from gaze_core.geometry.cameras import Camera
from gaze_core.models.redirection.gaze_gaussian import GazeGaussian
from gaze_core.reproducibility import choose_device
from gaze_core.sampling import evenly_spaced
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.redirection import gaze_gaussian

NAME, VERSION = "evaluate", 4
EVALUATION_FILE, IMAGES_FILE = "evaluation.json", "pictures.npz"


class EvaluateConfig(Config):
    """What is measured and rendered. Angles in degrees, `[pitch, yaw]`, head frame for gaze, camera frame for pose.

    `protocol` names a table of `protocols.toml`; empty means the one for held-out frames of the data's source.
    `instruments` are the metric networks that must be available: they decide which metrics a result has, so they are part
    of its cache key. So are `readers`, the gaze estimators that predict beside the judge where labels are estimates.
    """

    added_later: ClassVar[frozenset[str]] = frozenset({"readers"})

    judge: ReaderName = "cnn"
    # validation: for hyperparameter search; last_block: the end of a recording
    split: Literal["test", "validation", "last_block"] = "test"
    protocol: str = ""
    seed: NonNegativeInt = 0
    instruments: tuple[MetricNetworkName, ...] = ()
    readers: tuple[ReaderName, ...] = ()
    bootstrap: Bootstrap = Bootstrap()
    num_shown: PositiveInt = 4
    shown_gazes_deg: tuple[PitchYawDeg, ...] = ((0, 0), (0, 25), (0, -25), (15, 0), (-15, 0))
    shown_poses_deg: tuple[PitchYawDeg, ...] = ((0, -20), (0, 0), (0, 20))

    def with_available_metrics(self) -> "EvaluateConfig":
        """The configuration with all metric networks and readers that are available on this machine."""
        return self.model_copy(update={"instruments": available(), "readers": available_readers()})


def run(config: EvaluateConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Evaluates `inputs["checkpoint"]` on the test frames of `inputs["data"]`, or on the pairs of `inputs["pairs"]`.

    Raises:
        ContractViolation: the checkpoint, or the judge, has seen a test frame or the subject.
        BadInput, MissingArtifact: the data do not fit the protocol or the size that the checkpoint renders, or the
            protocol's pair list is missing.
    """
    model, card = gaze_gaussian.load(inputs["checkpoint"])
    networks = _with_readers(load_metric_networks(judge_of(config), config.instruments), config, inputs["data"])
    require_no_critic(networks.judge, _critic_sha256(card))
    device = choose_device(context.runtime)
    redirector = partial(render_rgb, model.to(device))
    pairs_file = only_entry(inputs["pairs"]) if inputs.get("pairs") else None
    chosen = _protocol(config, inputs["data"])
    dropped: Counter[str] = Counter()
    subjects, sigmas_rad = [], []
    for path, splits in held_out_files(inputs["data"], config.split):
        origin = Origin.read(path)
        chosen_pairs = pairs_of(chosen, splits.subject, getattr(splits, config.split), config.seed, pairs_file)
        frames = origin.at(tuple(sorted(set(chosen_pairs.targets))))
        require_unseen(f"judge {networks.judge.name!r}", networks.judge.seen, origin.person, frames)
        if config.split != "validation":
            require_unseen("the checkpoint", Seen.of_card(card), origin.person, frames)
        dataset = SubjectDataset(path)
        gaze_gaussian.require_image_px(model, dataset)
        subjects.append(_held_out(dataset, splits.subject, chosen_pairs, device, dropped))
        targets = np.isin(dataset.indices, subjects[-1].pairs.targets)
        sigmas_rad.append(dataset.labels["gaze_sigma_rad"][targets])
    examples = _example_heads(subjects, config.num_shown)
    record = chosen.record(config.seed, pairs_file, len(subjects), examples[0][1].rgb.shape[-1])
    if config.split == "last_block":
        record = record.model_copy(update={"title": "One recording, its last block held out"})
    report = evaluate(redirector, subjects, networks, record, config.bootstrap)
    swept = sweep(redirector, _named_frames(subjects), networks.readers) if networks.readers else Sweep()
    report = report.model_copy(update={"sweep": swept.lines, "readers_absent": dict(networks.readers_absent)})
    report = report.model_copy(update={"label_error_deg": _label_error_deg(sigmas_rad)})
    for sentence in sweep_sentences(report):
        context.logger.info(sentence)
    files = {name: context.work_dir / name for name in (EVALUATION_FILE, IMAGES_FILE)}
    files[EVALUATION_FILE].write_text(report.model_dump_json(indent=1))
    rendered = report_images(
        redirector, examples, ReportTargets(config.shown_gazes_deg, config.shown_poses_deg), networks.judge
    )
    np.savez_compressed(files[IMAGES_FILE], allow_pickle=False, **rendered, **swept.arrays)
    numbers = {name: value for name, value in report.numbers.items() if value is not None}
    return Produced(
        kind="report",
        files=files,
        metrics=numbers,
        dropped=dropped,
        subjects={"test": tuple(subject.subject for subject in subjects)},
    )


def require_pairs(config: EvaluateConfig, data_dir: Path) -> None:
    """Refuses, before training, data that the evaluation would refuse afterwards.

    Raises:
        BadInput, ContractViolation: there are too few held-out frames, or they do not fit the protocol.
    """
    chosen = _protocol(config, data_dir)
    held_out = [(splits, getattr(splits, config.split)) for _, splits in held_out_files(data_dir, config.split)]
    held_out += [(splits, splits.last_block) for splits, _ in held_out if splits.last_block]
    for splits, frames in held_out:
        try:
            pairs_of(chosen, splits.subject, frames, config.seed, None)
        except BadInput as error:
            raise BadInput(
                f"{splits.subject}: {error}; give a longer recording, or one with more usable frames"
            ) from error


def render_rgb(model: GazeGaussian, camera: Camera, head: HeadParameters) -> Float[Tensor, "b 3 h w"]:
    """The model as a redirector: camera and head parameters to the final image."""
    with torch.no_grad():
        rgb: Tensor = model(camera, head).rgb
    return rgb


def held_out_files(data_dir: Path, role: Role = "test") -> list[tuple[Path, Splits]]:
    """The subject files of a data set artifact that have test frames, or frames of another role.

    Raises:
        BadInput: no file has such frames.
    """
    splits = read_splits(data_dir / SPLITS_FILE)
    found = [(data_dir / one.file, one) for one in splits.subjects if getattr(one, role)]
    if not found:
        raise BadInput(
            f"the data of {', '.join(one.subject for one in splits.subjects)} have no frame for {role}; give others"
        )
    return found


def require_unseen_by_judge(config: EvaluateConfig, data_dir: Path) -> None:
    """Checks before training what `run` checks about the judge.

    Raises:
        ContractViolation: the judge was trained on a subject of the test.
    """
    if config.judge == "cnn":
        judge = CnnJudge()
        for path, splits in held_out_files(data_dir, config.split):
            origin = Origin.read(path)
            require_unseen(f"judge {judge.name!r}", judge.seen, origin.person, origin.at(getattr(splits, config.split)))


def _protocol(config: EvaluateConfig, data_dir: Path) -> Protocol:
    chosen = protocol(config.protocol) if config.protocol else None
    for path, splits in held_out_files(data_dir, config.split):
        with open_subject(path) as file:
            source = str(file.attrs["source"])
        chosen = chosen or protocol_of_source(source)
        chosen.require(source, splits.subject)
    assert chosen is not None
    return chosen


def _held_out(
    dataset: SubjectDataset, subject: str, chosen_pairs: Pairs, device: torch.device, dropped: Counter[str]
) -> HeldOut:
    """The pairs whose frames are both usable; the others are counted in `dropped`."""
    position = {int(frame): k for k, frame in enumerate(dataset.indices)}
    pairs = [pair for pair in zip(chosen_pairs.inputs, chosen_pairs.targets, strict=True) if set(pair) <= set(position)]
    if len(pairs) < len(chosen_pairs.inputs):
        dropped["pair_with_unusable_frame"] += len(chosen_pairs.inputs) - len(pairs)
    if not pairs:
        raise BadInput(f"{subject}: no pair whose frames are both usable; dropped frames: {dataset.dropped}")
    kept = Pairs(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
    return HeldOut(subject, kept, lambda frames: dataset.batch([position[frame] for frame in frames]).to(device))


def _with_readers(networks: MetricNetworks, config: EvaluateConfig, data_dir: Path) -> MetricNetworks:
    """The networks with all readers, where the labels are estimates; exact labels need no second opinion."""
    sources = set()
    for path, _ in held_out_files(data_dir, config.split):
        with open_subject(path) as file:
            sources.add(str(file.attrs["label_source"]))
    if sources == {"exact"}:
        why = "the labels are exact; OpenVINO's reader is for recordings of people"
        return replace(networks, absent={**networks.absent, SECOND_METRIC: why})
    return with_readers(networks, config.readers)


def _label_error_deg(sigmas_rad: Sequence[np.ndarray]) -> float | None:
    """Mean expected error of the gaze labels of these frames; None where a file has none."""
    together = np.concatenate(sigmas_rad)
    return float(np.rad2deg(together.mean())) if (together > 0).all() else None


def _named_frames(subjects: list[HeldOut]) -> list[tuple[str, Callable[[], GazeBatch]]]:
    """Each target frame with its name."""
    return [
        (f"{subject.subject}, frame {frame}", partial(subject.frames, [frame]))
        for subject in subjects
        for frame in sorted(set(subject.pairs.targets))
    ]


def _example_heads(subjects: list[HeldOut], count: int):  # type: ignore[no-untyped-def]
    """Evenly spaced target frames, each as (subject, batch of one)."""
    frames = [(subject, frame) for subject in subjects for frame in sorted(set(subject.pairs.targets))]
    chosen = evenly_spaced(len(frames), count)
    return [(frames[k][0].subject, frames[k][0].frames([frames[k][1]])) for k in chosen]


def _critic_sha256(card: Mapping[str, object]) -> str | None:
    """Checksum of the critic that the checkpoint was trained with, if there was one."""
    config = card["config"]
    critic = config.get("critic") if isinstance(config, Mapping) else None
    return str(critic["sha256"]) if critic else None


def judge_of(config: EvaluateConfig) -> Judge:
    """The configured judge.

    Raises:
        MissingArtifact: its package or weights are not available.
    """
    return reader(config.judge)
