"""Backends of the artifact store: a disk (`tasks.store.disk`) or S3. The only module that uses boto3."""

import json
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from gaze_core.artifacts import MANIFEST_FILE, Manifest, file_sha256
from gaze_core.errors import BadInput, GazeworksError
from tasks.redaction import redacted, require_no_credentials
from tasks.store.address import bucket_and_key
from tasks.store.disk import LocalDisk, cannot_write, remove, scratch_file, unexpected_files

TIMEOUT_VARIABLE, DEFAULT_TIMEOUT_S = "GAZEWORKS_S3_TIMEOUT_S", 60.0
ATTEMPTS_VARIABLE, DEFAULT_ATTEMPTS = "AWS_MAX_ATTEMPTS", 6  # about half a minute of pauses in total
PART_BYTES = 16 * 2**20  # larger files are transferred in parts of this size
DOWNLOAD_ATTEMPTS, FIRST_PAUSE_S = 3, 0.5
DELETES_AT_ONCE = 8
_CHECK_BUCKET = "check name, AWS credentials and AWS_ENDPOINT_URL, and run again: what was computed is kept"
_CHECK_SETTINGS = "check AWS_ENDPOINT_URL (with http:// or https://), the other AWS variables and the files in ~/.aws"

logger = logging.getLogger("gazeworks.storage")
_session = threading.Lock()  # boto3's own session must not make clients in two threads at once


class Backend(Protocol):
    """Storage of artifact folders, each named by a URI."""

    def commit(self, uri: str, files: Mapping[str, Path], manifest: Manifest) -> None:
        """Makes the folder appear with all files, or not at all."""
        ...

    def manifest_text(self, uri: str) -> str | None:
        """The text of the manifest, which marks a complete folder; None without one."""
        ...

    def local_folder(self, uri: str, manifest: Manifest) -> Path:
        """A folder of this machine with the files that could be fetched; the caller verifies them."""
        ...

    def folders(self, root: str, prefix: str) -> list[str]:
        """URIs of the folders `<root>/<prefix>*`."""
        ...

    def files(self, uri: str) -> Iterator[tuple[str, int, float]]:
        """Name, size in bytes and time of change (seconds since 1970) of each file of a folder."""
        ...

    def delete(self, uri: str) -> None:
        """Removes a folder; one that is only partly removed does not count as complete."""
        ...


def backend_of(root_uri: str, cache_dir: Path) -> Backend:
    """The backend of a store's root (`store_address.store_root`); `cache_dir` keeps what had to be downloaded.

    Raises:
        BadInput: the environment's settings for S3 cannot be used.
    """
    return S3(cache_dir) if root_uri.startswith("s3://") else LocalDisk(cache_dir)


