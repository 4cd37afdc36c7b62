"""Driving signals: held out, other sound of any length, generated eyes, tables."""

from types import SimpleNamespace

import numpy as np
import pytest

from gaze_core.errors import BadInput, ContractViolation
from gaze_core.talker.behaviour import EyeBehaviour, generate_eyes
from gaze_core.talker.driving import RATE_HZ, driven, eye_contact, generate, held_out, ping_pong
from gaze_core.talker.driving_files import read_blink_table, read_gaze_table


def pose(yaw_rad, depth_m=0.6):
    """A head turned about y before the camera."""
    view = np.eye(4, dtype=np.float32)
    view[:3, :3] = [[np.cos(yaw_rad), 0, np.sin(yaw_rad)], [0, 1, 0], [-np.sin(yaw_rad), 0, np.cos(yaw_rad)]]
    view[2, 3] = depth_m
    return view


def subject(count=33, held=11):
    stream = np.random.default_rng(0)
    split = np.zeros(count, np.uint8)
    split[count - held :] = 1
    return SimpleNamespace(
        audio=stream.normal(size=(count, 3, 2)).astype(np.float32),
        viewmat=np.stack([pose(0.01 * k) for k in range(count)]),
        blink=np.zeros((count, 2), np.float32),
        brows=np.tile(np.arange(count, dtype=np.float32)[:, None], (1, 3)),
        gaze_head_rad=stream.normal(size=(count, 2)).astype(np.float32),
        valid=np.ones(count, bool),
        split=split,
        frame_id=np.arange(count),
        eye_centres_m=np.array([[0.03, 0, 0], [-0.03, 0, 0]]),
    )


def test_what_is_held_out_is_as_recorded_and_has_its_own_sound():
    one = subject()
    sound = np.arange(33 * 640, dtype=np.float32)
    found = held_out(one, sound)
    assert len(found) == 11
    np.testing.assert_array_equal(found.audio, one.audio[22:])
    np.testing.assert_array_equal(found.torso_frame, np.arange(22, 33))
    assert (found.sound[0], len(found.sound)) == (22 * 640, 11 * 640)
    one.split[:] = 0
    with pytest.raises(BadInput, match="no held-out frames"):
        held_out(one)


def test_a_frame_without_a_face_takes_the_pose_between_its_neighbours_and_shifts_nothing():
    one = subject()
    one.valid[25:27] = False
    one.viewmat[25:27] = np.nan
    found = held_out(one)
    assert len(found) == 11
    angles = np.arctan2(found.viewmat[:, 0, 2], found.viewmat[:, 0, 0])
    np.testing.assert_allclose(angles, 0.01 * np.arange(22, 33), atol=1e-5)
    assert found.torso_frame.tolist()[2:6] == [24, 24, 27, 27]
    np.testing.assert_array_equal(found.audio[3], one.audio[25])


@pytest.mark.parametrize(("count", "length", "start"), [(5, 23, 0), (5, 23, 3), (1, 4, 0), (9, 3, 8)])
def test_there_and_back_neither_jumps_nor_freezes(count, length, start):
    rows = ping_pong(count, length, start)
    assert len(rows) == length
    assert rows[0] == start
    assert rows.min() >= 0
    assert rows.max() < count
    if count > 1:
        assert set(np.abs(np.diff(rows))) == {1}


def test_other_sound_goes_on_beyond_the_recording_and_ends_with_itself():
    one = subject()
    long = driven(one, np.zeros((100, 3, 2), np.float32))
    assert len(long) == 100
    angles = np.arctan2(long.viewmat[:, 0, 2], long.viewmat[:, 0, 0])
    assert np.abs(np.diff(angles)).max() < 0.0101  # no larger step than the recording has
    assert set(np.abs(np.diff(long.torso_frame))) == {1}
    assert len(driven(one, np.zeros((4, 3, 2), np.float32))) == 4
    with pytest.raises(BadInput, match="take the extractor that the subject was prepared with"):
        driven(one, np.zeros((4, 3, 5), np.float32))


def test_stacks_hold_four_frames_before_and_three_after():
    found = held_out(subject())
    stacks = found.stacks()
    assert stacks.shape == (11, 8, 3, 2)
    np.testing.assert_array_equal(stacks[5], found.audio[1:9])
    assert not stacks[0, :4].any()
    np.testing.assert_array_equal(stacks[0, 4], found.audio[0])
    assert not stacks[10, 5:].any()


def test_parts_of_different_lengths_are_refused():
    found = held_out(subject())
    with pytest.raises(ContractViolation, match="one value for each frame"):
        found.with_eyes(np.zeros((3, 2)))


