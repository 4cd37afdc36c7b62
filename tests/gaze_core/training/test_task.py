"""How a training ended, in words, from the numbers of its manifest."""

from gaze_core.training.task import FitSummary, ended_in_words


def test_a_manifest_gives_why_training_ended_and_which_step_was_kept():
    whole = FitSummary(260, 0, 9.0, 0.0213, kept_step=240)
    early = FitSummary(120, 0, 9.0, 0.5, kept_step=80, stopped_early=True)
    unselected = FitSummary(30, 0, 9.0, None, kept_step=30)
    assert [ended_in_words(summary.metrics()) for summary in (whole, early, unselected)] == [
        "ended after step 260: all steps were done; kept the weights of step 240 (best validation 0.0213)",
        "ended after step 120: validation had stopped improving; kept the weights of step 80 (best validation 0.5)",
        "ended after step 30: all steps were done; kept the weights of step 30",
    ]


def test_older_manifests_give_what_they_contain():
    assert ended_in_words({"num_steps": 300.0, "best_validation": 0.1}) == "ended after step 300"
    assert ended_in_words({"gaze_error_deg": 3.0}) == ""