class S3:
    """Folders of a bucket, at any endpoint that the AWS variables name; fetched files stay in `cache_dir`."""

    def __init__(self, cache_dir: Path) -> None:
        from boto3.s3.transfer import TransferConfig  # imported here, since a local store does not need boto3

        self.cache_dir = cache_dir
        self.client = _client()
        self.transfer = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)

    def commit(self, uri: str, files: Mapping[str, Path], manifest: Manifest) -> None:
        """Uploads the files, then the manifest: a folder without one does not count."""
        bucket, prefix = bucket_and_key(uri)
        with _reaching(uri):
            for name, source in files.items():
                self.client.upload_file(str(source), bucket, f"{prefix}/{name}", Config=self.transfer)
            text = manifest.model_dump_json(indent=1).encode()
            self.client.put_object(Bucket=bucket, Key=f"{prefix}/{MANIFEST_FILE}", Body=text)

    def manifest_text(self, uri: str) -> str | None:
        """The manifest object's text; None without one."""
        bucket, prefix = bucket_and_key(uri)
        with _reaching(uri):
            try:
                response = self.client.get_object(Bucket=bucket, Key=f"{prefix}/{MANIFEST_FILE}")
            except self.client.exceptions.NoSuchKey:
                return None
            return str(response["Body"].read().decode(errors="replace"))

    def local_folder(self, uri: str, manifest: Manifest) -> Path:
        """Downloads the files that the cache lacks, or that have changed in the cache or in the bucket."""
        bucket, prefix = bucket_and_key(uri)
        folder, tags = self._copy(uri), self._tags(uri)
        with _reaching(uri):
            there = {name: row["ETag"] for name, row in self._objects(bucket, prefix)}
            verified = _read_json(tags)
            try:
                for name, expected in manifest.files.items():
                    path = folder / name
                    if name not in there:  # deleted in the bucket, so the copy here is not valid either
                        path.unlink(missing_ok=True)
                    elif verified.get(name) != there[name] or not path.is_file() or file_sha256(path) != expected:
                        self._download(bucket, f"{prefix}/{name}", path, expected)
                self._replace_text(tags, json.dumps(there))
                self._replace_text(folder / MANIFEST_FILE, manifest.model_dump_json(indent=1))
            except OSError as error:
                raise cannot_write(str(folder), error) from error
        for unexpected in unexpected_files(folder, manifest):
            remove(unexpected)
        return folder

    def _copy(self, uri: str) -> Path:
        """Path of a folder's copy on this machine."""
        return self.cache_dir.joinpath(*bucket_and_key(uri))

    def _tags(self, uri: str) -> Path:
        """Path of a file with the bucket's ETag of each verified file of a folder."""
        bucket, prefix = bucket_and_key(uri)
        return self.cache_dir / ".tags" / bucket / f"{prefix}.json"

    def _download(self, bucket: str, key: str, path: Path, expected: str) -> None:
        partial = scratch_file(self.cache_dir)
        for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
            try:
                self.client.download_file(bucket, key, str(partial), Config=self.transfer)
                whole = file_sha256(partial) == expected
                path.parent.mkdir(parents=True, exist_ok=True)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            if whole:
                return
            logger.warning("s3://%s/%s: attempt %d of %d brought other bytes", bucket, key, attempt, DOWNLOAD_ATTEMPTS)
            if attempt < DOWNLOAD_ATTEMPTS:
                time.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1))

    def folders(self, root: str, prefix: str) -> list[str]:
        """URIs of the folders below `root` whose names start with `prefix`."""
        bucket, key = bucket_and_key(root)
        start = f"{key}/{prefix}" if key else prefix
        with _reaching(root):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start, Delimiter="/")
            found = [row["Prefix"].rstrip("/") for page in pages for row in page.get("CommonPrefixes", [])]
            return [f"s3://{bucket}/{name}" for name in sorted(found)]

    def files(self, uri: str) -> Iterator[tuple[str, int, float]]:
        """Name, size in bytes and time of change (seconds since 1970) of each object of a folder."""
        with _reaching(uri):
            for name, row in self._objects(*bucket_and_key(uri)):
                yield name, row["Size"], row["LastModified"].timestamp()

    def delete(self, uri: str) -> None:
        """Removes a folder: its manifest first, so that it counts no longer, then the rest, and the copy here."""
        bucket, prefix = bucket_and_key(uri)
        with _reaching(uri):
            self.client.delete_object(Bucket=bucket, Key=f"{prefix}/{MANIFEST_FILE}")
            keys = [f"{prefix}/{name}" for name, _ in self._objects(bucket, prefix)]
            # One by one: S3 services require different checksums for a request that deletes many.
            with ThreadPoolExecutor(DELETES_AT_ONCE) as pool:
                list(pool.map(lambda key: self.client.delete_object(Bucket=bucket, Key=key), keys))
        remove(self._copy(uri))
        remove(self._tags(uri))

    def _replace_text(self, path: Path, text: str) -> None:
        partial = scratch_file(self.cache_dir)
        partial.write_text(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(path)

    def _objects(self, bucket: str, prefix: str) -> Iterator[tuple[str, Any]]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
        for page in pages:
            for row in page.get("Contents", []):
                yield row["Key"].removeprefix(f"{prefix}/"), row


def _client() -> Any:
    """A client with retries, backoff and time limits; checksums only where S3 requires them, as R2 and MinIO expect."""
    import boto3
    import botocore.config

    timeout_s = _number(TIMEOUT_VARIABLE, DEFAULT_TIMEOUT_S, "seconds, more than 0")
    attempts = int(_number(ATTEMPTS_VARIABLE, DEFAULT_ATTEMPTS, "a whole number, at least 1"))
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    with _as_bad_input("the settings for S3 cannot be used", _CHECK_SETTINGS):
        require_no_credentials(endpoint, "AWS_ENDPOINT_URL", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
        config = botocore.config.Config(
            retries={"total_max_attempts": attempts, "mode": "standard"},
            connect_timeout=min(10.0, timeout_s),
            read_timeout=timeout_s,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        with _session:
            return boto3.client("s3", config=config)


def _number(variable: str, default: float, expected: str) -> float:
    text = os.environ.get(variable) or str(default)
    try:
        value = type(default)(text)
    except ValueError:
        value = 0
    if not 0 < value < math.inf:
        raise BadInput(f"{variable} is {text!r}; expected {expected}")
    return value


def or_bucket_errors(*errors: type[Exception]) -> tuple[type[Exception], ...]:
    """`errors`, and if boto3 is imported, also those that it raises when a bucket is out of reach."""
    if "boto3" not in sys.modules:
        return errors
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    return *errors, Boto3Error, BotoCoreError, ClientError


@contextmanager
def _as_bad_input(what: str, remedy: str) -> Iterator[None]:
    """Turns boto3's errors, also those about a profile's files and values, into one line for the user."""
    try:
        yield
    except GazeworksError:
        raise
    except or_bucket_errors(ValueError, OSError) as error:
        raise BadInput(f"{what} ({redacted(' '.join(str(error).split()))}); {remedy}") from error


def _reaching(uri: str) -> AbstractContextManager[None]:
    return _as_bad_input(f"{uri}: the bucket is out of reach", _CHECK_BUCKET)


def _read_json(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError):
        return {}
