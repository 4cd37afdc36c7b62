import importlib.util
import os
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from gaze_core import assets
from gaze_core.config import Runtime
from gaze_core.data.seen import Seen
from gaze_core.data.splits import SPLITS_FILE, DatasetSplits, Splits, read_splits, write_splits
from gaze_core.data.subjects import SUBJECT_FILE, SubjectDataset
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from gaze_core.evaluation import readers
from gaze_core.evaluation.judge import CnnJudge, JudgePrediction, require_no_critic
from gaze_core.evaluation.method import measurement_facts
from gaze_core.evaluation.pairs import Pairs, write_pairs
from gaze_core.evaluation.readers import available_readers
from gaze_core.evaluation.report import EvaluationReport
from gaze_core.evaluation.report_images import ReportImages
from gaze_core.evaluation.report_renderings import eye_crops, facing_pose
from gaze_core.geometry.angles import pitchyaw_from_vector
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import evaluate, gaze_gaussian
from gaze_core.stages.redirection.evaluate import EvaluateConfig, require_pairs
from gaze_core.training.checkpoint import WEIGHTS_FILE, save_weights
from tests.gaze_core.stages.redirection.tiny_run import train, write_dataset
from tests.tiny_subject import write_tiny_subject


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_dataset(root)
    for stage in ("mesh_head", "gaze_gaussian"):
        train(stage, root, root / stage)
    return root


def test_evaluates_the_test_frames_and_renders_the_configured_examples(root, tmp_path):
    inputs = {"data": root / "data", "checkpoint": root / "gaze_gaussian"}
    config = EvaluateConfig(num_shown=2)
    first = evaluate.run(config, inputs, StageContext(Runtime(device="cpu"), tmp_path))
    content = first.files[evaluate.EVALUATION_FILE].read_bytes()
    again = evaluate.run(config, inputs, StageContext(Runtime(device="cpu"), tmp_path))
    assert again.files[evaluate.EVALUATION_FILE].read_bytes() == content
    assert first.metrics["psnr_db"] > 5


