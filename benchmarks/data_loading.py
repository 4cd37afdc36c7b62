"""`python benchmarks/data_loading.py`: our loader against the pattern of published ones, as JSON on stdout."""

import json
import sys

from gaze_core.data.benchmark import run

if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=1) + "\n")
