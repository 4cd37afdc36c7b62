"""Features of sound for a talker: named extractors, windows of their streams about each video frame, published files.

A stream is [M, C] at `rate_hz`; a window of W rows is centred on each frame at 25 a second. `log_mel` is built in and needs
no weights. `wav2vec2` and `whisper_tiny` need the package transformers and a folder of weights. Files of published
subjects hold streams or windows of any width (29 DeepSpeech, 32 and 44 wav2vec2 logits, 384, 512, 1024).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.errors import BadInput, MissingArtifact
from gaze_core.talker.subject_schema import RATE_HZ, SOUND_HZ

WINDOW = 16  # rows of a stream at 50 a second: 0.32 s, as published
_FFT, _HOP, _WIDTH, _BANDS = 1024, 320, 640, 32
_LOWEST_HZ, _TOP_HZ, _FLOOR = 60.0, 7600.0, 1e-5
_MOST_SHORT = 2  # frames that the features may lack at the end; the last row stands for them
_RATES_HZ = (25.0, 50.0, 100.0)


class AudioExtractor(Protocol):
    """Makes a stream of features of sound."""

    @property
    def name(self) -> str: ...

    @property
    def rate_hz(self) -> float: ...

    def __call__(self, sound: Float[ndarray, " s"]) -> Float[ndarray, "m c"]:
        """The stream of 16 kHz mono sound in [-1, 1]."""
        ...


@dataclass(frozen=True)
class LogMel:
    """Logarithm of 32 mel bands, 50 rows a second, scaled by constants to about [-1, 1]; silence is -1."""

    name: str = "log_mel"
    rate_hz: float = 50.0
    width: int = _BANDS

    def __call__(self, sound: Float[ndarray, " s"]) -> Float[ndarray, "m c"]:
        """The stream; row m is centred on (m + 0.5) / 50 s."""
        sound = np.asarray(sound, np.float32)
        count = len(sound) // _HOP
        if not count:
            return np.zeros((0, self.width), np.float32)
        before = _WIDTH // 2 - _HOP // 2
        padded = np.pad(sound, (before, _WIDTH))
        frames = np.lib.stride_tricks.sliding_window_view(padded, _WIDTH)[: count * _HOP : _HOP]
        power = np.abs(np.fft.rfft(frames * np.hanning(_WIDTH), _FFT)) ** 2 / _WIDTH
        mel = np.log10(np.maximum(power @ _mel_bank().T, _FLOOR))
        return (mel / -np.log10(_FLOOR) * 2 + 1).astype(np.float32)  # the floor is -1


@dataclass(frozen=True)
class _Hosted:
    """Hidden states of a speech network of the package transformers, 50 rows a second."""

    name: str
    variable: str  # of the environment: the folder of the weights
    width: int
    rate_hz: float = 50.0

    def __call__(self, sound: Float[ndarray, " s"]) -> Float[ndarray, "m c"]:
        """The stream.

        Raises:
            BadInput: transformers is not installed.
            MissingArtifact: no folder of weights is named.
        """
        try:
            import torch
            import transformers
        except ImportError as error:
            raise BadInput(
                f"audio features {self.name} need the package transformers; run: pip install gazeworks[talker], "
                "or take log_mel"
            ) from error
        folder = os.environ.get(self.variable, "")
        if not Path(folder, "config.json").is_file():
            raise MissingArtifact(f"{self.name}: no weights; set {self.variable} to a folder of them, or take log_mel")
        model: Any = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
        read: Any = transformers.AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
        inputs = read(np.asarray(sound), sampling_rate=SOUND_HZ, return_tensors="pt")
        with torch.inference_mode():
            network = model.get_encoder() if self.name.startswith("whisper") else model
            states = network(**inputs).last_hidden_state[0].numpy()
        return np.asarray(states[: len(sound) // _HOP], np.float32)


EXTRACTORS: dict[str, AudioExtractor] = {
    "log_mel": LogMel(),
    "wav2vec2": _Hosted("wav2vec2", "GAZEWORKS_WAV2VEC2", 768),
    "whisper_tiny": _Hosted("whisper_tiny", "GAZEWORKS_WHISPER_TINY", 384),
}


@dataclass(frozen=True, eq=False)
class AudioFeatures:
    """Windows of each frame, with the extractor and the rate that they were made with."""

    windows: Float[ndarray, "n w c"]
    extractor: str
    rate_hz: float
    notes: tuple[str, ...] = ()

    @property
    def window(self) -> int:
        """Rows of a window."""
        return int(self.windows.shape[1])


def extractor(name: str) -> AudioExtractor:
    """The extractor of this name.

    Raises:
        BadInput: there is none.
    """
    if name not in EXTRACTORS:
        raise BadInput(f"no audio features named {name!r}; expected one of: {', '.join(EXTRACTORS)}")
    return EXTRACTORS[name]


def features_of(sound: Float[ndarray, " s"], name: str, num_frames: int | None = None) -> AudioFeatures:
    """Features of 16 kHz mono sound for each frame at 25 a second; without `num_frames` for as many as the sound lasts.

    Raises:
        BadInput: no such extractor, or it needs a package that is not installed.
    """
    make = extractor(name)
    count = int(len(sound) / SOUND_HZ * RATE_HZ) if num_frames is None else num_frames
    missing = max(round(count / RATE_HZ * SOUND_HZ) - len(sound), 0)  # the tail is silent
    stream = make(np.pad(np.asarray(sound, np.float32), (0, missing)))
    return AudioFeatures(windows_of(stream, make.rate_hz, count), name, make.rate_hz)


def windows_of(
    stream: Float[ndarray, "m c"], rate_hz: float, num_frames: int, window: int = WINDOW
) -> Float[ndarray, "n w c"]:
    """Windows of a stream, centred on each frame, zero beyond the ends: x[2n - 8 : 2n + 8] at 50 rows a second."""
    start = np.round(np.arange(num_frames) * rate_hz / RATE_HZ).astype(int)
    rows = start[:, None] + np.arange(window)  # of the padded stream
    padded = np.pad(stream, ((window // 2, max(int(rows.max(initial=0)) + 1 - len(stream), 0)), (0, 0)))
    return np.ascontiguousarray(padded[rows], dtype=np.float32)


def read_features(path: Path, num_frames: int | None, name: str = "", rate_hz: float | None = None) -> AudioFeatures:
    """Features of a `.npy` file: a stream [M, C], or windows [N, W, C], one a frame at 25 a second.

    The rate of a stream is the one of 25, 50 and 100 Hz that fits the number of frames, if `rate_hz` is not given; 50 without
    a number of frames. Features beyond the video are left out; of two missing frames at most, the last row stands for them.

    Raises:
        BadInput: not such an array, not finite, or shorter than the video.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: no readable array ({error}); expected audio features as .npy") from error
    if values.ndim not in (2, 3) or not values.size or not np.issubdtype(values.dtype, np.number):
        raise BadInput(
            f"{path}: {values.dtype} of shape {values.shape}; expected numbers, a stream (rows, channels) or "
            "windows (frames, rows, channels)"
        )
    if not np.isfinite(values).all():
        raise BadInput(f"{path}: audio features are not all finite; extract them again")
    values = values.astype(np.float32)
    name = name or f"file_{values.shape[-1]}"
    if values.ndim == 2:
        rate = rate_hz or _rate_of(path, len(values), num_frames)
        windows = windows_of(values, rate, round(len(values) * RATE_HZ / rate))
    else:
        rate, windows = rate_hz or 2 * RATE_HZ, values
    return _fitted(path, AudioFeatures(windows, name, rate), num_frames)


