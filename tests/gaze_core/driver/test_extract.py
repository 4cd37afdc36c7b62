"""The extract stage on a tiny drive with a real face."""

import json
import logging

import cv2
import numpy as np
import pytest

from gaze_core.config import Runtime
from gaze_core.data.blocks import BlockConfig
from gaze_core.data.validation import validate_file
from gaze_core.driver.calibration import angles, directions
from gaze_core.driver.legacy import write_legacy
from gaze_core.driver.predictions import Drive, read_drive_splits
from gaze_core.driver.record import DriveRecord
from gaze_core.driver.tiles import TileLayout
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.sampling import evenly_spaced
from gaze_core.stages.context import StageContext
from gaze_core.stages.driver import extract
from tests.gaze_core.driver.conftest import CONFIG
from tests.gaze_core.driver.tiny_drive import NUM_FRAMES, write_tiny_drive
from tests.numbered_video import frame_number


def read_jpeg(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def test_evenly_spaced_frames_with_their_labels_and_images(extracted, tiny_drive):
    record = DriveRecord.read(extracted)
    wanted = [n for n in evenly_spaced(NUM_FRAMES, 40) if n not in (3, 41)]
    assert [frame.frame for frame in record.frames] == wanted
    assert record.dropped == {"no_face": 2}
    assert record.requested == 40
    for position, frame in enumerate(record.frames):
        assert frame.azimuth_deg == pytest.approx(tiny_drive.azimuth_deg[frame.frame])
        assert frame.elevation_deg == pytest.approx(tiny_drive.elevation_deg[frame.frame])
        assert frame.num_rows == 3
        assert frame_number(read_jpeg(record.image(extracted, position, "road"))) == frame.frame
        assert read_jpeg(record.image(extracted, position, "driver")).shape == (144, 176, 3)
    assert validate_file(extracted / "subject.h5") == []
    splits = read_drive_splits(extracted)
    assert len(splits.train) > 15
    assert min(splits.train) < min(splits.validation) < min(splits.test) < max(splits.train)


def test_labels_come_back_from_the_crops_frame(extracted):
    drive = Drive.open(extracted)
    everything = range(len(drive.record.frames))
    stored = np.asarray(drive.dataset.labels["gaze_camera"], dtype=float)
    np.testing.assert_allclose(drive.in_label_frame(stored, everything), drive.record.tracker, atol=1e-6)


def test_a_gaze_of_the_glasses_turns_with_the_head(tiny_drive, driver_faces, extract_into, tmp_path):
    # The table's gaze is whatever the irises show in the head frame, seen from glasses that sit 8 degrees askew.
    config = CONFIG.model_copy(update={"num_frames": 36})
    plain, _ = extract_into(tmp_path / "plain", config, video=write_tiny_drive(tmp_path / "d", driver_faces).video)
    gaze_head = np.asarray(Drive.open(plain).dataset.labels["gaze_head"], dtype=float)
    askew = np.deg2rad(8.0)
    turn = np.array([[np.cos(askew), 0, np.sin(askew)], [0, 1, 0], [-np.sin(askew), 0, np.cos(askew)]])
    tracker = np.rad2deg(angles(directions(gaze_head) @ turn))
    frames = [frame.frame for frame in DriveRecord.read(plain).frames]
    lines = ["frame,azimuth [deg],elevation [deg]"]
    lines += [f"{n},{az},{el}" for n, (el, az) in zip(frames, tracker, strict=True)]
    table = tmp_path / "gaze.csv"
    table.write_text("\n".join(lines))
    folder, produced = extract_into(tmp_path / "scene", config, video=tmp_path / "d" / "drive.mp4", sensors=table)
    drive = Drive.open(folder)
    assert drive.record.mount.yaw_deg == pytest.approx(8.0, abs=0.5)
    assert drive.record.mount.pitch_deg == pytest.approx(0.0, abs=0.5)
    assert drive.record.mount.residual_median_deg < 0.5
    labels = np.asarray(drive.dataset.labels["gaze_head"], dtype=float)
    assert np.abs(np.rad2deg(labels - gaze_head)).max() < 1.0
    back = drive.in_label_frame(np.asarray(drive.dataset.labels["gaze_camera"], dtype=float), range(len(frames)))
    np.testing.assert_allclose(back, drive.record.tracker, atol=1e-6)
    assert produced.metrics["mount_residual_median_deg"] < 0.5
    assert "sign of azimuth not verified (no pixel columns)" in produced.notes[0]


def test_a_drive_without_a_table_has_only_test_frames(tiny_drive, extract_into, tmp_path):
    folder, produced = extract_into(tmp_path, video=tiny_drive.video)
    record = DriveRecord.read(folder)
    assert not record.labelled
    assert record.frames[0].azimuth_deg is None
    assert list(produced.subjects) == ["test"]
    with pytest.raises(ContractViolation, match="has no gaze labels"):
        _ = record.tracker


def test_the_road_can_be_a_file_of_its_own(tiny_drive, extract_into, tmp_path):
    whole = TileLayout(driver=(0, 0, 176, 144))
    config = CONFIG.model_copy(update={"layout": whole, "num_frames": 8})
    folder, _ = extract_into(tmp_path, config, video=tiny_drive.video, road=tiny_drive.video)
    record = DriveRecord.read(folder)
    assert record.has_road
    road = read_jpeg(record.image(folder, 5, "road"))
    assert frame_number(road[:, 176:]) == record.frames[5].frame


def test_a_road_of_another_length_is_refused(tiny_drive, extract_into, tmp_path, driver_faces):
    from gaze_core.driver.drive_files import write_video
    from gaze_core.driver.drive_images import panel_tile

    write_video(tmp_path / "short.mp4", (panel_tile(n, "") for n in range(30)), 15)
    with pytest.raises(BadInput, match=r"short.mp4 has 30 frames, drive.mp4 has 60; expected the same number"):
        extract_into(tmp_path, video=tiny_drive.video, road=tmp_path / "short.mp4")


def test_frames_without_a_label_are_counted_by_reason(tiny_drive, extract_into, tmp_path):
    lines = tiny_drive.table.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("0,", "2,", "999,"))]
    worn_off = [line.replace(",1,", ",0,", 1) if line.startswith("4,") else line for line in kept]
    table = tmp_path / "gaze.csv"
    table.write_text("\n".join([*worn_off, "999,500,500,1,1,1,,"]))
    config = CONFIG.model_copy(update={"gaze_frame": "camera", "num_frames": 60})
    folder, produced = extract_into(tmp_path, config, video=tiny_drive.video, sensors=table)
    assert produced.dropped == {"no_face": 2, "no_row": 2, "not_worn": 1}
    assert len(DriveRecord.read(folder).frames) == 55
    assert any("1 frames of the table lie beyond the end of the video" in note for note in produced.notes)


