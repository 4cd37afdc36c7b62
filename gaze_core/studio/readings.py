"""The gaze that estimators see in a drawn picture, as `gazeworks evaluate` has them read it."""

from collections.abc import Mapping

import numpy as np
import torch

from gaze_core.config import Config
from gaze_core.evaluation.judge import Judge
from gaze_core.evaluation.readers import READERS, ReaderName, reader, why_not
from gaze_core.evaluation.report_renderings import PitchYawDeg
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.studio.views import Drawing

SHOWN: tuple[ReaderName, ...] = ("cnn", "iris", "openvino")


class LiveReading(Config):
    """What one reader sees, `[pitch, yaw]` in degrees, and its angle from what was asked; None if it reads nothing."""

    reader: str
    about: str
    gaze_deg: PitchYawDeg | None
    error_deg: float | None


class Readers:
    """All readers that this machine has, each loaded when it is first needed."""

    def __init__(self) -> None:
        self.absent: Mapping[str, str] = {name: why for name in SHOWN if (why := why_not(name))}
        self.names = tuple(name for name in SHOWN if name not in self.absent)
        self._loaded: dict[ReaderName, Judge] = {}

    def read(self, name: ReaderName, drawing: Drawing, asked_deg: PitchYawDeg) -> LiveReading:
        """One reader's reading of a drawing."""
        if name not in self._loaded:
            self._loaded[name] = reader(name)
        found = self._loaded[name].predict(drawing.face)
        if not bool(found.valid[0]):
            return LiveReading(reader=name, about=READERS[name], gaze_deg=None, error_deg=None)
        gaze = found.gaze_camera[:1].double().cpu()
        asked = torch.from_numpy(np.deg2rad(np.array([asked_deg])))
        pitch, yaw = torch.rad2deg(gaze[0]).tolist()
        error = float(angular_error_deg(gaze, asked)[0])
        return LiveReading(reader=name, about=READERS[name], gaze_deg=(pitch, yaw), error_deg=error)
