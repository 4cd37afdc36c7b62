"""Gaze estimators by name: each can be the judge; for recordings of people all available ones predict."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Literal

from gaze_core.assets import ASSETS, find, resolve, status
from gaze_core.errors import MissingArtifact
from gaze_core.evaluation.catalog import SECOND_METRIC
from gaze_core.evaluation.judge import CnnJudge, Judge, LandmarkJudge
from gaze_core.evaluation.metric_networks import MetricNetworks
from gaze_core.preprocess import iris_judge, landmark_gaze, openvino_gaze
from gaze_core.preprocess.landmark_gaze import LandmarkGaze
from gaze_core.preprocess.openvino_gaze import OpenvinoGaze

ReaderName = Literal["cnn", "landmarks", "iris", "openvino"]
READERS: Mapping[ReaderName, str] = {
    "cnn": "the shipped network, trained on rendered people",
    "landmarks": "the map of eye landmarks that labels recordings, learned from rendered people",
    "iris": "the eyeball model on MediaPipe's landmarks",
    "openvino": "OpenVINO gaze-estimation-adas-0002",
}
LOOK_READERS: tuple[ReaderName, ...] = ("iris", "openvino")  # of photographs; the network knows rendered people only
_SECOND: ReaderName = "openvino"
_ASSETS: Mapping[ReaderName, tuple[str, ...]] = {
    "cnn": (),
    "landmarks": ("face_landmarker",),
    "iris": ("face_landmarker",),
    "openvino": ("face_landmarker", openvino_gaze.NETWORK, openvino_gaze.WEIGHTS),
}


def reader(name: ReaderName) -> Judge:
    """The reader of that name; its files are downloaded if they are not on this machine.

    Raises:
        MissingArtifact: its package or a file is not available.
    """
    if name == "cnn":
        return CnnJudge()
    landmarker = resolve("face_landmarker")
    if name == "landmarks":
        digest = LandmarkGaze.load().digest
        return LandmarkJudge(name, digest, lambda images: landmark_gaze.predict_gaze(images, landmarker))
    if name == "iris":
        return LandmarkJudge(name, "iris-v1", lambda images: iris_judge.predict_gaze(images, landmarker))
    network = OpenvinoGaze()
    digest = f"{ASSETS[openvino_gaze.WEIGHTS].sha256[:8]}-v{openvino_gaze.VERSION}"
    return LandmarkJudge(name, digest, lambda images: openvino_gaze.predict_gaze(images, network, landmarker))


def why_not(name: ReaderName) -> str:
    """Why a reader cannot be used here without a download, and what to do; empty if it can."""
    lacking = [openvino_gaze.MISSING_PACKAGE] if name == "openvino" and find_spec("openvino") is None else []
    if missing := [asset for asset in _ASSETS[name] if find(asset) is None]:
        remedies = {row.name: row.remedy for row in status()}
        lacking += [f"{ASSETS[asset].file} is not on this machine, {remedies[asset]}" for asset in missing]
    if lacking:
        return "; ".join(lacking)
    try:
        reader(name)
    except MissingArtifact as error:
        return str(error)
    return ""


def available_readers() -> tuple[ReaderName, ...]:
    """Those that can be used on this machine. Nothing is downloaded."""
    return tuple(name for name in READERS if not why_not(name))


def with_readers(networks: MetricNetworks, wanted: Iterable[ReaderName]) -> MetricNetworks:
    """The same, with the wanted readers beside the judge, and the reason why each other one is missing.

    Raises:
        MissingArtifact: a wanted one is not available.
    """
    judge, chosen = networks.judge, tuple(wanted)
    found: dict[str, Judge] = {judge.name: judge}
    absent: dict[str, str] = {}
    for name in READERS:
        if name in chosen and name != judge.name:
            found[name] = reader(name)
        elif name != judge.name:
            absent[name] = why_not(name) or f"not asked for: {name}"
    second = found.get(_SECOND)
    digests, reason = dict(networks.digests), absent.get(_SECOND, "")
    if second is judge:
        second, reason = None, "OpenVINO's reader is the judge of this evaluation"
    if second is not None:
        digests[second.name] = second.digest
    return replace(
        networks,
        second=second,
        readers=found,
        readers_absent=absent,
        digests=digests,
        absent={**networks.absent, **({SECOND_METRIC: reason} if reason else {})},
    )
