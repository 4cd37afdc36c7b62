"""Renders a head with mitsuba: path-traced colour on white, and exact masks from the same rays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from gaze_core.errors import BadInput
from gaze_core.synthesis.rig import View

LightName = Literal["studio", "window", "office", "flash"]

# Area lights of each set-up: position (m, world: x right, y down), edge (m), radiance; then ambient light. One lamp
# of each is near the cameras, for highlights in the eyes.
_Lamp = tuple[tuple[float, float, float], float, Float[ndarray, "3"]]
_WARM, _COOL, _DAY = np.array([1.0, 0.86, 0.70]), np.array([0.80, 0.90, 1.0]), np.array([1.0, 0.97, 0.93])
LIGHTS: dict[LightName, tuple[tuple[_Lamp, ...], Float[ndarray, "3"]]] = {
    "studio": ((((-0.9, -0.8, -1.2), 0.5, 13 * _DAY), ((1.1, -0.3, -1.0), 0.5, 5 * _DAY)), 0.42 * _DAY),
    "window": ((((1.3, -0.3, -0.7), 0.9, 6 * _COOL), ((0.3, -0.4, -1.2), 0.2, 14 * _COOL)), 0.30 * _WARM),
    "office": ((((0.0, -1.6, -0.6), 0.9, 7.0 * _DAY), ((-0.5, -1.4, -1.6), 0.6, 6.0 * _DAY),
                ((-0.3, -0.4, -1.2), 0.2, 14 * _DAY)), 0.42 * _COOL),
    "flash":  ((((0.1, -0.25, -1.3), 0.18, 85 * _WARM),), 0.25 * _DAY),
}  # fmt: skip

_COLOR = {"type": "mesh_attribute", "name": "vertex_color"}
_SKIN = {"type": "principled", "base_color": _COLOR, "roughness": 0.5, "specular": 0.35}
_WET = {"type": "principled", "base_color": _COLOR, "roughness": 0.05, "specular": 0.9}


@dataclass(frozen=True, eq=False)
class Surface:
    """A triangle mesh with vertex colours, in the world frame, metres."""

    vertices_m: Float[ndarray, "n 3"]
    faces: Int[ndarray, "t 3"]
    color: Float[ndarray, "n 3"]


@dataclass(frozen=True, eq=False)
class Pinhole:
    """A camera with a square picture, whose principal point may lie anywhere."""

    intrinsics_px: Float[ndarray, "3 3"]
    size_px: int
    world_to_camera: Float[ndarray, "4 4"]
    num_samples: int  # light paths per pixel


@dataclass(frozen=True, eq=False)
class Rendering:
    """A rendering with its masks. Masks are 0 or 255, by majority of the rays of a pixel."""

    image: UInt8[ndarray, "h w 3"]
    head_mask: UInt8[ndarray, "h w"]
    left_eye_mask: UInt8[ndarray, "h w"]
    right_eye_mask: UInt8[ndarray, "h w"]


def load_mitsuba() -> Any:
    """mitsuba in its scalar variant, which needs neither LLVM nor a GPU."""
    try:
        import mitsuba
    except ImportError as error:
        raise BadInput(
            "making synthetic subjects needs the packages anny and mitsuba, which are not installed; "
            "run: pip install gazeworks[synthesis]"
        ) from error
    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    return mitsuba


def use_one_thread() -> None:
    """Limits mitsuba in this process to one thread, for workers that share a machine; images do not change."""
    load_mitsuba()
    import drjit

    drjit.set_thread_count(1)


def render_head(
    head: Surface,
    left_eye: Surface,
    right_eye: Surface,
    light: LightName,
    view: View,
    world_to_camera: Float[ndarray, "4 4"],
    num_samples: int,
    seed: int,
    rows: tuple[int, int] | None = None,
) -> Rendering:
    """Path traces the three surfaces; only these rows (first, end) of the image, if they are given.

    The masks come from the same rays: alpha for the head, and texture coordinates that name the eye.
    """
    mi = load_mitsuba()
    scene = {
        "type": "scene",
        "integrator": {
            "type": "aov", "aovs": "eye:uv",
            "color": {"type": "path", "max_depth": 3, "hide_emitters": True},
        },
        "head": _mesh(mi, "head", head, _SKIN, (0, 0)),
        "left_eye": _mesh(mi, "left_eye", left_eye, _WET, (1, 0)),
        "right_eye": _mesh(mi, "right_eye", right_eye, _WET, (0, 1)),
        "sensor": _sensor(mi, view, world_to_camera, num_samples, rows),
        **_emitters(mi, light),
    }  # fmt: skip
    channels = np.array(mi.render(mi.load_dict(scene), seed=seed))
    rgb, alpha, eye = channels[..., :3], channels[..., 3], channels[..., 4:6]
    image = _srgb(rgb + (1 - alpha[..., None]))  # colours come premultiplied; the background is white
    shares = np.stack([alpha, eye[..., 0], eye[..., 1]])
    return Rendering(image, *np.where(shares > 0.5, 255, 0).astype(np.uint8))


def render_pictures(
    head: Surface, left_eye: Surface, right_eye: Surface, light: LightName, cameras: Sequence[Pinhole], seed: int
) -> list[UInt8[ndarray, "h w 4"]]:
    """One scene seen by several cameras, as sRGB with alpha; the scene is built once."""
    mi = load_mitsuba()
    scene = mi.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": 3, "hide_emitters": True},
            "head": _mesh(mi, "head", head, _SKIN, (0, 0)),
            "left_eye": _mesh(mi, "left_eye", left_eye, _WET, (1, 0)),
            "right_eye": _mesh(mi, "right_eye", right_eye, _WET, (0, 1)),
            **_emitters(mi, light),
        }
    )
    return [_picture(mi, scene, camera, seed + number) for number, camera in enumerate(cameras)]


def _picture(mi: Any, scene: Any, camera: Pinhole, seed: int) -> UInt8[ndarray, "h w 4"]:
    focal_px, middle = camera.intrinsics_px[0, 0], camera.size_px / 2
    sensor = _sensor(mi, View(size_px=camera.size_px, focal_px=focal_px), camera.world_to_camera, camera.num_samples)
    off = (middle - camera.intrinsics_px[:2, 2]) / camera.size_px  # mitsuba's picture has both axes the other way round
    sensor |= {"principal_point_offset_x": float(off[0]), "principal_point_offset_y": float(off[1])}
    channels = np.array(mi.render(scene, sensor=mi.load_dict(sensor), seed=seed))
    alpha = np.clip(channels[..., 3:4], 0, 1)
    rgb = _srgb(channels[..., :3] / np.maximum(alpha, 1e-3))
    return np.concatenate([rgb, (255 * alpha + 0.5).astype(np.uint8)], axis=-1)


def _srgb(linear: Float[ndarray, "h w 3"]) -> UInt8[ndarray, "h w 3"]:
    curved = 1.055 * np.maximum(linear, 1e-6) ** (1 / 2.4) - 0.055
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, curved)
    return np.asarray((np.clip(srgb, 0, 1) * 255 + 0.5).astype(np.uint8))


def _mesh(mi: Any, name: str, surface: Surface, bsdf: dict[str, Any], tag_uv: tuple[int, int]) -> Any:
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict({"type": "twosided", "inside": bsdf})
    count = len(surface.vertices_m)
    mesh = mi.Mesh(
        name, count, len(surface.faces), has_vertex_normals=True, has_vertex_texcoords=True, props=properties
    )
    mesh.add_attribute("vertex_color", 3, surface.color.astype(np.float32).ravel())
    fields = mi.traverse(mesh)
    fields["vertex_positions"] = surface.vertices_m.astype(np.float32).ravel()
    fields["vertex_texcoords"] = np.tile(np.array(tag_uv, dtype=np.float32), count)
    fields["faces"] = surface.faces.astype(np.uint32).ravel()
    fields.update()
    mesh.recompute_vertex_normals()
    return mesh


def _sensor(
    mi: Any, view: View, world_to_camera: Float[ndarray, "4 4"], num_samples: int, rows: tuple[int, int] | None = None
) -> dict[str, Any]:
    # mitsuba's camera looks along +z with x to the left and y up; ours has x right and y down.
    to_world = np.linalg.inv(world_to_camera) @ np.diag([-1.0, -1, 1, 1])
    first, end = rows or (0, view.size_px)
    window = {"crop_offset_y": first, "crop_height": end - first, "crop_width": view.size_px} if rows else {}
    return {
        "type": "perspective",
        "fov": float(np.rad2deg(2 * np.arctan(view.size_px / 2 / view.focal_px))),
        "to_world": mi.ScalarTransform4f(to_world),
        "near_clip": 0.01,
        "film": {
            "type": "hdrfilm", "width": view.size_px, "height": view.size_px, "pixel_format": "rgba",
            "component_format": "float32", "rfilter": {"type": "box"}, **window,
        },
        "sampler": {"type": "multijitter", "sample_count": num_samples},
    }  # fmt: skip


def _emitters(mi: Any, light: LightName) -> dict[str, Any]:
    """The lamps as objects. Given as dictionaries, their order in the scene would differ from call to call, and the order
    determines the noise of the image.
    """
    lamps, ambient = LIGHTS[light]
    out: dict[str, Any] = {"ambient": {"type": "constant", "radiance": _rgb(ambient)}}
    for index, (position, edge_m, radiance) in enumerate(lamps):
        facing = mi.ScalarTransform4f().look_at(origin=position, target=[0, 0, 0], up=[0, 0, 1])
        lamp = {
            "type": "rectangle",
            "to_world": facing @ mi.ScalarTransform4f().scale(edge_m / 2),
            "emitter": {"type": "area", "radiance": _rgb(radiance)},
        }
        out[f"lamp{index}"] = mi.load_dict(lamp)
    return out


def _rgb(values: Float[ndarray, "3"]) -> dict[str, Any]:
    return {"type": "rgb", "value": [float(value) for value in values]}
