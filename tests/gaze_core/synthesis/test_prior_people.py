"""The people that shipped weights learn from: disjoint from all others, each rendered once."""

import pytest

from gaze_core.errors import BadInput
from gaze_core.synthesis import prior_people
from gaze_core.synthesis.packs import PACKS
from gaze_core.synthesis.prior_people import NUM_IMAGES, SEEDS, prior_person
from gaze_core.synthesis.rig import RIGS
from gaze_core.synthesis.scene import LIGHTS


def test_training_and_test_people_are_disjoint_and_nobody_else_uses_them():
    assert not set(SEEDS["training"]) & set(SEEDS["test"])
    assert len(SEEDS["training"]) >= 150
    ours = {*SEEDS["training"], *SEEDS["test"]}
    assert not ours & {pack.identity_seed for pack in PACKS.values()}


def test_their_ranges_exceed_those_of_the_judged_subjects():
    ordinary, wide = PACKS["synthetic_128"].ranges, prior_person("around", 2001, 24).ranges
    for name in ("gaze_pitch_deg", "gaze_yaw_deg"):
        low, high = getattr(wide, name)
        assert low < getattr(ordinary, name)[0]
        assert high > getattr(ordinary, name)[1]


def test_one_set_goes_around_each_head_and_the_other_is_near_with_many_lenses():
    around, near = prior_person("around", 2001, 24), [prior_person("near", seed, 10) for seed in range(2001, 2020)]
    assert len(RIGS[around.rig]) == 18
    assert around.view.size_px == 128
    assert around.ranges.blink == (0, 1)
    assert {*around.lights} == {*near[0].lights} == {*LIGHTS}
    distances_m = {config.view.distance_m for config in near}
    assert max(distances_m) > 2 * min(distances_m)
    sizes = {round(config.view.focal_px / config.view.distance_m, 3) for config in near}
    assert len(sizes) == 1  # equally large in the image
    with pytest.raises(BadInput, match="no set of people named 'far'; expected near or around"):
        prior_person("far", 1, 1)


def test_each_missing_person_is_rendered_once(monkeypatch, tmp_path):
    class Serial:
        def __init__(self, *_): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...

        map = staticmethod(map)

    calls = []

    def render(config, out):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.touch()
        calls.append((config.identity_seed, config.num_images, out.relative_to(tmp_path).as_posix()))

    monkeypatch.setattr(prior_people, "worker_pool", Serial)
    monkeypatch.setattr(prior_people, "synthesize_subject", render)
    monkeypatch.setattr(prior_people, "SEEDS", {"training": (1,), "test": (2,)})
    prior_people.main(["near", str(tmp_path)])
    counts = [NUM_IMAGES["near", split] for split in ("training", "test")]
    assert calls == [(1, counts[0], "training/near_1.h5"), (2, counts[1], "test/near_2.h5")]
    prior_people.main(["near", str(tmp_path)])
    assert len(calls) == 2
    with pytest.raises(BadInput, match="expected two: near or around, and the folder"):
        prior_people.main(["near"])
