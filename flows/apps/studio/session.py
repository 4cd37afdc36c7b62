"""One connection: its newest wish is drawn, and nothing older than it.

The page sends wishes as fast as the pointer moves. One is kept, the newest. A picture is sent only when the page has said
that it shows the one before the last, so that neither the socket nor the browser ever holds a queue.
"""

import asyncio
import json
import logging
import time
from concurrent.futures import Future
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from pydantic import Field, NonNegativeInt, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from flows.apps.studio.tabs import Studio, Tab
from gaze_core.config import Config
from gaze_core.errors import GazeworksError
from gaze_core.studio.wishes import Wish

MAX_VIEWS, MAX_UNSEEN = 4, 2
_DRAFT_QUALITY, _FULL_QUALITY = 80, 95
_LOSSLESS_PIXELS = 300_000
_POLL_S = 0.25  # how often a change of the lists is looked for
T = TypeVar("T")
logger = logging.getLogger("gazeworks.studio")


class Ask(Config):
    """A message from the page: a wish for some views. `full` once the pointer rests; readings are made of such only."""

    kind: Literal["wish"] = "wish"
    seq: NonNegativeInt
    views: tuple[str, ...] = Field((), max_length=MAX_VIEWS)
    wish: Wish
    full: bool = False
    read: bool = True


class Session:
    """One websocket of a tab."""

    def __init__(self, studio: Studio, tab: Tab, socket: WebSocket) -> None:
        self._studio, self._tab, self._socket = studio, tab, socket
        self._newest: Ask | None = None
        self._arrived, self._seen = asyncio.Event(), asyncio.Event()
        self._unseen = 0
        self._drawn: dict[str, int] = {}  # number of the last wish, by view
        self.most_unseen = 0  # for tests and measurements

    async def run(self) -> None:
        """Until the page goes away."""
        self._tab.sockets += 1
        others = [asyncio.create_task(work()) for work in (self._draw_wishes, self._tell_changes)]
        try:
            await self._listen()
        finally:
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self._tab.sockets -= 1
            self._tab.left_s = time.monotonic()

    async def _listen(self) -> None:
        while True:
            try:
                text = await self._socket.receive_text()
            except (WebSocketDisconnect, KeyError):  # KeyError: a binary message
                return
            try:
                message = json.loads(text)
                if message.get("kind") == "seen":
                    self._unseen = max(0, self._unseen - 1)
                    self._seen.set()
                    continue
                self._newest = Ask.model_validate(message)
                self._arrived.set()
                self._studio.is_asked |= bool(self._newest.views)
            except (ValueError, AttributeError, RecursionError) as error:
                await self._tell({"kind": "error", "text": f"not understood: {_short(error)}"})

    async def _draw_wishes(self) -> None:
        """Draws the newest wish in the view whose picture is the oldest, again and again: a slow model starves no other."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._todo():
                await self._room()  # before the wish is chosen, or it would be an old one by then
                for ask, key in self._todo()[:1]:
                    self._drawn[key] = ask.seq
                    await self._draw(ask, key)
            if (newest := self._newest) and newest.full and newest.read:
                await self._read(newest)

    def _todo(self) -> list[tuple[Ask, str]]:
        """The newest wish with each view that has not drawn it, the one with the oldest picture first."""
        ask = self._newest
        missing = [key for key in ask.views if self._drawn.get(key) != ask.seq] if ask else []
        return [(ask, key) for key in sorted(missing, key=lambda name: self._drawn.get(name, -1))] if ask else []

    async def _room(self) -> None:
        while self._unseen >= MAX_UNSEEN:
            self._seen.clear()
            await self._seen.wait()

    async def _draw(self, ask: Ask, key: str) -> None:
        view = self._studio.view(self._tab, key)
        if view is None:
            return
        begun_s = time.monotonic()
        drawing, fault = await settled(self._studio.machine.draw(lambda: view.draw(ask.wish)))
        if drawing is None:
            await self._tell({"kind": "error", "view": key, "seq": ask.seq, "text": fault})
            return
        ending, content = encoded(drawing.image, ask.full)
        height, width = drawing.image.shape[:2]
        took_ms = round(1000 * (time.monotonic() - begun_s), 1)
        head = {"view": key, "seq": ask.seq, "full": ask.full, "ms": took_ms, "drawn_deg": drawing.drawn_deg,
                "remark": drawing.remark, "width": width, "height": height, "type": f"image/{ending}"}  # fmt: skip
        text = json.dumps(head).encode()
        self._unseen += 1
        self.most_unseen = max(self.most_unseen, self._unseen)
        await self._socket.send_bytes(len(text).to_bytes(4, "big") + text + content)

    async def _read(self, ask: Ask) -> None:
        """Each reader's reading of each view, as long as nothing newer is asked for."""
        machine, studio = self._studio.machine, self._studio
        readers, fault = await settled(machine.draw(studio.readers))
        if readers is None:
            await self._tell({"kind": "error", "text": fault})
            return
        await self._tell({"kind": "readers", "names": readers.names, "absent": dict(readers.absent)})
        for key in ask.views:
            view = studio.view(self._tab, key)
            if view is None:
                continue
            drawing, _ = await settled(machine.draw(lambda view=view: view.draw(ask.wish)))  # type: ignore[misc]
            for name in readers.names if drawing is not None else ():
                if self._arrived.is_set():
                    return

                def read(name: Any = name, drawing: Any = drawing) -> Any:
                    return readers.read(name, drawing, ask.wish.gaze_deg)

                found, fault = await settled(machine.draw(read))
                if found is None:
                    await self._tell({"kind": "error", "view": key, "text": f"{name}: {fault}"})
                else:
                    await self._tell({"kind": "reading", "view": key, "seq": ask.seq} | found.model_dump(mode="json"))

    async def _tell_changes(self) -> None:
        told, fits = -1, self._studio.fits(self._tab)
        while True:
            if fits != (now := self._studio.fits(self._tab)):
                fits = now
                await self._tell(fits)
            if told != self._studio.version:
                told = self._studio.version
                await self._tell(self._studio.listing(self._tab))
            await asyncio.sleep(_POLL_S)

    async def _tell(self, message: dict[str, Any]) -> None:
        await self._socket.send_text(json.dumps(message, allow_nan=False))


def encoded(image: UInt8[ndarray, "h w 3"], full: bool) -> tuple[str, bytes]:
    """The kind and the bytes of a picture: full ones without loss unless they are large, drafts small."""
    bgr = np.ascontiguousarray(image[..., ::-1])
    if full and image.shape[0] * image.shape[1] <= _LOSSLESS_PIXELS:
        return "png", cv2.imencode(".png", bgr)[1].tobytes()
    quality = _FULL_QUALITY if full else _DRAFT_QUALITY
    return "jpeg", cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


async def settled(work: Future[T]) -> tuple[T | None, str]:
    """The result of a job, or None and what went wrong, in words. Nothing that a job raises ends a connection."""
    waited = asyncio.wrap_future(work)
    await asyncio.wait([waited])
    if waited.cancelled():
        return None, "the studio ends"
    error = waited.exception()
    if error is None:
        return waited.result(), ""
    if not isinstance(error, GazeworksError):
        logger.error("a request failed", exc_info=error)
    return None, _short(error)


def _short(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    text = " ".join(str(error).split()) or type(error).__name__
    kind = "" if isinstance(error, GazeworksError) else f"{type(error).__name__}: "
    return f"{kind}{text}"[:400]
