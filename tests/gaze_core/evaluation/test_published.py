"""Published numbers: complete, citable, and with their faults."""

import pytest

from gaze_core.evaluation.catalog import METRICS
from gaze_core.evaluation.protocols import protocols
from gaze_core.evaluation.published import SOURCES, published_numbers, published_table


def test_every_number_can_be_cited_and_is_there_once():
    numbers = published_numbers()
    keys = [(n.experiment, n.method, n.setting, n.metric) for n in numbers]
    assert len(keys) == len(set(keys))
    for number in numbers:
        assert number.source in SOURCES
        assert number.table
        assert number.citation.endswith(number.table)


def test_metrics_that_are_ours_too_have_our_names():
    own = {"identity_similarity_percent", "frames_per_s", "seconds_per_image", "estimator_error_deg"}
    assert {number.metric for number in published_numbers()} <= set(METRICS) | own


@pytest.mark.parametrize(
    ("experiment", "method", "metric", "value"),
    [  # the headline of each table, as printed
        ("eth_xgaze_person_specific", "GazeGaussian", "gaze_error_vs_original_deg", 6.622),
        ("eth_xgaze_person_specific", "DiT-Gaze", "gaze_error_vs_original_deg", 6.353),
        ("eth_xgaze_person_specific", "RTGaze", "psnr_db", 19.007),
        ("columbia", "GazeGaussian", "gaze_error_vs_original_deg", 7.415),
        ("mpii_face_gaze", "GazeNeRF", "head_error_vs_original_deg", 7.118),
        ("gaze_capture", "DiT-Gaze", "lpips", 0.181),
    ],
)
def test_the_tables_match_the_papers(experiment, method, metric, value):
    assert published_table(experiment, (metric,))[method][metric].value == value


def test_the_shifted_column_is_marked():
    found = published_table("gaze_capture", ("identity_similarity_percent",))
    theirs, copied_from = (found[name]["identity_similarity_percent"] for name in ("DiT-Gaze", "Gaussian Head Avatar"))
    assert theirs.value == copied_from.value
    assert "shifted by one row" in theirs.fault
    assert not copied_from.fault


def test_each_protocol_has_published_numbers():
    for protocol in protocols().values():
        table = published_table(protocol.published, ("gaze_error_vs_original_deg",))
        assert len(table) >= 5, protocol.name
