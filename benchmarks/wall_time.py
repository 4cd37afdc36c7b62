"""Wall time of a command, and the processor time of all processes that it starts.

    python benchmarks/wall_time.py --what "the demo" --record docs/measured/make_demo -- make demo

The command's output is passed through; a command that fails is not recorded. Prints JSON.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from tasks.measurements import record_values


def timed(command: list[str]) -> dict[str, float]:
    """Seconds of wall clock and of processor time.

    Raises:
        CalledProcessError: the command failed.
    """
    before, started_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=2)  # standard output is for the JSON
    wall_s, after = time.monotonic() - started_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall_s": wall_s, "processor_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def main() -> None:
    """Times and records one command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--what", required=True, help="in words, for the record")
    parser.add_argument("--record", type=Path, help="folder of records")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    try:
        values = timed(given.command)
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: the command ended with exit status {error.returncode}; nothing is recorded")
    if given.record:
        record_values(given.record, given.what, values)
    sys.stdout.write(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
