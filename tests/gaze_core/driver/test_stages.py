"""Pre-training, fine-tuning and evaluation at the size of a test."""

import shutil

import h5py
import numpy as np
import pytest
import torch

from gaze_core.config import Runtime
from gaze_core.data.splits import SPLITS_FILE, DatasetSplits, write_splits
from gaze_core.driver.checkpoints import (
    estimator_card,
    frames_seen,
    load_estimator,
    require_unseen_frames,
    save_estimator,
)
from gaze_core.driver.faces import FaceAugmentation, FaceBatch, augmented, read_faces
from gaze_core.driver.predictions import read_drive_splits
from gaze_core.driver.record import DRIVE_FILE, DriveRecord
from gaze_core.driver.report import BASELINES
from gaze_core.driver.view import DRIVER_FACE
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.geometry.angles import vector_from_pitchyaw
from gaze_core.models.estimation.face_estimator import FaceEstimator, FaceEstimatorConfig
from gaze_core.stages.context import StageContext
from gaze_core.stages.driver import compare, evaluate, finetune, pretrain
from gaze_core.stages.driver.evaluate import DriverEvaluateConfig, read_driver_evaluation
from gaze_core.stages.driver.finetune import FINETUNE_PRESETS
from gaze_core.stages.driver.pretrain import DriverPretrainConfig
from gaze_core.stages.driver.training import train_estimator
from gaze_core.training.checkpoint import WEIGHTS_FILE, load_weights
from tests.tiny_subject import write_tiny_subject

RUNTIME = Runtime(device="cpu", progress=False, log_every_steps=1, checkpoint_every_steps=2)
NETWORK = FaceEstimatorConfig(image_px=32, hidden=16)


