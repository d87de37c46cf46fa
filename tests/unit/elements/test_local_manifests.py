# SPDX-License-Identifier: Apache-2.0
"""What a guest answers its own Docker engine about its containers.

The programs run as in the guest, but for the place of the answers.
"""

import hashlib
import io
import json
import pathlib
import socket
import subprocess
import sys
import tarfile

import ddt

from tests import base
from tests.unit.elements import test_agent_scripts

ELEMENTS = base.ROOT / "trove_tools/elements"
ELEMENT = ELEMENTS / "trove-local-manifests"
SERVICE = ELEMENT / "static/usr/local/sbin/trove-local-manifests"
_TAG = "/v2/library/mariadb/manifests/11.8"


def archive(file: pathlib.Path, *names: str, layers: int = 2) -> str:
    """Write an archive as docker save does; return the image's id."""
    config = json.dumps(
        {"rootfs": {"diff_ids": [f"sha256:{n}" for n in range(layers)]}}
    ).encode()
    identity = hashlib.sha256(config).hexdigest()
    index = [
        {
            "Config": f"{identity}.json",
            "RepoTags": list(names) or None,
            "Layers": [f"{n}/layer.tar" for n in range(layers)],
        }
    ]
    with tarfile.open(file, "w") as stored:
        for name, content in (
            (f"{identity}.json", config),
            ("manifest.json", json.dumps(index).encode()),
            *((f"{n}/layer.tar", b"x" * n) for n in range(layers)),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            stored.addfile(member, io.BytesIO(content))
    return f"sha256:{identity}"


class ManifestsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        directory = ELEMENT / "trove-containers"
        self.script = test_agent_scripts.load("manifests", directory)
        self.place = self.temp_dir()

    def test_the_engine_recognizes_its_image(self) -> None:
        identity = archive(self.place / "a.tar", "mariadb:11.8")
        ((name, text),) = self.script.manifests(str(self.place / "a.tar"))
        self.assertEqual("mariadb:11.8", name)
        made = json.loads(text)
        self.assertEqual(identity, made["config"]["digest"])
        self.assertEqual(
            [("sha256:0", 0), ("sha256:1", 1)],
            [(each["digest"], each["size"]) for each in made["layers"]],
        )

    def test_paths(self) -> None:
        digest = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
        for name, paths in (
            ("mariadb:11.8", {"mariadb", "library/mariadb"}),
            ("docker.io/library/mariadb:11.8", {"mariadb", "library/mariadb"}),
            ("quay.io/x/mariadb:11.8", {"quay.io/x/mariadb"}),
            ("r.example:5000/mariadb:11.8", {"r.example:5000/mariadb"}),
        ):
            self.assertEqual(
                {
                    f"/v2/{path}/manifests/{version}"
                    for path in paths
                    for version in ("11.8", digest)
                },
                set(self.script.answers([(name, "{}")])),
            )

    def test_whole_file(self) -> None:
        archive(self.place / "a.tar", "mariadb:11.8", "quay.io/x/mariadb:11.8")
        archive(self.place / "b.tar", layers=1)
        target = self.place / "answers.json"
        self.script.main(
            str(target), *map(str, sorted(self.place.glob("*.tar")))
        )
        found = json.loads(target.read_text())
        self.assertEqual(6, len(found))
        self.assertEqual(1, len(set(found.values())))


_LOAD = """
start_engine() { :; }
stop_engine() { echo stopped; }
fail() { echo "$1" >&2; exit 1; }
. "$1"
"""


@ddt.ddt
class LoadedTest(base.TestCase):
    """What a build tries with the engine that the guest will have."""

    def run_script(
        self, store: str, pulled: str
    ) -> subprocess.CompletedProcess[str]:
        place = self.temp_dir()
        self.fake_program(
            "docker",
            f"""case $1 in
                info) echo "{store}" ;;
                images) printf 'mariadb 1\nquay.io/x/mariadb 1\n' ;;
                pull) echo "$2" >> {place}/pulls; echo "{pulled}" ;;
            esac""",
        )
        for name in ("python3", "trove-docker-config", "ip", "chmod"):
            self.fake_program(name, "exit 0")
        self.fake_program(
            "systemd-socket-activate", "exec > /dev/null; exec sleep 5"
        )
        script = ELEMENT / "trove-containers/loaded-trove-local-manifests"
        text = script.read_text().replace("/run/", f"{place}/")
        copy = place / "script"
        copy.write_text(text)
        (place / "manifests.log").touch()
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", _LOAD, "load", copy],
            capture_output=True,
            text=True,
        )
        pulls = place / "pulls"
        self.pulls = pulls.read_text().split() if pulls.exists() else []
        return done

    def test_up_to_date(self) -> None:
        done = self.run_script(
            "overlay2 [[Backing Filesystem extfs]]",
            "Status: Image is up to date for mariadb:1",
        )
        self.assertEqual((0, "stopped\n"), (done.returncode, done.stdout))
        # not of the registry that the other name is of
        self.assertEqual(["mariadb:1"], self.pulls)

    @ddt.data(
        ("overlayfs [[driver-type io.containerd.snapshotter.v1]]", "",
         "chooses another image store than overlay2"),
        ("overlay2 []", "Error response from daemon: no such manifest",
         "wants more of mariadb:1 than its manifest"),
    )  # fmt: skip
    @ddt.unpack
    def test_refused(self, store: str, pulled: str, said: str) -> None:
        done = self.run_script(store, pulled)
        self.assertEqual(1, done.returncode)
        self.assertIn(said, done.stderr)
        self.assertIn("build with --no-local-manifests", done.stderr)
        self.assertIn(pulled, done.stderr)


