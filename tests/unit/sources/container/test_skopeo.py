# SPDX-License-Identifier: Apache-2.0
"""Understanding archives, layouts, and what skopeo says."""

import email.message
import io
import json
import pathlib
import ssl
import tarfile
import typing
import urllib.error

import ddt

from tests import base
from trove_tools import errors
from trove_tools.sources.container import skopeo
from trove_tools.sources.container import sources
from trove_tools.sources.network import session

NAME = "org.opencontainers.image.ref.name"


def container(
    source: str = "registry", path: str = "", mirror: str = ""
) -> sources.Container:
    return sources.Container(
        datastore="mysql",
        version="8.4",
        variable="MYSQL_VERSION",
        source=source,
        names=("mysql:8.4", "r.example/t/mysql:8.4"),
        reference="r.example/t/mysql:8.4" if source == "registry" else "",
        mirror=mirror,
        path=path,
    )


class TransportTest(base.TestCase):
    def archive(self, name: str, content: typing.Any) -> str:
        file = self.temp_dir() / "image.tar"
        data = content
        if not isinstance(content, bytes):
            data = json.dumps(content).encode()
        with tarfile.open(file, "w") as opened:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            opened.addfile(member, io.BytesIO(data))
        return skopeo._transport(container("archive", str(file)))

    def layout(self, index: typing.Any) -> str:
        directory = self.temp_dir()
        (directory / "index.json").write_text(json.dumps(index))
        return skopeo._transport(container("oci", str(directory)))

    def test_registry(self) -> None:
        self.assertEqual(
            "docker://r.example/t/mysql:8.4", skopeo._transport(container())
        )

    def test_mirrors(self) -> None:
        for mirror, place in (
            ("m.example:5000", "m.example:5000/t/mysql:8.4"),
            ("http://127.0.0.1:5000/", "127.0.0.1:5000/t/mysql:8.4"),
            ("https://m.example/cache", "m.example/cache/t/mysql:8.4"),
        ):
            self.assertEqual(
                f"docker://{place}",
                skopeo._transport(container(mirror=mirror)),
            )

    def test_archive_of_docker(self) -> None:
        found = self.archive(
            "manifest.json",
            [
                {"RepoTags": ["percona:8.4", "mysql:8.0"]},
                {"RepoTags": ["x/mysql:8.4"]},
            ],
        )
        self.assertTrue(found.endswith(":x/mysql:8.4"), found)
        self.assertTrue(found.startswith("docker-archive:"), found)

    def test_archive_of_podman(self) -> None:
        found = self.archive(
            "index.json", {"manifests": [{"annotations": {NAME: "8.4"}}]}
        )
        self.assertTrue(found.startswith("oci-archive:"), found)

    def test_one_image_needs_no_name(self) -> None:
        found = self.archive("manifest.json", [{"RepoTags": None}])
        self.assertTrue(found.endswith("image.tar"), found)
        self.assertNotIn("8.4", self.layout({"manifests": [{}]}))

    def test_without_the_version(self) -> None:
        error = self.assertRaises(
            errors.BuildError,
            self.archive,
            "manifest.json",
            [{"RepoTags": ["mysql:8.0"]}],
        )
        self.assertIn("no mysql 8.4, but mysql:8.0", error.message)

    def test_no_images(self) -> None:
        for name, content in (
            ("readme", b"x"),
            ("manifest.json", b"{"),
        ):
            error = self.assertRaises(
                errors.BuildError, self.archive, name, content
            )
            self.assertIn("is no container image", error.message)

    def test_no_archive(self) -> None:
        file = self.temp_dir() / "x"
        file.write_text("text")
        error = self.assertRaises(
            errors.BuildError,
            skopeo._transport,
            container("archive", str(file)),
        )
        self.assertIn(f"{file} is no container image", error.message)

    def test_damaged_layout(self) -> None:
        directory = self.temp_dir()
        pathlib.Path(directory, "index.json").write_text("{")
        error = self.assertRaises(
            errors.BuildError,
            skopeo._transport,
            container("oci", str(directory)),
        )
        self.assertIn("index.json", error.message)


