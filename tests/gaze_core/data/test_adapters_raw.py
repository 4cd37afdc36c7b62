"""Raw releases: annotation rows and camera files by hand-written text in the published form."""

import cv2
import numpy as np
import pytest
import scipy.io

from gaze_core.data.adapters.raw import (
    eth_xgaze_frames,
    mpii_face_gaze_frames,
    read_eth_camera,
    read_mpii_camera,
)
from gaze_core.errors import BadInput
from tests.gaze_core.data.published import MIRROR, PAIRS

LANDMARKS = np.arange(136, dtype=float).reshape(68, 2) * 10
ROW = ["960", "540", "120.5", "-80.25", "-30", "0.1", "3.1", "-0.2", "12", "-34", "705"]


def write_camera(path, matrix=((13200.7, 0, 2999.5), (0, 13192.5, 1999.5), (0, 0, 1)), extrinsics=True):
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_Width", 6000)
    storage.write("image_Height", 4000)
    storage.write("Camera_Matrix", np.array(matrix, dtype=np.float64))
    storage.write("Distortion_Coefficients", np.array([[-0.1], [0.2], [0.001], [-0.002], [0.03]]))
    if extrinsics:
        storage.write("cam_translation", np.array([[100.0], [-200.0], [1500.0]]))
        storage.write("cam_rotation", cv2.Rodrigues(np.array([0.1, 0.2, 0.3]))[0])
    storage.release()
    return path


@pytest.fixture
def eth(tmp_path):
    calibration = tmp_path / "cam_calibration"
    calibration.mkdir()
    for index in (0, 3):
        write_camera(calibration / f"cam{index:02}.xml")
    landmarks = [str(v) for v in LANDMARKS.ravel()]
    rows = [["frame0000", "cam00.JPG", *ROW, *landmarks], ["frame0412", "cam03.JPG", *ROW, *landmarks]]
    annotation = tmp_path / "subject0003.csv"
    annotation.write_text("\n".join(",".join(row) for row in rows) + "\n")
    return annotation, tmp_path / "images", calibration


def test_eth_rows(eth):
    first, second = eth_xgaze_frames(*eth)
    assert first.image_path == eth[1] / "frame0000" / "cam00.JPG"
    assert (first.subject, first.frame_index, first.camera_index, first.rotated_180) == ("subject0003", 0, 0, False)
    assert (second.frame_index, second.camera_index, second.rotated_180) == (412, 3, True)
    np.testing.assert_allclose(first.gaze_target_camera_m, [0.1205, -0.08025, -0.03])
    np.testing.assert_allclose(first.landmarks_2d_px, LANDMARKS + 0.5)
    np.testing.assert_allclose(first.head_to_camera[:3, 3], [0.012, -0.034, 0.705])
    np.testing.assert_allclose(first.head_to_camera[:3, :3], cv2.Rodrigues(np.array([0.1, 3.1, -0.2]))[0])
    # The published centre of 6000 x 4000 px counts centres as whole numbers; ours is the true middle.
    np.testing.assert_allclose(first.intrinsics_px, [[13200.7, 0, 3000], [0, 13192.5, 2000], [0, 0, 1]])
    np.testing.assert_allclose(first.distortion, [-0.1, 0.2, 0.001, -0.002, 0.03])


def test_target_and_projection_follow_one_camera(eth):
    # A point of the camera frame that OpenCV projects onto whole-number pixels is half a pixel further in ours.
    frame = eth_xgaze_frames(*eth)[0]
    point_m = np.array([0.02, -0.01, 0.7])
    published = np.array([[13200.7, 0, 2999.5], [0, 13192.5, 1999.5], [0, 0, 1]])
    theirs = cv2.projectPoints(point_m * 1000, np.zeros(3), np.zeros(3), published, None)[0].ravel()
    ours = frame.intrinsics_px @ point_m
    np.testing.assert_allclose(ours[:2] / ours[2], theirs + 0.5)


def test_eth_mirror(eth):
    """The row of the mirrored image: target, head and landmarks mirror with it."""
    annotation, images, calibration = eth
    first = eth_xgaze_frames(annotation, images, calibration)[0]
    turn = cv2.Rodrigues(MIRROR @ first.head_to_camera[:3, :3] @ MIRROR)[0].ravel()
    points = LANDMARKS[PAIRS] * [-1, 1] + [5999, 0]
    values = ["960", "540", -120.5, -80.25, -30, *turn, -12, -34, 705, *points.ravel()]
    annotation.write_text(",".join(["frame0000", "cam00.JPG", *map(str, values)]))
    seen = eth_xgaze_frames(annotation, images, calibration)[0]
    np.testing.assert_allclose(seen.gaze_target_camera_m, MIRROR @ first.gaze_target_camera_m)
    np.testing.assert_allclose(seen.landmarks_2d_px, first.landmarks_2d_px[PAIRS] * [-1, 1] + [6000, 0])
    np.testing.assert_allclose(seen.head_to_camera[:3, 3], MIRROR @ first.head_to_camera[:3, 3])


def test_eth_rows_without_landmarks_or_target(eth):
    annotation, images, calibration = eth
    row = ["frame0001", "cam00.JPG", *ROW]
    row[5] = "nan"
    annotation.write_text(",".join(row))
    (frame,) = eth_xgaze_frames(annotation, images, calibration)
    assert frame.landmarks_2d_px is None
    assert frame.gaze_target_camera_m is None
    assert frame.head_to_camera is not None


