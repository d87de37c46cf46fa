# SPDX-License-Identifier: Apache-2.0
"""Carries TCP connections between a guest and this host.

QEMU runs this file as a program for each connection of a guest to its broker,
with the connection as standard input and output.  So the file imports only
the standard library, and starts quickly.  For a guest in a container, threads
do the same work.

Usage: relay.py PORT
"""

import collections.abc
import os
import socket
import sys
import threading

_LOOPBACK = "127.0.0.1"


def pour(source: int, target: int) -> None:
    """Copy data from one descriptor to another until the end of the data."""
    try:
        while data := os.read(source, 65536):
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]
    except OSError:
        pass


def carry(reader: int, writer: int, link: socket.socket) -> None:
    """Copy data in both directions until one side has ended."""
    number = link.fileno()

    def back() -> None:
        pour(number, writer)
        ended.set()

    def forth() -> None:
        pour(reader, number)
        ended.set()

    ended = threading.Event()
    for direction in (back, forth):
        threading.Thread(target=direction, daemon=True).start()
    ended.wait()


def serve(
    server: socket.socket,
    connect: collections.abc.Callable[[], socket.socket],
) -> None:
    """Forward the connections to a listening socket, in threads.

    :param server: the listening socket; :func:`stop` ends the forwarding.
    :param connect: returns a connection to the target.
    """

    def join(client: socket.socket) -> None:
        try:
            link = connect()
        except OSError:
            client.close()
            return
        carry(client.fileno(), client.fileno(), link)
        for end in (client, link):
            stop(end)

    def accept() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=join, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def stop(link: socket.socket) -> None:
    """Close a socket for which another thread may be waiting."""
    try:
        link.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    link.close()


def to_loopback(port: int) -> socket.socket:
    """Connect to a port of this host's loopback.

    :raises OSError: no program listens on the port.
    """
    return socket.create_connection((_LOOPBACK, port))


if __name__ == "__main__":
    carry(0, 1, to_loopback(int(sys.argv[1])))
