"""Images of a report, embedded in its page."""

import base64
import io

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image


def png_data_uri(image: UInt8[ndarray, "h w 3"]) -> str:
    """An RGB image as a `data:` address."""
    return _data_uri(image, "PNG", optimize=True)


def jpeg_data_uri(image: UInt8[ndarray, "h w 3"]) -> str:
    """An RGB image as a `data:` address, with lossy compression to a tenth of the size: for frames of a video."""
    return _data_uri(image, "JPEG", quality=85)


def content_box(images: np.ndarray, margin_px: int = 3) -> tuple[slice, slice]:
    """Rows and columns of the smallest square around all non-white pixels of uint8 images [..., H, W, 3]."""
    content = (images.min(axis=-1) < 250).reshape(-1, *images.shape[-3:-1]).any(axis=0)
    if not content.any():
        return slice(None), slice(None)
    ends = [np.flatnonzero(np.any(content, axis=other))[[0, -1]] for other in (1, 0)]
    side = min(max(int(high - low) + 1 + 2 * margin_px for low, high in ends), *content.shape)
    starts = [
        int(np.clip((low + high + 1 - side) // 2, 0, size - side))
        for (low, high), size in zip(ends, content.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _data_uri(image: UInt8[ndarray, "h w 3"], kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format=kind, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()
