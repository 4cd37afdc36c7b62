"""The one verdict of all comparisons, on differences whose truth is known."""

import numpy as np
import pytest

from gaze_core.evaluation.intervals import Bootstrap, Estimate, Units
from gaze_core.evaluation.paired import STORED, paired_gain, paired_verdict

RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 1, 60)


def subjects(differences, count=1):
    return Units.of_subjects(np.array_split(differences, count))


def blocks(differences, size=6):
    return Units.of_blocks(differences, np.arange(len(differences)) // size)


@pytest.mark.parametrize("units", [subjects, lambda d: subjects(d, 10), blocks], ids=["samples", "subjects", "blocks"])
def test_the_verdict_is_the_same_over_every_kind_of_unit(units):
    def verdict(shift, tolerance=0.0):
        return paired_gain(units(NOISE - NOISE.mean() + shift), Bootstrap(), tolerance).verdict

    assert verdict(1.0) == "improved"
    assert verdict(-1.0) == "regressed"
    assert verdict(0.01) == "within noise"  # its interval holds zero
    assert (verdict(1.0, tolerance=1.5), verdict(-1.0, tolerance=1.5)) == ("within noise", "within noise")


def test_the_bootstrap_resamples_whole_units():
    same = np.repeat(RNG.normal(0.4, 1, 10), 50)  # ten people of fifty equal samples
    one_by_one, by_person = paired_gain(subjects(same), Bootstrap()), paired_gain(subjects(same, 10), Bootstrap())
    assert one_by_one.value == pytest.approx(by_person.value)
    assert by_person.high - by_person.low > 5 * (one_by_one.high - one_by_one.low)
    assert (one_by_one.verdict, by_person.verdict) == ("improved", "within noise")


def test_blocks_weigh_by_their_samples_and_subjects_equally():
    values, numbers = np.array([1.0, 1.0, 1.0, -2.0]), np.array([0, 0, 0, 1])
    assert Units.of_blocks(values, numbers).mean == 0.25
    assert Units.of_subjects([values[:3], values[3:]]).mean == -0.5


def test_a_single_unit_or_no_interval_gives_no_verdict():
    assert paired_gain(subjects(np.array([5.0])), Bootstrap()).verdict == "cannot tell"
    assert paired_gain(blocks(np.ones(6)), Bootstrap()).verdict == "cannot tell"
    assert paired_verdict(Estimate(absent="nothing")) == "cannot tell"
    known = Estimate(value=1.0, low=0.5, high=2.0, num_samples=4, num_subjects=1)
    assert paired_verdict(known) == "improved"
    assert paired_verdict(known.model_copy(update={"num_samples": 1})) == "cannot tell"
    assert STORED["cannot tell"] == "equal"
