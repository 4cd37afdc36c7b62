"""Where artifact folders lie: on a disk or in S3. The only user of boto3."""

import os
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from gaze_core.artifacts import MANIFEST_FILE, Manifest, file_sha256
from gaze_core.errors import BadInput


class Backend(Protocol):
    """Where artifact folders lie. Each folder is named by a URI."""

    def commit(self, uri: str, files: Mapping[str, Path], manifest: str) -> None:
        """Makes the folder appear with all files, or not at all."""
        ...

    def manifest_text(self, uri: str) -> str | None:
        """The text of the commit mark; None without one."""
        ...

    def local_folder(self, uri: str, manifest: Manifest) -> Path:
        """A folder of this machine with the files that could be had; the caller verifies them."""
        ...

    def folders(self, root: str, prefix: str) -> list[str]:
        """URIs of the folders `<root>/<prefix>*`."""
        ...


def backend_of(uri: str, cache_dir: Path) -> Backend:
    """The backend of a folder's URI; `cache_dir` keeps what had to be downloaded.

    Raises:
        BadInput: the URI's scheme has no backend.
    """
    scheme = urlsplit(uri).scheme
    if scheme == "file":
        return LocalDisk()
    if scheme == "s3":
        return S3(cache_dir)
    raise BadInput(f"artifact store {uri!r}: expected file:///folder or s3://bucket/prefix; set GAZEWORKS_STORE")


class LocalDisk:
    """Folders of a mounted file system."""

    def commit(self, uri: str, files: Mapping[str, Path], manifest: str) -> None:
        """Fills a folder under another name, the manifest last, and renames it."""
        target = _path(uri)
        # The same name for each attempt of this host, so what a killed attempt left is found and removed.
        staging = target.with_name(f".{target.name}.{socket.gethostname()}")
        shutil.rmtree(staging, ignore_errors=True)
        for name, source in files.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, staging / name)
            (staging / name).chmod(0o444)
        with (staging / MANIFEST_FILE).open("w") as file:
            file.write(manifest)
            file.flush()
            os.fsync(file.fileno())
        shutil.rmtree(target, ignore_errors=True)  # only reached when what is there is not whole
        staging.rename(target)

    def manifest_text(self, uri: str) -> str | None:
        """The manifest file's text; None without one."""
        path = _path(uri) / MANIFEST_FILE
        return path.read_text() if path.is_file() else None

    def local_folder(self, uri: str, manifest: Manifest) -> Path:
        """The folder itself: nothing is copied."""
        return _path(uri)

    def folders(self, root: str, prefix: str) -> list[str]:
        """URIs of the folders below `root` whose names start with `prefix`."""
        return [path.as_uri() for path in sorted(_path(root).glob(f"{prefix}*"))]


class S3:
    """Folders of a bucket, at any endpoint that the AWS variables name; fetched files stay in `cache_dir`."""

    def __init__(self, cache_dir: Path) -> None:
        import boto3  # here, because a local store shall not pay for it
        import botocore.config

        self.cache_dir = cache_dir
        retries = botocore.config.Config(retries={"max_attempts": 5, "mode": "standard"})
        self.client: Any = boto3.client("s3", config=retries)

    def commit(self, uri: str, files: Mapping[str, Path], manifest: str) -> None:
        """Uploads the files, then the manifest: a folder without one does not count."""
        bucket, prefix = _bucket_and_key(uri)
        with _reaching(uri):
            for name, source in files.items():
                self.client.upload_file(str(source), bucket, f"{prefix}/{name}")
            self.client.put_object(Bucket=bucket, Key=f"{prefix}/{MANIFEST_FILE}", Body=manifest.encode())

    def manifest_text(self, uri: str) -> str | None:
        """The manifest object's text; None without one."""
        bucket, prefix = _bucket_and_key(uri)
        with _reaching(uri):
            try:
                response = self.client.get_object(Bucket=bucket, Key=f"{prefix}/{MANIFEST_FILE}")
            except self.client.exceptions.NoSuchKey:
                return None
            return str(response["Body"].read().decode())

    def local_folder(self, uri: str, manifest: Manifest) -> Path:
        """Downloads what the cache lacks or holds changed."""
        bucket, prefix = _bucket_and_key(uri)
        folder = self.cache_dir / bucket / prefix
        for name, expected in manifest.files.items():
            path = folder / name
            if not path.is_file() or file_sha256(path) != expected:
                path.parent.mkdir(parents=True, exist_ok=True)
                with _reaching(uri):
                    self._download(bucket, f"{prefix}/{name}", path)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=1))
        return folder

    def _download(self, bucket: str, key: str, path: Path) -> None:
        partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            self.client.download_file(bucket, key, str(partial))
        except self.client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            path.unlink(missing_ok=True)  # gone there, so a changed copy here must not pass for it
        else:
            partial.replace(path)

    def folders(self, root: str, prefix: str) -> list[str]:
        """URIs of the folders below `root` whose names start with `prefix`."""
        bucket, key = _bucket_and_key(root)
        with _reaching(root):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=f"{key}/{prefix}", Delimiter="/"
            )
            found = [row["Prefix"].rstrip("/") for page in pages for row in page.get("CommonPrefixes", [])]
        return [f"s3://{bucket}/{name}" for name in sorted(found)]


@contextmanager
def _reaching(uri: str) -> Iterator[None]:
    """Turns what boto3 says about a bucket out of reach into one line for the user."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise BadInput(
            f"{uri}: the bucket is out of reach ({error}); check name, AWS credentials and AWS_ENDPOINT_URL"
        ) from error


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def _bucket_and_key(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.netloc, parts.path.strip("/")
