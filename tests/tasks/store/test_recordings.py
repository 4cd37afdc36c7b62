"""Import of a user's recording into the store."""

import os
from pathlib import Path

import h5py
import pytest

from gaze_core.artifacts import ArtifactRef, files_in
from gaze_core.errors import BadInput
from tasks.store.artifacts import Store
from tasks.store.recordings import import_recording, naming_users_file, require_recording
from tests.tiny_subject import write_tiny_subject


def test_hidden_files_of_a_folder_change_nothing(tmp_path: Path) -> None:
    (folder := tmp_path / "pictures").mkdir()
    (folder / "1.jpg").write_bytes(b"one")
    before = import_recording.fn(folder)
    for name in (".DS_Store", "._1.jpg", ".git/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("of a file browser")
    assert import_recording.fn(folder) == before
    assert set(files_in(Store.from_environment().fetch(before))) == {"manifest.json", "pictures/1.jpg"}
    (folder / "1.jpg").unlink()
    with pytest.raises(BadInput, match="the folder holds no images"):
        import_recording.fn(folder)


@pytest.mark.parametrize("folder", [".", "people", "people/train"])
def test_subject_files_are_refused_by_the_name_that_the_user_gave_them(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    path = write_tiny_subject(tmp_path / folder / "ann.h5", num_images=4)
    recording = path if folder == "." else tmp_path / "people"
    require_recording(recording, "synthetic")
    with h5py.File(path, "a") as file:
        file["eye_centers_head_m"][2] *= 100
    for use in (require_recording, import_recording.fn):
        with pytest.raises(BadInput, match=r"/ann\.h5: eye_centers_head_m: .* first 2$") as refusal:
            use(recording, "synthetic")
        assert str(refusal.value).startswith(str(path))


def test_only_what_was_recorded_is_imported(tmp_path: Path) -> None:
    (folder := tmp_path / "work").mkdir()
    for name in ("1.jpg", "2.JPG", "notes.txt", "v.mp4", "face_landmarker.task", "reports/a.png", "x.png/deep.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"content")
    write_tiny_subject(folder / "me.H5", num_images=4)
    assert _names(import_recording.fn(folder)) == {"work/1.jpg", "work/2.JPG"}
    assert _names(import_recording.fn(folder, "synthetic")) == {"work/me.H5"}
    (folder / "me.H5").unlink()
    with pytest.raises(BadInput, match="work: the folder holds no subject files"):
        import_recording.fn(folder, "synthetic")


def test_the_current_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder := tmp_path / "work").mkdir()
    (folder / "1.jpg").write_bytes(b"one")
    named = import_recording.fn(folder)
    monkeypatch.chdir(folder)
    assert import_recording.fn(Path()) == named


def test_an_error_names_the_users_own_file(tmp_path: Path) -> None:
    (folder := tmp_path / "work").mkdir()
    (folder / "1.jpg").write_bytes(b"one")
    ref = import_recording.fn(folder)
    copy = Store.from_environment().fetch(ref)
    with pytest.raises(BadInput) as caught, naming_users_file(folder, ref):
        raise BadInput(f"{copy}/work/1.jpg: not a readable image")
    assert str(caught.value) == f"{folder}/1.jpg: not a readable image"


def test_a_name_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(b"one")
    with pytest.raises(BadInput, match=r"udcff\.jpg': expected a name in UTF-8; rename it"):
        import_recording.fn(tmp_path)


def _names(ref: ArtifactRef) -> set[str]:
    return set(files_in(Store.from_environment().fetch(ref))) - {"manifest.json"}
