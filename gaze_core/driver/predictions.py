"""An estimator's predictions for a drive, in the coordinate frame of the tracker's labels and in others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.data.splits import SPLITS_FILE, Splits, read_splits
from gaze_core.data.subjects import SUBJECT_FILE, SubjectDataset
from gaze_core.driver.calibration import angles, directions
from gaze_core.driver.faces import FaceLoader, face_loader, predict, require_view
from gaze_core.driver.record import DriveRecord
from gaze_core.errors import ContractViolation
from gaze_core.models.estimation.face_estimator import FaceEstimator


def read_drive_splits(folder: Path) -> Splits:
    """The blocks of time of an extracted drive, which has one subject file.

    Raises:
        ContractViolation: the file is missing, or was changed after it was written.
    """
    return read_splits(folder / SPLITS_FILE).subjects[0]


@dataclass(frozen=True, eq=False)
class Drive:
    """An extracted drive, open for reading."""

    folder: Path
    record: DriveRecord
    splits: Splits
    dataset: SubjectDataset
    faces: FaceLoader

    @classmethod
    def open(cls, folder: Path) -> "Drive":
        """Opens what the extract stage wrote.

        Raises:
            ContractViolation: the files do not belong together.
        """
        record = DriveRecord.read(folder)
        dataset = SubjectDataset(folder / SUBJECT_FILE, required_labels=())
        if len(dataset) != len(record.frames):
            raise ContractViolation(
                f"{folder}: {len(dataset)} faces and {len(record.frames)} frames in the record; extract the drive again"
            )
        return cls(folder, record, read_drive_splits(folder), dataset, face_loader([dataset]))

    @property
    def head_to_camera(self) -> Float[ndarray, "n 4 4"]:
        """Head pose in the frame of the real face camera."""
        return np.asarray(self.dataset.labels["head_to_world"], dtype=np.float64)

    @property
    def camera_to_view(self) -> Float[ndarray, "n 3 3"]:
        """Rotation of the face camera to each crop's virtual camera."""
        return np.asarray(self.dataset.labels["world_to_camera"][:, :3, :3], dtype=np.float64)

    @property
    def label_to_view(self) -> Float[ndarray, "n 3 3"]:
        """Rotation of the tracker's frame to each crop's virtual camera."""
        if self.record.gaze_frame == "camera":
            return self.camera_to_view
        if self.record.mount is None:
            raise ContractViolation(f"{self.record.name}: extracted without labels, so the glasses' frame is unknown")
        return self.camera_to_view @ self.head_to_camera[:, :3, :3] @ self.record.mount.matrix

    def predict(self, model: FaceEstimator, items: Sequence[int]) -> Float[ndarray, "n 2"]:
        """The model's gaze for these frames, `[pitch, yaw]` rad, in the frame of the crop's virtual camera."""
        return np.asarray(predict(model, self.faces, items).double().numpy())

    def in_label_frame(self, gaze_view: Float[ndarray, "n 2"], items: Sequence[int]) -> Float[ndarray, "n 2"]:
        """Gaze from the frame of the crop's virtual camera to the tracker's `[elevation, azimuth]` rad."""
        turn = self.label_to_view[list(items)]
        return angles((turn.transpose(0, 2, 1) @ directions(gaze_view)[..., None])[..., 0])

    def require_view_of(self, normalization: dict[str, object]) -> None:
        """Raises ContractViolation if the drive's crops do not suit an estimator of this normalisation."""
        require_view(self.dataset.normalization, normalization, self.record.name)
