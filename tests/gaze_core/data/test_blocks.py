import numpy as np
import pytest

from gaze_core.data.blocks import BlockConfig, split_blocks, split_recording, stretch_of
from gaze_core.errors import BadInput


def test_blocks_are_contiguous_disjoint_and_apart():
    times = np.arange(0, 240, 0.25)
    config = BlockConfig()
    splits = split_blocks("drive", times.tolist(), 240, config)
    role = np.full(len(times), -1)
    for number, name in enumerate(("train", "validation", "test")):
        role[list(getattr(splits, name))] = number
    changes = np.flatnonzero(np.diff(role))
    # Each of ten stretches: training, gap, validation, gap, test, gap, training, which goes on in the next.
    assert len(changes) == 10 * 6
    inside = times[role >= 0]
    blocks = role[role >= 0]
    leaps = np.diff(inside)[np.diff(blocks) != 0]
    assert leaps.min() >= config.gap_s
    assert 0.55 < len(splits.train) / len(times) < 0.65
    assert len(np.unique(stretch_of(times[list(splits.test)].tolist(), 240, config))) == 10


def test_more_frames_keep_the_same_blocks_of_time():
    few, many = np.arange(0, 240, 0.5), np.arange(0, 240, 0.25)
    split_few, split_many = (split_blocks("d", t.tolist(), 240, BlockConfig()) for t in (few, many))
    assert set(few[list(split_few.test)]) <= set(many[list(split_many.test)])
    assert not set(few[list(split_few.test)]) & set(many[list(split_many.train)])


@pytest.mark.parametrize(
    ("times", "duration", "message"),
    [([0.0, 1.0], 20, "stretches of 2.0 s hold three gaps"), ([0.0, 1.0], 600, "0 usable frames for validation")],
)
def test_recordings_too_short_to_split_are_refused(times, duration, message):
    with pytest.raises(BadInput, match=message):
        split_blocks("drive", times, duration, BlockConfig())


def times_of(*spans_s, rate=24.0):
    return np.concatenate([np.arange(start, end, 1 / rate) for start, end in spans_s])


def runs(positions, times_s, longest_s):
    """The stretches of time without a break that is longer."""
    times = times_s[list(positions)]
    edges = np.flatnonzero(np.diff(times) > longest_s)
    return list(zip(times[np.r_[0, edges + 1]], times[np.r_[edges, len(times) - 1]], strict=True))


@pytest.mark.parametrize(
    ("spans_s", "gap_s", "num_stretches"),
    [
        ([(0, 20)], 0.39, 3),
        ([(0, 4)], 0.07, 3),
        ([(0, 300)], 1.0, 10),
        ([(0, 2), (6, 20)], 0.3, 3),
        ([(0, 70)], 0.8, 5),
    ],
)
def test_a_recording_is_held_out_in_interleaved_blocks_and_at_its_end_with_gaps_everywhere(
    spans_s, gap_s, num_stretches
):
    times_s = times_of(*spans_s)
    splits = split_recording("ann", times_s, 0.1, BlockConfig(validation_fraction=0.1, test_fraction=0.15))
    held_out = [*splits.test, *splits.last_block]
    nearest_s = np.abs(times_s[held_out][:, None] - times_s[sorted(splits.seen)]).min()
    assert nearest_s >= gap_s
    assert np.abs(times_s[list(splits.test)][:, None] - times_s[list(splits.last_block)]).min() >= gap_s
    assert np.abs(times_s[list(splits.train)][:, None] - times_s[list(splits.validation)]).min() >= gap_s
    assert splits.last_block == tuple(range(len(times_s) - len(splits.last_block), len(times_s)))
    assert len(splits.last_block) / len(times_s) == pytest.approx(0.1, abs=0.02)
    assert len(runs(splits.test, times_s, gap_s)) == num_stretches
    before, after = times_s[min(splits.train)], times_s[max(splits.train)]
    assert sum(before < start and end < after for start, end in runs(splits.test, times_s, gap_s)) == num_stretches
    assert len(splits.train) / len(times_s) > 0.48


def test_no_last_block_and_no_gaps_where_none_are_asked_for():
    splits = split_recording("ann", np.arange(100.0), 0.0, BlockConfig(gap_s=0, num_stretches=4))
    assert splits.last_block == ()
    assert sorted((*splits.seen, *splits.test)) == list(range(100))


def test_few_frames_have_no_interleaved_blocks():
    assert split_recording("ann", np.arange(59.0), 0.1, BlockConfig()) is None
