# SPDX-License-Identifier: Apache-2.0
"""Carries one TCP connection from standard input and output, or many.

A program of its own, with nothing but the standard library, so that it
starts quickly.  QEMU runs it for each connection of a guest to its broker;
a guest in namespaces has one that listens on either side of a socket file.

Usage: relay.py TO          between stdin/stdout (a socket) and TO
       relay.py FROM TO     listen at FROM and carry to TO
Places are tcp:ADDRESS:PORT or unix:PATH.
"""

import os
import socket
import sys
import threading


def place(text: str) -> tuple[socket.socket, tuple[str, int] | str]:
    """Return a socket and the address that a place names."""
    kind, _, rest = text.partition(":")
    if kind == "unix":
        return socket.socket(socket.AF_UNIX), rest
    address, _, port = rest.rpartition(":")
    return socket.socket(socket.AF_INET), (address, int(port))


def pour(source: int, target: int) -> None:
    """Copy until there is no more."""
    try:
        while data := os.read(source, 65536):
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]
    except OSError:
        pass


def carry(reader: int, writer: int, link: socket.socket) -> None:
    """Carry both ways until one side has ended."""
    number = link.fileno()

    def back() -> None:
        pour(number, writer)
        ended.set()

    def forth() -> None:
        pour(reader, number)
        ended.set()

    ended = threading.Event()
    for each in (back, forth):
        threading.Thread(target=each, daemon=True).start()
    ended.wait()


def serve(client: socket.socket, to: str) -> None:
    """Carry one client's connection."""
    link, address = place(to)
    try:
        link.connect(address)
        carry(client.fileno(), client.fileno(), link)
    except OSError:
        pass
    for each in (client, link):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        each.close()


def listen(here: str, to: str) -> None:
    """Carry every connection that comes."""
    server, address = place(here)
    if server.family == socket.AF_INET:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(address)
    server.listen(32)
    while True:
        client, _ = server.accept()
        threading.Thread(target=serve, args=(client, to), daemon=True).start()


def main() -> None:
    """Do what the command line says."""
    if len(sys.argv) == 3:
        listen(*sys.argv[1:])
    link, address = place(sys.argv[1])
    link.connect(address)
    carry(0, 1, link)


if __name__ == "__main__":
    main()
