"""The reader of one person, on drawn faces whose eyes and mouth move."""

import cv2
import numpy as np

from gaze_core.talker.person_reader import PersonReader
from tests.gaze_core.talker.test_metrics import points


def face(opening, blink, gaze_rad, noise):
    """A drawn face of 100 px: dark irises that move, lids, and a mouth that opens."""
    image = np.full((100, 100, 3), 180, np.uint8)
    for x in (30, 70):
        cv2.ellipse(image, (x, 30), (7, 4), 0, 0, 360, (245, 245, 245), -1, cv2.LINE_AA)
        centre = (x * 16 - int(16 * 8 * gaze_rad[1]), 30 * 16 - int(16 * 8 * gaze_rad[0]))
        cv2.circle(image, centre, 40, (60, 40, 30), -1, cv2.LINE_AA, shift=4)
        cv2.rectangle(image, (x - 8, 25), (x + 8, 25 + round(10 * blink)), (180, 150, 140), -1)
    cv2.ellipse(image, (50, 70), (10, max(1, round(40 * opening))), 0, 0, 360, (60, 20, 30), -1, cv2.LINE_AA)
    return np.clip(image + noise.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def people(count, seed):
    stream = np.random.default_rng(seed)
    opening, gaze = stream.uniform(0, 0.3, count), stream.uniform(-0.3, 0.3, (count, 2))
    blink = np.where(stream.uniform(size=count) < 0.2, 1.0, 0.0)
    images = np.stack([face(*values, stream) for values in zip(opening, blink, gaze, strict=True)])
    return images, opening, blink, gaze


def test_it_reads_pictures_that_it_has_not_seen():
    images, opening, blink, gaze = people(120, 0)
    reader = PersonReader(images, points(120), opening, blink, np.where(blink[:, None] > 0.5, np.nan, gaze))
    images, opening, blink, gaze = people(40, 1)
    found = reader.read(images, points(40))
    assert np.corrcoef(found.opening, opening)[0, 1] > 0.95
    assert np.abs(found.blink - blink).max() < 0.5
    seen = blink < 0.5
    assert np.rad2deg(np.abs(found.gaze_head_rad - gaze)[seen]).mean() < 3
    # A face that turns in the picture takes its patches along.
    turn = cv2.getRotationMatrix2D((50, 50), 20, 1.0)
    turned = np.stack([cv2.warpAffine(one, turn, (100, 100), borderMode=cv2.BORDER_REPLICATE) for one in images])
    places = points(40) @ turn[:, :2].T + turn[:, 2]
    assert np.corrcoef(reader.read(turned, places).opening, opening)[0, 1] > 0.9


def test_labels_that_are_not_known_are_not_read():
    images, opening, blink, gaze = people(20, 0)
    reader = PersonReader(images, points(20), opening, blink, np.full((20, 2), np.nan))
    assert np.isnan(reader.read(images, points(20)).gaze_head_rad).all()
