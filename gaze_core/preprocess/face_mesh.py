"""The 478-point face mesh of the MediaPipe Face Landmarker: its points by name, and its average face in metres.

Sources: the topology is that of the model's card (468 face points, then five for each iris: centre and four on its
rim). Left and right are the subject's own. The average face is the one inside the `.task` file.
"""

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from gaze_core.errors import BadInput
from gaze_core.geometry.landmarks import Eyes

NUM_MESH, NUM_POINTS = 468, 478
_AVERAGE_FACE_FILE = "geometry_pipeline_metadata_landmarks.binarypb"

# iBUG-68 on the mesh, in iBUG's order: along each feature from image left to image right, mouth clockwise.
IBUG = {
    "jaw":        (162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    "right_brow": (70, 63, 105, 66, 107),
    "left_brow":  (336, 296, 334, 293, 300),
    "nose":       (168, 197, 5, 4, 98, 97, 2, 326, 327),
    "right_eye":  (33, 160, 158, 133, 153, 144),
    "left_eye":   (362, 385, 387, 263, 373, 380),
    "mouth":      (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    "lips_inner": (78, 82, 13, 312, 308, 317, 14, 87),
}  # fmt: skip
IBUG_68 = tuple(index for feature in IBUG.values() for index in feature)

# Lid margins as closed polygons: outer corner, upper lid, inner corner, lower lid.
LIDS = Eyes(
    left=(263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
    right=(33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
)
CORNERS = Eyes(left=(263, 362), right=(33, 133))  # outer, inner
LID_MIDDLES = Eyes(left=(386, 374), right=(159, 145))  # upper, lower
IRISES = Eyes(left=473, right=468)  # centre; the four rim points follow it
# Closed polygons: image-left corner, lower edge, image-right corner (the 11th point), upper edge.
LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
# Points that expressions hardly move: forehead, bridge and tip of the nose, eye corners, temples, cheekbones.
RIGID = (
    10, 109, 338, 67, 297, 54, 284, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1,
    33, 133, 362, 263, 127, 356, 234, 454, 116, 345, 117, 346, 123, 352,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class AverageFace:
    """The 468 mesh points of an average adult's neutral face: metres, x image right, y down, z away; origin arbitrary."""

    points_m: Float[ndarray, "468 3"]


def read_average_face(landmarker: Path) -> AverageFace:
    """Reads the average face that is packed inside the landmarker.

    Raises:
        BadInput: the file is not a `.task` archive with that part.
    """
    data = read_part(landmarker, _AVERAGE_FACE_FILE)
    # A protobuf mesh whose vertices (x, y, z, u, v; cm, y up, z toward the camera) are a run of tagged floats.
    start = data.find(b"\x1d")
    values = [struct.unpack_from("<Bf", data, start + 5 * i) for i in range(5 * NUM_MESH)]
    if any(tag != 0x1D for tag, _ in values):
        raise BadInput(f"{landmarker}: {_AVERAGE_FACE_FILE} does not hold {NUM_MESH} vertices")
    vertices_cm = np.array([value for _, value in values]).reshape(NUM_MESH, 5)[:, :3]
    return AverageFace(vertices_cm * (0.01, -0.01, -0.01))


def mirrored_points(average: AverageFace) -> Int[ndarray, "478"]:
    """For each point, the index of its mirror image."""
    flipped = average.points_m * (-1, 1, 1)
    face = np.linalg.norm(flipped[:, None] - average.points_m, axis=-1).argmin(axis=1)
    # An iris has a centre, then the image-right, upper, image-left and lower point of its rim.
    rim = np.array([0, 3, 2, 1, 4])
    return np.concatenate([face, IRISES.left + rim, IRISES.right + rim])


def read_part(landmarker: Path, name: str) -> bytes:
    """One file of the `.task` archive.

    Raises:
        BadInput: the path is not an archive, or the archive lacks the file.
    """
    try:
        with zipfile.ZipFile(landmarker) as archive:
            return archive.read(name)
    except FileNotFoundError as error:
        raise BadInput(f"{landmarker}: no such file; expected the MediaPipe face landmarker (.task)") from error
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise BadInput(f"{landmarker}: not a MediaPipe face landmarker (.task) with {name} ({error})") from error
