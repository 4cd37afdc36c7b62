"""The studio's web application: one page, one websocket for each tab, photos, films, the gallery."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from flows.apps.studio import gallery
from flows.apps.studio.security import HEADERS, Guard
from flows.apps.studio.session import Session, settled
from flows.apps.studio.tabs import Fit, Studio
from flows.apps.studio.talk import MAX_SOUND_BYTES, NO_SPEECH, add_film, synthesiser
from flows.apps.studio.uploads import add_photo, bounded
from gaze_core.errors import BadInput, GazeworksError
from gaze_core.studio.wishes import FilmWish

_FIRST_WISH_POLLS = 20
STATIC = Path(__file__).with_name("static")
_REPORT_HEADERS = HEADERS | {
    "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
}


def make_app(studio: Studio, token: str, host: str, reports: Path, photo: bytes | None = None) -> Starlette:
    """The application. `photo` is a picture that every tab shows from the start."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        loading = asyncio.create_task(load_all(studio, photo))
        yield
        loading.cancel()
        await run_in_threadpool(studio.machine.close)

    async def page(_: Request) -> Response:
        return FileResponse(STATIC / "studio.html", headers=HEADERS)

    async def live(socket: WebSocket) -> None:
        try:
            tab = studio.tab(socket.query_params.get("tab", ""))
        except BadInput as error:
            await socket.accept()
            await socket.send_json({"kind": "error", "text": str(error)})
            await socket.close(1008)
            return
        await socket.accept()
        await Session(studio, tab, socket).run()

    async def upload(request: Request) -> Response:
        async def work() -> dict[str, str]:
            tab = studio.tab(request.query_params.get("tab", ""))
            name = Path(request.query_params.get("name", "")).stem[:40] or "photo"
            return {"view": await add_photo(studio, tab, name, await bounded(request.stream()))}

        return await _answered(work())

    async def talk(request: Request) -> Response:
        async def work() -> dict[str, str]:
            asked = request.query_params
            tab = studio.tab(asked.get("tab", ""))
            content = await bounded(request.stream(), MAX_SOUND_BYTES, "sound", "a WAV or other sound")
            name = await add_film(studio, tab, asked.get("view", ""), _film_wish(asked), content, "text" in asked)
            return {"film": name}

        return await _answered(work())

    async def film(request: Request) -> Response:
        tab = studio.tabs.get(request.query_params.get("tab", ""))
        path = tab.films.get(request.query_params.get("name", "")) if tab else None
        if path is None:
            return JSONResponse({"error": "there is no such film (any more)"}, 404, HEADERS)
        return FileResponse(path, media_type="video/mp4", headers=HEADERS)

    async def speech(_: Request) -> Response:
        return JSONResponse({"absent": "" if synthesiser() else NO_SPEECH}, headers=HEADERS)

    async def rows(_: Request) -> Response:
        return await _answered(run_in_threadpool(_gallery, reports))

    async def report(request: Request) -> Response:
        name = request.query_params.get("name", "")
        try:
            path = await run_in_threadpool(gallery.page_of, reports, name)
        except BadInput as error:
            return JSONResponse({"error": str(error)}, 404, HEADERS)
        return FileResponse(path, headers=_REPORT_HEADERS)

    routes = [
        Route("/", page),
        WebSocketRoute("/live", live),
        Route("/photo", upload, methods=["POST"]),
        Route("/talk", talk, methods=["POST"]),
        Route("/film", film),
        Route("/speech", speech),
        Route("/gallery", rows),
        Route("/report", report),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    guard = Middleware(Guard, token=token, host=host)
    return Starlette(routes=routes, middleware=[guard], lifespan=lifespan)


async def load_all(studio: Studio, photo: bytes | None = None) -> None:
    """Loads every opening, the first first; one that fails says so on the page."""
    for key, opening in studio.openings.items():
        view, fault = await settled(studio.machine.draw(lambda opening=opening: opening.load(studio.runtime)))  # type: ignore[misc]
        if view is None:
            studio.faults[key] = fault
        else:
            studio.views[key] = view
        studio.version += 1
        await _first_wish(studio)
        if photo is not None and key == next(iter(studio.openings)):
            try:
                await add_photo(studio, studio.common, "photo", photo)
            except GazeworksError as error:
                studio.common.fits[0] = Fit("photo", fault=str(error), is_at_work=False)


async def _first_wish(studio: Studio) -> None:
    """Waits a moment for a page's first wish, which must not queue up behind the loading of the next model."""
    for _ in range(_FIRST_WISH_POLLS):
        if studio.is_asked:
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.05)


async def _answered(work: Any) -> Response:
    try:
        return JSONResponse(await work, headers=HEADERS)
    except GazeworksError as error:
        return JSONResponse({"error": str(error)}, 400, HEADERS)


def _film_wish(asked: Mapping[str, str]) -> FilmWish:
    """Where the eyes of a film look.

    Raises:
        BadInput: not a wish.
    """
    try:
        return FilmWish.model_validate(
            {"gaze": asked.get("gaze", "generator"), "gaze_deg": (asked.get("pitch", 0), asked.get("yaw", 0))},
            strict=False,
        )
    except ValidationError as error:
        raise BadInput(f"not a gaze: {error.errors()[0]['msg']}") from error


def _gallery(reports: Path) -> Mapping[str, Any]:
    found = gallery.report_rows(reports)
    return {"reports": found, "store": gallery.store_rows(found), "folder": str(reports)}
