"""The shipped subject: its labels against its own pixels."""

import json

import h5py
import numpy as np
import pytest
import torch

from gaze_core.data.schema import ATTRIBUTES, FIELDS, SCHEMA_VERSION
from gaze_core.geometry.angles import angle_between_deg, vector_from_pitchyaw
from gaze_core.geometry.landmarks import CHIN, LEFT_EYE, MOUTH, NOSE, RIGHT_EYE
from gaze_core.synthesis.factory import SubjectConfig
from gaze_core.synthesis.packs import PACKS, pack_path

EYE_MASKS = {"left": "left_eye_mask", "right": "right_eye_mask"}


@pytest.fixture(scope="module")
def pack():
    with h5py.File(pack_path("synthetic_128"), "r") as file:
        return {name: file[name][:] for name in (*FIELDS, "held_out")} | {"attributes": dict(file.attrs)}


def relative_rotation(pack) -> np.ndarray:
    return (pack["world_to_camera"] @ pack["head_to_world"])[:, :3, :3]


def iris_offset(pack, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Dark visible pixels of an eye: centroid minus the projected eye centre, and in which images usable."""
    axis = ("left", "right").index(side)
    to_camera = pack["world_to_camera"] @ pack["head_to_world"]
    center = np.einsum("nij,nj->ni", to_camera[:, :3, :3], pack["eye_centers_head_m"][:, axis]) + to_camera[:, :3, 3]
    center = np.einsum("nij,nj->ni", pack["intrinsics_px"], center)
    center = center[:, :2] / center[:, 2:]
    rows, columns = np.mgrid[: pack["image"].shape[1], : pack["image"].shape[2]] + 0.5
    offsets, usable = [], []
    for image, mask, middle in zip(pack["image"], pack[EYE_MASKS[side]] > 0, center, strict=True):
        usable.append(mask.sum() >= 12)
        if not usable[-1]:
            offsets.append([np.nan, np.nan])
            continue
        luminance = image.mean(axis=-1)
        dark = mask & (luminance <= np.quantile(luminance[mask], 0.3))
        offsets.append([columns[dark].mean() - middle[0], rows[dark].mean() - middle[1]])
    return np.array(offsets), np.array(usable)


def test_holds_the_schema_and_is_small(pack):
    path = pack_path("synthetic_128")
    assert path.stat().st_size <= 8_000_000
    count, height, width = pack["image"].shape[:3]
    assert count >= 168
    sizes = {"h": height, "w": width}
    for name, field in FIELDS.items():
        assert pack[name].shape == (count, *(sizes.get(s, s) for s in field.shape)), name
        assert pack[name].dtype == np.dtype(field.dtype), name
    assert set(ATTRIBUTES) <= set(pack["attributes"])
    assert pack["attributes"]["schema_version"] == SCHEMA_VERSION
    assert len(np.unique(pack["camera_index"])) >= 5


def test_provenance_is_the_configuration_in_the_code(pack):
    recorded = json.loads(pack["attributes"]["provenance"])["config"]
    assert SubjectConfig.model_validate(recorded).digest() == PACKS["synthetic_128"].digest()


def test_held_out_images_show_other_gazes_and_poses(pack):
    held_out = pack["held_out"]
    assert held_out.sum() >= 30
    assert (~held_out).sum() >= 120
    draws = np.concatenate([pack["gaze_head"], pack["head_to_world"][:, :3, 3], pack["expression_code"]], axis=1)
    gap = np.abs(draws[held_out][:, None] - draws[~held_out][None]).max(axis=-1)
    assert gap.min() > 1e-3
    assert len(np.unique(pack["frame_index"])) == len(held_out)


def test_gaze_in_the_camera_is_the_turned_gaze_in_the_head(pack):
    in_head, in_camera = (
        vector_from_pitchyaw(torch.tensor(pack[name]).double()) for name in ("gaze_head", "gaze_camera")
    )
    turned = torch.einsum("nij,nj->ni", torch.tensor(relative_rotation(pack)).double(), in_head)
    error = angle_between_deg(turned, in_camera)
    assert error.max() < 1e-3
    np.testing.assert_allclose(pack["gaze_head_eyes"].mean(axis=1), pack["gaze_head"], atol=1e-6)


def test_eyes_converge(pack):
    """The left eye stands at image right and turns more toward image left than the right eye does."""
    assert (pack["gaze_head_eyes"][:, 0, 1] > pack["gaze_head_eyes"][:, 1, 1]).all()
    np.testing.assert_allclose(pack["eye_centers_head_m"].sum(axis=1), 0, atol=1e-6)
    assert (pack["eye_centers_head_m"][:, 0, 0] > 0).all()


def test_ranges_are_wide(pack):
    pitch_deg, yaw_deg = np.rad2deg(pack["gaze_head"]).T
    assert pitch_deg.min() < -17
    assert pitch_deg.max() > 17
    assert yaw_deg.min() < -26
    assert yaw_deg.max() > 26
    facing = -relative_rotation(pack)[:, :, 2]
    head_yaw_deg = np.rad2deg(np.arctan2(-facing[:, 0], -facing[:, 2]))
    assert head_yaw_deg.min() < -18
    assert head_yaw_deg.max() > 18


@pytest.mark.parametrize("side", ["left", "right"])
def test_iris_stands_where_the_label_says(pack, side):
    """Turning the eyeball moves the iris by r sin(angle): gaze up moves it up, yaw > 0 to image left."""
    offset_px, usable = iris_offset(pack, side)
    axis = ("left", "right").index(side)
    gaze_head = vector_from_pitchyaw(torch.tensor(pack["gaze_head_eyes"][:, axis])).numpy()
    in_camera = np.einsum("nij,nj->ni", relative_rotation(pack), gaze_head)
    assert usable.mean() > 0.85
    assert np.corrcoef(offset_px[usable, 0], in_camera[usable, 0])[0, 1] > 0.93
    assert np.corrcoef(offset_px[usable, 1], in_camera[usable, 1])[0, 1] > 0.88
    far_left = usable & (in_camera[:, 0] < -0.3)
    assert (offset_px[far_left, 0] < 0).mean() > 0.9


def test_landmarks_project_from_three_dimensions(pack):
    to_camera = pack["world_to_camera"] @ pack["head_to_world"]
    points = np.einsum("nij,nkj->nki", to_camera[:, :3, :3], pack["landmarks_3d_head_m"]) + to_camera[:, None, :3, 3]
    points = np.einsum("nij,nkj->nki", pack["intrinsics_px"], points)
    np.testing.assert_allclose(points[..., :2] / points[..., 2:], pack["landmarks_2d_px"], atol=1e-3)


def test_landmarks_lie_on_the_head_and_right_is_image_left(pack):
    inner = np.r_[RIGHT_EYE, LEFT_EYE, NOSE, MOUTH]
    columns, rows = np.floor(pack["landmarks_2d_px"]).astype(int).transpose(2, 0, 1)
    on_head = pack["head_mask"][np.arange(len(rows))[:, None], rows, columns] > 0
    assert on_head[:, inner].mean() > 0.999
    assert on_head.mean() > 0.97
    xy = pack["landmarks_2d_px"]
    assert (xy[:, RIGHT_EYE, 0].mean(axis=1) < xy[:, LEFT_EYE, 0].mean(axis=1)).all()
    assert (xy[:, CHIN, 1] > xy[:, MOUTH, 1].mean(axis=1)).all()


@pytest.mark.parametrize(("side", "eye"), [("left", LEFT_EYE), ("right", RIGHT_EYE)])
def test_eye_masks_lie_between_their_lids(pack, side, eye):
    rows, columns = np.mgrid[: pack["image"].shape[1], : pack["image"].shape[2]] + 0.5
    for mask, landmarks in zip(pack[EYE_MASKS[side]] > 0, pack["landmarks_2d_px"][:, eye], strict=True):
        if mask.any():
            low, high = landmarks.min(axis=0) - 2, landmarks.max(axis=0) + 2
            assert low[0] < columns[mask].min()
            assert columns[mask].max() < high[0]
            assert low[1] < rows[mask].min()
            assert rows[mask].max() < high[1]


def test_masks_are_disjoint_inside_the_head_and_flagged(pack):
    head, left, right = (pack[name] > 0 for name in ("head_mask", "left_eye_mask", "right_eye_mask"))
    assert not (left & right).any()
    assert not ((left | right) & ~head).any()
    assert set(np.unique(pack["head_mask"])) == {0, 255}
    np.testing.assert_array_equal(pack["valid/left_eye"], left.any(axis=(1, 2)))
    np.testing.assert_array_equal(pack["valid/right_eye"], right.any(axis=(1, 2)))
    assert (head.mean(axis=(1, 2)) > 0.15).all()
    assert (head.mean(axis=(1, 2)) < 0.7).all()


def test_background_is_white(pack):
    outside = pack["head_mask"] == 0
    outside[:, 1:] &= pack["head_mask"][:, :-1] == 0  # not the antialiased rim
    outside[:, :-1] &= pack["head_mask"][:, 1:] == 0
    outside[:, :, 1:] &= pack["head_mask"][:, :, :-1] == 0
    outside[:, :, :-1] &= pack["head_mask"][:, :, 1:] == 0
    assert np.quantile(pack["image"][outside], 0.001) >= 250
