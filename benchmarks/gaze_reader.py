"""`python benchmarks/gaze_reader.py --video FILE [--frames 2000]`: speed and memory of `gazeworks gaze`.

The video is read without and with the drawn video. Then it is repeated in a temporary file until it has the wanted number of
frames, which is read with the drawn video while the memory of the process is watched. Prints JSON, which `--record FOLDER`
keeps.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

from gaze_core.errors import BadInput, GazeworksError
from gaze_core.preprocess.gaze_recording import GazeOptions, read_gaze
from gaze_core.preprocess.gaze_source import VideoFile, open_source
from tasks.measurements import record_values

_EVERY = 100  # frames between two looks at the memory
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Measures, prints and records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--video", type=Path, required=True, help="a portrait video")
    parser.add_argument("--frames", type=int, default=2000, help="of the repeated video")
    parser.add_argument("--record", type=Path, help="folder of records, docs/measured/gaze_reader")
    options = parser.parse_args()
    try:
        measured = measure(options.video, options.frames)
    except GazeworksError as error:
        sys.exit(f"error: {error}")
    if options.record:
        record_values(options.record, "speed and memory of reading gaze", measured)
    sys.stdout.write(json.dumps(measured, indent=1) + "\n")


def measure(path: Path, num_frames: int) -> dict[str, Any]:
    """Frames a second of whole runs, without imports; memory while many frames are read."""
    source = open_source(str(path))
    if not isinstance(source, VideoFile):
        raise BadInput(f"{path}: expected a video")
    count, size_px = source.video.num_frames, source.video.size_px
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        speeds = {
            name: count / _seconds(lambda options=options: read_gaze(source, out / "short", options))
            for name, options in {
                "rows_one_worker": GazeOptions(is_drawn=False, workers=1),
                "rows": GazeOptions(is_drawn=False),
                "rows_and_video": GazeOptions(),
            }.items()
        }
        memory = _memory(_repeated(path, out / "long.mp4", num_frames), out / "long")
    return {
        "video": {"frames": count, "width_px": size_px[0], "height_px": size_px[1]},
        "frames_per_s": {name: round(speed, 1) for name, speed in speeds.items()},
        "memory": memory,
    }


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _memory(path: Path, out: Path) -> dict[str, Any]:
    """Resident memory of this process, MiB, in the first and the last quarter of a long video."""
    seen: list[float] = []

    def look(done: int, total: int, _: float) -> None:
        if done % _EVERY == 0:
            seen.append(int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_MIB)

    read_gaze(open_source(str(path)), out, GazeOptions(), look)
    quarter = max(1, len(seen) // 4)
    return {
        "frames": len(seen) * _EVERY,
        "first_quarter_mib": round(statistics.mean(seen[:quarter])),
        "last_quarter_mib": round(statistics.mean(seen[-quarter:])),
        "peak_mib": round(max(seen)),
    }


def _repeated(path: Path, out: Path, num_frames: int) -> Path:
    """The packets of a video again and again, each time later; nothing is encoded anew."""
    with av.open(str(out), "w") as container, av.open(str(path)) as given:
        source = given.streams.video[0]
        stream = container.add_stream_from_template(source)
        packets = [packet for packet in given.demux(source) if packet.size and packet.pts is not None]
        step = (max(p.pts for p in packets) - min(p.pts for p in packets)) // max(1, len(packets) - 1)
        times = [(packet.pts, packet.dts) for packet in packets]
        for number in range(num_frames):
            round_, k = divmod(number, len(packets))
            late = round_ * step * len(packets)
            packet = packets[k]
            packet.pts, packet.dts = times[k][0] + late, times[k][1] + late
            packet.stream = stream
            container.mux(packet)
    return out


if __name__ == "__main__":
    main()
