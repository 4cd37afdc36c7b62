"""Inversion: an unseen person is recovered from images, codes get gradients, refusals."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from gaze_core.config import Runtime
from gaze_core.data.splits import SPLITS_FILE, DatasetSplits, Splits, split_with_held_out, write_splits
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import code_encoder, gaze_gaussian, invert, mesh_head
from gaze_core.stages.redirection.invert import InvertConfig
from gaze_core.stages.redirection.losses import GazeGaussianLossWeights
from gaze_core.training.checkpoint import WEIGHTS_FILE
from gaze_core.training.history import read_history
from gaze_core.training.loop import FitConfig
from tests.gaze_core.stages.redirection.tiny_run import CONFIGS
from tests.tiny_subject import write_tiny_subject

RUNTIME = Runtime(device="cpu", log_every_steps=1)
SHADES = {"dark": -70, "light": 30}


def write_person(folder, name, shade, code):
    """A tiny subject whose skin has another brightness, and whose identity code says so."""
    path = write_tiny_subject(folder / f"{name}.h5", num_images=12, subject=name)
    with h5py.File(path, "r+") as file:
        skin = np.asarray(file["head_mask"])[..., None] > 0
        file["image"][...] = np.where(skin, np.clip(file["image"][:].astype(int) + shade, 0, 255), file["image"][:])
        file["identity_code"][:, 0] = code
    return replace_file(split_with_held_out(name, range(9), range(9, 12), 0.2, seed=0), path.name)


def replace_file(splits, name):
    return Splits.model_validate(splits.model_dump() | {"file": name})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A model of two people, an encoder of their codes, and the data of a third."""
    root = tmp_path_factory.mktemp("root")
    (root / "data").mkdir()
    people = [write_person(root / "data", name, shade, shade / 100) for name, shade in SHADES.items()]
    write_splits(root / "data" / SPLITS_FILE, DatasetSplits(subjects=tuple(people)))
    (root / "stranger").mkdir()
    stranger = write_person(root / "stranger", "stranger", -60, 0.0)
    write_splits(root / "stranger" / SPLITS_FILE, DatasetSplits(subjects=(stranger,)))
    inputs = {"data": root / "data", "mesh_head": root / "mesh_head"}
    fits = {"mesh_head": FitConfig(num_steps=40, batch_size=4), "gaze_gaussian": FitConfig(num_steps=150, batch_size=4)}
    for stage in (mesh_head, gaze_gaussian):
        config = CONFIGS[stage.NAME].model_copy(update={"fit": fits[stage.NAME]})
        stage.run(config, inputs, StageContext(RUNTIME, root / stage.NAME))
    encoder = code_encoder.CodeEncoderStageConfig(
        model={"image_px": 32, "width": 8}, fit=FitConfig(num_steps=60, batch_size=6, learning_rate=3e-3)
    )
    code_encoder.run(encoder, inputs, StageContext(RUNTIME, root / "encoder"))
    return root


def invert_stranger(root, work_dir, encoder=True, **changes):
    inputs = {"checkpoint": root / "gaze_gaussian", "data": root / "stranger"}
    inputs["encoder"] = root / "encoder" if encoder else None
    return invert.run(InvertConfig(**changes), inputs, StageContext(RUNTIME, work_dir))


def test_the_encoder_tells_people_apart_and_places_a_third_between_them(root):
    encoder = code_encoder.load(root / "encoder")
    read = {
        name: encoder(SubjectDataset(root / folder / f"{name}.h5").everything.rgb_on_white)[:, 0].mean().item()
        for folder, name in (("data", "dark"), ("stranger", "stranger"), ("data", "light"))
    }
    assert read["dark"] < read["stranger"] < read["light"]
    assert read["dark"] == pytest.approx(-0.7, abs=0.25)
    assert read["light"] == pytest.approx(0.3, abs=0.25)


def test_inversion_beats_the_mean_person_on_held_out_images(root, tmp_path):
    metrics = {
        mode: invert_stranger(root, tmp_path / mode, mode=mode, num_images=2).metrics for mode in ("codes", "full")
    }
    for mode, numbers in metrics.items():
        assert numbers["inverted_psnr_db_seen"] > numbers["mean_psnr_db_seen"] + 2, mode
        assert numbers["inverted_psnr_db_others"] > numbers["mean_psnr_db_others"] + 2, mode
    assert metrics["full"]["inverted_psnr_db_seen"] > metrics["codes"]["inverted_psnr_db_seen"]


