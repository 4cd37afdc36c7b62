"""Sources of a report, from the store: stages, trained models, paths of checkpoints, versions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gaze_core.artifacts import ArtifactRef
from gaze_core.reports.curves import Curve, curves_of
from gaze_core.reports.sources import Sources, StageRow, TrainedRow
from gaze_core.training.history import read_history
from gaze_core.training.task import ended_in_words
from tasks.environment import local_path
from tasks.stage_task import StageOutcome
from tasks.store.artifacts import Store
from tasks.store.provenance import package_versions

_SHOWN_PACKAGES = ("gazeworks", "torch", "lightning", "numba", "prefect", "mlflow", "ai-edge-litert")


def sources_of(
    store: Store,
    refs: Mapping[str, ArtifactRef],
    outcomes: Sequence[StageOutcome],
    dropped: Mapping[str, int],
    digests: Mapping[str, str],
    second: str = "",
) -> Sources:
    """The sources of a report on `refs` by role.

    `digests` are of things that are not artifacts; `second` labels a stage that is listed a second time.
    """
    trained = [
        TrainedRow(role.replace("_", " "), ended_in_words(store.manifest(ref).metrics) or "not trained here", place)
        for role, ref in refs.items()
        if (place := checkpoint_of(store, ref))
    ]
    return Sources(
        trained=trained,
        stages=list(_stage_rows(outcomes, f" ({second})" if second else "")),
        dropped=dropped,
        digests={role: ref.digest() for role, ref in refs.items()} | dict(digests),
        versions={name: version for name, version in package_versions().items() if name in _SHOWN_PACKAGES},
        artifacts=refs,
        has_log=True,
    )


def checkpoint_of(store: Store, ref: ArtifactRef) -> str:
    """The folder of a checkpoint, or its address in a store that is not on this machine; empty if it is none."""
    if ref.kind != "checkpoint":
        return ""
    uri = store.uri(ref)
    return str(local_path(uri) or uri)


def training_curves(folder: Path) -> dict[str, Curve]:
    """The logged numbers of a fetched checkpoint; empty if it was not trained here."""
    return curves_of(read_history(folder))


def _stage_rows(outcomes: Sequence[StageOutcome], suffix: str) -> Iterator[StageRow]:
    seen: set[str] = set()
    for outcome in outcomes:
        name = outcome.stage + (suffix if outcome.stage in seen else "")
        seen.add(outcome.stage)
        yield StageRow(name, outcome.how, round(outcome.seconds, 1), outcome.ref.digest(), outcome.note)
