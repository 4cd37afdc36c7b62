"""The log of a run beside its report."""

import logging

import pytest

from gaze_core.reports.page import LOG_FILE
from tasks.environment import LOGGER
from tasks.run_log import RunLog

LOG = logging.getLogger(f"{LOGGER}.stage")


@pytest.fixture(autouse=True)
def level(monkeypatch):
    monkeypatch.setattr(logging.getLogger(LOGGER), "level", logging.INFO)
    logging.getLogger(LOGGER).manager._clear_cache()


def test_lines_logged_during_a_run_are_in_its_folder(tmp_path):
    folder = tmp_path / "new" / "report"
    with RunLog("redirection", folder):
        LOG.info("stage: computed [/b]")
    LOG.info("later")
    with RunLog("redirection", folder):  # the one that goes on
        LOG.info("stage: resumed")
    lines = (folder / LOG_FILE).read_text().splitlines()
    assert [line.partition(",")[0] for line in (lines[0], lines[2])] == ["redirection", "redirection"]
    assert lines[1].endswith("INFO    stage: computed [/b]")
    assert lines[3].endswith("INFO    stage: resumed")
    assert len(lines) == 4
    assert logging.getLogger(LOGGER).handlers == [] or all(
        getattr(handler, "baseFilename", "") == "" for handler in logging.getLogger(LOGGER).handlers
    )


def test_a_run_that_fails_says_so_and_one_that_never_began_leaves_nothing(tmp_path):
    def work(folder, *lines):
        with RunLog("driver", folder):
            for line in lines:
                LOG.info(line)
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        work(tmp_path / "failed", "began")
    assert (tmp_path / "failed" / LOG_FILE).read_text().splitlines()[-1].endswith("driver: ended by ValueError: bad")
    with pytest.raises(ValueError, match="bad"):
        work(tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_secrets_are_blanked(tmp_path):
    with RunLog("driver", tmp_path):
        LOG.info("sent to https://me:hunter2@example.org/x")
    assert "hunter2" not in (tmp_path / LOG_FILE).read_text()
