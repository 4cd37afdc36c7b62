"""Stage: learns the small autoencoder that ships, from pictures of rendered people.

`python -m gaze_core.stages.one_shot.autoencoder OUT FOLDER...` makes the shipped weights from folders of subject files and
of files in GazeCapture's layout.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import h5py
import numpy as np
import torch
from jaxtyping import Float, UInt8
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from gaze_core.artifacts import Produced
from gaze_core.atomic import replacing
from gaze_core.config import Config, Runtime
from gaze_core.errors import BadInput
from gaze_core.models.one_shot.tiny_autoencoders import SmallAutoencoder, SmallAutoencoderConfig
from gaze_core.one_shot.autoencoders import CARD_STAGE
from gaze_core.reproducibility import choose_device, generator, seed_everything
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.training.checkpoint import WEIGHTS_FILE, save_weights
from gaze_core.training.history import STATS_FILE
from gaze_core.training.loop import FitConfig, LossTerms, Task, Term, Validation, fit

NAME, VERSION = CARD_STAGE, 1
_CALIBRATION = 64  # crops over which mean and deviation of the latents are measured


class OneShotAutoencoderConfig(Config):
    """Size and training of the autoencoder."""

    network: SmallAutoencoderConfig = SmallAutoencoderConfig()
    crop_px: PositiveInt = 64
    max_images_a_person: PositiveInt = 20
    edge_weight: NonNegativeFloat = 1.0  # of the L1 of differences between neighbouring pixels
    color_changes: float = Field(
        0.3, ge=0, lt=1
    )  # contrast and brightness of each channel, so that it knows more than skin
    fit: FitConfig = FitConfig(
        num_steps=1850, batch_size=12, learning_rate=2e-3, final_learning_rate_ratio=0.02, warmup_steps=100,
        validate_every_steps=500, selection={"enabled": False},
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Crops in [0, 1]."""

    image: Float[Tensor, "b 3 h w"]

    def __len__(self) -> int:
        return len(self.image)

    def to(self, device: torch.device | str) -> Self:
        return type(self)(self.image.to(device))


