"""One artifact, published by several processes at once, as when two runs import the same file."""

import os
import subprocess
import sys
from pathlib import Path

from tasks.store.artifacts import Store
from tests.faults.conftest import ROOT

PUBLISH = """
import sys
from pathlib import Path
from gaze_core.artifacts import Produced
from gaze_core.config import Config
from tasks.store.artifacts import Store
produced = Produced("dataset", {"video.mp4": Path(sys.argv[1])})
print("ready", flush=True)
sys.stdin.readline()
ref = Store.from_environment().publish(produced, stage="recording", version=1, config=Config(), parents={})
print(ref.model_dump_json())
"""


def test_two_imports_of_one_file_both_succeed(tmp_path: Path, home: Path) -> None:
    video = tmp_path / "video.mp4"
    video.write_bytes(os.urandom(64 * 2**20))
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISH, str(video)], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
    ends = []
    for run in runs:  # all wait for this line
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()
    for run in runs:
        ends.append(run.communicate(timeout=120))
    assert [run.returncode for run in runs] == [0, 0, 0], ends
    assert len({out for out, _ in ends}) == 1
    (folder,) = (home / "store" / "recording").iterdir()
    assert {path.name for path in folder.iterdir()} == {"video.mp4", "manifest.json"}
    assert Store.from_environment().root_uri == (home / "store").as_uri()
