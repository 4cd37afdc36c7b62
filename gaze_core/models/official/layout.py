"""The published checkpoint: names and shapes of its tensors, and the name of our tensor for each.

How certain the names are: the prefixes of the three parts, the names of parameters and networks, and all widths come from
GazeGaussian's public sources. The names inside a network (`conv0`, `conv1`, ...) and inside an upsampling block
(`layer_1`, `layer_2`, `blur_layer.f`) come from modules that those sources import from Gaussian Head Avatar and GazeNeRF;
GazeGaussian's own copies were not available, and neither was a published file. A file with other names is refused, with
every difference listed; this table is the one place to change.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gaze_core.errors import BadInput

FEATURE_WIDTH, COLOR_CHANNELS = 128, 32
SHAPE_CODE_WIDTH, POSE_CODE_WIDTH, GAZE_CODE_WIDTH = 144, 54, 18
NUM_FACE_LANDMARKS, NUM_EYE_LANDMARKS = 412, 12
RENDERER_BLOCKS = 2  # 128 to 512 px

# Widths of the layers; the first is the width of the input.
FACE_NETWORKS = {
    "shape_color": (272, 256, 256, 32),
    "pose_color": (182, 128, 32),
    "shape_attributes": (272, 256, 256, 256, 8),
    "pose_attributes": (182, 128, 128, 8),
    "shape_deform": (171, 256, 256, 256, 256, 256, 3),
    "pose_deform": (81, 256, 256, 3),
}
EYE_NETWORKS = {
    "shape_color": (272, 256, 256, 32),
    "eye_color": (146, 128, 32),
    "eye_attributes": (146, 128, 128, 6),
    "shape_deform": (171, 256, 256, 256, 256, 256, 3),
    "eye_deform": (45, 128, 128, 4),
}
# In the published file, but not used by the published code.
UNUSED_FACE_NETWORKS = {
    "appea_color": (235, 256, 256, 32),
    "appea_attributes_opacity": (235, 256, 256, 256, 1),
}
UNUSED_EYE_NETWORKS = UNUSED_FACE_NETWORKS | {
    "pose_color": (182, 128, 32),
    "shape_attributes": (272, 256, 256, 256, 8),
    "pose_attributes": (182, 128, 128, 8),
    "pose_deform": (81, 256, 256, 3),
}

_FACE, _EYES, _RENDERER = "fg_CD_predictor_face", "fg_CD_predictor_eyes", "neural_render"
# Other spellings: the prefix of torch's data-parallel wrapper, and the name that the paper uses.
ALTERNATIVE_PREFIXES = {"module.": "", "neural_renderer.": f"{_RENDERER}."}
# Tables with one row per training frame; the shape of a row.
TRAINING_TABLES: dict[str, tuple[int, ...]] = {
    "iden_offset": (80,),
    "expr_offset": (64,),
    "delta_EulurAngles": (3,),
    "delta_Tvecs": (3, 1),
}


@dataclass(frozen=True)
class Entry:
    """A published tensor: our name (None if it is not imported) and its shape; a letter is a size that the file decides."""

    ours: str | None
    shape: tuple[int | str, ...]


def skip_layer(widths: tuple[int, ...]) -> int:
    """The layer with the skip connection: it gets the previous layer's output, then the network's input again."""
    return len(widths) // 2


def layer_widths(widths: tuple[int, ...]) -> list[tuple[int, int]]:
    """(in, out) of each layer."""
    extra = {skip_layer(widths): widths[0]}
    return [(widths[k] + extra.get(k, 0), widths[k + 1]) for k in range(len(widths) - 1)]


def _network(official: str, ours: str | None, widths: tuple[int, ...]) -> Iterator[tuple[str, Entry]]:
    for k, (width_in, width_out) in enumerate(layer_widths(widths)):
        name = ours and f"{ours}.layers.{k}"
        yield f"{official}.conv{k}.weight", Entry(name and f"{name}.weight", (width_out, width_in, 1))
        yield f"{official}.conv{k}.bias", Entry(name and f"{name}.bias", (width_out,))


def _cloud(official: str, ours: str, count: str, num_landmarks: int, scale_axes: int) -> Iterator[tuple[str, Entry]]:
    yield f"{official}.xyz", Entry(f"{ours}.means_dm", (count, 3))
    yield f"{official}.feature", Entry(f"{ours}.features", (count, FEATURE_WIDTH))
    yield f"{official}.scales", Entry(f"{ours}.log_scales", (count, scale_axes))
    yield f"{official}.rotation", Entry(f"{ours}.quats_wxyz", (count, 4))
    yield f"{official}.opacity", Entry(f"{ours}.opacity_logits", (count, 1))
    yield f"{official}.landmarks_3d_neutral", Entry(f"{ours}.landmarks_dm", (num_landmarks, 3))


def _layer(official: str, ours: str, shape: tuple[int, ...]) -> Iterator[tuple[str, Entry]]:
    yield f"{official}.weight", Entry(f"{ours}.weight", shape)
    yield f"{official}.bias", Entry(f"{ours}.bias", shape[:1])


def _renderer() -> Iterator[tuple[str, Entry]]:
    width = COLOR_CHANNELS
    for k in range(RENDERER_BLOCKS + 1):
        yield from _layer(f"{_RENDERER}.feat_2_rgb_list.{k}", f"renderer.to_rgb.{k}", (3, width, 1, 1))
    for k in range(RENDERER_BLOCKS):
        upsample, ours = f"{_RENDERER}.feat_upsample_list.{k}", f"renderer.blocks.{k}"
        yield from _layer(f"{upsample}.layer_1", f"{ours}.widen.0", (2 * width, width, 1, 1))
        yield from _layer(f"{upsample}.layer_2", f"{ours}.widen.2", (4 * width, 2 * width, 1, 1))
        yield f"{upsample}.blur_layer.f", Entry(None, (3,))
        yield from _layer(f"{_RENDERER}.feat_layers.{k}", f"{ours}.mix", (width, width, 1, 1))
    yield f"{_RENDERER}.rgb_upsample.1.f", Entry(None, (3,))
    yield from _layer(f"{_RENDERER}.k_proj", "renderer.key", (SHAPE_CODE_WIDTH, width))
    yield from _layer(f"{_RENDERER}.v_proj", "renderer.value", (width, width))
    yield f"{_RENDERER}.bg_featmap", Entry(None, (1, width, "r", "r"))


def _official_names() -> Iterator[tuple[str, Entry]]:
    yield from _cloud(_FACE, "face", "n", NUM_FACE_LANDMARKS, 3)
    yield from _cloud(_EYES, "eyes", "m", NUM_EYE_LANDMARKS, 1)
    yield f"{_EYES}.eye_offset", Entry(None, (3,))
    for part, ours, used, idle in (
        (_FACE, "face", FACE_NETWORKS, UNUSED_FACE_NETWORKS),
        (_EYES, "eyes", EYE_NETWORKS, UNUSED_EYE_NETWORKS),
    ):
        for name, widths in used.items():
            yield from _network(f"{part}.{name}_mlp", f"{ours}.networks.{name}", widths)
        for name, widths in idle.items():
            yield from _network(f"{part}.{name}_mlp", None, widths)
    yield from _renderer()


OFFICIAL_NAMES: dict[str, Entry] = dict(_official_names())


def translate(state: Mapping[str, Tensor], where: str, raster_px: int) -> dict[str, Tensor]:
    """The published state dict under our names; tensors that no code uses are not imported and may be absent.

    Raises:
        BadInput: lists every tensor that is missing, unexpected, of another shape or not finite.
    """
    found = {_canonical(str(name)): tensor for name, tensor in state.items()}
    faults = [f"unexpected {name}" for name in found if name not in OFFICIAL_NAMES]
    counts = {"r": raster_px}
    ours: dict[str, Tensor] = {}
    for name, entry in OFFICIAL_NAMES.items():
        if name not in found:
            if entry.ours is not None:
                faults.append(f"missing {name} {_text(entry.shape, counts)}")
            continue
        tensor = found[name]
        if fault := _fault(tensor, entry.shape, counts):
            faults.append(f"{name} {fault}")
        elif entry.ours is not None:
            # A 1x1 convolution over a row of points is a linear layer.
            squeezed = tensor.squeeze(-1) if ".conv" in name and tensor.ndim == 3 else tensor
            ours[entry.ours] = squeezed.detach().float()
        elif name.endswith(".f") and not torch.equal(tensor.float().cpu(), torch.tensor([1.0, 2.0, 1.0])):
            faults.append(f"{name} is {tensor.tolist()}, expected the blur [1, 2, 1]")
    if faults:
        raise BadInput(
            f"{where}: not the published GazeGaussian; {len(faults)} differences in its state dict: {'; '.join(faults)}"
        )
    return ours


def _canonical(name: str) -> str:
    for alternative, official in ALTERNATIVE_PREFIXES.items():
        if name.startswith(alternative):
            name = official + name.removeprefix(alternative)
    return name


def _fault(tensor: object, shape: tuple[int | str, ...], counts: dict[str, int]) -> str:
    """What is wrong with a tensor; the first tensor with a count decides it for the others."""
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        return f"is {kind}, expected a tensor of floating-point numbers"
    expected = _text(shape, counts)
    sizes = tuple(tensor.shape)
    if len(sizes) == len(shape):
        for size, wanted in zip(sizes, shape, strict=True):
            if isinstance(wanted, str) and size > 0:
                counts.setdefault(wanted, size)
    if sizes != tuple(counts.get(size, -1) if isinstance(size, str) else size for size in shape):
        return f"has shape {sizes}, expected {expected}"
    if not bool(tensor.isfinite().all()):
        return f"has {int((~tensor.isfinite()).sum())} values that are not finite"
    return ""


def _text(shape: tuple[int | str, ...], counts: Mapping[str, int]) -> str:
    sizes = [str(counts.get(size, size) if isinstance(size, str) else size) for size in shape]
    return f"({', '.join(sizes)})"
