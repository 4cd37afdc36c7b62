"""Image files to RGB arrays. The one place that opens an image which a user brings."""

import warnings
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, UnidentifiedImageError

from gaze_core.errors import BadInput

RgbImage = UInt8[ndarray, "h w 3"]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
UNREAD_SUFFIXES = (".heic", ".heif")  # images, too, but nothing here can read them
_HINTS = {  # what to do about images that are left out, by reason
    "heic_image": "HEIC images are not read; convert them to JPEG or PNG",
    "face_too_small": "small faces are only guessed at; use a recording in which the face is larger",
    "other_person": "faces unlike the most frequent one are left out; use a recording of one person",
    "mouth_covered": "what covers the mouth would be learned as part of the face; use frames without it",
    "animated_image": "of an animation no single image is taken; convert it to a video",
}
_ANIMATED = ("PNG", "WEBP")  # whose first image alone would be read; what more a JPEG or TIFF holds is a thumbnail
MAX_PIXELS = 2**27  # 134 megapixels, 400 MB as RGB: more than cameras take, and far less than a small file can claim


def hints(reasons: Collection[str]) -> list[str]:
    """What to do about images that were left out for these reasons, where there is something to do."""
    return [hint for reason, hint in _HINTS.items() if reason in reasons]


class UnreadableImage(BadInput):
    """A file that is no image which can be read; `reason` is what is counted where it costs itself alone."""

    def __init__(self, text: str, reason: str = "unreadable_image") -> None:
        super().__init__(text)
        self.reason = reason


def images_in(folder: Path) -> list[Path]:
    """The image files that lie in a folder, in the order of their names; those that nothing here can read included."""
    suffixes = IMAGE_SUFFIXES + UNREAD_SUFFIXES
    shown = (path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith("."))
    return sorted(path for path in shown if path.is_file())


def read_image(path: Path) -> RgbImage:
    """An image file as RGB, turned upright where its Exif data say how.

    Raises:
        UnreadableImage: no such file, no image, an animation, or HEIC.
        BadInput: one of more than MAX_PIXELS.
    """
    if path.suffix.lower() in UNREAD_SUFFIXES:
        raise UnreadableImage(f"{path}: {_HINTS['heic_image']}", "heic_image")
    # The header is read first: a file of 49 kB can ask for gigabytes.
    require_pixels(path, *_size_px(path))
    try:
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
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
                size_px = image.size
                num_images = getattr(image, "n_frames", 1) if image.format in _ANIMATED else 1
    except Image.DecompressionBombError as error:
        raise BadInput(
            f"{path}: {error}".split(", could be")[0] + f"; expected {MAX_PIXELS / 1e6:.0f} megapixels or fewer"
        ) from error
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise _not_an_image(path) from error
    if num_images > 1:
        raise UnreadableImage(
            f"{path}: {num_images} images, expected one; {_HINTS['animated_image']}", "animated_image"
        )
    return size_px


def _not_an_image(path: Path) -> UnreadableImage:
    return UnreadableImage(f"{path}: not a readable image; remove it or convert it to PNG or JPEG")
