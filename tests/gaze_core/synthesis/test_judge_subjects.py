"""The judge's people: disjoint for training, validation and test, none of them a shipped subject."""

import itertools

import pytest

from gaze_core.errors import BadInput
from gaze_core.synthesis import judge_subjects
from gaze_core.synthesis.judge_subjects import SPLITS, WIDE, judge_subject
from gaze_core.synthesis.packs import PACKS
from gaze_core.synthesis.scene import LIGHTS


def test_people_of_training_validation_and_test_are_disjoint_and_not_shipped():
    for one, other in itertools.combinations(SPLITS.values(), 2):
        assert not set(one) & set(other)
    shipped = {pack.identity_seed for pack in PACKS.values()}
    assert not shipped & set(itertools.chain.from_iterable(SPLITS.values()))
    assert len(SPLITS["test"]) >= 4


def test_their_ranges_exceed_those_of_the_judged_subjects():
    ordinary = PACKS["synthetic_128"].ranges
    for name in ("gaze_pitch_deg", "gaze_yaw_deg", "head_pitch_deg", "head_yaw_deg", "head_roll_deg"):
        low, high = getattr(WIDE, name)
        assert low < getattr(ordinary, name)[0]
        assert high > getattr(ordinary, name)[1]
    assert set(judge_subject(201, 4).lights) == set(LIGHTS)


def test_each_is_rendered_once_to_the_folder_of_its_purpose(monkeypatch, tmp_path):
    calls = []

    def render(config, out, runtime):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.touch()
        calls.append((config.identity_seed, config.num_images, out.relative_to(tmp_path).as_posix()))

    monkeypatch.setattr(judge_subjects, "synthesize_subject", render)
    monkeypatch.setattr(judge_subjects, "SPLITS", {"training": {1: 32, 2: 110}, "test": {3: 50}})
    judge_subjects.main([str(tmp_path)])
    assert calls == [
        (1, 32, "training/judge_1.h5"), (2, 110, "training/judge_2.h5"), (3, 50, "test/judge_3.h5"),
    ]  # fmt: skip
    judge_subjects.main([str(tmp_path)])
    assert len(calls) == 3  # who is there already is kept
    with pytest.raises(BadInput, match="expected one, the folder"):
        judge_subjects.main([])
