import h5py
import pytest
import torch

from gaze_core.data.subjects import SubjectDataset, open_subject
from gaze_core.errors import BadInput
from gaze_core.geometry.angles import angular_error_deg, pitchyaw_from_vector, vector_from_pitchyaw
from tests.tiny_subject import write_tiny_subject


@pytest.fixture
def subject(tmp_path):
    return write_tiny_subject(tmp_path / "subject.h5", num_images=8)


def test_reads_samples_in_the_asked_order(subject):
    dataset = SubjectDataset(subject)
    batch = dataset.batch([5, 1, 5])
    assert batch.sample_index.tolist() == [5, 1, 5]
    assert torch.equal(batch.rgb[0], batch.rgb[2])
    assert torch.equal(batch.rgb[1], dataset[1].rgb[0])


def test_values_are_in_our_ranges_and_frames(subject):
    batch = SubjectDataset(subject).everything
    assert batch.rgb.min() >= 0
    assert batch.rgb.max() <= 1
    assert set(batch.head_mask.unique().tolist()) == {0.0, 1.0}
    head_to_camera = (batch.camera.world_to_camera @ batch.head.head_to_world)[:, :3, :3]
    turned = pitchyaw_from_vector((head_to_camera @ vector_from_pitchyaw(batch.gaze_head)[..., None])[..., 0])
    assert angular_error_deg(turned, batch.gaze_camera).max() < 0.01


def test_white_background_keeps_the_head(subject):
    batch = SubjectDataset(subject).everything
    assert (batch.rgb_on_white[:, :, 0, 0] == 1).all()
    inside = batch.head_mask.expand_as(batch.rgb) > 0
    assert torch.equal(batch.rgb_on_white[inside], batch.rgb[inside])


def test_bad_samples_are_dropped_and_counted_never_replaced(subject):
    with h5py.File(subject, "a") as file:
        file["head_mask"][2] = 0
        file["valid/gaze"][[4, 6]] = False
    dataset = SubjectDataset(subject)
    assert dataset.indices.tolist() == [0, 1, 3, 5, 7]
    assert dataset.dropped == {"empty_head_mask": 1, "invalid_gaze": 2}


def test_truncated_file_is_named(subject):
    subject.write_bytes(subject.read_bytes()[:2000])
    with pytest.raises(BadInput, match=r"subject\.h5: not a readable HDF5 file, truncated"):
        open_subject(subject)


def test_missing_field_missing_file_and_other_version_are_named(subject, tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        open_subject(tmp_path / "absent.h5")
    with h5py.File(subject, "a") as file:
        del file["gaze_head"]
    with pytest.raises(BadInput, match="lacks gaze_head"):
        open_subject(subject)
    with h5py.File(subject, "a") as file:
        file.attrs["schema_version"] = 99
    with pytest.raises(BadInput, match="schema version 99, expected 1"):
        open_subject(subject)
