"""One rendered image of the synthetic drive, where anny and mitsuba are installed."""

import numpy as np
import pytest

from gaze_core.driver.drive_files import drive_frames, write_table
from gaze_core.driver.drive_images import _render_chunk, head_view, key_path, read_key
from gaze_core.driver.drive_plan import DriveConfig, camera_extrinsics, plan_drive
from gaze_core.driver.sensors import SensorColumns, read_track
from gaze_core.driver.tiles import tile
from gaze_core.errors import BadInput
from tests.numbered_video import frame_number

pytest.importorskip("anny")
pytest.importorskip("mitsuba")


def test_an_image_shows_the_head_at_the_planned_pose(tmp_path):
    from gaze_core.driver.drive_images import LAYOUT
    from gaze_core.synthesis.factory import make_person

    config = DriveConfig(num_keys=20, head_px=48, num_samples=1)
    _render_chunk(config, tmp_path, [7])
    rgba = read_key(tmp_path, 7)
    assert rgba.shape == (48, 48, 4)
    moments = plan_drive(config, make_person(config.identity_seed, 1).head.eye_centers_m)
    pose = camera_extrinsics() @ moments[7].head_to_cabin
    place = head_view(config).intrinsics() @ pose[:3, 3]
    x, y = place[:2] / place[2]
    mask = rgba[..., 3] > 127
    assert mask[int(y), int(x)]
    assert 0.2 < mask.mean() < 0.8
    _render_chunk(config, tmp_path / ".", [7])
    assert (read_key(tmp_path, 7) == rgba).all()
    for key in range(20):
        key_path(tmp_path, key).write_bytes(key_path(tmp_path, 7).read_bytes())
    frames = list(drive_frames(config, moments, tmp_path))
    assert len(frames) == config.num_frames
    assert [frame_number(frame[:, 800:]) for frame in frames[40:44]] == [40, 41, 42, 43]
    assert tile(frames[0], LAYOUT.driver).shape == (352, 320, 3)
    write_table(tmp_path / "t.csv", moments, config)
    assert set(read_track(tmp_path / "t.csv", SensorColumns()).gaze) <= set(range(config.num_frames))
    key_path(tmp_path, 3).write_bytes(b"nothing")
    with pytest.raises(BadInput, match="not a rendered image; remove it"):
        read_key(tmp_path, 3)
    assert np.isfinite(rgba).all()
