"""Generates synthetic subjects: from a configuration to a subject file with exact labels."""

import importlib.metadata
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from pydantic import NonNegativeInt, PositiveInt

from gaze_core.config import Config, Runtime
from gaze_core.data.schema import FIELDS, NUM_EXPRESSION, SCHEMA_VERSION
from gaze_core.data.subject_writer import new_hdf5
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.geometry.rotations import eye_rotation, matrix_from_axis_angle
from gaze_core.synthesis.appearance import Coloring, Eyeball, hair_offset, make_eyeball, paint_head
from gaze_core.synthesis.head import Head, load_anny, make_head
from gaze_core.synthesis.identity import Moment, Ranges, draw_identity, draw_moment, identity_code
from gaze_core.synthesis.rig import RigName, View, camera_positions, face_center, normalized_extrinsics
from gaze_core.synthesis.scene import (
    LightName,
    Rendering,
    Surface,
    load_mitsuba,
    render_head,
    use_one_thread,
)
from gaze_core.workers import worker_pool

_LOADING = threading.Lock()  # threads of one process may generate several subjects at once
GENERATOR_VERSION = 5  # raise when the same configuration no longer gives the same images


class SubjectConfig(Config):
    """One synthetic subject. Equal configurations give equal images and labels."""

    subject: str = "synthetic"
    identity_seed: NonNegativeInt = 0  # of the person
    seed: NonNegativeInt = 0  # of gaze, pose and expression
    num_images: PositiveInt = 160
    num_held_out: NonNegativeInt = 40  # further images, marked in the dataset `held_out`
    view: View = View()
    rig: RigName = "compact"
    lights: tuple[LightName, ...] = ("studio",)  # one of them per image
    ranges: Ranges = Ranges()
    num_samples: PositiveInt = 64  # light paths per pixel
    subdivisions: NonNegativeInt = 2


@dataclass(frozen=True, eq=False)
class Person:
    """A subject ready to be posed and rendered."""

    head: Head
    coloring: Coloring
    eyeball: Eyeball
    color: Float[ndarray, "n 3"]
    hair_m: Float[ndarray, "n 3"]


def synthesize_subject(config: SubjectConfig, out: Path, runtime: Runtime = Runtime()) -> Path:  # noqa: B008
    """Renders a subject and writes its subject file to `out` atomically.

    The work is divided among `runtime.num_workers` processes (0: this one), which does not change the result.

    Raises:
        BadInput: anny or mitsuba is not installed.
    """
    with _LOADING:
        load_mitsuba()
        load_anny()  # builds its cache once, before the workers start
    count = config.num_images + config.num_held_out
    with new_hdf5(out) as file:
        _create(file, config, count)
        for index, record in enumerate(_records(config, count, runtime.num_workers)):
            for name, value in record.items():
                file[name][index] = value
    return out


def _records(config: SubjectConfig, count: int, num_workers: int) -> Iterator[dict[str, Any]]:
    if num_workers == 0:
        for index in range(count):
            yield synthesize_image(config, index)
        return
    with worker_pool(num_workers, use_one_thread) as pool:
        yield from pool.map(synthesize_image, [config] * count, range(count))


def synthesize_image(config: SubjectConfig, index: int) -> dict[str, Any]:
    """All fields of one image of the subject by their names; depends on `config` and `index` alone."""
    person = make_person(config.identity_seed, config.subdivisions)
    rng = np.random.default_rng([config.seed, index])
    moment = draw_moment(rng, config.ranges, person.head.eye_centers_m)
    camera_index = int(rng.integers(len(camera_positions(config.rig))))
    light = config.lights[int(rng.integers(len(config.lights)))]
    record = render_moment(person, moment, config, camera_index, light, seed=index)
    return record | {"frame_index": index, "held_out": index >= config.num_images}


def render_moment(
    person: Person, moment: Moment, config: SubjectConfig, camera_index: int, light: LightName, seed: int
) -> dict[str, Any]:
    """The fields of one image that do not depend on its place in a file; `seed` decides its noise."""
    head_to_world = pose_matrix(moment.head_angles_rad, moment.head_shift_m)
    center_m = face_center(person.head.landmarks(person.head.neutral_m))
    camera_m = camera_positions(config.rig)[camera_index]
    world_to_camera = normalized_extrinsics(camera_m, head_to_world, center_m, config.view.distance_m)
    vertices_m = person.head.vertices(moment.expression, moment.gaze_head_eyes)
    surfaces = place(person, vertices_m, moment.gaze_head_eyes, head_to_world)
    image = render_head(*surfaces, light, config.view, world_to_camera, config.num_samples, seed)
    landmarks_m = person.head.landmarks(vertices_m)
    labels = exact_labels(moment, landmarks_m, head_to_world, world_to_camera, config.view)
    return labels | _image_fields(image) | {
        "landmarks_3d_head_m": landmarks_m,
        "eye_centers_head_m": person.head.eye_centers_m,
        "observed_mask": np.full_like(image.head_mask, 255),
        "identity_code": identity_code(person.head.shape, person.coloring, light),
        "camera_index": camera_index,
    }  # fmt: skip


