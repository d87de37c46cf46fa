# SPDX-License-Identifier: Apache-2.0
"""Runs Swift for the backups and logs of one verification."""

import collections.abc
import contextlib
import dataclasses
import http
import http.client
import json
import pathlib
import secrets
import time

from trove_tools import errors
from trove_tools.host import process
from trove_tools.verify import outcome
from trove_tools.verify import processes

#: The Python for which Debian's packages are installed.
PYTHON = pathlib.Path("/usr/bin/python3")
SERVER = pathlib.Path(__file__).with_name("swift_server.py")

_ADDRESS = "127.0.0.1"
# maximum seconds until Swift answers on a quiet host; it usually takes three
_START = 60.0
_PAUSE = 0.2
# the answers about an empty container, and about one that is not there
_NOTHING = (http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_FOUND)


@dataclasses.dataclass(frozen=True)
class Swift:
    """A running Swift.

    :param port: TCP port on loopback.
    :param token: the token of a user who owns the account.
    """

    port: int
    tenant: str
    token: str

    def url(self, address: str = _ADDRESS, port: int | None = None) -> str:
        """Return the account's URL for a client that uses this address."""
        return f"http://{address}:{port or self.port}/v1/AUTH_{self.tenant}"

    def read(self, container: str, prefix: str = "") -> dict[str, bytes]:
        """Return the objects of a container, by name.

        :param prefix: the prefix of the objects' names.
        :raises CheckError: Swift answers with an error.
        """
        listing = self._get(f"{container}?format=json&prefix={prefix}")
        return {
            one["name"]: self._get(f"{container}/{one['name']}")
            for one in json.loads(listing or b"[]")
        }

    def size(self, container: str, name: str) -> int:
        """Return the size of an object with all its parts, in bytes.

        :raises CheckError: Swift answers with an error.
        """
        listing = self._get(f"{container}?format=json&prefix={name}")
        return sum(int(one["bytes"]) for one in json.loads(listing or b"[]"))

    def _get(self, path: str) -> bytes:
        link = http.client.HTTPConnection(_ADDRESS, self.port, timeout=60)
        with contextlib.closing(link):
            link.request(
                "GET",
                f"/v1/AUTH_{self.tenant}/{path}",
                headers={"X-Auth-Token": self.token},
            )
            answer = link.getresponse()
            body = answer.read()
        if answer.status in _NOTHING:
            return b""
        if answer.status != http.HTTPStatus.OK:
            raise outcome.CheckError(
                f"Swift answers {answer.status} to GET {path}"
            )
        return body


def require() -> None:
    """Check that Swift is installed.

    :raises MissingToolError: Swift is not installed.
    """
    done = process.run(
        [PYTHON, "-I", "-c", "import swift.proxy.server"], check=False
    )
    if done.status != 0:
        raise errors.MissingToolError(
            "not found on this host: Swift, which stores backups and logs",
            hint="install with: sudo apt-get install --no-install-recommends"
            " python3-swift",
        )


@contextlib.contextmanager
def swift(
    directory: pathlib.Path, tenant: str
) -> collections.abc.Iterator[Swift]:
    """Run Swift while the context is open.

    :param directory: directory for its files; the file system needs extended
        attributes.
    :param tenant: the project that gets an account.
    :raises MissingToolError: Swift is not installed.
    :raises VerifyError: Swift does not start.
    """
    require()
    work = directory / "swift"
    work.mkdir(mode=0o700)
    key, port = secrets.token_hex(16), processes.find_free_port()
    # in a file, because other users can see a command line
    (work / "key").write_text(key)
    log = directory / "swift.log"
    with processes.run_child(
        [PYTHON, "-I", SERVER, work, str(port), tenant], log, cwd=work
    ) as server:
        deadline = time.monotonic() + process.scale_timeout(_START)
        while not (token := _log_in(port, tenant, key)):
            if server.poll() is not None or time.monotonic() > deadline:
                said = "".join(
                    f"\n  {line}" for line in processes.read_tail(log)
                )
                raise errors.VerifyError(f"Swift does not start{said}")
            time.sleep(_PAUSE)
        yield Swift(port, tenant, token)


def _log_in(port: int, tenant: str, key: str) -> str:
    """Log in, and return a token; empty if Swift does not answer."""
    link = http.client.HTTPConnection(_ADDRESS, port, timeout=10)
    try:
        link.request(
            "GET",
            "/auth/v1.0",
            headers={"X-Auth-User": f"{tenant}:verify", "X-Auth-Key": key},
        )
        return link.getresponse().getheader("X-Auth-Token") or ""
    except OSError:
        return ""
    finally:
        link.close()
