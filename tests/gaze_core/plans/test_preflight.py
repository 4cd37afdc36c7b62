"""Checks before the first stage: one BadInput for each kind of fault, within seconds, without running a stage."""

import json
from importlib import resources
from pathlib import Path

import pytest
import torch

from gaze_core import assets
from gaze_core.artifacts import file_sha256
from gaze_core.config import Config, Runtime
from gaze_core.driver.checkpoints import estimator_card, save_estimator
from gaze_core.driver.view import DRIVER_FACE
from gaze_core.errors import BadInput
from gaze_core.evaluation import judge
from gaze_core.models.estimation.face_estimator import FaceEstimator, FaceEstimatorConfig
from gaze_core.plans.driver import driver_plan
from gaze_core.plans.preflight import Plan, preflight
from gaze_core.plans.redirection import redirection_plan
from tests.gaze_core.driver.conftest import *  # noqa: F403 (fixtures)
from tests.gaze_core.driver.tiny_drive import LAYOUT
from tests.tiny_subject import write_tiny_subject

CPU = Runtime(device="cpu", progress=False)


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return write_tiny_subject(tmp_path_factory.mktemp("subject") / "subject.h5", num_images=2, size_px=128)


@pytest.fixture
def without_assets(monkeypatch):
    """No asset is available, and none can be downloaded."""
    monkeypatch.setenv("GAZEWORKS_ASSETS", "")
    monkeypatch.setattr(assets, "ASSETS", {n: at_no_address(a) for n, a in assets.ASSETS.items()})


def at_no_address(asset):
    return assets.Asset(asset.file, asset.sha256, (), asset.licence, asset.purpose, "no-such-package==1")


def refused(subject, out, *changes, source="synthetic", runtime=CPU):
    with pytest.raises(BadInput) as raised:
        preflight(redirection_plan("tiny", source, changes), {"recording": subject}, out, runtime)
    return str(raised.value)


def test_a_plan_that_can_be_run_passes(subject, tmp_path):
    preflight(redirection_plan("tiny"), {"recording": subject}, tmp_path / "out", CPU)
    preflight(redirection_plan("tiny", overrides=["baseline_renderer=null"]), {"recording": subject}, tmp_path, CPU)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("gaze_gaussian.model.renderer.num_heads=7", "token_width 96: expected a multiple of num_heads 7"),
        ("gaze_gaussian.model.renderer.token_width=98", "token_width 98: expected a multiple of num_heads 4, and of 4"),
        ("gaze_gaussian.model.renderer.patch_px=7", "raster_px 128 must be divisible by patch_px 7"),
        ("gaze_gaussian.model.raster_px=96", "image_px 128 must be raster_px 96 times a power of two"),
        ("baseline_renderer={\"num_heads\": 7}", "token_width 192: expected a multiple of num_heads 7"),
        ("gaze_gaussian.loss_weights.gaze_deg=0.1", "loss_weights.gaze_deg is 0.1, which needs a gaze estimator"),
        ("evaluate.protocol=moon", "no protocol named 'moon'; there are: synthetic"),
    ],
)  # fmt: skip
def test_incompatible_settings(subject, tmp_path, change, message):
    assert message in refused(subject, tmp_path, change)


def test_images_of_another_size_than_the_models(subject, tmp_path):
    text = refused(subject, tmp_path, "gaze_gaussian.model.image_px=256")
    assert f"{subject}: images of 128 px, the model is for 256 px" in text


def test_a_video_whose_crops_have_another_size_than_the_models(tmp_path, monkeypatch):
    monkeypatch.setattr("gaze_core.plans.redirection.resolve", lambda _: Path("landmarker"))
    text = refused(tmp_path / "v.mp4", tmp_path, "preprocess.video.size_px=64", source="video")
    assert "preprocess.video.size_px: images of 64 px, the model is for 128 px" in text


@pytest.mark.usefixtures("without_assets")
def test_missing_weights_of_the_perceptual_loss_the_landmarker_and_the_iris_judge(subject, tmp_path):
    assert "vgg16-397923af.pth" in refused(subject, tmp_path, "gaze_gaussian.loss_weights.perceptual=0.1")
    assert "face_landmarker.task" in refused(subject, tmp_path, source="video")
    assert "face_landmarker.task" in refused(subject, tmp_path, "evaluate.judge=iris")


def test_missing_weights_of_the_shipped_judge(subject, tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "resources", type("Empty", (), {"files": lambda _: tmp_path}))
    assert "judge.safetensors: the weights of the gaze judge are missing" in refused(subject, tmp_path)


