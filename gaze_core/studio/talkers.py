"""A talking head in the studio: one frame of it that looks where a wish says, and films in which it speaks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from gaze_core.config import Runtime
from gaze_core.evaluation.report_renderings import PitchYawDeg
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.models.talker.checkpoint import load_talker
from gaze_core.reproducibility import choose_device
from gaze_core.stages.talker.render import heard, rendered_frames
from gaze_core.studio.coverage import Coverage
from gaze_core.studio.views import Control, Drawing, as_face
from gaze_core.studio.wishes import FilmWish, Wish
from gaze_core.talker.driving import NUM_WINDOWS, RATE_HZ, Driving, eye_contact
from gaze_core.talker.driving_choice import DrivingConfig, chosen_driving
from gaze_core.talker.film import write_film
from gaze_core.talker.renderer import Renderer
from gaze_core.talker.subject import TalkerSubject

MAX_FILM_S = 30.0
_OPEN_EYED = 0.3  # lids of a frame that a picture starts from are closed by no more


class TalkerView:
    """A trained talking head with the subject that lends camera, torso and background.

    Raises:
        BadInput: the subject's audio features are not those that the head was trained on, or no frame has a face.
        MissingArtifact, ContractViolation: as `load_talker`.
    """

    controls: tuple[Control, ...] = ("blink", "brows")

    def __init__(self, name: str, note: str, checkpoint: Path, subject: Path, runtime: Runtime) -> None:
        self.name, self.note = name, note
        model, self._info = load_talker(checkpoint)
        self._subject = TalkerSubject(subject)
        self._info.require_features(self._subject)
        trained = self._subject.valid & (self._subject.split == 0)
        self.coverage: Coverage | None = Coverage.of(self._subject.gaze_head_rad[trained])
        self._renderer = Renderer(model, self._subject, choose_device(runtime))
        self._still = _still(self._subject)

    def draw(self, wish: Wish) -> Drawing:
        """The head with a closed mouth and its own torso; the film's sound is not heard here."""
        still = self._still
        count, asked = len(still), np.deg2rad(wish.gaze_deg)
        gaze = eye_contact(still.viewmat, self._subject.eye_centres_m, np.tile(asked, (count, 1)))
        brows = still.brows.copy()
        brows[:, :2] = wish.brows
        driving = replace(still.with_eyes(gaze, np.full((count, 2), wish.blink)), brows=brows)
        image = self._renderer(driving, np.array([count // 2]))[0]
        return Drawing(image, as_face(image), _seen_deg(gaze[0], still.viewmat[0], self._subject.eye_centres_m))

    def film(self, sound: Path, wish: FilmWish, out: Path, told: Callable[[int, int], None]) -> Path:
        """Writes the mp4 in which the head says what is heard in a file, of which the first 30 s are taken.

        Args:
            sound: any file with sound.
            wish: where the eyes look.
            out: the film.
            told: hears how many of how many frames are done; what it raises ends the film.

        Raises:
            BadInput: no sound that can be read, or features that are not made of sound here.
        """
        samples, audio = heard(sound, self._info, MAX_FILM_S)
        eyes = wish.gaze_deg if wish.gaze == "pad" else (0.0, 0.0)
        config = DrivingConfig(
            gaze="generator" if wish.gaze == "generator" else "camera", camera_gaze_deg=eyes, most_s=MAX_FILM_S
        )
        driving = chosen_driving(self._subject, self._subject.sound, config, audio, samples)
        return write_film(out, rendered_frames(self._renderer, driving, told=told), driving.sound, RATE_HZ)


def _still(subject: TalkerSubject) -> Driving:
    """The valid frame with open eyes whose mouth is the most closed, for as long as the network listens."""
    rows = np.flatnonzero(subject.valid)
    awake = rows[subject.blink[rows].max(axis=1) < _OPEN_EYED]
    rows = awake if len(awake) else rows
    row = int(rows[np.argmin(subject.mouth_open[rows])]) if len(rows) else 0
    at = np.full(NUM_WINDOWS, row)
    values = {name: np.asarray(getattr(subject, name)[at]) for name in ("audio", "blink", "brows", "gaze_head_rad")}
    return Driving(viewmat=subject.viewmat[at], torso_frame=at, **values)


def _seen_deg(
    gaze_head_rad: Float[ndarray, "2"], viewmat: Float[ndarray, "4 4"], eye_centres_m: Float[ndarray, "2 3"]
) -> PitchYawDeg:
    """A gaze in the head as the camera sees it: (0, 0) looks into the lens from where the eyes are."""
    rotation = torch.from_numpy(viewmat[:3, :3].astype(np.float64))
    middle = (
        rotation @ torch.from_numpy(eye_centres_m.mean(axis=0)).double() + torch.from_numpy(viewmat[:3, 3]).double()
    )
    seen = pitchyaw_from_vector(rotation @ vector_from_pitchyaw(torch.from_numpy(gaze_head_rad).double()))
    pitch, yaw = torch.rad2deg(seen - pitchyaw_from_vector(-middle)).tolist()
    return round(pitch, 2), round(yaw, 2)
