"""The artifact store: immutable folders by lineage and content, on a disk or in S3. Nothing else touches boto3.

    <root>/<stage>/<lineage>-<content>/{files..., manifest.json}

`lineage` names the computation (stage, version, config, inputs) and `content` the files. `manifest.json` is written
last and marks the artifact as complete. Each fetch verifies each file.
"""

import os
import shutil
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from gaze_core.artifacts import (
    MANIFEST_FILE,
    ArtifactRef,
    Input,
    Manifest,
    Produced,
    content_sha256,
    file_sha256,
    lineage_digest,
    references,
    trained_on,
)
from gaze_core.config import Config
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from tasks import environment
from tasks.provenance import git_commit, package_versions


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


class Store:
    """Publishes what stages produce and fetches it again, by reference."""

    def __init__(self, root_uri: str, cache_dir: Path) -> None:
        self.root_uri, self.cache_dir = root_uri.rstrip("/"), cache_dir

    @classmethod
    def from_environment(cls) -> "Store":
        """The store that `GAZEWORKS_STORE` and `GAZEWORKS_HOME` name."""
        return cls(environment.store_uri(), environment.home() / "cache")

    def publish(
        self,
        produced: Produced,
        *,
        stage: str,
        version: int,
        config: Config,
        parents: Mapping[str, Input],
        mlflow_run_id: str = "",
    ) -> ArtifactRef:
        """Commits the produced files and returns their reference; a whole artifact that is already there stays.

        Raises:
            ContractViolation: there is no file, or a file's name leaves the artifact's folder.
        """
        _require_names(produced, stage)
        files = {name: file_sha256(path) for name, path in produced.files.items()}
        content = content_sha256(files)
        folder = f"{lineage_digest(stage, version, config, parents)}-{content[:16]}"
        ref = ArtifactRef(
            kind=produced.kind,
            uri=f"{self.root_uri}/{stage}/{folder}",
            sha256=content,
            stage=stage,
            stage_version=version,
            config_digest=config.digest(),
            mlflow_run_id=mlflow_run_id,
        )
        if not self.exists(ref):
            refs = dict(references(parents))
            text = self._manifest(ref, files, produced, config, refs).model_dump_json(indent=1)
            self._backend(ref.uri).commit(ref.uri, produced.files, text)
        return ref

    def fetch(self, ref: ArtifactRef) -> Path:
        """A local folder, to read only, with the artifact's verified files and its manifest.

        Raises:
            MissingArtifact: the artifact is gone or its content has changed.
        """
        manifest = self.manifest(ref)
        folder = self._backend(ref.uri).local_folder(ref.uri, manifest)
        for name, expected in manifest.files.items():
            path = folder / name
            if not path.is_file():
                raise _missing(ref, f"file {name} is gone")
            if (found := file_sha256(path)) != expected:
                raise _missing(ref, f"file {name} has sha256 {found[:12]}, expected {expected[:12]}")
        return folder

    def exists(self, ref: ArtifactRef) -> bool:
        """Whether `fetch` would succeed now."""
        try:
            self.fetch(ref)
        except MissingArtifact:
            return False
        return True

    def manifest(self, ref: ArtifactRef) -> Manifest:
        """The manifest of an artifact.

        Raises:
            MissingArtifact: there is none, it is unreadable, or it is of another content.
        """
        text = self._backend(ref.uri).manifest_text(ref.uri)
        if text is None:
            raise _missing(ref, f"there is no {MANIFEST_FILE}")
        manifest = Manifest.parse(text, ref.uri)
        if manifest.ref.sha256 != ref.sha256 or content_sha256(manifest.files) != ref.sha256:
            raise _missing(ref, "the manifest is of another content")
        return manifest

    def find(self, stage: str, lineage: str) -> ArtifactRef | None:
        """The newest whole artifact of one computation, if some run has finished it."""
        root = f"{self.root_uri}/{stage}"
        found: list[tuple[datetime, ArtifactRef]] = []
        for uri in self._backend(root).folders(root, f"{lineage}-"):
            text = self._backend(uri).manifest_text(uri)
            if text is not None:
                manifest = Manifest.parse(text, uri)
                found.append((manifest.created, manifest.ref.model_copy(update={"uri": uri})))
        whole = (ref for _, ref in sorted(found, key=lambda row: row[0], reverse=True) if self.exists(ref))
        return next(whole, None)

    def _manifest(
        self,
        ref: ArtifactRef,
        files: dict[str, str],
        produced: Produced,
        config: Config,
        parents: dict[str, ArtifactRef],
    ) -> Manifest:
        return Manifest(
            ref=ref,
            files=files,
            parents=parents,
            config=config.model_dump(mode="json"),
            created=datetime.now(UTC),
            git_commit=git_commit(),
            packages=package_versions(),
            dropped=dict(produced.dropped),
            metrics=dict(produced.metrics),
            normalization=dict(produced.normalization),
            notes=tuple(produced.notes),
            subjects={role: tuple(names) for role, names in produced.subjects.items()},
            trained_on=trained_on(produced, [self.manifest(parent) for parent in parents.values()]),
        )

    def _backend(self, uri: str) -> Backend:
        scheme = urlsplit(uri).scheme
        if scheme == "file":
            return LocalDisk()
        if scheme == "s3":
            return S3(self.cache_dir)
        raise BadInput(f"artifact store {uri!r}: expected file:///folder or s3://bucket/prefix; set GAZEWORKS_STORE")


