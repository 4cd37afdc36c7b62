"""Image files: what is refused before it is decoded."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from gaze_core.errors import BadInput
from gaze_core.preprocess.images import UnreadableImage, read_image


def png(width, height):
    """The header of a PNG and a few bytes of data, whatever it claims to hold."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(40_000, 40_000), (34_000, 34_000), (12_000, 12_000), (2**31 - 1, 1)])
def test_an_image_that_claims_gigabytes_is_refused_unopened(tmp_path, monkeypatch, width, height):
    (tmp_path / "bomb.png").write_bytes(png(width, height))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(BadInput, match=r"bomb.png: .*expected 134 megapixels or fewer") as caught:
        read_image(tmp_path / "bomb.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x89PNG broken", b"text", None])
def test_files_that_are_not_images_are_refused(tmp_path, content):
    path = tmp_path / "x.png"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(BadInput, match=r"x\.png: not a readable image"):
        read_image(path)


@pytest.mark.parametrize(
    "image",
    [np.full((4, 6), 7, np.uint8), np.full((4, 6, 4), 7, np.uint8), np.full((4, 6, 3), 7 * 257, np.uint16)],
    ids=["gray", "rgba", "16 bit"],
)
def test_every_kind_of_image_is_rgb_of_eight_bits(tmp_path, image):
    cv2.imwrite(str(tmp_path / "x.png"), image)
    found = read_image(tmp_path / "x.png")
    assert (found.shape, found.dtype) == ((4, 6, 3), np.uint8)
    assert (found == 7).all()


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_an_animation_is_not_taken_for_its_first_image(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    first, *others = (Image.new("RGB", (8, 6), (shade, 0, 0)) for shade in (10, 120, 240))
    first.save(path, save_all=True, append_images=others)
    with pytest.raises(UnreadableImage, match="3 images, expected one; .* convert it to a video") as caught:
        read_image(path)
    assert caught.value.reason == "animated_image"


def test_an_image_with_a_preview_is_read(tmp_path):
    first, preview = (Image.new("RGB", size, (10, 0, 0)) for size in ((8, 6), (4, 3)))
    for name in ("x.tif", "x.mpo"):
        first.save(tmp_path / name, save_all=True, append_images=[preview])
    (tmp_path / "x.mpo").rename(tmp_path / "x.jpg")  # as phones call it
    for name in ("x.tif", "x.jpg"):
        assert read_image(tmp_path / name).shape == (6, 8, 3)


def test_heic_gives_advice(tmp_path):
    (tmp_path / "x.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(UnreadableImage, match=r"x\.HEIC: HEIC images are not read; convert them to JPEG or PNG"):
        read_image(tmp_path / "x.HEIC")