@ddt.ddt
class ServiceTest(base.TestCase):
    """Each request starts the program anew, with its connection as stdin."""

    def setUp(self) -> None:
        super().setUp()
        place = self.temp_dir()
        self.digest = f"sha256:{hashlib.sha256(b'the manifest').hexdigest()}"
        answers = place / "answers.json"
        by_digest = _TAG.replace("11.8", self.digest)
        answers.write_text(
            json.dumps({_TAG: "the manifest", by_digest: "the manifest"})
        )
        known = "/usr/local/share/trove-local-manifests.json"
        text = SERVICE.read_text()
        self.assertIn(known, text)
        self.program = place / "service.py"
        text = text.replace(known, str(answers))
        self.assertIn("timeout = 5\n", text)
        self.program.write_text(text.replace("timeout = 5\n", "timeout = 1\n"))

    def send(self, raw: bytes, ends: bool = False) -> bytes:
        """Return all that is answered to some bytes.

        :param ends: the client says that no more will come.
        """
        listening = socket.create_server(("127.0.0.1", 0))
        with (
            listening,
            socket.create_connection(listening.getsockname()) as client,
            listening.accept()[0] as server,
            subprocess.Popen(
                [sys.executable, "-IS", self.program],
                stdin=server, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            ) as running,
        ):  # fmt: skip
            server.close()
            client.settimeout(30)
            found = b""
            try:
                client.sendall(raw)
                if ends:
                    client.shutdown(socket.SHUT_WR)
                while block := client.recv(65536):
                    found += block
            except ConnectionError:
                # it has read enough
                pass
            _, self.said = running.communicate(timeout=30)
            self.assertEqual(0, running.returncode, self.said)
        self.assertNotIn(b"Traceback", self.said)
        return found

    def ask(
        self, path: str, method: str = "GET", headers: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        raw = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"
        head, _, body = self.send(raw.encode()).partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        return (
            int(status.split()[1]),
            dict(line.split(": ", 1) for line in lines),
            body,
        )

    def test_base(self) -> None:
        for method, body in (("GET", b"{}"), ("HEAD", b"")):
            status, headers, found = self.ask("/v2/", method)
            self.assertEqual((200, body), (status, found))
            self.assertEqual(
                "registry/2.0", headers["Docker-Distribution-Api-Version"]
            )

    def test_a_manifest(self) -> None:
        for path in (
            _TAG,
            _TAG.replace("11.8", self.digest),
            _TAG.replace("11.8", self.digest.replace(":", "%3A")),
            f"{_TAG}?ns=docker.io",
        ):
            for method, body in (("GET", b"the manifest"), ("HEAD", b"")):
                status, headers, found = self.ask(path, method)
                self.assertEqual((200, body), (status, found), path)
                self.assertEqual(self.digest, headers["Docker-Content-Digest"])
                self.assertEqual("12", headers["Content-Length"])
                self.assertEqual(
                    "application/vnd.docker.distribution.manifest.v2+json",
                    headers["Content-Type"],
                )

    @ddt.data(
        "/", "/v2", "/v2/library/mariadb/manifests/10.11",
        "/v2/library/mysql/manifests/8.4", "/v2/_catalog",
        "/v2/library/mariadb/tags/list", "/v2/library/mariadb/blobs/sha256:1",
        "/v2/../../../etc/passwd", "/v2/%2e%2e/%2e%2e/etc/passwd",
        "/v2/library/mariadb/manifests/../../../../etc/passwd",
        "/etc/passwd", "//etc/passwd", "/v2/library/mariadb/manifests/",
        "/v2/library%252Fmariadb/manifests/11.8", "/%00", "/%ff", "*", "x",
        "http://x" + _TAG, "http://[",
    )  # fmt: skip
    def test_what_is_not_there(self, path: str) -> None:
        status, _, body = self.ask(path)
        self.assertEqual(404, status)
        (error,) = json.loads(body)["errors"]
        self.assertEqual("MANIFEST_UNKNOWN", error["code"])

    def test_head_of_what_is_not_there(self) -> None:
        status, headers, body = self.ask("/v2/" + "a" * 60000, "HEAD")
        self.assertEqual((404, b""), (status, body))
        self.assertLess(0, int(headers["Content-Length"]))

    @ddt.data(
        ("POST", 405), ("PUT", 405), ("PATCH", 405), ("DELETE", 405),
        ("OPTIONS", 501), ("CONNECT", 501), ("BREW", 501),
    )  # fmt: skip
    @ddt.unpack
    def test_other_verbs(self, method: str, expected: int) -> None:
        status, _, body = self.ask(_TAG, method, "Content-Length: 3\r\n")
        self.assertEqual(expected, status)
        (error,) = json.loads(body)["errors"]
        self.assertEqual("UNSUPPORTED", error["code"])

    def test_too_much(self) -> None:
        long = "x" * 70000
        many = "A: b\r\n" * 200
        self.assertEqual(431, self.ask(_TAG, "GET", f"A: {long}\r\n")[0])
        self.assertEqual(431, self.ask(_TAG, "GET", many)[0])
        found = self.send(f"GET /{long}".encode())
        # the rest of it may reset the connection before that is read
        self.assertIn(found[:12], (b"", b"HTTP/1.0 414"))

    def test_no_http(self) -> None:
        for raw in (
            b"\x16\x03\x01\x02\x00\x01\x00\r\n",
            b"\r\n\r\n",
            b"GET\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
        ):
            self.assertNotIn(b"the manifest", self.send(raw, ends=True))
        self.assertEqual(b"", self.send(b"", ends=True))
        # the log has no control characters of a client
        self.send(b"GET /\x1b[31m HTTP/1.1\r\n\r\n")
        self.assertNotIn(b"\x1b", self.said)

    def test_a_client_that_stops(self) -> None:
        self.assertEqual(b"", self.send(b"GET /v2/ HTT"))
        self.assertIn(b"timed out", self.said)
