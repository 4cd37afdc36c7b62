"""The last part of every report: trained models and their checkpoints, stages of the run, digests and versions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gaze_core.artifacts import ArtifactRef
from gaze_core.reports.blocks import Block, Cell, Column, Columns, Facts, Fold, Heading, Table, Text
from gaze_core.reports.page import LOG_FILE
from gaze_core.reports.text import duration

_RESULT_TEXTS = {"cached": "reused", "resumed": "computed, continued from its last checkpoint"}


@dataclass(frozen=True)
class StageRow:
    """One stage of the run."""

    name: str
    how: str  # cached, computed or resumed
    seconds: float
    digest: str = ""
    detail: str = ""  # for example "the cached result was lost"

    @property
    def cached(self) -> bool:
        """Whether the result came from the store."""
        return self.how == "cached"


@dataclass(frozen=True)
class TrainedRow:
    """A trained model: how its training ended, and the folder or address of its checkpoint."""

    name: str
    ended: str
    checkpoint: str


@dataclass(frozen=True)
class Sources:
    """Where a report's numbers come from; empty parts are left out.

    Attributes:
        trained: Models that the run trained or evaluated.
        stages: In the order in which they ran.
        dropped: Reason -> number of frames that were left out.
        digests: Name -> digest: data, splits, checkpoints, metric networks.
        versions: Package -> version.
        artifacts: Role -> reference of the artifact, from which another command can continue.
        has_log: Whether the run's log is beside the report.
    """

    trained: Sequence[TrainedRow] = ()
    stages: Sequence[StageRow] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, ArtifactRef] = field(default_factory=dict)
    has_log: bool = False

    def facts(self) -> dict[str, Any]:
        """The same for `report.json`; addresses of the store are left out, so that report and store may move."""
        return {
            "trained": [{"name": row.name, "ended": row.ended} for row in self.trained],
            "stages": [asdict(row) | {"cached": row.cached} for row in self.stages],
            "dropped": dict(self.dropped),
            "versions": dict(self.versions),
            "digests": dict(self.digests),
            "artifacts": {role: ref.model_dump(mode="json") for role, ref in self.artifacts.items()},
        }

    def blocks(self) -> list[Block]:
        """The sections "Trained models" and "Sources"."""
        dropped = {reason.replace("_", " "): str(count) for reason, count in self.dropped.items()}
        left: list[Block] = [Heading("Frames left out", level=3), Facts(dropped) if dropped else Text("None.")]
        right: list[Block] = [Heading("Digests", level=3), Facts(self.digests, code=True)] if self.digests else []
        blocks = [*self._trained(), Heading("Sources"), *self._stages(), Columns(left, right)]
        if self.versions:
            blocks.append(Fold("Versions", [Facts(self.versions)]))
        if self.has_log:
            blocks.append(Text(f"The log of the run: {LOG_FILE} beside this page."))
        return blocks

    def _trained(self) -> list[Block]:
        if not self.trained:
            return []
        rows = [(row.name, row.ended, Cell(row.checkpoint, code=True)) for row in self.trained]
        columns = [
            Column("model", numeric=False),
            Column("training", numeric=False),
            Column("checkpoint", numeric=False),
        ]
        return [Heading("Trained models"), Table(columns, rows)]

    def _stages(self) -> list[Block]:
        if not self.stages:
            return []
        rows = [
            (
                row.name,
                ", ".join(filter(None, (_RESULT_TEXTS.get(row.how, row.how), row.detail))),
                duration(row.seconds),
                Cell(row.digest, code=True),
            )
            for row in self.stages
        ]
        columns = [Column("stage"), Column("result", numeric=False), Column("time"), Column("digest", False, wide=True)]
        return [Table(columns, rows)]
