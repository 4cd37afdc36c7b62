"""How both driver stages train: random changes of each batch, and the weights that were best on validation."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from torch import Tensor

from gaze_core.driver.checkpoints import error_deg
from gaze_core.driver.faces import FaceBatch, FaceChanges, FaceSet, changed, gaze_distance
from gaze_core.models.face_estimator import FaceEstimator
from gaze_core.stages.context import StageContext
from gaze_core.training.loop import FitConfig, FitSummary, Task, fit


def train_estimator(
    model: FaceEstimator,
    faces: FaceSet,
    training: Sequence[int],
    validation: Sequence[int],
    changes: FaceChanges,
    config: FitConfig,
    context: StageContext,
) -> FitSummary:
    """Optimises what is not frozen; the model ends with the weights that were best on validation."""

    def read_batches(order: Iterable[list[int]]) -> Iterator[FaceBatch]:
        return (faces.batch([training[index] for index in indices]) for indices in order)

    def loss_terms(network: Any, batch: FaceBatch, step: int) -> dict[str, Tensor]:
        batch = changed(batch, changes)  # here, where the step has seeded the random numbers
        return {"gaze_rad": gaze_distance(network(batch.rgb), batch.gaze_camera)}

    model.train()
    task = Task(
        model=model,
        parameter_groups=[{"params": [weight for weight in model.parameters() if weight.requires_grad]}],
        num_samples=len(training),
        read_batches=cast(Callable[..., Any], read_batches),  # the loop knows batches by `.to(device)` alone
        loss_terms=cast(Callable[..., Any], loss_terms),
        validate=lambda network: error_deg(cast(FaceEstimator, network), faces, validation),
    )
    return fit(
        task, config, context.runtime, context.work_dir, context.log, context.progress, context.logger
    )  # fmt: skip
