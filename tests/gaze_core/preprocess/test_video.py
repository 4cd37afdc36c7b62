"""Real recordings to subject files; skipped where there are none."""

import json

import cv2
import numpy as np
import pytest

from gaze_core.data.schema import ATTRIBUTES, FIELDS
from gaze_core.data.subjects import SubjectDataset, open_subject
from gaze_core.errors import BadInput
from gaze_core.preprocess.iris_judge import predict_gaze
from gaze_core.preprocess.video import VideoConfig, preprocess_video

# She looks to image left, ahead, and to image right; nearly frontal all the time.
LOOKS = (148, 168, 184, 200, 216, 224, 232, 264, 280, 304, 352, 384)


def labels(path, *names):
    with open_subject(path) as file:
        return [np.asarray(file[name]) for name in names]


def test_video_becomes_a_usable_subject_file(shared_data, landmarker, tmp_path):
    out, ticks = tmp_path / "subject.h5", []
    config = VideoConfig(every_nth=15)
    summary = preprocess_video(
        shared_data / "carphone.mp4", out, config, landmarker, lambda done, total, _: ticks.append((done, total))
    )
    assert (summary.num_frames_read, summary.num_kept, summary.dropped) == (8, 8, {})
    assert ticks[-1] == (16, 16)
    with open_subject(out) as file:
        assert all(name in file.attrs for name in ATTRIBUTES)
        assert file.attrs["label_source"] == "landmarks"
        sigma_rad = np.asarray(file["gaze_sigma_rad"])
        assert sigma_rad.shape == (8,)
        assert ((sigma_rad > 0.02) & (sigma_rad < 0.5)).all()
        assert json.loads(file.attrs["normalization"])["focal_px"] == 264
        assert file["image"].chunks[0] == 1
        for name, field in FIELDS.items():
            assert file[name].shape == (8, *(128 if isinstance(s, str) else s for s in field.shape))
            assert file[name].dtype == np.dtype(field.dtype)
        assert list(file["frame_index"]) == list(range(0, 120, 15))
        mask = np.asarray(file["head_mask"]) > 0
    assert 0.2 < mask.mean() < 0.5
    batch = SubjectDataset(out).everything
    # Landmarks in metres, projected by the stored camera, lie on the landmarks in pixels.
    projected = batch.camera.seen_from(batch.head.head_to_world).project(batch.landmarks_3d_head_m)
    np.testing.assert_allclose(projected, batch.landmarks_2d_px, atol=1e-3)
    # The world's origin is the head's median place.
    np.testing.assert_allclose(batch.head.head_to_world[:, :3, 3].median(dim=0).values, 0, atol=0.005)
    # The eyes' midpoint is the head frame's origin and stands near the middle of the crop.
    np.testing.assert_allclose(batch.eye_centers_head_m.mean(dim=1), 0, atol=1e-6)
    assert (batch.eye_centers_head_m[:, 0, 0] > batch.eye_centers_head_m[:, 1, 0]).all()
    assert (batch.landmarks_2d_px[:, 36:48].mean(dim=1) - 64).abs().max() < 6


def test_the_same_recording_gives_the_same_file(video_frames, folder_of, landmarker, tmp_path):
    folder = folder_of(video_frames("carphone.mp4", (0, 10, 20)))
    first, second = tmp_path / "a.h5", tmp_path / "b.h5"
    for out in (first, second):
        preprocess_video(folder, out, VideoConfig(), landmarker)
    for a, b in zip(labels(first, *FIELDS), labels(second, *FIELDS), strict=True):
        np.testing.assert_array_equal(a, b)


def test_of_many_frames_the_rare_looks_are_kept(video_frames, folder_of, landmarker, tmp_path):
    images = video_frames("portrait_pexels.mp4", (184, 185, 186, 187, 188, 352))  # all but the last look ahead
    rare = images.pop()
    folder, out = folder_of([*images[:3], rare, *images[3:]]), tmp_path / "subject.h5"
    summary = preprocess_video(folder, out, VideoConfig(max_frames=2), landmarker)
    assert (summary.num_kept, summary.dropped) == (2, {"over_max_frames": 4})
    (frames,) = labels(out, "frame_index")
    assert 3 in frames
    assert preprocess_video(folder, out, VideoConfig(max_frames=6), landmarker).dropped == {}


