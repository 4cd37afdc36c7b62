"""One name for a person: from the names of each adapter and raw release to the published lists."""

import pytest

from gaze_core.data.adapters.table import ADAPTERS
from gaze_core.data.people import person_key, person_of, recording_key, subject_name
from gaze_core.evaluation.pairs import Pairs, write_pairs
from gaze_core.evaluation.protocols import pairs_of, protocol

PERSON = {"eth_xgaze": "0012", "mpii_face_gaze": "0003", "columbia": "0042", "gaze_capture": "00007"}
NAMES = {  # what each adapter's files or groups call that person
    "eth_xgaze_hdf5": "subject0012",
    "gazenerf_eth_xgaze": "subject0012",
    "gazenerf_columbia": "0042",
    "gazenerf_gaze_capture": "00007",
    "gazenerf_mpii_face_gaze": "0003",
    "gazegaussian_eth_xgaze": "0012",
    "gazegaussian_columbia": "subject0042",
    "gazegaussian_gaze_capture": "00007",
    "gazegaussian_mpii_face_gaze": "p03",
    "mpii_face_gaze_mat": "p03",
    "mpii_face_gaze_h5": "p03",
    "mpii_face_gaze_sted": "p03",
    "gaze_capture_sted": "00007",
    "gaze_capture_faze": "00007",
    "columbia_sted": "0042",
}


def test_every_adapter_has_a_row():
    assert set(NAMES) == set(ADAPTERS)


@pytest.mark.parametrize("adapter", NAMES)
def test_a_converted_person_is_found_in_the_published_protocol(adapter, tmp_path):
    source, name = ADAPTERS[adapter].source, NAMES[adapter]
    chosen = next(
        protocol(row) for row in ("eth_xgaze_person_specific", "columbia", "mpii_face_gaze", "gaze_capture")
        if source in protocol(row).sources
    )  # fmt: skip
    chosen.require(source, name)
    assert subject_name(source, name) == PERSON[source]
    assert person_key(source, name) == f"{source}/{PERSON[source]}"
    for listed in (PERSON[source], name):
        write_pairs(tmp_path / "pairs.csv", source, {listed: Pairs((0,), (9,))})
        assert pairs_of(chosen, name, (0, 1), 0, tmp_path / "pairs.csv") == Pairs((0,), (9,))


def test_names_of_others_stay_as_they_are():
    assert subject_name("synthetic", "synthetic_0012") == "synthetic_0012"
    assert subject_name("eth_xgaze", "somebody") == "somebody"
    assert person_key("columbia", "0001") != person_key("eth_xgaze", "subject0001")


def test_a_recording_is_known_by_its_content():
    content = {"recording_sha256": "a" * 64}
    assert person_of("video", "portrait", content) == person_of("video", "copy", content) == recording_key("a" * 64)
    assert person_of("video", "portrait", {}) == "video/portrait"
