"""What the studio holds: views for everybody, and for each tab its photos and films."""

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.apps.studio.catalog import Opening
from flows.apps.studio.machine import Machine
from gaze_core.config import Runtime
from gaze_core.errors import BadInput

if TYPE_CHECKING:
    from gaze_core.studio.readings import Readers
    from gaze_core.studio.views import View

MAX_TABS, MAX_PHOTOS = 16, 2
KEPT_S = 60.0  # for this long a tab may be without a connection before its photos are forgotten


@dataclass
class Fit:
    """How far the fit of a photo, or a film, is."""

    name: str
    stage: str = "waiting"
    share: float = 0.0
    fault: str = ""
    is_at_work: bool = True


@dataclass
class Tab:
    """One page in a browser. `views` are its own, by key; `sockets` its connections; `left_s` when the last one ended."""

    views: dict[str, "View"] = field(default_factory=dict)
    sockets: int = 0
    left_s: float = 0.0
    photos: int = 0  # so far, for keys
    fits: dict[int, Fit] = field(default_factory=dict)  # by number of the photo; of a film below zero
    films: dict[str, Path] = field(default_factory=dict)  # each in a folder of its own
    num_films: int = 0  # so far, for names
    is_filming: bool = False
    is_gone: bool = False


class Studio:
    """Everything that all connections share. Used by the event loop's thread; models by the machine's."""

    def __init__(self, machine: Machine, runtime: Runtime, openings: list[Opening]) -> None:
        self.machine, self.runtime = machine, runtime
        self.openings = {f"m{number}": one for number, one in enumerate(openings)}
        self.views: dict[str, View] = {}
        self.faults: dict[str, str] = {}
        self.tabs: dict[str, Tab] = {}
        self.common = Tab(photos=1000)  # numbers of its own; a photo that the command names
        self.is_asked = False  # whether a page has asked for a picture
        self.version = 0  # rises with every change of the lists above
        self._readers: Readers | None = None

    def tab(self, name: str) -> Tab:
        """The tab of that name, new if it is not known.

        Raises:
            BadInput: not a name, or too many tabs are open.
        """
        self.forget_old()
        if not (1 <= len(name) <= 64 and name.isascii() and name.isalnum()):
            raise BadInput("a tab's name has 1 to 64 letters and digits")
        if name not in self.tabs:
            if len(self.tabs) >= MAX_TABS:
                raise BadInput(f"{MAX_TABS} tabs are open, which is the most; close one")
            self.tabs[name] = Tab(left_s=time.monotonic())
        return self.tabs[name]

    def forget_old(self) -> None:
        """Drops tabs that have been closed for a while, with their photos and films."""
        now_s = time.monotonic()
        for name, tab in list(self.tabs.items()):
            if not tab.sockets and now_s - tab.left_s > KEPT_S:
                del self.tabs[name]
                tab.is_gone = True
                for film in tab.films.values():
                    shutil.rmtree(film.parent, ignore_errors=True)

    def view(self, tab: Tab, key: str) -> "View | None":
        """The loaded view of a key, for this tab; None if there is none (yet)."""
        return tab.views.get(key) or self.views.get(key) or self.common.views.get(key)

    def add_photo_view(self, tab: Tab, key: str, view: "View") -> None:
        """Adds a view of a photo; of more than `MAX_PHOTOS` photos the oldest is forgotten."""
        tab.views = dict(sorted({**tab.views, key: view}.items(), key=lambda item: (int(item[0][1:-1]), item[0])))
        photos = list(dict.fromkeys(name.rstrip("ab") for name in tab.views))
        for old in photos[:-MAX_PHOTOS]:
            for name in [name for name in tab.views if name.rstrip("ab") == old]:
                del tab.views[name]
            tab.fits.pop(int(old[1:]), None)
        self.version += 1

    def readers(self) -> "Readers":
        """The readers of gaze; made in the machine's thread."""
        if self._readers is None:
            from gaze_core.studio.readings import Readers

            self._readers = Readers()
        return self._readers

    def listing(self, tab: Tab) -> dict[str, Any]:
        """What the page shows of every view."""
        photos = {**self.common.views, **tab.views}
        return {"kind": "views", "views": [*self._openings(), *(_entry(key, view) for key, view in photos.items())]}

    def fits(self, tab: Tab) -> dict[str, Any]:
        """How far the fits of a tab's photos are."""
        found = [fit for one in (self.common, tab) for fit in one.fits.values() if fit.is_at_work or fit.fault]
        return {"kind": "fits", "fits": [
            {"name": fit.name, "stage": fit.stage, "share": round(fit.share, 3), "fault": fit.fault} for fit in found
        ]}  # fmt: skip

    def _openings(self) -> Iterator[Mapping[str, Any]]:
        for key, opening in self.openings.items():
            if key in self.views:
                yield _entry(key, self.views[key])
            else:
                yield {"key": key, "name": opening.name, "state": "fault" if key in self.faults else "loading",
                       "note": self.faults.get(key, "")}  # fmt: skip


def _entry(key: str, view: "View") -> dict[str, Any]:
    coverage = view.coverage and {"cell_deg": view.coverage.cell_deg, "most_deg": view.coverage.most_deg,
                                  "share": view.coverage.share, "frames": view.coverage.num_frames}  # fmt: skip
    return {
        "key": key, "name": view.name, "note": view.note, "state": "ready", "controls": view.controls, "coverage": coverage,
        "talks": callable(getattr(view, "film", None)), "photo": key[:-1] if key.startswith("p") else "",
    }  # fmt: skip
