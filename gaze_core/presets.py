"""Named plans in aligned tables. A preset is what a user names; a plan is everything that decides a run's result."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.evaluation.report import Tolerance
from gaze_core.models.corrections import CorrectionsConfig
from gaze_core.models.gaze_gaussian import GazeGaussianConfig
from gaze_core.models.mesh_head import MeshHeadConfig
from gaze_core.models.renderers import RendererConfig
from gaze_core.stages.evaluate import EvaluateConfig
from gaze_core.stages.gaze_gaussian import GazeGaussianStageConfig
from gaze_core.stages.mesh_head import MeshHeadStageConfig
from gaze_core.stages.preprocess import PreprocessConfig
from gaze_core.training.loop import FitConfig

Source = Literal["synthetic", "video"]
PresetName = Literal["tiny", "small"]


class RedirectionPlan(Config):
    """The redirection pipeline. The baseline is the same model with another renderer, trained the same way."""

    preprocess: PreprocessConfig = PreprocessConfig()
    mesh_head: MeshHeadStageConfig = MeshHeadStageConfig()
    gaze_gaussian: GazeGaussianStageConfig = GazeGaussianStageConfig()
    baseline_renderer: RendererConfig = RendererConfig(kind="pixel_shuffle")
    evaluate: EvaluateConfig = EvaluateConfig()
    tolerance: Tolerance = Tolerance()

    @property
    def baseline(self) -> GazeGaussianStageConfig:
        """The candidate's configuration with the baseline renderer."""
        model = self.gaze_gaussian.model.model_copy(update={"renderer": self.baseline_renderer})
        return self.gaze_gaussian.model_copy(update={"model": model})


@dataclass(frozen=True)
class Row:
    """The numbers in which presets differ."""

    mesh_cell_m: float
    mesh_steps: int
    cell_m: float
    raster_px: int
    points_per_eye: int
    hidden: int
    token_width: int
    depth: int
    patch_px: int
    steps: int
    batch_size: int


PRESETS = {
    #            mesh    mesh   cell  raster points  hid-  token       patch        batch
    #            cell_m  steps  _m    _px    per eye den   width depth _px   steps  size
    "tiny":  Row(0.014,  150,   0.010, 128,  250,    64,   96,   2,    8,    300,   3),
    "small": Row(0.012,  200,   0.009, 128,  250,    96,   192,  4,    8,    260,   4),
}  # fmt: skip


def redirection_plan(preset: str, source: Source = "synthetic", overrides: Sequence[str] = ()) -> RedirectionPlan:
    """The plan of a preset for a source, with `dotted.key=value` changes (values are JSON, or else plain text).

    Raises:
        BadInput: an unknown preset, key or value; the message lists what is known.
    """
    if preset not in PRESETS:
        raise BadInput(f"unknown preset {preset!r}; expected one of: {', '.join(PRESETS)}")
    plan = _plan(PRESETS[preset], source).model_dump(mode="json")
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise BadInput(f"--set {override!r}: expected KEY=VALUE, for example mesh_head.fit.num_steps=100")
        _set(plan, key, text)
    try:
        return RedirectionPlan.model_validate(plan)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"{where}: {first['msg']} (found {first['input']!r})") from error


def _set(plan: dict[str, Any], key: str, text: str) -> None:
    *parents, last = key.split(".")
    node: Any = plan
    for name in [*parents, last]:
        if not isinstance(node, dict) or name not in node:
            known = ", ".join(node) if isinstance(node, dict) else "nothing below a value"
            raise BadInput(f"--set {key}: unknown key {name!r}; known here: {known}")
        parent, node = node, node[name]
    try:
        parent[last] = json.loads(text)
    except json.JSONDecodeError:
        parent[last] = text


def _plan(row: Row, source: Source) -> RedirectionPlan:
    renderer = RendererConfig(token_width=row.token_width, depth=row.depth, num_heads=4, patch_px=row.patch_px)
    return RedirectionPlan(
        preprocess=PreprocessConfig(source=source),
        mesh_head=MeshHeadStageConfig(
            model=MeshHeadConfig(cell_m=row.mesh_cell_m, hidden=row.hidden),
            fit=FitConfig(num_steps=row.mesh_steps, batch_size=4, learning_rate=1e-3),
        ),
        gaze_gaussian=GazeGaussianStageConfig(
            model=GazeGaussianConfig(
                raster_px=row.raster_px, cell_m=row.cell_m, points_per_eye=row.points_per_eye, renderer=renderer
            ),
            corrections=CorrectionsConfig() if source == "video" else None,
            fit=FitConfig(
                num_steps=row.steps,
                batch_size=row.batch_size,
                learning_rate=1e-3,
                final_learning_rate_ratio=0.1,
                warmup_steps=10,
            ),
        ),
        evaluate=EvaluateConfig(judge="cnn" if source == "synthetic" else "iris"),
    )