def test_camera_extrinsics_in_metres(tmp_path):
    camera = read_eth_camera(write_camera(tmp_path / "cam00.xml"))
    np.testing.assert_allclose(camera.world_to_camera[:3, 3], [0.1, -0.2, 1.5])
    np.testing.assert_allclose(camera.world_to_camera[:3, :3], cv2.Rodrigues(np.array([0.1, 0.2, 0.3]))[0])
    assert read_eth_camera(write_camera(tmp_path / "demo.xml", extrinsics=False)).world_to_camera is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame0000,cam00.JPG,1,2", "subject0003.csv:1: 4 columns, expected at least 13"),
        (",".join(["frame0000", "cam00.JPG", *ROW, "1", "2"]), "subject0003.csv:1: 15 columns, expected 13 or 149"),
        (",".join(["frame0000", "cam00.JPG", *ROW[:-1], "far"]), "subject0003.csv:1: could not convert .*'far'"),
        (",".join(["frame", "cam00.JPG", *ROW]), "'frame' has no number"),
        (",".join(["frame0000", "cam09.JPG", *ROW]), "cam09.xml: no such file"),
    ],
)
def test_bad_eth_rows_are_named(eth, text, message):
    eth[0].write_text(text)
    with pytest.raises(BadInput, match=message):
        eth_xgaze_frames(*eth)


def test_bad_camera_files_are_named(tmp_path):
    path = tmp_path / "cam00.xml"
    path.write_text("not xml")
    with pytest.raises(BadInput, match="not an OpenCV XML file"):
        read_eth_camera(path)
    path.write_text("<opencv_storage></opencv_storage>")
    with pytest.raises(BadInput, match="Camera_Matrix should hold 9 numbers, found nothing"):
        read_eth_camera(path)
    write_camera(path, matrix=((1, 2), (3, 4)))
    with pytest.raises(BadInput, match="Camera_Matrix should hold 9 numbers, found 4 numbers"):
        read_eth_camera(path)
    with pytest.raises(BadInput, match="no such file"):
        read_mpii_camera(tmp_path / "Camera.mat")
    (tmp_path / "Camera.mat").write_text("x" * 200)
    with pytest.raises(BadInput, match="not a MATLAB 5 file"):
        read_mpii_camera(tmp_path / "Camera.mat")
    scipy.io.savemat(tmp_path / "Camera.mat", {"cameraMatrix": np.eye(3)})
    with pytest.raises(BadInput, match="distCoeffs should hold 5 numbers, found nothing"):
        read_mpii_camera(tmp_path / "Camera.mat")


MPII_LINE = (
    "day01/0005.jpg 820 447 551 408 603 405 698 398 755 393 603 566 724 557 "
    "-0.117 0.145 -0.078 11.53 16.15 431.66 13.12 38.79 428.89 -127.79 4.62 -12.03 left"
)


@pytest.fixture
def mpii(tmp_path):
    folder = tmp_path / "p00"
    (folder / "Calibration").mkdir(parents=True)
    matrix = np.array([[994.735, 0, 624.663], [0, 998.166, 364.087], [0, 0, 1]])
    camera = {"cameraMatrix": matrix, "distCoeffs": np.array([[-0.163, 0.668, -0.0012, -0.003, -1.02]])}
    scipy.io.savemat(folder / "Calibration" / "Camera.mat", camera)
    (folder / "p00.txt").write_text(f"{MPII_LINE}\n{MPII_LINE.replace('0005', '0006')}\n")
    return folder


def test_mpii_rows(mpii):
    first, second = mpii_face_gaze_frames(mpii)
    assert first.image_path == mpii / "day01" / "0005.jpg"
    assert (second.frame_index, second.camera_index, second.subject) == (1, 0, "p00")
    np.testing.assert_allclose(first.gaze_target_camera_m, [-0.12779, 0.00462, -0.01203])
    np.testing.assert_allclose(first.head_to_camera[:3, 3], [0.01153, 0.01615, 0.43166])
    np.testing.assert_allclose(first.head_to_camera[:3, :3], cv2.Rodrigues(np.array([-0.117, 0.145, -0.078]))[0])
    np.testing.assert_allclose(first.intrinsics_px[:2, 2], [625.163, 364.587])
    assert first.distortion.shape == (5,)
    assert first.landmarks_2d_px is None
    assert not first.rotated_180


def test_mpii_gaze_is_the_published_label(mpii):
    # Zhang et al.'s own numbers for this frame: face centre (mean of six), normalised, pitch 0.0080 and yaw 0.2782.
    frame = mpii_face_gaze_frames(mpii)[0]
    center = np.array([0.01312, 0.03879, 0.42889])
    forward = center / np.linalg.norm(center)
    down = np.cross(forward, frame.head_to_camera[:3, 0])
    down /= np.linalg.norm(down)
    gaze = np.stack([np.cross(down, forward), down, forward]) @ (frame.gaze_target_camera_m - center)
    gaze /= np.linalg.norm(gaze)
    assert (np.arcsin(-gaze[1]), np.arctan2(-gaze[0], -gaze[2])) == pytest.approx((0.0080, 0.2782), abs=5e-4)


def test_bad_mpii_lists_are_named(mpii):
    (mpii / "p00.txt").write_text(f"{MPII_LINE}\n{MPII_LINE} extra\n")
    with pytest.raises(BadInput, match="p00.txt:2: 29 columns, expected 28"):
        mpii_face_gaze_frames(mpii)
    (mpii / "p00.txt").write_text(MPII_LINE.replace("431.66", "?"))
    with pytest.raises(BadInput, match="p00.txt:1: could not convert"):
        mpii_face_gaze_frames(mpii)
    (mpii / "p00.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="not readable as text"):
        mpii_face_gaze_frames(mpii)
    (mpii / "p00.txt").unlink()
    with pytest.raises(BadInput, match="not readable as text"):
        mpii_face_gaze_frames(mpii)
