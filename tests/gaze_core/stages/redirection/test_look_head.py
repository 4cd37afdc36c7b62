"""A fitted head is rendered at the asked gaze and turn."""

import json

import numpy as np
import pytest
import torch

from gaze_core.config import Runtime
from gaze_core.data.subjects import SubjectDataset
from gaze_core.evaluation.renderings import gaze_in_camera
from gaze_core.preprocess.images import read_image
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import look_head
from gaze_core.stages.redirection.look_head import LookHeadConfig, looking
from tests.gaze_core.stages.redirection.tiny_run import train, write_dataset

WIDE = {"max_up_deg": 40, "max_down_deg": 40, "max_yaw_deg": 40}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_dataset(root)
    for stage in ("mesh_head", "gaze_gaussian"):
        train(stage, root, root / stage)
    (root / "photo").mkdir()
    (root / "photo" / "photo.png").write_bytes(b"only its name is read")
    return root


@pytest.fixture(scope="module")
def batch(root):
    return SubjectDataset(root / "data" / "subject.h5").batch([0, 1, 2])


def facing(batch, head):
    return -(batch.camera.world_to_camera @ head.head_to_world)[:, :3, 2]


def test_the_gaze_of_the_head_is_the_asked_one_in_the_camera_s_frame(batch):
    config = LookHeadConfig(gaze_deg=(4.0, -9.0), limits=WIDE)
    head, drawn = looking(batch, config)
    in_camera = torch.rad2deg(gaze_in_camera(batch, head.gaze_head_eyes.mean(dim=1)))
    assert in_camera.numpy() == pytest.approx(np.tile([4.0, -9.0], (3, 1)), abs=1e-3)
    assert drawn == (4.0, -9.0)
    assert torch.allclose(head.head_to_world, batch.head.head_to_world, atol=1e-6)


def test_a_turn_is_added_to_the_head_s_own_pose_and_the_gaze_stays(batch):
    config = LookHeadConfig(gaze_deg=(0.0, 0.0), head_deg=(0.0, 10.0), limits=WIDE)
    head, drawn = looking(batch, config)
    before, after = facing(batch, batch.head), facing(batch, head)

    def yaw_deg(vector):
        return torch.rad2deg(torch.atan2(-vector[:, 0], -vector[:, 2]))

    assert (yaw_deg(after) - yaw_deg(before)).numpy() == pytest.approx(10, abs=1e-3)
    assert after[:, 1].numpy() == pytest.approx(before[:, 1].numpy(), abs=1e-5)
    assert torch.allclose(head.head_to_world[:, :3, 3], batch.head.head_to_world[:, :3, 3], atol=1e-6)
    assert drawn == (0.0, 0.0)


def test_a_gaze_beyond_the_range_of_eyes_is_limited_in_the_head(batch):
    head, drawn = looking(batch, LookHeadConfig(gaze_deg=(0.0, 55.0)))
    assert np.rad2deg(head.gaze_head_eyes[..., 1].max()) == pytest.approx(25)
    assert drawn[1] < 54


def test_a_photo_becomes_a_picture_a_strip_and_a_record(root, tmp_path):
    inputs = {"data": root / "data", "checkpoint": root / "gaze_gaussian", "recording": root / "photo"}
    config = LookHeadConfig(gaze_deg=(0.0, 20.0), head_deg=(0.0, 30.0))
    produced = look_head.run(config, inputs, StageContext(Runtime(device="cpu"), tmp_path))
    assert set(produced.files) == {"look.png", "look_strip.png", "look.json"}
    strip, picture = read_image(tmp_path / "look_strip.png"), read_image(tmp_path / "look.png")
    assert (picture.shape, strip.shape) == ((96, 96, 3), (96, 288, 3))
    assert np.array_equal(strip[:, 192:], picture)
    assert not np.array_equal(strip[:, 96:192], picture)
    record = json.loads((tmp_path / "look.json").read_text())
    assert record["asked_deg"] == [0.0, 20.0]
    assert record["head_deg"] == [0.0, 30.0]