def _rate_of(path: Path, rows: int, num_frames: int | None) -> float:
    if num_frames is None:
        return 2 * RATE_HZ
    found = rows / max(num_frames, 1) * RATE_HZ
    rate = min(_RATES_HZ, key=lambda one: abs(np.log(one / found)))
    if not 0.9 < found / rate < 1.25:
        raise BadInput(
            f"{path}: {rows} rows for {num_frames} frames, {found:.1f} a second; expected 25, 50 or 100; "
            "name the rate, or extract the features of the whole video"
        )
    return rate


def _fitted(path: Path, features: AudioFeatures, num_frames: int | None) -> AudioFeatures:
    """The features with one window a frame."""
    count = len(features.windows)
    if num_frames is None or count == num_frames:
        return features
    if count > num_frames:
        note = f"{path.name}: {count} windows for {num_frames} frames; the last {count - num_frames} are left out"
        return AudioFeatures(features.windows[:num_frames], features.extractor, features.rate_hz, (note,))
    if num_frames - count > _MOST_SHORT:
        raise BadInput(
            f"{path}: features for {count} frames, {num_frames - count} fewer than the video has ({num_frames}); "
            "extract them of the whole sound, or cut the video to it"
        )
    note = f"{path.name}: {count} windows for {num_frames} frames; the last one is repeated"
    windows = np.concatenate([features.windows, np.repeat(features.windows[-1:], num_frames - count, axis=0)])
    return AudioFeatures(windows, features.extractor, features.rate_hz, (note,))


def _mel_bank() -> Float[ndarray, "b f"]:
    """Triangles that are evenly spaced on the mel scale (2595 log10(1 + f / 700)), each with sum one."""
    low, high = (2595 * float(np.log10(1 + f / 700)) for f in (_LOWEST_HZ, _TOP_HZ))
    mel = np.linspace(low, high, _BANDS + 2)
    edges_hz = 700 * (10 ** (mel / 2595) - 1)
    bins_hz = np.fft.rfftfreq(_FFT, 1 / SOUND_HZ)
    rising = (bins_hz - edges_hz[:-2, None]) / (edges_hz[1:-1] - edges_hz[:-2])[:, None]
    falling = (edges_hz[2:, None] - bins_hz) / (edges_hz[2:] - edges_hz[1:-1])[:, None]
    bank = np.clip(np.minimum(rising, falling), 0, None)
    return np.asarray(bank / np.maximum(bank.sum(axis=1, keepdims=True), 1e-9))
