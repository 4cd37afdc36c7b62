"""Changes of training frames: the same for face and eyes, and what each of them does."""

from dataclasses import replace

import pytest
import torch

from gaze_core.estimation.augmentation import EyeFaceAugmentation, augmented
from gaze_core.models.estimation.gazetr import EyeFaceImages

OFF = dict.fromkeys(("jitter", "gray", "blur", "noise", "mirror"), 0.0)
SAMPLES = torch.arange(6)
GAZE = torch.linspace(-0.3, 0.3, 12).reshape(6, 2)


def images(seed=0):
    random = torch.Generator().manual_seed(seed)
    return EyeFaceImages(*(torch.rand(6, 3, side, side, generator=random) for side in (24, 16, 16)))


def changed(step=0, samples=SAMPLES, given=None, **how):
    return augmented(given or images(), GAZE[: len(samples)], samples, step, 0, EyeFaceAugmentation(**{**OFF, **how}))


def test_without_shares_nothing_changes():
    out, gaze = changed()
    for name in ("face", "left_eye", "right_eye"):
        torch.testing.assert_close(getattr(out, name), getattr(images(), name))
    assert torch.equal(gaze, GAZE)


def test_a_mirrored_person_has_the_other_eye_and_looks_to_the_other_side():
    out, gaze = changed(mirror=1.0)
    torch.testing.assert_close(out.face, images().face.flip(-1))
    torch.testing.assert_close(out.left_eye, images().right_eye.flip(-1))
    torch.testing.assert_close(out.right_eye, images().left_eye.flip(-1))
    torch.testing.assert_close(gaze, GAZE * torch.tensor([1.0, -1.0]))


@pytest.mark.parametrize("how", [{"jitter": 1.0, "contrast": 0.0}, {"gray": 1.0}])
def test_colours_of_all_streams_change_alike(how):
    # A pixel of one colour has one colour afterwards, wherever it lies.
    colour = torch.tensor([0.5, 0.4, 0.3])[None, :, None, None]
    given = EyeFaceImages(*(colour.expand(6, 3, side, side).clone() for side in (24, 16, 16)))
    out, _ = changed(given=given, **how)
    assert (out.face - given.face).abs().max() > 0.01
    for eye in (out.left_eye, out.right_eye):
        torch.testing.assert_close(eye[..., 0, 0], out.face[..., 0, 0])


def test_gray_is_the_luma_of_each_pixel():
    out, _ = changed(gray=1.0)
    luma = torch.einsum("c,bchw->bhw", torch.tensor([0.299, 0.587, 0.114]), images().face)
    torch.testing.assert_close(out.face, luma[:, None].expand(-1, 3, -1, -1), atol=2e-3, rtol=0)


def test_blur_keeps_the_mean_and_takes_contrast_noise_adds_it():
    blurred, _ = changed(blur=1.0, blur_sigma_px=(2.0, 2.0))
    assert blurred.face.std() < 0.6 * images().face.std()
    assert float(blurred.face.mean()) == pytest.approx(float(images().face.mean()), abs=0.01)
    plain = EyeFaceImages(*(torch.full((6, 3, side, side), 0.5) for side in (24, 16, 16)))
    noisy, _ = changed(given=plain, noise=1.0, noise_std=0.1)
    assert 0.01 < float(noisy.left_eye.std()) < 0.1


def test_a_frame_changes_in_the_same_way_in_any_batch_and_in_another_way_in_another_step():
    how = {"jitter": 1.0, "blur": 0.5, "noise": 1.0, "mirror": 0.5, "shift": 0.1, "scale": 0.1}
    whole, gaze = changed(**how)
    part = images()
    half = EyeFaceImages(part.face[3:], part.left_eye[3:], part.right_eye[3:])
    own, own_gaze = augmented(half, GAZE[3:], SAMPLES[3:], 0, 0, EyeFaceAugmentation(**{**OFF, **how}))
    torch.testing.assert_close(own.face, whole.face[3:])
    torch.testing.assert_close(own.right_eye, whole.right_eye[3:])
    assert torch.equal(own_gaze, gaze[3:])
    assert (changed(step=1, **how)[0].face - whole.face).abs().max() > 0.05


def test_the_head_pose_is_mirrored_with_the_person_and_shaken_on_its_own():
    pose = torch.linspace(-0.2, 0.2, 12).reshape(6, 2)
    given = replace(images(), head_rad=pose)
    mirrored, _ = changed(given=given, mirror=1.0)
    torch.testing.assert_close(mirrored.head_rad, pose * torch.tensor([1.0, -1.0]))
    many = EyeFaceImages(*(torch.zeros(2000, 3, 4, 4) for _ in range(3)), head_rad=torch.zeros(2000, 2))
    how = EyeFaceAugmentation(**OFF, head_noise_deg=2.0)
    out, gaze = augmented(many, torch.zeros(2000, 2), torch.arange(2000), 0, 0, how)
    assert float(out.head_rad.rad2deg().std()) == pytest.approx(2.0, rel=0.1)
    assert float(out.head_rad.rad2deg().mean()) == pytest.approx(0.0, abs=0.2)
    assert not gaze.any()