def _require_names(produced: Produced, stage: str) -> None:
    if not produced.files:
        raise ContractViolation(f"stage {stage} produced no file; expected at least one")
    for name in produced.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or name == MANIFEST_FILE:
            raise ContractViolation(f"stage {stage} produced {name!r}; expected a relative name inside the artifact")


def _missing(ref: ArtifactRef, what: str) -> MissingArtifact:
    return MissingArtifact(f"{ref.stage} {ref.kind} at {ref.uri}: {what}; run the {ref.stage} stage again")


class LocalDisk:
    """Folders of a mounted file system."""

    def commit(self, uri: str, files: Mapping[str, Path], manifest: str) -> None:
        """Fills a folder under another name, the manifest last, and renames it."""
        target = _path(uri)
        # The name is the same for each attempt of this host, so what a killed attempt left is found and removed.
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
    """Folders of a bucket, at any endpoint that the AWS variables name; fetched folders are kept in `cache_dir`."""

    def __init__(self, cache_dir: Path) -> None:
        import boto3  # here, because a local store shall not pay for it
        from botocore.config import Config as BotoConfig

        self.cache_dir = cache_dir
        self.client: Any = boto3.client("s3", config=BotoConfig(retries={"max_attempts": 5, "mode": "standard"}))

    def commit(self, uri: str, files: Mapping[str, Path], manifest: str) -> None:
        """Uploads the files, then the manifest: a folder without one does not count."""
        bucket, prefix = _bucket_and_key(uri)
        for name, source in files.items():
            self.client.upload_file(str(source), bucket, f"{prefix}/{name}")
        self.client.put_object(Bucket=bucket, Key=f"{prefix}/{MANIFEST_FILE}", Body=manifest.encode())

    def manifest_text(self, uri: str) -> str | None:
        """The manifest object's text; None without one."""
        bucket, prefix = _bucket_and_key(uri)
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
            if path.is_file() and file_sha256(path) == expected:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                self.client.download_file(bucket, f"{prefix}/{name}", str(partial))
            except self.client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                    continue
                raise
            partial.replace(path)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=1))
        return folder

    def folders(self, root: str, prefix: str) -> list[str]:
        """URIs of the folders below `root` whose names start with `prefix`."""
        bucket, key = _bucket_and_key(root)
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=f"{key}/{prefix}", Delimiter="/"
        )
        found = [row["Prefix"].rstrip("/") for page in pages for row in page.get("CommonPrefixes", [])]
        return [f"s3://{bucket}/{name}" for name in sorted(found)]


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def _bucket_and_key(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.netloc, parts.path.strip("/")
