"""Photographs with known cameras and gaze targets; the images are frames of a stock video, the targets made up."""

import json
from functools import partial
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from gaze_core.config import Runtime
from gaze_core.data.adapters.raw import RawFrame, mpii_face_gaze_frames
from gaze_core.errors import BadInput
from gaze_core.geometry.normalization import NORMALIZATIONS
from gaze_core.preprocess.head_pose import intrinsics_of
from gaze_core.preprocess.iris_gaze import angles_of
from gaze_core.preprocess.raw import RawConfig, preprocess_raw
from gaze_core.preprocess.raw_subjects import MANIFEST, preprocess_subjects

TARGET_M = np.array([0.1, -0.05, 0.02])  # near the camera
CONFIG = RawConfig(num_person_frames=2)


@pytest.fixture(scope="module")
def images(video_frames):
    return video_frames("portrait_pexels.mp4", (0, 60))


def frame_of(path: Path, image: np.ndarray, index: int = 0, **changes) -> RawFrame:
    cv2.imwrite(str(path), image)
    values = {
        "image_path": path, "intrinsics_px": intrinsics_of((image.shape[1], image.shape[0]), 1.2),
        "distortion": np.zeros(5), "gaze_target_camera_m": TARGET_M, "landmarks_2d_px": None, "head_to_camera": None,
        "rotated_180": False, "frame_index": index, "camera_index": 3, "subject": "p00",
    }  # fmt: skip
    return RawFrame(**(values | changes))


@pytest.fixture
def frames(images, tmp_path):
    return [frame_of(tmp_path / f"{n}.png", image, n) for n, image in enumerate(images)]


def read(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path, "r") as file:
        return {name: np.asarray(file[name]) for name in ("gaze_camera", "gaze_head", "gaze_head_eyes", "world_to_camera",
                "head_to_world", "eye_centers_head_m", "image", "camera_index", "landmarks_2d_px")}  # fmt: skip


def test_labels_point_at_the_target(frames, landmarker, tmp_path):
    summary = preprocess_raw(frames, tmp_path / "out.h5", CONFIG, "test", landmarker)
    assert (summary.num_read, summary.num_kept, summary.dropped) == (2, 2, {})
    values = read(tmp_path / "out.h5")
    assert values["camera_index"].tolist() == [3, 3]
    for k in range(2):
        head_to_camera, rotation = values["head_to_world"][k], values["world_to_camera"][k][:3, :3]
        centers = values["eye_centers_head_m"][k] @ head_to_camera[:3, :3].T + head_to_camera[:3, 3]
        toward = (TARGET_M - centers) / np.linalg.norm(TARGET_M - centers, axis=1, keepdims=True)
        np.testing.assert_allclose(values["gaze_head_eyes"][k], angles_of(toward @ head_to_camera[:3, :3]), atol=1e-5)
        mean = toward.sum(axis=0) / np.linalg.norm(toward.sum(axis=0))
        np.testing.assert_allclose(values["gaze_camera"][k], angles_of(rotation @ mean), atol=2e-3)


def test_an_estimate_never_passes_for_a_label(frames, video_frames, landmarker, tmp_path):
    """A target that was not measured leaves the photograph without a gaze label, even if its irises are visible."""
    (eyes_open,) = video_frames("portrait_pexels.mp4", (200,))
    unlabelled = frame_of(tmp_path / "open.png", eyes_open, 7, gaze_target_camera_m=None)
    assert preprocess_raw([frames[0], unlabelled], tmp_path / "out.h5", CONFIG, "test", landmarker).num_kept == 2
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["valid/gaze"][:].tolist() == [True, False]
        assert file["valid/left_eye"][1]
        assert not any(file[name][1].any() for name in ("gaze_camera", "gaze_head", "gaze_head_eyes"))


def test_two_virtual_cameras_undone_agree_on_gaze_and_head(frames, landmarker, tmp_path):
    """What the crop's labels say of the real camera's frame does not depend on the crop."""
    found = []
    for name in ("portrait_128", "eth_xgaze_224", "mpii_face_gaze_224"):
        config = CONFIG.model_copy(update={"normalization": NORMALIZATIONS[name]})
        preprocess_raw(frames, tmp_path / f"{name}.h5", config, "test", landmarker)
        values = read(tmp_path / f"{name}.h5")
        pitch, yaw = values["gaze_camera"].astype(np.float64).T
        gaze = np.stack([-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)], axis=-1)
        undone = np.einsum("nij,ni->nj", values["world_to_camera"][:, :3, :3], gaze)
        found.append((undone, values["head_to_world"]))
    for gaze, head in found[1:]:
        assert np.abs(gaze - found[0][0]).max() < 1e-4
        assert np.abs(head - found[0][1]).max() < 1e-4


