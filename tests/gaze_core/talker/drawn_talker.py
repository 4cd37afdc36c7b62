"""A drawn talking head of 96 px with exact labels, and a stand-in for a trained model that moves as it is told."""

from types import SimpleNamespace

import cv2
import numpy as np

from gaze_core.preprocess.face_mesh import CORNERS, IRISES, LIDS, LIPS_INNER, LIPS_OUTER
from gaze_core.talker.behaviour import generate_eyes
from gaze_core.talker.driving import RATE_HZ, SOUND_HZ
from gaze_core.talker.subject import TalkerSubjectWriter, TalkerTruth
from gaze_core.talker.subject_schema import SHAPES, TalkerFacts, TalkerSignals

SIZE_PX = 96
_EYES = {"right": (34, 40), "left": (62, 40)}
_RADIUS_PX = 9.0  # of an eyeball: the iris moves by its sine
_AUDIO_OPEN = 0.3  # opening for each unit of the audio feature


def draw(opening, blink, gaze_rad, shift=0):
    """One frame: opening over the eyes' distance (28 px), lids, gaze."""
    image = np.full((SIZE_PX, SIZE_PX, 3), (70, 90, 120), np.uint8)
    cv2.rectangle(image, (20, 84), (76, 96), (60, 60, 150), -1)
    cv2.ellipse(image, (48 + shift, 50), (28, 38), 0, 0, 360, (200, 160, 140), -1, cv2.LINE_AA)
    for x, y in _EYES.values():
        x += shift
        cv2.ellipse(image, (x, y), (7, 4), 0, 0, 360, (245, 245, 245), -1, cv2.LINE_AA)
        moved = (x - _RADIUS_PX * np.sin(gaze_rad[1]), y - _RADIUS_PX * np.sin(gaze_rad[0]))
        cv2.circle(image, tuple(round(16 * one) for one in moved), 3 * 16, (50, 40, 30), -1, cv2.LINE_AA, shift=4)
        lid = round(16 * (y - 5 + 10 * blink))
        cv2.rectangle(
            image, (16 * (x - 8), 16 * (y - 6)), (16 * (x + 8), lid), (200, 160, 140), -1, cv2.LINE_AA, shift=4
        )
    half = max(8, round(16 * 28 * opening / 2))
    cv2.ellipse(
        image, (16 * (48 + shift), 16 * 68), (16 * 10, half + 32), 0, 0, 360, (170, 80, 90), -1, cv2.LINE_AA, shift=4
    )
    cv2.ellipse(image, (16 * (48 + shift), 16 * 68), (16 * 9, half), 0, 0, 360, (40, 10, 15), -1, cv2.LINE_AA, shift=4)
    return image


def places(opening, shift=0):
    """Landmarks of such a frame."""
    points = np.tile(np.array([48.0 + shift, 50.0]), (478, 1))
    for name, (x, y) in _EYES.items():
        lids = getattr(LIDS, name)
        angles = np.linspace(0, 2 * np.pi, len(lids), endpoint=False)
        points[list(lids)] = np.stack([x + shift + 7 * np.cos(angles), y + 4 * np.sin(angles)], axis=1)
        outward = -1 if name == "right" else 1
        corners = getattr(CORNERS, name)
        points[corners[0]], points[corners[1]] = (x + shift + 7 * outward, y), (x + shift - 7 * outward, y)
        points[getattr(IRISES, name)] = (x + shift, y)
    for ring, width, extra in ((LIPS_OUTER, 10, 2), (LIPS_INNER, 9, 0)):
        angles = np.pi + np.linspace(0, 2 * np.pi, len(ring), endpoint=False)
        height = max(0.5, 28 * opening / 2) + extra
        points[list(ring)] = np.stack([48 + shift + width * np.cos(angles), 68 - height * np.sin(angles)], axis=1)
    points[13], points[14] = (48 + shift, 68 - 14 * opening), (48 + shift, 68 + 14 * opening)
    return points


class DrawnTalker(SimpleNamespace):
    """A subject in memory with N frames; the mouth opens as the only audio feature says."""

    def images(self, rows):
        return np.stack([draw(self.mouth_open[r], self.blink[r].mean(), self.gaze_head_rad[r]) for r in rows])


