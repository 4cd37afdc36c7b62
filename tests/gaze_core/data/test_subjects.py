import os
import pickle

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from gaze_core.data.schema import FIELDS
from gaze_core.data.subjects import SubjectDataset, open_subject
from gaze_core.errors import BadInput
from gaze_core.geometry.angles import angular_error_deg, pitchyaw_from_vector, vector_from_pitchyaw
from tests.tiny_subject import write_tiny_subject


@pytest.fixture
def subject(tmp_path):
    return write_tiny_subject(tmp_path / "subject.h5", num_images=8)


def test_reads_samples_in_the_given_order(subject):
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
    with pytest.raises(BadInput, match="gaze_head: expected float32 .* found none"):
        open_subject(subject)
    with h5py.File(subject, "a") as file:
        file["gaze_head"] = file["gaze_camera"][:]
        file.attrs["schema_version"] = 99
    with pytest.raises(BadInput, match="schema_version: expected 1; run preprocess again, found 99"):
        open_subject(subject)


def test_a_required_label_is_the_first_reason_and_masks_at_or_below_127_are_empty(subject):
    with h5py.File(subject, "a") as file:
        file["head_mask"][2] = file["head_mask"][5] = 127
        file["valid/head_pose"][2] = False
        file["head_mask"][6] = 128
    dataset = SubjectDataset(subject)
    assert dataset.dropped == {"invalid_head_pose": 1, "empty_head_mask": 1}
    assert dataset.indices.tolist() == [0, 1, 3, 4, 6, 7]
    assert dataset.batch([4]).head_mask.min() == 1


def test_a_stored_head_area_saves_reading_the_masks(subject):
    with h5py.File(subject, "a") as file:
        file["head_area_px"] = np.array([9, 9, 0, 9, 9, 9, 9, 9], "int32")  # says of frame 2 what its mask does not
    assert SubjectDataset(subject).dropped == {"empty_head_mask": 1}


def test_a_subset_keeps_its_order_and_knows_its_frames(subject):
    dataset = SubjectDataset(subject, subset=[6, 1])
    assert dataset.everything.sample_index.tolist() == [6, 1]
    assert torch.equal(dataset[0].rgb[0], SubjectDataset(subject)[6].rgb[0])
    for frames in ([0, 8], [-1]):
        with pytest.raises(BadInput, match=rf"frame {frames[-1]} was requested, but the file has frames 0 to 7"):
            SubjectDataset(subject, subset=frames)


def test_frames_that_share_a_chunk_are_read_as_any_other(subject, tmp_path):
    path = tmp_path / "chunked.h5"
    with h5py.File(subject) as source, h5py.File(path, "w") as file:
        file.attrs.update(source.attrs)
        for name in FIELDS:
            values = source[name][:]
            file.create_dataset(name, data=values, chunks=(3, *values.shape[1:]), compression="gzip")
    items = [7, 0, 4, 1, 0, 7, 3]
    a, b = SubjectDataset(subject).batch(items), SubjectDataset(path).batch(items)
    for name in ("rgb", "head_mask", "left_eye_mask", "right_eye_mask", "observed_mask", "gaze_head"):
        assert torch.equal(getattr(a, name), getattr(b, name))


def test_masks_keep_their_places_in_the_byte_that_holds_them(subject):
    with h5py.File(subject, "a") as file:
        names = ("head_mask", "observed_mask", "left_eye_mask", "right_eye_mask")
        for number, name in enumerate(names):
            file[name][3] = 0
            file[name][3, number, 2 * number] = 255
    batch = SubjectDataset(subject).batch([3])
    for number, name in enumerate(names):
        assert getattr(batch, name).nonzero().tolist() == [[0, 0, number, 2 * number]]
    assert batch.rgb.is_contiguous()


def test_damaged_frames_raise_a_named_error(subject, tmp_path):
    path = tmp_path / "packed.h5"
    with h5py.File(subject) as source, h5py.File(path, "w") as file:
        file.attrs.update(source.attrs)
        for name in list(source):
            source.copy(name, file)
        for name in ("image", "head_mask"):
            values = file[name][:]
            del file[name]
            file.create_dataset(name, data=values, chunks=(1, *values.shape[1:]), compression="gzip")
        chunks = [file[name].id.get_chunk_info(2) for name in ("image", "head_mask")]
    for chunk, message in zip(chunks, ("frame 2 cannot be read", "a label or head mask cannot be read"), strict=True):
        with path.open("r+b") as raw:
            raw.seek(chunk.byte_offset)
            raw.write(b"\xff" * chunk.size)
        with pytest.raises(BadInput, match=rf"packed\.h5: {message}, the file is damaged"):
            SubjectDataset(path).batch([2])


def test_torch_dataloader_gets_whole_batches(subject):
    dataset = SubjectDataset(subject)
    loader = DataLoader(dataset, batch_size=3, collate_fn=lambda batch: batch)
    assert [batch.sample_index.tolist() for batch in loader] == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_a_dataset_travels_without_its_handle_and_its_images(subject):
    dataset = SubjectDataset(subject)
    everything = dataset.everything
    copy = pickle.loads(pickle.dumps(dataset))
    assert "everything" not in vars(copy)
    assert copy._handle is None
    assert torch.equal(copy.everything.rgb, everything.rgb)


def test_a_forked_process_opens_the_file_for_itself(subject):
    dataset = SubjectDataset(subject)
    dataset.batch([0])
    parent = dataset._handle
    dataset._handle = (os.getpid() + 1, parent[1])  # as a child finds it
    dataset.batch([0])
    assert dataset._handle[0] == os.getpid()
    assert dataset._handle[1] is not parent[1]


def test_an_estimator_can_do_without_a_head_pose(tmp_path):
    """Most published files have no head pose that could be used, and gaze labels that can."""
    path = write_tiny_subject(tmp_path / "tiny.h5", num_images=4)
    with h5py.File(path, "a") as file:
        file["valid/head_pose"][1:] = False
        file["valid/gaze"][3] = False
    assert SubjectDataset(path).indices.tolist() == [0]
    only_gaze = SubjectDataset(path, required_labels=("gaze",))
    assert only_gaze.indices.tolist() == [0, 1, 2]
    assert only_gaze.dropped == {"invalid_gaze": 1}


def test_doubtful_gaze_labels_count_less_and_files_without_doubts_count_alike(subject):
    plain = SubjectDataset(subject).everything
    assert plain.gaze_weight.tolist() == [1.0] * len(plain)
    assert plain.gaze_sigma_rad.tolist() == [0.0] * len(plain)
    sigma_deg = np.full(8, 1e-4, np.float32)
    sigma_deg[:4] = 5.0
    with h5py.File(subject, "a") as file:
        file["gaze_sigma_rad"] = np.deg2rad(sigma_deg)
    batch = SubjectDataset(subject, subset=[0, 7]).everything
    # Half and whole, divided by their mean.
    torch.testing.assert_close(batch.gaze_weight, torch.tensor([0.5, 1.0]) / 0.75)
    torch.testing.assert_close(torch.rad2deg(batch.gaze_sigma_rad), torch.tensor([5.0, 1e-4]))
