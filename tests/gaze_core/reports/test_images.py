import base64
import io

import numpy as np
from PIL import Image

from gaze_core.reports.images import content_box, jpeg_data_uri, png_data_uri


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_an_image_survives_its_address():
    image = np.random.default_rng(0).integers(0, 200, (8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decoded(png_data_uri(image)), image)
    smooth = np.linspace(0, 255, 16 * 16 * 3).reshape(16, 16, 3).astype(np.uint8)
    assert np.abs(decoded(jpeg_data_uri(smooth)).astype(int) - smooth).mean() < 3  # in the same colours


def test_the_common_box_is_a_square_around_all_that_is_not_white():
    images = np.full((2, 40, 40, 3), 255, dtype=np.uint8)
    images[0, 10, 12] = 0
    images[1, 19, 14] = 0  # rows 10 to 19 and columns 12 to 14: a square of 10, centred on column 13
    assert content_box(images, margin_px=0) == (slice(10, 20), slice(8, 18))
    assert content_box(np.full((1, 4, 4, 3), 255, dtype=np.uint8)) == (slice(None), slice(None))
    assert content_box(np.zeros((1, 6, 6, 3), dtype=np.uint8)) == (slice(0, 6), slice(0, 6))
