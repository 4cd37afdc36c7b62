"""The temporal head: equal to the single frame before training, causal, forgetful at starts."""

import torch

from gaze_core.models.estimation.temporal import FrameSequence, TemporalConfig, TemporalHead

CONFIG = TemporalConfig(token_width=24, hidden=16)


def sequence(clips=3, length=16, width=24, seed=0):
    random = torch.Generator().manual_seed(seed)
    starts = torch.zeros(clips, length, dtype=torch.bool)
    starts[:, 0] = True
    shape = (clips, length)
    return FrameSequence(
        torch.randn(*shape, width, generator=random), torch.randn(*shape, 2, generator=random) / 5, starts
    )


def trained_head():
    torch.manual_seed(0)
    head = TemporalHead(CONFIG)
    torch.nn.init.normal_(head.keep.weight)
    return head


def test_before_training_it_equals_the_single_frame_bit_for_bit():
    torch.manual_seed(0)
    frames = sequence()
    assert torch.equal(TemporalHead(CONFIG)(frames), frames.gaze_rad)


def test_a_frame_changes_itself_and_later_frames_only():
    head, frames = trained_head(), sequence()
    changed = FrameSequence(frames.token.clone(), frames.gaze_rad, frames.starts)
    changed.token[:, 9] += 1
    differs = (head(frames) != head(changed)).any(-1).any(0)
    assert not differs[:9].any()
    assert differs[9:].all()


def test_after_a_start_nothing_of_before_is_known():
    head, frames = trained_head(), sequence()
    frames.starts[:, 6] = True
    rest = FrameSequence(frames.token[:, 6:], frames.gaze_rad[:, 6:], frames.starts[:, 6:])
    torch.testing.assert_close(head(frames)[:, 6:], head(rest))
    other = FrameSequence(frames.token.clone(), frames.gaze_rad.clone(), frames.starts)
    other.token[:, :6], other.gaze_rad[:, :6] = 0, 1
    assert torch.equal(head(frames)[:, 6:], head(other)[:, 6:])


def test_a_step_trains_the_gain_first():
    head, frames = TemporalHead(CONFIG), sequence()
    (head(frames) - 1).square().mean().backward()
    assert head.keep.weight.grad.abs().sum() > 0


def test_a_step_of_the_full_sizes_runs():
    head = TemporalHead(TemporalConfig(token_width=512))
    frames = sequence(2, 16, 512)
    head(frames).sum().backward()
    assert sum(p.numel() for p in head.parameters()) == 2 * 512 + 512 * 128 + 128 + 3 * 128 * (132 + 128 + 2) + 2 * 129
    longer = TemporalHead(TemporalConfig(token_width=512, length=30, rate_hz=10.0))
    assert longer(sequence(1, 30, 512)).shape == (1, 30, 2)


def test_the_estimate_is_a_mean_of_single_frames_and_adds_no_offset():
    head, frames = trained_head(), sequence()
    torch.testing.assert_close(head(frames)[:, 0], frames.gaze_rad[:, 0])  # nothing is known at a start
    same = FrameSequence(frames.token, torch.full_like(frames.gaze_rad, 0.1), frames.starts)
    torch.testing.assert_close(head(same), same.gaze_rad)  # whoever the token shows
