"""Renders the moments of a recording: face and eyes, with a border for what later shifts the crops."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from pydantic import NonNegativeInt, PositiveInt

from gaze_core.atomic import replacing
from gaze_core.config import Config
from gaze_core.data.schema import ARKIT
from gaze_core.errors import BadInput
from gaze_core.estimation.viewing.labels import PATCHES, HeadPoints, Seen, eyes_gaze_head, head_to_world, see
from gaze_core.estimation.viewing.plan import Moment, Viewing
from gaze_core.estimation.viewing.setup import CameraName, Window, world_to_camera
from gaze_core.synthesis.appearance import make_eyeball
from gaze_core.synthesis.factory import Person, make_person, place
from gaze_core.synthesis.head import lid_actions
from gaze_core.synthesis.scene import LIGHTS, LightName, Pinhole, render_pictures, use_one_thread

RENDER_VERSION = 1  # raise when the same configuration no longer gives the same images
_SUBDIVISIONS = 1
Images = dict[str, UInt8[ndarray, "m h w 4"]]


class RenderConfig(Config):
    """Sizes and effort. Equal configurations give equal images."""

    face_px: PositiveInt = 96
    eye_px: PositiveInt = 64
    margin_px: NonNegativeInt = 4  # rendered border around each crop
    face_samples: PositiveInt = 4  # light paths per pixel
    eye_samples: PositiveInt = 8

    def window(self, seen: Seen, patch: str) -> Window:
        """The rendered window of a patch."""
        side = self.face_px if patch == "face" else self.eye_px
        return seen.window(patch, side).grown(self.margin_px)


@dataclass(frozen=True, eq=False)
class Face:
    """What films need to know of a person."""

    points: HeadPoints
    iris_radius_m: float  # of the sphere on which the iris lies
    pupil_rad: float  # half the angle of the person's own pupil on it

    def pupils_m(self, viewing: Viewing) -> Float[ndarray, " m"]:
        """Diameter of the pupils in each moment."""
        sizes = np.array([moment.pupil for moment in viewing.moments])
        return np.asarray(2 * self.iris_radius_m * np.sin(self.pupil_rad * sizes))


def face_of(identity_seed: int, folder: Path) -> Face:
    """A person's face, kept in `folder`, so that films can be made again without the renderer.

    Raises:
        BadInput: anny is not installed, and the face is not in the folder.
    """
    path = folder / f"face_{identity_seed}__{RENDER_VERSION}.npz"
    names = ("landmarks_m", "eye_centers_m", "iris_radius_m", "pupil_rad")
    if not path.is_file():
        person = make_person(identity_seed, _SUBDIVISIONS)
        head = person.head
        values = (head.landmarks(head.neutral_m), head.eye_centers_m, head.surface_radius_m, person.coloring.pupil_rad)
        folder.mkdir(parents=True, exist_ok=True)
        _save(path, dict(zip(names, map(np.asarray, values), strict=True)))
    landmarks_m, eye_centers_m, radius_m, pupil_rad = _load(path, names).values()
    return Face(HeadPoints(landmarks_m, eye_centers_m), float(radius_m), float(pupil_rad))


def render_viewing(
    path: Path, viewing: Viewing, identity_seed: int, camera: CameraName, config: RenderConfig, seed: int,
    advance: Callable[[], None] = lambda: None,
) -> Images:  # fmt: skip
    """The images of all moments that the camera shows, read from `path` where an earlier run rendered them.

    Raises:
        BadInput: anny or mitsuba is not installed.
    """
    if path.is_file():
        return read_images(path)
    use_one_thread()
    person, points = make_person(identity_seed, _SUBDIVISIONS), face_of(identity_seed, path.parent).points
    rng = np.random.default_rng([seed, identity_seed, 5])
    light: LightName = list(LIGHTS)[int(rng.integers(len(LIGHTS)))]
    mood = _mood(rng)
    pictures = []
    for number, moment in enumerate(viewing.moments):
        pictures.append(_render(person, points, moment, mood, camera, config, light, 3000 * seed % 2**31 + 3 * number))
        advance()
    images = {patch: np.stack([one[index] for one in pictures]) for index, patch in enumerate(PATCHES)}
    _save(path, images)
    return images


def read_images(path: Path) -> Images:
    """Rendered images.

    Raises:
        BadInput: the file is damaged.
    """
    return _load(path, PATCHES)


def _save(path: Path, arrays: Mapping[str, ndarray]) -> None:
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _load(path: Path, names: Sequence[str]) -> dict[str, ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise BadInput(f"{path}: damaged ({error}); remove it and run the command again") from error


def _render(
    person: Person, points: HeadPoints, moment: Moment, mood: dict[str, float], camera: CameraName,
    config: RenderConfig, light: LightName, seed: int,
) -> list[UInt8[ndarray, "h w 4"]]:  # fmt: skip
    gaze = eyes_gaze_head(moment, points.eye_centers_m)
    pupil_rad = person.coloring.pupil_rad * moment.pupil
    seen_as = replace(person, eyeball=make_eyeball(replace(person.coloring, pupil_rad=pupil_rad)))
    vertices_m = person.head.vertices(_expression(moment, gaze, mood), gaze)
    surfaces = place(seen_as, vertices_m, gaze, head_to_world(moment))
    seen = see(moment, points, camera)
    turned = np.eye(4)
    turned[:3, :3] = seen.rotation
    extrinsics = turned @ world_to_camera(camera)
    cameras = []
    for patch in PATCHES:
        window = config.window(seen, patch)
        samples = config.face_samples if patch == "face" else config.eye_samples
        cameras.append(Pinhole(window.intrinsics_px, window.size_px, extrinsics, samples))
    return render_pictures(*surfaces, light, cameras, seed)


def _mood(rng: np.random.Generator) -> dict[str, float]:
    """A mild expression that the person keeps through a recording."""
    smile, brow, squint, wide = rng.uniform(0, [0.4, 0.4, 0.2, 0.25]) * (rng.random(4) < [0.5, 0.4, 0.3, 0.3])
    both = {"mouthSmile": smile, "eyeSquint": squint, "eyeWide": wide}
    return {f"{name}{side}": float(value) for name, value in both.items() for side in ("Left", "Right")} | {
        "browInnerUp": float(brow)
    }


def _expression(moment: Moment, gaze_head_eyes: Float[ndarray, "2 2"], mood: dict[str, float]) -> Float[ndarray, "52"]:
    actions = mood | lid_actions(gaze_head_eyes, float(np.deg2rad(25.0)))
    if moment.closed:
        actions |= {"eyeBlinkLeft": moment.closed, "eyeBlinkRight": moment.closed}
    return np.array([actions.get(name, 0.0) for name in ARKIT])
