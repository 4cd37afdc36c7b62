"""EVE's official layout to chunked recordings: what is right arrives, what is wrong costs one line and no more."""

import h5py
import numpy as np
import pytest

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.estimation import conversion
from gaze_core.estimation.clips import clips
from gaze_core.estimation.conversion import ConvertConfig, convert
from gaze_core.estimation.recordings import Recording, read_index
from gaze_core.stages.context import StageContext
from gaze_core.stages.estimation import convert as stage
from tests.gaze_core.estimation.eve_files import gray, write_step
from tests.numbered_video import zero_packets

SMALL = ConvertConfig(face_px=16, eye_px=8)
NAME = "train01__step007__basler.h5"


@pytest.fixture
def eve(tmp_path):
    root = tmp_path / "eve"
    write_step(root)
    return root


def converted(root, tmp_path, config=SMALL):
    return convert(root, tmp_path / "out", config)


def set_group(root, name, data=None, validity=None, step="train01/step007_image_a"):
    with h5py.File(root / step / "basler.h5", "r+") as file:
        if data is not None:
            file[name]["data"][...] = data
        if validity is not None:
            file[name]["validity"][...] = validity


def test_pictures_labels_and_times_arrive(eve, tmp_path):
    index = converted(eve, tmp_path)
    assert index.problems == ()
    assert read_index(tmp_path / "out") == index
    recording = Recording(tmp_path / "out" / NAME)
    assert len(recording) == 20
    info = recording.info
    assert (info.participant, info.step, info.stimulus, info.split, info.rate_hz) == (
        "train01", "step007", "image", "train", 60,
    )  # fmt: skip
    numbers = np.arange(20)
    for name, above in (("face", 0), ("left_eye", 20), ("right_eye", 40)):
        levels = recording.images(name, slice(None)).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(levels, gray(numbers) + above, atol=1.5)
    assert recording.images("face", [0]).shape == (1, 16, 16, 3)
    np.testing.assert_allclose(recording.time_s, numbers / 60, atol=1e-8)
    np.testing.assert_allclose(recording["pog_px"][3], [550, 360])
    np.testing.assert_allclose(recording["pog_m"][3], [550 * 0.553 / 1920, 360 * 0.311 / 1080], rtol=1e-6)
    np.testing.assert_allclose(recording["origin_m"][3], [0.01, 0.03, 0.603], rtol=1e-6)
    np.testing.assert_allclose(recording["pupil_m"], 0.0035)
    np.testing.assert_allclose(info.screen.size_m, [0.553, 0.311])
    assert recording.valid.all()


def test_a_label_marked_as_invalid_is_none(eve, tmp_path):
    set_group(eve, "face_g_tobii", validity=np.arange(20) != 4)
    set_group(eve, "left_g_tobii", validity=np.arange(20) != 9)
    converted(eve, tmp_path)
    recording = Recording(tmp_path / "out" / NAME)
    assert np.flatnonzero(~recording.valid).tolist() == [4, 9]
    assert np.isnan(recording["gaze_rad"][4]).all()
    assert len(clips(recording, 4, 60, hop=4)) == 1 + 1 + 2  # frames 0-3, 5-8, 10-19


@pytest.mark.parametrize("scale", [1, 1e3, 1e6])
def test_times_in_any_unit(eve, tmp_path, scale):
    stamps = (1_600_000_000 + np.arange(20) / 60) * scale
    text = "".join(f"{stamp:.6f}\n" if scale == 1 else f"{round(stamp)}\n" for stamp in stamps)
    (eve / "train01/step007_image_a/basler.timestamps.txt").write_text(text)
    converted(eve, tmp_path)
    atol = 2e-3 if scale == 1e3 else 2e-6
    np.testing.assert_allclose(Recording(tmp_path / "out" / NAME).time_s, np.arange(20) / 60, atol=atol)


def test_frames_that_do_not_decode_cost_themselves(eve, tmp_path):
    zero_packets(eve / "train01/step007_image_a/basler_eyes.mp4", [19])  # others are predicted from it
    index = converted(eve, tmp_path)
    recording = Recording(tmp_path / "out" / NAME)
    lost = 20 - len(recording)
    assert index.problems == (f"train01/step007_image_a/basler: {lost} of 20 frames are not decodable and left out",)
    assert 1 <= lost <= 4
    numbers = recording["frame_index"]
    np.testing.assert_allclose(
        recording.images("left_eye", slice(None)).mean(axis=(1, 2, 3)), gray(numbers) + 20, atol=1.5
    )
    np.testing.assert_allclose(recording["pog_px"][:, 0], 400 + 50 * numbers)


def test_times_that_jump_forward_make_a_gap_and_backward_cost_frames(eve, tmp_path):
    stamps = np.arange(20) * 16_666_667
    stamps[10:] += 2_000_000_000
    stamps[15] = stamps[3]
    write_step(eve, times=stamps)
    index = converted(eve, tmp_path)
    assert index.problems == (
        "train01/step007_image_a/basler: times go back after frame 14; 1 frames left out",
        "train01/step007_image_a/basler: times jump at 1 places, by at most 2.02 s; no clip crosses them",
    )
    recording = Recording(tmp_path / "out" / NAME)
    assert len(recording) == 19
    assert [part.tolist() for part in clips(recording, 4, 60, hop=100)] == [
        [0, 1, 2, 3],
        [10, 11, 12, 13],
        [15, 16, 17, 18],
    ]


def break_labels(folder):
    (folder / "basler.h5").unlink()


def break_film(folder):
    path = folder / "basler_face.mp4"
    path.write_bytes(path.read_bytes()[:600])


def break_validity(folder):
    with h5py.File(folder / "basler.h5", "r+") as file:
        file["face_g_tobii/validity"][...] = False


