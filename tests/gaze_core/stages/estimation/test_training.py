"""Training of both models: what they learn, resuming, two processes, what is written."""

import shutil

import numpy as np
import pytest
import torch

from gaze_core.config import Runtime
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.estimation.checkpoints import load_single, load_temporal
from gaze_core.estimation.features import FeatureIndex, Features
from gaze_core.estimation.frames import FrameSet
from gaze_core.estimation.recordings import Recording
from gaze_core.losses.angular import masked_angular_rad, masked_square_rad2
from gaze_core.stages.context import StageContext
from gaze_core.stages.distributed import run_stage
from gaze_core.stages.estimation import features, train_single, train_temporal
from gaze_core.training.history import read_history
from tests.gaze_core.estimation.drawn_people import write_people
from tests.gaze_core.estimation.trained import NETWORK, RUNTIME, SINGLE, TEMPORAL, train_all


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_all(tmp_path_factory.mktemp("trained"))


def test_the_single_frame_model_learns_where_the_drawn_pupils_look(trained):
    inputs, made = trained
    errors = [row["validation/gaze_error_deg"] for row in read_history(inputs["single"]) if len(row) == 2]
    assert made["single"].metrics["best_validation"] == min(errors) < 0.6 * errors[0]
    assert made["single"].subjects == {"train": ("train01", "train02", "train03"), "validation": ("val01",)}
    names = set(made["single"].files)
    assert {f"pictures/predictions_epoch_00{n}.png" for n in range(1, 7)} < names
    assert len([name for name in names if name.startswith("best/step_")]) == 3
    model, card = load_single(inputs["single"], RUNTIME)
    assert (model.config, card["trained_on"]["validation"]) == (NETWORK, ["val01"])


def test_validation_happens_twice_an_epoch(trained):
    inputs, made = trained
    steps = [row["step"] for row in read_history(inputs["single"]) if "validation/gaze_error_deg" in row]
    assert len(steps) == 2 * SINGLE.fit.num_epochs
    assert steps[-1] == made["single"].metrics["num_steps"]


def test_the_head_starts_from_the_single_frame_and_becomes_better(trained):
    inputs, made = trained
    rows = [row for row in read_history(inputs["temporal"]) if "validation/gaze_error_deg" in row]
    single = rows[0]["validation/single_frame_error_deg"]
    assert made["temporal"].metrics["best_validation"] < single
    head, card = load_temporal(inputs["temporal"], RUNTIME)
    assert (head.config.length, head.config.rate_hz, head.config.token_width) == (16, 15.0, 16)
    assert card["trained_on"] == {"train": ["train01", "train02", "train03"], "validation": ["val01"]}


