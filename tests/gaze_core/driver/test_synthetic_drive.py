"""The synthetic drive without its images: geometry, behaviour, table and settings."""

import csv
import json

import numpy as np
import pytest

from gaze_core.driver.calibration import angle_deg, angles, directions
from gaze_core.driver.drive_files import HEADER, settings, write_table
from gaze_core.driver.drive_images import DRIVER_PX, ROAD_FOCAL_PX, driver_tile, road_point_px, road_tile
from gaze_core.driver.drive_plan import (
    CAMERA_DEG,
    SCENARIOS,
    TARGETS,
    DriveConfig,
    camera_extrinsics,
    mount_matrix,
    plan_drive,
)
from gaze_core.driver.extraction import ExtractConfig
from gaze_core.driver.sensors import SensorColumns, read_track
from gaze_core.driver.signs import check_signs

EYES_M = np.array([[0.031, 0.0, 0.0], [-0.031, 0.0, 0.0]])
CONFIG = DriveConfig(num_keys=300)


@pytest.fixture(scope="module")
def moments():
    return plan_drive(CONFIG, EYES_M)


def test_ten_scenarios_whose_weights_leave_something_for_the_road(moments):
    assert len(SCENARIOS) == 10
    assert [m.scenario for m in moments[::30]] == list(SCENARIOS)
    for _, _, weights in SCENARIOS.values():
        assert set(weights) <= set(TARGETS)
        assert 0 < sum(weights.values()) < 1


def test_eyes_of_each_moment_meet_their_target(moments):
    for moment in moments[::7]:
        rotation, place = moment.head_to_cabin[:3, :3], moment.head_to_cabin[:3, 3]
        toward = moment.target_m - (EYES_M @ rotation.T + place)
        looking = directions(moment.gaze_head_eyes) @ rotation.T
        assert angle_deg(looking, toward).max() < 1e-3


def test_the_camera_has_the_configured_position_and_gaze_into_it_has_no_angle():
    extrinsics = camera_extrinsics()
    place = -extrinsics[:3, :3].T @ extrinsics[:3, 3]
    np.testing.assert_allclose(np.rad2deg(angles(place)), CAMERA_DEG, atol=1e-9)
    np.testing.assert_allclose(angles(extrinsics[:3, :3] @ place), 0, atol=1e-9)
    assert extrinsics[0, 1] == pytest.approx(0, abs=1e-12)  # no roll: the image's x axis stays level
    # The driver's right (yaw > 0) is image left: a look further to the right is a look to image left.
    further = extrinsics[:3, :3] @ directions(np.deg2rad([CAMERA_DEG[0], CAMERA_DEG[1] + 10]))
    assert further[0] < 0


def test_head_and_eyes_share_the_work(moments):
    head = np.rad2deg([angles(-m.head_to_cabin[:3, 2]) for m in moments])
    eyes = np.rad2deg([m.gaze_head for m in moments])
    assert np.abs(eyes).max() < 45
    assert head[:, 1].std() > 6
    assert 0.3 < np.corrcoef(head[:, 1], eyes[:, 1])[0, 1] < 0.98


def test_the_same_seed_gives_the_same_drive():
    first, second, other = (plan_drive(c, EYES_M) for c in (CONFIG, CONFIG, CONFIG.model_copy(update={"seed": 1})))
    assert all((a.gaze_head_eyes == b.gaze_head_eyes).all() for a, b in zip(first, second, strict=True))
    assert any((a.gaze_head_eyes != b.gaze_head_eyes).any() for a, b in zip(first, other, strict=True))


def test_the_table_holds_the_gaze_of_the_glasses(moments, tmp_path):
    path = tmp_path / "drive.csv"
    write_table(path, moments, CONFIG)
    assert path.read_bytes()[:3] == b"\xef\xbb\xbf"
    with path.open(encoding="utf-8-sig") as file:
        assert tuple(next(csv.reader(file))) == HEADER
    track = read_track(path, SensorColumns())
    assert track.num_rows == pytest.approx(CONFIG.num_frames * 200 / 30, rel=0.02)
    off = []
    for frame, gaze in track.gaze.items():
        moment = moments[frame // CONFIG.frames_per_key]
        assert not moment.blink
        assert gaze.scenario == moment.scenario
        expected = np.rad2deg(angles(mount_matrix().T @ directions(moment.gaze_head)))
        off.append(np.array([gaze.elevation_deg, gaze.azimuth_deg]) - expected)
    assert np.abs(np.mean(off, axis=0)).max() < 0.05
    assert 0.15 < np.std(off) < 0.45  # 0.6 degrees a row, the median of six or seven
    blinks = sum(m.blink for m in moments) * CONFIG.frames_per_key
    lost = sum(track.fault(frame) == "no_row" for frame in range(CONFIG.num_frames))
    assert blinks > 0
    assert len(track.gaze) == CONFIG.num_frames - blinks - lost + sum(
        moments[frame // 6].blink for frame in range(CONFIG.num_frames) if track.fault(frame) == "no_row"
    )
    assert check_signs(track).warnings == ()


def test_gaze_at_the_road_meets_the_road_tile(moments):
    ahead = next(m for m in moments if m.target == "road")
    x, y = road_point_px(ahead)
    slope = ahead.target_m[:2] / -ahead.target_m[2]
    # Straight ahead, the image's right is the driver's right, which is the cabin's -x.
    np.testing.assert_allclose([x - 240, y - 150], ROAD_FOCAL_PX * slope * [-1, 1], atol=1e-9)
    assert road_point_px(next(m for m in moments if m.target == "right mirror")) is None


def test_images_have_their_sizes_and_the_road_moves():
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:48, 16:48] = 255
    assert driver_tile(rgba, 0.9).shape == (DRIVER_PX[1], DRIVER_PX[0], 3)
    assert (road_tile(0, 1.0) != road_tile(3, 1.0)).any()


def test_settings_are_options_of_the_extraction():
    config = ExtractConfig.model_validate(json.loads(json.dumps(settings(CONFIG))))
    assert config.layout.frame_px == (1120, 352)
    assert config.focal_factor == pytest.approx(192 * 0.66 / 0.27 / 352)
