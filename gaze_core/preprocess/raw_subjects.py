"""Many people's photographs to one subject file each: parallel over people, going on where an earlier run stopped."""

import json
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from gaze_core.artifacts import file_sha256
from gaze_core.assets import resolve
from gaze_core.atomic import write_text
from gaze_core.config import Runtime
from gaze_core.data.adapters.raw import RawFrame
from gaze_core.errors import BadInput
from gaze_core.preprocess.raw import VERSION, RawConfig, preprocess_raw

MANIFEST = "preprocess.json"


def preprocess_subjects(
    subjects: Mapping[str, Sequence[RawFrame]],
    out: Path,
    config: RawConfig,
    source: str,
    runtime: Runtime = Runtime(),  # noqa: B008
    landmarker: Path | None = None,
) -> dict[str, Any]:
    """Writes `out/SUBJECT.h5` for each person, and what became of their photographs to `out/preprocess.json`.

    A person whose file is there, unchanged and made with this configuration, is left alone. One without a usable
    photograph is recorded with the reason and does not stop the others.

    Returns:
        the manifest: for each subject `num_read`, `num_kept`, `dropped` by reason, `sha256`; or `error`.
    """
    landmarker = landmarker or resolve("face_landmarker")
    out.mkdir(parents=True, exist_ok=True)
    made_by = {"version": VERSION, "config": config.digest(), "source": source}
    manifest = _read_manifest(out, made_by)
    todo = {name: frames for name, frames in subjects.items() if not _is_done(out, name, manifest)}
    for name, result in _results(todo, out, config, source, landmarker, max(1, runtime.num_workers)):
        manifest["subjects"][name] = result
        _write_manifest(out, manifest)
    return manifest


def _results(
    todo: Mapping[str, Sequence[RawFrame]], out: Path, config: RawConfig, source: str, landmarker: Path, workers: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each person with what became of the photographs, as they are done."""
    jobs = {name: (list(frames), out / f"{name}.h5", config, source, landmarker) for name, frames in todo.items()}
    if min(workers, len(jobs)) < 2:
        yield from ((name, _one(*job)) for name, job in jobs.items())
        return
    # Started afresh: what torch and OpenCV have running does not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        names = {pool.submit(_one, *job): name for name, job in jobs.items()}
        yield from ((names[future], future.result()) for future in as_completed(names))


def _one(frames: list[RawFrame], out: Path, config: RawConfig, source: str, landmarker: Path) -> dict[str, Any]:
    try:
        summary = preprocess_raw(frames, out, config, source, landmarker)
    except BadInput as error:
        return {"error": str(error)}
    return {
        "num_read": summary.num_read,
        "num_kept": summary.num_kept,
        "dropped": summary.dropped,
        "sha256": file_sha256(out),
    }


def _read_manifest(out: Path, made_by: dict[str, Any]) -> dict[str, Any]:
    """What an earlier run left; what was made in another way counts as not there."""
    path = out / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        manifest = {}
    return manifest if manifest.get("made_by") == made_by else {"made_by": made_by, "subjects": {}}


def _is_done(out: Path, subject: str, manifest: dict[str, Any]) -> bool:
    path, entry = out / f"{subject}.h5", manifest["subjects"].get(subject, {})
    return path.is_file() and "sha256" in entry and file_sha256(path) == entry["sha256"]


def _write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    write_text(out / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
