# SPDX-License-Identifier: Apache-2.0
"""References are read strictly; logins answer what registries ask."""

import base64
import json
import threading
import time
import typing

import requests
from requests_mock.contrib import fixture

from tests import base
from trove_tools import errors
from trove_tools.host import blocks
from trove_tools.sources.registry import address
from trove_tools.sources.registry import client
from trove_tools.sources.registry import login

URL = "https://registry.example:5000/v2/a/b"
DIGEST = f"sha256:{'a' * 64}"


class ParseTest(base.TestCase):
    def test_good(self) -> None:
        for text, wanted in (
            ("r.example/a", ("https://r.example", "a", "")),
            ("oci://r.example:5000/a/b-c:1.0",
             ("https://r.example:5000", "a/b-c", "1.0")),
            (f"oci://r.example/a@{DIGEST}",
             ("https://r.example", "a", DIGEST)),
            ("oci+http://r.example/a", ("http://r.example", "a", "")),
            ("http://r.example/a", ("http://r.example", "a", "")),
            ("127.0.0.1:5000/a", ("http://127.0.0.1:5000", "a", "")),
            ("[::1]:5000/a", ("http://[::1]:5000", "a", "")),
            ("localhost/a", ("http://localhost", "a", "")),
            ("https://localhost/a", ("https://localhost", "a", "")),
            ("oci://127.0.0.1:5000/a", ("http://127.0.0.1:5000", "a", "")),
        ):  # fmt: skip
            found = address.parse(text, "--x", tagged=True)
            self.assertEqual(address.Reference(*wanted), found)

    def test_text(self) -> None:
        for text in ("r.example:5/a/b:c", f"r.example/a@{DIGEST}", "r/a"):
            self.assertEqual(text, str(address.parse(text, "", tagged=True)))

    def test_bad(self) -> None:
        for text in (
            "", "r.example", "r.example/", "r.example/A", "r.example/../a",
            "r.example/a?b", "ftp://r.example/a", "r.example/a@sha256:1",
            f"r.example/a:b@{DIGEST}", "r.example/a:", "/a", "r.ex ample/a",
            "r.example/a//b/", "u:secret@r.example/a",
        ):  # fmt: skip
            error = self.assertRaises(
                errors.UsageError, address.parse, text, "--x", tagged=True
            )
            self.assertNotIn("secret", error.message)

    def test_tag_that_is_not_meant(self) -> None:
        self.assertRaises(
            errors.UsageError, address.parse, "r.example/a:b", "--cache-from"
        )


class LoginTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.temp_dir() / "auth.json"
        self.set_env(REGISTRY_AUTH_FILE=str(self.file))

    def find(
        self, name: str = "a/b", **data: typing.Any
    ) -> login.Login | None:
        self.file.write_text(json.dumps(data))
        return login.find("r.example:5", name)

    def entry(self, user: str, password: str = "p:w") -> dict[str, str]:
        text = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"auth": text}

    def test_most_specific(self) -> None:
        known = {
            "r.example:5": self.entry("host"),
            "r.example:5/a": self.entry("space"),
            "r.example:5/a/b": self.entry("repository"),
            "other": self.entry("other"),
        }
        for name, user in (
            ("a/b", "repository"), ("a/c", "space"), ("a", "space"),
            ("c", "host"),
        ):  # fmt: skip
            self.assertEqual(
                login.Login(user, "p:w"), self.find(name, auths=known)
            )

    def test_none(self) -> None:
        self.assertIsNone(login.find("r.example:5", "a"))
        odd: tuple[typing.Any, ...] = (
            {}, {"other": self.entry("x")}, {"r.example:5": {}},
            {"r.example:5": {"auth": "!"}}, [], {"r.example:5": "x"},
        )  # fmt: skip
        for auths in odd:
            self.assertIsNone(self.find(auths=auths))
        self.file.write_text("{")
        self.assertIsNone(login.find("r.example:5", "a"))

    def test_identity_token(self) -> None:
        known = {"r.example:5": {"identitytoken": "t"}}
        self.assertEqual(
            login.Login("<token>", "t"), self.find(auths=known)
        )

    def test_helper(self) -> None:
        self.fake_program(
            "docker-credential-x",
            'read -r host; [ "$1" = get ] || exit 1\n'
            'echo "{\\"Username\\": \\"u\\", \\"Secret\\": \\"$host\\"}"',
        )
        wanted = login.Login("u", "r.example:5")
        self.assertEqual(
            wanted, self.find(credHelpers={"r.example:5": "x"})
        )
        self.assertEqual(wanted, self.find(credsStore="x"))
        self.assertIsNone(self.find(credsStore="absent"))
        self.assertIsNone(self.find(credsStore="../../x"))


new_fixture: typing.Callable[[], typing.Any] = fixture.Fixture


class RepositoryTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.mock: typing.Any = self.useFixture(new_fixture())
        self.patch_object(client, "PAUSES", (0.0, 0.0))
        self.file = self.temp_dir() / "auth.json"
        self.set_env(REGISTRY_AUTH_FILE=str(self.file))
        self.repository = client.Repository(
            address.parse("registry.example:5000/a/b", "--x")
        )

    def log_in(self, user: str = "u") -> str:
        text = base64.b64encode(f"{user}:p".encode()).decode()
        self.file.write_text(
            json.dumps({"auths": {"registry.example:5000": {"auth": text}}})
        )
        return f"Basic {text}"

    def test_basic(self) -> None:
        wanted = self.log_in()

        def answer(request: typing.Any, context: typing.Any) -> str:
            if request.headers.get("Authorization") == wanted:
                return '{"tags": ["x"]}'
            context.status_code = 401
            context.headers["WWW-Authenticate"] = 'Basic realm="r"'
            return ""

        self.mock.get(f"{URL}/tags/list?n=1000", text=answer)
        self.assertEqual(["x"], self.repository.list_tags())
        self.assertEqual(["x"], self.repository.list_tags())
        # the second request needs no second question
        self.assertEqual(3, self.mock.call_count)

    def test_bearer(self) -> None:
        basic = self.log_in()

        def answer(request: typing.Any, context: typing.Any) -> str:
            if request.headers.get("Authorization") == "Bearer t":
                return '{"tags": ["x"]}'
            context.status_code = 401
            context.headers["WWW-Authenticate"] = (
                'Bearer realm="https://auth.example/token",service="s",'
                'scope="repository:a/b:pull"'
            )
            return ""

        self.mock.get(f"{URL}/tags/list?n=1000", text=answer)
        self.mock.get(
            "https://auth.example/token?service=s&scope=repository:a/b:pull",
            request_headers={"Authorization": basic},
            text='{"token": "t"}',
        )
        self.assertEqual(["x"], self.repository.list_tags())

    def test_nobody_there(self) -> None:
        self.mock.get(
            f"{URL}/tags/list?n=1000",
            exc=requests.ConnectionError("Connection refused"),
        )
        error = self.assertRaises(
            client.RegistryError, self.repository.list_tags
        )
        self.assertIn("cannot be reached", error.message)
        self.assertIn("without TLS, write http://", error.hint or "")

    def test_credentials_go_nowhere_without_tls(self) -> None:
        self.log_in()
        self.mock.get(
            f"{URL}/tags/list?n=1000",
            status_code=401,
            headers={"WWW-Authenticate": 'Bearer realm="http://x.example/"'},
        )
        error = self.assertRaises(
            client.RegistryError, self.repository.list_tags
        )
        self.assertIn("does not use TLS", error.message)
        self.assertEqual(1, self.mock.call_count)

    def test_token_is_not_sent_to_another_host(self) -> None:
        self.log_in()
        self.repository._authorization["write"] = "Bearer t"
        self.mock.head(f"{URL}/blobs/{DIGEST}", status_code=404)
        self.mock.post(
            f"{URL}/blobs/uploads/",
            status_code=202,
            headers={"Location": "https://registry.example:50001/u"},
        )
        self.mock.put(f"https://registry.example:50001/u?digest={DIGEST}")
        self.repository.write_blob(DIGEST, b"x")
        self.assertIn(
            "Authorization", self.mock.request_history[1].headers
        )
        self.assertNotIn(
            "Authorization", self.mock.request_history[2].headers
        )

    def test_pages_of_tags(self) -> None:
        self.mock.get(
            f"{URL}/tags/list?n=1000",
            text='{"tags": ["a", "b/..", 1]}',
            headers={"Link": '</v2/a/b/tags/list?n=1000&last=a>; rel="next"'},
        )
        self.mock.get(
            f"{URL}/tags/list?n=1000&last=a", text='{"tags": ["c"]}'
        )
        self.assertEqual(["a", "c"], self.repository.list_tags())

    def test_manifests(self) -> None:
        url = f"{URL}/manifests/x"
        for text, headers in (
            ("[]", {}),
            ("{", {}),
            ('{"schemaVersion": 1}', {}),
            ('{"schemaVersion": 2}', {"Docker-Content-Digest": DIGEST}),
            ("9" * (client.LARGEST + 1), {}),
        ):
            self.mock.get(url, text=text, headers=headers)
            self.assertRaises(
                client.DamagedError, self.repository.read_manifest, "x"
            )
        self.mock.get(url, text='{"schemaVersion": 2}')
        _, data = self.repository.read_manifest("x")
        self.assertEqual({"schemaVersion": 2}, data)

    def test_blob_is_larger_than_said(self) -> None:
        self.mock.get(f"{URL}/blobs/{DIGEST}", content=b"x" * 5)
        self.assertRaises(
            client.DamagedError, list, self.repository.read_blob(DIGEST, 4)
        )

    def test_slow(self) -> None:
        self.mock.get(f"{URL}/blobs/{DIGEST}", content=b"x")
        error = self.assertRaises(
            client.RegistryError,
            list,
            self.repository.read_blob(DIGEST, 1, deadline=time.monotonic()),
        )
        self.assertIn("too slow", error.message)

    def test_reader_that_ends_early(self) -> None:
        before = threading.active_count()
        ahead = blocks.read_ahead(iter([b"x"] * 1000))
        self.assertEqual(b"x", next(ahead))
        typing.cast(typing.Any, ahead).close()
        for _ in range(100):
            if threading.active_count() == before:
                break
            time.sleep(0.01)
        self.assertEqual(before, threading.active_count())

    def test_parts(self) -> None:
        self.mock.get(
            f"{URL}/blobs/{DIGEST}", content=b"bc", status_code=206
        )
        self.assertEqual(b"bc", self.repository.read_range(DIGEST, 1, 2))
        self.assertEqual(
            "bytes=1-2", self.mock.request_history[-1].headers["Range"]
        )
        # a registry that ignores the range
        self.mock.get(f"{URL}/blobs/{DIGEST}", content=b"abc")
        self.assertEqual(b"ab", self.repository.read_range(DIGEST, 0, 2))
        self.assertRaises(
            client.RegistryError, self.repository.read_range, DIGEST, 1, 2
        )
