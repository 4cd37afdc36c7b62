"""Image files to RGB arrays. The only module that opens a user's image files."""

import warnings
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, UnidentifiedImageError

from gaze_core.atomic import replacing
from gaze_core.errors import BadInput

RgbImage = UInt8[ndarray, "h w 3"]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
UNREAD_SUFFIXES = (".heic", ".heif")  # image formats that are not supported
_HINTS = {  # advice for images that are left out, by reason
    "heic_image": "HEIC images are not read; convert them to JPEG or PNG",
    "face_too_small": "landmarks of small faces are unreliable; use a recording in which the face is larger",
    "other_person": "faces unlike the most frequent one are left out; use a recording of one person",
    "mouth_covered": "what covers the mouth would be learned as part of the face; use frames without it",
    "animated_image": "animations are not read as images; convert it to a video",
}
_ANIMATED = ("PNG", "WEBP")  # formats with animations; further images in a JPEG or TIFF are thumbnails
MAX_PIXELS = 2**27  # 134 megapixels, 400 MB as RGB: more than cameras produce, far less than a small file can declare


def hints(reasons: Collection[str]) -> list[str]:
    """Advice for images that were left out for these reasons, if there is any."""
    return [hint for reason, hint in _HINTS.items() if reason in reasons]


class UnreadableImage(BadInput):
    """A file that is not a readable image; `reason` is its key where unreadable images are counted and skipped."""

    def __init__(self, text: str, reason: str = "unreadable_image") -> None:
        super().__init__(text)
        self.reason = reason


def images_in(folder: Path) -> list[Path]:
    """The image files in a folder, in the order of their names, including unsupported formats."""
    suffixes = IMAGE_SUFFIXES + UNREAD_SUFFIXES
    visible = (path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith("."))
    return sorted(path for path in visible if path.is_file())


def read_image(path: Path) -> RgbImage:
    """An image file as RGB, upright according to its Exif orientation.

    Raises:
        UnreadableImage: the file is missing, not an image, an animation, or HEIC.
        BadInput: the image has more than MAX_PIXELS.
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


def write_png(path: Path, image: RgbImage, like: Path | None = None) -> Path:
    """Writes an RGB image without loss, with the colour profile of the picture `like`, if that has one."""
    profile = _color_profile(like) if like else None
    with replacing(path, ".png") as partial:
        Image.fromarray(image).save(partial, icc_profile=profile)
    return path


def _color_profile(path: Path) -> bytes | None:
    """The ICC profile of a file's RGB values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile[16:20] == b"RGB " else None


def require_pixels(path: Path, width: int, height: int) -> None:
    """Raises BadInput if an image or a video's frame of this size is too large to decode."""
    if width * height > MAX_PIXELS:
        raise BadInput(
            f"{path}: {width} x {height} px, expected {MAX_PIXELS / 1e6:.0f} megapixels or fewer; make it smaller"
        )


def _size_px(path: Path) -> tuple[int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit applies
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
