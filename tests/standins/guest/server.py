# SPDX-License-Identifier: Apache-2.0
"""Stands in for a database server in a guest: server.py ENGINE VERSION.

It listens where the engine's settings in the guest say, and nowhere else,
does not start without what the engine needs to start, and answers the
question that the catalog asks.
"""

import glob
import hashlib
import http.server
import json
import os
import pathlib
import re
import secrets
import socketserver
import struct
import sys
import urllib.parse

ENGINE, VERSION = sys.argv[1:3]
USERS = pathlib.Path("/var/lib/trove-standin-users")

#: engine -> port, files with its settings, what there means "everywhere".
SETTINGS = {
    "mysql": (3306, "/etc/mysql/conf.d/*.cnf", r"bind-address = \*"),
    "percona": (3306, "/etc/mysql/conf.d/*.cnf", r"bind-address = \*"),
    "pxc": (3306, "/etc/mysql/conf.d/*.cnf", r"bind-address = \*"),
    "mongodb": (
        27017, "/etc/mongod.conf",
        r"(?s)bindIpAll: true.*authorization: enabled",
    ),
    "cassandra": (
        9042, "/etc/cassandra/cassandra.yaml",
        r"(?m)^rpc_address: 0\.0\.0\.0\nbroadcast_rpc_address: ",
    ),
    "couchdb": (
        5984, "/opt/couchdb/etc/local.d/*.ini", r"bind_address = 0\.0\.0\.0"
    ),
    "couchbase": (8091, "", ""),
    "vertica": (5433, "", ""),
    "db2": (50000, "", ""),
}  # fmt: skip


def read_all(pattern: str) -> str:
    return "".join(open(name).read() for name in sorted(glob.glob(pattern)))


def check_start() -> None:
    """Refuse to start where the engine would, or should."""
    if ENGINE in ("mysql", "percona", "pxc"):
        if os.path.exists("/var/lib/mysql/auto.cnf"):
            raise SystemExit("this server's identity came with the image")
    if ENGINE == "couchdb":
        if "[admins]" not in read_all("/opt/couchdb/etc/local.d/*.ini"):
            raise SystemExit("there is no administrator")
        if "build" in read_all("/opt/couchdb/etc/vm.args"):
            raise SystemExit("the cookie came with the image")


