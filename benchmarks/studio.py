"""Speed of the studio in headless Chromium: pictures a second and delay from pointer to picture while somebody drags.

    python -m benchmarks.studio --record docs/measured/studio

Starts `gazeworks studio` as a user does, drags over the gaze pad for some seconds with the shipped head (128 px) and with
the one-shot model (256 px), and prints JSON. Needs Chromium.
"""

import argparse
import json
import math
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.chromium import Page, chromium
from tasks.measurements import record_values

_STATISTICS = (
    "(() => { const s = studio.live.stats; return {times: s.times_ms, delays: s.latencies_ms, draw: s.draw_ms} })()"
)
_CLEAR = "for (const name of ['times_ms', 'latencies_ms', 'draw_ms']) studio.live.stats[name] = []"
_PAUSE_S = 0.016  # between two places of the pointer, as of a screen at 60 Hz


def drag(page: Page, seconds: float) -> dict[str, float]:
    """Drags in a figure of eight over the pad and reads what the page has measured of drafts."""
    left, top = page.place("#gaze-pad", 0, 0)
    right, bottom = page.place("#gaze-pad", 1, 1)

    def at(turn: float) -> tuple[float, float]:
        return (
            left + (right - left) * (0.5 + 0.3 * math.sin(turn)),
            top + (bottom - top) * (0.5 + 0.2 * math.sin(2 * turn)),
        )

    page.pointer("mousePressed", *at(0.0), held=True)
    time.sleep(0.5)
    page.value(_CLEAR)
    begun_s, moves = time.monotonic(), 0
    while (passed_s := time.monotonic() - begun_s) < seconds:
        page.pointer("mouseMoved", *at(2 * passed_s), held=True)
        moves += 1
        time.sleep(max(0.0, begun_s + moves * _PAUSE_S - time.monotonic()))
    found = page.value(_STATISTICS)
    page.pointer("mouseReleased", *at(2 * seconds))
    delays = sorted(found["delays"])
    if len(delays) < 5:
        raise RuntimeError(f"{len(delays)} pictures in {seconds:g} s; the machine is too busy to measure anything")
    return {
        "pictures_per_s": round(1000 * (len(found["times"]) - 1) / (found["times"][-1] - found["times"][0]), 2),
        "delay_median_ms": round(statistics.median(delays), 1), "delay_p95_ms": round(delays[int(0.95 * len(delays))], 1),
        "draw_median_ms": round(statistics.median(found["draw"]), 1), "pointer_moves_per_s": round(moves / seconds, 1),
    }  # fmt: skip


def measured(seconds: float, patience_s: float) -> dict[str, Any]:
    """Starts the studio and drags with either model."""
    command = [str(Path(sys.executable).with_name("gazeworks")), "studio", "--headless"]
    with chromium() as browser:
        page, begun_s = browser.page(), time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            url = process.stdout.readline().split()[1] if process.stdout else ""
            page.open(url)
            page.until("document.querySelector('figure')?.dataset.seq", patience_s)
            first_s = time.monotonic() - begun_s
            page.until(
                "window.studio && [...studio.state.views.values()].every((v) => v.state !== 'loading')", patience_s
            )
            time.sleep(5)  # readers load with the first full picture
            values: dict[str, Any] = {"first_picture_s": round(first_s, 2), "head_128": drag(page, seconds)}
            page.click("#show-m1")
            page.click("#show-m0")
            page.until("document.querySelector('figure[data-view=m1]')?.dataset.seq", patience_s)
            time.sleep(5)
            return values | {"one_shot_256": drag(page, seconds)}
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def main() -> None:
    """Measures and records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each drag")
    parser.add_argument("--patience", type=float, default=180.0, help="longest wait for a picture, seconds")
    parser.add_argument("--record", type=Path, help="folder of records")
    given = parser.parse_args()
    values = measured(given.seconds, given.patience)
    if given.record:
        record_values(given.record, "studio: pictures a second and delay while dragging", values)
    sys.stdout.write(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
