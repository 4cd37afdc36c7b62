"""Photos of a tab: the photo's own eyes at once, and a drawn head once the shipped one was fitted to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from flows.apps.studio.machine import Ended
from flows.apps.studio.session import settled
from flows.apps.studio.tabs import Fit, Studio, Tab
from gaze_core.errors import BadInput

if TYPE_CHECKING:
    from gaze_core.studio.views import HeadView

MAX_UPLOAD_BYTES, MAX_WAITING = 20_000_000, 2
_PARTS = {"labels": (0.0, 0.1), "head": (0.1, 0.15), "fit": (0.15, 1.0)}  # of the bar, by the fit's stage
_WORDS = {"labels": "finding the face", "head": "opening the known head", "fit": "fitting the known head"}
_running: set[asyncio.Task[None]] = set()  # the event loop itself does not hold on to a task


async def bounded(
    chunks: AsyncIterator[bytes],
    most: int = MAX_UPLOAD_BYTES,
    what: str = "a photo",
    kinds: str = "a JPEG, PNG or WebP",
) -> bytes:
    """The body of a request, refused as soon as it is larger than `most` bytes.

    Raises:
        BadInput: too large, or nothing.
    """
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > most:
            raise BadInput(f"{what} of more than {most / 1e6:.0f} MB; make it smaller")
    if not content:
        raise BadInput(f"nothing was sent; drop {kinds} file")
    return bytes(content)


async def add_photo(studio: Studio, tab: Tab, name: str, content: bytes) -> str:
    """Shows a photo in a tab and begins to fit the known head to it. Returns the key of the view of the photo.

    Raises:
        BadInput: no photo, no face, or too many photos wait.
    """
    from gaze_core.studio.photos import decode_photo, photo_view

    if sum(fit.is_at_work for fit in tab.fits.values()) >= MAX_WAITING:
        raise BadInput(f"{MAX_WAITING} photos are being fitted already; wait for them")
    image, fault = await settled(studio.machine.draw(lambda: decode_photo(content)))
    if image is None:
        raise BadInput(fault)
    view, fault = await settled(studio.machine.draw(lambda: photo_view(name, image)))
    if view is None:
        raise BadInput(fault)
    tab.photos += 1
    number = tab.photos
    studio.add_photo_view(tab, f"p{number}a", view)
    fit = tab.fits[number] = Fit(name)

    def work(between_steps: Callable[[], None]) -> "HeadView":
        from gaze_core.studio.photos import fitted_view

        def progress(stage: str, share: float) -> None:
            if tab.is_gone:
                raise Ended("its tab was closed")
            begin, end = _PARTS[stage]
            fit.stage, fit.share = _WORDS[stage], begin + (end - begin) * min(share, 1.0)
            between_steps()

        return fitted_view(name, image, studio.runtime, progress)

    async def finish() -> None:
        drawn, fit.fault = await settled(studio.machine.fit(work))
        fit.is_at_work = False
        if drawn is not None and f"p{number}a" in tab.views:
            studio.add_photo_view(tab, f"p{number}b", drawn)

    task = asyncio.create_task(finish())
    _running.add(task)
    task.add_done_callback(_running.discard)
    return f"p{number}a"
