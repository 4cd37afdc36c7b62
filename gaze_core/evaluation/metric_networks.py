"""Metric networks: pretrained networks that measure images beside the judge, or the reason why one is missing.

The configuration of an evaluation names the networks it uses, so results of different machines stay comparable.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gaze_core import assets
from gaze_core.errors import MissingArtifact
from gaze_core.evaluation.distribution import Inception
from gaze_core.evaluation.identity import FaceDescriptor
from gaze_core.evaluation.judge import Judge
from gaze_core.evaluation.perceptual import Lpips, StLpips

MetricNetworkName = Literal["st_lpips", "vgg16", "face_descriptor", "inception"]
_MEASURES: dict[MetricNetworkName, tuple[str, ...]] = {
    "st_lpips": ("st_lpips",),
    "vgg16": ("lpips",),
    "face_descriptor": ("identity_distance",),
    "inception": ("kid", "fid"),
}


@dataclass(frozen=True, eq=False)
class MetricNetworks:
    """The judge and the loaded metric networks; `absent` gives the reason for each metric that cannot be measured."""

    judge: Judge
    st_lpips: StLpips | None = None
    vgg16: Lpips | None = None
    face_descriptor: FaceDescriptor | None = None
    inception: Inception | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)  # network -> first digits of its sha256


def available() -> tuple[MetricNetworkName, ...]:
    """The metric networks whose weights and packages are on this machine. Nothing is downloaded."""
    return tuple(name for name in _MEASURES if not _unavailable_because(name))


def load_metric_networks(judge: Judge, wanted: Iterable[MetricNetworkName]) -> MetricNetworks:
    """Loads exactly the wanted metric networks.

    Raises:
        MissingArtifact: a wanted network is not on this machine.
    """
    loaded: dict[str, StLpips | Lpips | FaceDescriptor | Inception] = {}
    absent, digests = dict[str, str](), {judge.name: judge.digest}
    for name, metrics in _MEASURES.items():
        reason = _unavailable_because(name)
        if name not in wanted:
            absent |= dict.fromkeys(metrics, reason or f"not asked for: {name}")
        elif reason:
            raise MissingArtifact(f"metric network {name}: {reason}")
        else:
            loaded[name], digests[name] = _load(name), assets.ASSETS[name].sha256[:12]
    return MetricNetworks(judge, absent=absent, digests=digests, **loaded)  # type: ignore[arg-type]


def _unavailable_because(name: MetricNetworkName) -> str:
    """Why a metric network cannot be used here, and what to do; empty if it can."""
    if assets.find(name) is None:
        asset = assets.ASSETS[name]
        remedy = next(row.remedy for row in assets.status() if row.name == name)
        return f"{asset.file} is not on this machine; {remedy}"
    try:
        _load(name)
    except MissingArtifact as error:
        return str(error)
    return ""


def _load(name: MetricNetworkName) -> StLpips | Lpips | FaceDescriptor | Inception:
    path = assets.resolve(name)
    if name == "st_lpips":
        return StLpips.load(path)
    if name == "vgg16":
        return Lpips(path)
    return FaceDescriptor(path) if name == "face_descriptor" else Inception(path)