class Binary(socketserver.StreamRequestHandler):
    """One question of a binary protocol, and its answer."""

    def handle(self) -> None:
        {"mongodb": self.mongodb, "cassandra": self.cassandra,
         "vertica": self.vertica, "db2": self.db2}.get(
             ENGINE, self.mysql)()  # fmt: skip

    def mongodb(self) -> None:
        length, number, _, code = struct.unpack("<iiii", self.rfile.read(16))
        body = self.rfile.read(length - 16)
        if code != 2013 or b"\x10hello\x00" not in body:
            return
        answer = b"\x08isWritablePrimary\x00\x01\x00"
        answer = struct.pack("<i", len(answer) + 4) + answer
        message = struct.pack("<I", 0) + b"\x00" + answer
        self.wfile.write(
            struct.pack("<iiii", len(message) + 16, 1, number, 2013) + message
        )

    def cassandra(self) -> None:
        version, _, stream, code, _ = struct.unpack(
            ">BBHBI", self.rfile.read(9)
        )
        if code != 5:
            return
        words = b""
        for word in ("CQL_VERSION",):
            words += struct.pack(">H", len(word)) + word.encode()
        words += struct.pack(">HH", 1, 5) + b"3.4.7"
        body = struct.pack(">H", 1) + words
        self.wfile.write(
            struct.pack(">BBHBI", version | 0x80, 0, stream, 6, len(body))
            + body
        )

    def vertica(self) -> None:
        if self.rfile.read(8) == struct.pack(">II", 8, 0x04D2162F):
            self.wfile.write(b"N")

    def db2(self) -> None:
        length, magic, _, number = struct.unpack(">HBBH", self.rfile.read(6))
        body = self.rfile.read(length - 6)
        if magic != 0xD0 or body[2:4] != b"\x10\x41":
            return
        answer = struct.pack(">HH", 4, 0x1443)
        self.wfile.write(
            struct.pack(">HBBH", len(answer) + 6, 0xD0, 0x02, number) + answer
        )

    def mysql(self) -> None:
        challenge = secrets.token_hex(10).encode()
        plugin = b"mysql_native_password\x00"
        flags = 0x000F_F7FF & ~0x800
        self.packet(
            0,
            b"\x0a" + VERSION.encode() + b"\x00" + struct.pack("<I", 1)
            + challenge[:8] + b"\x00" + struct.pack("<H", flags & 0xFFFF)
            + b"\x21\x02\x00" + struct.pack("<H", flags >> 16) + b"\x15"
            + bytes(10) + challenge[8:] + b"\x00" + plugin,
        )  # fmt: skip
        login = self.receive()
        user, _, rest = login[32:].partition(b"\x00")
        proof = rest[1 : 1 + rest[0]]
        if not self.proves(user.decode(), proof, challenge):
            self.packet(2, b"\xff\x15\x04#28000Access denied")
            return
        ok = b"\x00\x00\x00\x02\x00\x00\x00"
        self.packet(2, ok)
        while query := self.receive():
            if query[:1] == b"\x01":
                return
            if query[:1] == b"\x03" and b"@@version" in query:
                self.row(b"@@version", VERSION.encode())
            else:
                self.packet(1, ok)

    def proves(self, user: str, proof: bytes, challenge: bytes) -> bool:
        known = json.loads(USERS.read_text()) if USERS.exists() else {}
        if user not in known:
            return False
        once = hashlib.sha1(known[user].encode()).digest()
        twice = hashlib.sha1(once).digest()
        mask = hashlib.sha1(challenge + twice).digest()
        return proof == bytes(a ^ b for a, b in zip(once, mask, strict=True))

    def row(self, name: bytes, value: bytes) -> None:
        def text(word: bytes) -> bytes:
            return bytes([len(word)]) + word

        end = b"\xfe\x00\x00\x02\x00"
        self.packet(1, b"\x01")
        self.packet(
            2,
            text(b"def") + text(b"") * 3 + text(name) + text(b"")
            + b"\x0c\x21\x00\xff\x00\x00\x00\xfd\x00\x00\x1f\x00\x00",
        )  # fmt: skip
        self.packet(3, end)
        self.packet(4, text(value))
        self.packet(5, end)

    def packet(self, number: int, body: bytes) -> None:
        head = struct.pack("<I", len(body))[:3] + bytes([number])
        self.wfile.write(head + body)

    def receive(self) -> bytes:
        head = self.rfile.read(4)
        return self.rfile.read(int.from_bytes(head[:3], "little"))


class Web(http.server.BaseHTTPRequestHandler):
    """Answers for the engines that speak HTTP."""

    owned = False

    def do_GET(self) -> None:
        if ENGINE == "couchdb" and self.path == "/":
            self.answer({"couchdb": "Welcome", "version": VERSION})
        elif ENGINE == "couchbase" and self.path == "/pools":
            # until somebody owns it, it is nothing to rely on
            version = VERSION if Web.owned else "uninitialized"
            self.answer({"implementationVersion": version})
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        said = urllib.parse.parse_qs(self.rfile.read(size).decode())
        if self.path == "/settings/web":
            if len(said["password"][0]) < 12:
                self.send_error(400)
                return
            Web.owned = True
        self.answer({})

    def answer(self, data: dict[str, str]) -> None:
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    check_start()
    port, files, everywhere = SETTINGS[ENGINE]
    opened = not files or re.search(everywhere, read_all(files))
    web = ENGINE in ("couchdb", "couchbase")
    address = "0.0.0.0" if opened else "127.0.0.1"
    with Server((address, port), Web if web else Binary) as server:
        server.serve_forever()


main()
