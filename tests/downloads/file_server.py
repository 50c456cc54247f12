"""Files over HTTP on the loopback address, as the Hugging Face hub and release pages give them."""

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FileServer:
    """files: content by path.  cuts: bytes after which an answer breaks off, one each, in order.
    etag: what a file is said to be instead of its sha256.  asked: (method, path, Range) so far."""

    files: dict[str, bytes]
    cuts: list[int] = field(default_factory=list)
    etag: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    address: str = ""

    @property
    def bodies(self) -> list[str]:
        """The ranges of the requests for content."""
        return [part for method, _, part in self.asked if method == "GET"]

    @contextlib.contextmanager
    def running(self) -> Iterator["FileServer"]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                owner.answer(self, False)

            def do_GET(self):
                owner.answer(self, True)

            def log_message(self, *words):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, with_body: bool) -> None:
        asked = request.headers.get("Range", "")
        self.asked.append((request.command, request.path, asked))
        content = self.files.get(request.path)
        if content is None:
            request.send_response(404)
            request.send_header("X-Error-Code", "EntryNotFound")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        found = re.fullmatch(r"bytes=(\d+)-", asked)
        start = int(found[1]) if found else 0
        if start >= len(content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        body = content[start:]
        request.send_response(206 if found else 200)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("ETag", f'"{self.etag or hashlib.sha256(content).hexdigest()}"')
        request.send_header("X-Repo-Commit", COMMIT)
        if found:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.end_headers()
        if with_body:
            cut = self.cuts.pop(0) if self.cuts else len(body)
            request.wfile.write(body[:cut])
            request.close_connection = cut < len(body)
