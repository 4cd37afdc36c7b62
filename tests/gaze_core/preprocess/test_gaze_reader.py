"""Gaze of everybody in a picture: rendered and labelled faces, mirrors, cameras, several faces, tracking."""

import csv
from importlib import resources

import cv2
import h5py
import numpy as np
import pytest
import torch

from gaze_core.geometry.angles import angular_error_deg, vector_from_pitchyaw
from gaze_core.preprocess.camera_model import Camera
from gaze_core.preprocess.face_tracking import DETECT_EVERY
from gaze_core.preprocess.gaze_reader import GazeReader, PersonFit
from gaze_core.preprocess.iris_gaze import camera_gaze
from gaze_core.preprocess.landmarks import FaceLandmarker
from tests.gaze_core.preprocess.rendered_faces import rendered_face, side_by_side


@pytest.fixture(scope="module")
def reader(landmarker):
    return GazeReader("landmarks", landmarker)


def camera_of(image, focal_px=None):
    return Camera.of_focal((image.shape[1], image.shape[0]), focal_px)


def only(readings):
    assert len(readings) == 1
    return readings[0]


def test_yaw_of_rendered_faces_is_read_and_pitch_in_its_order(reader):
    """Their upper lids do not follow the eyes, so that the size of pitch cannot be read."""
    with (
        resources.as_file(resources.files("gaze_core.data.packs") / "synthetic_128.h5") as path,
        h5py.File(path) as pack,
    ):
        intrinsics_px, truth_deg = pack["intrinsics_px"][::14], np.rad2deg(pack["gaze_camera"][::14])
    read_deg = []
    for k, K in enumerate(intrinsics_px):
        reading = only(reader.photograph(rendered_face(14 * k), Camera(K * [[4], [4], [1]])))
        read_deg.append(np.rad2deg(reading.gaze.camera))
    read_deg = np.array(read_deg)
    assert np.abs(read_deg[:, 1] - truth_deg[:, 1]).mean() < 5
    assert np.corrcoef(read_deg[:, 0], truth_deg[:, 0])[0, 1] > 0.8
    assert np.ptp(truth_deg, axis=0).min() > 30  # or a constant would do


def test_a_face_that_is_small_in_its_photograph_is_read(reader):
    face = cv2.resize(rendered_face(0), (512, 512))
    small = np.full((1600, 2800, 3), 90, np.uint8)
    small[500:756, 1200:1456] = cv2.resize(face, (256, 256), interpolation=cv2.INTER_AREA)
    assert not reader._landmarker.faces(small)
    reading = only(reader.photograph(small, camera_of(small)))
    assert ((reading.points_px > (1200, 500)) & (reading.points_px < (1456, 756))).all()


def test_labelled_people_are_read_within_the_bar(reader, shared_data):
    folder = shared_data / "real_gaze" / "xgaze40"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    rows = list(csv.DictReader((folder / "labels.csv").open()))[:20]
    found, labels = [], []
    for row in rows:
        image = cv2.imread(str(folder / row["file"]))[:, :, ::-1]
        reading = only(reader.photograph(np.ascontiguousarray(image), camera_of(image, 960 * image.shape[0] / 448)))
        if reading.gaze.camera is not None:
            found.append(reading.gaze.camera)
            labels.append(np.deg2rad([float(row["pitch_deg"]), float(row["yaw_deg"])]))
    assert len(found) >= 16
    assert angular_error_deg(torch.tensor(np.array(found)), torch.tensor(np.array(labels))).mean() < 8


