"""Artifact folders on a mounted file system."""

import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from gaze_core.artifacts import MANIFEST_FILE, Manifest, first_fault
from gaze_core.atomic import FULL
from gaze_core.errors import NoSpace
from tasks.locks import work_lock
from tasks.store.address import local_path

SCRATCH_DIR = ".scratch"


class LocalDisk:
    """Folders of a mounted file system. `cache_dir` holds links to a folder's own files if others lie among them."""

    def __init__(self, cache_dir: Path) -> None:
        self.cache_dir = cache_dir

    def commit(self, uri: str, files: Mapping[str, Path], manifest: Manifest) -> None:
        """Writes a folder under another name, the manifest last, and renames it; one run of this host at a time.

        Raises:
            NoSpace: the disk is full, or may not be written to.
        """
        target = local_path(uri)
        # The same name for each attempt of this host, so the remains of a killed attempt are found and removed.
        staging = target.with_name(f".{target.name}.{socket.gethostname()}")
        try:
            with work_lock(staging):
                if not _is_whole(target, manifest):  # otherwise the run that held the lock has written it
                    _fill(staging, files, manifest)
                    _put_in_place(staging, target, manifest)
        except OSError as error:
            raise cannot_write(uri, error) from error

    def manifest_text(self, uri: str) -> str | None:
        """The manifest file's text; None without one."""
        path = local_path(uri) / MANIFEST_FILE
        return path.read_text() if path.is_file() else None

    def local_folder(self, uri: str, manifest: Manifest) -> Path:
        """The folder itself, or if unexpected files lie in it, a folder of links to the artifact's own files."""
        folder = local_path(uri)
        if not unexpected_files(folder, manifest):
            return folder
        view = self._links(uri)
        for name in (*manifest.files, MANIFEST_FILE):
            self._link(view / name, folder / name)
        for unexpected in unexpected_files(view, manifest):
            remove(unexpected)
        return view

    def _link(self, link: Path, target: Path) -> None:
        if link.is_symlink() and os.readlink(link) == str(target):
            return
        link.parent.mkdir(parents=True, exist_ok=True)
        partial = scratch_file(self.cache_dir)
        partial.symlink_to(target)
        partial.replace(link)

    def folders(self, root: str, prefix: str) -> list[str]:
        """URIs of the folders below `root` whose names start with `prefix`."""
        folder = local_path(root)
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        return [path.as_uri() for name in names if name.startswith(prefix) and (path := folder / name).is_dir()]

    def files(self, uri: str) -> Iterator[tuple[str, int, float]]:
        """Name, size in bytes and time of change (seconds since 1970) of each file of a folder."""
        folder = local_path(uri)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                status = path.stat()
                yield path.relative_to(folder).as_posix(), status.st_size, status.st_mtime

    def delete(self, uri: str) -> None:
        """Removes a folder: renames it first, so it is no artifact any more, then deletes its files."""
        target = local_path(uri)
        renamed = target.with_name(f".{target.name}.deleted")
        shutil.rmtree(renamed, ignore_errors=True)
        target.rename(renamed)
        shutil.rmtree(renamed)
        remove(self._links(uri))

    def _links(self, uri: str) -> Path:
        return self.cache_dir / "links" / "/".join(uri.split("/")[-2:])


def cannot_write(where: str, error: OSError) -> NoSpace:
    """The error for a failed write to a disk; `where` names what was being written."""
    remedy = "make room" if error.errno in FULL else "check that the folder exists and may be written to"
    return NoSpace(f"{where}: cannot be written ({error}); {remedy} and run again: nothing is lost")


def scratch_file(cache_dir: Path) -> Path:
    """A unique path for a temporary file, on the cache's disk and outside every artifact's folder."""
    folder = cache_dir / SCRATCH_DIR
    folder.mkdir(parents=True, exist_ok=True)
    return folder / uuid.uuid4().hex


def unexpected_files(folder: Path, manifest: Manifest) -> list[Path]:
    """Files and folders in an artifact's folder that its manifest does not name, such as a file browser's."""
    own = {PurePosixPath(name) for name in (*manifest.files, MANIFEST_FILE)}
    own |= {parent for path in own for parent in path.parents}
    return [path for path in sorted(folder.rglob("*")) if PurePosixPath(path.relative_to(folder).as_posix()) not in own]


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is still there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_whole(folder: Path, manifest: Manifest) -> bool:
    return (folder / MANIFEST_FILE).is_file() and not first_fault(folder, manifest.files)


def _fill(staging: Path, files: Mapping[str, Path], manifest: Manifest) -> None:
    shutil.rmtree(staging, ignore_errors=True)
    try:
        for name, source in files.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, staging / name)
            (staging / name).chmod(0o444)
        with (staging / MANIFEST_FILE).open("w") as file:
            file.write(manifest.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)  # or it would keep the disk full
        raise


def _put_in_place(staging: Path, target: Path, manifest: Manifest) -> None:
    if _is_whole(target, manifest):  # another host was first
        shutil.rmtree(staging, ignore_errors=True)
        return
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)
