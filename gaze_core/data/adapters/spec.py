"""Types of the adapters' table and of its readers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gaze_core.config import Config
from gaze_core.data.adapters.units import METRES_PER

Sample = dict[str, Any]  # fields of the schema that the data set has
ChannelOrder = Literal["rgb", "bgr"]
EyeSides = Literal["none", "image", "subject"]  # whose left is the file's left; the image's left is the subject's right


@dataclass(frozen=True)
class Rejected:
    """An unusable frame, with the reason."""

    reason: str


Outcome = Sample | Rejected


class Flags(Config):
    """Options for properties that the files do not state themselves."""

    channel_order: ChannelOrder | None = None  # instead of the table's
    legacy_gaze_origin: bool = True  # gaze origin at the wrong face centre; False for corrected files
    bfm_codes: Literal["keep", "drop"] = "keep"  # expression codes in another basis than ours


class PublishedView(Config):
    """The virtual camera of a published normalisation, with `face_center` in the data set's own terms."""

    focal_px: float
    distance_m: float
    size_px: int
    face_center: str

    def resized(self, size_px: int) -> "PublishedView":
        """The same view at another image size."""
        return self.model_copy(update={"size_px": size_px, "focal_px": self.focal_px * size_px / self.size_px})


@dataclass(frozen=True)
class Layout:
    """The layout of files of one kind."""

    channels: ChannelOrder
    gaze: Literal["camera", "camera, eyes", "head"]  # frame of the gaze labels; "eyes": each eye's besides the face's
    angles: str  # key of angles.ANGLES
    length: Literal["none", "mm", "dm"]
    eyes: EyeSides
    read: "Reader"


@dataclass(frozen=True)
class DatasetSpec:
    """One data set in one layout."""

    name: str
    layout: Layout
    source: str  # the data set
    pattern: (
        str  # file name pattern; braces hold the subject's name (any, or this glob); without braces one file holds all
    )
    view: PublishedView
    faults: tuple[str, ...] = ()  # keys of faults.FAULTS


@dataclass(frozen=True)
class Subject:
    """One person of a published data set; readers add their findings about the file to `notes`."""

    spec: DatasetSpec
    path: Path
    name: str
    flags: Flags
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_bgr(self) -> bool:
        """Whether images are stored as BGR."""
        return (self.flags.channel_order or self.spec.layout.channels) == "bgr"

    @property
    def unit_m(self) -> float:
        """Metres to a unit of length of the file."""
        return METRES_PER[self.spec.layout.length]


Reader = Callable[[Subject], Iterator[Outcome]]
