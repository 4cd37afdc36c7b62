"""Training of both driver stages: each batch is augmented, and the best validated weights are kept."""

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor, nn

from gaze_core.driver.faces import FaceAugmentation, FaceBatch, FaceLoader, augmented, gaze_distance
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.models.estimation.face_estimator import FaceEstimator
from gaze_core.stages.context import StageContext
from gaze_core.training.loop import FitConfig, FitSummary, LossTerms, Task, Term, Validation, fit

_VALIDATION_BATCH = 32


def train_estimator(
    model: FaceEstimator,
    faces: FaceLoader,
    training: Sequence[int],
    validation: Sequence[int],
    augmentation: FaceAugmentation,
    config: FitConfig,
    context: StageContext,
) -> FitSummary:
    """Optimises the parameters that are not frozen; the model ends with the best validated weights."""

    def read_batches(order: Iterable[list[int]]) -> Iterator[FaceBatch]:
        return (faces.batch([training[index] for index in indices]) for indices in order)

    def loss_terms(network: nn.Module, batch: FaceBatch, step: int) -> LossTerms:
        batch = augmented(batch, augmentation)  # here, because the random numbers are seeded for each step
        return {"gaze_rad": Term(gaze_distance(network(batch.rgb), batch.gaze_camera))}

    def measure(network: nn.Module, batch: FaceBatch) -> dict[str, Tensor]:
        return {"gaze_error_deg": angular_error_deg(network(batch.rgb), batch.gaze_camera).mean()}

    def held_out() -> Iterator[FaceBatch]:
        starts = range(0, len(validation), _VALIDATION_BATCH)
        return (faces.batch(validation[start : start + _VALIDATION_BATCH]) for start in starts)

    task = Task(
        model=model,
        parameter_groups=[{"params": [weight for weight in model.parameters() if weight.requires_grad]}],
        num_samples=len(training),
        read_batches=read_batches,
        loss_terms=loss_terms,
        validation=Validation(held_out, measure),
    )
    return fit(task, config, context.runtime, context.work_dir, context.log, context.progress, context.logger)
