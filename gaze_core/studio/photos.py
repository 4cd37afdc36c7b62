"""A photo that somebody drops on the page: its eyes at once, a drawn head after the shipped one was fitted to it."""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from gaze_core.artifacts import Produced
from gaze_core.assets import resolve
from gaze_core.config import Runtime
from gaze_core.data.splits import SPLITS_FILE, read_splits
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput
from gaze_core.plans.redirection import ADAPT_TO_PHOTO
from gaze_core.preprocess.face_mesh import read_average_face
from gaze_core.preprocess.face_search import find_faces
from gaze_core.preprocess.head_pose import intrinsics_of
from gaze_core.preprocess.landmarks import FaceLandmarker
from gaze_core.preprocess.person import fit_person
from gaze_core.preprocess.posed_face import PosedFace
from gaze_core.preprocess.video_config import VideoConfig
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import gaze_gaussian, head_prior, invert, preprocess
from gaze_core.stages.redirection.preprocess import PreprocessConfig
from gaze_core.studio.views import HeadView, PhotoView, shown_size

MAX_BYTES, MAX_PIXELS = 20_000_000, 40_000_000
_FOCAL_FACTOR = 1.2  # assumed focal length over the longer side
Progress = Callable[[str, float], None]  # what is done, and the share of it; it may raise to end the work


def decode_photo(content: bytes) -> np.ndarray:
    """The RGB picture in a JPEG, PNG or WebP file, at the size at which it is shown.

    Raises:
        BadInput: too large, or no such picture.
    """
    if len(content) > MAX_BYTES:
        raise BadInput(f"a photo of {len(content) / 1e6:.0f} MB; expected up to {MAX_BYTES / 1e6:.0f} MB")
    if not content.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) and content[8:12] != b"WEBP":
        raise BadInput("not a photo; expected a JPEG, PNG or WebP file")
    if (pixels := _announced_pixels(content)) > MAX_PIXELS:
        raise BadInput(f"a photo of {pixels / 1e6:.0f} megapixels; expected up to {MAX_PIXELS / 1e6:.0f}")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise BadInput("the photo is damaged; expected a JPEG, PNG or WebP file")
    shown = cv2.resize(image, shown_size(image.shape[1::-1]), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(shown[..., ::-1])


def _quiet() -> logging.Logger:
    """A fit's losses are of no use to somebody who looks at a page."""
    logger = logging.getLogger("gazeworks.studio.fit")
    logger.setLevel(logging.WARNING)
    return logger


def _announced_pixels(content: bytes) -> int:
    """Pixels by the header, before anything is decoded; 0 if the header says nothing."""
    from io import BytesIO

    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(content)) as image:
            return image.width * image.height
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise BadInput("the photo cannot be read; expected a JPEG, PNG or WebP file") from error


def photo_view(name: str, image: np.ndarray) -> PhotoView:
    """The photo, ready to have its eyes turned.

    Raises:
        BadInput: it shows no face.
        MissingArtifact: the landmarker is not on this machine.
    """
    landmarker = resolve("face_landmarker")
    faces = find_faces(image, FaceLandmarker(landmarker))
    if not faces:
        raise BadInput(f"{name}: no face was found; expected a photo of a face of at least 48 px")
    intrinsics_px = intrinsics_of(image.shape[1::-1], _FOCAL_FACTOR)
    person = fit_person(faces[:1], read_average_face(landmarker), intrinsics_px)
    return PhotoView(name, PosedFace(image, faces[0], person.poses[0], person.head, intrinsics_px))


def fitted_view(name: str, image: np.ndarray, runtime: Runtime, progress: Progress) -> HeadView:
    """The shipped head, fitted to the photo as `gazeworks look` does it. Its files are removed before it returns.

    Raises:
        BadInput: it shows no usable face.
    """
    with tempfile.TemporaryDirectory(prefix="gazeworks-studio-") as folder:
        work = Path(folder)
        (work / "recording").mkdir()
        cv2.imwrite(str(work / "recording" / "photo.png"), image[..., ::-1])

        def step(stage: str, run: Callable[[StageContext], Produced]) -> Path:
            progress(stage, 0.0)
            out = work / stage
            out.mkdir()
            context = StageContext(
                runtime, out, progress=lambda at, of, _: progress(stage, at / max(of, 1)), logger=_quiet()
            )
            for file, path in run(context).files.items():
                if path != out / file:
                    (out / file).parent.mkdir(parents=True, exist_ok=True)
                    path.rename(out / file)
            return out

        settings = PreprocessConfig(source="video", keep_back=False, video=VideoConfig(min_second_face=1.0))
        data = step("labels", lambda context: preprocess.run(settings, {"recording": work / "recording"}, context))
        prior = step("head", lambda context: head_prior.run(head_prior.HeadPriorConfig.shipped(), {}, context))
        plan = ADAPT_TO_PHOTO.model_copy(update={"num_images": 1})
        fitted = step("fit", lambda context: invert.run(plan, {"checkpoint": prior, "data": data}, context))
        model, _ = gaze_gaussian.load(fitted)
        dataset = SubjectDataset(data / read_splits(data / SPLITS_FILE).subjects[0].file)
        return HeadView(
            f"{name}, drawn", "the shipped head, fitted to the photo", model, dataset.batch([0]), None, runtime
        )
