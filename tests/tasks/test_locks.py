import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tasks.locks import work_lock

HOLDER = """
import sys, time
from pathlib import Path
from tasks.locks import work_lock
with work_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_thread_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with work_lock(tmp_path / "stage") as waited:
            order.append(f"second, waited {waited}")

    with work_lock(tmp_path / "stage") as waited:
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append(f"first, waited {waited}")
    thread.join(timeout=10)
    assert order == ["first, waited False", "second, waited True"]
    assert list(tmp_path.iterdir()) == []


def test_many_threads_are_in_one_at_a_time(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(20):
            with work_lock(tmp_path / "stage"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert most[0] == 1


def test_a_run_that_waited_holds_the_lock_against_later_ones(tmp_path: Path) -> None:
    inside, leave, third_inside = threading.Event(), threading.Event(), threading.Event()

    def second() -> None:
        with work_lock(tmp_path / "stage"):
            inside.set()
            leave.wait(10)

    def third() -> None:
        with work_lock(tmp_path / "stage"):
            third_inside.set()

    threads = [threading.Thread(target=second), threading.Thread(target=third)]
    with work_lock(tmp_path / "stage"):
        threads[0].start()
        time.sleep(0.2)  # now it waits for a file that is removed on release
    assert inside.wait(5)
    threads[1].start()
    assert not third_inside.wait(0.3)
    leave.set()
    assert third_inside.wait(5)
    for thread in threads:
        thread.join()


def test_different_work_does_not_wait(tmp_path: Path) -> None:
    with work_lock(tmp_path / "a"), work_lock(tmp_path / "b") as waited:
        assert not waited


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "stage")],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    taken = threading.Event()

    def wait() -> None:
        with work_lock(tmp_path / "stage"):
            taken.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert not taken.wait(0.3)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert taken.wait(5)
    waiter.join()
    holder.stdout.close()