def test_a_mirrored_picture_has_the_other_yaw_and_roll(reader):
    image = rendered_face(5)
    turn = cv2.getRotationMatrix2D((256, 256), -12, 1)  # clockwise
    image = cv2.warpAffine(image, turn, (512, 512), borderValue=(255, 255, 255))
    seen = only(reader.photograph(image, camera_of(image)))
    mirrored = only(reader.photograph(np.ascontiguousarray(image[:, ::-1]), camera_of(image)))
    assert abs(seen.gaze.camera[1]) > 0.15
    np.testing.assert_allclose(mirrored.gaze.camera, seen.gaze.camera * (1, -1), atol=0.04)
    np.testing.assert_allclose(mirrored.gaze.head, seen.gaze.head * (1, -1), atol=0.04)
    np.testing.assert_allclose(mirrored.openness, seen.openness[::-1], atol=0.02)
    np.testing.assert_allclose(mirrored.head_angles_rad, np.array(seen.head_angles_rad) * (1, -1, -1), atol=0.03)
    np.testing.assert_allclose(mirrored.pose.translation_m, seen.pose.translation_m * (-1, 1, 1), atol=0.01)
    assert seen.head_angles_rad[2] > np.deg2rad(6)


@pytest.mark.parametrize("name", ["landmarks", "iris", "openvino"])
def test_every_estimator_gives_one_gaze_in_both_frames(name, landmarker, shared_data, monkeypatch):
    if name == "openvino":
        pytest.importorskip("openvino")
        monkeypatch.setenv("GAZEWORKS_ASSETS", str(shared_data / "weights" / "openvino"))
    image = rendered_face(5)
    reading = only(GazeReader(name, landmarker).photograph(image, camera_of(image)))
    np.testing.assert_allclose(camera_gaze(reading.gaze.head, reading.pose.rotation), reading.gaze.camera, atol=1e-6)
    assert abs(reading.gaze.head - reading.gaze.camera).max() > 0.02  # the head is turned
    assert (reading.gaze.sigma_rad is not None) == (name == "landmarks")


