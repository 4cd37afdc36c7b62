"""The machine in words, which name nobody's."""

import socket

from gaze_core.machine import Machine, cpu_name, this_machine


def test_this_machine_is_described_without_its_name():
    machine = this_machine()
    assert machine.cpu == cpu_name() != ""
    assert machine.cores >= 1
    assert machine.memory_gib > 0
    assert machine.load_1min >= 0
    assert set(Machine.model_fields) == {"cpu", "cores", "memory_gib", "system", "gpu", "load_1min"}
    assert socket.gethostname() not in machine.model_dump().values()
