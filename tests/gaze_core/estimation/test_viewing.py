"""Synthetic viewing without a renderer: behaviour, geometry, and what the film does to pictures and labels."""

import numpy as np
import pytest

from gaze_core.estimation.recording_schema import BLINK, FIXATION, PURSUIT, SACCADE
from gaze_core.estimation.screen import directions, point_of_gaze
from gaze_core.estimation.viewing.film import Film, FilmConfig
from gaze_core.estimation.viewing.labels import eyes_gaze_head, see
from gaze_core.estimation.viewing.plan import PX_PER_DEG, ViewingConfig, plan_viewing
from gaze_core.estimation.viewing.setup import screen_seen_by, target_m, world_to_camera
from tests.gaze_core.estimation.viewed import CLEAN, RENDER, moment, plain_images, points, viewing


@pytest.mark.parametrize(
    ("stimulus", "kinds"), [("image", {1, 2, 4}), ("video", {1, 2, 3, 4}), ("wikipedia", {1, 2, 4})]
)
def test_what_eyes_do_before_each_stimulus(stimulus, kinds):
    plan = plan_viewing(ViewingConfig(stimulus=stimulus, seconds=20, seed=5))
    assert set(plan.kind) == kinds
    assert plan.num_ticks == 1200
    share = {kind: np.mean(plan.kind == kind) for kind in range(5)}
    assert 0.02 < share[SACCADE] < 0.2
    assert 0.01 < share[BLINK] < 0.08
    assert share[PURSUIT] > 0.3 if stimulus == "video" else share[FIXATION] > 0.7
    seen = np.stack([one.point_px for one in plan.moments])
    assert (seen > -60).all()
    assert (seen < [1980, 1140]).all()
    # Fixations share pictures: far fewer moments than ticks.
    assert len(plan.moments) < 0.45 * plan.num_ticks
    assert (np.diff(plan.moment_of) >= 0).all()


def test_fixations_rest_and_saccades_are_fast():
    plan = plan_viewing(ViewingConfig(stimulus="image", seconds=20, seed=5))
    at = np.stack([plan.moments[m].point_px for m in plan.moment_of]) / PX_PER_DEG
    speed = np.linalg.norm(np.diff(at, axis=0), axis=1) * 60
    both = (plan.kind[1:] == FIXATION) & (plan.kind[:-1] == FIXATION)
    assert np.quantile(speed[both], 0.9) == 0
    assert speed[both].max() < 90  # a drift of a degree at most, from one picture to the next
    assert np.median(speed[plan.kind[1:] == SACCADE]) > 80


def test_reading_goes_right_and_returns_to_the_next_line():
    plan = plan_viewing(ViewingConfig(stimulus="wikipedia", seconds=20, seed=5))
    at = np.stack([m.point_px for m in plan.moments if m.closed == 0])
    fixed = at[np.isin(np.arange(len(at)), np.unique(plan.moment_of[plan.kind == FIXATION]))]
    steps = np.diff(fixed[:, 0])
    assert np.mean(steps > 0) > 0.6
    assert (steps < -800).any()


def test_a_look_at_the_screens_middle_from_straight_before_it():
    # The head's origin is 0.6 m before the screen's middle, so both eyes turn inwards by atan(0.031 / 0.6).
    eyes = eyes_gaze_head(moment(), points().eye_centers_m)
    np.testing.assert_allclose(eyes, [[0, np.arctan(0.031 / 0.6)], [0, -np.arctan(0.031 / 0.6)]], atol=1e-12)
    np.testing.assert_allclose(target_m(np.array([0.0, 0.0])), [0.553 / 2, -0.311 / 2, -0.6])


@pytest.mark.parametrize("camera", ["basler", "webcam_l", "webcam_c", "webcam_r"])
def test_labels_of_a_camera_lead_back_to_the_point_of_gaze(camera):
    seen = see(moment(300, 900, (0.1, -0.2, 0.05, 0.02, -0.01, 0.03)), points(), camera)
    point = point_of_gaze(
        seen.gaze_rad()[None], seen.rotation[None], seen.origins_m["face"][None], screen_seen_by(camera)
    )
    np.testing.assert_allclose(point / [0.553, 0.311] * [1920, 1080], [[300, 900]], atol=1e-6)
    center = seen.rotation @ seen.origins_m["face"]
    np.testing.assert_allclose(center[:2], 0, atol=1e-12)  # the virtual camera looks at the face
    assert seen.rotation[1] @ seen.head_to_camera[:3, 0] == pytest.approx(0, abs=1e-12)  # without roll