def test_codes_alone_leave_the_weights_as_they_are(root, tmp_path):
    invert_stranger(root, tmp_path, mode="codes")
    before, _ = gaze_gaussian.load(root / "gaze_gaussian")
    after, card = gaze_gaussian.load(tmp_path)
    for name, value in before.state_dict().items():
        assert torch.equal(after.state_dict()[name], value), name
    assert after.person is not None
    assert before.person is None
    batch = SubjectDataset(root / "stranger" / "stranger.h5").batch([0])
    other = replace(batch.head, identity_code=batch.head.identity_code + 5)
    assert torch.equal(
        after(batch.camera, batch.head).rgb, after(batch.camera, other).rgb
    )  # the identity does not depend on the labels
    assert card["seen"]["frames"]["synthetic/stranger"] == [[0, 0, 0]]
    assert set(card["seen"]["frames"]) == {"synthetic/dark", "synthetic/light", "synthetic/stranger"}


def test_of_a_long_recording_evenly_spaced_frames_are_taken_and_losses_may_be_its_own(root, tmp_path):
    losses = GazeGaussianLossWeights(hidden_matter=0.0, eyes_l1=0.0)
    short = {"codes": FitConfig(num_steps=1, batch_size=2), "weights": FitConfig(num_steps=2, batch_size=2)}
    produced = invert_stranger(root, tmp_path, num_images=None, max_images=5, loss_weights=losses, **short)
    assert produced.metrics["num_images"] == 5
    usual = invert_stranger(root, tmp_path / "usual", num_images=None, max_images=5, **short)
    assert usual.files[WEIGHTS_FILE].read_bytes() != produced.files[WEIGHTS_FILE].read_bytes()


def test_what_is_frozen_keeps_its_bytes_and_the_rest_is_fitted_to_all_training_frames(root, tmp_path):
    short = FitConfig(num_steps=3, batch_size=4)
    frozen = ("model.face.deform.*", "model.eyes.rotate.*")
    produced = invert_stranger(
        root, tmp_path, num_images=None, codes=short, weights=short.model_copy(update={"frozen": frozen})
    )
    before, after = (gaze_gaussian.load(folder)[0].state_dict() for folder in (root / "gaze_gaussian", tmp_path))
    same = {name for name, value in before.items() if torch.equal(after[name], value)}
    held = {name for name in before if name.startswith(("face.deform.", "eyes.rotate."))}
    assert held <= same
    assert {"face.means_m", "face.features", "eyes.features", "renderer.decode.4.weight"}.isdisjoint(same)
    assert produced.metrics["num_images"] == 7
    assert produced.metrics["num_steps"] == 3
    assert len(read_history(tmp_path)) > 0
    _, card = gaze_gaussian.load(tmp_path)
    assert card["enhancements"][-1] == ["start", "a checkpoint of 2 people, adapted to stranger by 7 frames"]


def test_an_interrupted_inversion_ends_with_the_same_bytes(root, tmp_path):
    class Interrupt(Exception):
        pass

    whole = invert_stranger(root, tmp_path / "whole")
    calls = []

    def progress(step, num_steps, loss):
        calls.append(step)
        if len(calls) == 45:  # in the second part
            raise Interrupt

    inputs = {"checkpoint": root / "gaze_gaussian", "data": root / "stranger", "encoder": root / "encoder"}
    runtime = Runtime(device="cpu", checkpoint_every_steps=7)
    with pytest.raises(Interrupt):
        invert.run(InvertConfig(), inputs, StageContext(runtime, tmp_path / "parts", progress=progress))
    resumed = invert.run(InvertConfig(), inputs, StageContext(runtime, tmp_path / "parts"))
    assert resumed.files[WEIGHTS_FILE].read_bytes() == whole.files[WEIGHTS_FILE].read_bytes()


def test_refusals_say_what_was_expected(root, tmp_path):
    with pytest.raises(BadInput, match="stranger: 7 usable training frames, num_images asks for 20"):
        invert_stranger(root, tmp_path, num_images=20)
    inputs = {"checkpoint": root / "gaze_gaussian", "data": root / "data"}
    with pytest.raises(BadInput, match="2 people in the data; an inversion is of one"):
        invert.run(InvertConfig(), inputs, StageContext(RUNTIME, tmp_path))
    one = tmp_path / "one"
    one.mkdir()
    write_splits(one / SPLITS_FILE, DatasetSplits(subjects=(write_person(one, "dark", -70, -0.7),)))
    with pytest.raises(ContractViolation, match="was trained on synthetic/dark; expected someone unseen"):
        invert.run(InvertConfig(), inputs | {"data": one}, StageContext(RUNTIME, tmp_path))
    with pytest.raises(BadInput, match="the 1 people of the data have the same identity code"):
        code_encoder.run(code_encoder.CodeEncoderStageConfig(), {"data": one}, StageContext(RUNTIME, tmp_path))
