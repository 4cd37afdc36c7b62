"""Made-up speech: a seeded series of words, its sound by formants, and the movement of the mouth that goes with it.

Sound and mouth come from the same phonemes: what is heard determines what is seen. Loudness follows the opening. Formant
frequencies are those of adult speakers after Peterson and Barney (1952), rounded. It is a test signal, not a voice.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

SOUND_HZ = 16_000
_PITCH_HZ, _HIGHEST_HZ = 118.0, 5200.0
_BANDWIDTHS_HZ = (90.0, 110.0, 170.0)
_STEP_S = 0.005


@dataclass(frozen=True)
class Phoneme:
    """A sound and its mouth: formants (Hz), loudness of the voice and of noise, duration, and ARKit actions."""

    formants_hz: tuple[float, float, float]
    voice: float
    noise: float  # hiss; its middle is the third formant
    duration_s: float
    actions: dict[str, float]


_CLOSED = {"mouthPressLeft": 0.35, "mouthPressRight": 0.35, "mouthRollLower": 0.25}
_SPREAD = {"mouthSmileLeft": 0.45, "mouthSmileRight": 0.45, "mouthStretchLeft": 0.3, "mouthStretchRight": 0.3}
PHONEMES = {
    "_":  Phoneme((500, 1500, 2500), 0.0, 0.0, 0.13, {}),
    "AA": Phoneme((740, 1180, 2640), 1.0, 0.0, 0.13, {"jawOpen": 0.62}),
    "AE": Phoneme((680, 1790, 2560), 0.9, 0.0, 0.12, {"jawOpen": 0.48, "mouthStretchLeft": 0.35, "mouthStretchRight": 0.35}),
    "EH": Phoneme((560, 1920, 2560), 0.75, 0.0, 0.10, {"jawOpen": 0.36, "mouthSmileLeft": 0.2, "mouthSmileRight": 0.2}),
    "IY": Phoneme((290, 2350, 3020), 0.5, 0.0, 0.12, {"jawOpen": 0.16, **_SPREAD}),
    "UW": Phoneme((310, 880, 2300), 0.45, 0.0, 0.13, {"jawOpen": 0.14, "mouthPucker": 0.85, "mouthFunnel": 0.2}),
    "OW": Phoneme((480, 900, 2420), 0.7, 0.0, 0.13, {"jawOpen": 0.34, "mouthFunnel": 0.7, "mouthPucker": 0.3}),
    "ER": Phoneme((490, 1360, 1700), 0.55, 0.0, 0.11, {"jawOpen": 0.24, "mouthFunnel": 0.45}),
    "M":  Phoneme((260, 1000, 2200), 0.16, 0.0, 0.09, _CLOSED),
    "B":  Phoneme((220, 800, 2100), 0.05, 0.05, 0.08, _CLOSED),
    "F":  Phoneme((400, 1400, 4600), 0.0, 0.12, 0.10, {"jawOpen": 0.08, "mouthRollLower": 0.6, "mouthUpperUpLeft": 0.3,
                                                        "mouthUpperUpRight": 0.3}),
    "S":  Phoneme((400, 1700, 4900), 0.0, 0.22, 0.11, {"jawOpen": 0.07, "mouthStretchLeft": 0.4, "mouthStretchRight": 0.4,
                                                        "mouthLowerDownLeft": 0.25, "mouthLowerDownRight": 0.25}),
    "SH": Phoneme((400, 1700, 2700), 0.0, 0.22, 0.11, {"jawOpen": 0.12, "mouthFunnel": 0.65, "mouthPucker": 0.25}),
    "L":  Phoneme((360, 1100, 2700), 0.32, 0.0, 0.08, {"jawOpen": 0.24, "tongueOut": 0.12}),
    "D":  Phoneme((300, 1750, 2750), 0.12, 0.10, 0.07, {"jawOpen": 0.16}),
    "W":  Phoneme((300, 640, 2200), 0.28, 0.0, 0.09, {"jawOpen": 0.08, "mouthPucker": 1.0}),
}  # fmt: skip
WORDS = (
    "M AA M AA", "B IY", "W IY", "S UW", "D AE D", "L AA L AA", "F EH L", "SH OW", "M UW M", "B AA B", "W ER D", "S IY L",
    "L OW", "F AE S", "D IY", "SH IY", "B OW F", "M IY L", "W AA SH", "S AE D", "D UW M", "L IY F", "F AA L", "B AE SH",
    "EH M", "OW L", "AE B", "IY S", "UW F", "AA W",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Speech:
    """Sound, 16 kHz mono in [-1, 1], and the ARKit actions of the mouth at 25 frames a second."""

    sound: Float[ndarray, " s"]
    actions: list[dict[str, float]]
    words: tuple[str, ...]


def speak(num_frames: int, seed: int, rate_hz: float = 25.0) -> Speech:
    """Words in random order, with pauses, for exactly this many frames; another seed says something else."""
    rng = np.random.default_rng([seed, 17])
    names, lengths_s, words = ["_"], [0.25], []
    while sum(lengths_s) < num_frames / rate_hz - 0.5:
        word = WORDS[int(rng.integers(len(WORDS)))]
        words.append(word)
        for name in word.split():
            names.append(name)
            lengths_s.append(PHONEMES[name].duration_s * float(rng.uniform(0.85, 1.2)))
        if rng.random() < 0.3:
            names.append("_")
            lengths_s.append(float(rng.uniform(0.1, 0.35)))
    end_s = num_frames / rate_hz
    starts_s = np.concatenate([[0.0], np.cumsum(lengths_s)])
    times_s = np.arange(0, end_s, _STEP_S)
    spoken = [PHONEMES[n] for n in (*names, "_")]
    place = np.minimum(np.searchsorted(starts_s, times_s, side="right") - 1, len(spoken) - 1)
    tracks = np.array([(*p.formants_hz, p.voice, p.noise) for p in spoken])[place]
    sound = _formants(_smooth(tracks, 0.018), end_s, rng)
    used = sorted({name for phoneme in PHONEMES.values() for name in phoneme.actions})
    mouth = np.array([[p.actions.get(name, 0.0) for name in used] for p in spoken])[place]
    mouth = _smooth(mouth, 0.032)  # neighbours blend, as lips and jaw have mass
    frames = np.minimum(np.round((np.arange(num_frames) + 0.5) / rate_hz / _STEP_S).astype(int), len(mouth) - 1)
    actions = [dict(zip(used, map(float, row), strict=True)) for row in mouth[frames]]
    return Speech(sound.astype(np.float32), actions, tuple(words))


def _smooth(values: Float[ndarray, "t c"], sigma_s: float) -> Float[ndarray, "t c"]:
    reach = int(4 * sigma_s / _STEP_S)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _STEP_S / sigma_s) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)


def _formants(tracks: Float[ndarray, "t 5"], end_s: float, rng: np.random.Generator) -> Float[ndarray, " s"]:
    """Harmonics of a falling voice under three resonances, and noise about the highest of them."""
    count = round(end_s * SOUND_HZ)
    times_s = np.arange(count) / SOUND_HZ
    steps_s = np.arange(len(tracks)) * _STEP_S
    f1, f2, f3, voice, noise = (np.interp(times_s, steps_s, column) for column in tracks.T)
    pitch_hz = _PITCH_HZ * (1 + 0.06 * np.sin(2 * np.pi * 0.7 * times_s) + 0.03 * np.sin(2 * np.pi * 2.3 * times_s + 1))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SOUND_HZ
    out = np.zeros(count)
    for k in range(1, int(_HIGHEST_HZ / _PITCH_HZ)):
        gain = sum(
            weight / (1 + ((k * pitch_hz - f) / width) ** 2)
            for f, width, weight in zip((f1, f2, f3), _BANDWIDTHS_HZ, (1.0, 0.6, 0.35), strict=True)
        )
        out += gain * np.sin(k * phase) / np.sqrt(k)
    out *= 0.28 * voice
    hiss = np.convolve(rng.normal(size=count), [0.5, -0.5], mode="same")
    carrier = np.cos(2 * np.pi * np.cumsum(f3) / SOUND_HZ)  # moves the noise to where the hiss of the phoneme is
    low = np.convolve(rng.normal(size=count), np.ones(12) / 12, mode="same")
    out += noise * (0.3 * hiss + 1.6 * low * carrier)
    return np.clip(out + 1e-4 * rng.normal(size=count), -1, 1)
