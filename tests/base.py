# SPDX-License-Identifier: Apache-2.0
"""The base of every test.

A test sees no configuration of the person who runs it: no variable that
steers the commands, a home directory and a working directory of its own
when it asks for one.  What a test logs or prints is shown only when it
fails.
"""

import logging
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import typing
import warnings

import fixtures
import testtools

from trove_tools.host import cleanup
from trove_tools.host import hosttools
from trove_tools.host import mounts

#: The root of the source tree.
ROOT = pathlib.Path(__file__).resolve().parent.parent

#: Variables with these prefixes would change what the commands do.
_STEERING = (
    "DIB_", "GUEST_", "OS_", "DATASTORE_", "TROVE_TOOLS_", "TROVE_BUILD_",
)  # fmt: skip

#: Those that tools/run-tests hands to the tests themselves.
_FOR_TESTS = (
    "TROVE_TOOLS_MINICLOUD",
    "TROVE_TOOLS_TEST_",
    "TROVE_TOOLS_LINT_BIN",
)



def all_of_them() -> bool:
    """Return whether tests run that take too long for every change."""
    return bool(os.environ.get("TROVE_TOOLS_TEST_ALL"))


def remove(directory: pathlib.Path) -> None:
    """Delete a directory, but nothing that is mounted in it.

    diskimage-builder mounts this host's /dev in a build's directory.  A build
    that was killed leaves the mount there, and to delete its directory would
    be to delete the devices.
    """
    if mounts.list_below(directory.resolve()):
        cleanup.remove(directory)
    else:
        shutil.rmtree(directory, ignore_errors=True)


# Whoever runs the tests in the background of a shell has them ignore SIGINT,
# and all that they start would do the same.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class TestCase(testtools.TestCase):
    """A test with nothing of the outside world in its environment."""

    #: Seconds after which a test that hangs is ended; none for no limit.
    timeout: int | None = 60
    #: What to keep of the log, for when the test fails.
    log_level = logging.DEBUG

    def setUp(self) -> None:
        super().setUp()
        if self.timeout is not None:
            self.useFixture(fixtures.Timeout(self.timeout, gentle=True))
        for name in list(os.environ):
            if name.startswith(_STEERING) and not name.startswith(_FOR_TESTS):
                self.useFixture(fixtures.EnvironmentVariable(name))
        self.useFixture(
            fixtures.FakeLogger(
                level=self.log_level,
                format="%(levelname)s %(name)s: %(message)s",
            )
        )
        self.useFixture(fixtures.WarningsCapture())
        warnings.simplefilter("always", ResourceWarning)

    def need_time(self, how_much: str) -> None:
        """Skip the test unless whoever runs it has time for all of them.

        :param how_much: what it takes, in words.
        """
        if not all_of_them():
            self.skipTest(f"takes {how_much}; tools/run-tests --all does it")

    def need_mount_namespaces(self) -> None:
        """Skip the test where it cannot have mounts of its own."""
        if hosttools.in_chroot():
            self.skipTest("/ is no mount point here, as in a chroot")

    def temp_dir(self) -> pathlib.Path:
        """Return a new directory that goes away with the test."""
        directory = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(remove, directory)
        return directory

    def set_env(self, **values: str | None) -> None:
        """Set variables of the environment (remove: None) for the test."""
        for name, value in values.items():
            self.useFixture(fixtures.EnvironmentVariable(name, value))

    def patch_object(
        self, target: object, name: str, value: typing.Any
    ) -> None:
        """Give an attribute another value for the time of the test."""
        self.useFixture(fixtures.MockPatchObject(target, name, value))

    def capture(self) -> tuple[typing.Any, typing.Any]:
        """Catch what is printed; returns stdout's and stderr's streams."""
        streams = []
        for name in ("stdout", "stderr"):
            stream = self.useFixture(fixtures.StringStream(name)).stream
            self.patch_object(sys, name, stream)
            streams.append(stream)
        return streams[0], streams[1]

    def fake_program(
        self,
        name: str,
        script: str,
        directory: pathlib.Path | None = None,
    ) -> pathlib.Path:
        """Put a program on PATH that is a few lines of shell.

        :param name: the program to stand in for.
        :param script: the body of a ``sh`` script.
        :param directory: where to put it; a new directory when not given.
        :returns: its path.
        """
        directory = directory or self.temp_dir()
        program = directory / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        path = os.environ.get("PATH", os.defpath)
        if str(directory) not in path.split(os.pathsep):
            self.set_env(PATH=f"{directory}{os.pathsep}{path}")
        return program
