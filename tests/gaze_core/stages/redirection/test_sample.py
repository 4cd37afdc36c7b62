import cv2
import numpy as np
import pytest

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import sample
from gaze_core.stages.redirection.sample import SampleConfig, contact_sheet, sweep
from tests.gaze_core.stages.redirection.tiny_run import train, write_dataset


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_dataset(root)
    for stage in ("mesh_head", "gaze_gaussian"):
        train(stage, root, root / stage)
    return {"data": root / "data", "checkpoint": root / "gaze_gaussian"}


def run(inputs, work_dir, **changes):
    return sample.run(SampleConfig(**changes), inputs, StageContext(Runtime(device="cpu"), work_dir)).files


def test_an_image_for_each_gaze_and_pose_a_sheet_and_a_video(inputs, tmp_path):
    files = run(inputs, tmp_path, gazes_deg=((0, 20), (10, 0)), poses_deg=((0, -15),), sweep_s=0.4)
    names = {"head_+0_-15_gaze_+0_+20.png", "head_+0_-15_gaze_+10_+0.png", "contact_sheet.png", "gaze_sweep.mp4"}
    assert set(files) == names
    one, other = (cv2.imread(str(files[name])) for name in sorted(names) if name.startswith("head"))
    assert one.shape == (32, 32, 3)
    assert not np.array_equal(one, other)
    video = cv2.VideoCapture(str(files["gaze_sweep.mp4"]))
    frames = [frame for ok, frame in (video.read() for _ in range(12)) if ok]
    assert len(frames) == 10
    assert frames[0].shape == (32, 32, 3)


def test_the_video_reaches_both_ends_of_both_axes_and_loops():
    gazes = np.array(sweep(SampleConfig(sweep_deg=(10, 20), sweep_s=4, frames_per_s=20)))
    assert len(gazes) == 80
    np.testing.assert_allclose(gazes.min(axis=0), [-10, -20], atol=1e-9)
    np.testing.assert_allclose(gazes.max(axis=0), [10, 20], atol=1e-9)
    np.testing.assert_allclose(gazes[0], 0, atol=1e-9)
    steps = np.abs(np.diff(gazes, axis=0, append=gazes[:1])).max()
    assert steps < 20 * 2 * np.pi / 40 * 1.01  # no jump anywhere, nor from the last image to the first


def test_contact_sheet_has_poses_in_rows_and_gazes_in_columns():
    images = np.full((2, 3, 16, 16, 3), 255, np.uint8)
    for row in range(2):
        for column in range(3):
            images[row, column, 4:12, 4:12] = 40 * row + 10 * column
    sheet = contact_sheet(images)
    side = sheet.shape[0] // 2
    assert sheet.shape == (2 * side, 3 * side, 3)
    middle = sheet[side // 2 :: side, side // 2 :: side, 0]
    assert middle.tolist() == [[0, 10, 20], [40, 50, 60]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"frame": 99}, "frame 99: the recording has 12 usable frames"), ({"gazes_deg": ((0, 75),)}, "within 60 degrees")],
)
def test_settings_that_cannot_be_rendered_are_refused(inputs, tmp_path, changes, message):
    with pytest.raises(BadInput, match=message):
        run(inputs, tmp_path, **changes)


def test_angles_that_round_to_the_same_value_have_separate_files(inputs, tmp_path):
    files = run(inputs, tmp_path, gazes_deg=((0, 0.1), (0, 0.4), (-0.0, 5)), poses_deg=((0, 0),), sweep_s=0.1)
    assert {name for name in files if name.startswith("head")} == {
        f"head_+0_+0_gaze_{gaze}.png" for gaze in ("+0_+0.1", "+0_+0.4", "+0_+5")
    }


def test_an_angle_that_is_no_number_is_refused(inputs, tmp_path):
    with pytest.raises(BadInput, match="within 60 degrees"):
        run(inputs, tmp_path, gazes_deg=((0, float("nan")),))
