"""The normalised view of a driver's face for the estimator: eyes to mouth, 14 cm wide at the face, without roll."""

from gaze_core.geometry.normalization import NormalizationConfig

# ETH-XGaze's camera, but looking midway between eyes and mouth, as the synthetic rigs do. Eyes are 25 px wide at 128 px.
DRIVER_FACE = NormalizationConfig(focal_px=960, distance_m=0.60, size_px=224, face_center="eyes_mouth")
