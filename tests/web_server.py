"""A web server for tests of destinations: its answer is set by the test, its requests are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


class Web:
    """A web server on a free port of this machine."""

    def __init__(self) -> None:
        self.status, self.answer = 200, b""
        self.answer_to: Callable[[str, dict[str, str]], tuple[int, bytes]] | None = None  # by path and query
        self.headers: dict[str, str] = {}  # beside Content-Length, which they may replace
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.methods: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                web.methods.append(self.command)
                web.requests.append((self.path, dict(self.headers), body))
                if web.answer_to is not None:
                    parts = urlsplit(self.path)
                    web.status, web.answer = web.answer_to(parts.path, dict(parse_qsl(parts.query)))
                self.send_response(web.status)
                for name, value in {"Content-Length": str(len(web.answer)), **web.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else web.answer)

            do_POST = do_GET = do_HEAD = do_OPTIONS = respond

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/studies"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
