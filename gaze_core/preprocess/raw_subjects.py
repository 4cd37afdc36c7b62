"""Many people's photographs to one subject file each: parallel over people, resuming where an earlier run stopped."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

from gaze_core.assets import resolve
from gaze_core.config import Runtime
from gaze_core.data.adapters.raw import RawFrame
from gaze_core.data.subject_folder import SubjectFolder
from gaze_core.errors import BadInput
from gaze_core.preprocess.raw import VERSION, RawConfig, preprocess_raw
from gaze_core.workers import worker_pool

MANIFEST = "preprocess.json"


def preprocess_subjects(
    subjects: Mapping[str, Callable[[], Sequence[RawFrame]]],
    out: Path,
    config: RawConfig,
    source: str,
    runtime: Runtime = Runtime(),  # noqa: B008
    landmarker: Path | None = None,
) -> dict[str, Any]:
    """Writes `out/SUBJECT.h5` for each person, and the counts of their photographs to `out/preprocess.json`.

    A person whose file is there, unchanged and made with this configuration, is skipped. A person whose list cannot be
    read, or without a usable photograph, is recorded with the reason and does not stop the others.

    Args:
        subjects: reads the list of each person's photographs.
        out: folder of the subject files.
        config: settings of the preprocessing.
        source: name of the data set.
        runtime: `num_workers` people at a time.
        landmarker: the MediaPipe face landmarker (`.task`); found by `gaze_core.assets` if None.

    Returns:
        the manifest: for each subject `num_read`, `num_kept`, `dropped` by reason, `sha256`; or `error`.
    """
    landmarker = landmarker or resolve("face_landmarker")
    folder = SubjectFolder(out, MANIFEST, {"version": VERSION, "config": config.digest(), "source": source})
    jobs = {
        name: (read, folder.file(name), config, source, landmarker)
        for name, read in subjects.items()
        if not folder.is_done(name)
    }
    for name, result in _results(jobs, max(1, runtime.num_workers)):
        folder.record(name, result)
    return folder.manifest


def _results(jobs: Mapping[str, tuple[Any, ...]], workers: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each person with the result, in order of completion."""
    if min(workers, len(jobs)) < 2:
        yield from ((name, _preprocess_one(*job)) for name, job in jobs.items())
        return
    with worker_pool(workers) as pool:
        names = {pool.submit(_preprocess_one, *job): name for name, job in jobs.items()}
        yield from ((names[future], future.result()) for future in as_completed(names))


def _preprocess_one(
    read: Callable[[], Sequence[RawFrame]], out: Path, config: RawConfig, source: str, landmarker: Path
) -> dict[str, Any]:
    try:
        summary = preprocess_raw(read(), out, config, source, landmarker)
    except BadInput as error:
        return {"error": str(error)}
    return {"num_read": summary.num_read, "num_kept": summary.num_kept, "dropped": summary.dropped}