def talker(count=160, held=50, seed=0):
    """The subject, its sound (a tone as loud as the mouth is open) and truth for other gazes."""
    stream = np.random.default_rng(seed)
    steps = np.repeat(stream.uniform(0, 1, count // 4 + 1) * (stream.uniform(size=count // 4 + 1) > 0.25), 4)[:count]
    feature = np.convolve(steps, [0.25, 0.5, 0.25], "same")
    audio = np.repeat(feature[:, None, None], 4, axis=1).astype(np.float32)
    gaze, blink = generate_eyes(count, RATE_HZ, seed + 3)
    gaze = gaze + stream.normal(0, np.deg2rad([3, 5]), gaze.shape)
    for start in {count - held // 2, *range(10, count - held, 25)}:
        blink[start : start + 6] = np.array([0.4, 0.9, 1, 0.9, 0.6, 0.3])[: len(blink) - start, None]
    split = np.zeros(count, np.uint8)
    split[count - held :] = 1
    labels = np.zeros((count, SIZE_PX, SIZE_PX), np.uint8)
    labels[:, 12:88, 20:76], labels[:, 88:] = 1, 7
    opening = _AUDIO_OPEN * feature
    for name, (x, y) in _EYES.items():
        labels[:, y - 4 : y + 4, x - 7 : x + 7] = 3 if name == "left" else 4
    for row, one in enumerate(opening):
        half = round(14 * one)
        labels[row, 66 - half : 71 + half, 38:59] = 6
        labels[row, 68 - half : 69 + half, 39:58] = 5
    view = np.eye(4, dtype=np.float32)
    view[2, 3] = 0.6
    subject = DrawnTalker(
        audio=audio, viewmat=np.tile(view, (count, 1, 1)), blink=blink.astype(np.float32),
        brows=np.zeros((count, 3), np.float32), gaze_head_rad=gaze.astype(np.float32), valid=np.ones(count, bool),
        split=split, frame_id=np.arange(count), eye_centres_m=np.array([[0.03, 0, 0], [-0.03, 0, 0]]),
        mouth_open=opening.astype(np.float32), landmarks_px=np.stack([places(one) for one in opening]), labels=labels,
    )  # fmt: skip
    length = round(SOUND_HZ / RATE_HZ)
    tone = np.sin(np.arange(count * length) * 0.5) * np.repeat(feature, length)
    first, chosen = count - held, np.arange(2, held, 5)
    chosen = np.repeat(chosen[blink[first + chosen].mean(axis=1) < 0.2], 2)
    flips = np.tile([[1, -1], [-1, 1]], (len(chosen) // 2, 1))
    asked = subject.gaze_head_rad[first + chosen] * flips
    images = np.stack([
        draw(opening[first + place], blink[first + place].mean(), other) for place, other in zip(chosen, asked, strict=True)
    ])  # fmt: skip
    eyes = np.zeros(images.shape[:3], np.uint8)
    return subject, tone, TalkerTruth(first + chosen, chosen, asked, images, eyes)


def stand_in(uses_audio=True, turns_eyes=True, closes_lids=True, noise=3.0):
    """Renders what it is told, except what it ignores."""

    def renders(driving, places_wanted):
        rows = np.arange(len(driving)) if places_wanted is None else np.asarray(places_wanted)
        noisy = np.random.default_rng(0)
        frames = []
        for row in rows:
            opening = _AUDIO_OPEN * float(driving.audio[row].mean()) if uses_audio else 0.1
            gaze = driving.gaze_head_rad[row] if turns_eyes else np.zeros(2)
            blink = driving.blink[row].mean() if closes_lids else 0.0
            frames.append(draw(opening, blink, gaze) + noisy.normal(0, noise, (SIZE_PX, SIZE_PX, 3)))
        return np.clip(np.stack(frames), 0, 255).astype(np.uint8)

    return renders


def write_drawn(folder, count=90, held=30):
    """The same as a folder on disk, with points on a plane before a camera whose pixels are 2 mm wide there."""
    subject, tone, truth = talker(count, held)
    y, x = np.mgrid[12:88:2, 20:76:2].reshape(2, -1)
    inside = ((x - 48) / 28) ** 2 + ((y - 50) / 38) ** 2 < 1
    pixels = np.stack([x, y], axis=1)[inside]
    focal_px = 28 / 0.06 * 0.6
    points = np.concatenate([(pixels - (48, 40)) * 0.6 / focal_px, np.full((len(pixels), 1), 0.012)], axis=1)
    facts = TalkerFacts(
        name="drawn", intrinsics=np.array([[focal_px, 0, 48], [0, focal_px, 40], [0, 0, 1.0]]),
        eye_centres_m=subject.eye_centres_m + (0, 0, 0.012), eye_radius_m=0.012, points_m=points,
        points_rgb=draw(0.0, 0.0, np.zeros(2))[pixels[:, 1], pixels[:, 0]] / 255, audio_extractor="log_mel",
        audio_rate_hz=50.0, audio_window=4, source="synthetic",
    )  # fmt: skip
    subject.gaze_sigma_rad = np.zeros(count)
    empty = draw(0.0, 0.0, np.zeros(2))
    empty[8:92, 18:78] = (70, 90, 120)
    with TalkerSubjectWriter(folder) as writer:
        for row, image in enumerate(subject.images(np.arange(count))):
            writer.append(image, subject.labels[row], np.zeros((SIZE_PX, SIZE_PX, 4), np.uint8))
        signals = TalkerSignals(**{name: getattr(subject, name) for name in SHAPES})
        writer.finish(facts, signals, empty, tone.astype(np.float32), truth)
    return folder
