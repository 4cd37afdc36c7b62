"""GazeCapture's layout in all its published forms; the names follow the published test script."""

import h5py
import numpy as np
import pytest

from gaze_core.errors import BadInput
from gaze_core.one_shot.layout import count_samples, read_person, require_person, write_people
from gaze_core.one_shot.samples import prepare
from gaze_core.one_shot.selection import SplitConfig, choose_person, split_person
from tests.gaze_core.one_shot.tiny_people import drawn_people, drawn_person


@pytest.fixture
def file(tmp_path):
    return drawn_people(tmp_path / "GazeCapture.h5", {"00002": 9, "00028": 60, "00035": 0, "00041": 1, "00107": 50})


def write_raw(path, pixels, labels, **attributes):
    """A file as others write it."""
    with h5py.File(path, "w") as out:
        out.attrs.update(attributes)
        group = out.create_group("p00")
        group["pixels"], group["labels"] = pixels, labels
    return path


def test_random_person_selection(file):
    counts = count_samples(file)
    assert counts == {"00002": 9, "00028": 60, "00035": 0, "00041": 1, "00107": 50}
    drawn = {choose_person(counts, 20, seed)[0] for seed in range(30)}
    assert drawn == {"00028", "00107"}  # only those with enough, and not always the same
    assert choose_person(counts, 20, 3) == choose_person(counts, 20, 3)
    name, sentence = choose_person(counts, 500, 0)
    assert name == "00028"
    assert "nobody has enough samples for 500" in sentence


def test_specific_person_selection(file):
    counts = count_samples(file)
    assert require_person(file, "28", counts) == "00028"
    with pytest.raises(BadInput, match=r"no person 'person_001' among 5; the nearest names are 00"):
        require_person(file, "person_001", counts)
    with pytest.raises(BadInput, match="nearest names are 00107"):
        require_person(file, "00108", counts)
    with pytest.raises(BadInput, match="00035 has no samples; choose another person"):
        read_person(file, "00035")
    assert len(read_person(file, "00041").pixels) == 1
    with pytest.raises(BadInput, match="1 usable sample, expected 3 or more"):
        split_person(1, SplitConfig(), "00041")


def test_data_consistency(file):
    once, again = (read_person(file, "00028") for _ in range(2))
    assert np.array_equal(once.pixels, again.pixels)
    drawn = drawn_person(60, 1)
    assert np.array_equal(once.pixels, drawn.pixels)
    assert np.allclose(once.gaze, drawn.labels[:, :2])
    few, many = (split_person(60, SplitConfig(num_samples=count), "x") for count in (5, 30))
    assert (few.test, few.validation) == (many.test, many.validation)
    assert set(few.adapt) < set(many.adapt)
    parts = [*many.adapt, *many.validation, *many.test]
    assert len(parts) == len(set(parts))
    assert len(many.adapt) == 30


def test_fewer_samples_than_asked_for_are_all_taken_and_said(caplog):
    import logging

    split = split_person(20, SplitConfig(num_samples=50), "00028", logging.getLogger("gazeworks"))
    assert len(split.adapt) == 20 - len(split.test) - len(split.validation)
    assert "50 samples were asked for, 12 are left" in caplog.text


@pytest.mark.parametrize("columns", [4, 8])
@pytest.mark.parametrize("size", [128, 256])
def test_label_columns_and_sizes(tmp_path, columns, size):
    path = drawn_people(tmp_path / "GazeCapture.h5", {"00002": 4}, columns=columns, size=size)
    person = read_person(path, "00002")
    assert person.labels.shape == (4, columns)
    samples = prepare({"00002": person}, {"00002": person.landmarks_px})
    assert samples.band.shape == (4, 64, 192, 3)
    assert 0.1 < (samples.mask > 0).mean() < 0.4


def test_other_numbers_of_label_columns_are_refused(tmp_path):
    path = write_raw(tmp_path / "GazeCapture.h5", np.zeros((3, 8, 8, 3), np.uint8), np.zeros((3, 6)))
    with pytest.raises(BadInput, match=r"labels should have shape \(N, 4\) or \(N, 8\), found \(3, 6\)"):
        read_person(path, "p00")


def test_channel_order_by_option_attribute_and_name(tmp_path):
    red = np.zeros((1, 8, 8, 3), np.uint8)
    red[..., 0] = 200
    labels = np.zeros((1, 4))
    rgb = write_raw(tmp_path / "GazeCapture.h5", red, labels)
    assert read_person(rgb, "p00").pixels[0, 0, 0].tolist() == [200, 0, 0]
    assert read_person(rgb, "p00", "bgr").pixels[0, 0, 0].tolist() == [0, 0, 200]
    bgr = write_raw(tmp_path / "Columbia_128.h5", red, labels)
    assert read_person(bgr, "p00").pixels[0, 0, 0].tolist() == [0, 0, 200]
    told = write_raw(tmp_path / "Columbia_x.h5", red, labels, channel_order="rgb")
    assert read_person(told, "p00").pixels[0, 0, 0].tolist() == [200, 0, 0]


def test_unusable_samples_are_counted_not_replaced(tmp_path):
    person = drawn_person(6)
    pixels, labels = person.pixels.copy(), person.labels.copy()
    labels[1, 0], labels[2, 1] = np.nan, 45.0  # degrees
    pixels[3], pixels[5] = 0, pixels[4]
    path = write_raw(tmp_path / "GazeCapture.h5", pixels, labels)
    found = read_person(path, "p00")
    assert found.rows.tolist() == [0, 4]
    assert found.dropped == {"nan_labels": 1, "gaze_out_of_range": 1, "blank_image": 1, "duplicate": 1}


def test_a_truncated_file_is_named(file):
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="truncated or of another format"):
        count_samples(file)


def test_what_is_no_such_file(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as out:
        out["image"] = np.zeros(3)
    with pytest.raises(BadInput, match="expected one group for each person"):
        count_samples(tmp_path / "other.h5")
    with h5py.File(tmp_path / "faces.h5", "w") as out:
        out.create_group("p00")["images"] = np.zeros(3)
    with pytest.raises(BadInput, match="/p00 lacks pixels or labels, found images"):
        count_samples(tmp_path / "faces.h5")


def test_people_keep_the_order_in_which_they_were_written(tmp_path):
    path = tmp_path / "people.h5"
    write_people(path, {"00903": drawn_person(3), "00901": drawn_person(2, 1)})
    assert list(count_samples(path)) == ["00903", "00901"]


def test_the_same_people_are_written_as_the_same_bytes(tmp_path):
    people = {"00002": drawn_person(3)}
    for name in ("one.h5", "two.h5"):
        write_people(tmp_path / name, people)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
