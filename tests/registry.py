# SPDX-License-Identifier: Apache-2.0
"""A real registry of containers on loopback, for the time of a test."""

import collections.abc
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import testtools

PROGRAM = "docker-registry"

_CONFIG = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {directory}}}
  delete: {{enabled: {delete}}}
http: {{addr: 127.0.0.1:{port}}}
"""
_USERS = "auth: {{htpasswd: {{realm: test, path: {file}}}}}\n"


class Registry:
    """A registry that runs.

    :param port: on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def mirror(self) -> str:
        """What ``--registry-mirror`` is to be given."""
        return f"http://127.0.0.1:{self.port}"

    def push(self, archive: pathlib.Path, name: str) -> str:
        """Put the image of an archive into it.

        :returns: the digest that it has there.
        """
        with tempfile.NamedTemporaryFile("r") as digest:
            subprocess.run(
                ["skopeo", "--insecure-policy", "copy", "--digestfile",
                 digest.name, "--dest-tls-verify=false",
                 f"docker-archive:{archive}",
                 f"docker://127.0.0.1:{self.port}/{name}"],
                check=True, capture_output=True,
            )  # fmt: skip
            return digest.read().strip()


def need(test: testtools.TestCase) -> None:
    """Skip a test where no registry can run."""
    for program in (PROGRAM, "skopeo"):
        if shutil.which(program) is None:
            test.skipTest(f"{program} is not installed")


@contextlib.contextmanager
def registry(
    directory: pathlib.Path, *, delete: bool = False, users: str = ""
) -> collections.abc.Iterator[Registry]:
    """Run a registry.

    :param directory: takes what is pushed.
    :param delete: allow that something is deleted.
    :param users: lines of a file for htpasswd, with bcrypt; nobody else may
        read or write.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    config = directory / "config.yml"
    text = _CONFIG.format(
        directory=directory, port=port, delete=str(delete).lower()
    )
    if users:
        file = directory / "users"
        file.write_text(users)
        text += _USERS.format(file=file)
    config.write_text(text)
    child = subprocess.Popen(
        [PROGRAM, "serve", config],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
    )  # fmt: skip
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/").close()
                break
            except urllib.error.HTTPError:
                # it is there, and wants a password
                break
            except OSError:
                pass
            time.sleep(0.1)
        yield Registry(port)
    finally:
        child.kill()
        child.wait()
