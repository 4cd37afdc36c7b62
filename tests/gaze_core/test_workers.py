"""Worker processes do not outlive the process that started them."""

import os
import signal
import subprocess
import sys
import time

from gaze_core.workers import worker_pool

PARENT = """
import os, sys, time
from gaze_core.workers import worker_pool
if __name__ == "__main__":
    with worker_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 60).result()
"""


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    end = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(worker)


def test_workers_are_prepared_and_there_is_at_least_one():
    with worker_pool(0, prepare) as pool:
        assert pool.submit(os.getenv, "PREPARED").result() == "yes"


def prepare():
    os.environ["PREPARED"] = "yes"
