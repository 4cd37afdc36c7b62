"""Fan-out in threads and on a local Dask cluster."""

import os
from pathlib import Path

import pytest
from prefect.task_runners import ThreadPoolTaskRunner

from gaze_core.errors import BadInput
from tasks import runners


@pytest.mark.usefixtures("prefect_api")
def test_people_are_rendered_on_the_cluster_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("prefect_dask", reason="prefect-dask is not installed")
    import flows.synthesis
    from gaze_core.synthesis.people import subject_configs
    from tests.tasks.rendering import write_process

    monkeypatch.setenv(runners.RUNNER_VARIABLE, "dask")
    monkeypatch.setattr(flows.synthesis, "CORES", 2)
    monkeypatch.setattr(flows.synthesis, "render_subject", write_process)
    files = flows.synthesis.subject_files(subject_configs(2, 4, 32, 0), tmp_path)
    assert all(int(path.read_text()) != os.getpid() for path in files)


def test_threads_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(runners.RUNNER_VARIABLE, raising=False)
    assert isinstance(runners.task_runner(None, 3), ThreadPoolTaskRunner)


def test_an_unknown_runner_and_one_that_is_not_installed_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="'spark': expected one of: threads, dask"):
        runners.task_runner("spark", 1)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'gazeworks\[dask\]'"):
        runners.task_runner("dask", 1)
