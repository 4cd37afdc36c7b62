"""Refinement after rendering: an image-to-image diffusion model repaints each frame, a little. Optional; needs its weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from gaze_core.config import Config

Refine = Callable[[UInt8[ndarray, "n h w 3"]], UInt8[ndarray, "n h w 3"]]
_MULTIPLE_PX = 8  # sizes that the autoencoders of diffusion models take


class RefineConfig(Config):
    """A pipeline of `diffusers` by id or folder. The stronger, the sharper, and the further from the person."""

    model: str = Field("", description="Id or folder of an image-to-image pipeline of diffusers; empty: no refinement.")
    strength: float = Field(0.25, gt=0, le=1)
    steps: PositiveInt = 8  # of the sampler; about strength times as many are done
    guidance: NonNegativeFloat = 0.0
    prompt: str = "a photo of a person who speaks, sharp, natural skin"
    size_px: PositiveInt = 512  # side at which frames are repainted
    seed: NonNegativeInt = 0  # the same noise for each frame, so that it does not flicker


def load_refiner(config: RefineConfig, device: torch.device) -> tuple[Refine | None, str]:
    """The refinement, and a note on what it is or why there is none: a run goes on without it."""
    if not config.model:
        return None, ""
    try:
        from diffusers import AutoPipelineForImage2Image

        pipeline: Any = AutoPipelineForImage2Image.from_pretrained(config.model)
    except ImportError:
        return None, "not refined: diffusers is not installed; install gazeworks[one_shot]"
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return None, f"not refined: no image-to-image pipeline {config.model!r} on this machine ({reason})"
    pipeline.set_progress_bar_config(disable=True)
    note = f"refined by {config.model} at strength {config.strength:g}"
    return _refiner(pipeline.to(device), config), note


def _refiner(pipeline: Any, config: RefineConfig) -> Refine:
    from PIL import Image

    def refine(frames: UInt8[ndarray, "n h w 3"]) -> UInt8[ndarray, "n h w 3"]:
        height, width = frames.shape[1:3]
        factor = config.size_px / max(height, width)
        size = tuple(max(_MULTIPLE_PX, round(side * factor / _MULTIPLE_PX) * _MULTIPLE_PX) for side in (width, height))
        made = []
        for frame in frames:
            noise = torch.Generator("cpu").manual_seed(config.seed)
            larger = Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)
            result = pipeline(
                prompt=config.prompt, image=larger, strength=config.strength, num_inference_steps=config.steps,
                guidance_scale=config.guidance, generator=noise,
            ).images[0]  # fmt: skip
            made.append(np.asarray(result.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)))
        return np.stack(made)

    return refine