def test_features_are_those_of_the_frames_at_15_hz(trained):
    inputs, _ = trained
    index = FeatureIndex.read(inputs["features"])
    entry = index.of("test")[0]
    found = Features.read(inputs["features"] / entry.file)
    assert found.frames.tolist() == list(range(0, 240, 4))
    assert found.starts.tolist() == [True] + [False] * 59
    model, _ = load_single(inputs["single"], RUNTIME)
    recording = Recording(inputs["data"] / f"{entry.info.name}.h5")
    with torch.no_grad():
        out = model(FrameSet([recording], [np.array([8])])[[0]].images)
    np.testing.assert_allclose(found.gaze_rad[2], out.gaze_rad[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(found.token[2], out.token[0].numpy(), atol=5e-3)


def test_features_of_a_killed_run_are_not_computed_again(trained, tmp_path, monkeypatch):
    inputs, _ = trained
    shutil.copytree(inputs["features"], tmp_path / "features")
    (tmp_path / "features" / "val01__step001__basler.npz").unlink()
    computed, compute = [], features.compute_features

    def counted(model, recording, *rest):
        computed.append(recording.info.name)
        return compute(model, recording, *rest)

    monkeypatch.setattr(features, "compute_features", counted)
    features.run(features.FeaturesConfig(), inputs, StageContext(RUNTIME, tmp_path))
    assert computed == ["val01__step001__basler"]
    for path in (tmp_path / "features").glob("*.npz"):
        assert path.read_bytes() == (inputs["features"] / path.name).read_bytes()


def test_features_for_people_who_have_trained_are_refused(trained, tmp_path):
    inputs, _ = trained
    other = write_people(tmp_path / "other", {"train09": "train", "val09": "val", "train01": "test"}, num_frames=40)
    with pytest.raises(ContractViolation, match="has seen train01 in training"):
        features.run(features.FeaturesConfig(), {**inputs, "data": other}, StageContext(RUNTIME, tmp_path))
    with pytest.raises(BadInput, match="not a checkpoint of estimation_temporal"):
        load_temporal(inputs["single"], RUNTIME)


class Interrupt(Exception):
    pass


@pytest.mark.parametrize("name", ["single", "temporal"])
def test_an_interrupted_training_ends_with_the_same_bytes(trained, tmp_path, name):
    inputs, made = trained
    stage, config = {"single": (train_single, SINGLE), "temporal": (train_temporal, TEMPORAL)}[name]

    def stop(step, num_steps, loss):
        if step == 9:
            raise Interrupt

    every = RUNTIME.model_copy(update={"checkpoint_every_steps": 4})
    with pytest.raises(Interrupt):
        stage.run(config, inputs, StageContext(every, tmp_path, progress=stop))
    produced = stage.run(config, inputs, StageContext(every, tmp_path))
    assert produced.metrics["resumed_from_step"] > 0
    for file, path in made[name].files.items():
        if file != "stats.jsonl":
            assert produced.files[file].read_bytes() == path.read_bytes(), file


def test_two_processes_train_like_one_with_the_whole_batch(trained, tmp_path):
    inputs, _ = trained
    changes = SINGLE.changes.model_copy(update={"mirror": 0.5, "shift": 0.05})
    config = SINGLE.model_copy(
        update={"changes": changes, "fit": SINGLE.fit.model_copy(update={"num_epochs": 1, "patience": 99})}
    )
    train_single.run(config, inputs, StageContext(RUNTIME, tmp_path / "one"))
    both = Runtime(device="cpu", num_processes=2, log_every_steps=1)
    produced = run_stage(train_single, config, inputs, StageContext(both, tmp_path / "two"))
    alone, shared = (read_history(tmp_path / name) for name in ("one", "two"))
    assert len(alone) == len(shared) > 10
    for row, other in zip(alone, shared, strict=True):
        assert other == pytest.approx(row, abs=2e-4)
    assert produced.files["weights.safetensors"] == tmp_path / "two" / "weights.safetensors"
    first, second = (load_single(tmp_path / name, RUNTIME)[0].state_dict() for name in ("one", "two"))
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, atol=2e-3, rtol=0)


def test_invalid_labels_count_for_nothing_and_the_loss_stays_in_full_precision():
    predicted = torch.tensor([[0.1, 0.2], [0.3, -0.4], [0.0, 0.0]], requires_grad=True)
    target = torch.tensor([[0.1, 0.2], [float("nan")] * 2, [0.0, 0.3]])
    valid = torch.tensor([True, False, True])
    with torch.autocast("cpu", torch.bfloat16):
        loss = masked_angular_rad(predicted, target, valid)
        square = masked_square_rad2(predicted, target, valid)
    assert loss.dtype == square.dtype == torch.float32
    assert loss.item() == pytest.approx(0.3 / 3, abs=1e-6)
    assert square.item() == pytest.approx(0.3**2 / 2 / 3, abs=1e-7)
    (loss + square).backward()
    assert predicted.grad.isfinite().all()
    assert predicted.grad[1].abs().sum() == 0
    assert predicted.grad[2].abs().sum() > 0
