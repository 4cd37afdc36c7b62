"""Pair lists, seeds and the table of protocols."""

import pytest

from gaze_core.data.published_splits import ETH_XGAZE_PERSON_SPECIFIC
from gaze_core.errors import BadInput, MissingArtifact
from gaze_core.evaluation.pairs import Pairs, derangement, from_published_list, read_pairs, seeded_pairs, write_pairs
from gaze_core.evaluation.protocols import pairs_of, protocol, protocol_of_source, protocols


@pytest.mark.parametrize("count", [2, 3, 40])
def test_partners_are_a_seeded_derangement(count):
    partner = derangement(count, 5)
    assert sorted(partner) == list(range(count))
    assert all(here != there for here, there in enumerate(partner))
    assert partner == derangement(count, 5)
    frames = [7 * i for i in range(count)]
    pairs = seeded_pairs(frames, 5)
    assert pairs.inputs == tuple(frames)
    assert pairs.targets == tuple(7 * there for there in partner)


def test_another_seed_pairs_otherwise():
    assert derangement(40, 5) != derangement(40, 6)


def test_a_frame_cannot_be_paired_with_itself():
    with pytest.raises(BadInput, match="frame 4 is paired with itself"):
        Pairs((1, 4), (2, 4))


def test_a_pair_file_survives_writing_and_holds_several_data_sets(tmp_path):
    path = tmp_path / "pairs.csv"
    write_pairs(path, "columbia", {"0002": Pairs((0, 1), (2, 3)), "0001": Pairs((5,), (0,))})
    path.write_text(path.read_text() + "other,0001,8,9\n")
    assert read_pairs(path, "columbia") == {"0001": Pairs((5,), (0,)), "0002": Pairs((0, 1), (2, 3))}
    assert read_pairs(path, "other") == {"0001": Pairs((8,), (9,))}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3\n4\n", "columns 3; expected dataset,subject,input_index,target_index"),
        ("dataset,subject,input_index,target_index\na,s,1,1\n", r"pairs\.csv:2: frames 1 and 1"),
        ("dataset,subject,input_index,target_index\na,s,1,-1\n", r"pairs\.csv:2: frames 1 and -1"),
        ("dataset,subject,input_index,target_index\na,s,1,x\n", r"pairs\.csv:2: expected two frame numbers"),
        ("dataset,subject,input_index,target_index\na,s,1\n", r"pairs\.csv:2: expected two frame numbers"),
        ("dataset,subject,input_index,target_index\nb,s,1,2\n", "no pair of data set 'a'"),
    ],
)
def test_another_file_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        read_pairs(path, "a")
    with pytest.raises(BadInput, match="no such file"):
        read_pairs(tmp_path / "absent.csv", "a")


def test_a_published_list_holds_the_target_of_each_line_for_every_subject(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("4\n3\n5\n")
    pairs = from_published_list(path, ["0001", "0002"], expected=3)
    assert pairs == dict.fromkeys(["0001", "0002"], Pairs((0, 1, 2), (4, 3, 5)))
    assert from_published_list(path, ["a"], lines_hold="inputs")["a"] == Pairs((4, 3, 5), (0, 1, 2))
    with pytest.raises(BadInput, match="3 lines, expected 100"):
        from_published_list(path, ["0001"], expected=100)
    path.write_text("0\n1\n")
    with pytest.raises(BadInput, match="frame 0 is paired with itself"):
        from_published_list(path, ["0001"])
    path.write_text("4\nfive\n")
    with pytest.raises(BadInput, match="found 'five'; expected one frame number a line"):
        from_published_list(path, ["0001"])


def test_the_table_is_complete():
    assert set(protocols()) == {
        "synthetic", "recording", "eth_xgaze_person_specific", "columbia", "mpii_face_gaze", "gaze_capture",
        "published_by_seed",
    }  # fmt: skip
    eth = protocol("eth_xgaze_person_specific")
    assert eth.subject_names == ETH_XGAZE_PERSON_SPECIFIC
    for row in protocols().values():
        assert row.differs
        if row.subject_names:
            assert len(row.subject_names) == row.num_subjects
        assert (row.pairs == "list") == bool(row.list_file) == bool(row.pairs_per_subject)


def test_a_source_has_a_default_protocol_and_published_lists_are_explicit():
    assert protocol_of_source("synthetic").name == "synthetic"
    assert protocol_of_source("video").name == "recording"
    assert protocol_of_source("columbia").name == "published_by_seed"
    with pytest.raises(BadInput, match="subjects of driver have no protocol .* --protocol: synthetic"):
        protocol_of_source("driver")
    with pytest.raises(BadInput, match="no protocol named 'moon'; there are: synthetic"):
        protocol("moon")


def test_subjects_of_others_are_refused():
    eth = protocol("eth_xgaze_person_specific")
    eth.require("eth_xgaze", "0012")
    with pytest.raises(BadInput, match="subject 0013 is not among the 15"):
        eth.require("eth_xgaze", "0013")
    with pytest.raises(BadInput, match="is for eth_xgaze, the subject 0012 comes from columbia"):
        eth.require("columbia", "0012")


def test_a_protocol_that_needs_a_list_makes_no_pairs_of_its_own(tmp_path):
    with pytest.raises(MissingArtifact, match="columbia_evaluation_target_single_subject.txt"):
        pairs_of(protocol("columbia"), "0001", (0, 1, 2), 0, None)
    path = tmp_path / "pairs.csv"
    write_pairs(path, "columbia", {"0001": Pairs((0,), (9,))})
    assert pairs_of(protocol("columbia"), "0001", (0, 1, 2), 0, path) == Pairs((0,), (9,))
    with pytest.raises(BadInput, match="no pair of subject 0002; it has 0001"):
        pairs_of(protocol("columbia"), "0002", (0, 1), 0, path)
    assert pairs_of(protocol("synthetic"), "s", (0, 1), 0, None) == Pairs((0, 1), (1, 0))


def test_the_record_lists_the_differences(tmp_path):
    record = protocol("eth_xgaze_person_specific").record(0, None, 3, 128)
    assert "3 of the 15 subjects were evaluated." in record.differs
    assert "Images are 128 px wide, the published ones 512 px." in record.differs
    (tmp_path / "pairs.csv").write_text("x")
    assert (
        protocol("columbia").record(0, tmp_path / "pairs.csv", 56, 512).pairs.startswith("pairs.csv, sha256 2d711642")
    )