def test_refuses_test_frames_that_training_has_seen(root, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    write_tiny_subject(data / "subject.h5", num_images=12)
    splits = '{"subjects": [{"subject": "tiny", "train": [9, 10], "validation": [11], "test": [7, 8]}]}'
    (data / "splits.json").write_text(splits)
    inputs = {"data": data, "checkpoint": root / "gaze_gaussian"}
    message = r"the checkpoint was trained on 2 of the 2 test frames of synthetic/tiny \(first: frame 7\)"
    with pytest.raises(ContractViolation, match=message):
        evaluate.run(EvaluateConfig(), inputs, StageContext(Runtime(device="cpu"), tmp_path))


def with_last_block(root, folder):
    """The data of `root` with one frame of the test, and one that no split names, as its last block."""
    shutil.copytree(root / "data", folder)
    (splits,) = read_splits(root / "data" / "splits.json").subjects
    parts = {"test": splits.test[:2], "last_block": (splits.test[2], splits.validation[0])}
    parts["validation"] = splits.validation[1:]
    write_splits(folder / "splits.json", DatasetSplits(subjects=(splits.model_copy(update=parts),)))
    return folder


def test_the_last_block_is_measured_on_its_own_and_must_be_as_unseen_as_the_test(root, tmp_path):
    inputs = {"data": with_last_block(root, tmp_path / "data"), "checkpoint": root / "gaze_gaussian"}

    def measured(split):
        found = evaluate.run(
            EvaluateConfig(num_shown=2, split=split), inputs, StageContext(Runtime(device="cpu"), tmp_path)
        )
        return EvaluationReport.model_validate_json(found.files[evaluate.EVALUATION_FILE].read_text())

    (splits,) = read_splits(tmp_path / "data" / "splits.json").subjects
    assert set(measured("test").subjects[0].target_index) == set(splits.test)
    with pytest.raises(ContractViolation, match="the checkpoint was trained on 1 of the 2 test frames"):
        measured("last_block")
    unseen = splits.model_copy(update={"test": (), "last_block": splits.test})
    write_splits(tmp_path / "data" / "splits.json", DatasetSplits(subjects=(unseen,)))
    last = measured("last_block")
    assert set(last.subjects[0].target_index) == set(splits.test)
    assert last.protocol.title == "One recording, its last block held out"


def as_synthetic(root, folder, subject):
    """The data of `root` under another subject's name."""
    shutil.copytree(root / "data", folder)
    with h5py.File(folder / "subject.h5", "r+") as file:
        file.attrs["subject"] = subject
    splits = read_splits(root / "data" / "splits.json").subjects[0].model_copy(update={"subject": subject})
    write_splits(folder / "splits.json", DatasetSplits(subjects=(splits,)))
    return folder


def test_a_judge_trained_on_the_subject_is_refused(root, tmp_path):
    known = CnnJudge().card["training_subjects"][0]
    data = as_synthetic(root, tmp_path / "data", known)
    for call in (
        lambda: evaluate.run(
            EvaluateConfig(), {"data": data, "checkpoint": root / "gaze_gaussian"},
            StageContext(Runtime(device="cpu"), tmp_path),
        ),
        lambda: evaluate.require_unseen_by_judge(EvaluateConfig(), data),
    ):  # fmt: skip
        with pytest.raises(ContractViolation, match=f"judge 'cnn' was trained on the person of synthetic/{known}"):
            call()


def test_a_checkpoint_is_not_judged_by_its_own_critic(root, tmp_path):
    model, card = gaze_gaussian.load(root / "gaze_gaussian")
    critic = {"path": "anywhere", "sha256": CnnJudge().digest + "0" * 52}
    (tmp_path / "checkpoint").mkdir()
    changed = card | {"config": card["config"] | {"critic": critic}}
    save_weights(tmp_path / "checkpoint" / WEIGHTS_FILE, model, changed)
    inputs = {"data": root / "data", "checkpoint": tmp_path / "checkpoint"}
    with pytest.raises(ContractViolation, match="trained with the gaze critic .* which is the judge 'cnn'"):
        evaluate.run(EvaluateConfig(), inputs, StageContext(Runtime(device="cpu"), tmp_path))


def test_facing_pose_turns_the_head_to_the_target_direction_in_place(root):
    batch = SubjectDataset(root / "data" / "subject.h5").batch([0, 1])
    target_pose = torch.tensor([[0.1, -0.3], [0.0, 0.2]])
    pose = facing_pose(batch.camera, batch.head, target_pose)
    facing = pitchyaw_from_vector(-(batch.camera.world_to_camera @ pose)[:, :3, 2])
    torch.testing.assert_close(facing, target_pose)
    torch.testing.assert_close(pose[:, :3, 3], batch.head.head_to_world[:, :3, 3])


def test_eye_crops_put_the_middle_between_the_eyes_in_the_middle():
    image, landmarks = torch.zeros(1, 3, 64, 64), torch.zeros(1, 68, 2)
    image[..., 30:34, 30:34] = 1
    landmarks[:, 36], landmarks[:, 45] = torch.tensor([22.0, 32]), torch.tensor([42.0, 32])
    rows, columns = torch.nonzero(eye_crops(image, landmarks, (160, 64))[0, 0] > 0.5, as_tuple=True)
    assert (columns.float().mean() + 0.5, rows.float().mean() + 0.5) == (80, 32)
    assert columns.max() - columns.min() + 1 == pytest.approx(4 * 160 / 30, abs=1.5)  # 30 px wide on 160


def test_a_judge_that_was_the_critic_is_refused():
    judge = CnnJudge()
    require_no_critic(judge, None)
    require_no_critic(judge, "0" * 64)
    with pytest.raises(
        ContractViolation, match=f"trained with the gaze critic {judge.digest}, which is the judge 'cnn'"
    ):
        require_no_critic(judge, judge.digest + "0" * 52)


def test_listed_pairs_are_followed_and_their_targets_must_be_unseen(root, tmp_path):
    folder, work = tmp_path / "pairs", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    inputs = {"data": root / "data", "checkpoint": root / "gaze_gaussian", "pairs": folder}
    write_pairs(folder / "pairs.csv", "synthetic", {"tiny": Pairs((0, 1), (9, 10))})
    evaluate.run(EvaluateConfig(num_shown=1), inputs, StageContext(Runtime(device="cpu"), work))
    report = EvaluationReport.model_validate_json((work / evaluate.EVALUATION_FILE).read_text())
    assert (report.subjects[0].input_index, report.subjects[0].target_index) == ((0, 1), (9, 10))
    assert report.protocol.pairs.startswith("pairs.csv, sha256 ")
    write_pairs(folder / "pairs.csv", "synthetic", {"tiny": Pairs((9, 10), (0, 1))})
    with pytest.raises(ContractViolation, match="trained on 2 of the 2 test frames of synthetic/tiny"):
        evaluate.run(EvaluateConfig(), inputs, StageContext(Runtime(device="cpu"), work))


def test_a_protocol_of_another_source_is_refused(root, tmp_path):
    inputs = {"data": root / "data", "checkpoint": root / "gaze_gaussian"}
    context = StageContext(Runtime(device="cpu"), tmp_path)
    with pytest.raises(BadInput, match="protocol columbia is for columbia, the subject tiny comes from synthetic"):
        evaluate.run(EvaluateConfig(protocol="columbia"), inputs, context)
    with pytest.raises(BadInput, match="no protocol named 'moon'"):
        evaluate.run(EvaluateConfig(protocol="moon"), inputs, context)


def test_several_subjects_are_evaluated_one_after_the_other(root, tmp_path):
    data, work = tmp_path / "data", tmp_path / "work"
    data.mkdir()
    work.mkdir()
    for k, name in enumerate(("tiny", "other")):
        write_tiny_subject(data / f"{name}.h5", num_images=12, subject=name, seed=k)
    one = {"train": tuple(range(7)), "validation": (7, 8), "test": (9, 10, 11)}
    splits = [Splits(subject=name, file=f"{name}.h5", **one) for name in ("tiny", "other")]
    write_splits(data / "splits.json", DatasetSplits(subjects=tuple(splits)))
    inputs = {"data": data, "checkpoint": root / "gaze_gaussian"}
    produced = evaluate.run(EvaluateConfig(num_shown=3), inputs, StageContext(Runtime(device="cpu"), work))
    report = EvaluationReport.model_validate_json((work / evaluate.EVALUATION_FILE).read_text())
    assert produced.subjects == {"test": ("tiny", "other")}
    assert [subject.subject for subject in report.subjects] == ["tiny", "other"]
    found = report.estimate("psnr_db")
    assert (found.num_samples, found.num_subjects) == (6, 2)
    means = [sum(s.values["model"]["psnr_db"]) / 3 for s in report.subjects]
    assert (found.low, found.high) == (pytest.approx(min(means)), pytest.approx(max(means)))
    images = ReportImages.load(work / evaluate.IMAGES_FILE)
    assert [label.split(",")[0] for label in images.head_labels] == ["tiny", "tiny", "other"]


def test_too_few_held_out_frames_are_refused_before_training(tmp_path):
    write_tiny_subject(tmp_path / SUBJECT_FILE, num_images=4)
    splits = Splits(subject="tiny", train=(0, 1), validation=(2,), test=(3,))
    write_splits(tmp_path / SPLITS_FILE, DatasetSplits(subjects=(splits,)))
    for split in ("test", "validation"):
        with pytest.raises(BadInput, match="tiny: 1 held-out frames; expected at least 2, .* give a longer recording"):
            require_pairs(EvaluateConfig(split=split), tmp_path)


class Second:
    """Reads the colours of the images, so that it is never without an answer."""

    name, digest, seen = "openvino", "5ec07d", Seen()

    def predict(self, rgb):
        return JudgePrediction(rgb.mean(dim=(2, 3))[:, :2] - 0.5, None, torch.ones(len(rgb), dtype=torch.bool))


def evaluated(root, work, label_source, **config):
    """Report and images of an evaluation of data with labels of this source."""
    data = work / "data"
    shutil.copytree(root / "data", data)
    with h5py.File(data / SUBJECT_FILE, "r+") as file:
        file.attrs["label_source"] = label_source
    inputs = {"data": data, "checkpoint": root / "gaze_gaussian"}
    evaluate.run(EvaluateConfig(num_shown=1, **config), inputs, StageContext(Runtime(device="cpu"), work))
    report = EvaluationReport.model_validate_json((work / evaluate.EVALUATION_FILE).read_text())
    return report, ReportImages.load(work / evaluate.IMAGES_FILE)


def test_recordings_with_estimated_labels_are_swept_and_read_a_second_time(root, tmp_path, monkeypatch):
    known = readers.reader
    monkeypatch.setattr(readers, "reader", lambda name: Second() if name == "openvino" else known(name))
    report, images = evaluated(root, tmp_path, "iris", readers=("openvino",))
    assert {(line.reader, line.axis) for line in report.sweep} == {
        (name, axis) for name in ("cnn", "openvino") for axis in ("yaw", "pitch")
    }
    assert set(report.readers_absent) == {"iris", "landmarks"}
    assert images.sweep_eyes["yaw"].shape == (2, 5, 64, 160, 3)
    assert images.sweep_labels[0].startswith("tiny, frame ")
    for name in ("openvino_gaze_error_deg", "identity_copy_openvino_gaze_error_deg", "openvino_floor_deg"):
        assert report.numbers[name] > 0
    assert report.numbers["constant_openvino_gaze_error_deg"] == report.numbers["constant_gaze_error_deg"]
    assert report.numbers["sweep_openvino_yaw_slope"] is not None
    assert report.instruments["openvino"] == Second.digest


def test_a_second_reader_that_is_not_at_hand_is_absent_with_its_reason(root, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv(assets.FOLDERS_VARIABLE, "")
    monkeypatch.setattr(readers, "find_spec", lambda name: None)
    caplog.set_level("INFO")
    report, _ = evaluated(root, tmp_path, "iris", readers=available_readers())
    assert {line.reader for line in report.sweep} == {"cnn"}
    reason = report.readers_absent["openvino"]
    assert reason.startswith(
        "the package openvino is not installed, pip install 'gazeworks[openvino]'; face_landmarker"
    )
    assert "face_landmarker.task is not on this machine, get " in reason
    assert "gaze-estimation-adas-0002.bin is not on this machine, get " in reason
    assert report.estimate("openvino_gaze_error_deg").absent == reason
    assert f"sweep: openvino does not read: {reason}" in caplog.messages


def test_the_expected_error_of_the_labels_is_reported_where_it_is_known(root, tmp_path):
    report, _ = evaluated(root, tmp_path / "without", "exact")
    assert report.label_error_deg is None
    other = tmp_path / "root"
    shutil.copytree(root, other)
    with h5py.File(other / "data" / SUBJECT_FILE, "r+") as file:
        file["gaze_sigma_rad"] = np.full(len(file["image"]), np.deg2rad(6.0), np.float32)
    report, _ = evaluated(other, tmp_path / "with", "exact")
    assert report.label_error_deg == pytest.approx(6, abs=1e-3)
    assert any(term == "gaze labels" and "off by 6.0" in text for term, text in measurement_facts(report))


def test_where_labels_are_exact_nobody_else_is_asked(root, tmp_path):
    report, images = evaluated(root, tmp_path, "exact", readers=("cnn", "iris", "openvino"))
    assert report.sweep == ()
    assert images.sweep_labels == []
    assert "the labels are exact" in report.estimate("openvino_gaze_error_deg").absent


def test_openvino_as_judge_needs_its_files_and_says_which(monkeypatch):
    nowhere = {name: replace(asset, urls=()) for name, asset in assets.ASSETS.items()}
    nowhere = {name: replace(asset, package="absent==1") for name, asset in nowhere.items()}
    monkeypatch.setattr(assets, "ASSETS", nowhere)
    monkeypatch.setenv(assets.FOLDERS_VARIABLE, "")
    with pytest.raises(MissingArtifact, match=r"face_landmarker\.task .* was not found and could not be downloaded"):
        evaluate.judge_of(EvaluateConfig(judge="openvino"))


def test_openvino_judges_where_it_is_at_hand(shared_data, monkeypatch):
    folders = (shared_data, shared_data / "weights" / "openvino")
    needed = (folders[0] / "face_landmarker.task", folders[1] / "gaze-estimation-adas-0002.bin")
    if importlib.util.find_spec("openvino") is None or not all(file.is_file() for file in needed):
        pytest.skip(f"openvino is not installed, or its files are not at {shared_data}")
    monkeypatch.setenv(assets.FOLDERS_VARIABLE, os.pathsep.join(map(str, folders)))
    assert available_readers() == ("cnn", "landmarks", "iris", "openvino")
    judge = evaluate.judge_of(EvaluateConfig(judge="openvino"))
    assert (judge.name, judge.digest) == ("openvino", "d525d095-v1")
    assert not judge.predict(torch.ones(2, 3, 64, 64)).valid.any()
