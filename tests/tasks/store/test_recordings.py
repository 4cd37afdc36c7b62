"""From a path of the user's to a recording in the store."""

from pathlib import Path

import pytest

from gaze_core.artifacts import files_in
from gaze_core.errors import BadInput
from tasks.store.artifacts import Store
from tasks.store.recordings import import_recording


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
