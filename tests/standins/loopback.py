# SPDX-License-Identifier: Apache-2.0
"""An HTTP server on loopback, for as long as a test needs one."""

import http.server
import pathlib
import ssl
import threading
import typing


class Server:
    """Serves until it is closed.

    :param handler: answers the requests.
    :param identity: a file with key and certificate; it serves TLS then.
    """

    def __init__(
        self, handler: typing.Any, identity: pathlib.Path | None = None
    ) -> None:
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), handler
        )
        scheme = "http"
        if identity is not None:
            scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(identity)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True
            )
        self.port = self._server.server_port
        self.place = f"127.0.0.1:{self.port}"
        self.url = f"{scheme}://{self.place}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
