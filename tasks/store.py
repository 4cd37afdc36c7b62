"""The artifact store: immutable folders by lineage and content, each verified whenever it is fetched.

    <root>/<stage>/<lineage>-<content>/{files..., manifest.json}

`lineage` names the computation (stage, version, config, inputs) and `content` its files. `manifest.json` is
written last and marks the artifact as whole.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

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
from gaze_core.errors import ContractViolation, MissingArtifact
from tasks import environment
from tasks.provenance import git_commit, package_versions
from tasks.storage import Backend, backend_of


class Store:
    """Publishes what stages produce and fetches it again, by reference."""

    def __init__(self, root_uri: str, cache_dir: Path) -> None:
        self.root_uri, self.cache_dir = root_uri.rstrip("/"), cache_dir
        self._backends: dict[str, Backend] = {}

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
        """Commits the produced files and returns their reference; a whole artifact that is there stays.

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
        try:
            manifest = self._read_manifest(ref.uri)
        except MissingArtifact as error:
            raise _missing(ref, str(error)) from error
        if manifest.ref.sha256 != ref.sha256 or content_sha256(manifest.files) != ref.sha256:
            raise _missing(ref, "the manifest is of another content")
        return manifest

    @property
    def backend(self) -> Backend:
        """The backend of the store's own root."""
        return self._backend(self.root_uri)

    def find(self, stage: str, lineage: str) -> ArtifactRef | None:
        """The newest whole artifact of one computation, if some run has finished it."""
        root = f"{self.root_uri}/{stage}"
        found: list[tuple[datetime, ArtifactRef]] = []
        for uri in self.backend.folders(root, f"{lineage}-"):
            try:
                manifest = self._read_manifest(uri)
            except MissingArtifact:
                continue  # half an artifact is none
            found.append((manifest.created, manifest.ref.model_copy(update={"uri": uri})))
        newest_first = sorted(found, key=lambda row: row[0], reverse=True)
        return next((ref for _, ref in newest_first if self.exists(ref)), None)

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
        scheme = uri.partition(":")[0]
        if scheme not in self._backends:
            self._backends[scheme] = backend_of(uri, self.cache_dir)
        return self._backends[scheme]

    def _read_manifest(self, uri: str) -> Manifest:
        text = self._backend(uri).manifest_text(uri)
        if text is None:
            raise MissingArtifact(f"there is no {MANIFEST_FILE}")
        return Manifest.parse(text, uri)


def _require_names(produced: Produced, stage: str) -> None:
    if not produced.files:
        raise ContractViolation(f"stage {stage} produced no file; expected at least one")
    for name in produced.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or name == MANIFEST_FILE:
            raise ContractViolation(f"stage {stage} produced {name!r}; expected a relative name inside the artifact")


def _missing(ref: ArtifactRef, what: str) -> MissingArtifact:
    return MissingArtifact(f"{ref.stage} {ref.kind} at {ref.uri}: {what}; run the {ref.stage} stage again")
