"""From a path on this machine to a recording in the store, so that any worker can read it."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from gaze_core.artifacts import ArtifactRef, Produced, file_sha256, files_in
from gaze_core.config import Config
from gaze_core.data.validation import require_valid
from gaze_core.errors import BadInput
from tasks.store.artifacts import Store
from tasks.store.roots import require_foreign

STAGE, VERSION = "recording", 1
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD", b"v=0")  # how files begin whose videos FFmpeg reads elsewhere


class RecordingConfig(Config):
    """What is recorded: the content of each file by its name. Where it lay does not matter."""

    sha256: dict[str, str]


@task(name="import_recording", persist_result=False, cache_policy=NO_CACHE)
def import_recording(path: Path) -> ArtifactRef:
    """Publishes a file, or all files of a folder, as it is; hidden ones, which file browsers leave there, are left out.

    Raises:
        BadInput: the path does not exist, or is an empty folder.
    """
    require_recording(path)
    files = {path.name: path} if path.is_file() else {f"{path.name}/{n}": p for n, p in _shown_files(path).items()}
    config = RecordingConfig(sha256={name: file_sha256(file) for name, file in files.items()})
    produced = Produced(kind="dataset", files=files)
    return Store.from_environment().publish(produced, stage=STAGE, version=VERSION, config=config, parents={})


def require_recording(path: Path) -> None:
    """Raises BadInput unless `path` is a file or a folder with files, none of them Gazeworks' own or a damaged subject."""
    require_foreign(path)
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder; expected a video, an image folder or a subject file")
    if path.is_dir() and not _shown_files(path):
        raise BadInput(f"{path}: the folder is empty; expected images")
    if path.is_file() and _start(path).startswith(_PLAYLISTS):
        raise BadInput(f"{path}: a list that names videos in other files; expected the video itself")
    subjects = sorted(path.rglob("*.h5")) if path.is_dir() else [path] if path.suffix == ".h5" else []
    for subject in subjects:  # said of the user's own path, not of its copy in the store
        require_valid(subject)


def _shown_files(folder: Path) -> dict[str, Path]:
    return {
        name: path for name, path in files_in(folder).items() if not any(part[0] == "." for part in name.split("/"))
    }


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)
