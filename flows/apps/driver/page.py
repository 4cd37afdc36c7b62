"""The page of `gazeworks app driver`: a drive over time, with the predicted and the true gaze."""

import json
import os
from pathlib import Path
from typing import Any

import streamlit as st

from flows.apps.driver.serve import SOURCE_VARIABLE
from gaze_core.driver.checkpoints import load_estimator
from gaze_core.driver.overlays import PREDICTED, TRUE, Gaze, driver_view, fit_road, gaze_of_drive, road_view
from gaze_core.driver.predictions import Drive
from gaze_core.driver.report import errors_deg
from gaze_core.errors import GazeworksError

OWN_FILE = "Another file ..."
_OTHER_COLORS = ("#8a8f99", "#5b7bd5", "#b07cc6")
_METRICS = {"azimuth_deg": "Azimuth error", "elevation_deg": "Elevation error", "angular_deg": "Angle"}


@st.cache_resource(show_spinner="Opening the drive ...")
def open_drive(folder: str) -> Drive:
    """The extracted drive, once for all visitors."""
    return Drive.open(Path(folder))


@st.cache_resource(show_spinner="Predicting the gaze of every frame ...")
def gaze_of(folder: str, weights: str) -> Gaze:
    """An estimator's predictions for all frames of a drive."""
    drive = open_drive(folder)
    model, card = load_estimator(Path(weights))
    drive.require_view_of(card["normalization"])
    return gaze_of_drive(drive, drive.predict(model, range(len(drive.record.frames))))


def main() -> None:
    """Renders the page."""
    st.set_page_config(page_title="Driver gaze", layout="wide")
    sources = json.loads(os.environ[SOURCE_VARIABLE])
    try:
        drive = open_drive(sources["data"])
        name, weights = choose_estimator(sources["estimators"])
        st.title(f"Driver gaze: {drive.record.name}")
        if weights is None:
            st.info("Give the path of a weights file on the left.")
            return
        gaze = gaze_of(sources["data"], weights)
        others = {other: path for other, path in sources["estimators"].items() if other != name}
        compared = {other: gaze_of(sources["data"], path) for other, path in others.items()}
    except GazeworksError as error:
        st.error(str(error))
        return
    position = choose_frame(drive)
    show_frame(drive, name, gaze, position)
    if drive.record.labelled:
        show_errors(drive, {name: gaze} | compared, sources["report"])
        show_time(drive, {name: gaze} | compared)
    show_provenance(drive)


def choose_estimator(estimators: dict[str, str]) -> tuple[str, str | None]:
    """Name and path of the chosen estimator. The newest, which was given last, is listed first."""
    st.sidebar.header("Estimator")
    names = [*reversed(estimators), OWN_FILE]
    name = st.sidebar.radio("Predict the gaze with", names, key="estimator")
    if name != OWN_FILE:
        st.sidebar.caption(Path(estimators[name]).name)
        return name, estimators[name]
    path = st.sidebar.text_input("Path of a .safetensors or .pth file", key="own_file").strip()
    return Path(path).name, path or None


def choose_frame(drive: Drive) -> int:
    """Position of the frame to show."""
    st.sidebar.header("Frames")
    test = set(drive.splits.test)
    only_test = drive.record.labelled and st.sidebar.toggle("Only frames held out for the test", value=True)
    scenarios = list(dict.fromkeys(frame.scenario for frame in drive.record.frames))
    scenario = st.sidebar.selectbox("Scenario", ["all", *scenarios], key="scenario")
    positions = [
        n
        for n, frame in enumerate(drive.record.frames)
        if (n in test or not only_test) and scenario in ("all", frame.scenario)
    ]
    if not positions:
        st.warning("No frame of this scenario was held out; all its frames are shown.")
        positions = [n for n, frame in enumerate(drive.record.frames) if frame.scenario == scenario]
    labels = {n: f"{drive.record.frames[n].time_s:.1f} s" for n in positions}
    if len(positions) == 1:
        return positions[0]
    return int(st.select_slider("Time", positions, format_func=labels.__getitem__, key=f"time-{scenario}-{only_test}"))