def test_silhouettes_are_steadied_in_videos_and_left_alone_in_folders(video_frames, folder_of, landmarker, tmp_path):
    images = video_frames("portrait_pexels.mp4", tuple(range(447, 452)))  # her hair jumps
    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 24, images[0].shape[1::-1])
    for image in images:
        writer.write(image)
    writer.release()

    def masks(recording, name, **config):
        preprocess_video(recording, tmp_path / name, VideoConfig(smooth_frames=0, **config), landmarker)
        (found,) = labels(tmp_path / name, "head_mask")
        return found > 0

    steady, alone = masks(clip, "steady.h5"), masks(clip, "alone.h5", smooth_masks_frames=0)
    flicker = [np.count_nonzero((found[1:-1] != found[:-2]) & (found[:-2] == found[2:])) for found in (steady, alone)]
    assert flicker[0] < flicker[1] / 2
    folder = folder_of(images[:2])
    assert (masks(folder, "a.h5") == masks(folder, "b.h5", smooth_masks_frames=0)).all()


def test_frames_without_a_face_are_counted_and_left_out(video_frames, folder_of, landmarker, tmp_path):
    images = video_frames("carphone.mp4", (0, 10, 20))
    black = np.zeros_like(images[0])
    clip = [images[0], black, images[1], black, black, images[2]]
    summary = preprocess_video(folder_of(clip), tmp_path / "subject.h5", VideoConfig(), landmarker)
    assert (summary.num_frames_read, summary.num_kept, summary.dropped) == (6, 3, {"no_face": 3})
    with open_subject(tmp_path / "subject.h5") as file:
        assert list(file["frame_index"]) == [0, 2, 5]
        assert json.loads(file.attrs["dropped"]) == {"no_face": 3}


def test_two_people_and_truncated_faces_are_left_out(video_frames, folder_of, landmarker, tmp_path):
    (image,) = video_frames("portrait_pexels.mp4", (200,))
    person = image[:, 280:]
    two = np.concatenate([person, person], axis=1)
    one = np.concatenate([person, np.zeros_like(person)], axis=1)
    cut = np.concatenate([person[:, 90:], np.zeros_like(person), person[:, :90] * 0], axis=1)
    summary = preprocess_video(folder_of([one, two, cut]), tmp_path / "s.h5", VideoConfig(), landmarker)
    assert summary.dropped == {"several_faces": 1, "out_of_picture": 1}


def test_a_blurred_frame_among_sharp_ones_is_left_out(video_frames, folder_of, landmarker, tmp_path):
    images = video_frames("portrait_pexels.mp4", (196, 200, 204))
    images.append(cv2.GaussianBlur(images[0], None, 6))
    summary = preprocess_video(folder_of(images), tmp_path / "s.h5", VideoConfig(), landmarker)
    assert summary.dropped == {"blurred": 1}


def test_closed_eyes_stay_with_an_invalid_gaze(video_frames, folder_of, landmarker, tmp_path):
    folder = folder_of(video_frames("portrait_pexels.mp4", (60, 200)))  # closed, open
    preprocess_video(folder, tmp_path / "s.h5", VideoConfig(), landmarker)
    gaze, left, right = labels(tmp_path / "s.h5", "valid/gaze", "valid/left_eye", "valid/right_eye")
    assert gaze.tolist() == left.tolist() == right.tolist() == [False, True]


def test_extreme_poses_can_be_refused(video_frames, folder_of, landmarker, tmp_path):
    folder = folder_of(video_frames("portrait_pexels.mp4", (200, 430)))
    config = VideoConfig(max_yaw_deg=0.01)
    with pytest.raises(BadInput, match="pose_out_of_range: 2"):
        preprocess_video(folder, tmp_path / "s.h5", config, landmarker)