def run(config: OneShotAutoencoderConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Trains on all HDF5 files below the folders `inputs["people"]`; the last twentieth of the pictures validates.

    Raises:
        BadInput: no pictures, or pictures smaller than a crop.
    """
    folders = inputs["people"] if isinstance(inputs["people"], (tuple, list)) else (inputs["people"],)
    files = sorted(path for folder in folders for path in Path(folder).rglob("*.h5"))
    images = [image for path in files for image in _images(path, config.max_images_a_person)]
    if len(images) < 20 or min(min(image.shape[:2]) for image in images) < config.crop_px:
        raise BadInput(
            f"{len(images)} pictures, expected 20 or more of at least {config.crop_px} px; render some with: "
            "gazeworks one-shot people"
        )
    held_out = images[:: len(images) // 20][:20]
    seed_everything("one-shot autoencoder", config.fit.seed)
    model = SmallAutoencoder(config.network)
    task = Task(
        model=model,
        parameter_groups=[{"params": list(model.parameters())}],
        num_samples=len(images),
        read_batches=lambda order: _batches(images, order, config),
        loss_terms=lambda network, batch, step: _terms(network, batch.image, config),
        validation=Validation(lambda: iter([ImageBatch(_crops(held_out, config.crop_px, 0))]), _measure),
    )
    summary = fit(task, config.fit, context.runtime, context.work_dir, context.log, context.progress, context.logger)
    device = choose_device(context.runtime)
    model.to(device)
    _calibrate(model, _crops(images[:: max(1, len(images) // _CALIBRATION)], config.crop_px, 1).to(device))
    score = _measure(model, ImageBatch(_crops(held_out, config.crop_px, 0)).to(device))["psnr_db"]
    path = context.work_dir / WEIGHTS_FILE
    card = {"stage": NAME, "stage_version": VERSION, "config": config.model_dump(mode="json"),
            "network": config.network.model_dump(mode="json")}  # fmt: skip
    save_weights(path, model, card)
    return Produced(
        kind="checkpoint",
        files={WEIGHTS_FILE: path, STATS_FILE: context.work_dir / STATS_FILE},
        metrics=summary.metrics() | {"validation_psnr_db": float(score)},
    )


def _images(path: Path, most: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Evenly spaced pictures of a subject file, or of each person of a file in GazeCapture's layout."""
    with h5py.File(path, "r") as file:
        groups = [file["image"]] if "image" in file else [group["pixels"] for group in file.values()]
        for pixels in groups:
            for index in np.linspace(0, len(pixels) - 1, min(most, len(pixels))).round().astype(int):
                yield pixels[int(index)]


def _batches(
    images: Sequence[np.ndarray], order: Iterable[list[int]], config: OneShotAutoencoderConfig
) -> Iterator[ImageBatch]:
    for indices in order:
        yield ImageBatch(_crops([images[i] for i in indices], config.crop_px, indices[0]))


def _crops(images: Sequence[np.ndarray], size_px: int, seed: int) -> Float[Tensor, "b 3 h w"]:
    """One crop of each picture, of the upper two thirds, where the eyes are; the same seed gives the same crops."""
    stream = generator("crops", seed, len(images))
    crops = []
    for image in images:
        height, width = image.shape[:2]
        room = torch.tensor([max(1, height * 2 // 3 - size_px + 1), width - size_px + 1])
        top, left = (torch.rand(2, generator=stream) * room).long().tolist()
        crops.append(torch.from_numpy(image[top : top + size_px, left : left + size_px].copy()))
    return torch.stack(crops).permute(0, 3, 1, 2).float() / 255


def _terms(network: nn.Module, image: Tensor, config: OneShotAutoencoderConfig) -> LossTerms:
    change = config.color_changes
    gain = 1 + change * (2 * torch.rand(len(image), 3, 1, 1, device=image.device) - 1)
    shift = change / 2 * (2 * torch.rand(len(image), 3, 1, 1, device=image.device) - 1)
    image = (gain * image + shift).clamp(0, 1)
    image = torch.where(torch.rand(len(image), 1, 1, 1, device=image.device) < 0.5, image, image.flip(-1))
    made = network.decode(network.encode(image))  # type: ignore[operator]
    edges = [(made - image).diff(dim=axis).abs().mean() for axis in (-1, -2)]
    return {
        "image_l1": Term((made - image).abs().mean()),
        "edges_l1": Term(edges[0] + edges[1], config.edge_weight),
    }


def _measure(network: nn.Module, batch: ImageBatch) -> dict[str, Tensor]:
    with torch.no_grad():
        made = network.decode(network.encode(batch.image)).clamp(0, 1)  # type: ignore[operator]
    return {"psnr_db": -10 * (made - batch.image).square().mean().log10()}


@torch.no_grad()
def _calibrate(model: SmallAutoencoder, images: Float[Tensor, "b 3 h w"]) -> None:
    """Makes latents of zero mean and unit variance."""
    latent = model.encode(images)
    deviation, mean = torch.std_mean(latent, dim=(0, 2, 3), keepdim=True)
    model.mean += mean * model.deviation
    model.deviation *= deviation


def main(arguments: list[str]) -> None:
    """Makes the shipped weights."""
    if len(arguments) < 2:
        raise BadInput(f"{len(arguments)} arguments; expected a file to write and folders of rendered people")
    out, work = Path(arguments[0]), Path(arguments[0] + ".work")
    work.mkdir(parents=True, exist_ok=True)
    produced = run(
        OneShotAutoencoderConfig(), {"people": tuple(Path(a) for a in arguments[1:])}, StageContext(Runtime(), work)
    )
    sys.stdout.write(f"{dict(produced.metrics)}\n")
    with replacing(out) as partial:
        partial.write_bytes(produced.files[WEIGHTS_FILE].read_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
