"""Changes of a picture's light and sharpness that leave every label as it is; made by the loader's workers."""

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from pydantic import NonNegativeFloat

from gaze_core.config import Config
from gaze_core.reproducibility import derived_seed

Image = UInt8[ndarray, "h w 3"]


class Augmentation(Config):
    """How far a picture may change; 0 leaves that part alone. Values are in parts of the whole range unless named."""

    brightness: NonNegativeFloat = 0.15  # added, up to this much either way
    contrast: NonNegativeFloat = 0.2  # the range around its middle is stretched by up to this much either way
    color: NonNegativeFloat = 0.08  # each of R, G and B is scaled by up to this much either way
    blur_px: NonNegativeFloat = 1.0  # largest standard deviation
    noise: NonNegativeFloat = 0.02  # largest standard deviation

    def __call__(self, image: Image, *seed: int | str) -> Image:
        """A changed copy of an RGB picture; the same seed gives the same change."""
        random = np.random.default_rng(derived_seed("augmentation", *seed))
        gain = (1 + random.uniform(-self.contrast, self.contrast)) * (1 + random.uniform(-self.color, self.color, 3))
        shift = random.uniform(-self.brightness, self.brightness) * 255
        blur_px, noise = random.uniform(0, self.blur_px), random.uniform(0, self.noise) * 255
        out = image.astype(np.float32)
        if blur_px > 0.1:  # less cannot be seen
            out = np.asarray(cv2.GaussianBlur(out, (0, 0), blur_px))
        out = (out - 127.5) * gain.astype(np.float32) + np.float32(127.5 + shift)
        if noise > 0:
            out += random.standard_normal(out.shape, dtype=np.float32) * np.float32(noise)
        return np.asarray(np.clip(np.rint(out), 0, 255).astype(np.uint8))
