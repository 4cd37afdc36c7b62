"""Import of the published file as an artifact for the rendering stages; other files are refused with a message."""

import os
import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gaze_core.artifacts import Manifest, file_sha256
from gaze_core.config import Runtime
from gaze_core.data.adapters.published import convert_subject, open_published
from gaze_core.data.splits import SPLITS_FILE, DatasetSplits, split_with_held_out, write_splits
from gaze_core.data.subjects import SUBJECT_FILE, SubjectDataset
from gaze_core.errors import BadInput, ContractViolation, NoSpace
from gaze_core.models.official.frames import OfficialConfig, codes_of
from gaze_core.models.official.gaze_gaussian import OfficialGazeGaussian
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import evaluate, gaze_gaussian, invert, sample
from gaze_core.stages.redirection.import_gazegaussian import import_gazegaussian, model_of
from gaze_core.synthesis.packs import pack_path
from gaze_core.training.checkpoint import WEIGHTS_FILE, save_weights
from tests.gaze_core.data.published import axis_angle, make_scenes, write_gazegaussian
from tests.gaze_core.models.official import official_state as published

CONFIG = OfficialConfig(image_px=4 * published.RASTER_PX, raster_px=published.RASTER_PX, recordings="any")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return published.official_file(tmp_path_factory.mktemp("published") / "gazegaussian_ckp.pth")


@pytest.fixture(scope="module")
def artifact(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("artifacts") / "official"
    import_gazegaussian(checkpoint, out, CONFIG)
    return out


def test_the_artifact_says_what_it_is_and_where_it_comes_from(artifact, checkpoint):
    assert {path.name for path in artifact.iterdir()} == {
        "weights.safetensors", "training_frames.safetensors", "manifest.json",
    }  # fmt: skip
    manifest = Manifest.read(artifact)
    assert manifest.config["compat"] == "official"
    assert manifest.config["source"] == {
        "file": "gazegaussian_ckp.pth", "sha256": file_sha256(checkpoint), "bytes": checkpoint.stat().st_size,
    }  # fmt: skip
    assert manifest.ref.name.startswith("gaze_gaussian/")
    assert {name: file_sha256(artifact / name) for name in manifest.files} == manifest.files
    assert any("no licence" in note for note in manifest.notes)
    assert len(manifest.trained_on) == 80
    assert "subject0003" in manifest.trained_on
    tables = load_file(artifact / "training_frames.safetensors")
    content = torch.load(checkpoint, weights_only=True)
    assert sorted(tables) == ["delta_EulurAngles", "delta_Tvecs", "expr_offset", "iden_offset"]
    assert all(torch.equal(table, content[name].detach()) for name, table in tables.items())


def test_the_rendering_stages_load_the_same_model(artifact, checkpoint):
    loaded, card = gaze_gaussian.load(artifact)
    assert isinstance(loaded, OfficialGazeGaussian)
    assert not loaded.training
    assert card["compat"] == "official"
    assert len(card["seen"]["people"]) == 80
    assert "eth_xgaze/0003" in card["seen"]["people"]
    state = torch.load(checkpoint, weights_only=True)["gazegaussian"]
    direct = model_of(state, CONFIG, "x")
    assert loaded.state_dict().keys() == direct.state_dict().keys()
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in direct.state_dict().items())
    batch = SubjectDataset(pack_path("synthetic_128")).batch([0])
    with torch.no_grad():
        images = [model(batch.camera, batch.head).rgb for model in (loaded, direct)]
    assert torch.equal(*images)


def test_images_of_the_shipped_subject_can_be_rendered(artifact, tmp_path):
    """With random weights they show noise; what is tested is that the stage runs and that gaze reaches the image."""
    data = shipped_data(tmp_path / "data", "synthetic_128")
    config = sample.SampleConfig(gazes_deg=((0, 0), (0, 25)), poses_deg=((0, 10),), sweep_s=0.1)
    context = StageContext(Runtime(device="cpu"), tmp_path)
    files = sample.run(config, {"checkpoint": artifact, "data": data}, context).files
    one, other = (cv2.imread(str(files[f"head_+0_+10_gaze_+0_{yaw}.png"])) for yaw in ("+0", "+25"))
    assert one.shape == (128, 128, 3)
    assert (one != other).any()


SIDE_PX = 64


