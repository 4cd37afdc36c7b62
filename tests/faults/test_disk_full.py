"""A disk that fills up while a checkpoint or an artifact is written: on a real small disk, and by the system's limit."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.errors import NoSpace
from gaze_core.training.checkpoint import load_resume_state, save_resume_state, save_weights
from tasks.store.artifacts import Store
from tests.faults.conftest import ROOT

SMALL, LARGE = {"step": 1, "weights": torch.ones(10_000)}, {"step": 2, "weights": torch.ones(2_000_000)}
LIMITED = """
import resource, sys, torch
from pathlib import Path
from gaze_core.errors import NoSpace
from gaze_core.training.checkpoint import load_resume_state, save_resume_state
folder = Path(sys.argv[1])
save_resume_state(folder, {"step": 1, "weights": torch.ones(10_000)})
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
try:
    save_resume_state(folder, {"step": 2, "weights": torch.ones(2_000_000)})
except NoSpace as error:
    print(error)
assert load_resume_state(folder)["step"] == 1
print(sorted(path.name for path in folder.iterdir()))
"""


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 4 MiB; skipped where mounting is not allowed."""
    folder = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_the_last_checkpoint_survives_a_full_disk(small_disk: Path) -> None:
    work = small_disk / "work"
    work.mkdir()
    save_resume_state(work, SMALL)
    with pytest.raises(NoSpace, match=r"last\.train\.pt: no space to write it.*free some and run again"):
        save_resume_state(work, LARGE)
    state = load_resume_state(work)
    assert state is not None
    assert state["step"] == 1
    assert [path.name for path in work.iterdir()] == ["last.train.pt"]  # the half file does not fill the disk further
    with pytest.raises(NoSpace, match="best"):
        save_weights(work / "best.safetensors", nn.Linear(1500, 1500), {})
    assert [path.name for path in work.iterdir()] == ["last.train.pt"]


def test_an_artifact_that_does_not_fit_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(bytes(8 * 2**20))
    store = Store((small_disk / "store").as_uri(), tmp_path / "cache")
    with pytest.raises(NoSpace, match="make room and run again"):
        store.publish(
            Produced("checkpoint", {"w": tmp_path / "w"}), stage="fit", version=1, config=Config(), parents={}
        )
    assert [path for path in (small_disk / "store").rglob("*") if path.is_file()] == []


def test_the_last_checkpoint_survives_the_systems_limit_on_a_files_size(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    message, files = done.stdout.splitlines()
    assert "no space to write it" in message
    assert files == "['last.train.pt']"