def break_hdf5(folder):
    path = folder / "basler.h5"
    path.write_bytes(path.read_bytes()[:900])


def break_columns(undo):
    def change(folder):
        with h5py.File(folder / "basler.h5", "r+") as file:
            file["face_g_tobii/data"][...] = undo(file["face_g_tobii/data"][()])

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_labels, "no basler.h5; expected it beside the recording's other files; left out"),
        (break_film, "basler_face.mp4: not a readable video"),
        (break_validity, "none of 20 frames has a valid label; left out"),
        (break_hdf5, "not a readable HDF5 file, truncated or of another format"),
        (break_columns(lambda g: g[:, ::-1]), "pitch and yaw are swapped; expected [pitch, yaw] in radians"),
        (break_columns(lambda g: g * [1, -1]), "yaw is mirrored; expected [pitch, yaw] in radians"),
        (break_columns(np.rad2deg), "angles are in degrees; expected [pitch, yaw] in radians"),
    ],
)
def test_a_broken_recording_costs_one_line_and_the_others_are_kept(eve, tmp_path, damage, message):
    damage(write_step(eve, "val02", "step001_video_b"))
    index = converted(eve, tmp_path)
    assert [entry.file for entry in index.recordings] == [NAME]
    assert len(index.problems) == 1
    assert index.problems[0].startswith("val02/step001_video_b/basler: ")
    assert message in index.problems[0]
    assert "\n" not in index.problems[0]


def test_one_frame_is_kept_and_named(eve, tmp_path):
    write_step(eve, "val02", "step001_video_b", count=1)
    index = converted(eve, tmp_path)
    assert index.problems == ("val02/step001_video_b/basler: has one frame, too few for a clip",)
    assert [entry.num_frames for entry in index.recordings] == [20, 1]


def test_a_participant_without_the_camera_is_named(eve, tmp_path):
    write_step(eve, "train03", camera="webcam_c")
    index = converted(eve, tmp_path)
    assert index.problems == ("train03: no recording of camera basler; the participant is left out for it",)
    assert [entry.file for entry in index.recordings] == [NAME]


def test_test_people_have_no_labels_and_are_kept(eve, tmp_path):
    gone = dict.fromkeys(f"{patch}_{name}" for patch in ("face", "left", "right") for name in ("g_tobii", "PoG_tobii"))
    write_step(eve, "test01", "step001_image_c", groups=gone)
    index = converted(eve, tmp_path)
    assert index.problems == (
        "test01/step001_image_c/basler: no gaze labels, as in EVE's test people; kept without",
    )  # fmt: skip
    entry = index.of("test")[0]
    assert (entry.num_frames, entry.num_valid) == (20, 0)


def test_films_of_other_lengths_than_labels_use_what_all_have(eve, tmp_path):
    write_step(eve, "val02", "step001_video_b", count=12)
    short = eve / "val02/step001_video_b/basler.timestamps.txt"
    short.write_text("".join(short.read_text().splitlines(keepends=True)[:9]))
    index = converted(eve, tmp_path)
    assert (
        "differing numbers of frames (labels 12, times 9, basler_face.mp4 12, basler_eyes.mp4 12); uses 9"
        in (index.problems[0])
    )
    assert index.recordings[1].num_frames == 9


def test_a_second_run_reads_only_what_is_new(eve, tmp_path, monkeypatch):
    converted(eve, tmp_path)
    before = (tmp_path / "out" / NAME).stat().st_mtime_ns
    read = []
    monkeypatch.setattr(conversion, "_converted", counting(conversion._converted, read))
    write_step(eve, "val02", "step001_video_b")
    index = converted(eve, tmp_path)
    assert read == ["val02/step001_video_b/basler"]
    assert (tmp_path / "out" / NAME).stat().st_mtime_ns == before
    assert len(index.recordings) == 2
    write_step(eve, count=10)  # another file under the same name
    assert converted(eve, tmp_path).recordings[0].num_frames == 10
    converted(eve, tmp_path, SMALL.model_copy(update={"face_px": 24}))
    assert len(read) == 4
    (eve / "val02/step001_video_b/basler.h5").unlink()
    (eve / "val02/step001_video_b").rename(tmp_path / "elsewhere")
    assert len(converted(eve, tmp_path).recordings) == 1
    assert [path.name for path in (tmp_path / "out").glob("*.h5")] == [NAME]


def counting(function, calls):
    def called(source, *rest):
        calls.append(source.name)
        return function(source, *rest)

    return called


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(BadInput, match="no such folder; expected EVE"):
        convert(tmp_path / "nothing", tmp_path / "out", SMALL)
    (tmp_path / "photos").mkdir()
    with pytest.raises(BadInput, match=r"not a layout of EVE; expected \{train,val,test\}NN/stepNNN_\*/CAMERA.h5 or "):
        convert(tmp_path, tmp_path / "out", SMALL)
    write_step(tmp_path, camera="webcam_l")
    with pytest.raises(BadInput, match="no recording of basler"):
        convert(tmp_path, tmp_path / "out", SMALL)


def test_the_stage_publishes_recordings_and_their_people(eve, tmp_path):
    write_step(eve, "val02", "step001_video_b")
    (tmp_path / "input").mkdir()
    eve.rename(tmp_path / "input" / "eve")
    context = StageContext(Runtime(), tmp_path / "work")
    produced = stage.run(SMALL, {"recording": tmp_path / "input"}, context)
    assert set(produced.files) == {NAME, "val02__step001__basler.h5", "index.json"}
    assert produced.subjects == {"train": ("train01",), "validation": ("val02",)}
    assert produced.metrics["num_valid"] == 40
