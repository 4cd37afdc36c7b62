"""A latent redirector: one step of a UNet fills in the eyes of a face, told where to look by cross-attention.

The idea is MuseTalk's (Zhang et al. 2024), turned from mouths to eyes: no diffusion sampler. The input is the latent of the
picture with its eyes masked beside the latent of a reference picture of the same person; the output is the latent of the
whole. Gaze reaches the UNet (`diffusers`' UNet2DConditionModel) as a few tokens of a small MLP. The timestep is always 0.
"""

from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gaze_core.config import Config
from gaze_core.errors import BadInput

SizeName = Literal["tiny", "musetalk"]
Strategy = Literal["selective", "encoder_only", "cross_attention_only", "minimal", "full"]
MlpLayers = Literal["last", "all"]
MASKED = 0.5  # value of masked pixels, in [0, 1]

# Name prefixes, or parts between dots, of the UNet's parameters that a strategy trains. The last up block is added to
# `selective`. Reading of the published text, whose code is not public.
_STRATEGIES: dict[Strategy, tuple[str, ...]] = {
    "selective": ("attn2", "conv_norm_out", "conv_out", "last_up_block"),
    "encoder_only": ("conv_in", "down_blocks"),
    "cross_attention_only": ("attn2",),
    "minimal": ("conv_norm_out", "conv_out"),
    "full": ("",),
}


class RedirectorConfig(Config):
    """Size of the UNet and of the gaze MLP."""

    block_channels: tuple[PositiveInt, ...] = (32, 64, 96)
    attended: tuple[bool, ...] = (False, True, True)  # which levels have cross-attention
    layers_per_block: PositiveInt = 1
    norm_groups: PositiveInt = 16
    heads: PositiveInt = 4
    gaze_inputs: Literal["gaze", "gaze_head"] = "gaze_head"
    gaze_layers: PositiveInt = 4
    gaze_hidden: PositiveInt = 128
    num_tokens: PositiveInt = 4
    token_width: PositiveInt = 64
    angle_unit_rad: PositiveFloat = 0.35  # angles are divided by it
    # What the output is added to. The masked picture's latent keeps what is around the eyes; the reference's would leave the
    # edges of its irises behind.
    residual: Literal["masked", "none"] = "masked"
    reference_dropout: float = Field(0.1, ge=0, lt=1)  # chance of a training sample without a reference


SIZES: dict[SizeName, RedirectorConfig] = {
    "tiny": RedirectorConfig(),
    # The UNet of SD 1.4 as MuseTalk uses it, for `sd-vae`.
    "musetalk": RedirectorConfig(
        block_channels=(320, 640, 1280, 1280), attended=(True, True, True, False), layers_per_block=2, norm_groups=32,
        heads=8, num_tokens=1, token_width=384, residual="none", reference_dropout=0.0,
    ),
}  # fmt: skip


class GazeRedirector(nn.Module):
    """From two latents and a gaze to the latent that looks there.

    Raises:
        BadInput: `diffusers` is not installed.
    """

    def __init__(self, config: RedirectorConfig, latent_channels: int) -> None:
        super().__init__()
        self.config, self.latent_channels = config, latent_channels
        self.unet = _unet(config, latent_channels)
        num_in = 2 if config.gaze_inputs == "gaze" else 4
        widths = [num_in] + [config.gaze_hidden] * (config.gaze_layers - 1)
        hidden = [layer for a, b in zip(widths, widths[1:], strict=False) for layer in (nn.Linear(a, b), nn.SiLU())]
        self.gaze_mlp = nn.Sequential(*hidden, nn.Linear(widths[-1], config.num_tokens * config.token_width))

    def tokens(self, gaze: Float[Tensor, "b 2"], head: Float[Tensor, "b 2"]) -> Float[Tensor, "b t d"]:
        """The conditioning tokens of a gaze, and of the head's direction if the configuration says so; radians."""
        given = gaze if self.config.gaze_inputs == "gaze" else torch.cat([gaze, head], dim=1)
        flat: Tensor = self.gaze_mlp(given / self.config.angle_unit_rad)
        return flat.unflatten(1, (self.config.num_tokens, self.config.token_width))

    def forward(
        self,
        masked: Float[Tensor, "b c h w"],
        reference: Float[Tensor, "b c h w"],
        gaze: Float[Tensor, "b 2"],
        head: Float[Tensor, "b 2"],
    ) -> Float[Tensor, "b c h w"]:
        """The latent of the picture whose eyes look along `gaze`.

        Args:
            masked: latent of the picture with its eyes masked (`MASKED`).
            reference: latent of a picture of the same person; in training some are dropped (all zeros).
            gaze: `[pitch, yaw]` radians, frame of the normalised camera.
            head: where the face points, the same frame.
        """
        if self.training and self.config.reference_dropout:
            kept = torch.rand(len(reference), 1, 1, 1, device=reference.device) >= self.config.reference_dropout
            reference = reference * kept
        timestep = torch.zeros(len(masked), dtype=torch.long, device=masked.device)
        made: Tensor = self.unet(
            torch.cat([masked, reference], dim=1), timestep, self.tokens(gaze, head), return_dict=False
        )[0]
        return made + masked if self.config.residual == "masked" else made


def _unet(config: RedirectorConfig, channels: int) -> Any:
    try:
        from diffusers import UNet2DConditionModel
    except ImportError as error:
        raise BadInput("the one-shot system needs diffusers; install gazeworks[one_shot]") from error
    down = tuple("CrossAttnDownBlock2D" if attended else "DownBlock2D" for attended in config.attended)
    up = tuple("CrossAttnUpBlock2D" if attended else "UpBlock2D" for attended in reversed(config.attended))
    return UNet2DConditionModel(
        in_channels=2 * channels, out_channels=channels, down_block_types=down, up_block_types=up,
        block_out_channels=config.block_channels, layers_per_block=config.layers_per_block,
        norm_num_groups=config.norm_groups, cross_attention_dim=config.token_width, attention_head_dim=config.heads,
    )  # fmt: skip


def trained_parameters(
    model: GazeRedirector, strategy: Strategy, finetune_gaze_mlp: bool, mlp_layers: MlpLayers
) -> list[str]:
    """Names of the parameters that a strategy trains.

    Args:
        model: the redirector.
        strategy: which part of the UNet; `full` is everything, the gaze MLP too.
        finetune_gaze_mlp: also train the gaze MLP.
        mlp_layers: all of its layers, or the last.
    """
    last_up = f"unet.up_blocks.{len(model.config.block_channels) - 1}"
    last_linear = f"gaze_mlp.{len(model.gaze_mlp) - 1}."
    wanted = _STRATEGIES[strategy]

    def is_trained(name: str) -> bool:
        if name.startswith("gaze_mlp."):
            if strategy == "full":
                return True
            return finetune_gaze_mlp and (mlp_layers == "all" or name.startswith(last_linear))
        parts = name.split(".")
        return any(
            part == "" or part in parts or (part == "last_up_block" and name.startswith(last_up)) for part in wanted
        )

    return [name for name, _ in model.named_parameters() if is_trained(name)]
