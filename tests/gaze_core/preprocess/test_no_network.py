"""A face never leaves the machine: landmark detection opens no network socket, not even in native code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LANDMARKS = """
import sys
from pathlib import Path
from gaze_core.preprocess.video import VideoConfig, preprocess_video
summary = preprocess_video(Path(sys.argv[1]), Path(sys.argv[2]), VideoConfig(max_frames=2), Path(sys.argv[3]))
assert summary.num_kept == 2
"""
CALL_HOME = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.connect(("127.0.0.1", 9))
"""


def network_calls(script: str, log: Path, *arguments: Path) -> list[str]:
    """System calls of the script and its children that concern internet sockets."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    trap = [strace, "-f", "-qq", "-e", "trace=socket,connect,sendto,sendmsg,sendmmsg", "-o", str(log)]
    if subprocess.run([*trap, "true"], capture_output=True).returncode != 0:
        pytest.skip("strace may not trace here")
    command = [*trap, sys.executable, "-c", script, *map(str, arguments)]
    # For a script given by -c the current folder is the first place of imports.
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "HOME": str(log.parent)}
    )
    assert done.returncode == 0, done.stderr
    return [line for line in log.read_text().splitlines() if "AF_INET" in line]


def test_the_trap_sees_a_call_home(tmp_path):
    assert network_calls(CALL_HOME, tmp_path / "log")


def test_landmark_detection_opens_no_socket(shared_data, landmarker, tmp_path):
    recording = shared_data / "carphone.mp4"
    assert network_calls(LANDMARKS, tmp_path / "log", recording, tmp_path / "s.h5", landmarker) == []
