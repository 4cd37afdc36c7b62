"""`python benchmarks/splat.py`: the rasteriser's backends against the reference, as JSON on stdout."""

import json
import sys

from gaze_core.splat.benchmark import run

if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=1) + "\n")
