"""Evaluation protocols as data: the subjects, the pairs, and the published numbers for comparison."""

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from gaze_core.artifacts import file_sha256
from gaze_core.config import Config
from gaze_core.data import published_splits
from gaze_core.data.people import subject_name
from gaze_core.errors import BadInput, MissingArtifact
from gaze_core.evaluation.pairs import Pairs, read_pairs, seeded_pairs
from gaze_core.evaluation.report import ProtocolRecord

_SUBJECTS = {
    name: getattr(published_splits, name) for name in ("ETH_XGAZE_PERSON_SPECIFIC", "COLUMBIA", "MPII_FACE_GAZE")
}


class Protocol(Config):
    """One table of `protocols.toml`, which explains the fields."""

    name: str
    title: str
    sources: tuple[str, ...]
    pairs: Literal["seed", "list"]
    published: str
    differs: tuple[str, ...]
    subjects: str | None = None
    num_subjects: PositiveInt | None = None
    pairs_per_subject: PositiveInt | None = None
    list_file: str = ""
    image_px: PositiveInt | None = None

    @property
    def subject_names(self) -> tuple[str, ...]:
        """The subjects of the protocol; empty if every subject of its sources belongs to it."""
        return _SUBJECTS[self.subjects] if self.subjects else ()

    def require(self, source: str, subject: str) -> None:
        """Refuses a subject that does not belong to this protocol.

        Raises:
            BadInput: with the sources or subjects that belong to it.
        """
        if source not in self.sources:
            raise BadInput(
                f"protocol {self.name} is for {', '.join(self.sources)}, the subject {subject} comes from {source}; "
                f"choose another: {', '.join(protocols())}"
            )
        if self.subject_names and subject_name(source, subject) not in self.subject_names:
            raise BadInput(
                f"subject {subject} is not among the {len(self.subject_names)} of protocol {self.name}: "
                f"{' '.join(self.subject_names)}"
            )

    def record(self, config_seed: int, pairs_file: Path | None, subjects: int, image_px: int) -> ProtocolRecord:
        """The record of this protocol for an evaluation of so many subjects, with the differences from the published one."""
        differs = list(self.differs)
        if self.num_subjects is not None and subjects != self.num_subjects:
            differs.append(f"{subjects} of the {self.num_subjects} subjects were evaluated.")
        if self.image_px is not None and image_px != self.image_px:
            differs.append(f"Images are {image_px} px wide, the published ones {self.image_px} px.")
        pairs = f"seed {config_seed}"
        if pairs_file is not None:
            pairs = f"{pairs_file.name}, sha256 {file_sha256(pairs_file)[:12]}"
        return ProtocolRecord(name=self.name, title=self.title, pairs=pairs, differs=tuple(differs))


@cache
def protocols() -> dict[str, Protocol]:
    """All protocols by name."""
    text = (resources.files("gaze_core.evaluation") / "protocols.toml").read_text(encoding="utf-8")
    return {name: Protocol(name=name, **table) for name, table in tomllib.loads(text).items()}


def protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        BadInput: an unknown name; lists the known ones.
    """
    if name not in protocols():
        raise BadInput(f"no protocol named {name!r}; there are: {', '.join(protocols())}")
    return protocols()[name]


def protocol_of_source(source: str) -> Protocol:
    """The protocol for held-out frames of a source that needs no pair list.

    Raises:
        BadInput: the source is a published data set, whose protocol must be chosen explicitly.
    """
    found = [row for row in protocols().values() if source in row.sources and row.pairs == "seed"]
    if not found:
        named = [row.name for row in protocols().values() if source in row.sources]
        raise BadInput(
            f"subjects of {source} have no protocol of their own; choose one with --protocol: "
            f"{', '.join(named or protocols())}"
        )
    return found[0]


def pairs_of(chosen: Protocol, subject: str, test_frames: tuple[int, ...], seed: int, file: Path | None) -> Pairs:
    """The pairs of one subject: from the file if given, else seeded if the protocol allows it.

    Raises:
        MissingArtifact: the protocol needs a list, and none is given.
        BadInput: the file has no pair of this subject.
    """
    if file is not None:
        source = chosen.sources[0]
        listed = {subject_name(source, name): pairs for name, pairs in read_pairs(file, source).items()}
        if (name := subject_name(source, subject)) not in listed:
            raise BadInput(f"{file}: no pair of subject {name}; it has {', '.join(listed)}")
        return listed[name]
    if chosen.pairs == "list":
        raise MissingArtifact(
            f"protocol {chosen.name} needs its pair list, which is published with GazeNeRF ({chosen.list_file}); import "
            f"it with: gazeworks pairs {chosen.list_file} --protocol {chosen.name} --out pairs.csv, and give it with "
            "--pairs pairs.csv"
        )
    return seeded_pairs(test_frames, seed)
