# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on the wire, and what is made of it."""

import typing

from keystoneauth1 import exceptions as ksa
from openstack import exceptions as sdk
import requests

from tests import base
from trove_tools import errors
from trove_tools.cloud import failures

PEER = failures.Peer("Trove", "database", "http://t", "user me in project p")


class ExplainedTest(base.TestCase):
    def explain(self, raised: BaseException) -> errors.CloudError:
        def fail() -> None:
            with failures.explained(PEER):
                raise raised

        error = self.assertRaises(errors.CloudError, fail)
        self.assertIs(raised, error.__cause__)
        self.assertEqual(4, error.exit_status)
        return error

    def test_login(self) -> None:
        for raised in (ksa.Unauthorized("bad"), ksa.BadRequest("bad")):
            error = self.explain(raised)
            self.assertIn("refused the login: bad", error.message)
            self.assertIn("clouds.yaml", error.hint or "")

    def test_nobody_there(self) -> None:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as cause:
            raised = ksa.ConnectFailure("a very long text")
            raised.__cause__ = cause
        error = self.explain(raised)
        self.assertEqual(
            "Trove at http://t cannot be reached: Connection refused",
            error.message,
        )
        self.assertIn("is Trove running", error.hint or "")

    def test_silence(self) -> None:
        raised = ksa.ConnectTimeout("a very long text")
        raised.__context__ = TimeoutError()
        self.assertIn("no answer in time", self.explain(raised).message)

    def test_cut_off(self) -> None:
        raised = requests.ConnectionError("cut off")
        self.assertIn("cannot be reached: cut", self.explain(raised).message)

    def test_discovery(self) -> None:
        error = self.explain(ksa.DiscoveryFailure("no versions"))
        self.assertIn("cannot be reached", error.message)

    def test_certificate(self) -> None:
        error = self.explain(ksa.SSLError("self-signed"))
        self.assertIn("--os-cacert", error.hint or "")

    def test_catalog(self) -> None:
        for raised in (ksa.EndpointNotFound(), sdk.EndpointNotFound("x")):
            error = self.explain(raised)
            self.assertIn("no endpoint of Trove", error.message)
            self.assertIn("'database'", error.message)

    def test_server(self) -> None:
        error = self.explain(ksa.InternalServerError("oops"))
        self.assertIn("Trove at http://t failed: oops", error.message)

    def test_anything_else(self) -> None:
        for raised in (ksa.ClientException("odd"), sdk.SDKException("odd")):
            self.assertIn("odd", self.explain(raised).message)

    def test_our_own_errors_pass(self) -> None:
        def fail() -> None:
            with failures.explained(PEER):
                raise errors.ImageError("short")

        self.assertRaises(errors.ImageError, fail)


class CheckTest(base.TestCase):
    def refused(self, status: int) -> typing.Any:
        response = requests.Response()
        response.status_code = status
        response.url = "http://t/x"
        response.headers["Content-Type"] = "application/json"
        response._content = b'{"badRequest": {"message": "no way"}}'
        return self.assertRaises(
            failures.Refused, failures.check, response, PEER, "asking"
        )

    def test_words(self) -> None:
        error = self.refused(400)
        self.assertEqual("asking: Trove answered 400: no way", error.message)
        self.assertEqual((4, 400), (error.exit_status, error.status))

    def test_hints(self) -> None:
        for status, words in (
            (401, "user me in project p is not allowed this"),
            (403, "admin role"),
            (404, "is http://t really the endpoint"),
            (409, "the log of Trove"),
            (413, "image_size_cap"),
            (415, "qemu-img info"),
            (500, "the log of Trove"),
            (503, "overloaded"),
        ):
            self.assertIn(words, self.refused(status).hint)

    def test_good_answers_pass(self) -> None:
        response = requests.Response()
        for response.status_code in (200, 202, 204, 300):
            failures.check(response, PEER, "asking")
