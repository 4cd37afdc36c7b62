"""A page in headless Chromium, driven over its debugging protocol; for tests of what a user sees."""

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from websockets.sync.client import ClientConnection, connect

from tasks.server.own_server import free_port, wait_for_url

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--window-size=1400,1200",
)  # fmt: skip


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._numbers = socket, itertools.count(1)

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(timeout=30))
            if answer.get("id") == number:
                return answer["result"]

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        return self._call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    @property
    def text(self) -> str:
        return str(self.run("document.body.innerText"))

    def wait_for(self, *texts: str, without: str = "", timeout_s: float = 60) -> str:
        """The page's text once all of these are in it, and `without`, if given, no longer is."""
        deadline_s = time.monotonic() + timeout_s
        while (without and without in self.text) or not all(text in self.text for text in texts):
            if time.monotonic() > deadline_s:
                pytest.fail(f"waited {timeout_s:g} s for {texts}; the page says: {self.text[:2000]}")
            time.sleep(0.2)
        return self.text

    def click(self, selector: str, text: str) -> None:
        """Presses the first element of this kind that starts with this text, as a mouse does."""
        found = f"[...document.querySelectorAll({selector!r})].find(e => e.innerText.trim().startsWith({text!r}))"
        box = f"(r => [r.x + r.width / 2, r.y + r.height / 2])({found}.getBoundingClientRect())"
        x, y = self.run(box)
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A fresh browser whose files lie in `folder`; skips the test where there is none."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    port, log = free_port(), folder / "chromium.log"
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={folder / 'chromium'}", f"--remote-debugging-port={port}"]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            wait_for_url(f"http://127.0.0.1:{port}/json/version", lambda: process.poll() is None, log)
            with urlopen(f"http://127.0.0.1:{port}/json") as answer:
                tab = next(tab for tab in json.load(answer) if tab["type"] == "page")
            with connect(tab["webSocketDebuggerUrl"], max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
