"""Every adapter on files in exactly the published layout: mirror and arrow tests, streaming, and bad input."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from gaze_core.data.adapters.published import Published, convert_subject, open_published
from gaze_core.data.adapters.table import ADAPTERS
from gaze_core.data.schema import ATTRIBUTES, FIELDS
from gaze_core.data.subjects import SubjectDataset, open_subject
from gaze_core.data.validation import validate_file
from gaze_core.errors import BadInput
from tests.gaze_core.data import published as layout
from tests.gaze_core.data.published import PAIRS, Scene, camera_label, make_scenes, mirrored

WRITERS: dict[str, tuple[str, str, Callable[[Path, list[Scene]], Path]]] = {
    "eth_xgaze_hdf5": ("subject0000", "subject0000.h5", layout.write_eth_xgaze),
    "gazenerf_eth_xgaze": ("subject0003", "xgaze_subject0003.h5", layout.write_gazenerf),
    "gazenerf_columbia": ("subject0001", "columbia_subject0001.h5", layout.write_gazenerf),
    "gazenerf_gaze_capture": ("subject0001", "gaze_capture_subject0001.h5", layout.write_gazenerf),
    "gazenerf_mpii_face_gaze": ("subject0001", "mpii_subject0001.h5", layout.write_gazenerf),
    "gazegaussian_eth_xgaze": ("subject0003", "xgaze_subject0003.h5", layout.write_gazegaussian),
    "gazegaussian_columbia": ("subject0001", "columbia_subject0001.h5", layout.write_gazegaussian),
    "gazegaussian_gaze_capture": ("subject0001", "gaze_capture_subject0001.h5", layout.write_gazegaussian),
    "gazegaussian_mpii_face_gaze": ("subject0001", "mpii_subject0001.h5", layout.write_gazegaussian),
    "mpii_face_gaze_mat": ("p03", "p03.mat", layout.write_mpii_mat),
    "mpii_face_gaze_h5": ("p03", "MPIIFaceGaze.h5", lambda p, s: layout.write_mpii_h5(p, {"p03": s, "p04": s[:1]})),
    "mpii_face_gaze_sted": ("p03", "MPIIGaze.h5", lambda p, s: layout.write_sted(p, {"p03": s})),
    "gaze_capture_sted": ("00028", "GazeCapture_128.h5", lambda p, s: layout.write_sted(p, {"00028": s, "00002": []})),
    "gaze_capture_faze": ("00028", "GazeCapture.h5", lambda p, s: layout.write_sted(p, {"00028": s}, columns=4)),
    "columbia_sted": ("0001", "Columbia_128.h5", lambda p, s: layout.write_sted(p, {"0001": s}, bgr=True)),
}
EVERY = pytest.mark.parametrize("name", list(ADAPTERS))
WITH_MASKS = [name for name in ADAPTERS if name.startswith(("gazenerf", "gazegaussian"))]
WITH_LANDMARKS = ["eth_xgaze_hdf5", *WITH_MASKS]


def published(name: str, folder: Path, scenes: list[Scene], **flags) -> tuple[Published, str]:
    subject, file, write = WRITERS[name]
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / file, scenes)
    return open_published(folder, name, **flags), subject


def scenes_for(name: str, count: int = 3) -> list[Scene]:
    return make_scenes(count, 5, *((256, 64) if name == "gaze_capture_faze" else ()))


def samples(name: str, folder: Path, scenes: list[Scene]) -> list[dict]:
    source, subject = published(name, folder, scenes)
    return list(source.samples(subject))


@EVERY
def test_labels_are_the_true_gaze_and_head(name, tmp_path):
    scenes = scenes_for(name)
    found = samples(name, tmp_path, scenes)
    assert len(found) == len(scenes)
    for sample, scene in zip(found, scenes, strict=True):
        np.testing.assert_allclose(sample["gaze_camera"], camera_label(scene.gaze), atol=1e-6)
        np.testing.assert_allclose(sample["gaze_head"], camera_label(scene.head_to_camera.T @ scene.gaze), atol=1e-6)
        head_to_camera = (sample["world_to_camera"] @ sample["head_to_world"])[:3, :3]
        np.testing.assert_allclose(head_to_camera, scene.head_to_camera, atol=1e-6)
        np.testing.assert_array_equal(sample["image"], scene.image)
        assert sample["valid/gaze"]


@EVERY
def test_mirror(name, tmp_path):
    scenes = scenes_for(name)
    seen = samples(name, tmp_path / "seen", scenes)
    mirror = samples(name, tmp_path / "mirror", [mirrored(scene) for scene in scenes])
    for a, b in zip(seen, mirror, strict=True):
        width = a["image"].shape[1]
        np.testing.assert_array_equal(b["image"], a["image"][:, ::-1])
        for field in ("gaze_camera", "gaze_head"):
            np.testing.assert_allclose(b[field], a[field] * [1, -1], atol=1e-6)
        np.testing.assert_allclose(b["gaze_head_eyes"], a["gaze_head_eyes"][::-1] * [1, -1], atol=1e-6)
        np.testing.assert_array_equal(b["left_eye_mask"], a["right_eye_mask"][:, ::-1])
        np.testing.assert_array_equal(b["right_eye_mask"], a["left_eye_mask"][:, ::-1])
        if name in WITH_LANDMARKS:
            np.testing.assert_allclose(b["landmarks_2d_px"], a["landmarks_2d_px"][PAIRS] * [-1, 1] + [width, 0])
        if "gazegaussian" in name:
            for field in ("landmarks_3d_head_m", "eye_centers_head_m"):
                pairs = PAIRS if "landmarks" in field else [1, 0]
                np.testing.assert_allclose(b[field], a[field][pairs] * [-1, 1, 1], atol=1e-9)


@EVERY
def test_arrow_from_each_eye_points_to_its_bright_dot(name, tmp_path):
    scenes = scenes_for(name, count=8)
    for sample, scene in zip(samples(name, tmp_path, scenes), scenes, strict=True):
        pitch, yaw = sample["gaze_camera"]
        arrow = np.array([-np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
        for center in scene.eye_centers_px + 0.5:
            seen = dot_near(sample["image"], center) - center
            assert seen @ arrow / np.linalg.norm(seen) / np.linalg.norm(arrow) > 0.98


def dot_near(image: np.ndarray, center_px: np.ndarray) -> np.ndarray:
    """Centroid of the yellow pixels; with swapped colours the skin would be yellow."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    near = np.hypot(x - center_px[0], y - center_px[1]) < 6
    weight = (image[..., 0].astype(float) - image[..., 2]).clip(0) * near
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("name", WITH_LANDMARKS)
def test_landmarks_lie_on_our_pixels(name, tmp_path):
    scenes = scenes_for(name)
    for sample, scene in zip(samples(name, tmp_path, scenes), scenes, strict=True):
        np.testing.assert_allclose(sample["landmarks_2d_px"], scene.landmarks_px + 0.5, atol=1e-9)


