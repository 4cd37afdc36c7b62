"""Starts the page's server, on this machine's loopback interface only."""

import importlib.util
import json
import os
import sys
from pathlib import Path

from gaze_core.artifacts import ArtifactRef
from gaze_core.driver.record import DRIVE_FILE
from gaze_core.errors import BadInput
from gaze_core.reports.page import JSON_FILE
from tasks import environment

SOURCE_VARIABLE = "GAZEWORKS_DRIVER_APP"  # how the page learns what to show; JSON of `sources`


def serve(report: Path | None, data: Path | None, weights: tuple[Path, ...], port: int, headless: bool) -> None:
    """Replaces this process by the page's server, which runs until it is interrupted.

    Raises:
        BadInput: there is nothing to show, or streamlit is not installed.
    """
    content = sources(report, data, weights)
    if importlib.util.find_spec("streamlit") is None:
        raise BadInput("the page needs streamlit, which is not installed; run: pip install 'gazeworks[app]'")
    options = {
        "server.address": "127.0.0.1",
        "server.port": str(port),
        "server.headless": str(headless).lower(),
        "browser.gatherUsageStats": "false",
        "server.fileWatcherType": "none",
        "client.toolbarMode": "minimal",
    }
    page = Path(__file__).with_name("page.py")
    command = [sys.executable, "-m", "streamlit", "run", str(page)]
    command += [f"--{name}={value}" for name, value in options.items()]
    root = str(Path(__file__).parents[3])
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    # Replaces this process, so that a signal reaches the server and its exit code is the command's.
    os.execve(sys.executable, command, os.environ | {SOURCE_VARIABLE: json.dumps(content), "PYTHONPATH": paths})


def sources(report: Path | None, data: Path | None, weights: tuple[Path, ...]) -> dict[str, object]:
    """What the page shows: the drive's folder, and the estimators by name, the oldest first.

    Raises:
        BadInput: neither a report nor a drive is given, or a path is not what it should be.
    """
    estimators: dict[str, str] = {}
    numbers: object = None
    if report is not None:
        facts, folders = _report(report)
        data = data or folders["data"]
        estimators = {"before fine-tuning": str(folders["base"]), "after fine-tuning": str(folders["finetuned"])}
        numbers = {name: facts[name] for name in ("errors", "verdict", "scenarios", "mount", "dropped", "warnings")}
    if data is None:
        raise BadInput("nothing to show; give --report FOLDER (of driver run) or --data FOLDER (of driver extract)")
    if not (data / DRIVE_FILE).is_file():
        raise BadInput(f"{data}: no extracted drive; make one with: gazeworks driver extract")
    for path in weights:
        if not path.exists():
            raise BadInput(f"{path}: no such file; expected an estimator's weights")
        estimators[path.stem if path.is_file() else path.name] = str(path.resolve())
    if not estimators:
        raise BadInput("no estimator to predict the gaze with; give --weights FILE")
    return {"data": str(data.resolve()), "estimators": estimators, "report": numbers}


def _report(folder: Path) -> tuple[dict[str, object], dict[str, Path]]:
    from tasks.store.artifacts import Store

    try:
        facts = json.loads((folder / JSON_FILE).read_text())
        refs = {role: ArtifactRef.model_validate(ref) for role, ref in facts["artifacts"].items()}
        wanted = {role: refs[role] for role in ("data", "base", "finetuned")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{folder}: no report of a driver run ({error}); make one with: gazeworks driver run") from error
    environment.set_defaults()
    store = Store.from_environment()
    return facts, {role: store.fetch(ref) for role, ref in wanted.items()}
