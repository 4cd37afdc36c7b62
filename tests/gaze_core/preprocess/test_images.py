"""Image files: what is refused before it is decoded."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from gaze_core.errors import BadInput
from gaze_core.preprocess.images import read_image


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
def test_what_is_no_image_is_refused(tmp_path, content):
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