def test_mirroring_negates_yaw_only(video_frames, folder_of, landmarker, tmp_path):
    images = video_frames("portrait_pexels.mp4", LOOKS)
    plain, mirrored = tmp_path / "plain.h5", tmp_path / "mirrored.h5"
    preprocess_video(folder_of(images, "plain"), plain, VideoConfig(), landmarker)
    preprocess_video(folder_of([i[:, ::-1] for i in images], "mirrored"), mirrored, VideoConfig(), landmarker)
    gaze, valid, head = labels(plain, "gaze_camera", "valid/gaze", "head_to_world")
    other, other_valid, other_head = labels(mirrored, "gaze_camera", "valid/gaze", "head_to_world")
    both = valid & other_valid
    assert both.sum() >= 10
    gaze, other = np.rad2deg(gaze[both]), np.rad2deg(other[both])
    assert np.ptp(gaze[:, 1]) > 40
    # The masks and the second crop are symmetric only up to rounding, the detector less so.
    assert np.abs(gaze[:, 1] + other[:, 1]).mean() < 3
    assert np.abs(gaze[:, 0] - other[:, 0]).mean() < 3
    flip = np.diag([-1.0, 1, 1])
    np.testing.assert_allclose(other_head[:, :3, :3], flip @ head[:, :3, :3] @ flip, atol=0.06)


def test_eyes_point_where_they_seem_to(video_frames, folder_of, landmarker, tmp_path):
    # Judged by eye on enlarged images: frames 168 and 184 toward image left, 224 and 232 toward image right.
    folder = folder_of(video_frames("portrait_pexels.mp4", LOOKS))
    preprocess_video(folder, tmp_path / "s.h5", VideoConfig(), landmarker)
    (gaze,) = labels(tmp_path / "s.h5", "gaze_head")
    yaw = dict(zip(LOOKS, np.rad2deg(gaze[:, 1]), strict=True))
    assert min(yaw[168], yaw[184]) > 15
    assert max(yaw[224], yaw[232]) < -10


def test_judge_predicts_crops_in_the_order_of_their_labels(video_frames, folder_of, landmarker, tmp_path):
    folder = folder_of(video_frames("portrait_pexels.mp4", LOOKS))
    preprocess_video(folder, tmp_path / "s.h5", VideoConfig(), landmarker)
    images, gaze, valid = labels(tmp_path / "s.h5", "image", "gaze_camera", "valid/gaze")
    predicted, found = predict_gaze(images, landmarker)
    both = valid & found
    assert both.sum() >= 9
    assert np.corrcoef(predicted[both, 1], gaze[both, 1])[0, 1] > 0.9
    nothing, found = predict_gaze(np.full((1, 128, 128, 3), 255, np.uint8), landmarker)
    assert not found.any()
    assert (nothing == 0).all()


def test_recording_without_a_face_leaves_no_file(folder_of, landmarker, tmp_path):
    out = tmp_path / "out" / "subject.h5"
    folder = folder_of([np.zeros((90, 120, 3), np.uint8)] * 2)
    with pytest.raises(BadInput, match=r"none of 2 frames shows one usable face \(no_face: 2\)"):
        preprocess_video(folder, out, VideoConfig(), landmarker)
    assert not out.exists()


def test_failure_in_the_second_pass_keeps_the_old_file(video_frames, folder_of, landmarker, tmp_path):
    folder = folder_of(video_frames("carphone.mp4", (0, 10)))
    out = tmp_path / "subject.h5"
    out.write_bytes(b"good")

    def spoil(done, total, _):
        if done == 2:
            (folder / "0001.png").write_bytes(b"broken")

    with pytest.raises(BadInput, match="frame 1 could be read once but not again"):
        preprocess_video(folder, out, VideoConfig(), landmarker, spoil)
    assert out.read_bytes() == b"good"
    assert not list(tmp_path.glob(".*.partial"))


def test_file_that_is_no_landmarker(shared_data, tmp_path):
    broken = tmp_path / "face_landmarker.task"
    broken.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="not a MediaPipe face landmarker"):
        preprocess_video(shared_data / "carphone.mp4", tmp_path / "s.h5", VideoConfig(), broken)


def test_a_face_of_a_few_pixels_is_left_out_with_a_reason(video_frames, folder_of, landmarker, tmp_path):
    images = [
        cv2.resize(image, None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA)
        for image in video_frames("carphone.mp4", (0,))
    ]
    canvas = [cv2.copyMakeBorder(image, 40, 40, 40, 40, cv2.BORDER_REPLICATE) for image in images]
    with pytest.raises(BadInput, match=r"face_too_small: 1\); landmarks of small faces are unreliable"):
        preprocess_video(folder_of(canvas), tmp_path / "s.h5", VideoConfig(), landmarker)
