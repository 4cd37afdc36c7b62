import numpy as np

from gaze_core.sampling import evenly_spaced, most_varied


def recording():
    """400 looks straight ahead, and three short ones elsewhere that evenly spaced frames miss."""
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (400, 4))
    for frame, feature, value in ((51, 0, 15.0), (122, 1, -20.0), (333, 3, 25.0)):
        features[frame, feature] = value
    return features


def test_rare_looks_of_a_recording_are_kept():
    rare = {51, 122, 333}
    assert rare <= set(most_varied(recording(), 8))
    assert not rare & set(evenly_spaced(400, 8))


def test_the_choice_does_not_depend_on_units_and_is_the_same_again():
    features = recording()
    chosen = most_varied(features, 40)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 40
    assert most_varied(features * [1, 57.3, 0.01, 1] + 5, 40) == chosen


def test_equal_items_are_taken_once_each_and_few_are_all_taken():
    assert most_varied(np.zeros((5, 2)), 3) == [0, 1, 2]
    assert most_varied(recording()[:4], 9) == [0, 1, 2, 3]
