# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Swift: as much of it as a backup takes.

A program of its own, without requirements, so that it runs in any network
namespace: swift.py PORT
"""

import hashlib
import http.server
import sys

OBJECTS: dict[str, tuple[bytes, dict[str, str]]] = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def name(self) -> str:
        # /v1/ACCOUNT/CONTAINER/OBJECT
        return self.path.partition("?")[0].split("/", 3)[3]

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def answer(
        self, status: int, headers: dict[str, str], data: bytes = b""
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_PUT(self) -> None:
        data = self.body()
        if self.headers.get("X-Auth-Token") != "token":
            self.answer(401, {})
            return
        source = self.headers.get("X-Copy-From")
        if source:
            data = OBJECTS[source.lstrip("/")][0]
        kept = {
            key: value
            for key, value in self.headers.items()
            if key.lower().startswith("x-object-meta-")
        }
        kept["Etag"] = hashlib.md5(data, usedforsecurity=False).hexdigest()
        OBJECTS[self.name()] = data, kept
        self.answer(201, {"Etag": kept["Etag"]})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        found = OBJECTS.get(self.name())
        if found is None:
            self.answer(404, {})
        else:
            self.answer(200, found[1], found[0])

    def do_DELETE(self) -> None:
        status = 204 if OBJECTS.pop(self.name(), None) else 404
        self.answer(status, {})


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(
        ("127.0.0.1", int(sys.argv[1])), Handler
    ).serve_forever()
