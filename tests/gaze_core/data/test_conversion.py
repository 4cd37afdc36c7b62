"""Conversion of many people: each fault rejects only its frame or person, and a second run resumes."""

import json

import h5py
import numpy as np
import pytest

from gaze_core.data.adapters.conversion import MANIFEST, convert_subjects
from gaze_core.data.adapters.published import convert_subject, open_published
from gaze_core.errors import BadInput
from tests.gaze_core.data import published as layout
from tests.gaze_core.data.published import make_scenes


@pytest.mark.parametrize("layout_name", ["mat", "h5"])
def test_images_of_zero_to_one_are_as_bright_as_those_of_bytes(tmp_path, layout_name):
    scenes = make_scenes(2)
    if layout_name == "mat":
        path = layout.write_mpii_mat(tmp_path / "p03.mat", scenes)
        with h5py.File(path, "a") as file:
            file["Data/data"][...] = file["Data/data"][...] / 255
    else:
        path = layout.write_mpii_h5(tmp_path / "MPIIFaceGaze.h5", {"p03": scenes})
        with h5py.File(path, "a") as file:
            for name in list(file["p03/image"]):
                image = file[f"p03/image/{name}"][...] / 255
                del file[f"p03/image/{name}"]
                file[f"p03/image/{name}"] = image
    source = open_published(path, f"mpii_face_gaze_{layout_name}")
    assert convert_subject(source, "p03", tmp_path / "out.h5").num_kept == 2
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["image"][...], [scene.image for scene in scenes])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda image: image / 127.5 - 1, "image_out_of_range"),
        (lambda image: 257.0 * image, "image_out_of_range"),
        (lambda image: np.where(image > 100, np.nan, image), "nan_image"),
    ],
)
def test_images_of_other_ranges_are_left_out(tmp_path, change, reason):
    path = layout.write_mpii_mat(tmp_path / "p03.mat", make_scenes(3))
    with h5py.File(path, "a") as file:
        file["Data/data"][1] = change(file["Data/data"][1])
    result = convert_subject(open_published(path, "mpii_face_gaze_mat"), "p03", tmp_path / "out.h5")
    assert (result.num_kept, result.dropped) == (2, {reason: 1})


def test_labels_of_text_are_named(tmp_path):
    path = layout.write_mpii_mat(tmp_path / "p03.mat", make_scenes(1))
    with h5py.File(path, "a") as file:
        del file["Data/label"]
        file["Data/label"] = np.full((1, 16), b"0.1")
    with pytest.raises(BadInput, match=r"label should hold numbers, found \|S3"):
        convert_subject(open_published(path, "mpii_face_gaze_mat"), "p03", tmp_path / "out.h5")
    path = layout.write_mpii_h5(tmp_path / "MPIIFaceGaze.h5", {"p03": make_scenes(2)})
    with h5py.File(path, "a") as file:
        del file["p03/gaze/0001"]
        file["p03/gaze/0001"] = ["up", "left"]
    result = convert_subject(open_published(path, "mpii_face_gaze_h5"), "p03", tmp_path / "out.h5")
    assert (result.num_kept, result.dropped) == (1, {"no_numbers_gaze": 1})


def test_masks_of_another_size_reject_their_frames(tmp_path):
    path = layout.write_gazenerf(tmp_path / "xgaze_subject0003.h5", make_scenes(2))
    with h5py.File(path, "a") as file:
        del file["left_eye_mask"]
        file["left_eye_mask"] = np.full((2, 20, 30), 255, np.uint8)
    result = convert_subject(open_published(path, "gazenerf_eth_xgaze"), "subject0003", tmp_path / "out.h5")
    assert (result.num_kept, result.dropped) == (0, {"right_eye_mask_shape": 2})


def test_one_bad_person_does_not_stop_the_conversion_and_a_second_run_resumes(tmp_path):
    for number in (1, 2, 3):
        layout.write_eth_xgaze(tmp_path / f"subject000{number}.h5", make_scenes(2, number))
    bad = tmp_path / "subject0002.h5"
    good = bad.read_bytes()
    bad.write_bytes(good[:3000])
    out = tmp_path / "out"

    def run():
        return dict(convert_subjects(open_published(tmp_path, "eth_xgaze_hdf5"), out))

    first = run()
    assert [entry.get("num_kept") for entry in first.values()] == [2, None, 2]
    assert "subject0002.h5: not a readable HDF5 file" in first["subject0002"]["error"]
    assert sorted(path.name for path in out.iterdir()) == [MANIFEST, "subject0001.h5", "subject0003.h5"]
    written = (out / "subject0001.h5").stat().st_mtime_ns
    bad.write_bytes(good)
    assert [entry.get("num_kept") for entry in run().values()] == [2, 2, 2]
    assert (out / "subject0001.h5").stat().st_mtime_ns == written
    layout.write_eth_xgaze(tmp_path / "subject0001.h5", make_scenes(3, 1))  # another source is converted anew
    assert run()["subject0001"]["num_kept"] == 3
    assert json.loads((out / MANIFEST).read_text())["made_by"]["adapter"] == "eth_xgaze_hdf5"


def test_no_usable_frame_is_an_error_and_leaves_no_earlier_file(tmp_path):
    path = layout.write_eth_xgaze(tmp_path / "subject0001.h5", make_scenes(2))
    out = tmp_path / "out"
    assert dict(convert_subjects(open_published(path, "eth_xgaze_hdf5"), out))["subject0001"]["num_kept"] == 2
    with h5py.File(path, "a") as file:
        file["face_gaze"][...] = np.nan
    entry = dict(convert_subjects(open_published(path, "eth_xgaze_hdf5"), out))["subject0001"]
    assert "no usable frame (nan_face_gaze: 2)" in entry["error"]
    assert [file.name for file in out.iterdir()] == [MANIFEST]


@pytest.mark.parametrize("copy", ["subject0001 (1).h5", "subject0001 - Copy.h5", "subject0001 copy.h5"])
def test_a_copy_is_no_second_person(tmp_path, copy):
    for name in ("subject0001.h5", copy):
        layout.write_eth_xgaze(tmp_path / name, make_scenes(1))
    with pytest.raises(BadInput, match="is not a subject of the data set, probably a copy"):
        open_published(tmp_path, "eth_xgaze_hdf5")
