"""A headless Chromium, driven by its DevTools protocol: pages, pointer, keys, files, screenshots."""

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def executable() -> str | None:
    """The browser of this machine, if it has one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab. Pixels are those of the window, from its top left corner."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._ids = socket, itertools.count(1)
        for domain in ("Page", "Runtime", "DOM"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its answer."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return dict(message["result"])

    def open(self, url: str) -> None:
        """Goes to an address."""
        self.do("Page.navigate", url=url)

    def value(self, script: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        answer = self.do("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, script: str, limit_s: float = 60.0) -> None:
        """Waits until an expression is true; an element counts as true."""
        until(lambda: self.value(f"Boolean({script})"), limit_s, script)

    def window(self, width: int, height: int, dark: bool = False) -> None:
        """Size and colours of the window."""
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.do("Emulation.setEmulatedMedia", features=[scheme])

    def place(self, selector: str, right: float = 0.5, down: float = 0.5) -> tuple[float, float]:
        """The pixel at a share of an element's box, after the element was scrolled to."""
        found = json.dumps(selector)
        self.value(f"document.querySelector({found}).scrollIntoView({{block: 'center'}})")
        box = self.value(f"(() => {{ const b = document.querySelector({found}).getBoundingClientRect();"
                         " return [b.left, b.top, b.width, b.height] })()")  # fmt: skip
        return box[0] + right * box[2], box[1] + down * box[3]

    def pointer(self, kind: str, x: float, y: float, held: bool = False) -> None:
        """`mousePressed`, `mouseMoved` or `mouseReleased`."""
        is_click = kind != "mouseMoved"
        self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left" if held or is_click else "none",
                buttons=int(held), clickCount=int(is_click))  # fmt: skip

    def click(self, selector: str) -> None:
        """A click in the middle of an element."""
        x, y = self.place(selector)
        self.pointer("mousePressed", x, y, held=True)
        self.pointer("mouseReleased", x, y)

    def drag(self, selector: str, stops: list[tuple[float, float]], pause_s: float = 0.0) -> None:
        """Presses at the first stop (shares of the element's box), moves over the others, and lets go."""
        x, y = self.place(selector, *stops[0])
        self.pointer("mousePressed", x, y, held=True)
        for stop in stops[1:]:
            time.sleep(pause_s)
            x, y = self.place(selector, *stop)
            self.pointer("mouseMoved", x, y, held=True)
        self.pointer("mouseReleased", x, y)

    def key(self, name: str) -> None:
        """A key is pressed and let go."""
        codes = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9, "Home": 36}
        for kind in ("rawKeyDown", "keyUp"):
            self.do("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=codes[name])

    def drop(self, selector: str, file: Path, kind: str = "image/png") -> None:
        """Drops a file on an element, as a page sees it from a file manager."""
        content = base64.b64encode(file.read_bytes()).decode()
        self.value(
            f"(() => {{ const bytes = Uint8Array.from(atob('{content}'), (c) => c.charCodeAt(0)), data = new DataTransfer();"
            f" data.items.add(new File([bytes], {json.dumps(file.name)}, {{type: '{kind}'}}));"
            f" for (const name of ['dragenter', 'dragover', 'drop']) document.querySelector({json.dumps(selector)})"
            ".dispatchEvent(new DragEvent(name, {dataTransfer: data, bubbles: true, cancelable: true})) })()"
        )

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """The window, or the whole page, as PNG."""
        answer = self.do("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))


class Browser:
    """A running browser."""

    def __init__(self, port: int, downloads: Path) -> None:
        self._port, self.downloads = port, downloads
        self._sockets: list[ClientConnection] = []

    def page(self, width: int = 1280, height: int = 900) -> Page:
        """A new tab."""
        made = httpx.put(f"http://127.0.0.1:{self._port}/json/new?about:blank", timeout=30).json()
        socket = connect(made["webSocketDebuggerUrl"], max_size=None, open_timeout=30)
        self._sockets.append(socket)
        page = Page(socket)
        page.window(width, height)
        page.do("Page.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
        return page

    def close(self) -> None:
        """Ends the connections."""
        for socket in self._sockets:
            socket.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Runs a browser with a profile of its own, and ends it."""
    program = executable()
    if program is None:
        raise FileNotFoundError(f"no browser; expected one of {', '.join(NAMES)} on the PATH")
    with tempfile.TemporaryDirectory(prefix="gazeworks-chromium-", ignore_cleanup_errors=True) as folder:
        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",  # a microphone that beeps
                   "--remote-debugging-port=0", f"--user-data-dir={folder}/profile", "about:blank"]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            written = Path(folder, "profile", "DevToolsActivePort")
            until(lambda: written.is_file() and len(written.read_text().splitlines()) > 1, 60, "the browser's port")
            downloads = Path(folder, "downloads")
            downloads.mkdir()
            browser = Browser(int(written.read_text().splitlines()[0]), downloads)
            yield browser
            browser.close()
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until(found: Callable[[], Any], limit_s: float, what: str) -> Any:
    """Waits for a true value.

    Raises:
        TimeoutError: there was none within `limit_s`.
    """
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        if value := found():
            return value
        time.sleep(0.05)
    raise TimeoutError(f"waited {limit_s:g} s for: {what}")
