"""From a path of the user's to a recording in the store."""

from pathlib import Path

import h5py
import pytest

from gaze_core.artifacts import files_in
from gaze_core.errors import BadInput
from tasks.store.artifacts import Store
from tasks.store.recordings import import_recording, require_recording
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
    with pytest.raises(BadInput, match="the folder is empty"):
        import_recording.fn(folder)


@pytest.mark.parametrize("folder", [".", "people", "people/train"])
def test_subject_files_are_refused_by_the_name_that_the_user_gave_them(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    path = write_tiny_subject(tmp_path / folder / "ann.h5", num_images=4)
    recording = path if folder == "." else tmp_path / "people"
    require_recording(recording)
    with h5py.File(path, "a") as file:
        file["eye_centers_head_m"][2] *= 100
    for use in (require_recording, import_recording.fn):
        with pytest.raises(BadInput, match=r"/ann\.h5: eye_centers_head_m: .* first 2$") as refusal:
            use(recording)
        assert str(refusal.value).startswith(str(path))
