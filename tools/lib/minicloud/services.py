# SPDX-License-Identifier: Apache-2.0
"""The three services: what each is, and how it is run.

No command line holds a secret: passwords stand in configuration files.
"""

import dataclasses
import pathlib

from minicloud import layout as layouts
from minicloud import ports


@dataclasses.dataclass(frozen=True)
class Service:
    """One service of the cloud.

    :param name: of the program, and of its user.
    :param kind: its type in the catalog.
    :param path: of its endpoint.
    :param health: a path that answers 200 when it is ready.
    :param config: the name of its configuration file.
    :param wsgi: the module that uWSGI serves; none for a service that
        comes with a server of its own.
    """

    name: str
    kind: str
    path: str
    health: str
    config: str
    wsgi: str | None = None

    def url(self, port: int) -> str:
        """Return its endpoint as the catalog has it."""
        return f"http://{ports.ADDRESS}:{port}{self.path}"

    def health_url(self, port: int) -> str:
        """Return the URL that shows whether it is ready."""
        return f"http://{ports.ADDRESS}:{port}{self.health}"


REGION = "RegionOne"

_AUTOCOMMIT = pathlib.Path(__file__).with_name("autocommit.py")

KEYSTONE = Service(
    "keystone", "identity", "/v3", "/v3", "keystone.conf",
    wsgi="keystone.wsgi.api",
)  # fmt: skip
GLANCE = Service(
    "glance", "image", "", "/healthcheck", "glance-api.conf",
    wsgi="glance.wsgi.api",
)  # fmt: skip
TROVE = Service(
    "trove", "database", "/v1.0/%(tenant_id)s", "/healthcheck", "trove.conf"
)

ALL = (KEYSTONE, GLANCE, TROVE)
BY_NAME = {service.name: service for service in ALL}


def serve(
    service: Service, venv: pathlib.Path, layout: layouts.Layout, port: int
) -> list[str]:
    """Return the command line that runs a service until it is ended."""
    if service.wsgi is None:
        config = layout.etc / service.config
        return [str(venv / "bin/trove-api"), "--config-file", str(config)]
    return [
        str(venv / "bin/pyuwsgi"),
        "--master", "--die-on-term", "--need-app", "--lazy-apps",
        "--venv", str(venv),
        "--import", str(_AUTOCOMMIT),
        "--module", service.wsgi,
        "--http-socket", f"{ports.ADDRESS}:{port}",
        "--processes", "1", "--enable-threads", "--threads", "4",
        # a token and a catalog in the headers exceed the default of 4 KiB
        "--buffer-size", "65535",
        # uWSGI answers one request a connection, and has to say so
        "--add-header", "Connection: close",
        # a client that computes a digest of a large image pauses
        "--socket-timeout", "120",
        "--disable-write-exception",
    ]  # fmt: skip


def environment(layout: layouts.Layout) -> dict[str, str]:
    """Return the variables by which the services find their files."""
    nearby = "127.0.0.1,localhost"
    return {
        "OS_KEYSTONE_CONFIG_DIR": str(layout.etc),
        "OS_GLANCE_CONFIG_DIR": str(layout.etc),
        # they talk to each other on loopback, never through a proxy
        "no_proxy": nearby,
        "NO_PROXY": nearby,
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": "",
        "PYTHONHOME": "",
    }
