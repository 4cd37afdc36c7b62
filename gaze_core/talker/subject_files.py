"""The parts of a talker subject on disk: images, sound, facts."""

import json
import wave
from pathlib import Path

import cv2
import h5py
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.errors import BadInput
from gaze_core.talker.subject_schema import (
    RATE_HZ,
    SCHEMA_VERSION,
    SOUND_HZ,
    TalkerFacts,
)

_JPEG_QUALITY = 96


GZIP = {"compression": "gzip", "compression_opts": 4, "shuffle": True}


def write_wav(path: Path, sound: Float[ndarray, " s"], rate_hz: int = SOUND_HZ) -> None:
    """Writes mono sound in [-1, 1] with 16 bits."""
    samples = np.clip(np.round(np.asarray(sound, np.float64) * 32767), -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())


def read_wav(path: Path) -> Float[ndarray, " s"]:
    """Sound of a file that `write_wav` wrote.

    Raises:
        BadInput: it is not 16 kHz mono with 16 bits.
    """
    try:
        with wave.open(str(path), "rb") as file:
            found = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            if found != (1, 2, SOUND_HZ):
                raise BadInput(f"{path}: expected 16 kHz mono with 16 bits, found (channels, bytes, Hz) {found}")
            return (np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767).astype(np.float32)
    except (wave.Error, EOFError) as error:
        raise BadInput(f"{path}: not a WAV file ({error})") from error


def write_png(path: Path, image: UInt8[ndarray, "h w 3"]) -> None:
    """Writes an RGB image."""
    path.write_bytes(encode_png(image).tobytes())


def encode_jpeg(image: UInt8[ndarray, "h w 3"]) -> UInt8[ndarray, " b"]:
    """RGB as JPEG without subsampled colours."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    return np.asarray(cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), options)[1]).ravel()


def encode_png(image: UInt8[ndarray, "h w c"]) -> UInt8[ndarray, " b"]:
    """RGB or RGBA as PNG."""
    order = [2, 1, 0, 3][: image.shape[2]]
    return np.asarray(cv2.imencode(".png", np.ascontiguousarray(image[..., order]))[1]).ravel()


def decode(data: UInt8[ndarray, " b"]) -> UInt8[ndarray, "h w c"]:
    """BGR or BGRA of a JPEG or PNG.

    Raises:
        BadInput: it is damaged.
    """
    image = cv2.imdecode(np.asarray(data), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise BadInput("an image of the talker subject is damaged; prepare it again")
    return np.asarray(image)


_NUMBERS = ("eye_radius_m", "audio_rate_hz", "audio_window", "rate_hz")


def write_facts(file: h5py.File, facts: TalkerFacts) -> None:
    """Writes what is the same for all frames."""
    for name in ("points_m", "points_rgb"):
        file.create_dataset(name, data=np.asarray(getattr(facts, name), np.float32), **GZIP)
    for name in ("intrinsics", "eye_centres_m"):
        file.attrs[name] = np.asarray(getattr(facts, name), np.float64)
    for name in ("name", "audio_extractor", "source", *_NUMBERS):
        file.attrs[name] = getattr(facts, name)
    file.attrs["missing"] = json.dumps(list(facts.missing))
    file.attrs["provenance"] = json.dumps(facts.provenance or {})
    file.attrs["schema_version"] = SCHEMA_VERSION


def read_facts(file: h5py.File, path: Path) -> TalkerFacts:
    """What `write_facts` wrote.

    Raises:
        BadInput: of another format or rate.
    """
    version = int(file.attrs["schema_version"])
    if version != SCHEMA_VERSION:
        raise BadInput(f"{path}: format {version}; expected {SCHEMA_VERSION}; prepare the subject again")
    facts = TalkerFacts(
        name=str(file.attrs["name"]),
        intrinsics=np.asarray(file.attrs["intrinsics"]),
        eye_centres_m=np.asarray(file.attrs["eye_centres_m"]),
        eye_radius_m=float(file.attrs["eye_radius_m"]),
        points_m=np.asarray(file["points_m"]),
        points_rgb=np.asarray(file["points_rgb"]),
        audio_extractor=str(file.attrs["audio_extractor"]),
        audio_rate_hz=float(file.attrs["audio_rate_hz"]),
        audio_window=int(file.attrs["audio_window"]),
        source=str(file.attrs["source"]),
        missing=tuple(json.loads(file.attrs["missing"])),
        provenance=json.loads(file.attrs["provenance"]),
        rate_hz=float(file.attrs["rate_hz"]),
    )
    if facts.rate_hz != RATE_HZ:
        raise BadInput(f"{path}: {facts.rate_hz:g} frames a second; expected {RATE_HZ:g}; prepare the subject again")
    return facts