@pytest.mark.parametrize("name", WITH_MASKS)
def test_masks_are_the_subjects_own(name, tmp_path):
    scenes = scenes_for(name)
    for sample, scene in zip(samples(name, tmp_path, scenes), scenes, strict=True):
        np.testing.assert_array_equal(sample["left_eye_mask"], scene.eye_masks[0])
        np.testing.assert_array_equal(sample["right_eye_mask"], scene.eye_masks[1])
        np.testing.assert_array_equal(sample["head_mask"], scene.head_mask)
        columns = [np.nonzero(sample[f"{side}_eye_mask"])[1].mean() for side in ("left", "right")]
        assert columns[0] > columns[1]  # the subject's left eye is at image right


def test_eyes_of_their_own_where_the_layout_has_them(tmp_path):
    scenes = scenes_for("gaze_capture_sted")
    for sample, scene in zip(samples("gaze_capture_sted", tmp_path, scenes), scenes, strict=True):
        for side in (0, 1):
            true = camera_label(scene.head_to_camera.T @ scene.gaze_eyes[side])
            np.testing.assert_allclose(sample["gaze_head_eyes"][side], true, atol=1e-6)


@EVERY
def test_converts_to_a_subject_file(name, tmp_path):
    scenes = scenes_for(name)
    source, subject = published(name, tmp_path / "theirs", scenes)
    out = tmp_path / "ours" / "subject.h5"
    assert convert_subject(source, subject, out).num_kept == len(scenes)
    with open_subject(out) as file:
        assert set(ATTRIBUTES) <= set(file.attrs)
        assert (file.attrs["subject"], file.attrs["source"]) == (subject, ADAPTERS[name].source)
        provenance = json.loads(file.attrs["provenance"])
        assert provenance["adapter"] == name
        assert set(provenance["label_faults"]) == set(ADAPTERS[name].faults)
        for field in FIELDS:
            assert file[field].dtype == FIELDS[field].dtype
        for index, sample in enumerate(source.samples(subject)):
            for field in FIELDS:
                np.testing.assert_allclose(file[field][index], sample[field], rtol=1e-6, atol=1e-6)
        for field in provenance["neutral"]:
            if field.startswith("valid/"):
                assert not file[field][:].any()
        assert file["image"].chunks[0] == 1
    assert [path.name for path in out.parent.iterdir()] == ["subject.h5"]
    assert [str(fault) for fault in validate_file(out)] == []


