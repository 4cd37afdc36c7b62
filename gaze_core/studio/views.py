"""Models that the studio draws with, each behind one small interface: a wish goes in, a picture comes out.

A view is used by one thread at a time. Loading is done once; a drawing changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from gaze_core.config import Runtime
from gaze_core.data.adapters.angles import face_head_pose
from gaze_core.data.batch import GazeBatch
from gaze_core.data.schema import ARKIT
from gaze_core.data.subjects import SubjectDataset
from gaze_core.evaluation.report_renderings import PitchYawDeg, as_uint8
from gaze_core.models.redirection.gaze_gaussian import GazeGaussian
from gaze_core.one_shot.band import Band, put_back
from gaze_core.one_shot.checkpoints import Redirector, load_redirector
from gaze_core.one_shot.layout import count_samples, read_person
from gaze_core.one_shot.objective import hidden
from gaze_core.one_shot.samples import Samples, band_images, band_tensor, prepare
from gaze_core.preprocess.eye_paste import EyeLimits, frontal_crop, paste_eyes
from gaze_core.preprocess.posed_face import PosedFace
from gaze_core.reproducibility import choose_device
from gaze_core.stages.redirection import gaze_gaussian
from gaze_core.stages.redirection.evaluate import render_rgb
from gaze_core.stages.redirection.look_head import LookHeadConfig, looking
from gaze_core.studio.coverage import Coverage
from gaze_core.studio.wishes import Wish

Control = Literal["head", "blink", "jaw", "brows"]
_ACTIONS: dict[Control, tuple[str, ...]] = {
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "jaw": ("jawOpen",),
    "brows": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
}
_MOST_PHOTO_PX = 960  # longer side of a photo as it is shown


@dataclass(frozen=True, eq=False)
class Drawing:
    """A picture, what the readers of gaze get to see of it, and the gaze in degrees at which it was really drawn.

    `face` is a crop in [0, 1] whose camera is that of the wish; it equals the picture where the picture is a face.
    """

    image: UInt8[ndarray, "h w 3"]
    face: Float[Tensor, "1 3 k k"]
    drawn_deg: PitchYawDeg
    remark: str = ""


class View(Protocol):
    """A model that is ready to draw."""

    name: str
    note: str  # where it comes from, one line
    controls: tuple[Control, ...]
    coverage: Coverage | None  # gaze of its training, in the head's frame

    def draw(self, wish: Wish) -> Drawing:
        """The picture of a wish."""
        ...


class HeadView:
    """A GazeGaussian, with one frame of a recording that gives expression and position of the head.

    Args:
        name: as it is shown.
        note: as it is shown.
        model: the model, in evaluation mode.
        frame: one sample, of the model's size.
        coverage: gaze of the training frames.
        runtime: gives the device.
    """

    controls: tuple[Control, ...] = ("head", "blink", "jaw", "brows")

    def __init__(
        self, name: str, note: str, model: GazeGaussian, frame: GazeBatch, coverage: Coverage | None,
        runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
    ) -> None:  # fmt: skip
        device = choose_device(runtime)
        self.name, self.note, self.coverage = name, note, coverage
        self._model, self._frame = model.to(device), frame.to(device)
        self._rest = _neutral(self._frame)

    def draw(self, wish: Wish) -> Drawing:
        """A head on white."""
        code = self._rest.head.expression_code.clone()
        for control, actions in _ACTIONS.items():
            for action in actions:
                code[:, ARKIT.index(action)] = getattr(wish, control)
        frame = replace(self._rest, head=replace(self._rest.head, expression_code=code))
        head, drawn = looking(frame, LookHeadConfig(gaze_deg=wish.gaze_deg, head_deg=wish.head_deg))
        rgb = render_rgb(self._model, frame.camera, head)
        return Drawing(as_uint8(rgb)[0], rgb, drawn)


def _neutral(frame: GazeBatch) -> GazeBatch:
    """The frame with the head facing the camera where its recorded turn is small, and without blink, open jaw, brows."""
    code = frame.head.expression_code.clone()
    for actions in _ACTIONS.values():
        code[:, [ARKIT.index(action) for action in actions]] = 0
    return replace(frame, head=replace(frame.head, expression_code=code))


def most_frontal(dataset: SubjectDataset) -> int:
    """The frame whose head is turned least from its camera."""
    to_camera = (
        np.asarray(dataset.labels["world_to_camera"])[:, :3, :3]
        @ np.asarray(dataset.labels["head_to_world"])[:, :3, :3]
    )
    turns = [float(np.hypot(*face_head_pose(rotation))) for rotation in to_camera]
    return int(np.argmin(turns))


def head_view(
    name: str, note: str, weights: Path, subject: Path, coverage: Coverage | None, runtime: Runtime
) -> HeadView:  # fmt: skip
    """A trained GazeGaussian on the most frontal frame of a subject file.

    Raises:
        BadInput: the subject's images do not have the size that the model draws.
        MissingArtifact, ContractViolation: as `gaze_gaussian.load_file`.
    """
    model, _ = gaze_gaussian.load_file(weights)
    dataset = SubjectDataset(subject)
    gaze_gaussian.require_image_px(model, dataset)
    return HeadView(name, note, model, dataset.batch([most_frontal(dataset)]), coverage, runtime)


class OneShotView:
    """A one-shot redirector on one sample of a person in GazeCapture's layout: the eyes' band is made again."""

    controls: tuple[Control, ...] = ()

    def __init__(self, name: str, note: str, redirector: Redirector, samples: Samples) -> None:
        self.name, self.note = name, note
        self.coverage: Coverage | None = Coverage.of(samples.gaze - samples.head)
        self._redirector, self._samples = redirector, samples
        self._at = int(np.argmin(np.linalg.norm(samples.head, axis=1)))
        self._latents = self._encoded()

    @classmethod
    def shipped(cls, people: Path, checkpoint: Path, runtime: Runtime) -> "OneShotView":
        """The shipped checkpoint on the first person of a file.

        Raises:
            BadInput: a file is not what it should be, or has no landmarks.
        """
        person = next(iter(count_samples(people)))
        arrays = read_person(people, person)
        marks = {person: np.asarray(arrays.landmarks_px)}
        note = f"{checkpoint.name}, not adapted; rendered person {person}"
        return cls("one-shot", note, load_redirector(checkpoint, runtime), prepare({person: arrays}, marks))

    @torch.no_grad()
    def _encoded(self) -> tuple[Tensor, Tensor]:
        """Latents of the band with its eyes hidden and of the band as recorded, which no gaze changes."""
        device = next(self._redirector.model.parameters()).device
        band = band_tensor(self._samples.band[self._at][None]).to(device)
        mask = torch.from_numpy(self._samples.mask[self._at])[None, None].float().div(255).to(device)
        encode = self._redirector.autoencoder.encode
        return encode(hidden(band, mask)), encode(band)

    @torch.no_grad()
    def draw(self, wish: Wish) -> Drawing:
        """The person's face with made eyes; the rest of the face is the recorded one."""
        samples, at = self._samples, self._at
        masked, reference = self._latents
        gaze = torch.deg2rad(torch.tensor([wish.gaze_deg], dtype=torch.float32, device=masked.device))
        head = torch.from_numpy(samples.head[at][None]).float().to(masked.device)
        bands = self._redirector.autoencoder.decode(self._redirector.model(masked, reference, gaze, head))
        made = band_images(bands.clamp(0, 1))[0]
        left, top = (int(value) for value in samples.origin_px[at])
        face = put_back(samples.face[at], made, Band(samples.band[at], samples.mask[at], (left, top)))
        return Drawing(face, as_face(face), wish.gaze_deg)


