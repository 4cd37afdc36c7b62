"""The subject file: one HDF5 per subject, each label with its shape, type, unit and frame.

A file has one of the `PROFILES`, which list what it holds: redirection needs every label of a single image, an estimator
clips with crops of both eyes, a talking head the sound of each frame, one-shot redirection only images and gaze.
The attribute `profile` names it; a file without that attribute has the profile "redirection".

Frames. World: the frame of the recording rig; of a video, the camera's axes about the head's median place. Head: origin
midway between the two eyeball centres, axes of the camera when the head faces it (x image right, y down, z away from the
camera), metres. Angles follow `geometry/angles.py`, landmarks and the (left, right) eye axis `geometry/landmarks.py`.
Images are normalised crops (see `geometry/normalization.py`); intrinsics belong to the stored image size.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA_VERSION = 1

NUM_IDENTITY, NUM_EXPRESSION = 80, 64  # expression: 52 ARKit coefficients in ARKIT order, zero-padded

# ARKit's 52 coefficients, in alphabetical order; MediaPipe and anny both report this set.
ARKIT = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
GAZE_COEFFICIENTS = tuple(name for name in ARKIT if name.startswith("eyeLook"))


@dataclass(frozen=True)
class Field:
    """One array of a subject file; `shape` follows the frame axis, names in it stand for lengths of the file's own.

    "h" and "w" are the image size, "eye_h" and "eye_w" that of the eye crops.
    """

    shape: tuple[int | str, ...]
    dtype: str
    meaning: str

    @property
    def is_image(self) -> bool:
        """Whether its frames are images, RGB or masks."""
        return self.dtype == "uint8"


FIELDS = {
    "image":               Field(("h", "w", 3), "uint8",   "RGB, normalised crop"),
    "head_mask":           Field(("h", "w"),    "uint8",   "0 or 255; head with hair and neck"),
    "observed_mask":       Field(("h", "w"),    "uint8",   "0 or 255; where the crop lies inside the recorded image"),
    "left_eye_mask":       Field(("h", "w"),    "uint8",   "0 or 255; visible eyeball of the subject's left eye"),
    "right_eye_mask":      Field(("h", "w"),    "uint8",   "0 or 255; visible eyeball of the subject's right eye"),
    "landmarks_2d_px":     Field((68, 2),       "float32", "iBUG-68 in pixels of `image`"),
    "landmarks_3d_head_m": Field((68, 3),       "float32", "iBUG-68 in the head frame, metres, with expression"),
    "eye_centers_head_m":  Field((2, 3),        "float32", "eyeball centres (left, right), head frame, metres"),
    "intrinsics_px":       Field((3, 3),        "float32", "pinhole intrinsics of `image`"),
    "world_to_camera":     Field((4, 4),        "float32", "extrinsics, metres"),
    "head_to_world":       Field((4, 4),        "float32", "head pose, metres"),
    "gaze_camera":         Field((2,),          "float32", "[pitch, yaw] rad, mean of both eyes, camera frame"),
    "gaze_head":           Field((2,),          "float32", "[pitch, yaw] rad, mean of both eyes, head frame"),
    "gaze_head_eyes":      Field((2, 2),        "float32", "[pitch, yaw] rad of each eye (left, right), head frame"),
    "identity_code":       Field((80,),         "float32", "identity coefficients"),
    "expression_code":     Field((64,),         "float32", "ARKIT coefficients in [0, 1], zero-padded"),
    "valid/gaze":          Field((),            "bool",    "gaze labels may be used"),
    "valid/head_pose":     Field((),            "bool",    "head_to_world may be used"),
    "valid/landmarks_3d":  Field((),            "bool",    "landmarks_3d_head_m may be used"),
    "valid/identity":      Field((),            "bool",    "identity_code may be used"),
    "valid/expression":    Field((),            "bool",    "expression_code may be used"),
    "valid/left_eye":      Field((),            "bool",    "left_eye_mask is not empty and may be used"),
    "valid/right_eye":     Field((),            "bool",    "right_eye_mask is not empty and may be used"),
    "frame_index":         Field((),            "int32",   "frame of the recording"),
    "camera_index":        Field((),            "int32",   "camera of the rig"),
}  # fmt: skip

# Optional fields, which save work or tell more.
OPTIONAL_FIELDS = {
    "held_out":            Field((),            "bool",    "held out for the test; if absent, preprocess chooses"),
    "head_area_px":        Field((),            "int32",   "set pixels of head_mask; if absent, masks are scanned"),
    "gaze_sigma_rad":      Field((),            "float32", "expected error of the gaze labels, rad; if absent, none is known"),
    # Of converted GazeGaussian files, whose face fit and gaze label have their own coordinate frames; for imported models.
    "published/gaze_rotation": Field((3, 3),    "float32", "rotation from the head frame to the published label's"),
    "published/scale":         Field((),        "float32", "size of the fitted head, canonical units to decimetres"),
    "published/origin_m":      Field((3,),      "float32", "head frame's origin from the canonical one, head axes, metres"),
}  # fmt: skip

# Fields of clips and sound only.
_IN_TIME = {
    "time_s":              Field((),            "float64", "since the start of the clip"),
    "clip_index":          Field((),            "int32",   "which uninterrupted recording; its frames stand together"),
}  # fmt: skip
_EYES = {
    "left_eye_image":      Field(("eye_h", "eye_w", 3), "uint8", "RGB, crop of the subject's left eye"),
    "right_eye_image":     Field(("eye_h", "eye_w", 3), "uint8", "RGB, crop of the subject's right eye"),
    "gaze_camera_eyes":    Field((2, 2),        "float32", "[pitch, yaw] rad of each eye (left, right), camera frame"),
    "valid/gaze_eyes":     Field((2,),          "bool",    "gaze_camera_eyes (left, right) may be used"),
}  # fmt: skip
_SOUND = {
    "audio_features":      Field(("steps", "features"), "float32", "a window of sound features about the frame"),
}  # fmt: skip
_POSE = ("world_to_camera", "head_to_world", "valid/head_pose")
_GAZE = ("gaze_camera", "valid/gaze", "frame_index")

ProfileName = Literal["redirection", "estimation", "talker", "pairs"]


def _shared(*names: str) -> dict[str, Field]:
    return {name: FIELDS[name] for name in names}


@dataclass(frozen=True)
class Profile:
    """Required and optional fields of one kind of subject file, and its attributes beyond `ATTRIBUTES`."""

    fields: Mapping[str, Field]
    optional: Mapping[str, Field] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)


PROFILES: dict[ProfileName, Profile] = {
    "redirection": Profile(FIELDS, OPTIONAL_FIELDS),
    # Clips of a face with crops of both eyes.
    "estimation": Profile(
        _shared("image", "camera_index", *_GAZE) | _EYES | _IN_TIME,
        {"held_out": OPTIONAL_FIELDS["held_out"], **_shared("intrinsics_px", *_POSE)},
    ),
    # A speaking head: blinks and brows are coefficients of `expression_code`, by name in ARKIT.
    "talker": Profile(
        _shared("image", "head_mask", "landmarks_2d_px", "intrinsics_px", "expression_code", "valid/expression",
                "gaze_head", *_GAZE, *_POSE) | _IN_TIME | _SOUND,
        {"held_out": OPTIONAL_FIELDS["held_out"]},
        {"audio": "JSON object: extractor (its name), rate_hz (windows in a second); equal where sounds are exchanged"},
    ),
    # Images of one person, any two of which are a pair.
    "pairs": Profile(
        _shared("image", "landmarks_2d_px", "camera_index", *_GAZE),
        {"held_out": OPTIONAL_FIELDS["held_out"], **_shared("intrinsics_px", *_POSE)},
    ),
}  # fmt: skip
DEFAULT_PROFILE: ProfileName = "redirection"

# Attributes of the root of every file.
ATTRIBUTES = {
    "schema_version": "int, SCHEMA_VERSION",
    "subject": "str, unique within the source",
    "source": "str, what the subject comes from: synthetic, video, driver, or a data set of docs/datasets.md",
    "label_source": "str: 'exact' (rendered), 'landmarks' (learned map of the eyes' landmarks), 'iris' (eyeball model on "
    "landmarks; older files), 'target' (known gaze target) or 'tracker'",
    "normalization": "JSON of geometry.normalization.NormalizationConfig",
    "provenance": "JSON object: how the file was made (generator, seed, tool versions)",
    "dropped": "JSON object: reason -> number of frames that were left out",
}
JSON_ATTRIBUTES = ("normalization", "provenance", "dropped", "audio")
LABEL_SOURCES = ("exact", "landmarks", "iris", "target", "tracker")


def expression_basis(attributes: Mapping[str, Any]) -> str:
    """The basis of `expression_code` by the file's attributes: "arkit", or "bfm09" in GazeGaussian's files."""
    try:
        notes = json.loads(attributes["provenance"]).get("notes", {})
    except (KeyError, TypeError, ValueError, AttributeError, OSError, RuntimeError):  # reported by `layout_checks`
        return "arkit"
    return str(notes.get("expression_basis", "arkit")) if isinstance(notes, dict) else "arkit"
