"""A drawn file in GazeCapture's layout: faces with two dark discs on white, whose places follow the gaze."""

import numpy as np

from gaze_core.one_shot.layout import PersonArrays, write_people

SIZE = 256


def drawn_person(count=12, seed=0, size=SIZE, columns=8, with_landmarks=True):
    """Samples of one person; every picture differs."""
    rng = np.random.default_rng(seed)
    gaze, head = rng.uniform(-0.4, 0.4, (count, 2)), rng.uniform(-0.15, 0.15, (count, 2))
    skin, iris = rng.uniform(140, 220, 3), rng.uniform(20, 110, 3)
    pictures, points = [], []
    for pitch, yaw in gaze:
        face, landmarks = draw_face(pitch, yaw, skin, iris, size)
        pictures.append(face)
        points.append(landmarks)
    labels = np.concatenate([gaze, head, gaze, gaze], axis=1)[:, :columns].astype(np.float32)
    faces = np.array(pictures, np.uint8).reshape(count, size, size, 3)
    return PersonArrays(faces, labels, np.array(points).reshape(count, 68, 2) if with_landmarks else None)


def draw_face(pitch, yaw, skin, iris, size=SIZE):
    """One face and its 68 landmarks; only those of the eyes mean something."""
    scale = size / SIZE
    ys, xs = np.mgrid[:size, :size] / scale
    face = np.broadcast_to(skin, (size, size, 3)).copy()
    landmarks = np.full((68, 2), 128.0)
    for first, x in ((36, 79.0), (42, 177.0)):
        white = ((xs - x) / 23) ** 2 + ((ys - 68) / 9) ** 2 < 1
        dark = (xs - x + 14 * yaw / 0.4) ** 2 + (ys - 68 + 6 * pitch / 0.4) ** 2 < 81
        face[white], face[white & dark] = 240, iris
        around = [(-24, 0), (-9, -9), (9, -9), (24, 0), (9, 9), (-9, 9)]
        landmarks[first : first + 6] = np.array([x, 68]) + around
    return face.round().astype(np.uint8), landmarks * scale


def drawn_people(path, counts, **options):
    """Writes a file with people of these numbers of samples, `{name: count}`."""
    write_people(
        path, {name: drawn_person(count, seed, **options) for seed, (name, count) in enumerate(counts.items())}
    )
    return path
