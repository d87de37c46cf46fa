# SPDX-License-Identifier: Apache-2.0
"""The base of the tests that work with a real cloud.

All tests share one minicloud.  Whoever runs them may have started it and
names its directory in ``TROVE_TOOLS_MINICLOUD``, as tools/run-tests does.
Otherwise the first test of a process starts one, which ends with it.

Tests that need no cloud, or one of their own, are in :mod:`.apart`.

Tests leave nothing behind in the cloud that another test could meet: they
name what they make with :meth:`TestCase.unique` and remove it.
"""

import atexit
import collections.abc
import contextlib
import functools
import os
import pathlib
import shutil
import tempfile
import typing

import fasteners
import fixtures
from testtools import content
import yaml

from minicloud import layout
from minicloud import state
from tests import base
from tests import commands
from tests.functional import forked

ADMIN = "minicloud"
DEMO = "minicloud-demo"

VARIABLE = "TROVE_TOOLS_MINICLOUD"

#: Where an installation of the services is looked for: the tests' own home
#: directory has none.
_CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")

_START_TIMEOUT = 900.0


def minicloud(
    *args: str | os.PathLike[str], timeout: float = _START_TIMEOUT
) -> commands.Outcome:
    """Run ``minicloud`` with the services of the person who runs us."""
    env = {"XDG_CACHE_HOME": _CACHE}
    return commands.run("minicloud", *args, env=env, timeout=timeout)


@functools.cache
def _shared() -> tuple[pathlib.Path, commands.Outcome]:
    # once a process, also when it fails: each test then says why
    named = os.environ.get(VARIABLE)
    directory = pathlib.Path(named or tempfile.mkdtemp(prefix="minicloud-"))
    if not named:
        atexit.register(_remove, directory)
    return directory, minicloud("start", directory)


def _remove(directory: pathlib.Path) -> None:
    minicloud("stop", directory)
    shutil.rmtree(directory, ignore_errors=True)


class TestCase(base.TestCase):
    """A test with a cloud, and with commands to try on it.

    ``OS_CLIENT_CONFIG_FILE`` names the cloud's clouds.yaml; which of its
    clouds is used, :data:`ADMIN` or :data:`DEMO`, is up to the test.
    """

    timeout = 300

    def setUp(self) -> None:
        # before the clock of this test runs: the first one starts the cloud
        directory, outcome = _shared()
        super().setUp()
        if outcome.status != 0:
            self.fail(f"the minicloud does not start:\n{outcome.stderr}")
        self.minicloud_dir = directory
        # a service is taken down only while no other test is under way
        self._lock = fasteners.InterProcessReaderWriterLock(
            directory / "run" / "tests.lock"
        )
        self._lock.acquire_read_lock()
        self.addCleanup(self._lock.release_read_lock)
        self.home = self.temp_dir()
        self.set_env(
            HOME=str(self.home),
            XDG_CACHE_HOME=None,
            XDG_CONFIG_HOME=None,
            OS_CLIENT_CONFIG_FILE=str(directory / "clouds.yaml"),
            no_proxy="127.0.0.1,localhost",
            NO_PROXY="127.0.0.1,localhost",
        )

    def minicloud_state(self) -> state.State:
        """Return what the minicloud has written down of itself."""
        return state.load(layout.Layout(self.minicloud_dir))

    def unique(self, prefix: str) -> str:
        """Return a name that no other test uses."""
        unique = self.getUniqueString(prefix).replace(".", "-")
        return f"{unique}-{os.urandom(4).hex()}"

    def command(
        self,
        name: str,
        *args: str | os.PathLike[str],
        env: collections.abc.Mapping[str, str] | None = None,
    ) -> commands.Outcome:
        """Run one of our commands; the working directory is empty.

        What it said is shown when the test fails.
        """
        child = forked.start(name, args, env, self.home)
        outcome = commands.Outcome(*child.wait(self.timeout or 300))
        text = f"{outcome.stdout}{outcome.stderr}status {outcome.status}\n"
        words = " ".join([name, *map(os.fspath, args)])
        self.addDetail(words, content.text_content(text))
        return outcome

    def connection(self, cloud: str = ADMIN) -> typing.Any:
        """Return an openstacksdk connection; it ends with the test."""
        import openstack

        connection = openstack.connect(cloud=cloud)
        self.addCleanup(connection.close)
        return connection

    def trove(self, cloud: str = ADMIN) -> typing.Any:
        """Return a troveclient for a cloud."""
        from troveclient import client

        return client.Client(
            "1.0",
            session=self.connection(cloud).session,
            service_type="database",
            interface="public",
        )

    def altered_clouds(
        self,
        auth: collections.abc.Mapping[str, str] | None = None,
        **changes: typing.Any,
    ) -> pathlib.Path:
        """Make the test use a changed copy of clouds.yaml.

        :param auth: what to change in the credentials of each cloud.
        :param changes: what to change in each cloud, such as
            ``image_endpoint_override``.
        :returns: the copy.
        """
        text = (self.minicloud_dir / "clouds.yaml").read_text()
        parsed = yaml.safe_load(text)
        for cloud in parsed["clouds"].values():
            cloud.update(changes)
            cloud["auth"].update(auth or {})
        path = self.temp_dir() / "clouds.yaml"
        path.write_text(yaml.safe_dump(parsed))
        self.useFixture(
            fixtures.EnvironmentVariable("OS_CLIENT_CONFIG_FILE", str(path))
        )
        return path

    @contextlib.contextmanager
    def service_down(self, *names: str) -> collections.abc.Iterator[None]:
        """End services of the cloud, and start them again afterwards.

        :param names: some of ``keystone``, ``glance`` and ``trove``.
        """
        self._lock.release_read_lock()
        self._lock.acquire_write_lock()
        try:
            self._minicloud("stop", self.minicloud_dir, *names)
            try:
                yield
            finally:
                self._minicloud("start", self.minicloud_dir)
        finally:
            self._lock.release_write_lock()
            self._lock.acquire_read_lock()

    def _minicloud(self, *args: str | os.PathLike[str]) -> None:
        outcome = minicloud(*args)
        self.assertEqual(0, outcome.status, outcome.stderr)