def test_a_head_that_faces_the_camera_has_no_angle():
    up = np.arctan2(-0.17, 0.6)  # the basler stands below the screen
    seen = see(moment(head=(up, 0, 0, 0, 0.03, 0)), points(), "basler")
    assert np.abs(np.rad2deg(seen.head_rad)).max() < 4


def test_cameras_look_at_the_head_upright():
    for camera, sign in (("webcam_l", 1), ("webcam_r", -1)):
        place = np.linalg.inv(world_to_camera(camera))[:3, 3]
        assert np.sign(place[0]) == sign  # the person's left is the world's +x
        assert world_to_camera(camera)[0, 1] == 0


def dotted(plan, camera):
    """Pictures with a white dot where each patch's origin is, in the rendered (exact) windows."""
    images = plain_images(len(plan.moments))
    for index, one in enumerate(plan.moments):
        seen = see(one, points(), camera)
        for patch, pictures in images.items():
            x, y = projected(seen, RENDER.window(seen, patch), patch)
            rows, columns = np.mgrid[: pictures.shape[1], : pictures.shape[2]] + 0.5
            bright = 135 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2 / 2.0**2)
            pictures[index, ..., :3] = (120 + bright[..., None]).round()
    return images


def projected(seen, window, patch):
    """Where a point 1 cm above a patch's origin lies in a window."""
    place = seen.origins_m[patch] + seen.head_to_camera[:3, :3] @ [0, -0.01, 0]
    x, y, z = window.intrinsics_px @ seen.rotation @ place
    return x / z, y / z


def brightest(picture):
    excess = np.clip(picture.mean(axis=-1) - 150, 0, None)
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    return (excess * columns).sum() / excess.sum(), (excess * rows).sum() / excess.sum()


def test_pixels_and_labels_of_a_jittering_crop_move_together():
    plan = viewing(seconds=0.6)
    film = Film(dotted(plan, "basler"), plan, points(), "basler", RENDER, CLEAN, seed=1)
    exact, moved = [], []
    for frame in film.frames():
        crops = {"face": frame.face, "right": frame.eyes[:, :32], "left": frame.eyes[:, 32:]}
        for patch, crop in crops.items():
            place = projected(frame.seen, frame.windows[patch], patch)
            np.testing.assert_allclose(brightest(crop), place, atol=0.35)
            first = see(plan.moments[frame.moment], points(), "basler")
            moved.append(np.subtract(place, projected(first, first.window(patch, len(crop)), patch)))
        exact.append(np.abs(frame.seen.gaze_rad() - first.gaze_rad()).max())
        meant = directions(frame.seen.gaze_rad()) @ frame.seen.rotation
        np.testing.assert_allclose(meant, directions(first.gaze_rad()) @ first.rotation, atol=1e-12)
    assert np.std(moved) > 0.3  # there is jitter to be exact about
    assert 1e-4 < np.mean(exact) < 0.02


def test_frames_of_one_moment_differ_by_noise_alone():
    plan = viewing(seconds=0.6)
    still = CLEAN.model_copy(update={"turn_deg": (0, 0, 0), "eye_off_px": 0})
    noisy = still.model_copy(update={"noise": (10.0, 10.0), "noise_spread": 0.0})

    def faces(config):
        film = Film(plain_images(len(plan.moments)), plan, points(), "basler", RENDER, config, seed=1)
        return np.stack([frame.face for frame in film.frames()]).astype(float)

    assert faces(still).std(axis=0).max() < 6  # one gain a frame remains
    deviation = (faces(noisy) - faces(noisy).mean(axis=0)).std()
    assert deviation == pytest.approx(10, rel=0.15)


def test_cameras_run_at_their_rates_and_lose_frames():
    plan = viewing(seconds=10)
    images = plain_images(len(plan.moments))
    ticks = {
        camera: Film(images, plan, points(), camera, RENDER, FilmConfig(lost_share=lost), 1).ticks
        for camera, lost in (("basler", 0.0), ("webcam_c", 0.0), ("webcam_r", 0.1))
    }
    assert len(ticks["basler"]) == 600
    assert (np.diff(ticks["webcam_c"]) == 2).all()
    assert 255 < len(ticks["webcam_r"]) < 290


def test_the_head_follows_the_gaze():
    plan = plan_viewing(ViewingConfig(stimulus="image", seconds=120, seed=5))
    at = np.stack([one.point_px for one in plan.moments])
    head = np.stack([one.head for one in plan.moments])
    assert np.corrcoef(at[:, 0], head[:, 1])[0, 1] > 0.4  # the screen's right is the person's right: yaw > 0
    assert np.corrcoef(at[:, 1], head[:, 0])[0, 1] < -0.15  # down is pitch < 0
    assert np.rad2deg(head[:, :3]).std(axis=0).max() < 6