def show_frame(drive: Drive, name: str, gaze: Gaze, position: int) -> None:
    """Both views and the numbers of one frame."""
    frame = drive.record.frames[position]
    road = road_view(drive, gaze, position, fit_road(drive, gaze))
    columns = st.columns([2, 3] if road is not None else [1, 1])
    columns[0].image(
        driver_view(drive, position, gaze.arrows(position)), caption=f"driver, frame {frame.frame}", width="stretch"
    )
    if road is not None:
        columns[1].image(road, caption=f"road, {frame.scenario}", width="stretch")
    legend = f":{'orange'}[**●** {name}]" + ("  :green[**●** eye tracker]" if gaze.true_deg is not None else "")
    st.markdown(legend)
    numbers = st.columns(4)
    elevation, azimuth = gaze.predicted_deg[position]
    if gaze.true_deg is None:
        numbers[0].metric("Yaw (> 0: subject's right)", f"{azimuth:+.1f}°")
        numbers[1].metric("Pitch (> 0: up)", f"{elevation:+.1f}°")
        return
    true_elevation, true_azimuth = gaze.true_deg[position]
    numbers[0].metric("Azimuth", f"{azimuth:+.1f}°", f"true {true_azimuth:+.1f}°", delta_color="off", delta_arrow="off")
    numbers[1].metric(
        "Elevation", f"{elevation:+.1f}°", f"true {true_elevation:+.1f}°", delta_color="off", delta_arrow="off"
    )
    errors = errors_deg(gaze.predicted_deg[position : position + 1], gaze.true_deg[position : position + 1])
    numbers[2].metric("Angle between them", f"{errors['angular_deg'][0]:.1f}°")
    spread = max(frame.azimuth_spread_deg or 0, frame.elevation_spread_deg or 0)
    numbers[3].metric("Spread of the tracker's rows", f"{spread:.1f}°")


def show_errors(drive: Drive, gazes: dict[str, Gaze], report: dict[str, Any] | None) -> None:
    """Mean errors on the test blocks, of each estimator and of the baselines."""
    st.subheader("Errors on the blocks of time held out")
    test = list(drive.splits.test)
    rows = []
    for name, gaze in gazes.items():
        assert gaze.true_deg is not None
        measured = errors_deg(gaze.predicted_deg[test], gaze.true_deg[test])
        rows.append({"": name} | {title: float(measured[metric].mean()) for metric, title in _METRICS.items()})
    for name, errors in (report or {}).get("errors", {}).items():
        if name not in ("before", "after"):
            title = name.removeprefix("before, ")
            title = f"before, corrected: {title}" if title in ("bias", "affine") else f"baseline: {title}"
            rows.append({"": title} | {column: errors[metric]["mean"] for metric, column in _METRICS.items()})
    st.dataframe(rows, hide_index=True, column_config={
        title: st.column_config.NumberColumn(format="%.2f°") for title in _METRICS.values()
    })  # fmt: skip
    st.caption(f"Mean absolute errors of {len(test)} held-out frames of one drive and one driver.")


def show_time(drive: Drive, gazes: dict[str, Gaze]) -> None:
    """Angles over time."""
    st.subheader("Over time")
    axis = st.segmented_control("Angle", ["azimuth", "elevation"], default="azimuth", key="axis") or "azimuth"
    column = 1 if axis == "azimuth" else 0
    test = list(drive.splits.test)
    series = {"eye tracker": next(iter(gazes.values())).true_deg} | {n: gaze.predicted_deg for n, gaze in gazes.items()}
    rows = [
        {"time": float(drive.record.frames[n].time_s), "angle": float(values[n, column]), "source": name}
        for name, values in series.items()
        if values is not None
        for n in test
    ]
    colors = ["#{:02x}{:02x}{:02x}".format(*color) for color in (TRUE, PREDICTED)] + list(_OTHER_COLORS)
    scale = {"domain": list(series), "range": [colors[min(n, len(colors) - 1)] for n in range(len(series))]}
    chart = {
        "mark": {"type": "circle", "size": 34, "opacity": 0.85},
        "height": 280,
        "encoding": {
            "x": {"field": "time", "type": "quantitative", "title": "time in s"},
            "y": {"field": "angle", "type": "quantitative", "title": f"{axis} in degrees"},
            "color": {"field": "source", "type": "nominal", "title": None, "scale": scale},
        },
    }
    st.vega_lite_chart({"values": rows}, chart, width="stretch")


def show_provenance(drive: Drive) -> None:
    """Where frames and labels come from, and which frames were left out."""
    record = drive.record
    with st.expander("Where this comes from"):
        reasons = ", ".join(f"{count} {reason}" for reason, count in record.dropped.items()) or "none"
        st.write(f"{record.requested} frames requested, {len(record.frames)} kept; left out: {reasons}.")
        if record.mount:
            st.write(
                f"Eye tracker and eye landmarks differ by {record.mount.residual_median_deg:.1f}° (median of the training "
                "blocks). Angles are in the tracker's coordinate frame."
            )
        for warning in record.warnings:
            st.warning(warning)


if __name__ == "__main__":
    main()