def test_a_checkpoint_of_drives_reads_in_the_camera_s_frame(landmarker, tmp_path):
    from gaze_core.driver.checkpoints import load_estimator, save_estimator
    from gaze_core.driver.gaze_estimator import face_estimate
    from gaze_core.driver.shipped_files import BASE_FILE, shipped

    # A network that always says "into the lens", in its own view of the face.
    model, card = load_estimator(shipped(BASE_FILE))
    last = [part for part in model.modules() if isinstance(part, torch.nn.Linear)][-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    save_estimator(tmp_path / "lens.safetensors", model, card)
    reader = GazeReader(face_estimate(tmp_path / "lens.safetensors"), landmarker)
    picture = np.full((512, 1400, 3), 255, np.uint8)
    picture[:, 888:] = rendered_face(5)  # far from the middle of the picture
    seen = only(reader.photograph(picture, camera_of(picture)))
    to_lens = -seen.pose.translation_m / np.linalg.norm(seen.pose.translation_m)
    pitch, yaw = seen.gaze.camera
    vector = vector_from_pitchyaw(torch.tensor([pitch, yaw])).numpy()
    assert np.degrees(np.arccos(vector @ to_lens)) < 4  # the pose's origin is not the view's centre
    assert abs(np.degrees(yaw)) > 12
    np.testing.assert_allclose(camera_gaze(seen.gaze.head, seen.pose.rotation), seen.gaze.camera, atol=1e-6)
    assert seen.gaze.sigma_rad is None


def test_everybody_in_a_picture_is_read_the_largest_first(reader):
    picture = side_by_side(rendered_face(0, 300), rendered_face(1, 560))
    large, small = reader.photograph(picture, camera_of(picture))
    assert (large.face, small.face) == (0, 1)
    assert large.points_px[:, 0].min() > 300 > small.points_px[:, 0].max()
    assert small.pose.translation_m[2] > 1.4 * large.pose.translation_m[2]


def test_a_picture_without_a_face_has_none(reader):
    assert reader.photograph(np.full((300, 400, 3), 128, np.uint8), Camera.of_focal((400, 300))) == []


def test_a_longer_focal_length_puts_the_head_farther_away(reader):
    image = rendered_face(0)
    near, far = (only(reader.photograph(image, camera_of(image, focal_px))) for focal_px in (700, 1400))
    assert far.pose.translation_m[2] / near.pose.translation_m[2] == pytest.approx(2, rel=0.05)


def test_distortion_is_taken_out(reader):
    """The same face through a lens that bends the picture, read with the lens's coefficients."""
    picture = side_by_side(np.full((600, 500, 3), 255, np.uint8), rendered_face(0, 500))
    K, bent = camera_of(picture).intrinsics_px, np.array([-0.25, 0.05, 0, 0, 0])
    grid = np.stack(np.meshgrid(np.arange(1000.0), np.arange(600.0)), axis=-1).reshape(-1, 1, 2)
    source = cv2.undistortPoints(grid, K, bent, P=K).reshape(600, 1000, 2).astype(np.float32)
    distorted = cv2.remap(picture, source, None, cv2.INTER_LINEAR, borderValue=(255, 255, 255))
    truth = only(reader.photograph(picture, Camera(K)))
    known, ignored = (only(reader.photograph(distorted, Camera(K, d))) for d in (bent, None))
    off_m = [np.linalg.norm(one.pose.translation_m - truth.pose.translation_m) for one in (known, ignored)]
    assert off_m[0] < 0.3 * off_m[1]
    assert np.abs(np.subtract(known.gaze.camera, truth.gaze.camera)).max() < 0.05


def test_a_small_picture_is_read_in_its_own_pixels(reader):
    large, small = rendered_face(0, 512), rendered_face(0, 256)
    points = [only(reader.photograph(image, camera_of(image))).points_px for image in (large, small)]
    np.testing.assert_allclose(points[0] / 2, points[1], atol=1.5)


def test_a_followed_face_is_read_as_a_single_one_and_workers_change_nothing(landmarker):
    images = [np.roll(rendered_face(0), 2 * k, axis=1) for k in range(DETECT_EVERY + 3)]
    by_workers = []
    for workers in (1, 2):
        reader = GazeReader("landmarks", landmarker, workers)
        assert reader.learn_person(images[:1], camera_of(images[0]))
        by_workers.append([only(reader.next(image, camera_of(image))) for image in images])
    for one, two in zip(*by_workers, strict=True):
        np.testing.assert_array_equal(one.points_px, two.points_px)
        np.testing.assert_array_equal(one.gaze.camera, two.gaze.camera)
    alone = only(reader.photograph(images[-1], camera_of(images[-1])))
    np.testing.assert_allclose(by_workers[0][-1].points_px, alone.points_px, atol=2)
    np.testing.assert_allclose(by_workers[0][-1].gaze.camera, alone.gaze.camera, atol=0.05)


def test_a_face_keeps_its_number_while_another_leaves_and_comes_back(landmarker):
    blank = np.full((560, 560, 3), 255, np.uint8)
    both = side_by_side(rendered_face(0, 560), rendered_face(1, 400))
    one_left = side_by_side(blank, rendered_face(1, 400))
    reader = GazeReader("landmarks", landmarker)

    def faces(image):
        return {reading.face: reading.points_px[:, 0].mean() > 560 for reading in reader.next(image, camera_of(image))}

    assert faces(both) == {0: False, 1: True}  # the large face on the left, the small one on the right
    assert faces(one_left) == {1: True}
    for _ in range(DETECT_EVERY):
        found = faces(both)
    assert found == {0: False, 1: True}
    assert faces(side_by_side(blank, blank)) == {}


def test_two_people_are_not_taken_for_one_head(reader):
    picture = side_by_side(rendered_face(0, 400), rendered_face(1, 500))
    assert not reader.learn_person([picture], camera_of(picture))
    assert not reader.learn_person([np.zeros((200, 200, 3), np.uint8)], Camera.of_focal((200, 200)))


def test_the_head_of_a_person_is_fitted_to_no_more_than_64_images(landmarker):
    finder = FaceLandmarker(landmarker)
    image = rendered_face(0)
    (face,) = finder.faces(image)
    fit = PersonFit(finder.average, camera_of(image).intrinsics_px)
    fit.add(face)
    first = fit.head
    assert fit.head is first
    for _ in range(1000):
        fit.add(face)
    assert len(fit._faces) == 64
    np.testing.assert_allclose(fit.head.points_m, first.points_m, atol=1e-6)