def test_what_a_data_set_lacks_is_neutral_and_invalid(tmp_path):
    (sample,) = samples("mpii_face_gaze_mat", tmp_path, make_scenes(1))
    assert set(sample) == set(FIELDS)
    assert not any(sample[f"valid/{label}"] for label in ("head_pose", "landmarks_3d", "identity", "expression"))
    assert not sample["valid/left_eye"]
    assert not sample["left_eye_mask"].any()
    assert sample["head_mask"].all()


def test_eth_test_subjects_have_no_gaze(tmp_path):
    layout.write_eth_xgaze(tmp_path / "subject0001.h5", make_scenes(2), labelled=False, landmarks=False)
    for sample in open_published(tmp_path, "eth_xgaze_hdf5").samples("subject0001"):
        assert not sample["valid/gaze"]
        assert not sample["gaze_camera"].any()


def test_two_eth_sizes_are_the_same_view(tmp_path):
    for size, folder in ((224, "a"), (448, "b")):
        (tmp_path / folder).mkdir()
        layout.write_eth_xgaze(tmp_path / folder / "subject0000.h5", make_scenes(1, 0, size, size))
    small, large = (
        next(open_published(tmp_path / f, "eth_xgaze_hdf5").samples("subject0000"))["intrinsics_px"] for f in "ab"
    )
    assert (small[0, 0], large[0, 0]) == (960, 1920)
    assert (small[0, 2], large[0, 2]) == (112.5, 224.5)  # index 112 and 224 in the field's count


@EVERY
def test_one_image_is_read_at_a_time(name, tmp_path, monkeypatch):
    scenes = scenes_for(name, count=6)
    source, subject = published(name, tmp_path, scenes)
    largest: list[int] = [0]
    read = h5py.Dataset.__getitem__

    def counting(array, selection, **options):
        value = read(array, selection, **options)
        largest[0] = max(largest[0], np.size(value))
        return value

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    first = next(source.samples(subject))
    assert 0 < largest[0] <= first["image"].size
    assert len(list(source.samples(subject))) == 6
    assert largest[0] <= first["image"].size


def spoil(file: h5py.File, key: str, index: int, value: float) -> None:
    row = file[key][index]
    row[...] = value
    file[key][index] = row


@pytest.mark.parametrize(
    ("name", "key", "value", "reason"),
    [
        ("eth_xgaze_hdf5", "face_gaze", np.nan, "nan_face_gaze"),
        ("eth_xgaze_hdf5", "face_gaze", 20.0, "face_gaze_out_of_range"),  # degrees
        ("eth_xgaze_hdf5", "face_patch", 0, "blank_image"),
        ("eth_xgaze_hdf5", "face_mat_norm", 0, "face_mat_norm_no_rotation"),
        ("gazenerf_eth_xgaze", "head_mask", 0, "empty_head_mask"),
        ("gazenerf_eth_xgaze", "pitchyaw_head", np.inf, "nan_pitchyaw_head"),
        ("gazegaussian_eth_xgaze", "w2c_Rmat", 0, "w2c_Rmat_no_rotation"),
        ("gazegaussian_eth_xgaze", "pose", np.nan, "nan_pose"),
        ("mpii_face_gaze_mat", "Data/label", np.nan, "nan_label"),
        ("mpii_face_gaze_mat", "Data/data", 0, "blank_image"),
        ("gaze_capture_sted", "00028/labels", np.nan, "nan_labels"),
        ("gaze_capture_sted", "00028/pixels", 0, "blank_image"),
    ],
)
def test_an_unusable_frame_is_skipped_alone(name, key, value, reason, tmp_path):
    source, subject = published(name, tmp_path, scenes_for(name))
    with h5py.File(source.files[subject], "a") as file:
        spoil(file, key, 1, value)
    counts = convert_subject(source, subject, tmp_path / "ours.h5")
    assert (counts.num_kept, counts.dropped) == (2, {reason: 1})
    with open_subject(tmp_path / "ours.h5") as file:
        assert json.loads(file.attrs["dropped"]) == {reason: 1}
        np.testing.assert_array_equal(file["image"][1], scenes_for(name)[2].image)