def context(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return StageContext(RUNTIME, folder)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Untrained weights."""
    torch.manual_seed(0)
    model = FaceEstimator(NETWORK)
    path = tmp_path_factory.mktemp("base") / WEIGHTS_FILE
    save_estimator(
        path, model, estimator_card(model, "test", 1, None, DRIVER_FACE.model_dump(mode="json"), {"train": ["x"]})
    )
    return path.parent


def fine_tuned(extracted, base, work, preset="frozen", **changes):
    config = FINETUNE_PRESETS[preset].model_copy(update={"epochs": 2, **changes})
    return finetune.run(config, {"data": extracted, "base": base}, context(work))


def test_presets_are_the_requested_ones():
    assert (FINETUNE_PRESETS["frozen"].freeze_backbone, FINETUNE_PRESETS["frozen"].epochs) == (True, 15)
    assert (FINETUNE_PRESETS["full"].freeze_backbone, FINETUNE_PRESETS["full"].epochs) == (False, 30)


def test_frozen_fine_tuning_changes_the_head_alone_and_full_fine_tuning_all(extracted, base, tmp_path):
    before = load_weights(base / WEIGHTS_FILE)
    produced = fine_tuned(extracted, base, tmp_path / "frozen")
    after = load_weights(produced.files[WEIGHTS_FILE])
    assert {name for name in after if not torch.equal(after[name], before[name])} == {
        "head.0.weight", "head.0.bias", "head.3.weight", "head.3.bias",
    }  # fmt: skip
    full = load_weights(fine_tuned(extracted, base, tmp_path / "full", "full").files[WEIGHTS_FILE])
    assert not torch.equal(full["backbone.conv1.weight"], before["backbone.conv1.weight"])
    _, card = load_estimator(tmp_path / "frozen")
    assert card["trained_on"]["train"] == [DriveRecord.read(extracted).name]
    assert card["trained_on"]["base"] == ["x"]


def test_interrupted_fine_tuning_ends_with_the_same_bytes(extracted, base, tmp_path):
    whole = fine_tuned(extracted, base, tmp_path / "whole").files[WEIGHTS_FILE].read_bytes()

    class Stop(BaseException):
        pass

    def progress(step, num_steps, loss):
        if step == 3:
            raise Stop

    config = FINETUNE_PRESETS["frozen"].model_copy(update={"epochs": 2})
    inputs = {"data": extracted, "base": base}
    (tmp_path / "work").mkdir()
    with pytest.raises(Stop):
        finetune.run(config, inputs, StageContext(RUNTIME, tmp_path / "work", progress=progress))
    produced = finetune.run(config, inputs, context(tmp_path / "work"))
    assert produced.metrics["resumed_from_step"] > 0
    assert produced.files[WEIGHTS_FILE].read_bytes() == whole


def test_an_evaluation_names_every_baseline_and_scenario(extracted, base, tmp_path):
    produced = evaluate.run(DriverEvaluateConfig(), {"data": extracted, "checkpoint": base}, context(tmp_path / "a"))
    found = read_driver_evaluation(tmp_path / "a")
    assert set(found.errors) == {"model", "constant", "head pose", "bias", "affine"}
    assert produced.metrics["angular_deg_error"] == found.errors["model"].angular_deg.mean
    assert sum(row.num_frames for row in found.scenarios) == found.num_test == len(found.positions)
    record = DriveRecord.read(extracted)
    truth = [(record.frames[n].elevation_deg, record.frames[n].azimuth_deg) for n in found.positions]
    np.testing.assert_allclose(found.truth, truth)
    # The table was made up, so nothing but its mean can be known of it.
    assert 5 < found.errors["constant"].angular_deg.mean < 20
    assert {row.count for row in found.few_shot} == {4, 9}
    tuned = fine_tuned(extracted, base, tmp_path / "tuned")
    evaluate.run(
        DriverEvaluateConfig(),
        {"data": extracted, "checkpoint": tuned.files[WEIGHTS_FILE].parent},
        context(tmp_path / "b"),
    )
    compare.run(compare.DriverTolerance(), {"after": tmp_path / "b", "before": tmp_path / "a"}, context(tmp_path / "c"))
    comparison = compare.read_driver_comparison(tmp_path / "c")
    assert comparison.gains[0].other == pytest.approx(found.errors["model"].angular_deg.mean)


def with_other_labels(extracted, folder, chosen):
    """The drive with random gazes, in its subject file and in its record, at these positions."""
    shutil.copytree(extracted, folder)
    rng = np.random.default_rng(5)
    with h5py.File(folder / "subject.h5", "r+") as file:
        file["gaze_camera"][sorted(chosen)] = rng.uniform(-0.5, 0.5, (len(chosen), 2))
    record = DriveRecord.read(folder)
    angles_deg = {position: rng.uniform(-30, 30, 2).tolist() for position in chosen}
    frames = tuple(
        frame.model_copy(update=dict(zip(("azimuth_deg", "elevation_deg"), angles_deg[position], strict=True)))
        if position in angles_deg
        else frame
        for position, frame in enumerate(record.frames)
    )
    record.model_copy(update={"frames": frames}).write(folder)
    return folder


def test_fine_tuning_sees_no_frame_beyond_the_training_and_validation_blocks(extracted, base, tmp_path):
    splits = read_drive_splits(extracted)
    others = set(range(len(DriveRecord.read(extracted).frames))) - set(splits.train) - set(splits.validation)
    assert set(splits.test) < others
    spoilt_test = with_other_labels(extracted, tmp_path / "test", others)
    spoilt_training = with_other_labels(extracted, tmp_path / "training", splits.train)
    runs = [
        fine_tuned(drive, base, tmp_path / f"work{number}")
        for number, drive in enumerate((extracted, spoilt_test, spoilt_training))
    ]
    assert runs[0].metrics == runs[1].metrics  # nor is the best epoch chosen by others
    tensors = [load_weights(run.files[WEIGHTS_FILE]) for run in runs]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    assert not torch.equal(tensors[0]["head.3.weight"], tensors[2]["head.3.weight"])


def test_no_baseline_learns_from_the_test_frames(extracted, base, tmp_path):
    splits = read_drive_splits(extracted)
    drives = (
        extracted,
        with_other_labels(extracted, tmp_path / "test", splits.test),
        with_other_labels(extracted, tmp_path / "training", splits.train),
    )
    found = []
    for number, drive in enumerate(drives):
        work = context(tmp_path / f"work{number}")
        evaluate.run(DriverEvaluateConfig(), {"data": drive, "checkpoint": base}, work)
        found.append(read_driver_evaluation(work.work_dir))
    assert found[0].truth != found[1].truth
    assert found[0].predicted == found[1].predicted
    for name in BASELINES:
        assert found[0].predicted[name] != found[2].predicted[name], name


def with_splits(extracted, folder, **parts):
    """The same drive, cut into other blocks."""
    shutil.copytree(extracted, folder)
    splits = read_drive_splits(extracted).model_copy(update=parts)
    write_splits(folder / SPLITS_FILE, DatasetSplits(subjects=(splits,)))
    return folder


def test_evaluation_on_training_frames_is_refused(extracted, base, tmp_path):
    splits = read_drive_splits(extracted)
    tuned = fine_tuned(extracted, base, tmp_path / "tuned").files[WEIGHTS_FILE].parent
    again = fine_tuned(  # what it saw is handed on
        with_splits(extracted, tmp_path / "short", train=splits.train[:4], validation=splits.train[4:6]),
        tuned, tmp_path / "again",
    ).files[WEIGHTS_FILE].parent  # fmt: skip
    validation = with_splits(extracted, tmp_path / "v", validation=splits.test, test=splits.validation)
    training = with_splits(
        extracted, tmp_path / "t", train=splits.train[:-3], test=(*splits.train[-3:], splits.test[0])
    )
    for checkpoint in (tuned, again):
        for drive, counts in ((validation, f"{len(splits.validation)} of the"), (training, "3 of the 4")):
            with pytest.raises(ContractViolation, match=rf"the estimator was trained on {counts} .*test frames"):
                evaluate.run(DriverEvaluateConfig(), {"data": drive, "checkpoint": checkpoint}, context(tmp_path / "e"))
    _, card = load_estimator(tuned)
    video = DriveRecord.read(extracted).video_sha256
    assert len(card["seen_frames"][video]) == 3  # training, a validation block, and training after the test block
    other = frames_seen(card | {"seen_frames": {"other": [[0, 9]]}}, DriveRecord.read(extracted), splits)
    assert (set(other), other["other"]) == ({"other", video}, [[0, 9]])
    del card["seen_frames"]
    with pytest.raises(ContractViolation, match="was trained on it, but its card does not name the frames"):
        require_unseen_frames(card, DriveRecord.read(extracted), splits)


def test_an_estimator_of_another_view_is_refused(extracted, tmp_path):
    model = FaceEstimator(NETWORK)
    portrait = {"focal_px": 264.0, "distance_m": 0.68, "size_px": 128}
    save_estimator(tmp_path / WEIGHTS_FILE, model, estimator_card(model, "test", 1, None, portrait, {}))
    with pytest.raises(ContractViolation, match=r"crops are 14.0 cm wide at the face, the estimator's 33.0 cm"):
        fine_tuned(extracted, tmp_path, tmp_path / "work")


def test_fine_tuning_without_labels_is_refused(extracted, base, tmp_path):
    record = DriveRecord.read(extracted)
    for path in extracted.iterdir():
        if path.name != DRIVE_FILE:
            (tmp_path / path.name).symlink_to(path)
    record.model_copy(update={"labelled": False}).write(tmp_path)
    with pytest.raises(BadInput, match="no gaze labels to learn from"):
        fine_tuned(tmp_path, base, tmp_path / "work")
    with pytest.raises(BadInput, match="no gaze labels to measure against"):
        evaluate.run(DriverEvaluateConfig(), {"data": tmp_path, "checkpoint": base}, context(tmp_path / "e"))


def test_an_estimator_learns_from_subject_files_and_is_measured_on_others(tmp_path):
    (tmp_path / "people").mkdir()
    for seed in range(4):
        write_tiny_subject(tmp_path / "people" / f"p{seed}.h5", 8, 32, f"p{seed}", seed)
    config = DriverPretrainConfig(network=NETWORK, num_validations=2)
    config = config.model_copy(update={"fit": config.fit.model_copy(update={"num_steps": 4, "batch_size": 8})})
    produced = pretrain.run(config, {"people": tmp_path}, context(tmp_path / "work"))
    model, card = load_estimator(tmp_path / "work")
    assert model.config == NETWORK
    assert set(produced.subjects["train"]).isdisjoint(produced.subjects["validation"])
    assert len(produced.subjects["train"]) == 3
    assert card["trained_on"] == {role: list(names) for role, names in produced.subjects.items()}
    assert card["validation_gaze_error_deg"] == produced.metrics["validation_gaze_error_deg"]
    assert produced.metrics["validation_gaze_error_deg"] > 0
    with pytest.raises(BadInput, match="no subject file"):
        pretrain.run(config, {"people": tmp_path / "work"}, context(tmp_path / "none"))


def test_pretraining_identifies_people_by_their_files_and_holds_some_out_for_validation(tmp_path, monkeypatch):
    for number, (folder, person) in enumerate((("a", "p0"), ("a", "p1"), ("b", "p1"), ("b", "p2"), ("b", "p3"))):
        (tmp_path / "people" / folder).mkdir(parents=True, exist_ok=True)
        name = "same" if number in (1, 2) else f"s{number}"  # one name in two folders
        write_tiny_subject(tmp_path / "people" / folder / f"{name}.h5", 4, 32, person, number)
    seen = {}

    def record(model, faces, training, validation, *rest):
        people = [part.subject for part in faces.datasets for _ in range(len(part))]
        seen["train"], seen["validation"] = ({people[item] for item in items} for items in (training, validation))
        seen["count"] = len(training) + len(validation)
        return train_estimator(model, faces, training, validation, *rest)

    monkeypatch.setattr(pretrain, "train_estimator", record)
    config = DriverPretrainConfig(network=NETWORK, num_validations=1)
    config = config.model_copy(update={"fit": config.fit.model_copy(update={"num_steps": 1, "batch_size": 4})})
    produced = pretrain.run(config, {"people": tmp_path / "people"}, context(tmp_path / "work"))
    assert seen["train"].isdisjoint(seen["validation"])
    assert (len(seen["train"]), len(seen["validation"]), seen["count"]) == (3, 1, 20)
    assert {role: set(names) for role, names in produced.subjects.items()} == {
        "train": seen["train"], "validation": seen["validation"],
    }  # fmt: skip


def spoilt(model, path, card=None, value=None):
    """A weights file of this card, or with one weight of this value."""
    if value is not None:
        torch.nn.init.constant_(model.head[3].bias, value)
    card = card or estimator_card(model, "test", 1, None, DRIVER_FACE.model_dump(mode="json"), {})
    save_estimator(path, model, card)


def test_files_that_are_not_weights_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"absent: no such file; expected a face estimator"):
        load_estimator(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"weights.safetensors: no such file; expected a face estimator"):
        load_estimator(tmp_path / "empty")
    for name, content in (("a.safetensors", b"nothing"), ("b.safetensors", b""), ("c.pth", b""), ("d.PTH", b"x")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput, match=rf"{name}: not a f(ace estimator|ile of tensors alone) \(.+\)") as caught:
            load_estimator(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_weights_that_are_not_finite_or_of_something_else_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    for value in (float("nan"), float("inf")):
        spoilt(FaceEstimator(NETWORK), path, value=value)
        with pytest.raises(BadInput, match=r"w.safetensors: not finite: head.3.bias; its training diverged"):
            load_estimator(path)
    model = FaceEstimator(NETWORK)
    card = estimator_card(model, "test", 1, None, {}, {})
    for changes, message in (
        ({"stage": "mesh_head"}, "written by stage 'mesh_head'"),
        ({"network": {"hidden": 8, "image_px": 32}}, "Error.s. in loading state_dict"),
        ({"network": {"hidden": -8}}, "validation error"),
        ({"trained_on": None}, "its card lacks trained_on"),
    ):
        spoilt(model, path, card | changes)
        with pytest.raises(BadInput, match=rf"w.safetensors: not a face estimator \(.*{message}.*\)"):
            load_estimator(path)


def dots(gaze):
    """A black image with a white dot where the gaze's arrow ends, so that image and label can be checked."""
    rgb = torch.zeros(len(gaze), 3, 65, 65)
    for number, direction in enumerate(vector_from_pitchyaw(gaze)):
        x, y = (32 + 28 * direction[:2]).round().int().tolist()
        rgb[number, :, y - 1 : y + 2, x - 1 : x + 2] = 1
    return FaceBatch(rgb, torch.ones(len(gaze), 1, 65, 65), gaze)


@pytest.mark.parametrize("option", [{"mirror": True}, {"roll_deg": 30.0}])
def test_the_gaze_turns_with_the_image(option):
    still = dict.fromkeys(("shift", "scale", "roll_deg", "brightness", "contrast", "color", "noise"), 0.0)
    torch.manual_seed(1)
    gaze = torch.rand(12, 2) * 1.0 - 0.5
    after = augmented(dots(gaze), FaceAugmentation(**(still | {"smallest": 1.0} | option)))
    assert (after.gaze_camera - gaze).abs().max() > 0.1
    expected = 32 + 28 * vector_from_pitchyaw(after.gaze_camera)[:, :2]
    weights = after.rgb.mean(1)
    ys, xs = torch.meshgrid(torch.arange(65.0), torch.arange(65.0), indexing="ij")
    seen = torch.stack([(weights * axis).sum((1, 2)) / weights.sum((1, 2)) for axis in (xs, ys)], dim=-1)
    assert (seen - expected).abs().max() < 1.0


def test_a_data_set_larger_than_memory_is_read_from_disk(extracted, monkeypatch):
    kept = read_faces([extracted / "subject.h5"])
    monkeypatch.setattr("gaze_core.driver.faces._MEMORY_BYTES", 0)
    lazy = read_faces([extracted / "subject.h5"])
    for name in ("rgb", "head_mask", "gaze_camera"):
        torch.testing.assert_close(getattr(kept.batch([5, 0, 5]), name), getattr(lazy.batch([5, 0, 5]), name))