@lru_cache(maxsize=1)
def make_person(identity_seed: int, subdivisions: int) -> Person:
    """The person of an identity seed, painted and with hair."""
    shape, coloring = draw_identity(identity_seed)
    head = make_head(shape, subdivisions)
    return Person(
        head, coloring, make_eyeball(coloring), paint_head(head.topology, coloring), hair_offset(head, coloring)
    )


def pose_matrix(angles_rad: Float[ndarray, "3"], shift_m: Float[ndarray, "3"]) -> Float[ndarray, "4 4"]:
    """Head-to-world of a head whose face points along [pitch, yaw] after rolling about its own z axis."""
    turn = eye_rotation(torch.tensor(angles_rad[:2])) @ matrix_from_axis_angle(
        torch.tensor([0.0, 0.0, angles_rad[2]]).double()
    )
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = turn.numpy(), shift_m
    return out


def place(
    person: Person,
    vertices_m: Float[ndarray, "n 3"],
    gaze_head_eyes: Float[ndarray, "2 2"],
    head_to_world: Float[ndarray, "4 4"],
) -> tuple[Surface, Surface, Surface]:
    """Head, left and right eyeball in the world; each eyeball's surface turned about its own centre."""

    def world(points: ndarray) -> ndarray:
        return np.asarray(points @ head_to_world[:3, :3].T + head_to_world[:3, 3])

    ball = person.eyeball
    turns = eye_rotation(torch.tensor(person.head.surface_gaze(gaze_head_eyes))).numpy()
    left, right = (
        Surface(world(person.head.surface_radius_m * ball.vertices @ turn.T + center), ball.faces, ball.color)
        for turn, center in zip(turns, person.head.surface_centers_m, strict=True)
    )
    return Surface(world(vertices_m + person.hair_m), person.head.topology.faces, person.color), left, right


def exact_labels(
    moment: Moment,
    landmarks_m: Float[ndarray, "68 3"],
    head_to_world: Float[ndarray, "4 4"],
    world_to_camera: Float[ndarray, "4 4"],
    view: View,
) -> dict[str, Any]:
    """Labels that follow from the scene alone. The gaze of the head is the mean of both eyes' angles."""
    head_to_camera = world_to_camera @ head_to_world
    gaze_head = torch.tensor(moment.gaze_head_eyes.mean(axis=0))
    rotation = torch.tensor(head_to_camera[:3, :3])
    projected = (landmarks_m @ head_to_camera[:3, :3].T + head_to_camera[:3, 3]) @ view.intrinsics().T
    return {
        "landmarks_2d_px": projected[:, :2] / projected[:, 2:],
        "intrinsics_px": view.intrinsics(),
        "world_to_camera": world_to_camera,
        "head_to_world": head_to_world,
        "gaze_camera": pitchyaw_from_vector(rotation @ vector_from_pitchyaw(gaze_head)).numpy(),
        "gaze_head": gaze_head.numpy(),
        "gaze_head_eyes": moment.gaze_head_eyes,
        "expression_code": np.pad(moment.expression, (0, NUM_EXPRESSION - len(moment.expression))),
    }


def _image_fields(image: Rendering) -> dict[str, Any]:
    valid = {f"valid/{name}": True for name in ("gaze", "head_pose", "landmarks_3d", "identity", "expression")}
    seen = {f"valid/{side}_eye": bool(getattr(image, f"{side}_eye_mask").any()) for side in ("left", "right")}
    return {field.name: getattr(image, field.name) for field in fields(image)} | valid | seen


def _create(file: h5py.File, config: SubjectConfig, count: int) -> None:
    """Empty datasets of the schema, one frame to a chunk, and the file's attributes."""
    size = {"h": config.view.size_px, "w": config.view.size_px}
    for name, field in FIELDS.items():
        shape = tuple(size[s] if isinstance(s, str) else s for s in field.shape)
        packed = {"chunks": (1, *shape), "compression": "gzip", "compression_opts": 9} if "h" in field.shape else {}
        file.create_dataset(name, (count, *shape), field.dtype, **packed)
    file.create_dataset("held_out", (count,), "bool")
    view = config.view
    normalization = {"focal_px": view.focal_px, "distance_m": view.distance_m, "size_px": view.size_px}
    provenance = {
        "generator": "gaze_core.synthesis.factory.synthesize_subject",
        "generator_version": GENERATOR_VERSION,
        "config": config.model_dump(mode="json"),
        "packages": {name: importlib.metadata.version(name) for name in ("anny", "mitsuba")},
    }
    file.attrs.update(
        {
            "schema_version": SCHEMA_VERSION,
            "subject": config.subject,
            "source": "synthetic",
            "label_source": "exact",
            "normalization": json.dumps(normalization),
            "provenance": json.dumps(provenance),
            "dropped": json.dumps({}),
        }
    )