@pytest.mark.parametrize(
    ("name", "key"),
    [("eth_xgaze_hdf5", "face_patch"), ("gazenerf_columbia", "head_mask"), ("mpii_face_gaze_mat", "Data/data")],
)
def test_an_undecodable_image_is_skipped_alone(name, key, tmp_path):
    source, subject = published(name, tmp_path, scenes_for(name))
    path = source.files[subject]
    with h5py.File(path, "r") as file:
        chunk = file[key].id.get_chunk_info(1)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    counts = convert_subject(source, subject, tmp_path / "ours.h5")
    assert (counts.num_kept, counts.dropped) == (2, {f"undecodable_{key.split('/')[-1]}": 1})


def test_samples_of_one_h5_per_image_are_checked_one_by_one(tmp_path):
    source, subject = published("mpii_face_gaze_h5", tmp_path, make_scenes(5))
    with h5py.File(source.files[subject], "a") as file:
        del file["p03/gaze/0001"]
        file["p03/gaze/0002"][...] = np.nan
        del file["p03/image/0003"]
        file["p03/image/0003"] = np.ones((8, 8), dtype=np.uint8)
        del file["p03/image/0004"]
        file["p03/image/0004"] = np.ones((8, 8, 3), dtype=np.uint8)  # not the others' size
    counts = convert_subject(source, subject, tmp_path / "ours.h5")
    assert counts.num_kept == 1
    assert counts.dropped == {"missing_gaze": 1, "nan_gaze": 1, "image_shape": 2}


def test_no_usable_frame_writes_no_file_and_keeps_what_was_there(tmp_path):
    source, _ = published("gaze_capture_sted", tmp_path, make_scenes(1))
    out = tmp_path / "ours.h5"
    out.write_bytes(b"precious")
    assert convert_subject(source, "00002", out).num_kept == 0  # an empty group
    assert out.read_bytes() == b"precious"
    assert convert_subject(source, "00028", out).num_kept == 1  # a single image
    assert len(SubjectDataset(out).dropped) == 1  # head pose is not published, so training would leave it out


def test_an_interrupted_conversion_leaves_nothing(tmp_path, monkeypatch):
    source, subject = published("eth_xgaze_hdf5", tmp_path / "theirs", make_scenes(3))
    calls = []

    def failing(array):
        calls.append(array)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return array

    monkeypatch.setattr("gaze_core.data.adapters.eth_xgaze.rgb_image", lambda image, is_bgr: failing(image))
    with pytest.raises(KeyboardInterrupt):
        convert_subject(source, subject, tmp_path / "ours" / "subject.h5")
    assert not list((tmp_path / "ours").iterdir())


def test_missing_key_wrong_shape_and_wrong_type_are_named(tmp_path):
    source, subject = published("eth_xgaze_hdf5", tmp_path, make_scenes(2))
    path = source.files[subject]

    def message(edit) -> str:
        layout.write_eth_xgaze(path, make_scenes(2))
        with h5py.File(path, "a") as file:
            edit(file)
        with pytest.raises(BadInput) as error:
            convert_subject(source, subject, tmp_path / "out" / "ours.h5")
        assert not (tmp_path / "out").exists()
        return str(error.value)

    def replaced(key: str, value: np.ndarray):
        def edit(file: h5py.File) -> None:
            del file[key]
            file[key] = value

        return edit

    assert "lacks face_head_pose, expected shape (N, 2)" in message(lambda file: file.pop("face_head_pose"))
    assert "face_gaze should have shape (N, 2), found (2, 3)" in message(replaced("face_gaze", np.zeros((2, 3))))
    assert "face_gaze should have shape (N, 2), found ()" in message(replaced("face_gaze", np.float64(3)))
    text = message(replaced("face_patch", np.zeros((2, 8, 8, 3))))
    assert "face_patch should be uint8, found float64" in text
    text = message(replaced("face_gaze", np.zeros((5, 2))))
    assert "expected as many frames under each key" in text
    assert "face_gaze 5" in text


