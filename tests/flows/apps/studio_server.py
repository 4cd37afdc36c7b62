"""A studio with pretended models, whose pictures tell the gaze by their colour; its server runs in a thread."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from flows.apps.studio.app import make_app
from flows.apps.studio.catalog import Opening
from flows.apps.studio.machine import Machine
from flows.apps.studio.serve import server_of
from flows.apps.studio.tabs import Studio
from gaze_core.config import Config, Runtime
from gaze_core.errors import BadInput
from gaze_core.studio.wishes import Wish

TOKEN = "the-token"


class PretendedView:
    """A plain picture: red is pitch, green is yaw, blue is blink. `drawn` are the wishes; `gate` holds drawings up."""

    controls = ("head", "blink")
    coverage = None
    note = "pretended"

    def __init__(self, name: str = "pretended") -> None:
        self.name = name
        self.drawn: list[Wish] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Exception | None = None

    def draw(self, wish: Wish) -> SimpleNamespace:
        self.drawn.append(wish)
        self.gate.wait(10)
        if self.fault:
            raise self.fault
        colour = [128 + 2 * wish.gaze_deg[0], 128 + 2 * wish.gaze_deg[1], 255 * wish.blink]
        image = np.full((48, 48, 3), np.round(colour), np.uint8)
        return SimpleNamespace(image=image, face=None, drawn_deg=wish.gaze_deg, remark="")


class PretendedTalker(PretendedView):
    """Writes what it hears, and where the eyes look, into its film; `going` lets the film end."""

    def __init__(self, name: str = "talker") -> None:
        super().__init__(name)
        self.going = threading.Event()
        self.going.set()
        self.ended = ""

    def film(self, sound, wish, out, told):
        try:
            while not self.going.wait(0.005):
                told(3, 10)
            told(10, 10)
        except Exception as error:
            self.ended = str(error)
            raise
        if not sound.read_bytes().strip(b"\0"):
            raise BadInput("sound: it is silent")
        out.write_bytes(f"{wish.gaze} {wish.gaze_deg} ".encode() + sound.read_bytes())
        return out


class PretendedReading(Config):
    reader: str
    about: str
    gaze_deg: tuple[float, float] | None
    error_deg: float | None


class PretendedReaders:
    names = ("cnn",)
    absent = {"openvino": "not on this machine"}

    def read(self, name, drawing, asked_deg):
        pitch, yaw = drawing.drawn_deg
        return PretendedReading(reader=name, about="", gaze_deg=(pitch + 3.0, yaw), error_deg=3.0)


def pretended_studio(*views: PretendedView) -> Studio:
    """A studio with these models, loaded when the application starts."""
    openings = [Opening(view.name, lambda runtime, view=view: view) for view in views]
    studio = Studio(Machine(), Runtime(device="cpu"), openings)
    studio._readers = PretendedReaders()
    return studio


@contextmanager
def running(studio: Studio, reports: Path) -> Iterator[str]:
    """The address of the page, with its token."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = server_of(make_app(studio, TOKEN, "127.0.0.1", reports))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/?token={TOKEN}"
    finally:
        server.should_exit = True
        thread.join(15)
        listening.close()
        assert not thread.is_alive()
