# SPDX-License-Identifier: Apache-2.0
"""Swift for the backups and logs of one verify."""

import collections.abc
import contextlib
import dataclasses
import http.client
import json
import pathlib
import secrets
import time

from trove_tools import errors
from trove_tools.host import process
from trove_tools.verify import processes

#: The Python that Debian's packages are for.
PYTHON = pathlib.Path("/usr/bin/python3")
SERVER = pathlib.Path(__file__).with_name("swift_server.py")

_ADDRESS = "127.0.0.1"
# seconds on a quiet host until it answers, which takes three
_START = 60.0
_PAUSE = 0.2


@dataclasses.dataclass(frozen=True)
class Swift:
    """A Swift that answers.

    :param port: of loopback.
    :param token: of a user whom the account belongs to.
    """

    port: int
    tenant: str
    token: str

    def url(self, address: str = _ADDRESS, port: int | None = None) -> str:
        """Return the account's URL, as seen from somewhere."""
        return f"http://{address}:{port or self.port}/v1/AUTH_{self.tenant}"

    def read(self, container: str, prefix: str = "") -> dict[str, bytes]:
        """Return the objects of a container, by name.

        :param prefix: of their names.
        """
        listing = self._get(f"{container}?format=json&prefix={prefix}")
        return {
            one["name"]: self._get(f"{container}/{one['name']}")
            for one in json.loads(listing or b"[]")
        }

    def size(self, container: str, name: str) -> int:
        """Return the bytes of an object, however many parts it has."""
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
        return body if answer.status == 200 else b""


def require() -> None:
    """Make sure that Swift is installed.

    :raises MissingToolError: it is not.
    """
    done = process.run(
        [PYTHON, "-I", "-c", "import swift.proxy.server"], check=False
    )
    if done.status != 0:
        raise errors.MissingToolError(
            "not found on this host: Swift, which backups and logs go to",
            hint="install with: sudo apt-get install --no-install-recommends"
            " python3-swift",
        )


@contextlib.contextmanager
def swift(
    directory: pathlib.Path, tenant: str
) -> collections.abc.Iterator[Swift]:
    """Run a Swift.

    :param directory: for its files; it has to be on a file system that has
        extended attributes.
    :param tenant: the project that gets an account.
    :raises MissingToolError: Swift is not installed.
    :raises VerifyError: it does not come up.
    """
    require()
    place = directory / "swift"
    place.mkdir(mode=0o700)
    key, port = secrets.token_hex(16), processes.find_free_port()
    # not on a command line, which other users see
    (place / "key").write_text(key)
    log = directory / "swift.log"
    with processes.run_child(
        [PYTHON, "-I", SERVER, place, str(port), tenant], log, cwd=place
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
    """Return a token; nothing where nobody answers."""
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
