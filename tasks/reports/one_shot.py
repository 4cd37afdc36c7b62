"""The report of a one-shot run: `report.html`, `report.json`, and the adapted checkpoint beside them."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from gaze_core.artifacts import MANIFEST_FILE, ArtifactRef
from gaze_core.one_shot.page import OneShotReportData, one_shot_page
from gaze_core.one_shot.report import OneShotComparison, OneShotEvaluation
from gaze_core.reports.page import JSON_FILE, write_report
from gaze_core.stages.one_shot.adapt import PersonRecord, read_person_record
from gaze_core.stages.one_shot.compare import read_one_shot_comparison
from gaze_core.stages.one_shot.evaluate import read_one_shot_evaluation
from tasks.reports.result import RunResult
from tasks.reports.sources import sources_of, training_curves
from tasks.stage_task import StageOutcome
from tasks.store.artifacts import Store

FILES = ("report.html", JSON_FILE)
MODEL = "model"


class OneShotReport(RunResult):
    """The result of a one-shot run."""

    reasons: tuple[str, ...]


def write_one_shot_report(
    refs: Mapping[str, ArtifactRef], strategies: Mapping[str, tuple[ArtifactRef, ArtifactRef]],
    counts: Mapping[int, tuple[ArtifactRef, ArtifactRef]], outcomes: Sequence[StageOutcome], out: Path,
) -> OneShotReport:  # fmt: skip
    """Writes the report to `out`, and the adapted checkpoint to `out/model`.

    `refs` by role: people, data, base, adapted, comparison, and evaluations by the names of the page. `strategies` and
    `counts` are adapted checkpoints with their evaluations.
    """
    store = Store.from_environment()
    folders = {role: store.fetch(ref) for role, ref in refs.items()}
    names = ("before", "after", "single image", "other before", "other after")
    evaluations = {name: read_one_shot_evaluation(folders[name]) for name in names if name in folders}
    record = read_person_record(folders["adapted"])
    comparison = read_one_shot_comparison(folders["comparison"])

    def evaluated(pair: tuple[ArtifactRef, ArtifactRef]) -> OneShotEvaluation:
        trained = read_person_record(store.fetch(pair[0]))
        found = read_one_shot_evaluation(store.fetch(pair[1]))
        return found.model_copy(update={"trained_parameters": trained.trained_parameters})

    data = OneShotReportData(
        evaluations=evaluations,
        comparison=comparison,
        person_facts=_facts_of(record),
        strategies={name: evaluated(pair) for name, pair in strategies.items()},
        sample_counts={count: evaluated(pair) for count, pair in counts.items()},
        pictures={name: folders[name] for name in ("before", "after")},
        curves={"adapting": training_curves(folders["adapted"])},
        sources=sources_of(store, refs, outcomes, store.manifest(refs["people"]).dropped, {}),
    )
    numbers = _numbers(evaluations, comparison)
    html, _ = write_report(one_shot_page(data), _facts(data, record, comparison, numbers), out)
    shutil.rmtree(out / MODEL, ignore_errors=True)
    shutil.copytree(folders["adapted"], out / MODEL, ignore=shutil.ignore_patterns(MANIFEST_FILE))
    return OneShotReport(
        report=html, verdict=comparison.verdict, reasons=comparison.reasons, numbers=numbers, faults=data.faults,
        checkpoints={row.name: row.checkpoint for row in data.sources.trained},
    )  # fmt: skip


def _facts_of(record: PersonRecord) -> dict[str, str]:
    def rows(values: tuple[int, ...]) -> str:
        return f"{len(values)}: {', '.join(str(value) for value in values)}"

    return {
        "person": record.person,
        "usable samples": str(record.usable),
        "strategy": f"{record.strategy}: trains {record.trained_parameters:,} of {record.all_parameters:,} parameters",
        "adapted with": rows(record.adapted_with),
        "validated with": rows(record.validated_with),
        "tested with": rows(record.tested_with),
    }


def _numbers(
    evaluations: Mapping[str, OneShotEvaluation], comparison: OneShotComparison
) -> dict[str, float | None]:  # fmt: skip
    before, after = evaluations["before"], evaluations["after"]
    return {
        "eye_psnr_before_db": before.mean("model", "eye_psnr_db"),
        "eye_psnr_after_db": after.mean("model", "eye_psnr_db"),
        "gaze_error_before_deg": before.mean("model", "gaze_error_deg"),
        "gaze_error_after_deg": after.mean("model", "gaze_error_deg"),
        "gaze_error_constant_deg": after.mean("constant gaze", "gaze_error_deg"),
        "judge_error_deg": after.mean("truth", "gaze_error_deg"),
    }


def _facts(
    data: OneShotReportData, record: PersonRecord, comparison: OneShotComparison, numbers: Mapping[str, float | None]
) -> dict[str, object]:
    """The content of `report.json`."""

    def means(evaluation: OneShotEvaluation) -> dict[str, float | None]:
        return {metric: evaluation.mean("model", metric) for metric in ("eye_psnr_db", "mask_l1", "gaze_error_deg")}

    return {
        "title": f"One-shot: person {record.person}",
        "verdict": comparison.verdict,
        "numbers": dict(numbers),
        "person": record.model_dump(mode="json"),
        "comparison": comparison.model_dump(mode="json"),
        "evaluations": {name: means(one) for name, one in data.evaluations.items()},
        "strategies": {name: means(one) | {"trained": one.trained_parameters} for name, one in data.strategies.items()},
        "sample_counts": {str(count): means(one) for count, one in data.sample_counts.items()},
        "faults": list(data.faults),
        **data.sources.facts(),
    }
