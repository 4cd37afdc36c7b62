"""Artifact folders on a mounted file system."""

import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from gaze_core.artifacts import MANIFEST_FILE, Manifest
from gaze_core.errors import NoSpace
from tasks.store_address import local_path


class LocalDisk:
    """Folders of a mounted file system."""

    def commit(self, uri: str, files: Mapping[str, Path], manifest: Manifest) -> None:
        """Fills a folder under another name, the manifest last, and renames it.

        Raises:
            NoSpace: the disk is full, or may not be written to.
        """
        target = local_path(uri)
        # The same name for each attempt of this host, so what a killed attempt left is found and removed.
        staging = target.with_name(f".{target.name}.{socket.gethostname()}")
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
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)  # or it would keep the disk full
            raise NoSpace(f"{uri}: cannot be written ({error}); make room and run again: nothing is lost") from error
        shutil.rmtree(target, ignore_errors=True)  # only reached when what is there is not whole
        staging.rename(target)

    def manifest_text(self, uri: str) -> str | None:
        """The manifest file's text; None without one."""
        path = local_path(uri) / MANIFEST_FILE
        return path.read_text() if path.is_file() else None

    def local_folder(self, uri: str, manifest: Manifest) -> Path:
        """The folder itself: nothing is copied."""
        return local_path(uri)

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
        """Removes a folder: at once from where it counts, then file by file."""
        target = local_path(uri)
        doomed = target.with_name(f".{target.name}.deleted")
        shutil.rmtree(doomed, ignore_errors=True)
        target.rename(doomed)
        shutil.rmtree(doomed)
