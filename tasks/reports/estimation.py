"""The report of gaze estimators on recordings: `report.html`, and `report.json` for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from gaze_core.artifacts import ArtifactRef
from gaze_core.errors import MissingArtifact
from gaze_core.estimation.features import FeatureIndex
from gaze_core.estimation.metrics import error_deg
from gaze_core.estimation.page import EstimationReportData, estimation_page
from gaze_core.estimation.pictures import gaze_picture
from gaze_core.estimation.recordings import read_index
from gaze_core.estimation.report import numbers_of
from gaze_core.estimation.table import FrameTable
from gaze_core.evaluation.paired import Verdict
from gaze_core.reports.blocks import ImageGroup, ImageStrip
from gaze_core.reports.images import jpeg_data_uri
from gaze_core.reports.page import JSON_FILE, PAGE_FILE, write_report
from gaze_core.reports.text import number
from gaze_core.sampling import evenly_spaced
from gaze_core.stages.estimation.compare import read_estimation_comparison
from gaze_core.stages.estimation.evaluate import PREDICTIONS_FILE, read_estimation
from gaze_core.stages.estimation.train_single import PICTURES
from tasks.reports.result import RunResult, number_lines
from tasks.reports.sources import sources_of, training_curves
from tasks.stage_task import StageOutcome
from tasks.store.artifacts import Store

FILES = (PAGE_FILE, JSON_FILE)
_NUM_EXAMPLES, _MAX_EPOCHS, _MAX_WARNINGS = 4, 4, 5
_HEADLINE = ("temporal_deg", "single_frame_deg", "EMA_deg", "median_deg", "constant_deg")


class EstimationReport(RunResult):
    """The result of a run on recordings."""

    reasons: tuple[str, ...]
    registry: str = ""  # the model's version in the registry, and whether it is the champion now

    def headline(self) -> list[str]:
        """The angular errors of the main rows, the verdict and the registered version."""
        lines = number_lines({name: self.numbers.get(name) for name in _HEADLINE})
        return [*lines, f"{'verdict':32} {self.verdict}", *([self.registry] if self.registry else [])]


@dataclass(frozen=True)
class ReportFacts:
    """Facts about a run that no artifact holds."""

    title: str
    subtitle: str
    outcomes: tuple[StageOutcome, ...]
    seconds: float
    warnings: tuple[str, ...] = ()
    registry: str = ""


def write_estimation_report(refs: Mapping[str, ArtifactRef], facts: ReportFacts, out: Path) -> EstimationReport:
    """Writes both files to `out`. `refs` by role: data, features, candidate, evaluation, comparison, and single if known."""
    store = Store.from_environment()
    folders = {role: store.fetch(ref) for role, ref in refs.items()}
    evaluation = read_estimation(folders["evaluation"])
    comparison = read_estimation_comparison(folders["comparison"])
    problems = read_index(folders["data"]).problems
    warnings = (*facts.warnings, *problems)
    trained = {name: role for name, role in (("single frame", "single"), ("temporal", "candidate")) if role in folders}
    data = EstimationReportData(
        title=facts.title,
        subtitle=facts.subtitle,
        evaluation=evaluation,
        comparison=comparison,
        seconds=facts.seconds,
        warnings=_shortened(warnings),
        examples=_examples(folders),
        epochs=_epochs(folders.get("single")),
        curves={name: training_curves(folders[role]) for name, role in trained.items()},
        sources=sources_of(store, refs, facts.outcomes, {}, {}, "baseline"),
    )
    numbers = numbers_of(evaluation)
    content = {
        "title": facts.title,
        "verdict": comparison.verdict,
        "seconds": round(facts.seconds, 1),
        "numbers": dict(numbers),
        "evaluation": evaluation.model_dump(mode="json"),
        "comparison": comparison.model_dump(mode="json"),
        "faults": list(evaluation.faults),
        "cannot_tell": list(evaluation.cannot_tell),
        "warnings": list(warnings),
        "registry": facts.registry,
        **data.sources.facts(),
    }
    html, _ = write_report(estimation_page(data), content, out)
    return EstimationReport(
        report=html, verdict=comparison.verdict, reasons=comparison.reasons, numbers=numbers,
        faults=evaluation.faults, cannot_tell=evaluation.cannot_tell, warnings=_shortened(warnings), registry=facts.registry,
        checkpoints={row.name: row.checkpoint for row in data.sources.trained},
    )  # fmt: skip


def _shortened(warnings: Sequence[str]) -> tuple[str, ...]:
    """The first few of many, and how many more there are."""
    if len(warnings) <= _MAX_WARNINGS:
        return tuple(warnings)
    more = f"and {len(warnings) - _MAX_WARNINGS} more, in {JSON_FILE}"
    return (*warnings[:_MAX_WARNINGS], more)


def verdict_of(comparison: ArtifactRef) -> Verdict:
    """The verdict of a published comparison."""
    return read_estimation_comparison(Store.from_environment().fetch(comparison)).verdict


def _examples(folders: Mapping[str, Path]) -> list[ImageStrip]:
    """Test frames evenly spread, and those with the largest errors of the temporal model."""
    test = FrameTable.read(folders["data"], folders["features"], FeatureIndex.read(folders["features"]), "test")
    with np.load(folders["evaluation"] / PREDICTIONS_FILE, allow_pickle=False) as file:
        predicted = file["temporal"].astype(np.float64)
    if len(predicted) != len(test):
        raise MissingArtifact(f"{folders['evaluation']}: predictions of other frames; evaluate again")
    errors = error_deg(predicted, test.truth_rad)
    groups = []
    for title, chosen in (
        ("Evenly spread", evenly_spaced(len(test), min(_NUM_EXAMPLES, len(test)))),
        ("Largest errors", np.argsort(-errors)[:_NUM_EXAMPLES].tolist()),
    ):
        images = [_example(test, row, predicted[row], float(errors[row])) for row in chosen]
        groups.append(ImageStrip([ImageGroup(title, images)]))
    return groups


def _example(test: FrameTable, row: int, predicted: np.ndarray, error: float) -> tuple[str, str]:
    recording = test.recordings[test.owners[row]]
    face = recording.images("face", [int(test.frames[row])])[0]
    caption = (
        f"{recording.info.participant}, {recording.info.step}, {test.labels['time_s'][row]:.1f} s: {number(error, 1)}°"
    )
    return caption, jpeg_data_uri(gaze_picture(face, predicted, test.truth_rad[row]))


def _epochs(folder: Path | None) -> list[ImageStrip]:
    """Pictures of the single-frame model's predictions after the first, the last and some epochs between."""
    paths = sorted((folder / PICTURES).glob("*.png")) if folder else []
    if not paths:
        return []
    chosen = [paths[at] for at in evenly_spaced(len(paths), min(_MAX_EPOCHS, len(paths)))]
    chosen[-1] = paths[-1]
    strips = []
    for path in chosen:
        rgb = np.asarray(Image.open(path).convert("RGB"))
        epoch = int(path.stem.rpartition("_")[2])
        strips.append(ImageStrip([ImageGroup(f"Epoch {epoch}", [("", jpeg_data_uri(rgb))], is_row=True)]))
    return strips
