"""The report of a talking head: `report.html`, `report.json`, the film and the checkpoint beside them."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gaze_core.artifacts import MANIFEST_FILE, ArtifactRef
from gaze_core.evaluation.paired import Verdict
from gaze_core.reports.page import JSON_FILE, PAGE_FILE, write_report
from gaze_core.sampling import evenly_spaced
from gaze_core.stages.talker.compare import read_talker_comparison
from gaze_core.stages.talker.evaluate import SERIES_FILE, read_talker_evaluation
from gaze_core.talker.page import TalkerReportData, talker_page
from gaze_core.talker.series import Series
from tasks.reports.result import RunResult, number_lines
from tasks.reports.sources import sources_of, training_curves
from tasks.stage_task import StageOutcome
from tasks.store.artifacts import Store

FILES = (PAGE_FILE, JSON_FILE)
FILM, MODEL = "film.mp4", "model"
_HEADLINE = (
    "head_psnr_db", "lips_psnr_db", "eyes_psnr_db", "audio_shuffled_lips_drop_db", "gaze_gain_yaw_db",
    "gaze_gain_pitch_db", "mouth_with_recorded", "blink_f1", "frames_per_s",
)  # fmt: skip
_MAX_PREVIEWS = 4


class TalkerReport(RunResult):
    """The result of a talker's run."""

    reasons: tuple[str, ...]
    film: Path | None = None
    registry: str = ""

    def headline(self) -> list[str]:
        """The main numbers, the verdict, the film and the registered version."""
        lines = number_lines({name: self.numbers.get(name) for name in _HEADLINE})
        film = [f"film: {self.film}"] if self.film else []
        return [*lines, f"{'verdict':32} {self.verdict}", *film, *([self.registry] if self.registry else [])]


@dataclass(frozen=True)
class ReportFacts:
    """Facts about a run that no artifact holds."""

    title: str
    subtitle: str
    outcomes: tuple[StageOutcome, ...]
    seconds: float
    registry: str = ""


def write_talker_report(refs: Mapping[str, ArtifactRef], facts: ReportFacts, out: Path) -> TalkerReport:
    """Writes both files, the film and the model to `out`. `refs` by role: data, candidate, evaluation, comparison, film."""
    store = Store.from_environment()
    folders = {role: store.fetch(ref) for role, ref in refs.items()}
    evaluation = read_talker_evaluation(folders["evaluation"])
    comparison = read_talker_comparison(folders["comparison"])
    film = _copied_film(folders.get("film"), out)
    trained = {name: role for name, role in (("coarse", "coarse"), ("fine", "candidate")) if role in folders}
    manifest = store.manifest(refs["data"])
    data = TalkerReportData(
        title=facts.title,
        subtitle=facts.subtitle,
        evaluation=evaluation,
        comparison=comparison,
        seconds=facts.seconds,
        pictures=folders["evaluation"],
        series=Series.read(folders["evaluation"] / SERIES_FILE),
        film=film.name if film else "",
        previews={name: _previews(folders[role]) for name, role in trained.items()},
        notes=tuple(
            note for role in ("data", "candidate", "film") if role in refs for note in store.manifest(refs[role]).notes
        ),
        curves={name: training_curves(folders[role]) for name, role in trained.items()},
        sources=sources_of(store, refs, facts.outcomes, manifest.dropped, {}, "baseline"),
    )
    numbers = evaluation.numbers
    content = {
        "title": facts.title,
        "verdict": comparison.verdict,
        "seconds": round(facts.seconds, 1),
        "numbers": dict(numbers),
        "evaluation": evaluation.model_dump(mode="json"),
        "comparison": comparison.model_dump(mode="json"),
        "faults": list(evaluation.faults),
        "cannot_tell": list(evaluation.cannot_tell),
        "film": film.name if film else "",
        "registry": facts.registry,
        **data.sources.facts(),
    }
    html, _ = write_report(talker_page(data), content, out)
    _copied_model(folders["candidate"], out)
    return TalkerReport(
        report=html, verdict=comparison.verdict, reasons=comparison.reasons, numbers=numbers, faults=evaluation.faults,
        cannot_tell=evaluation.cannot_tell, film=film, registry=facts.registry,
        checkpoints={row.name: row.checkpoint for row in data.sources.trained},
    )  # fmt: skip


def verdict_of(comparison: ArtifactRef) -> Verdict:
    """The verdict of a published comparison."""
    return read_talker_comparison(Store.from_environment().fetch(comparison)).verdict


def _copied_film(folder: Path | None, out: Path) -> Path | None:
    found = sorted(folder.glob("*.mp4")) if folder else []
    if not found:
        return None
    out.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(found[0], out / FILM))


def _copied_model(folder: Path, out: Path) -> None:
    shutil.rmtree(out / MODEL, ignore_errors=True)
    ignored = shutil.ignore_patterns(MANIFEST_FILE, "*.mp4", "*.png")
    shutil.copytree(folder, out / MODEL, ignore=ignored)


def _previews(folder: Path) -> Sequence[Path]:
    """A few of a stage's preview pictures, the first and the last among them."""
    files = sorted(folder.rglob("*.png"))
    return [files[at] for at in evenly_spaced(len(files), min(_MAX_PREVIEWS, len(files)))] if files else []
