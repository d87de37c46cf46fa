# SPDX-License-Identifier: Apache-2.0
"""What the tests with a real registry have in common."""

import collections.abc
import io
import logging

from tests import base
from tests import registry
from tests import signing
from tests.functional import faultproxy
from trove_tools import console
from trove_tools.artifact import signature
from trove_tools.sources.registry import address
from trove_tools.sources.registry import client


class TestCase(base.TestCase):
    """A test with a registry, two keys, and a console that is read."""

    timeout = 300
    # otherwise a failure shows every request
    log_level = logging.WARNING

    def setUp(self) -> None:
        super().setUp()
        registry.need(self)
        signing.need(self)
        self.place = self.temp_dir()
        self.port = self.start_registry("registry")
        self.key = self.open_key("key")
        self.other = self.open_key("other")
        self.set_env(HOME=str(self.place), REGISTRY_AUTH_FILE=None)
        self.stream = io.StringIO()
        self.screen = console.Console(stream=self.stream)
        self.patch_object(client, "PAUSES", (0.0, 0.0))

    def start_registry(self, name: str, *, delete: bool = False) -> int:
        """Run a registry for the time of the test; return its port."""
        (self.place / name).mkdir()
        running = registry.registry(self.place / name, delete=delete)
        port = running.__enter__().port
        self.addCleanup(running.__exit__, None, None, None)
        return port

    def open_key(self, name: str) -> signature.SigningKey:
        """Make a key."""
        key = signature.open_signing_key(
            signing.make_key(self.place / name)
        )
        assert key is not None
        return key

    def reference(self, name: str) -> address.Reference:
        """Return the reference of a repository."""
        text = f"127.0.0.1:{self.port}/trove/{name}"
        return address.parse(text, "--cache-from", tagged=True)

    def warnings(self) -> list[str]:
        """Return the warnings since the last call."""
        lines = self.stream.getvalue().splitlines()
        self.stream.seek(0)
        self.stream.truncate()
        return [line for line in lines if line.startswith("warning: ")]

    def start_proxy(self) -> faultproxy.Proxy:
        """Put a proxy in front of the registry, for all that follows."""
        self.patch_object(client, "TIMEOUT", (1.0, 1.0))
        proxy = faultproxy.Proxy({"registry": self.port})
        self.addCleanup(proxy.close)
        self.port = proxy.ports["registry"]
        return proxy


def count_requests(
    proxy: faultproxy.Proxy, act: collections.abc.Callable[[], object]
) -> list[str]:
    """Return the requests of an action without faults."""
    proxy.plan(faultproxy.Plan())
    act()
    return proxy.seen().requests


def list_faults(
    requests: list[str],
) -> collections.abc.Iterator[tuple[int, str]]:
    """Yield every fault of every request."""
    for number in range(1, len(requests) + 1):
        for kind in faultproxy.OF_REGISTRIES:
            yield number, kind