def test_eyes_that_seek_the_camera_turn_against_the_head():
    views = np.stack([pose(0.0), pose(0.3), pose(-0.3), pose(1.2)])
    gaze = eye_contact(views, np.array([[0.03, 0, 0], [-0.03, 0, 0]]))
    # A head turned by +0.3 about y faces away from image left, so its eyes turn back by as much.
    facing = -np.arctan2(views[:3, 0, 2], views[:3, 2, 2])
    np.testing.assert_allclose(gaze[:3, 1] + facing * -1, [0, 0, 0], atol=1e-5)
    assert abs(gaze[1, 1]) == pytest.approx(0.3, abs=1e-5)
    assert abs(np.rad2deg(gaze[3, 1])) == pytest.approx(35)
    away = eye_contact(views[:1], np.zeros((2, 3)), np.deg2rad([[5.0, -10.0]]))
    np.testing.assert_allclose(np.rad2deg(away), [[5, -10]], atol=1e-4)


def test_generated_eyes_have_natural_statistics():
    gaze, blink = generate_eyes(int(600 * RATE_HZ), RATE_HZ, seed=3)
    degrees = np.rad2deg(gaze)
    assert 4.5 < degrees[:, 1].std() < 7.5
    assert 2.2 < degrees[:, 0].std() < 3.8
    assert np.abs(degrees[:, 1]).max() <= 25
    assert np.abs(degrees[:, 0]).max() <= 15
    speed = np.linalg.norm(np.diff(degrees, axis=0), axis=1) * RATE_HZ
    assert np.median(speed) == 0  # most of the time the eyes rest
    moves = np.flatnonzero(np.diff((speed > 5).astype(int)) == 1)
    assert 0.3 < np.diff(moves).mean() / RATE_HZ < 1.6
    closed = blink[:, 0] > 0.5
    starts = np.flatnonzero(np.diff(closed.astype(int)) == 1)
    assert 3 <= 600 / len(starts) <= 5
    assert 0.03 < closed.mean() < 0.12
    again, _ = generate_eyes(200, RATE_HZ, seed=3)
    np.testing.assert_allclose(again, gaze[:200])
    assert not np.allclose(generate_eyes(200, RATE_HZ, seed=4)[0], again)


def test_a_short_film_begins_anywhere_between_two_blinks():
    firsts = []
    for seed in range(60):
        _, blink = generate_eyes(int(6 * RATE_HZ), RATE_HZ, seed)
        firsts.append(np.flatnonzero(blink[:, 0] > 0.5)[0] / RATE_HZ)
    assert 1.8 < np.mean(firsts) < 3.2
    assert np.mean(np.array(firsts) < 2) > 0.2


def test_lids_follow_the_eyes_down():
    never = EyeBehaviour(blink_every_s=(900, 901), pitch_sd_deg=8.0)
    gaze, blink = generate_eyes(2000, RATE_HZ, 0, never)
    down = np.rad2deg(gaze[:, 0])
    np.testing.assert_allclose(blink[:, 0], 0.2 * np.maximum(0, -down / 15), atol=1e-9)
    assert blink.max() > 0.1


def test_generated_eyes_keep_sound_and_pose():
    one = subject()
    made, recorded = generate(one, 1), held_out(one)
    np.testing.assert_array_equal(made.viewmat, recorded.viewmat)
    np.testing.assert_array_equal(made.audio, recorded.audio)
    assert not np.allclose(made.gaze_head_rad, recorded.gaze_head_rad)


def test_a_table_of_gazes_holds_from_its_frame_on(tmp_path):
    path = tmp_path / "gaze.csv"
    path.write_text("frame,pitch_deg,yaw_deg\n6,0,15\n2,10,0\n")
    assert np.rad2deg(read_gaze_table(path, 8)).round(4).tolist() == [[10, 0]] * 6 + [[0, 15]] * 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("frame,blink\n0,0\n3,1\n", [0, 0, 0, 1, 1]),
        ("frame, AU45_r\n0,0\n3,1\n4,5\n", [0, 0, 0, 0.5, 1]),
        ("frame,AU45_r\n0,2\n", [1] * 5),
    ],
)
def test_tables_of_lids(tmp_path, text, expected):
    path = tmp_path / "blink.csv"
    path.write_text(text)
    found = read_blink_table(path, 5)
    np.testing.assert_allclose(found, np.repeat(np.array(expected, float)[:, None], 2, axis=1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame,pitch,yaw\n0,1,2\n", "no column pitch_deg; expected frame, pitch_deg, yaw_deg"),
        ("frame,pitch_deg,yaw_deg\n0,1,2\n5,up,0\n", "line 3: expected numbers"),
        ("frame,pitch_deg,yaw_deg\n0,1,nan\n", "line 2: expected finite numbers"),
        ("frame,pitch_deg,yaw_deg\n0,1,90\n", "a gaze of 90 degrees; expected at most 60"),
        ("frame,pitch_deg,yaw_deg\n", "no rows"),
    ],
)
def test_a_table_of_gazes_that_cannot_be_meant(tmp_path, text, message):
    path = tmp_path / "gaze.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        read_gaze_table(path, 5)
    with pytest.raises(BadInput, match="no readable CSV"):
        read_gaze_table(tmp_path / "absent.csv", 5)


def test_lids_out_of_range_are_refused(tmp_path):
    path = tmp_path / "blink.csv"
    path.write_text("frame,blink\n0,3\n")
    with pytest.raises(BadInput, match="from 0 .open. to 1 .closed., found 3"):
        read_blink_table(path, 5)
