"""Pairs, bands and masks."""

import numpy as np
import torch

from gaze_core.one_shot.band import Band, cut_band, feathered, put_back
from gaze_core.one_shot.objective import ColorChanges, PairTensors, hidden, pair_tensors
from gaze_core.one_shot.samples import pair_candidates, prepare
from tests.gaze_core.one_shot.tiny_people import draw_face, drawn_person


def samples_of(counts):
    people = {name: drawn_person(count, seed) for seed, (name, count) in enumerate(counts.items())}
    return prepare(people, {name: person.landmarks_px for name, person in people.items()})


def test_batch_generation():
    samples = samples_of({"a": 20, "b": 12})
    pairs = pair_candidates(samples)
    targets = torch.arange(32)
    torch.manual_seed(0)
    drawn = pairs.draw(targets)
    assert not (drawn == targets).any()
    assert (samples.person[drawn.numpy()] == samples.person).all()
    far = np.linalg.norm(samples.gaze[drawn.numpy()] - samples.gaze, axis=1)
    anyone = np.linalg.norm(samples.gaze[:20, None] - samples.gaze[None, :20], axis=-1)
    assert far[:20].mean() > 1.2 * anyone[~np.eye(20, dtype=bool)].mean()
    batch = pair_tensors(samples, targets[:4], drawn[:4], torch.device("cpu"))
    assert batch.target.shape == batch.reference.shape == (4, 3, 64, 192)
    assert not batch.is_same.any()


def test_references_come_from_allowed_samples_only():
    samples = samples_of({"a": 20})
    pairs = pair_candidates(samples, allowed=(3, 7, 9))
    assert set(pairs.candidates.flatten().tolist()) <= {3, 7, 9}
    alone = pair_candidates(samples, allowed=(3,))
    assert alone.best(torch.tensor([3])).tolist() == [3]  # its own reference
    assert pair_tensors(samples, torch.tensor([3]), torch.tensor([3]), torch.device("cpu")).is_same.all()


def test_the_mask_does_not_tell_the_gaze():
    masks = []
    for pitch in (-0.4, 0.4):
        face, points = draw_face(pitch, 0.1, np.array([180.0, 150, 130]), np.array([60.0, 40, 30]))
        points[[37, 38, 43, 44], 1] -= 6 * pitch  # lids follow
        masks.append(cut_band(face, points).mask)
    assert np.array_equal(*masks)


def test_a_masked_band_shows_nothing_of_the_eyes():
    samples = samples_of({"a": 2})
    pairs = pair_tensors(samples, torch.tensor([0, 1]), torch.tensor([1, 0]), torch.device("cpu"))
    masked = hidden(pairs.target, pairs.mask)
    dark = (masked < 0.45).any(dim=1)  # irises are dark, skin and mask are not
    assert not dark.any()
    assert (pairs.target < 0.45).any()


def test_putting_back_changes_nothing_outside_the_mask():
    face, points = draw_face(0.0, 0.0, np.array([180.0, 150, 130]), np.array([60.0, 40, 30]))
    band = cut_band(face, points)
    out = put_back(face, 255 - band.image, band)
    outside = np.ones(face.shape[:2], bool)
    left, top = band.origin_px
    outside[top : top + 64, left : left + 192] = band.mask == 0
    assert np.array_equal(out[outside], face[outside])
    assert not np.array_equal(out, face)
    assert feathered(band.mask, 5.0)[band.mask == 0].max() == 0
    assert np.array_equal(put_back(face, band.image, Band(band.image, band.mask, band.origin_px)), face)


def test_mirroring_negates_yaw_only():
    samples = samples_of({"a": 4})
    pairs = pair_tensors(samples, torch.arange(4), torch.tensor([1, 0, 3, 2]), torch.device("cpu"))
    torch.manual_seed(1)
    changed: PairTensors = pairs.changed(ColorChanges(gain=0, channel=0))
    flipped = (changed.target != pairs.target).flatten(1).any(dim=1)
    assert flipped.any()
    assert not flipped.all()
    torch.testing.assert_close(changed.target[flipped], pairs.target[flipped].flip(-1))
    torch.testing.assert_close(changed.gaze[flipped], pairs.gaze[flipped] * torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(changed.head[~flipped], pairs.head[~flipped])
