"""Geometry and rendering with anny and mitsuba, where both are there and anny's cache is built already."""

import numpy as np
import pytest
import torch

import gaze_core.synthesis.head as head_module
from gaze_core.data.schema import ARKIT
from gaze_core.errors import BadInput
from gaze_core.geometry.angles import vector_from_pitchyaw
from gaze_core.geometry.landmarks import LEFT_EYE, RIGHT_EYE
from gaze_core.synthesis import contact_sheet, scene
from gaze_core.synthesis.anatomy import LANDMARK_VERTICES, LOCAL_CHANGES, PHENOTYPES, UPPER_LIDS
from gaze_core.synthesis.factory import SubjectConfig, synthesize_image
from gaze_core.synthesis.head import EYEBALL_RADIUS_M, Shape, eyeball_profile, lid_actions, load_anny, make_head
from gaze_core.synthesis.identity import draw_identity
from gaze_core.synthesis.lids import IRIS_RADIUS_M
from gaze_core.synthesis.meshes import boundary_edges
from gaze_core.synthesis.rig import View

TINY = SubjectConfig(
    identity_seed=3,
    num_images=1,
    num_held_out=0,
    view=View(size_px=96, focal_px=198.0),
    num_samples=4,
    subdivisions=0,
)


@pytest.fixture(scope="module", autouse=True)
def anny():
    """anny's model from its cache; the minutes-long first build is never started by a test."""
    models = pytest.importorskip("anny.models", reason="anny is not installed")
    pytest.importorskip("mitsuba", reason="mitsuba is not installed")

    def refuse(**_):
        pytest.skip("anny's cache is not built on this machine")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "build_model_data", refuse)
        return load_anny()


@pytest.fixture(scope="module")
def average(anny):
    return make_head(Shape(np.full(len(PHENOTYPES), 0.5), np.zeros(len(LOCAL_CHANGES))), subdivisions=0)


def test_landmark_table_is_symmetric(average):
    landmarks = average.neutral_m[LANDMARK_VERTICES]
    pairs = {
        0: 16,
        4: 12,
        8: 8,
        17: 26,
        21: 22,
        30: 30,
        31: 35,
        36: 45,
        37: 44,
        39: 42,
        41: 46,
        48: 54,
        59: 55,
        61: 63,
    }
    for right, left in pairs.items():
        np.testing.assert_allclose(landmarks[right] * [-1, 1, 1], landmarks[left], atol=1e-4)
    assert len(set(LANDMARK_VERTICES)) == 68


def test_head_frame_is_midway_between_the_eyes(average):
    np.testing.assert_allclose(average.eye_centers_m.sum(axis=0), 0, atol=1e-12)
    left, right = average.eye_centers_m
    assert left[0] > 0.025 > -0.025 > right[0]
    assert abs(left[1]) < 1e-4
    assert EYEBALL_RADIUS_M < average.surface_radius_m < 0.018
    fronts = [
        average.eye_centers_m[:, 2] - EYEBALL_RADIUS_M,
        average.surface_centers_m[:, 2] - average.surface_radius_m,
    ]
    np.testing.assert_allclose(*fronts, atol=1e-12)  # both spheres end where the cornea is
    # Lids lie in front of (z < 0) and around the eyes, not above or below them.
    assert np.abs(average.neutral_m[LANDMARK_VERTICES][LEFT_EYE].mean(axis=0) - left)[:2].max() < 0.005


def test_only_the_neck_is_open(average):
    rim = np.unique(boundary_edges(average.topology.faces))
    assert np.ptp((average.neutral_m[rim] @ head_module._UPRIGHT)[:, 1]) < 1e-6  # level where the head came from
    assert average.neutral_m[rim, 1].min() > 0.15


@pytest.mark.parametrize("gaze_deg", [(0, 0), (25, 35), (-25, -35)])
def test_no_lid_cuts_into_an_eyeball(gaze_deg, anny):
    head = make_head(draw_identity(3)[0], subdivisions=1)
    expression = np.zeros(len(ARKIT))
    expression[[ARKIT.index("eyeBlinkLeft"), ARKIT.index("eyeBlinkRight")]] = 0.5
    gaze = np.deg2rad([gaze_deg, gaze_deg])
    vertices = head.vertices(expression, gaze)
    from_left = np.linalg.norm(vertices - head.surface_centers_m[0], axis=1)
    assert from_left.min() >= head.surface_radius_m
    assert from_left.min() < head.surface_radius_m * eyeball_profile(np.array(0.0)) + 1e-3  # and they touch it


