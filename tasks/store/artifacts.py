"""The artifact store: immutable folders by lineage and content, each verified whenever it is fetched.

    <root>/<stage>/<lineage>-<content>/{files..., manifest.json}

`lineage` names the computation (stage, version, config, inputs) and `content` its files. `manifest.json` is
written last and marks the artifact as complete. A reference holds the path below the root, so it is valid in any store.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath

from gaze_core.artifacts import (
    MANIFEST_FILE,
    ArtifactRef,
    Input,
    Manifest,
    Produced,
    artifact_name,
    content_sha256,
    file_sha256,
    first_fault,
    lineage_digest,
    references,
    trained_on,
)
from gaze_core.config import FULL_PRECISION, Config, Precision
from gaze_core.errors import ContractViolation, MissingArtifact
from tasks import environment
from tasks.store.address import store_root
from tasks.store.provenance import git_commit, package_versions
from tasks.store.s3 import Backend, backend_of


class Store:
    """Publishes the results of stages and fetches them by reference.

    Raises:
        BadInput: `root_uri` is no address of a store.
    """

    def __init__(self, root_uri: str, cache_dir: Path) -> None:
        self.root_uri, self.cache_dir = store_root(root_uri), cache_dir

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
        precision: Precision = FULL_PRECISION,
        mlflow_run_id: str = "",
    ) -> ArtifactRef:
        """Commits the produced files and returns their reference; a whole artifact that is there stays.

        Raises:
            ContractViolation: there is no file, or a file's name leaves the artifact's folder.
        """
        _require_names(produced, stage)
        files = {name: file_sha256(path) for name, path in produced.files.items()}
        content = content_sha256(files)
        ref = ArtifactRef(
            kind=produced.kind,
            name=artifact_name(stage, lineage_digest(stage, version, config, parents, precision), content),
            sha256=content,
            stage=stage,
            stage_version=version,
            config_digest=config.digest(),
            mlflow_run_id=mlflow_run_id,
        )
        if not self.exists(ref):
            manifest = self._manifest(ref, files, produced, config, dict(references(parents)), precision)
            self.backend.commit(self.uri(ref), produced.files, manifest)
        return ref

    def adopt(self, folder: Path) -> ArtifactRef:
        """The artifact in a folder of this machine, copied into this store if the store lacks it.

        Raises:
            MissingArtifact: the folder holds no whole artifact.
        """
        manifest = Manifest.read(folder)
        ref = manifest.ref
        if not self.exists(ref):
            if fault := _fault(manifest, ref) or first_fault(folder, manifest.files):
                raise MissingArtifact(f"{folder}: {fault}, so this is not a whole artifact")
            self.backend.commit(self.uri(ref), {name: folder / name for name in manifest.files}, manifest)
        return ref

    def uri(self, ref: ArtifactRef) -> str:
        """The artifact's address in this store, whether it exists or not."""
        return f"{self.root_uri}/{ref.name}"

    def fetch(self, ref: ArtifactRef) -> Path:
        """A local folder, to read only, with the artifact's verified files and its manifest.

        Raises:
            MissingArtifact: the artifact is gone or its content has changed.
        """
        manifest = self.manifest(ref)
        folder = self.backend.local_folder(self.uri(ref), manifest)
        if fault := first_fault(folder, manifest.files):
            raise self._missing(ref, fault)
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
        try:
            manifest = self._read_manifest(self.uri(ref))
        except MissingArtifact as error:
            raise self._missing(ref, str(error)) from error
        if fault := _fault(manifest, ref):
            raise self._missing(ref, fault)
        return manifest

    @cached_property
    def backend(self) -> Backend:
        """The store's backend; created at first use, since a bucket's takes a second."""
        return backend_of(self.root_uri, self.cache_dir)

    def find(self, stage: str, lineage: str) -> ArtifactRef | None:
        """The newest whole artifact of one computation, if some run has finished it."""
        found: list[tuple[datetime, ArtifactRef]] = []
        for uri in self.backend.folders(f"{self.root_uri}/{stage}", f"{lineage}-"):
            try:
                manifest = self._read_manifest(uri)
            except MissingArtifact:
                continue  # incomplete
            if self.uri(manifest.ref) == uri:
                found.append((manifest.created, manifest.ref))
        newest_first = sorted(found, key=lambda row: row[0], reverse=True)
        return next((ref for _, ref in newest_first if self.exists(ref)), None)

    def _manifest(
        self,
        ref: ArtifactRef,
        files: dict[str, str],
        produced: Produced,
        config: Config,
        parents: dict[str, ArtifactRef],
        precision: Precision,
    ) -> Manifest:
        return Manifest(
            ref=ref,
            files=files,
            parents=parents,
            config=config.model_dump(mode="json"),
            created=datetime.now(UTC),
            git_commit=git_commit(),
            packages=package_versions(),
            precision=precision,
            dropped=dict(produced.dropped),
            metrics=dict(produced.metrics),
            normalization=dict(produced.normalization),
            notes=tuple(produced.notes),
            subjects={role: tuple(names) for role, names in produced.subjects.items()},
            trained_on=trained_on(produced, [self.manifest(parent) for parent in parents.values()]),
        )

    def _read_manifest(self, uri: str) -> Manifest:
        text = self.backend.manifest_text(uri)
        if text is None:
            raise MissingArtifact(f"there is no {MANIFEST_FILE}")
        return Manifest.parse(text, uri)

    def _missing(self, ref: ArtifactRef, what: str) -> MissingArtifact:
        return MissingArtifact(f"{ref.stage} {ref.kind} at {self.uri(ref)}: {what}; run the {ref.stage} stage again")


def _fault(manifest: Manifest, ref: ArtifactRef) -> str:
    """Why the manifest is not that of the reference; empty if it is."""
    same = manifest.ref.sha256 == ref.sha256 == content_sha256(manifest.files)
    return "" if same else "the manifest is of another content"


def _require_names(produced: Produced, stage: str) -> None:
    if not produced.files:
        raise ContractViolation(f"stage {stage} produced no file; expected at least one")
    for name in produced.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or name == MANIFEST_FILE:
            raise ContractViolation(f"stage {stage} produced {name!r}; expected a relative name inside the artifact")