def test_a_missing_autoencoder(subject, tmp_path):
    pytest.importorskip("diffusers", reason="gazeworks[vae] is not installed")
    autoencoder = json.dumps({"source": str(tmp_path / "vae")})
    text = refused(subject, tmp_path, f"gaze_gaussian.model.renderer.autoencoder={autoencoder}")
    assert "not found and cannot be downloaded" in text


def test_a_missing_critic_and_the_judge_as_critic(subject, tmp_path):
    weights = Path(str(resources.files("gaze_core.evaluation") / "weights" / "judge.safetensors"))
    for path, sha256, message in (
        (tmp_path / "absent", "0" * 64, "absent: no such file"),
        (weights, file_sha256(weights), "these are the judge's weights"),
    ):
        critic = json.dumps({"path": str(path), "sha256": sha256})
        changes = ("gaze_gaussian.loss_weights.gaze_deg=0.1", f"gaze_gaussian.critic={critic}")
        assert message in refused(subject, tmp_path, *changes)


def test_a_folder_without_subject_files_and_a_file_of_another_kind(tmp_path):
    assert "a folder without subject files" in refused(tmp_path, tmp_path / "out")
    (tmp_path / "v.mp4").write_bytes(b"video")
    assert "v.mp4: not a readable HDF5 file" in refused(tmp_path / "v.mp4", tmp_path / "out")


def test_an_unwritable_output_folder_and_a_missing_device(subject, tmp_path):
    (tmp_path / "file").touch()
    assert "expected a folder that can be written to" in refused(subject, tmp_path / "file" / "out")
    if not torch.cuda.is_available():
        assert "no CUDA device" in refused(subject, tmp_path, runtime=Runtime(device="cuda"))


def test_a_system_without_own_checks_is_checked_too(tmp_path):
    class Empty(Plan):
        part: Config = Config()

    preflight(Empty(), {}, tmp_path, CPU)
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="a folder that can be written to"):
        preflight(Empty(), {}, tmp_path / "file", CPU)


@pytest.fixture
def drive(tiny_drive, tmp_path, shared_data, monkeypatch):
    """The inputs of a run, and its plan."""
    monkeypatch.setenv("GAZEWORKS_ASSETS", str(shared_data))
    model = FaceEstimator(FaceEstimatorConfig(image_px=32, hidden=8))
    weights = tmp_path / "base.safetensors"
    save_estimator(weights, model, estimator_card(model, "test", 1, None, DRIVER_FACE.model_dump(mode="json"), {}))
    inputs = {"video": tiny_drive.video, "sensors": tiny_drive.table, "road": None, "weights": weights}
    return inputs, driver_plan("frozen", "whole", overrides=[f"extract.layout={json.dumps(LAYOUT)}"])


def refused_drive(drive, tmp_path, **replaced):
    with pytest.raises(BadInput) as raised:
        preflight(drive[1], drive[0] | replaced, tmp_path / "out", CPU)
    return str(raised.value)


def test_missing_parts_of_a_drive_are_refused_before_extraction(drive, tmp_path):
    preflight(drive[1], drive[0], tmp_path / "out", CPU)
    assert "no gaze labels to learn from" in refused_drive(drive, tmp_path, sensors=None)
    assert "absent.pth: no such file" in refused_drive(drive, tmp_path, weights=tmp_path / "absent.pth")
    (tmp_path / "v.mp4").write_bytes(b"no video")
    assert "v.mp4: not a readable video" in refused_drive(drive, tmp_path, video=tmp_path / "v.mp4")
    assert "not a readable video" in refused_drive(drive, tmp_path, road=tmp_path / "v.mp4")


def test_an_estimator_of_another_view_is_refused_before_extraction(drive, tmp_path):
    wide = DRIVER_FACE.model_copy(update={"focal_px": DRIVER_FACE.focal_px / 2})
    plan = driver_plan("frozen", "whole", overrides=[
        f"extract.layout={json.dumps(LAYOUT)}", f"extract.normalization={wide.model_dump_json()}",
    ])  # fmt: skip
    assert "wide at the face" in refused_drive((drive[0], plan), tmp_path)


@pytest.mark.usefixtures("without_assets")
def test_a_missing_landmarker_is_refused_before_extraction(drive, tmp_path, monkeypatch):
    monkeypatch.setenv("GAZEWORKS_ASSETS", "")
    assert "face_landmarker.task" in refused_drive(drive, tmp_path)