def test_published_labels_start_at_the_centre_of_the_face(frames, landmarker, tmp_path):
    pitches = []
    for origin in ("eyes", "face_center"):
        config = CONFIG.model_copy(update={"normalization": NORMALIZATIONS["eth_xgaze_224"], "gaze_origin": origin})
        preprocess_raw(frames[:1], tmp_path / "out.h5", config, "test", landmarker)
        pitches.append(read(tmp_path / "out.h5")["gaze_camera"][0, 0])
    assert pitches[1] > pitches[0]  # from lower in the face the same target is higher


def test_unusable_photographs_are_skipped_alone(frames, images, landmarker, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes((tmp_path / "0.png").read_bytes()[:2000])
    empty = frame_of(tmp_path / "wall.png", np.full_like(images[0], 90), 7)
    values = vars(frames[0])
    bad = [RawFrame(**(values | {"image_path": broken})), RawFrame(**(values | {"image_path": tmp_path / "gone.png"}))]
    summary = preprocess_raw([*frames, *bad, empty], tmp_path / "out.h5", CONFIG, "test", landmarker)
    assert summary.num_kept == 2
    assert summary.dropped == {"unreadable_image": 1, "missing_image": 1, "no_face": 1}
    with h5py.File(tmp_path / "out.h5") as file:
        assert json.loads(file.attrs["dropped"]) == summary.dropped
        assert file.attrs["label_source"] == "target"


def test_a_camera_mounted_upside_down(frames, images, landmarker, tmp_path):
    turned = frame_of(tmp_path / "turned.png", cv2.rotate(images[0], cv2.ROTATE_180), rotated_180=True)
    for name, frame in (("plain", frames[0]), ("turned", turned)):
        preprocess_raw([frame], tmp_path / f"{name}.h5", CONFIG, "test", landmarker)
    assert np.array_equal(read(tmp_path / "plain.h5")["image"], read(tmp_path / "turned.h5")["image"])


def test_distortion_is_taken_out(images, landmarker, tmp_path):
    """An image bent by a known lens gives the crop of the straight one."""
    K = intrinsics_of((images[0].shape[1], images[0].shape[0]), 1.2)
    lens = np.array([-0.25, 0.1, 0, 0, 0])
    ys, xs = np.mgrid[: images[0].shape[0], : images[0].shape[1]].astype(np.float32)
    straight = cv2.undistortPoints(np.stack([xs, ys], -1).reshape(-1, 1, 2), K, lens, P=K).reshape(*xs.shape, 2)
    bent = cv2.remap(images[0], straight[..., 0], straight[..., 1], cv2.INTER_LINEAR)
    errors = {}
    reference = frame_of(tmp_path / "straight.png", images[0])
    preprocess_raw([reference], tmp_path / "straight.h5", CONFIG, "test", landmarker)
    expected = read(tmp_path / "straight.h5")["landmarks_2d_px"]
    for name, distortion in (("known", lens), ("ignored", np.zeros(5))):
        frame = frame_of(tmp_path / "bent.png", bent, distortion=distortion)
        preprocess_raw([frame], tmp_path / "bent.h5", CONFIG, "test", landmarker)
        errors[name] = np.abs(
            read(tmp_path / "bent.h5")["head_to_world"] - read(tmp_path / "straight.h5")["head_to_world"]
        )
    assert errors["known"].max() < 0.3 * errors["ignored"].max()
    assert expected.shape == (1, 68, 2)


def test_no_face_at_all_is_an_error(images, landmarker, tmp_path):
    wall = frame_of(tmp_path / "wall.png", np.full_like(images[0], 90))
    with pytest.raises(BadInput, match=r"no photograph of 1 shows one usable face \(no_face: 1\)"):
        preprocess_raw([wall], tmp_path / "out.h5", CONFIG, "test", landmarker)
    assert not list(tmp_path.glob("*out.h5*"))


def test_people_are_processed_once_and_one_failure_stops_no_other(frames, images, landmarker, tmp_path):
    wall = frame_of(tmp_path / "wall.png", np.full_like(images[0], 90))
    absent = partial(mpii_face_gaze_frames, tmp_path / "p02")
    subjects = {"p00": partial(list, frames), "p01": partial(list, [wall]), "p02": absent}
    out = tmp_path / "out"

    def run(config=CONFIG, num_workers=1):
        return preprocess_subjects(subjects, out, config, "test", Runtime(num_workers=num_workers), landmarker)[
            "subjects"
        ]

    first = run(num_workers=2)
    assert first["p00"]["num_kept"] == 2
    assert "no_face: 1" in first["p01"]["error"]
    assert "Camera.mat: no such file" in first["p02"]["error"]
    written = (out / "p00.h5").stat().st_mtime_ns
    assert run() == first
    assert (out / "p00.h5").stat().st_mtime_ns == written
    (out / "p00.h5").write_bytes(b"cut off")
    assert run()["p00"] == first["p00"]
    assert run(CONFIG.model_copy(update={"size_px": 64}))["p00"]["sha256"] != first["p00"]["sha256"]
    assert json.loads((out / MANIFEST).read_text())["made_by"]["source"] == "test"