class PhotoView:
    """A photo whose own eyes are turned; no model (docs/decisions/0011-look.md)."""

    controls: tuple[Control, ...] = ()
    coverage: Coverage | None = None

    def __init__(self, name: str, posed: PosedFace, limits: EyeLimits = EyeLimits()) -> None:  # noqa: B008 (frozen)
        self.name, self.note = name, "the photo's own eyes, turned; all else is the photo"
        self._posed, self._limits = posed, limits

    def draw(self, wish: Wish) -> Drawing:
        """The photo."""
        pasted = paste_eyes(self._posed, np.deg2rad(wish.gaze_deg), self._limits)
        pitch, yaw = np.rad2deg(pasted.drawn).tolist()
        remark = "; ".join(f"{eye}: {reason}" for eye, reason in pasted.left_alone.items())
        return Drawing(pasted.image, as_face(frontal_crop(pasted.image, self._posed)), (pitch, yaw), remark)


def shown_size(size_px: Sequence[int]) -> tuple[int, int]:
    """Width and height at which a photo of (width, height) is shown."""
    scale = min(1.0, _MOST_PHOTO_PX / max(size_px))
    return max(1, round(size_px[0] * scale)), max(1, round(size_px[1] * scale))


def as_face(image: UInt8[ndarray, "h w 3"]) -> Float[Tensor, "1 3 h w"]:
    """A picture as readers take it, in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
