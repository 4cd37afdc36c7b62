"""Sizes and options of the talking head, and its presets under the names of the published configurations."""

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from gaze_core.config import Config

Attribute = Literal["position", "scale", "rotation", "opacity", "color"]
Decoded = Literal["opacity", "color", "scale", "rotation"]
PresetName = Literal["tiny", "64_dim_1_transformer", "64_dim_2_transformer"]
ALL_ATTRIBUTES: tuple[Attribute, ...] = ("position", "scale", "rotation", "opacity", "color")


class TalkerConfig(Config):
    """Architecture. The defaults are those of the published `64_dim_1_transformer` with a gaze, mouth and eyeballs added.

    `compat="published"` is the published network: no gaze, no brows, one cloud, and all five attributes deform.
    """

    plane_channels: PositiveInt = 32
    plane_resolutions: tuple[PositiveInt, ...] = (64, 128)
    num_layers: PositiveInt = 1  # of cross-attention
    num_heads: PositiveInt = 2
    dropout: float = Field(0.2, ge=0, lt=1)
    sh_degree: int = Field(3, ge=0, le=3)
    decoded: tuple[Decoded, ...] = ("opacity", "color")  # what the tri-plane decodes in the coarse stage
    deformed: tuple[Attribute, ...] = ("position", "scale", "rotation")
    eyes: Literal["rigid", "token"] = "rigid"  # eyeballs that turn with the gaze, or the gaze token alone
    camera_token: bool = True
    compat: Literal["none", "published"] = "none"
    offset_unit_m: PositiveFloat = 0.1  # an offset of 1, as published: lengths there are in decimetres
    max_head_points: PositiveInt = 50_000
    min_head_points: PositiveInt = 8_000  # a sparser initial cloud is filled up between its points
    mouth_points: NonNegativeInt = 1_000
    points_per_eye: PositiveInt = 500

    @model_validator(mode="after")
    def _published_as_published(self) -> Self:
        if self.width % self.num_heads:
            raise ValueError(f"the width {self.width} cannot be divided by num_heads {self.num_heads}")
        if self.is_published and set(self.deformed) != set(ALL_ATTRIBUTES):
            raise ValueError("compat='published' deforms all five attributes; set deformed accordingly, or take 'none'")
        return self

    @property
    def is_published(self) -> bool:
        """Whether the network is the published one, without what was added."""
        return self.compat == "published"

    @property
    def width(self) -> int:
        """Width of a point's feature, and of each token."""
        return self.plane_channels * len(self.plane_resolutions)

    @property
    def num_sh(self) -> int:
        """Number of spherical harmonics of a colour channel."""
        return (self.sh_degree + 1) ** 2

    @property
    def tokens(self) -> tuple[str, ...]:
        """Names of the tokens that a point attends to, in order."""
        if self.is_published:
            return ("audio", "eye", "camera", "null")
        return ("audio", "eye", "gaze", *(("camera",) if self.camera_token else ()), "null")


PRESETS: dict[PresetName, TalkerConfig] = {
    "tiny": TalkerConfig(
        plane_channels=16, plane_resolutions=(32, 64), dropout=0.0, sh_degree=0, offset_unit_m=0.05,
        max_head_points=6_000, min_head_points=4_000, mouth_points=200, points_per_eye=160,
    ),
    "64_dim_1_transformer": TalkerConfig(),
    "64_dim_2_transformer": TalkerConfig(num_layers=2),
}  # fmt: skip


def published(name: PresetName = "64_dim_1_transformer") -> TalkerConfig:
    """The published network of this name, as it was published."""
    return TalkerConfig.model_validate(
        PRESETS[name].model_dump() | {"compat": "published", "deformed": ALL_ATTRIBUTES, "mouth_points": 0}
    )
