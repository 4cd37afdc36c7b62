"""References to immutable artifacts, and their manifests: the values passed between stages. Data only, no storage."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, ValidationError, model_validator

from gaze_core.config import FULL_PRECISION, Config, Precision
from gaze_core.errors import ContractViolation, MissingArtifact

MANIFEST_FILE = "manifest.json"

Kind = Literal["dataset", "checkpoint", "report"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
StageName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
ArtifactName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*/[0-9a-f]{16}-[0-9a-f]{16}$")]


class ArtifactRef(Config):
    """A reference to one immutable artifact. Artifacts with equal digests are interchangeable, wherever they are stored.

    `name` is its folder below the root of any store (`artifact_name`), so a store may be moved or copied.
    """

    kind: Kind
    name: ArtifactName
    sha256: Sha256
    stage: StageName
    stage_version: PositiveInt
    config_digest: str
    mlflow_run_id: str = ""

    def digest(self) -> str:
        """First 12 hex digits of the content's sha256, independent of the artifact's location."""
        return self.sha256[:12]

    @model_validator(mode="before")
    @classmethod
    def _from_address(cls, values: Any) -> Any:
        """Accepts the earlier format, in which a reference also held its store's address, `uri`."""
        if not isinstance(values, dict) or "uri" not in values:
            return values
        rest = {key: value for key, value in values.items() if key != "uri"}
        name = "/".join(str(values["uri"]).split("/")[-2:])
        if not re.fullmatch(rf"{rest.get('stage')}/[0-9a-f]{{16}}-[0-9a-f]{{16}}", name):  # imported without a store
            lineage = hashlib.sha256(str(rest.get("config_digest")).encode()).hexdigest()
            name = artifact_name(str(rest.get("stage")), lineage[:16], str(rest.get("sha256")))
        return {"name": name} | rest


def artifact_name(stage: str, lineage: str, sha256: str) -> str:
    """`<stage>/<lineage>-<content>`: the computation (`lineage_digest`) and the files (`content_sha256`) of an artifact."""
    return f"{stage}/{lineage}-{sha256[:16]}"


Input = ArtifactRef | Config | Sequence[ArtifactRef] | None


class Manifest(Config):
    """The provenance of an artifact, stored beside it. No computation depends on it.

    `subjects` maps a role ("train", "validation", "test") to the subjects that the stage used in it;
    `trained_on` is the union of the "train" subjects of all checkpoints among the artifact's ancestors.
    """

    ref: ArtifactRef
    files: dict[str, Sha256]
    parents: dict[str, ArtifactRef]
    config: dict[str, Any]
    created: datetime
    git_commit: str = ""
    packages: dict[str, str] = {}
    precision: Precision = FULL_PRECISION  # arithmetic precision of training
    dropped: dict[str, int] = {}
    metrics: dict[str, float] = {}
    normalization: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    subjects: dict[str, tuple[str, ...]] = {}
    trained_on: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, where: str) -> "Manifest":
        """The manifest with this JSON text.

        Raises:
            MissingArtifact: the text is not a manifest.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise MissingArtifact(f"{where}: {MANIFEST_FILE} is not readable ({error.error_count()} errors)") from error

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest of an artifact that was fetched to `folder`.

        Raises:
            MissingArtifact: the folder holds no readable manifest.
        """
        path = folder / MANIFEST_FILE
        if not path.is_file():
            raise MissingArtifact(f"{folder}: no {MANIFEST_FILE}, so this is not a complete artifact")
        return cls.parse(path.read_text(), str(folder))


@dataclass(frozen=True)
class Produced:
    """The result of a stage: local files by their names in the artifact, and metadata."""

    kind: Kind
    files: Mapping[str, Path]
    metrics: Mapping[str, float] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)  # reason -> number of samples
    normalization: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    subjects: Mapping[str, Sequence[str]] = field(default_factory=dict)  # role -> subjects


def files_in(folder: Path) -> dict[str, Path]:
    """All files below `folder` by relative name, as for `Produced.files`, without hidden ones (`.DS_Store`, `.env`)."""
    found = ((path.relative_to(folder), path) for path in sorted(folder.rglob("*")) if path.is_file())
    return {name.as_posix(): path for name, path in found if not any(part.startswith(".") for part in name.parts)}


def only_entry(folder: Path) -> Path:
    """The one file, or the one folder of files, that an artifact consists of, such as a recording.

    Raises:
        ContractViolation: the number of entries is not one.
    """
    names = sorted({name.partition("/")[0] for name in files_in(folder)} - {MANIFEST_FILE})
    if len(names) != 1:
        raise ContractViolation(f"{folder}: expected one file or one folder, found {len(names)}: {', '.join(names)}")
    return folder / names[0]


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_fault(folder: Path, files: Mapping[str, str]) -> str:
    """A description of the first missing or changed file of a folder; empty if all files match."""
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            return f"file {name} is gone"
        if (found := file_sha256(path)) != expected:
            return f"file {name} has sha256 {found[:12]}, expected {expected[:12]}"
    return ""


def content_sha256(files: Mapping[str, str]) -> str:
    """Hex sha256 of a set of files, given as name -> sha256; names count, order does not."""
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()


def lineage_digest(
    stage: str, version: int, config: Config, inputs: Mapping[str, Input], precision: Precision = FULL_PRECISION
) -> str:
    """16 hex digits that name the computation: stage, version, config, inputs and precision. The cache identity.

    Full precision is left out, so that artifacts computed before precision was part of the key keep their names.

    Raises:
        ContractViolation: an input is of a type that has no digest.
    """
    named = {name: input_digest(name, value) for name, value in inputs.items() if value is not None}
    identity = [stage, version, config.digest(), sorted(named.items())]
    identity += [] if precision == FULL_PRECISION else [precision]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def input_digest(name: str, value: Any) -> str:
    """Digest of one input of a stage: of a reference, a configuration, or a sequence of them.

    Raises:
        ContractViolation: the value has no digest that means the same in every process.
    """
    if isinstance(value, Config):
        return value.digest()
    if isinstance(value, (list, tuple)):
        return json.dumps([input_digest(f"{name}[{index}]", item) for index, item in enumerate(value)])
    raise ContractViolation(
        f"input {name!r} is a {type(value).__name__}; a stage takes ArtifactRef, Config, sequences of them, "
        "or None, because only they have a digest; publish the value as an artifact or put it into the config"
    )


def references(inputs: Mapping[str, Input]) -> Iterator[tuple[str, ArtifactRef]]:
    """The references among a stage's inputs by name; items of a sequence become `name.0`, `name.1`, ..."""
    for name, value in inputs.items():
        if isinstance(value, ArtifactRef):
            yield name, value
        elif isinstance(value, Sequence):
            yield from references({f"{name}.{index}": item for index, item in enumerate(value)})


def trained_on(produced: Produced, parents: Sequence[Manifest]) -> tuple[str, ...]:
    """Subjects that any checkpoint in the lineage was trained on, sorted. Data sets in the lineage do not count."""
    own = produced.subjects.get("train", ()) if produced.kind == "checkpoint" else ()
    return tuple(sorted(set(own).union(*(parent.trained_on for parent in parents))))
