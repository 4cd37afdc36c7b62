"""Small converted recordings for tests: the red of each pixel of a frame is the frame's number."""

import numpy as np

from gaze_core.estimation.recording_schema import RecordingInfo, Screen
from gaze_core.estimation.recordings import RecordingWriter

SCREEN = Screen(
    size_px=(1920, 1080), size_m=(0.553, 0.311),
    to_camera=((-1, 0, 0, 0.28), (0, 1, 0, 0.03), (0, 0, -1, 0.01), (0, 0, 0, 1)),
)  # fmt: skip
INFO = RecordingInfo(
    participant="train01", step="step007", stimulus="image", camera="basler", split="train", rate_hz=60, face_px=16,
    eye_px=8, screen=SCREEN, source="test",
)  # fmt: skip


def block(numbers, rate_hz=60.0, valid=None):
    """Frames with these numbers, with nothing but what a file must have."""
    numbers = np.asarray(numbers)
    red = np.zeros((len(numbers), 16, 16, 3), np.uint8)
    red[..., 0] = numbers[:, None, None]
    return {
        "face": red, "left_eye": red[:, :8, :8], "right_eye": red[:, 8:, 8:] + np.uint8(1),
        "time_s": numbers / rate_hz, "frame_index": numbers,
        "valid": np.ones(len(numbers), bool) if valid is None else np.asarray(valid),
    }  # fmt: skip


def write(folder, numbers=range(10), info=INFO, valid=None, **labels):
    """A recording of frames with these numbers."""
    with RecordingWriter(folder, info) as writer:
        writer.append(block(numbers, info.rate_hz, valid) | labels)
    return writer.path