def test_the_other_layouts_codes_are_refused(tmp_path):
    layout.write_gazenerf(tmp_path / "xgaze_subject0000.h5", make_scenes(1), codes=251)
    with pytest.raises(BadInput, match=r"latent_codes should have shape \(N, 306\), found \(1, 251\)"):
        next(open_published(tmp_path, "gazenerf_eth_xgaze").samples("subject0000"))


@EVERY
def test_truncated_files_are_named(name, tmp_path):
    source, subject = published(name, tmp_path, scenes_for(name))
    path = source.files[subject]
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(BadInput, match=f"{path.name}: not a readable HDF5 file, truncated"):
        list(source.samples(subject))


def test_groups_of_another_layout_are_named(tmp_path):
    with h5py.File(tmp_path / "GazeCapture.h5", "w") as file:
        file["00001/pixels"] = np.ones((2, 8, 8, 3), dtype=np.uint8)
        file["00001/labels"] = np.zeros((2, 6))
    with pytest.raises(BadInput, match=r"labels should have shape \(N, 4\) or \(N, 8\), found \(N, 6\)"):
        next(open_published(tmp_path, "gaze_capture_sted").samples("00001"))
    with h5py.File(tmp_path / "p00.mat", "w") as file:
        file["label"] = np.zeros((2, 16))
    with pytest.raises(BadInput, match="lacks the group Data"):
        next(open_published(tmp_path, "mpii_face_gaze_mat").samples("p00"))
    with h5py.File(tmp_path / "MPIIFaceGaze.h5", "w") as file:
        file["p00/image/0000"] = np.ones((8, 8, 3), dtype=np.uint8)
    with pytest.raises(BadInput, match="lacks the group pose"):
        next(open_published(tmp_path, "mpii_face_gaze_h5").samples("p00"))
    with h5py.File(tmp_path / "Columbia.h5", "w") as file:
        file["pixels"] = np.ones(3)
    with pytest.raises(BadInput, match="expected one group per person, found none"):
        open_published(tmp_path, "columbia_sted")


def test_finding_people(tmp_path):
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
    layout.write_eth_xgaze(tmp_path / "train" / "subject0003.h5", make_scenes(1))
    layout.write_eth_xgaze(tmp_path / "test" / "subject0001.h5", make_scenes(1))
    assert open_published(tmp_path, "eth_xgaze_hdf5").subjects() == ("subject0001", "subject0003")
    assert open_published(tmp_path, "eth_xgaze_hdf5", subject="subject0003").subjects() == ("subject0003",)
    file = tmp_path / "train" / "subject0003.h5"
    assert open_published(str(file), "eth_xgaze_hdf5").subjects() == ("subject0003",)
    with pytest.raises(BadInput, match="no subject 'subject0009'; found subject0001, subject0003"):
        open_published(tmp_path, "eth_xgaze_hdf5", subject="subject0009")
    layout.write_eth_xgaze(tmp_path / "test" / "subject0003.h5", make_scenes(1))
    with pytest.raises(BadInput, match="subject0003 is in .* name the folder to open"):
        open_published(tmp_path, "eth_xgaze_hdf5")


def test_user_mistakes_are_one_line(tmp_path):
    with pytest.raises(BadInput, match="no adapter 'xgaze'; expected one of eth_xgaze_hdf5"):
        open_published(tmp_path, "xgaze")
    with pytest.raises(BadInput, match="no such file or folder"):
        open_published(tmp_path / "absent", "eth_xgaze_hdf5")
    with pytest.raises(BadInput, match=r"no file named xgaze_\*\.h5"):
        open_published(tmp_path, "gazenerf_eth_xgaze")
    with pytest.raises(BadInput, match="flag channel_order: .*flags are channel_order, legacy_gaze_origin"):
        open_published(tmp_path, "eth_xgaze_hdf5", channel_order="gbr")
    with pytest.raises(BadInput, match="flag channels"):
        open_published(tmp_path, "eth_xgaze_hdf5", channels="rgb")


def test_channel_order_can_be_given(tmp_path):
    scenes = make_scenes(1)
    source, subject = published("eth_xgaze_hdf5", tmp_path, scenes, channel_order="rgb")
    np.testing.assert_array_equal(next(source.samples(subject))["image"], scenes[0].image[..., ::-1])