def test_a_table_of_another_drive_is_refused(tiny_drive, extract_into, tmp_path):
    table = tmp_path / "gaze.csv"
    table.write_text("frame,azimuth,elevation\n" + "\n".join(f"{n},1,2" for n in range(1000, 1100)))
    with pytest.raises(BadInput, match=r"none of 24 frames of drive.mp4 has a gaze.*run from 1000 to 1099.*has 60"):
        extract_into(tmp_path, video=tiny_drive.video, sensors=table)


def test_a_flipped_sign_is_corrected_with_a_warning(tiny_drive, extract_into, tmp_path, caplog):
    lines = tiny_drive.table.read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    turned = [",".join([*row[:4], row[4], str(-float(row[5])), *row[6:]]) for row in rows]
    table = tmp_path / "gaze.csv"
    table.write_text("\n".join([lines[0], *turned]))
    config = CONFIG.model_copy(update={"gaze_frame": "camera"})
    with caplog.at_level(logging.WARNING):
        folder, _ = extract_into(tmp_path, config, video=tiny_drive.video, sensors=table)
    record = DriveRecord.read(folder)
    assert record.frames[0].elevation_deg == pytest.approx(tiny_drive.elevation_deg[record.frames[0].frame])
    assert "elevation > 0 should be up" in record.warnings[0]
    assert "elevation > 0 should be up" in caplog.text


def test_a_tile_without_a_face_is_refused(tiny_drive, extract_into, tmp_path):
    config = CONFIG.model_copy(update={"layout": TileLayout(driver=(176, 0, 320, 352))})
    with pytest.raises(BadInput, match=r"none of 24 frames shows the driver's face \(no_face: 24\); check the layout"):
        extract_into(tmp_path, config, video=tiny_drive.video, sensors=tiny_drive.table)


def test_a_drive_too_short_for_its_blocks_is_refused(tiny_drive, extract_into, tmp_path):
    config = CONFIG.model_copy(update={"blocks": BlockConfig()})
    with pytest.raises(BadInput, match="stretches of 0.2 s hold three gaps of 1 s"):
        extract_into(tmp_path, config, video=tiny_drive.video, sensors=tiny_drive.table)


class Stop(BaseException):
    """As a kill would."""


def test_after_an_interruption_it_does_not_decode_again(tiny_drive, extract_into, tmp_path, monkeypatch):
    steps = []

    def progress(step, num_steps, loss):
        steps.append((step, num_steps))
        if step > NUM_FRAMES + 200:
            raise Stop

    config = CONFIG.model_copy(update={"gaze_frame": "camera"})
    files = {"video": tiny_drive.video, "sensors": tiny_drive.table}
    runtime = Runtime(device="cpu", progress=False)
    with pytest.raises(Stop):
        extract_into(tmp_path, config, StageContext(runtime, tmp_path / "work", progress=progress), **files)
    assert not (tmp_path / "work" / "drive" / "subject.h5").exists()

    def refuse(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(extract, "read_video", refuse)
    folder, _ = extract_into(tmp_path, config, **files)
    assert len(DriveRecord.read(folder).frames) == len(set(evenly_spaced(NUM_FRAMES, 24)) - {3, 41})
    assert not list(folder.rglob("*.partial"))
    assert steps == sorted(steps)


def test_the_files_of_earlier_scripts(extracted, tmp_path):
    assert write_legacy(extracted, tmp_path / "legacy") == 38
    record = DriveRecord.read(extracted)
    names = {path.name for path in (tmp_path / "legacy").iterdir()}
    assert names == {
        f"frame_{f.frame:05d}_{what}" for f in record.frames for what in ("driver.jpg", "road.jpg", "gt.json")
    }
    frame = record.frames[7]
    truth = json.loads((tmp_path / "legacy" / f"frame_{frame.frame:05d}_gt.json").read_text())
    assert (truth["azimuth_deg"], truth["elevation_deg"]) == (frame.azimuth_deg, frame.elevation_deg)


def test_a_folder_that_is_no_drive_is_refused(tmp_path):
    with pytest.raises(ContractViolation, match="no extracted drive"):
        DriveRecord.read(tmp_path)
