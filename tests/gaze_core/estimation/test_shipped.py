"""The shipped recordings: in EVE's layout, small, readable without a renderer, with labels that agree with each other."""

import numpy as np
import pytest

from gaze_core.estimation.conversion import ConvertConfig, convert
from gaze_core.estimation.eve_reading import eve_sources
from gaze_core.estimation.packs import PACK, pack_path
from gaze_core.estimation.recordings import Recording
from gaze_core.estimation.screen import pixels, point_of_gaze


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Two people's, converted."""
    root, out = tmp_path_factory.mktemp("shipped"), tmp_path_factory.mktemp("converted")
    for name in ("val01", "test01"):
        (root / name).symlink_to(pack_path() / name)
    config = ConvertConfig(face_px=PACK.render.face_px, eye_px=PACK.render.eye_px)
    index = convert(root, out, config)
    assert index.problems == ()
    return [Recording(out / entry.file) for entry in index.recordings]


def test_five_people_in_three_splits_and_at_most_ten_megabytes():
    sources = eve_sources(pack_path(), ("basler",), [])
    assert len(sources) == 15
    assert {source.name.split("/")[0] for source in sources} == {"train01", "train02", "val01", "test01", "test02"}
    assert {task.stimulus for task in PACK.tasks()} == {"image", "video", "wikipedia"}
    assert {f"{task.participant}/{task.step}/{task.camera}" for task in PACK.tasks()} == {one.name for one in sources}
    assert sum(path.stat().st_size for path in pack_path().rglob("*") if path.is_file()) < 10e6


def test_gaze_leads_to_the_point_of_gaze_in_every_frame(recordings):
    for recording in recordings:
        point_m = point_of_gaze(
            recording["gaze_rad"], recording["rotation"], recording["origin_m"], recording.info.screen
        )
        off_px = np.abs(pixels(point_m, recording.info.screen) - recording["pog_px"])[recording.valid]
        assert off_px.max() < 0.5  # labels are stored in single precision
        assert recording.valid.mean() > 0.9


def test_irises_move_as_gaze_says(recordings):
    columns = np.arange(14, 50)
    for recording in (one for one in recordings if one.info.stimulus == "image"):
        frames = np.flatnonzero(recording.valid)[::3]
        assert 40 < recording.images("face", frames).mean() < 200
        for eye in ("left_eye", "right_eye"):
            band = recording.images(eye, frames)[:, 26:38, 14:50].mean(axis=(1, 3))
            dark = np.clip(np.median(band, axis=1, keepdims=True) - band, 0, None)
            place = (dark * columns).sum(axis=1) / dark.sum(axis=1)
            # yaw > 0 looks to image left
            assert np.corrcoef(place, recording["gaze_rad"][frames, 1])[0, 1] < -0.6


def test_frames_of_one_fixation_differ_but_agree_on_their_gaze(recordings):
    recording = next(one for one in recordings if one.info.stimulus == "image")
    kind, point = recording["kind"], recording["pog_px"]
    same = (kind[1:] == 1) & (np.abs(np.diff(point, axis=0)).max(axis=1) == 0)
    frames = np.flatnonzero(same)[:40]
    first, second = (recording.images("left_eye", frames + step).astype(float) for step in (0, 1))
    assert np.abs(first - second).mean() > 2
    assert np.abs(np.diff(recording["gaze_rad"], axis=0)[same]).max() < np.deg2rad(1.5)  # the crop's own turns
