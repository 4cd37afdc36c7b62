"""The estimator and the drive that ship: small, made as their facts say, of different people, and of use to each other."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gaze_core.artifacts import file_sha256
from gaze_core.driver import packs
from gaze_core.driver.calibration import angles, directions
from gaze_core.driver.checkpoints import estimator_card, load_estimator, save_estimator
from gaze_core.driver.extraction import ExtractConfig
from gaze_core.driver.predictions import Drive
from gaze_core.driver.sensors import SensorColumns, read_track
from gaze_core.driver.shipped_files import BASE_FILE, FACTS_FILE, SETTINGS_FILE, TABLE_FILE, VIDEO_FILE, shipped
from gaze_core.driver.signs import check_signs
from gaze_core.driver.tiles import TileLayout, open_drive_video
from gaze_core.driver.view import DRIVER_FACE
from gaze_core.errors import BadInput
from gaze_core.models.estimation.face_estimator import FaceEstimator, FaceEstimatorConfig
from gaze_core.plans.requests.driver import DriverDemoRequest


def test_the_estimator_is_small_and_made_as_its_facts_say():
    facts, path = packs.base_facts(), shipped(BASE_FILE)
    assert path.stat().st_size <= 6e6
    assert facts["sha256"] == file_sha256(path)
    model, card = load_estimator(path)
    assert model.config.model_dump(mode="json") == facts["network"]
    assert {one.dtype for one in load_file(path).values()} == {torch.float16, torch.int64}  # int64 counts batches
    people = {role: len(card["trained_on"][role]) for role in ("train", "validation")}
    assert facts["people"] == people
    assert f"--count {sum(people.values())} " in facts["commands"][0]
    assert f"--backbone {facts['network']['backbone']} " in facts["commands"][1]
    assert facts["validation_gaze_error_deg"] == card["validation_gaze_error_deg"] < 15


def test_the_driver_is_none_of_the_estimator_s_people():
    seeds = {one.identity_seed for one in packs.PEOPLE}
    assert len(seeds) == len(packs.PEOPLE)
    assert packs.DRIVE.identity_seed not in seeds


def test_the_drive_is_small_and_its_table_belongs_to_its_video():
    assert sum(shipped(name).stat().st_size for name in (VIDEO_FILE, TABLE_FILE, SETTINGS_FILE)) <= 8e6
    settings = json.loads(shipped(SETTINGS_FILE).read_text())
    video = open_drive_video(shipped(VIDEO_FILE), TileLayout(**settings["layout"]))
    assert video.num_frames == packs.DRIVE.num_frames
    assert 60 <= video.num_frames / video.frames_per_s <= 90
    track = read_track(shipped(TABLE_FILE), SensorColumns())
    assert 0.9 < len(track.gaze) / video.num_frames <= 1
    assert max(track.gaze) < video.num_frames
    check = check_signs(track)
    assert (check.factors, check.warnings) == ((1.0, 1.0), ())
    assert len({gaze.scenario for gaze in track.gaze.values()}) == 10


def test_the_estimator_sees_where_the_driver_looks(extract_into, tmp_path):
    settings = json.loads(shipped(SETTINGS_FILE).read_text())
    folder, _ = extract_into(tmp_path, ExtractConfig(**settings, num_frames=16), video=shipped(VIDEO_FILE))
    drive = Drive.open(folder)
    model, card = load_estimator(shipped(BASE_FILE))
    drive.require_view_of(card["normalization"])
    items = range(len(drive.record.frames))
    turn = drive.camera_to_view @ drive.head_to_camera[:, :3, :3]
    in_head = angles((turn.transpose(0, 2, 1) @ directions(drive.predict(model, items))[..., None])[..., 0])
    gaze = read_track(shipped(TABLE_FILE), SensorColumns()).gaze
    labelled = [item for item in items if drive.record.frames[item].frame in gaze]
    true_deg = [gaze[drive.record.frames[item].frame].azimuth_deg for item in labelled]
    assert len(labelled) >= 12
    assert np.corrcoef(in_head[labelled, 1], true_deg)[0, 1] > 0.8


def test_the_demo_is_ready_to_run(shared_data, monkeypatch):
    monkeypatch.setenv("GAZEWORKS_ASSETS", str(shared_data))
    request = DriverDemoRequest()
    assert request.weights is None
    request.require_inputs()
    request.plan().require_ready({**request.inputs, "weights": shipped(BASE_FILE)})


@pytest.fixture
def pretrained(tmp_path, monkeypatch):
    """Weights as `driver pretrain` writes them, of two people."""
    monkeypatch.setattr(packs, "PEOPLE", packs.PEOPLE[:2])
    model = FaceEstimator(FaceEstimatorConfig(backbone="lcnet_035", image_px=32, hidden=8))
    names = [one.subject for one in packs.PEOPLE]
    card = estimator_card(model, "driver_pretrain", 3, None, DRIVER_FACE.model_dump(mode="json"),
                          {"train": names[:1], "validation": names[1:]})  # fmt: skip
    card |= {"validation_gaze_error_deg": 9.5, "config": {"fit": {"num_steps": 7}}}
    save_estimator(tmp_path / "w.safetensors", model, card)
    return tmp_path / "w.safetensors"


def test_weights_are_shipped_in_half_precision_with_the_commands_that_made_them(pretrained, tmp_path):
    packs.ship_base(pretrained, tmp_path / "out")
    facts = json.loads((tmp_path / "out" / FACTS_FILE).read_text())
    assert facts["people"] == {"train": 1, "validation": 1}
    assert facts["commands"][1] == (
        "gazeworks driver pretrain --people people --backbone lcnet_035 --image-px 32 --steps 7 --out base.safetensors"
    )
    before, after = (load_estimator(path)[0].state_dict() for path in (pretrained, tmp_path / "out" / BASE_FILE))
    assert after.keys() == before.keys()
    for name, tensor in after.items():
        torch.testing.assert_close(tensor, before[name], rtol=1e-3, atol=1e-6)


def test_weights_of_other_people_are_not_shipped(pretrained, tmp_path, monkeypatch):
    monkeypatch.setattr(packs, "PEOPLE", packs.PEOPLE[:1])
    with pytest.raises(BadInput, match=r"w.safetensors: of 1 \+ 1 people, expected the 1 of PEOPLE"):
        packs.ship_base(pretrained, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(BadInput, match="expected: base WEIGHTS, or: drive FOLDER"):
        packs.main(["weights", "x"])