def test_a_blink_moves_the_named_side(average):
    expression = np.zeros(len(ARKIT))
    expression[ARKIT.index("eyeBlinkLeft")] = 1
    posed = average.landmarks(average.vertices(expression, np.zeros((2, 2))))
    moved = posed - average.landmarks(average.vertices(np.zeros(len(ARKIT)), np.zeros((2, 2))))
    assert moved[LEFT_EYE][1:3, 1].min() > 0.006  # down by more than 6 mm
    assert np.abs(moved[RIGHT_EYE]).max() < 1e-6


@pytest.mark.parametrize("seed", [3, 8])
@pytest.mark.parametrize("pitch_deg", [-25, -15, 0, 15])
def test_upper_lids_go_with_the_iris(seed, pitch_deg, anny):
    head = make_head(draw_identity(seed)[0], subdivisions=1)
    gaze = np.deg2rad([[pitch_deg, 0.0], [pitch_deg, 0.0]])
    actions = lid_actions(gaze, float(np.deg2rad(25)))
    vertices = head.vertices(np.array([actions.get(name, 0.0) for name in ARKIT]), gaze)
    iris_top_m = EYEBALL_RADIUS_M * -np.sin(gaze[:, 0]) - IRIS_RADIUS_M * np.cos(gaze[:, 0])
    lids_m = np.array([vertices[list(lid), 1].mean() for lid in UPPER_LIDS])
    cover_m = lids_m - head.eye_centers_m[:, 1] - iris_top_m
    assert cover_m.min() > -0.0003  # no white above the iris
    assert cover_m.max() < 0.0035


def test_irises_lie_where_eyeballs_of_a_real_size_carry_them(average):
    gaze = np.deg2rad([[-20.0, 30.0], [10.0, -25.0]])
    turned = vector_from_pitchyaw(torch.tensor(average.surface_gaze(gaze))).numpy()
    irises = average.surface_centers_m + average.surface_radius_m * turned
    wanted = average.eye_centers_m + EYEBALL_RADIUS_M * vector_from_pitchyaw(torch.tensor(gaze)).numpy()
    assert np.abs(irises - wanted).max() < 0.001
    assert np.abs(average.surface_gaze(gaze)).max() < np.abs(gaze).max()  # the wider ball turns less


def test_an_image_repeats_and_its_masks_agree(anny):
    first, again = synthesize_image(TINY, 0), synthesize_image(TINY, 0)
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)
    eyes = np.stack([first["left_eye_mask"], first["right_eye_mask"]]) > 0
    assert eyes.any(axis=(1, 2)).all()
    assert not eyes.all(axis=0).any()
    columns = [np.nonzero(mask)[1].mean() for mask in eyes]
    assert columns[0] > columns[1]  # the subject's left eye is at image right
    for mask, eye in zip(eyes, (LEFT_EYE, RIGHT_EYE), strict=True):
        rows_columns = np.array(np.nonzero(mask)).mean(axis=1) + 0.5
        assert np.abs(rows_columns[::-1] - first["landmarks_2d_px"][eye].mean(axis=0)).max() < 1.5
    other = synthesize_image(TINY, 1)
    assert not np.array_equal(first["image"], other["image"])


def test_the_contact_sheet_shows_each_person_looking_around(anny, tmp_path):
    view = View(size_px=64, focal_px=264.0)
    images = contact_sheet.contact_sheet((3,), view, num_samples=4, subdivisions=0)
    assert images.shape == (1, len(contact_sheet.GAZES_DEG), 64, 64, 3)
    band = images[0, :, 18:28].astype(float)  # the rows of the eyes
    assert np.abs(band[1] - band[2]).max() > 40  # one looks left, one right
    contact_sheet.write_sheet(images, tmp_path / "deep" / "sheet.png")
    assert (tmp_path / "deep" / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_the_contact_sheet_asks_for_one_path():
    with pytest.raises(BadInput, match="expected one, the PNG to write"):
        contact_sheet.main([])


def test_lamps_stand_in_one_order():
    """Their order decides the noise; from dictionaries mitsuba makes another order about once in fourteen times."""
    mi = scene.load_mitsuba()
    orders = {
        tuple(round(float(np.ravel(shape.surface_area())[0]), 3) for shape in made.shapes())
        for made in (mi.load_dict({"type": "scene", **scene._emitters(mi, "office")}) for _ in range(100))
    }
    assert len(orders) == 1
