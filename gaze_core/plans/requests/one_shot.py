"""The request to adapt a latent redirector to one person."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from gaze_core.errors import BadInput
from gaze_core.plans.request import Flag, Request
from gaze_core.plans.settings import overridden, read_settings

if TYPE_CHECKING:
    from gaze_core.plans.one_shot import OneShotPlan


class OneShotRequest(Request):
    """Choose a person, adapt a pretrained redirector with a few of the person's samples, measure before and after."""

    data: Path | None = Field(None, description="GazeCapture.h5, or another file with a group for each person.")
    checkpoint: Path | None = Field(
        None, description="Pretrained redirector: its folder or file; made by: gazeworks one-shot pretrain."
    )
    person: str = Field("", description="Who; empty: drawn among those with enough samples, by the seed.")
    samples: int = Field(30, ge=1, description="How many of the person's samples adapt.")
    strategy: Literal["selective", "encoder_only", "cross_attention_only", "minimal", "full"] = Field(
        "selective", description="Which part of the UNet is trained."
    )
    channel_order: Annotated[Literal["auto", "rgb", "bgr"], Flag("--channel-order")] = Field(
        "auto", description="Of stored pictures, if the file's name and attribute do not tell."
    )
    seed: int = Field(0, ge=0, description="Of the draw of person and samples.")

    def base_plan(self) -> "OneShotPlan":
        """The plan of the options."""
        from gaze_core.plans.one_shot import one_shot_plan

        return one_shot_plan(self.person or None, self.samples, self.strategy, self.seed, self.channel_order)

    def plan(self) -> Any:
        """The options, then the settings file, ours or the published one, then single overrides.

        Raises:
            BadInput: an unknown key or value; the message has the nearest known one.
        """
        from gaze_core.plans.one_shot import from_published_yaml, is_published_yaml, with_same_split

        plan = self.base_plan()
        if self.config is not None:
            values = read_settings(self.config)
            if is_published_yaml(values):
                plan = from_published_yaml(values, plan, str(self.config))
                return with_same_split(overridden(self._options_win(plan), self.changes))
        return with_same_split(overridden(plan, self.changes, self.config))

    def _options_win(self, plan: "OneShotPlan") -> "OneShotPlan":
        """Options that were given win over the published YAML."""
        given = self.model_fields_set
        adapt, split = plan.adapt, plan.adapt.split
        if "samples" in given and self.samples != type(self).model_fields["samples"].default:
            split = split.model_copy(update={"num_samples": self.samples})
        if "strategy" in given and self.strategy != type(self).model_fields["strategy"].default:
            adapt = adapt.model_copy(update={"strategy": self.strategy})
        adapt = adapt.model_copy(update={"split": split})
        return plan.model_copy(update={"adapt": adapt, "person": self.person or plan.person})

    @property
    def files(self) -> dict[str, Path]:
        """The data set's file and the checkpoint: those of the options, else those that the published YAML names.

        Raises:
            BadInput: one is missing; adapting never starts from random weights.
        """
        named = self.plan().files
        data, checkpoint = self.data or named.data, self.checkpoint or named.checkpoint
        if data is None:
            raise BadInput("no data; give --data GazeCapture.h5, or hdf_path in the settings file")
        if checkpoint is None:
            raise BadInput(
                "no pretrained checkpoint, and adapting never starts from random weights; give --checkpoint, made by: "
                "gazeworks one-shot pretrain"
            )
        for path, what in ((data, "a file in GazeCapture's layout"), (checkpoint, "a pretrained redirector")):
            if not path.exists():
                raise BadInput(f"{path}: no such file or folder; expected {what}")
        return {"data": data.resolve(), "checkpoint": checkpoint.resolve()}

    def require_inputs(self) -> None:
        """Raises BadInput for an input that is missing."""
        super().require_inputs()
        _ = self.files

    @property
    def inputs(self) -> Mapping[str, Path]:
        """The input files that were given, by field name."""
        return {name: value for name, value in dict(self).items() if isinstance(value, Path)}