@pytest.fixture(scope="module")
def published_file(tmp_path_factory):
    """Three frames whose fit is rotated by 6 and 3 degrees against the label's head pose, each with another scale."""
    path = write_gazegaussian(tmp_path_factory.mktemp("h5") / "xgaze_subject0096.h5", make_scenes(3, 3))
    with h5py.File(path, "a") as file:
        apart = published.so3(torch.deg2rad(torch.tensor([6.0, 3.0, 0.0]).double()))
        for index, row in enumerate(file["pose"][:]):
            turned = published.so3(torch.from_numpy(row[:3])) @ apart
            file["pose"][index, :3] = axis_angle(turned.numpy())
        file["scale"][:] = [[1.0], [1.2], [1.4]]
    return path


@pytest.fixture
def converted(published_file, tmp_path):
    convert_subject(open_published(published_file, "gazegaussian_eth_xgaze"), "subject0096", tmp_path / "ours.h5")
    return SubjectDataset(tmp_path / "ours.h5").everything


def test_a_converted_file_gives_the_image_of_the_raw_one(published_file, converted):
    """Compares the published loader's label, fit, scale, origin and camera with ours from the subject file."""
    state = published.official_state(raster_px=SIDE_PX // 4)
    config = OfficialConfig(image_px=SIDE_PX, raster_px=SIDE_PX // 4)
    model = model_of(state, config, "x")
    exact = {name: tensor.double() for name, tensor in state.items()}
    with torch.no_grad():
        images = model(converted.camera, converted.head).rgb
        away = model(converted.camera, converted.head.with_gaze(converted.gaze_head + 0.1)).rgb
    with h5py.File(published_file) as file:
        assert (np.abs(converted.gaze_head * torch.tensor([-1, 1]) - file["pitchyaw_head"][:]) > 0.05).any()
        for index in range(3):
            raw = {
                name: torch.from_numpy(file[name][index]).double() for name in ("pose", "pitchyaw_head", "latent_codes")
            }
            code = torch.cat([raw["latent_codes"][80:144], raw["latent_codes"][:80]])
            to_camera = torch.eye(4).double()
            to_camera[:3, :3] = torch.from_numpy(file["w2c_Rmat"][index])
            to_camera[:3, 3] = torch.from_numpy(file["w2c_Tvec"][index])
            how = (float(file["scale"][index, 0]), to_camera, float(file["inmat"][index, 0, 0]), SIDE_PX)
            raster, expected = published.image(exact, code, raw["pose"], raw["pitchyaw_head"], *how)
            assert raster.alpha.max() > 0.3
            torch.testing.assert_close(images[index], expected[0].float(), atol=2e-3, rtol=0)
            assert (away[index] - images[index]).abs().max() > 0.02


def test_the_codes_are_those_of_the_published_loader(published_file, converted):
    config = CONFIG.model_copy(update={"recordings": "published"})
    told = codes_of(converted.camera, converted.head, config, converted.head.published.origin_m)
    with h5py.File(published_file) as file:
        pose, codes, gaze = (file[name][:] for name in ("pose", "latent_codes", "pitchyaw_head"))
    for index, code in enumerate(told):
        np.testing.assert_allclose(code.pose[:6], pose[index], atol=1e-4)
        np.testing.assert_allclose(code.shape, [*codes[index, 80:144], *codes[index, :80]], atol=1e-6)
        np.testing.assert_allclose(code.gaze[:2], gaze[index], atol=1e-6)
    assert np.abs(gaze).max() > 0.15


def shipped_data(folder, subject):
    """The shipped subject as written by the preprocess stage, with three test frames, under a name of choice."""
    folder.mkdir()
    (folder / SUBJECT_FILE).symlink_to(pack_path("synthetic_128"))
    splits = split_with_held_out(subject, range(3, 20), range(3), 0.2, seed=0)
    write_splits(folder / SPLITS_FILE, DatasetSplits(subjects=(splits,)))
    return folder


def test_evaluation_measures_it(artifact, tmp_path):
    inputs = {"checkpoint": artifact, "data": shipped_data(tmp_path / "data", "synthetic_128")}
    produced = evaluate.run(evaluate.EvaluateConfig(num_shown=1), inputs, StageContext(Runtime(device="cpu"), tmp_path))
    assert 0 < produced.metrics["psnr_db"] < 20  # random weights render noise


def test_evaluation_refuses_people_of_the_training(artifact, tmp_path):
    data = shipped_data(tmp_path / "data", "subject0003")
    shutil.copyfile(pack_path("synthetic_128"), tmp_path / "subject.h5")
    (data / SUBJECT_FILE).unlink()
    with h5py.File((tmp_path / "subject.h5").rename(data / SUBJECT_FILE), "r+") as file:
        file.attrs.update({"source": "eth_xgaze", "subject": "subject0003"})
    inputs = {"checkpoint": artifact, "data": data}
    with pytest.raises(ContractViolation, match="the checkpoint was trained on the person of eth_xgaze/0003"):
        evaluate.run(evaluate.EvaluateConfig(), inputs, StageContext(Runtime(device="cpu"), tmp_path))


def test_inversion_asks_for_a_model_of_ours(artifact, tmp_path):
    inputs = {"checkpoint": artifact, "data": shipped_data(tmp_path / "data", "synthetic_128")}
    with pytest.raises(
        BadInput, match="inversion needs a model that was trained here; found the published GazeGaussian"
    ):
        invert.run(invert.InvertConfig(), inputs, StageContext(Runtime(device="cpu"), tmp_path))


class Code:
    """Pickled, it asks whoever loads it to make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def write_bad(kind, path):
    good = published.official_file(path)
    if kind == "cut":
        path.write_bytes(good.read_bytes()[:-2000])
    elif kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "absent":
        path.unlink()
    elif kind == "code":
        published.official_file(path, extra=Code(path.parent / "was_run"))
    elif kind == "module":
        published.official_file(path, gazegaussian=torch.nn.Linear(2, 2))
    elif kind == "bare":
        torch.save(published.official_state(), path)
    elif kind == "mesh_head":
        torch.save({"meshhead": {"xyz": torch.zeros(3)}, "optimizer": {}}, path)
    elif kind == "list":
        torch.save([torch.zeros(3)], path)
    elif kind == "no tables":
        published.official_file(path, iden_offset=None, delta_Tvecs=torch.zeros(4, 3))
    elif kind == "tensors wrong":
        state = published.official_state()
        state["neural_render.k_proj.weight"] = torch.zeros(144, 64)
        published.official_file(path, state)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("absent", "no such file; expected the published GazeGaussian checkpoint"),
        ("cut", "not a torch file, or truncated; expected the published GazeGaussian checkpoint"),
        ("text", "not a torch file, or truncated"),
        ("empty", "not a torch file, or truncated"),
        ("code", "would run code when loaded .*mkdir.*; refused"),
        ("module", "would run code when loaded .*torch.nn.modules.linear.Linear.*; refused"),
        ("bare", "no 'gazegaussian' in it .found fg_CD_predictor_eyes.appea"),
        ("mesh_head", "holds GazeGaussian's first stage .MeshHead.; expected"),
        ("list", "holds a list; expected"),
        ("no tables", r"iden_offset is NoneType, expected \(frames, 80\); delta_Tvecs is \(4, 3\), expected"),
        ("tensors wrong", r"neural_render.k_proj.weight has shape \(144, 64\), expected \(144, 32\)"),
    ],
)
def test_another_file_is_refused_and_nothing_is_left(tmp_path, kind, message):
    path = tmp_path / "x.pth"
    write_bad(kind, path)
    with pytest.raises(BadInput, match=f"x.pth: .*{message}|x.pth: {message}"):
        import_gazegaussian(path, tmp_path / "out", CONFIG)
    assert {left.name for left in tmp_path.iterdir()} <= {"x.pth"}


def test_a_folder_that_holds_something_is_left_alone(checkpoint, tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(BadInput, match="is there already; expected a new or empty folder"):
        import_gazegaussian(checkpoint, tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_made_is_said(checkpoint, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="file/out: cannot be written .Not a directory"):
        import_gazegaussian(checkpoint, tmp_path / "file" / "out", CONFIG)


def test_a_full_disk_leaves_nothing(checkpoint, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gaze_core.stages.redirection.official_checkpoint.save_file", full)
    with pytest.raises(NoSpace, match="no space to write it .* free some and run again"):
        import_gazegaussian(checkpoint, tmp_path / "out", CONFIG)
    assert not list(tmp_path.iterdir())


def test_the_name_before_publication_is_known(tmp_path):
    path = published.official_file(tmp_path / "a.pth", gazegaussian=None, gaussianhead=published.official_state())
    assert import_gazegaussian(path, tmp_path / "out", CONFIG).metrics["num_face_points"] == published.FACE_POINTS


def test_an_artifact_of_another_version_is_to_be_imported_again(artifact, tmp_path):
    model, card = gaze_gaussian.load(artifact)
    save_weights(tmp_path / WEIGHTS_FILE, model, card | {"stage_version": 99})
    with pytest.raises(ContractViolation, match="imported as v99, expected v2; run gazeworks import gazegaussian"):
        gaze_gaussian.load(tmp_path)
