"""The report's notes on a run's losses."""

from tasks.reports.evaluation import _loss_notes


def test_the_report_says_which_perceptual_loss_a_run_had():
    active = [("renderer", "DiT"), ("perceptual loss", "VGG-16 features, frozen, weight 0.1, from 25% of the run on")]
    assert _loss_notes(active) == ["Perceptual loss: VGG-16 features, frozen, weight 0.1, from 25% of the run on."]
    assert _loss_notes([("perceptual loss", "off (trained without)")]) == ["Perceptual loss: off (trained without)."]
    assert _loss_notes([("renderer", "DiT")]) == []
