"""A proxy on loopback before an HTTP server, which corrupts chosen responses."""

import http.client
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal["unavailable", "closed", "silent", "truncated", "flipped"]
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class BadNetwork(ThreadingHTTPServer):
    """`spoil(times, fault, when)` spoils the next `times` requests for which `when(method, path)` holds."""

    daemon_threads = True

    def __init__(self, upstream_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream_port = upstream_port
        self.seen: list[tuple[str, str]] = []
        self._fault: tuple[Fault, Callable[[str, str], bool]] | None = None
        self._times_left = 0
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spoil(self, times: int, fault: Fault, when: Callable[[str, str], bool] = lambda method, path: True) -> None:
        self._fault, self._times_left = (fault, when), times

    def fault_of(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.seen.append((method, path))
            if self._fault is None or self._times_left == 0 or not self._fault[1](method, path):
                return None
            self._times_left -= 1
            return self._fault[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BadNetwork

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def handle_expect_100(self) -> bool:
        self.send_response_only(http.HTTPStatus.CONTINUE)
        self.end_headers()
        return True

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault_of(self.command, self.path)
        if fault == "closed":
            self.close_connection = True
        elif fault == "silent":
            time.sleep(3)
            self.close_connection = True
        elif fault == "unavailable":
            self._answer(503, [], b"<Error><Code>SlowDown</Code></Error>", 0)
        else:
            self._pass_on(body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward  # noqa: N815 (the library's names)

    def _pass_on(self, body: bytes, fault: Fault | None) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream_port, timeout=30)
        upstream.request(self.command, self.path, body=body, headers=dict(self.headers))
        response = upstream.getresponse()
        content = response.read()
        if fault == "flipped" and content:
            content = bytes([content[0] ^ 1]) + content[1:]
        self._answer(response.status, response.getheaders(), content, len(content) // 2 if fault == "truncated" else 0)
        upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, missing: int) -> None:
        self.send_response_only(status)
        length = dict((name.lower(), value) for name, value in headers).get("content-length", str(len(content)))
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) - missing])
        self.close_connection = self.close_connection or missing > 0