@ddt.ddt
class CheckTest(base.TestCase):
    @ddt.data("8.4.6-1.el9", "1:8.4.6+x", "8.4", None)
    def test_right(self, version: str | None) -> None:
        env = [f"MYSQL_VERSION={version}"] if version else None
        config = {"architecture": "amd64", "config": {"Env": env}}
        skopeo._check(container(), config, "amd64")

    @ddt.data("8.0.6", "8.41", "18.4")
    def test_other_version(self, version: str) -> None:
        config = {
            "architecture": "amd64",
            "config": {"Env": [f"MYSQL_VERSION={version}"]},
        }
        error = self.assertRaises(
            errors.BuildError, skopeo._check, container(), config, "amd64"
        )
        self.assertIn(f"holds mysql {version}, not 8.4", error.message)

    def test_other_architecture(self) -> None:
        error = self.assertRaises(
            errors.BuildError,
            skopeo._check,
            container(),
            {"architecture": "arm64"},
            "amd64",
        )
        self.assertIn("made for arm64, not amd64", error.message)

    @ddt.data(
        ("pinging container registry r: dial tcp: refused", "be reached"),
        ("server gave HTTP response to HTTPS client", "plain HTTP"),
        ("manifest unknown: manifest unknown", "no such image"),
        ("unauthorized: authentication required", "who asks"),
        ("no image found in manifest list for architecture arm64", "amd64"),
        ("pinging container registry r: tls: failed to verify certificate:"
         " x509: certificate signed by unknown authority", "not trusted"),
        ("pinging container registry r: proxyconnect tcp: dial tcp: refused",
         "the proxy"),
        ("something else", "cannot be had"),
    )  # fmt: skip
    @ddt.unpack
    def test_explanations(self, said: str, meaning: str) -> None:
        output = f'time="x" level=fatal msg="{said}"'
        error = skopeo._explain(container(), output, "amd64")
        self.assertIn(meaning, error.message.splitlines()[0])
        if meaning != "cannot be had":
            self.assertTrue(error.hint)


@ddt.ddt
class UnreachableTest(base.TestCase):
    """Whether a registry answers, before it is asked for anything."""

    def ask(self, failure: Exception | None, **where: str) -> str:
        self.asked: list[str] = []

        def answer(url: str, timeout: float) -> io.BytesIO:
            self.asked.append(url)
            if failure is not None:
                raise failure
            return io.BytesIO()

        self.patch_object(session, "open_url", answer)
        return skopeo.unreachable(
            where.get("image", "quay.io/trove/mysql"), where.get("mirror")
        )

    def refusal(self, status: int) -> urllib.error.HTTPError:
        return urllib.error.HTTPError(
            "", status, "reason", email.message.Message(), io.BytesIO()
        )

    def test_who_is_asked(self) -> None:
        for where, url in (
            ({}, "https://quay.io/v2/"),
            ({"image": "docker.io/x/y"}, "https://registry-1.docker.io/v2/"),
            ({"mirror": "m.example:5000/x"}, "https://m.example:5000/v2/"),
            ({"mirror": "http://m.example"}, "http://m.example/v2/"),
        ):
            self.assertEqual("", self.ask(None, **where))
            self.assertEqual([url], self.asked)

    def test_one_that_wants_a_login_is_there(self) -> None:
        self.assertEqual("", self.ask(self.refusal(401)))

    def test_one_that_skopeo_may_trust_is_there(self) -> None:
        failure = urllib.error.URLError(ssl.SSLCertVerificationError())
        self.assertEqual("", self.ask(failure))

    @ddt.data(
        (urllib.error.URLError(OSError(113, "No route")), "No route"),
        (TimeoutError("timed out"), "timed out"),
        (OSError("Tunnel connection failed: 403"), "Tunnel"),
    )
    @ddt.unpack
    def test_none(self, failure: Exception, reason: str) -> None:
        said = self.ask(failure)
        self.assertIn("the registry quay.io does not answer", said)
        self.assertIn(reason, said)

    def test_a_proxy_that_finds_none(self) -> None:
        self.assertIn("(502 reason)", self.ask(self.refusal(502)))
