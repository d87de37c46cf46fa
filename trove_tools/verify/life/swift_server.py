# SPDX-License-Identifier: Apache-2.0
"""Runs all servers of Swift in one process, for one verification.

This is a separate program: it runs with the host's Python, for which Debian's
package python3-swift is installed.  It runs the proxy with tempauth, and one
server each for accounts, containers and objects.  All of them listen on
loopback, and store one copy of everything.  A cache in this process replaces
memcached.

Usage: swift_server.py DIRECTORY PORT TENANT
The file ``key`` in the directory contains the user's key.
"""

import os
import pathlib
import sys
import time
import typing

import eventlet
import eventlet.wsgi

eventlet.monkey_patch()

from swift.account import server as accounts  # noqa: E402
from swift.common import storage_policy  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.middleware import catch_errors  # noqa: E402
from swift.common.middleware import copy  # noqa: E402
from swift.common.middleware import dlo  # noqa: E402
from swift.common.middleware import slo  # noqa: E402
from swift.common.middleware import tempauth  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.container import server as containers  # noqa: E402
from swift.obj import server as objects  # noqa: E402
from swift.proxy import server as proxies  # noqa: E402

ADDRESS = "127.0.0.1"
_DEVICE = "disk"

Application = typing.Callable[..., typing.Any]


class _Cache:
    """Replaces memcached, with the methods that Swift calls."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[typing.Any, float]] = {}

    def get(self, key: str, **_: object) -> typing.Any:
        value, end = self._kept.get(key, (None, 0.0))
        return value if not end or time.time() < end else None

    def set(
        self, key: str, value: typing.Any, time: float = 0, **_: object
    ) -> None:
        self._kept[key] = value, _end(time)

    def delete(self, key: str, **_: object) -> None:
        self._kept.pop(key, None)

    def incr(
        self, key: str, delta: int = 1, time: float = 0, **_: object
    ) -> int:
        value = max(int(self.get(key) or 0) + delta, 0)
        self._kept[key] = value, _end(time)
        return value


def _end(seconds: float) -> float:
    return time.time() + seconds if seconds else 0.0


def with_cache(application: Application) -> Application:
    """Return an application that adds a cache to each request."""
    cache = _Cache()

    def call(environment: dict[str, typing.Any], start: Application) -> object:
        environment["swift.cache"] = cache
        return application(environment, start)

    return call


def write_ring(directory: pathlib.Path, name: str, port: int) -> None:
    """Write a ring file with one device."""
    builder = RingBuilder(2, 1, 0)
    builder.add_dev(
        {
            "id": 0, "region": 1, "zone": 1, "weight": 1.0, "ip": ADDRESS,
            "port": port, "replication_ip": ADDRESS,
            "replication_port": port, "device": _DEVICE, "meta": "",
        }
    )  # fmt: skip
    builder.rebalance()
    builder.get_ring().save(str(directory / f"{name}.ring.gz"))


def main(place: str, port: int, tenant: str) -> None:
    """Run all servers until the process is killed."""
    directory = pathlib.Path(place)
    key = (directory / "key").read_text()
    (directory / "devices" / _DEVICE / "tmp").mkdir(parents=True)
    utils.HASH_PATH_SUFFIX = utils.HASH_PATH_PREFIX = b"verify"
    storage_policy.reload_storage_policies()
    conf = {
        "swift_dir": str(directory),
        "devices": str(directory / "devices"),
        "mount_check": "false",
        "user": "",
        "disable_fallocate": "true",
        "log_name": "swift",
        "fsync": "false",
        # the servers are one process, which a busy host stops for seconds;
        # a listing lacks an object whose container is not told in time
        "conn_timeout": "60",
        "node_timeout": "120",
        "container_update_timeout": "60",
    }
    listeners = {
        name: eventlet.listen((ADDRESS, 0))
        for name in ("account", "container", "object")
    }
    for name, listener in listeners.items():
        write_ring(directory, name, listener.getsockname()[1])
    servers: dict[str, Application] = {
        "account": accounts.AccountController(conf),
        "container": containers.ContainerController(conf),
        "object": objects.ObjectController(conf),
    }
    application: Application = proxies.Application(
        {**conf, "allow_account_management": "true",
         "account_autocreate": "true"},
    )  # fmt: skip
    for make, further in (
        (dlo.filter_factory, {}),
        (slo.filter_factory, {}),
        (copy.filter_factory, {}),
        (
            tempauth.filter_factory,
            {f"user_{tenant}_verify": f"{key} .admin", "token_life": "86400"},
        ),
        (catch_errors.filter_factory, {}),
    ):
        application = make({**conf, **further})(application)
    for name, server in servers.items():
        eventlet.spawn(
            eventlet.wsgi.server, listeners[name], server, log_output=False
        )
    eventlet.wsgi.server(
        eventlet.listen((ADDRESS, port)),
        with_cache(application),
        log=sys.stderr,
    )


if __name__ == "__main__":
    os.umask(0o077)
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
