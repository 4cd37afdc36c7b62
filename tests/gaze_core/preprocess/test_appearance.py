"""A covered mouth and a second person, on made-up numbers and on real recordings."""

import cv2
import numpy as np
import pytest

from gaze_core.preprocess.appearance import Appearance, covered_mouths, other_people
from gaze_core.preprocess.detections import detect
from gaze_core.preprocess.frames import Recording
from gaze_core.preprocess.landmarks import FaceLandmarker
from gaze_core.preprocess.video_config import VideoConfig


def face(angle_rad=0.0, chroma=(140.0, 150.0), lip_redness=(10.0, 10.0)):
    pattern = np.array([np.cos(angle_rad), np.sin(angle_rad)])
    return Appearance(pattern, np.array(chroma), np.array(lip_redness))


def test_one_person_may_change_step_by_step():
    turning = {10 * index: face(angle) for index, angle in enumerate(np.linspace(0, 3, 12))}
    assert other_people(turning) == set()
    assert other_people(dict(reversed(turning.items()))) == set()
    assert other_people({}) == set()


def test_a_second_person_is_detected_by_pattern_and_by_color():
    main = {index: face() for index in range(9)}
    for other in (face(1.2), face(0.3, chroma=(160.0, 180.0))):
        assert other_people(main | {index: other for index in range(20, 24)}) == {20, 21, 22, 23}
        assert other_people(main | {20: other, 21: other}) == set()  # too few to say


def test_groups_that_a_later_frame_joins_are_one_person():
    apart = {0: face(0.0), 1: face(1.2), 2: face(0.0), 3: face(1.2), 4: face(0.0), 5: face(1.2)}
    assert other_people(apart) == {1, 3, 5}
    assert other_people(apart | {6: face(0.6)}) == set()


def test_lips_that_lose_their_red_on_one_side_are_covered():
    faces = {index: face() for index in range(9)}
    faces |= {20: face(lip_redness=(0.0, 9.0)), 21: face(lip_redness=(9.0, 1.0)), 22: face(lip_redness=(6.0, 6.0))}
    assert covered_mouths(faces, 0.5) == {20, 21}
    assert covered_mouths(faces, 0) == set()
    gray = {index: face(lip_redness=(0.1 * (-1) ** index, 0.0)) for index in range(9)}
    assert covered_mouths(gray, 0.5) == covered_mouths({}, 0.5) == set()


@pytest.fixture(scope="module")
def seen(landmarker):
    """Frame numbers that are kept, and why the others are not."""

    def read(path, **config):
        recording = Recording(path, config.pop("every_nth", 1), config.pop("max_frames", None))
        found = detect(recording, FaceLandmarker(landmarker), VideoConfig(**config), lambda: None)
        return set(found.faces), dict(found.dropped)

    return read


def test_a_hand_before_the_mouth(shared_data, seen):
    """Judged by eye: her hand lies on her mouth from frame 58 to 166, and is away from 240 on."""
    kept, dropped = seen(shared_data / "portrait_pexels.mp4", every_nth=6, max_frames=60)
    assert dropped["mouth_covered"] >= 15
    assert not {number for number in kept if 60 <= number <= 158}
    assert set(range(240, 355, 6)) <= kept


def test_two_people_in_turn(shared_data, seen, tmp_path):
    clips = [shared_data / "talking" / name for name in ("grid/lbax4n.mpg", "May_5s.mp4", "grid/lbax4n.mpg")]
    if not all(clip.is_file() for clip in clips):
        pytest.skip(f"no {clips[0]}")
    paths = [tmp_path / "turns.mp4", tmp_path / "sparse.mp4"]
    writers = [
        cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (360, 288))
        for path, fps in zip(paths, (25, 3), strict=True)
    ]
    for clip, count in zip(clips, (10, 8, 6), strict=True):
        for _, image in Recording(clip, 1, count).frames():
            height, width = image.shape[:2]
            square = cv2.resize(image, (288 * width // height, 288))
            around = cv2.copyMakeBorder(square, 0, 0, 0, 360 - square.shape[1], cv2.BORDER_REPLICATE)
            for writer in writers:
                writer.write(cv2.cvtColor(around, cv2.COLOR_RGB2BGR))
    for writer in writers:
        writer.release()
    kept, dropped = seen(paths[0])
    assert dropped == {"other_person": 8}
    assert kept == {*range(10), *range(18, 24)}
    assert seen(paths[1])[1] == {}  # a third of a second apart: nothing is concluded


def test_a_face_that_is_too_small_is_left_out(video_frames, folder_of, seen):
    (image,) = video_frames("portrait_pexels.mp4", (280,))
    scale = 30 / 300  # the face is about 300 px high
    kept, dropped = seen(folder_of([cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)]))
    assert (kept, dropped) == (set(), {"face_too_small": 1})
