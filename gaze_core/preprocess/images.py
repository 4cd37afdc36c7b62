"""Image files to RGB arrays. The one place that opens an image which a user brings."""

import warnings
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, UnidentifiedImageError

from gaze_core.errors import BadInput

RgbImage = UInt8[ndarray, "h w 3"]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MAX_PIXELS = 2**27  # 134 megapixels, 400 MB as RGB: more than cameras take, and far less than a small file can claim


def read_image(path: Path) -> RgbImage:
    """An image file as RGB, turned upright where its Exif data say how.

    Raises:
        BadInput: no such file, no image, or one of more than MAX_PIXELS.
    """
    # The header is read first: a file of 49 kB can ask for gigabytes.
    require_pixels(path, *_size_px(path))
    try:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise _not_an_image(path) from error
    if image is None:
        raise _not_an_image(path)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def require_pixels(path: Path, width: int, height: int) -> None:
    """Raises BadInput if an image or a video's frame of this size is too large to decode."""
    if width * height > MAX_PIXELS:
        raise BadInput(
            f"{path}: {width} x {height} px, expected {MAX_PIXELS / 1e6:.0f} megapixels or fewer; make it smaller"
        )


def _size_px(path: Path) -> tuple[int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit decides
            with Image.open(path) as image:
                return image.size
    except Image.DecompressionBombError as error:
        raise BadInput(
            f"{path}: {error}".split(", could be")[0] + f"; expected {MAX_PIXELS / 1e6:.0f} megapixels or fewer"
        ) from error
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise _not_an_image(path) from error


def _not_an_image(path: Path) -> BadInput:
    return BadInput(f"{path}: not a readable image; remove it or convert it to PNG or JPEG")
