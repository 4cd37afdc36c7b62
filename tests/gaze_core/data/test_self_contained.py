"""A file that refers to other files is refused wherever it is opened."""

import h5py
import numpy as np
import pytest

from gaze_core.data.adapters.hdf5 import opened
from gaze_core.data.schema import FIELDS
from gaze_core.data.splits import Splits
from gaze_core.data.subjects import SubjectDataset, open_subject
from gaze_core.data.validation import validate_file
from gaze_core.errors import BadInput
from tests.tiny_subject import write_tiny_subject


def external_link(file, secret):
    del file["image"]
    file["image"] = h5py.ExternalLink(str(secret), "/image")


def external_group(file, secret):
    """Two steps inside the file, the second of which leads out."""
    del file["image"]
    file.create_group("inside")["out"] = h5py.ExternalLink(str(secret), "/")
    file["image"] = h5py.SoftLink("/inside/out/image")


def external_storage(file, secret):
    shape = file["image"].shape
    del file["image"]
    file.create_dataset("image", shape, np.uint8, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def virtual(file, secret):
    shape = file["image"].shape
    del file["image"]
    layout = h5py.VirtualLayout(shape, np.uint8)
    layout[:] = h5py.VirtualSource(str(secret), "image", shape)
    file.create_virtual_dataset("image", layout)


@pytest.mark.parametrize("lead_out", [external_link, external_group, external_storage, virtual])
def test_data_of_other_files_are_refused(tmp_path, lead_out):
    secret = write_tiny_subject(tmp_path / "secret.h5", num_images=4)
    subject = write_tiny_subject(tmp_path / "subject.h5", num_images=4)
    with h5py.File(subject, "a") as file:
        lead_out(file, secret)
        assert file["image"].shape == (4, 32, 32, 3)  # HDF5 follows it
    for opens in (open_subject, SubjectDataset):
        with pytest.raises(BadInput, match=r"subject.h5: the (link|field) \S+ .* in another file"):
            opens(subject)
    with pytest.raises(BadInput, match="in another file"), opened(subject):
        pass
    assert [fault.expected for fault in validate_file(subject)] == ["all data in the file itself"]


def test_links_and_virtual_fields_within_the_file_are_data_as_any_other(tmp_path):
    subject = write_tiny_subject(tmp_path / "subject.h5", num_images=4)
    with h5py.File(subject, "a") as file:
        file.move("image", "pixels")
        file["image"] = h5py.SoftLink("/pixels")
        layout = h5py.VirtualLayout((4,), np.bool_)
        layout[:] = h5py.VirtualSource(".", "held_out", (4,))
        file.create_virtual_dataset("again", layout)
    assert set(FIELDS) <= set(open_subject(subject)) | {f"valid/{name}" for name in open_subject(subject)["valid"]}
    assert len(SubjectDataset(subject)) == 4


@pytest.mark.parametrize("name", ["../secret.h5", "/etc/secret.h5", "..", "a/b.h5"])
def test_a_split_names_a_file_beside_it(name):
    with pytest.raises(ValueError, match="pattern"):
        Splits(subject="s", file=name, train=(0,), validation=(), test=())
