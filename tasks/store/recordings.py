"""Imports recordings from this machine into the store, where every worker can read them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from prefect import task
from prefect.cache_policies import NO_CACHE

from gaze_core.artifacts import ArtifactRef, Produced, file_sha256, files_in
from gaze_core.config import Config
from gaze_core.data.subjects import is_subject_file
from gaze_core.data.validation import require_valid
from gaze_core.errors import BadInput
from gaze_core.preprocess.images import images_in
from tasks.store.artifacts import Store
from tasks.store.permitted_paths import require_importable

STAGE, VERSION = "recording", 1
Source = Literal["synthetic", "video"]
_EXPECTED = {"video": "images", "synthetic": "subject files (*.h5)"}
_PLAYLISTS = (
    b"#EXTM3U",
    b"ffconcat",
    b"<?xml",
    b"<MPD",
    b"v=0",
)  # first bytes of playlists, whose videos lie in other files


class RecordingConfig(Config):
    """Identity of a recording: the content of each file by its name, not its path."""

    sha256: dict[str, str]


@task(name="import_recording", persist_result=False, cache_policy=NO_CACHE)
def import_recording(path: Path, source: Source = "video") -> ArtifactRef:
    """Publishes a file, or of a folder only the recording's files (`recorded_files`).

    Raises:
        BadInput: as `require_recording`.
    """
    require_recording(path, source)
    path = path.resolve()  # "." has no name
    files = (
        {path.name: path}
        if path.is_file()
        else {f"{path.name}/{n}": p for n, p in recorded_files(path, source).items()}
    )
    config = RecordingConfig(sha256={name: file_sha256(file) for name, file in files.items()})
    produced = Produced(kind="dataset", files=files)
    return Store.from_environment().publish(produced, stage=STAGE, version=VERSION, config=config, parents={})


def require_recording(path: Path, source: Source = "video") -> None:
    """Raises BadInput unless `path` is a file or folder of the source, not Gazeworks' own, with valid subject files."""
    require_importable(path)
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder; expected a video, an image folder or a subject file")
    if path.is_dir() and not recorded_files(path, source):
        others = "; for subject files use --source synthetic" if recorded_files(path, "synthetic") else ""
        raise BadInput(f"{path}: the folder holds no {_EXPECTED[source]}{others}; name the file, or the folder of them")
    if path.is_file() and _start(path).startswith(_PLAYLISTS):
        raise BadInput(f"{path}: a list that names videos in other files; expected the video itself")
    files = recorded_files(path, source).values() if path.is_dir() else [path]
    for file in files:
        if any("\ud800" <= character <= "\udfff" for character in file.name):
            raise BadInput(f"{str(file)!r}: expected a name in UTF-8; rename it")
    subjects = [file for file in files if is_subject_file(file)]
    for subject in subjects:  # here errors name the user's own path, not that of its copy in the store
        require_valid(subject)


def recorded_files(folder: Path, source: Source) -> dict[str, Path]:
    """The files of a recording in a folder, by relative name: the images in it, or the subject files below it."""
    if source == "video":
        return {path.name: path for path in images_in(folder)}
    return {name: path for name, path in files_in(folder).items() if is_subject_file(path)}


@contextmanager
def naming_users_file(path: Path, recording: ArtifactRef) -> Iterator[None]:
    """Makes errors in an imported recording name the user's `path`, not that of its copy in the store."""
    try:
        yield
    except BadInput as error:
        copy = Store.from_environment().fetch(recording) / path.resolve().name
        raise BadInput(str(error).replace(str(copy), str(path))) from error


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)
